//! Which requests a policy or a binding is about: resource rules and label selectors, as written. Whether a request
//! matches them is decided in `policy::matching`.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which requests are meant. A request matches if both selectors match, no exclude rule matches and, if there are
/// resource rules, at least one of them matches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatchResources {
    /// Selects by the labels of the object's namespace; for a Namespace, by its own labels. Other cluster-scoped
    /// objects always match. Empty selects everything.
    #[serde(default)]
    pub namespace_selector: LabelSelector,
    /// Selects by the labels of the object or of the old object: either is enough. An object that does not exist (the
    /// old one of a CREATE, the new one of a DELETE) matches no selector but the empty one, which selects everything.
    /// Users set labels themselves, so this is no way to exempt what must not be exempted.
    #[serde(default)]
    pub object_selector: LabelSelector,
    /// The operations and resources that are meant; one match is enough. In a binding, none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub resource_rules: Vec<NamedRule>,
    /// The operations and resources that are not meant, whatever the resource rules say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub exclude_resource_rules: Vec<NamedRule>,
    /// `Exact` matches only the groups and versions that the rules name. `Equivalent` also matches a request for the
    /// same objects through another group or version.
    #[serde(default)]
    pub match_policy: MatchPolicy,
}

/// Operations, on resources, optionally only some names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("size(self.operations) == 1 || !('*' in self.operations)")
    .message("if '*' is present, must not specify other operations"))]
pub struct NamedRule {
    /// Only objects with one of these names. None means all. An object that is created with `generateName` has no name
    /// yet and matches none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub resource_names: Vec<String>,
    /// CREATE, UPDATE, DELETE, CONNECT, or `*` for all of them.
    #[schemars(length(min = 1, max = 5), extend("x-kubernetes-list-type" = "atomic"))]
    pub operations: Vec<Operation>,
    /// API groups; the core group is the empty string; `*` means all.
    #[schemars(length(min = 1, max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub api_groups: Vec<String>,
    /// API versions; `*` means all.
    #[schemars(length(min = 1, max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub api_versions: Vec<String>,
    /// Resources, in lower-case plural. `pods` is only pods, `pods/log` only that subresource, `pods/*` pods and all
    /// their subresources, `*` all resources without subresources, `*/scale` that subresource of all, `*/*` everything.
    #[schemars(length(min = 1, max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub resources: Vec<String>,
    /// `Cluster` means only cluster-scoped objects, Namespaces among them; `Namespaced` only the others; `*` both.
    #[serde(default)]
    pub scope: Scope,
}

/// What is done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Operation {
    /// Create.
    #[serde(rename = "CREATE")]
    Create,
    /// Update.
    #[serde(rename = "UPDATE")]
    Update,
    /// Delete.
    #[serde(rename = "DELETE")]
    Delete,
    /// Connect, as exec and port-forward do.
    #[serde(rename = "CONNECT")]
    Connect,
    /// All of them.
    #[serde(rename = "*")]
    All,
}

impl Operation {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
            Operation::All => "*",
        }
    }
}

/// Which objects a rule covers, by where they live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scope {
    /// Cluster-scoped objects only.
    Cluster,
    /// Objects in a namespace only.
    Namespaced,
    /// Both.
    #[default]
    #[serde(rename = "*")]
    All,
}

/// How literally the groups and versions of a rule are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MatchPolicy {
    /// To the letter.
    Exact,
    /// Whatever serves the same objects.
    #[default]
    Equivalent,
}

/// A query over labels. All its terms must hold; without terms it selects everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels that must be there with exactly this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Terms with an operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One term of a label selector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelectorRequirement {
    /// The label.
    pub key: String,
    /// How the label's value relates to `values`.
    pub operator: SelectorOperator,
    /// The values: at least one for `In` and `NotIn`, none for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

/// How a label relates to a set of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectorOperator {
    /// The label's value is one of them.
    In,
    /// The label is absent, or its value is none of them.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}
