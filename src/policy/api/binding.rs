//! PolicyBinding: where and with which params a policy applies, and what it does.

#![expect(clippy::duplicated_attributes, reason = "each printer column has a type of its own")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::api::{MatchResources, ParamRef, PolicyStatus, ValidationAction};

/// Where and with which params a policy applies, and what happens to a request that fails.
///
/// The fields of the native bindings mean here what they mean there.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "portcullis.dev",
    version = "v1alpha1",
    kind = "PolicyBinding",
    plural = "policybindings",
    shortname = "polb",
    category = "portcullis",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "Where and with which params a policy applies, and what happens to a request that fails.",
    printcolumn(
        name = "Policy",
        type_ = "string",
        json_path = ".spec.policyName",
        description = "The policy."
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
        description = "Whether the policy exists and the binding is in force."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.policyKind) || self.policyKind != 'MutatingPolicy' || !has(self.validationActions)")
    .message("validationActions mean nothing to a MutatingPolicy"))]
pub struct PolicyBindingSpec {
    /// The name of the policy. If there is none, the binding does nothing.
    #[schemars(length(min = 1, max = 253))]
    pub policy_name: String,
    /// The kind of the policy. Without it, a ValidatingPolicy and a MutatingPolicy of this name are meant. An ImagePolicy is in
    /// force by itself, and bound only by what says so here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_kind: Option<PolicyKind>,
    /// The params, if the policy has a `paramKind`. Without it, `params` is null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param_ref: Option<ParamRef>,
    /// Narrows which requests are meant. A request must match the policy as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_resources: Option<MatchResources>,
    /// What happens to a request that fails. Without it, what the policy says in its own `validationActions`, and if that
    /// says nothing, `Deny`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("!('Deny' in self && 'Warn' in self)")
        .message("must not contain both Deny and Warn"))]
    pub validation_actions: Option<Vec<ValidationAction>>,
}

/// The kinds of policy that a binding can name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum PolicyKind {
    /// A ValidatingPolicy.
    ValidatingPolicy,
    /// A MutatingPolicy.
    MutatingPolicy,
    /// An ImagePolicy.
    ImagePolicy,
}
