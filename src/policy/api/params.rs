//! Params: the kind of object that a policy reads, and which objects a binding hands to it. How they are found is
//! decided in `policy::params`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::api::LabelSelector;

/// The kind of the objects that parameterise a policy; expressions see one of them as `params`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParamKind {
    /// Group and version, as in `v1` or `rules.example.com/v1`.
    #[schemars(length(min = 1))]
    pub api_version: String,
    /// The kind.
    #[schemars(length(min = 1))]
    pub kind: String,
}

/// Which objects are the params. Each of them is evaluated on its own, and all must pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.name) != has(self.selector)")
    .message("exactly one of name and selector must be specified"))]
pub struct ParamRef {
    /// The name of the one object. Excludes `selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub name: Option<String>,
    /// The namespace of the objects. Without it, params of a namespaced kind are those in the namespace of the request.
    /// Not allowed if the kind is cluster-scoped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Selects all objects with these labels. Excludes `name`. Empty selects everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// What happens when there is no such object: `Allow` treats the binding as if it did not match, `Deny` as an error
    /// that the policy's `failurePolicy` decides about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub parameter_not_found_action: Option<ParameterNotFoundAction>,
}

/// What happens when no param is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ParameterNotFoundAction {
    /// The binding does not apply.
    Allow,
    /// An error, subject to the policy's `failurePolicy`.
    Deny,
}
