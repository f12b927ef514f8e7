//! An ImagePolicy with everything that decides about its answers: the trust roots and Secrets that it names, and what it is
//! about where it does not say.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::cel::Version;
use crate::policy::api::{
    ImagePolicySpec, MatchResources, NamedRule, Operation, ParamRef, TrustRootSpec,
    ValidationAction,
};
use crate::policy::bound::{Bound, Form, Spec};
use crate::policy::compile::Policy;
use crate::policy::definitions::{Definitions, Named};
use crate::policy::images::keys::Keys;

/// A policy with its trust roots, and the keys that it has in Secrets.
#[derive(Clone, Debug, Serialize)]
pub(in crate::policy) struct ResolvedImages {
    pub policy: ImagePolicySpec,
    pub constraints: MatchResources,
    pub roots: BTreeMap<String, Arc<TrustRootSpec>>,
    #[serde(serialize_with = "in_order")]
    pub keys: Keys,
    /// Whether somebody asks registries about objects that exist.
    pub is_audited: bool,
}

/// JSON has no keys but texts.
fn in_order<S: Serializer>(keys: &Keys, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(keys)
}

/// Every image policy, with all trust roots: a policy is compiled again when one of them changes.
pub(in crate::policy) fn resolved(definitions: &Definitions) -> Vec<Named<ResolvedImages>> {
    let roots: BTreeMap<String, Arc<TrustRootSpec>> = definitions
        .trust_roots
        .iter()
        .map(|root| (root.name.clone(), Arc::clone(&root.spec)))
        .collect();
    let resolve = |written: &Named<ImagePolicySpec>| {
        let policy = ImagePolicySpec::clone(&written.spec);
        let constraints = policy.constraints();
        let keys = definitions.keys_for(&policy);
        Named {
            origin: written.origin,
            name: written.name.clone(),
            generation: written.generation,
            source: written.source.clone(),
            refusals: written.refusals.clone(),
            spec: Arc::new(ResolvedImages {
                policy,
                constraints,
                roots: roots.clone(),
                keys,
                is_audited: definitions.audits_images,
            }),
            last_good: None,
        }
    };
    definitions.images.iter().map(resolve).collect()
}

impl ImagePolicySpec {
    /// Which requests the policy is about.
    pub fn constraints(&self) -> MatchResources {
        self.match_constraints.clone().unwrap_or_else(everything_with_images)
    }
}

/// Pods, with the containers that are added later, and what makes Pods.
fn everything_with_images() -> MatchResources {
    let rule = |group: &str, resources: &[&str]| NamedRule {
        resource_names: Vec::new(),
        operations: vec![Operation::Create, Operation::Update],
        api_groups: vec![group.to_owned()],
        api_versions: vec!["*".to_owned()],
        resources: resources.iter().map(|&resource| resource.to_owned()).collect(),
        ..NamedRule::default()
    };
    MatchResources {
        resource_rules: vec![
            rule(
                "",
                &["pods", "pods/ephemeralcontainers", "podtemplates", "replicationcontrollers"],
            ),
            rule("apps", &["deployments", "replicasets", "statefulsets", "daemonsets"]),
            rule("batch", &["jobs", "cronjobs"]),
        ],
        ..MatchResources::default()
    }
}

impl Form for ResolvedImages {
    fn compile(written: &Named<Self>, version: Version) -> Policy {
        Policy::images(written, version)
    }

    fn self_binding(&self) -> Option<Vec<ValidationAction>> {
        let actions = self.policy.validation_actions.clone();
        Some(actions.unwrap_or_else(|| vec![ValidationAction::Deny]))
    }

    fn actions(&self) -> Option<&[ValidationAction]> {
        self.policy.validation_actions.as_deref()
    }

    fn param_ref(&self) -> Option<&ParamRef> {
        None
    }

    fn of(bound: &Bound) -> Option<&Arc<Self>> {
        bound.image_spec()
    }

    fn keep(spec: Arc<Self>) -> Spec {
        Spec::Images(spec)
    }

    /// A policy is trusted by the roots and keys that there are now: one that was taken away is not to be trusted in an
    /// earlier form.
    fn again(&self, written: &Self) -> Option<Self> {
        let ResolvedImages { policy, constraints, .. } = self.clone();
        Some(ResolvedImages { policy, constraints, ..written.clone() })
    }
}
