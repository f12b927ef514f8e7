//! MutatingPolicy: changes made to a request.

#![expect(clippy::duplicated_attributes, reason = "each printer column has a type of its own")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::api::{
    FailurePolicy, MatchCondition, MatchResources, ParamKind, ParamRef, PolicyStatus, Severity,
    Variable,
};

/// Changes in CEL to the objects that requests bring.
///
/// The fields of a MutatingAdmissionPolicy mean here what they mean there. With `selfBinding` the policy is in force by
/// itself; without, where a PolicyBinding says.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "portcullis.dev",
    version = "v1alpha1",
    kind = "MutatingPolicy",
    plural = "mutatingpolicies",
    shortname = "mpol",
    category = "portcullis",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "Changes in CEL to the objects that requests to the API server bring.",
    printcolumn(
        name = "Priority",
        type_ = "integer",
        json_path = ".spec.priority",
        description = "The place in the order of mutations: the lowest goes first."
    ),
    printcolumn(
        name = "Severity",
        type_ = "string",
        json_path = ".spec.severity",
        description = "How bad it is that an object lacks the change."
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
    validation = Rule::new("!has(self.matchConstraints.resourceRules) || self.matchConstraints.resourceRules.all(r, !('DELETE' in r.operations))")
        .message("a DELETE brings no object that could be changed"),
    validation = Rule::new("!has(self.paramRef) || (has(self.paramKind) && has(self.selfBinding) && self.selfBinding)")
        .message("paramRef needs paramKind and selfBinding: without selfBinding, a PolicyBinding brings the params"),
)]
pub struct MutatingPolicySpec {
    /// The kind of the params, if the policy has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param_kind: Option<ParamKind>,
    /// Which requests the policy is about. At least one resource rule is required. `*` among the operations means CREATE,
    /// UPDATE and CONNECT.
    pub match_constraints: MatchResources,
    /// Named expressions for use in others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub variables: Vec<Variable>,
    /// The changes, made in this order; each sees what those before it did.
    #[schemars(length(min = 1, max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub mutations: Vec<Mutation>,
    /// What an error means: one in an expression, or in the configuration, such as a param that does not exist.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// How long the API server waits for the policy's answer, in seconds: 1 to 30, and what the server was told if
    /// nothing is said. After that, `failurePolicy` decides. Policies that agree share a webhook; one that may take long
    /// is best alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("1 <= self && self <= 30").message("must be between 1 and 30"))]
    pub timeout_seconds: Option<i32>,
    /// Conditions that must hold for the policy to apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub match_conditions: Vec<MatchCondition>,
    /// Whether the policy is applied again when a later one changed the object.
    #[serde(default)]
    pub reinvocation_policy: ReinvocationPolicy,
    /// Puts the policy in force by itself, for every request it matches. Bindings of the policy apply beside it.
    #[serde(default)]
    pub self_binding: bool,
    /// The params of a policy that is in force by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param_ref: Option<ParamRef>,
    /// The place in the order of all mutations: the lowest goes first; among equals, the name decides.
    #[serde(default)]
    pub priority: i32,
    /// How bad it is that an object lacks the change; for reports.
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
    /// Why the policy exists and what it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10_000))]
    pub description: Option<String>,
    /// Whether objects that already exist are audited too: a finding is an object that the policy would change.
    #[serde(default = "crate::policy::api::validating::yes")]
    pub background: bool,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("(self.patchType == 'JSONPatch') == has(self.jsonPatch)")
        .message("jsonPatch must be specified if and only if patchType is JSONPatch"),
    validation = Rule::new("(self.patchType == 'ApplyConfiguration') == has(self.applyConfiguration)")
        .message("applyConfiguration must be specified if and only if patchType is ApplyConfiguration"),
)]
pub struct Mutation {
    /// Which of the two it is.
    pub patch_type: PatchType,
    /// A partial object that is merged into the object, as server-side apply does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply_configuration: Option<ApplyConfiguration>,
    /// A list of operations as in RFC 6902.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_patch: Option<JsonPatch>,
}

/// How a change is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PatchType {
    /// A partial object to be merged.
    ApplyConfiguration,
    /// A list of operations.
    #[serde(rename = "JSONPatch")]
    JsonPatch,
}

/// A partial object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyConfiguration {
    /// CEL that gives an `Object{..}`: what it states is set, and the rest stays.
    #[schemars(length(min = 1, max = 100_000), pattern(r"\S"))]
    pub expression: String,
}

/// A JSON patch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JsonPatch {
    /// CEL that gives a list of `JSONPatch{op, path, from, value}`. If a `test` operation fails, the object stays as it is.
    #[schemars(length(min = 1, max = 100_000), pattern(r"\S"))]
    pub expression: String,
}

/// Whether a policy is applied again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReinvocationPolicy {
    /// At most once a request.
    #[default]
    Never,
    /// Once more if a later policy changed the object.
    IfNeeded,
}
