//! ValidatingPolicy: rules that a request must meet.

#![expect(clippy::duplicated_attributes, reason = "each printer column has a type of its own")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::api::{
    AuditAnnotation, FailurePolicy, MatchCondition, MatchResources, ParamKind, ParamRef,
    PolicyStatus, Validation, Variable,
};

/// Rules in CEL that requests to the API server must meet.
///
/// The fields of a ValidatingAdmissionPolicy mean here what they mean there. With `validationActions` the policy is in
/// force by itself; without, where a PolicyBinding says.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "portcullis.dev",
    version = "v1alpha1",
    kind = "ValidatingPolicy",
    plural = "validatingpolicies",
    shortname = "vpol",
    category = "portcullis",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "Rules in CEL that requests to the API server must meet.",
    printcolumn(
        name = "Severity",
        type_ = "string",
        json_path = ".spec.severity",
        description = "How bad a violation is."
    ),
    printcolumn(
        name = "Actions",
        type_ = "string",
        json_path = ".spec.validationActions",
        description = "What happens to a request that fails."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether the policy compiled and is in force."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.matchConstraints.resourceRules) && size(self.matchConstraints.resourceRules) > 0")
        .message("at least one resource rule is required").field_path(".matchConstraints.resourceRules"),
    validation = Rule::new("(has(self.validations) && size(self.validations) > 0) || (has(self.auditAnnotations) && size(self.auditAnnotations) > 0)")
        .message("validations or auditAnnotations must contain at least one item"),
    validation = Rule::new("!has(self.paramRef) || (has(self.paramKind) && has(self.validationActions))")
        .message("paramRef needs paramKind and validationActions: without validationActions, a PolicyBinding brings the params"),
)]
pub struct ValidatingPolicySpec {
    /// The kind of the params, if the policy has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param_kind: Option<ParamKind>,
    /// Which requests the policy is about. At least one resource rule is required.
    pub match_constraints: MatchResources,
    /// The rules. All of them are evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub validations: Vec<Validation>,
    /// What an error means: one in an expression, or in the configuration, such as a param that does not exist.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// How long the API server waits for the policy's answer, in seconds: 1 to 30, and what the server was told if
    /// nothing is said. After that, `failurePolicy` decides. Policies that agree share a webhook; one that may take long
    /// is best alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("1 <= self && self <= 30").message("must be between 1 and 30"))]
    pub timeout_seconds: Option<i32>,
    /// Annotations for the audit event of a request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub audit_annotations: Vec<AuditAnnotation>,
    /// Conditions that must hold for the policy to apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub match_conditions: Vec<MatchCondition>,
    /// Named expressions for use in others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub variables: Vec<Variable>,
    /// Puts the policy in force by itself, for every request it matches, and says what happens to a request that fails.
    /// Bindings of the policy apply beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("!('Deny' in self && 'Warn' in self)")
        .message("must not contain both Deny and Warn"))]
    pub validation_actions: Option<Vec<ValidationAction>>,
    /// The params of a policy that is in force by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param_ref: Option<ParamRef>,
    /// How bad a violation is; for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What the policy is about, such as `Pod Security`; for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub category: Option<String>,
    /// Who answers questions about the policy: a team, an address, a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub owner: Option<String>,
    /// Why the policy exists and what to do when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10_000))]
    pub description: Option<String>,
    /// Whether objects that already exist are audited too.
    #[serde(default = "crate::policy::api::validating::yes")]
    pub background: bool,
}

/// What happens to a request that fails a validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ValidationAction {
    /// It is denied.
    Deny,
    /// It passes, and the user reads a warning.
    Warn,
    /// It passes, and the failure is in its audit event.
    Audit,
}

impl ValidationAction {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            ValidationAction::Deny => "Deny",
            ValidationAction::Warn => "Warn",
            ValidationAction::Audit => "Audit",
        }
    }
}

/// How bad a violation is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Severity {
    /// For the record.
    Info,
    /// Worth fixing some day.
    Low,
    /// Worth planning for.
    Medium,
    /// Worth fixing now.
    High,
    /// Worth waking somebody.
    Critical,
}

pub(in crate::policy::api) fn yes() -> bool {
    true
}
