//! The snapshot: all policies, bindings, params and namespaces, compiled and immutable. It is swapped whole and read
//! without locks.
//!
//! # Guarantees
//! - Building never fails: a broken policy is in it with its diagnostics, and every other policy works.
//! - A request costs what the policies that match it cost, however many exist.
//! - A policy that did not change is taken over from the previous snapshot, not compiled again.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::cel::Version;
use crate::policy::api::{
    BreakGlassSpec, FailurePolicy, NamedRule, PolicyBindingSpec, PolicyDiagnostic, PolicyKind,
    ValidationAction,
};
use crate::policy::compile::Policy;
use crate::policy::definitions::{Definitions, Named, Origin};
use crate::policy::facts::NamespaceObject;
use crate::policy::matching::{Equivalents, Index, Matcher, equivalents_of, is_excluded};
use crate::policy::params::{ParamSource, Params};
use crate::policy::request::Request;

/// The compiled set of everything that decisions depend on.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// By name.
    validating: Set,
    /// By priority, then name.
    mutating: Set,
    /// Bindings that name no policy there is.
    orphans: Vec<Binding>,
    pub(in crate::policy) params: Params,
    namespaces: HashMap<String, NamespaceObject>,
    pub(in crate::policy) equivalents: Equivalents,
    suspensions: Vec<BreakGlassSpec>,
}

/// Policies in the order in which they are asked.
#[derive(Debug, Default)]
struct Set {
    policies: Vec<Bound>,
    index: Index,
}

/// A policy with its bindings.
#[derive(Debug)]
pub struct Bound {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Where it applies, by name; first the policy's own, if it binds itself.
    pub bindings: Vec<Binding>,
    /// The hash of what was written.
    pub digest: [u8; 32],
    rules: Vec<NamedRule>,
}

/// Where and with which params a policy applies, and what it does.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Its name; none if the policy binds itself.
    pub name: Option<String>,
    /// The policy that it names.
    pub policy_name: String,
    /// Whose API it was written in.
    pub origin: Origin,
    /// `metadata.generation`, if it came from a cluster.
    pub generation: Option<i64>,
    /// Where it was read, if it came from a file.
    pub source: String,
    /// What happens to a request that fails.
    pub actions: Vec<ValidationAction>,
    /// What is wrong with it.
    pub diagnostics: Vec<PolicyDiagnostic>,
    pub(in crate::policy) matcher: Option<Matcher>,
    pub(in crate::policy) params: Option<ParamSource>,
    kind: Option<PolicyKind>,
    /// Absent where the policy's own say.
    own_actions: bool,
}

/// Whether a request is to be changed or judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Mutating policies.
    Mutate,
    /// Validating policies.
    Validate,
}

/// Which policies are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Those of this phase.
    pub phase: Phase,
    /// Only those with this failure policy: each failure policy is a webhook of its own, so that a request that both
    /// match is not changed twice.
    pub failure: Option<FailurePolicy>,
}

impl From<Phase> for Asked {
    fn from(phase: Phase) -> Asked {
        Asked { phase, failure: None }
    }
}

impl Asked {
    fn includes(self, bound: &Bound) -> bool {
        self.failure.is_none_or(|failure| bound.policy.failure_policy == failure)
    }
}

impl Snapshot {
    /// Compiles definitions. What did not change since `previous` is taken from there.
    pub fn build(
        definitions: Definitions,
        version: Version,
        previous: Option<&Snapshot>,
    ) -> Snapshot {
        let mut bindings: Vec<Binding> = definitions.bindings.iter().map(Binding::new).collect();
        bindings.sort_by(|a, b| a.name.cmp(&b.name));
        let reuse = |kind: PolicyKind, origin: Origin, name: &str, digest: &[u8; 32]| {
            let set = previous?.set(kind.phase());
            let same = |bound: &&Bound| {
                bound.digest == *digest
                    && bound.policy.origin == origin
                    && bound.policy.name == name
            };
            set.policies.iter().find(same).map(|bound| Arc::clone(&bound.policy))
        };
        let mut validating = Vec::with_capacity(definitions.validating.len());
        for written in &definitions.validating {
            let digest = digest(written, version);
            let policy =
                reuse(PolicyKind::ValidatingPolicy, written.origin, &written.name, &digest)
                    .unwrap_or_else(|| Arc::new(Policy::validating(written, version)));
            let spec = &written.spec;
            let own = spec.validation_actions.as_ref().map(|actions| {
                let params = spec.param_ref.as_ref();
                let params = params.map(|params| ParamSource::new(params, written.origin));
                Binding::own(written, actions.clone(), params)
            });
            let actions = spec.validation_actions.as_deref();
            let bindings = take_bindings(&mut bindings, &policy, own, actions);
            let rules = spec.match_constraints.resource_rules.clone();
            validating.push(Bound { policy, bindings, digest, rules });
        }
        let mut mutating = Vec::with_capacity(definitions.mutating.len());
        for written in &definitions.mutating {
            let digest = digest(written, version);
            let policy = reuse(PolicyKind::MutatingPolicy, written.origin, &written.name, &digest)
                .unwrap_or_else(|| Arc::new(Policy::mutating(written, version)));
            let spec = &written.spec;
            let own = spec.self_binding.then(|| {
                let params = spec.param_ref.as_ref();
                let params = params.map(|params| ParamSource::new(params, written.origin));
                Binding::own(written, Vec::new(), params)
            });
            let bindings = take_bindings(&mut bindings, &policy, own, None);
            let rules = spec.match_constraints.resource_rules.clone();
            mutating.push(Bound { policy, bindings, digest, rules });
        }
        let named = |bound: &Bound| (bound.policy.name.clone(), bound.policy.origin);
        validating.sort_by_key(named);
        mutating.sort_by_key(|bound| (bound.policy.priority, named(bound)));
        let taken = |binding: &&Binding| {
            let names = |bound: &Bound| binding.names(&bound.policy);
            !validating.iter().any(names) && !mutating.iter().any(names)
        };
        let orphans = bindings.iter().filter(taken).cloned().collect();
        Snapshot {
            validating: Set::new(validating),
            mutating: Set::new(mutating),
            orphans,
            params: Params::new(definitions.params, &definitions.param_kinds),
            namespaces: namespaces(&definitions.namespaces),
            equivalents: definitions.equivalents,
            suspensions: definitions.suspensions,
        }
    }

    /// What suspends a policy now, if anything does. The API server's own policies are not ours to suspend.
    pub fn suspends(&self, policy: &Policy) -> Option<&BreakGlassSpec> {
        let ours = policy.origin == Origin::Portcullis;
        self.suspensions.iter().find(|suspension| ours && suspension.suspends(&policy.name))
    }

    /// What suspends policies now.
    pub fn suspensions(&self) -> &[BreakGlassSpec] {
        &self.suspensions
    }

    /// The bound policies that can match the request, in the order in which they are asked. Nothing is asked about what
    /// no policy may see.
    pub fn matching<'s>(
        &'s self,
        asked: Asked,
        request: &Request<'_>,
    ) -> impl Iterator<Item = &'s Bound> + use<'s> {
        let set = self.set(asked.phase);
        let equivalents = equivalents_of(request, &self.equivalents).map(|(resource, _)| resource);
        let resources = std::iter::once(request.resource).chain(equivalents);
        let candidates = (!is_excluded(request.resource)).then(|| set.index.candidates(resources));
        let found = candidates.into_iter().flatten();
        found
            .filter_map(|place| set.policies.get(place as usize))
            .filter(move |bound| asked.includes(bound))
    }

    /// Every policy, with its bindings: first those that mutate, each kind in its order.
    pub fn policies(&self) -> impl Iterator<Item = &Bound> {
        self.mutating.policies.iter().chain(&self.validating.policies)
    }

    /// The bindings that name no policy there is.
    pub fn orphans(&self) -> &[Binding] {
        &self.orphans
    }

    /// The Namespace of this name, if it is known.
    pub fn namespace(&self, name: &str) -> Option<&NamespaceObject> {
        self.namespaces.get(name)
    }

    /// The resource rules of all policies of a phase that are bound at all, without repetition: what a webhook has to be
    /// called for.
    pub fn rules(&self, phase: Phase, origin: Origin) -> Vec<NamedRule> {
        let mut rules: Vec<NamedRule> = Vec::new();
        let bound = self.set(phase).policies.iter();
        for rule in bound
            .filter(|bound| bound.policy.origin == origin && !bound.bindings.is_empty())
            .flat_map(|bound| &bound.rules)
        {
            // Names are left to our own matching: a webhook rule has none.
            let rule = NamedRule { resource_names: Vec::new(), ..rule.clone() };
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        rules
    }

    /// The hash of all policies and bindings: the same for the same answers to the same requests, params aside.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for bound in self.policies() {
            hasher.update(bound.digest);
            hasher.update(bound.policy.name.as_bytes());
            for binding in &bound.bindings {
                let anywhere = Binding { source: String::new(), ..binding.clone() };
                hasher.update(format!("{anywhere:?}").as_bytes());
            }
        }
        for suspension in &self.suspensions {
            hasher.update(format!("{suspension:?}").as_bytes());
        }
        hasher.finalize().into()
    }

    fn set(&self, phase: Phase) -> &Set {
        match phase {
            Phase::Mutate => &self.mutating,
            Phase::Validate => &self.validating,
        }
    }
}

impl Bound {
    /// The resource rules of the policy, as written.
    pub fn rules(&self) -> &[NamedRule] {
        &self.rules
    }
}

impl PolicyKind {
    /// When policies of this kind are asked.
    pub fn phase(self) -> Phase {
        match self {
            PolicyKind::ValidatingPolicy => Phase::Validate,
            PolicyKind::MutatingPolicy => Phase::Mutate,
        }
    }
}

impl Set {
    /// Policies without a binding keep their place: they are in the snapshot, and the index does not find them.
    fn new(policies: Vec<Bound>) -> Set {
        let index = Index::new(
            policies
                .iter()
                .map(|bound| (!bound.bindings.is_empty()).then_some(&bound.policy.matcher)),
        );
        Set { policies, index }
    }
}

impl Binding {
    fn new(binding: &Named<PolicyBindingSpec>) -> Binding {
        let spec = &binding.spec;
        let matcher = spec.match_resources.as_ref().map(Matcher::new);
        let params = spec.param_ref.as_ref();
        let params = params.map(|params| ParamSource::new(params, binding.origin));
        Binding {
            name: Some(binding.name.clone()),
            policy_name: spec.policy_name.clone(),
            origin: binding.origin,
            generation: binding.generation,
            source: binding.source.clone(),
            actions: spec.validation_actions.clone().unwrap_or_default(),
            diagnostics: binding.refusals.clone(),
            matcher,
            params,
            kind: spec.policy_kind,
            own_actions: spec.validation_actions.is_some(),
        }
    }

    /// The binding that a policy is to itself. What is wrong with it is told of the policy.
    fn own<S>(
        policy: &Named<S>,
        actions: Vec<ValidationAction>,
        params: Option<ParamSource>,
    ) -> Binding {
        Binding {
            name: None,
            policy_name: policy.name.clone(),
            origin: policy.origin,
            generation: policy.generation,
            source: policy.source.clone(),
            actions,
            diagnostics: Vec::new(),
            matcher: None,
            params,
            kind: None,
            own_actions: true,
        }
    }

    /// The word for its kind, in its own API.
    pub fn kind_name(&self) -> &'static str {
        match (self.origin, self.kind) {
            (Origin::Portcullis, _) => "PolicyBinding",
            (Origin::Native, Some(PolicyKind::MutatingPolicy)) => "MutatingAdmissionPolicyBinding",
            (Origin::Native, _) => "ValidatingAdmissionPolicyBinding",
        }
    }

    /// Whether it names this policy.
    pub fn names(&self, policy: &Policy) -> bool {
        self.policy_name == policy.name
            && self.origin == policy.origin
            && self.kind.is_none_or(|kind| kind == policy.kind)
    }
}

/// The policy's own binding and those that name it.
fn take_bindings(
    bindings: &mut [Binding],
    policy: &Policy,
    own: Option<Binding>,
    actions: Option<&[ValidationAction]>,
) -> Vec<Binding> {
    let mut taken: Vec<Binding> = own.into_iter().collect();
    for binding in bindings.iter().filter(|binding| binding.names(policy)) {
        let mut binding = binding.clone();
        if !binding.own_actions && policy.kind == PolicyKind::ValidatingPolicy {
            binding.actions =
                actions.map_or_else(|| vec![ValidationAction::Deny], <[ValidationAction]>::to_vec);
        }
        taken.push(binding);
    }
    taken
}

fn digest<S: Serialize>(written: &Named<S>, version: Version) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(format!("{version} {:?} ", written.generation));
    hasher.update(serde_json::to_vec(&(&written.spec, &written.refusals)).unwrap_or_default());
    hasher.finalize().into()
}

fn namespaces(documents: &[Arc<crate::json::Document>]) -> HashMap<String, NamespaceObject> {
    let named = |document: &Arc<crate::json::Document>| {
        let name = document.root().get("metadata")?.get("name")?.as_str()?.to_owned();
        Some((name, NamespaceObject::new(document)))
    };
    documents.iter().filter_map(named).collect()
}
