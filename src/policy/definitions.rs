//! What was read, from files or from a cluster, before anything is compiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::json::Document;
use crate::policy::api::{
    BreakGlassSpec, ImagePolicySpec, MutatingPolicySpec, PolicyBindingSpec, PolicyDiagnostic,
    SecretKeyRef, TrustRootSpec, ValidatingPolicySpec,
};
use crate::policy::matching::Equivalents;
use crate::schema::Catalog;

/// Whose API a policy or binding was written in. A binding applies only to policies of its own origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// `admissionregistration.k8s.io`.
    Native,
    /// `portcullis.dev`.
    Portcullis,
}

/// A policy or a binding with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<S> {
    /// Whose API it is.
    pub origin: Origin,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.generation`, if it came from a cluster.
    pub generation: Option<i64>,
    /// Where it was read, as in `policies/labels.yaml:12`; empty if it came from a cluster.
    pub source: String,
    /// What the API server would refuse in it, whatever its expressions.
    pub refusals: Vec<PolicyDiagnostic>,
    /// What it says.
    pub spec: Arc<S>,
    /// What it said when it last compiled, if it is known and another.
    pub last_good: Option<Arc<S>>,
}

/// Everything that decisions depend on.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// Validating policies.
    pub validating: Vec<Named<ValidatingPolicySpec>>,
    /// Mutating policies.
    pub mutating: Vec<Named<MutatingPolicySpec>>,
    /// Image policies.
    pub images: Vec<Named<ImagePolicySpec>>,
    /// Trust roots of image policies.
    pub trust_roots: Vec<Named<TrustRootSpec>>,
    /// Whether image policies are asked about objects that exist: somebody asks registries for that.
    pub audits_images: bool,
    /// Public keys in Secrets that image policies name, or why they are not known. Without, they are looked for among the
    /// objects.
    pub keys: BTreeMap<SecretKeyRef, Result<String, String>>,
    /// Bindings of policies.
    pub bindings: Vec<Named<PolicyBindingSpec>>,
    /// Objects of any kind, among them the params.
    pub params: Vec<Arc<Document>>,
    /// Namespace objects.
    pub namespaces: Vec<Arc<Document>>,
    /// What is known of the kinds that policies name as `paramKind`. A kind that is not listed is namespaced if an object
    /// of it is, and is taken to exist.
    pub param_kinds: Vec<ParamKindFact>,
    /// Which resources serve the same objects.
    pub equivalents: Equivalents,
    /// What suspends policies of ours now.
    pub suspensions: Vec<BreakGlassSpec>,
    /// The schemas that the API server has, if it was asked. Without, those of built-in kinds are known, and those of the
    /// CustomResourceDefinitions among the objects.
    pub schemas: Option<Arc<Catalog>>,
}

impl Definitions {
    /// The schemas that objects are merged by.
    pub(in crate::policy) fn merge_schemas(&self) -> Arc<Catalog> {
        let known = self.schemas.clone().unwrap_or_else(Catalog::built_in_shared);
        let mut custom =
            self.params.iter().filter(|object| Catalog::is_definition(object)).peekable();
        if custom.peek().is_none() {
            return known;
        }
        let mut schemas = Catalog::clone(&known);
        custom.for_each(|definition| schemas.add_custom(definition));
        Arc::new(schemas)
    }
}

/// What is known of a kind that policies name as `paramKind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamKindFact {
    /// Group and version, as in `v1` or `rules.example.com/v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// Where its objects live.
    pub scope: ParamScope,
}

/// Where the objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamScope {
    /// In no namespace.
    Cluster,
    /// Each in a namespace.
    Namespaced,
    /// Nowhere: nobody serves this kind.
    Unknown,
}
