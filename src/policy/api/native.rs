//! The native policies and bindings of `admissionregistration.k8s.io`, read into the same specs as ours.

use serde::Deserialize;

use crate::policy::api::{
    AuditAnnotation, FailurePolicy, MatchCondition, MatchResources, MutatingPolicySpec, Mutation,
    ParamKind, ParamRef, PolicyBindingSpec, PolicyKind, ReinvocationPolicy, ValidatingPolicySpec,
    Validation, ValidationAction, Variable,
};

/// The spec of a ValidatingAdmissionPolicy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidatingAdmissionPolicySpec {
    #[serde(default)]
    param_kind: Option<ParamKind>,
    match_constraints: MatchResources,
    #[serde(default)]
    validations: Vec<Validation>,
    #[serde(default)]
    failure_policy: FailurePolicy,
    #[serde(default)]
    audit_annotations: Vec<AuditAnnotation>,
    #[serde(default)]
    match_conditions: Vec<MatchCondition>,
    #[serde(default)]
    variables: Vec<Variable>,
}

impl From<ValidatingAdmissionPolicySpec> for ValidatingPolicySpec {
    fn from(native: ValidatingAdmissionPolicySpec) -> Self {
        ValidatingPolicySpec {
            param_kind: native.param_kind,
            match_constraints: native.match_constraints,
            validations: native.validations,
            failure_policy: native.failure_policy,
            audit_annotations: native.audit_annotations,
            match_conditions: native.match_conditions,
            variables: native.variables,
            background: true,
            ..ValidatingPolicySpec::default()
        }
    }
}

/// The spec of a MutatingAdmissionPolicy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MutatingAdmissionPolicySpec {
    #[serde(default)]
    param_kind: Option<ParamKind>,
    match_constraints: MatchResources,
    #[serde(default)]
    variables: Vec<Variable>,
    #[serde(default)]
    mutations: Vec<Mutation>,
    #[serde(default)]
    failure_policy: FailurePolicy,
    #[serde(default)]
    match_conditions: Vec<MatchCondition>,
    #[serde(default)]
    reinvocation_policy: ReinvocationPolicy,
}

impl From<MutatingAdmissionPolicySpec> for MutatingPolicySpec {
    fn from(native: MutatingAdmissionPolicySpec) -> Self {
        MutatingPolicySpec {
            param_kind: native.param_kind,
            match_constraints: native.match_constraints,
            variables: native.variables,
            mutations: native.mutations,
            failure_policy: native.failure_policy,
            match_conditions: native.match_conditions,
            reinvocation_policy: native.reinvocation_policy,
            background: true,
            ..MutatingPolicySpec::default()
        }
    }
}

/// The spec of a ValidatingAdmissionPolicyBinding.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidatingAdmissionPolicyBindingSpec {
    #[serde(default)]
    policy_name: String,
    #[serde(default)]
    param_ref: Option<ParamRef>,
    #[serde(default)]
    match_resources: Option<MatchResources>,
    #[serde(default)]
    validation_actions: Vec<ValidationAction>,
}

impl From<ValidatingAdmissionPolicyBindingSpec> for PolicyBindingSpec {
    fn from(native: ValidatingAdmissionPolicyBindingSpec) -> Self {
        PolicyBindingSpec {
            policy_name: native.policy_name,
            policy_kind: Some(PolicyKind::ValidatingPolicy),
            param_ref: native.param_ref,
            match_resources: native.match_resources,
            validation_actions: Some(native.validation_actions),
        }
    }
}

/// The spec of a MutatingAdmissionPolicyBinding.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MutatingAdmissionPolicyBindingSpec {
    #[serde(default)]
    policy_name: String,
    #[serde(default)]
    param_ref: Option<ParamRef>,
    #[serde(default)]
    match_resources: Option<MatchResources>,
}

impl From<MutatingAdmissionPolicyBindingSpec> for PolicyBindingSpec {
    fn from(native: MutatingAdmissionPolicyBindingSpec) -> Self {
        PolicyBindingSpec {
            policy_name: native.policy_name,
            policy_kind: Some(PolicyKind::MutatingPolicy),
            param_ref: native.param_ref,
            match_resources: native.match_resources,
            validation_actions: None,
        }
    }
}
