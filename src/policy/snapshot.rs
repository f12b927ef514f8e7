//! The snapshot: all policies, bindings, params and namespaces, compiled and immutable. It is swapped whole and read
//! without locks.
//!
//! # Guarantees
//! - Building never fails: a broken policy is in it with its diagnostics, and every other policy works.
//! - A request costs what the policies that match it cost, however many exist.
//! - A policy that did not change is taken over from the previous snapshot, not compiled again.
//! - A policy that compiled before and no longer does is taken over in its last good form.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::cel::Version;
use crate::policy::api::{BreakGlassSpec, NamedRule, PolicyKind};
use crate::policy::bound::{Bindings, bind};
use crate::policy::compile::Policy;
use crate::policy::definitions::{Definitions, Origin, ParamKindFact};
use crate::policy::entry::{Entry, Moves};
use crate::policy::facts::NamespaceObject;
use crate::policy::images::resolved;
use crate::policy::kept::Kept;
use crate::policy::matching::{Equivalents, Index, equivalents_of, is_excluded};
use crate::policy::pace::Stopwatch;
use crate::policy::params::Params;
use crate::policy::request::Request;
use crate::schema::Catalog;

pub use crate::policy::bound::{Binding, Bound};

/// The compiled set of everything that decisions depend on.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// By name.
    validating: Set,
    /// By priority, then name.
    mutating: Set,
    /// Those of the validating ones that also change objects: they pin images to digests, after everything else.
    pinning: Index,
    /// Bindings that name no policy there is.
    orphans: Vec<Binding>,
    params: Kept<Params, Vec<ParamKindFact>>,
    namespaces: Kept<HashMap<String, NamespaceObject>>,
    pub(in crate::policy) equivalents: Equivalents,
    suspensions: Vec<BreakGlassSpec>,
    /// By which objects are merged; none if no policy merges any.
    pub(in crate::policy) schemas: Option<Arc<Catalog>>,
    /// Whose dialect it was compiled in.
    version: Version,
    digest: [u8; 32],
}

/// Policies in the order in which they are asked.
#[derive(Debug, Default)]
struct Set {
    policies: Vec<Bound>,
    index: Index,
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
#[derive(Clone, Copy, Debug)]
pub struct Asked<'w> {
    /// Those of this phase.
    pub phase: Phase,
    /// Only those of this webhook: a request that several match is not changed twice.
    pub entry: Option<Entry>,
    /// Those too that were of this webhook before they were edited.
    pub moves: Option<&'w Moves>,
    /// How long there is. Without it, as long as it takes.
    pub stopwatch: Option<&'w dyn Stopwatch>,
    /// Only those that it chooses.
    pub choice: Option<&'w dyn Choice>,
}

/// Chooses policies.
pub trait Choice: fmt::Debug + Sync {
    /// Whether a policy is asked.
    fn includes(&self, bound: &Bound) -> bool;
}

impl From<Phase> for Asked<'_> {
    fn from(phase: Phase) -> Self {
        Asked { phase, entry: None, moves: None, stopwatch: None, choice: None }
    }
}

impl Snapshot {
    /// Compiles definitions. What did not change since `previous` is taken from there.
    pub fn build(
        definitions: Definitions,
        version: Version,
        previous: Option<&Snapshot>,
    ) -> Snapshot {
        let bindings = Bindings::new(&definitions.bindings);
        let previous = previous.filter(|previous| previous.version == version);
        let before =
            |phase| previous.into_iter().flat_map(move |snapshot| &snapshot.set(phase).policies);
        let mut validating =
            bind(&definitions.validating, &bindings, before(Phase::Validate), version);
        let images = resolved(&definitions);
        validating.extend(bind(&images, &bindings, before(Phase::Validate), version));
        let mut mutating = bind(&definitions.mutating, &bindings, before(Phase::Mutate), version);
        let named = |a: &Bound, b: &Bound| {
            (&a.policy.name, a.policy.origin).cmp(&(&b.policy.name, b.policy.origin))
        };
        validating.sort_by(named);
        mutating
            .sort_by(|a, b| a.policy.priority.cmp(&b.policy.priority).then_with(|| named(a, b)));
        let orphans = bindings.orphans(validating.iter().chain(&mutating));
        let merges = mutating.iter().any(|bound: &Bound| bound.policy.merges());
        let schemas = merges.then(|| definitions.merge_schemas());
        let pinning = index(&validating, |bound| bound.policy.is_of(Phase::Mutate));
        let mut snapshot = Snapshot {
            validating: Set::new(validating),
            pinning,
            schemas,
            mutating: Set::new(mutating),
            orphans,
            params: Kept::new(
                definitions.params,
                definitions.param_kinds,
                previous.map(|previous| &previous.params),
                |objects, facts| Params::new(objects, facts),
            ),
            namespaces: Kept::new(
                definitions.namespaces,
                (),
                previous.map(|previous| &previous.namespaces),
                |documents, ()| namespaces(documents),
            ),
            equivalents: definitions.equivalents,
            suspensions: definitions.suspensions,
            version,
            digest: [0; 32],
        };
        snapshot.digest = snapshot.hash();
        snapshot
    }

    pub(in crate::policy) fn params(&self) -> &Params {
        self.params.made()
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
    pub fn matching<'s, 'w>(
        &'s self,
        asked: Asked<'w>,
        request: &Request<'_>,
    ) -> impl Iterator<Item = &'s Bound> + use<'s, 'w> {
        let set = self.set(asked.phase);
        let Asked { entry, moves, choice, .. } = asked;
        let of_entry = move |bound: &Bound| {
            let Some(entry) = entry else { return true };
            entry.takes(bound.policy.terms()) || moves.is_some_and(|moves| moves.left(entry, bound))
        };
        let includes = move |bound: &Bound| {
            of_entry(bound) && choice.is_none_or(|choice| choice.includes(bound))
        };
        let candidates = |set: &'s Set, index: &'s Index| {
            let equivalents = equivalents_of(request, &self.equivalents).map(|(other, _)| other);
            let places = index.candidates(std::iter::once(request.resource).chain(equivalents));
            places.into_iter().filter_map(|place| set.policies.get(place as usize))
        };
        let may_be_seen = !is_excluded(request.resource);
        let found = may_be_seen.then(|| candidates(set, &set.index));
        let pins = may_be_seen && asked.phase == Phase::Mutate;
        let pinning = pins.then(|| candidates(&self.validating, &self.pinning));
        let found = found.into_iter().flatten().chain(pinning.into_iter().flatten());
        found.filter(move |bound| includes(bound))
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
        self.namespaces.made().get(name)
    }

    /// Every Namespace that is known, by name.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &NamespaceObject)> {
        self.namespaces.made().iter().map(|(name, object)| (name.as_str(), object))
    }

    /// The hash of all that a policy's answer about an object hangs on, namespaces aside: what it says, its bindings and
    /// their params.
    pub fn identity(&self, bound: &Bound) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(bound.digest);
        for binding in &bound.bindings {
            hasher.update(told(binding));
            if let (Some(kind), Some(source)) = (&bound.policy.param_kind, &binding.params) {
                self.params().identify(kind, source, |part| hasher.update(part));
            }
        }
        hasher.finalize().into()
    }

    /// Whether all policies, bindings and params are those of the other one, so that every identity is the same. It may be
    /// so too if the answer is no.
    pub fn has_policies_of(&self, other: &Snapshot) -> bool {
        self.digest == other.digest && self.params.is_same(&other.params)
    }

    /// The resource rules of all policies of a phase that are bound at all, without repetition: what a webhook has to be
    /// called for.
    pub fn rules(&self, phase: Phase, origin: Origin) -> Vec<NamedRule> {
        let mut rules: Vec<NamedRule> = Vec::new();
        for rule in self
            .policies()
            .filter(|bound| bound.policy.origin == origin && !bound.bindings.is_empty())
            .filter(|bound| bound.policy.is_of(phase))
            .flat_map(Bound::rules)
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
        self.digest
    }

    fn hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for bound in self.policies() {
            hasher.update(bound.digest);
            hasher.update(bound.policy.name.as_bytes());
            bound.bindings.iter().for_each(|binding| hasher.update(told(binding)));
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

/// What a binding says, wherever it was read.
fn told(binding: &Binding) -> String {
    if binding.name.is_none() {
        // What else it says is the policy's.
        return format!("{:?}", (&binding.actions, &binding.params));
    }
    format!("{:?}", Binding { source: String::new(), ..binding.clone() })
}

impl PolicyKind {
    /// When policies of this kind give their verdict.
    pub fn phase(self) -> Phase {
        match self {
            PolicyKind::ValidatingPolicy | PolicyKind::ImagePolicy => Phase::Validate,
            PolicyKind::MutatingPolicy => Phase::Mutate,
        }
    }
}

impl Set {
    /// Policies without a binding keep their place: they are in the snapshot, and the index does not find them.
    fn new(policies: Vec<Bound>) -> Set {
        let index = index(&policies, |_| true);
        Set { policies, index }
    }
}

/// By which requests those policies are found that are bound and meant.
fn index(policies: &[Bound], is_meant: impl Fn(&Bound) -> bool) -> Index {
    let found = |bound: &Bound| !bound.bindings.is_empty() && is_meant(bound);
    Index::new(policies.iter().map(|bound| found(bound).then_some(&bound.policy.matcher)))
}

fn namespaces(documents: &[Arc<crate::json::Document>]) -> HashMap<String, NamespaceObject> {
    let named = |document: &Arc<crate::json::Document>| {
        let name = document.root().get("metadata")?.get("name")?.as_str()?.to_owned();
        Some((name, NamespaceObject::new(document)))
    };
    documents.iter().filter_map(named).collect()
}
