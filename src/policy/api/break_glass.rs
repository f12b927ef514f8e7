//! BreakGlass: enforcement suspended, by whom, why and until when.

#![expect(clippy::duplicated_attributes, reason = "each printer column has a type of its own")]

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Suspends enforcement for a while: what would be denied is admitted, with a warning and an audit annotation.
///
/// `portcullis break-glass` makes one. Deleting it ends it early.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "portcullis.dev",
    version = "v1alpha1",
    kind = "BreakGlass",
    plural = "breakglasses",
    singular = "breakglass",
    category = "portcullis",
    status = "BreakGlassStatus",
    derive = "PartialEq",
    doc = "Suspends enforcement for a while: what would be denied is admitted, with a warning and an audit annotation.",
    printcolumn(
        name = "Active",
        type_ = "boolean",
        json_path = ".status.active",
        description = "Whether enforcement is suspended now."
    ),
    printcolumn(
        name = "Until",
        type_ = "string",
        json_path = ".spec.until",
        description = "When it ends by itself."
    ),
    printcolumn(
        name = "Policies",
        type_ = "string",
        json_path = ".spec.policies",
        description = "Which policies; none means all."
    ),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.by", description = "Who."),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".spec.reason",
        description = "Why."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BreakGlassSpec {
    /// Why, for everybody who asks later.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// When it ends by itself. It ends 24 hours after its creation in any case.
    #[schemars(schema_with = "crate::policy::api::break_glass::date_time")]
    pub until: Timestamp,
    /// The names of the policies, of any kind. None means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "set"))]
    pub policies: Vec<String>,
    /// Who asked for it, as the API server knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub by: Option<String>,
}

/// What became of a BreakGlass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakGlassStatus {
    /// Whether enforcement is suspended by it now.
    #[serde(default)]
    pub active: bool,
}

impl BreakGlassSpec {
    /// Whether it suspends a policy of this name.
    pub fn suspends(&self, policy: &str) -> bool {
        self.is_of_all() || self.policies.iter().any(|name| name == policy)
    }

    /// Whether it suspends every policy.
    pub fn is_of_all(&self) -> bool {
        self.policies.is_empty()
    }
}

pub(in crate::policy::api) fn date_time(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "format": "date-time"})
}
