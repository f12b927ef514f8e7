//! What is in force: a policy with its bindings. A policy that no longer compiles stays in its last good form, and
//! everything that says how it applies stays with it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::cel::Version;
use crate::policy::api::{
    MatchCondition, MatchResources, MutatingPolicySpec, NamedRule, ParamRef, PolicyBindingSpec,
    PolicyDiagnostic, PolicyKind, ValidatingPolicySpec, ValidationAction,
};
use crate::policy::compile::{Policy, State};
use crate::policy::definitions::{Named, Origin};
use crate::policy::images::ResolvedImages;
use crate::policy::matching::Matcher;
use crate::policy::params::ParamSource;
use crate::policy::snapshot::Phase;

/// A policy with its bindings.
#[derive(Debug)]
pub struct Bound {
    /// The policy, in the form in which it is enforced.
    pub policy: Arc<Policy>,
    /// Where it applies, by name; first the policy's own, if it binds itself.
    pub bindings: Vec<Binding>,
    /// The hash of what was written.
    pub digest: [u8; 32],
    /// What was written since, if that does not compile.
    edit: Option<Edit>,
    /// What the enforced form says.
    spec: Spec,
}

/// What somebody wrote that does not compile, in place of something that did.
#[derive(Clone, Debug)]
struct Edit {
    generation: Option<i64>,
    diagnostics: Vec<PolicyDiagnostic>,
}

/// What a policy of either kind says.
#[derive(Clone, Debug)]
pub(in crate::policy) enum Spec {
    Validating(Arc<ValidatingPolicySpec>),
    Mutating(Arc<MutatingPolicySpec>),
    Images(Arc<ResolvedImages>),
}

impl Bound {
    /// Which requests the policy is about, as written.
    pub fn constraints(&self) -> &MatchResources {
        match &self.spec {
            Spec::Validating(spec) => &spec.match_constraints,
            Spec::Mutating(spec) => &spec.match_constraints,
            Spec::Images(spec) => &spec.constraints,
        }
    }

    /// The conditions that must hold for the policy to apply, as written.
    pub fn match_conditions(&self) -> &[MatchCondition] {
        match &self.spec {
            Spec::Validating(spec) => &spec.match_conditions,
            Spec::Mutating(spec) => &spec.match_conditions,
            Spec::Images(_) => &[],
        }
    }

    /// The resource rules of the policy, as written.
    pub fn rules(&self) -> &[NamedRule] {
        &self.constraints().resource_rules
    }

    /// What a validating policy says, in the form in which it is enforced.
    pub fn validating_spec(&self) -> Option<&Arc<ValidatingPolicySpec>> {
        match &self.spec {
            Spec::Validating(spec) => Some(spec),
            Spec::Mutating(_) | Spec::Images(_) => None,
        }
    }

    /// What an image policy says.
    pub(in crate::policy) fn image_spec(&self) -> Option<&Arc<ResolvedImages>> {
        match &self.spec {
            Spec::Images(spec) => Some(spec),
            Spec::Validating(_) | Spec::Mutating(_) => None,
        }
    }

    /// Whether what was written last is in order.
    pub fn state(&self) -> State<'_> {
        match &self.edit {
            Some(edit) => State::Broken(&edit.diagnostics),
            None => self.policy.state(),
        }
    }

    /// The generation of what was written last.
    pub fn generation(&self) -> Option<i64> {
        self.edit.as_ref().map_or(self.policy.generation, |edit| edit.generation)
    }

    /// What the policy said when it last compiled, as JSON, if that is what is enforced in place of what was written.
    pub fn last_good(&self) -> Option<serde_json::Value> {
        self.edit.as_ref()?;
        let value = match &self.spec {
            Spec::Validating(spec) => serde_json::to_value(&**spec),
            Spec::Mutating(spec) => serde_json::to_value(&**spec),
            Spec::Images(spec) => serde_json::to_value(&spec.policy),
        };
        value.ok()
    }
}

/// What a spec says about how its policy applies: the two kinds differ in that.
pub(in crate::policy) trait Form: Clone + Serialize {
    /// Compiles a policy.
    fn compile(written: &Named<Self>, version: Version) -> Policy;
    /// What happens to a request that fails, if the policy binds itself.
    fn self_binding(&self) -> Option<Vec<ValidationAction>>;
    /// What happens if a binding does not say, if the policy does.
    fn actions(&self) -> Option<&[ValidationAction]>;
    /// The params of a policy that binds itself.
    fn param_ref(&self) -> Option<&ParamRef>;
    /// Itself, of a policy that is in force.
    fn of(bound: &Bound) -> Option<&Arc<Self>>;
    /// Itself, to be kept.
    fn keep(spec: Arc<Self>) -> Spec;
    /// What an earlier form means beside what was written, if that is not what it meant then.
    fn again(&self, _written: &Self) -> Option<Self> {
        None
    }
}

impl Form for ValidatingPolicySpec {
    fn compile(written: &Named<Self>, version: Version) -> Policy {
        Policy::validating(written, version)
    }

    fn self_binding(&self) -> Option<Vec<ValidationAction>> {
        self.validation_actions.clone()
    }

    fn actions(&self) -> Option<&[ValidationAction]> {
        self.validation_actions.as_deref()
    }

    fn param_ref(&self) -> Option<&ParamRef> {
        self.param_ref.as_ref()
    }

    fn of(bound: &Bound) -> Option<&Arc<Self>> {
        bound.validating_spec()
    }

    fn keep(spec: Arc<Self>) -> Spec {
        Spec::Validating(spec)
    }
}

impl Form for MutatingPolicySpec {
    fn compile(written: &Named<Self>, version: Version) -> Policy {
        Policy::mutating(written, version)
    }

    fn self_binding(&self) -> Option<Vec<ValidationAction>> {
        self.self_binding.then(Vec::new)
    }

    fn actions(&self) -> Option<&[ValidationAction]> {
        None
    }

    fn param_ref(&self) -> Option<&ParamRef> {
        self.param_ref.as_ref()
    }

    fn of(bound: &Bound) -> Option<&Arc<Self>> {
        match &bound.spec {
            Spec::Mutating(spec) => Some(spec),
            Spec::Validating(_) | Spec::Images(_) => None,
        }
    }

    fn keep(spec: Arc<Self>) -> Spec {
        Spec::Mutating(spec)
    }
}

/// The enforced form of a policy.
struct Enforced<S> {
    policy: Arc<Policy>,
    spec: Arc<S>,
    edit: Option<Edit>,
}

impl Bound {
    /// Whether it was made of the very same document: most of a set is, after an edit, and to hash it again would take
    /// longer than all the rest.
    fn is_of<S: Form>(&self, written: &Named<S>) -> bool {
        let same = |spec: &Arc<S>| Arc::ptr_eq(spec, &written.spec);
        self.edit.is_none()
            && self.policy.generation == written.generation
            && S::of(self).is_some_and(same)
    }
}

/// Compiles policies, or takes them over from those that were in force, and gives each its bindings.
pub(in crate::policy) fn bind<'p, S: Form + 'static>(
    written: &[Named<S>],
    bindings: &Bindings,
    previous: impl Iterator<Item = &'p Bound>,
    version: Version,
) -> Vec<Bound> {
    let previous: HashMap<(Origin, &str), &Bound> = previous
        .filter(|bound| S::of(bound).is_some())
        .map(|bound| ((bound.policy.origin, bound.policy.name.as_str()), bound))
        .collect();
    let bind = |written: &Named<S>| {
        let before = previous.get(&(written.origin, written.name.as_str())).copied();
        let digest = match before.filter(|before| before.is_of(written)) {
            Some(before) => before.digest,
            None => digest(written, version),
        };
        let Enforced { policy, spec, edit } = enforced(written, &digest, before, version);
        let own = spec.self_binding().map(|actions| {
            let params = spec.param_ref();
            let params = params.map(|params| ParamSource::new(params, written.origin));
            Binding::own(written, actions, params)
        });
        let bindings = bindings.of(&policy, own, spec.actions());
        Bound { policy, bindings, digest, edit, spec: S::keep(spec) }
    };
    written.iter().map(bind).collect()
}

/// What was written, if it compiles; else the last form that did, if there is one.
fn enforced<S: Form>(
    written: &Named<S>,
    digest: &[u8; 32],
    before: Option<&Bound>,
    version: Version,
) -> Enforced<S> {
    let taken_over = |bound: &Bound, edit: Option<Edit>| {
        let spec = Arc::clone(S::of(bound)?);
        Some(Enforced { policy: Arc::clone(&bound.policy), spec, edit })
    };
    let same = before.filter(|bound| bound.digest == *digest);
    if let Some(enforced) = same.and_then(|bound| taken_over(bound, bound.edit.clone())) {
        return enforced;
    }
    let policy = S::compile(written, version);
    let State::Broken(diagnostics) = policy.state() else {
        return Enforced { policy: Arc::new(policy), spec: Arc::clone(&written.spec), edit: None };
    };
    let edit = Edit { generation: written.generation, diagnostics: diagnostics.to_vec() };
    let compiled = |spec: &Arc<S>, generation| {
        let form =
            Named { spec: Arc::clone(spec), refusals: Vec::new(), generation, ..written.clone() };
        (S::compile(&form, version), Arc::clone(spec))
    };
    let good = before.filter(|bound| bound.policy.state() == State::Active);
    let earlier = good.and_then(|bound| Some((S::of(bound)?, bound)));
    let remembered = match earlier.map(|(spec, bound)| (spec.again(&written.spec), bound)) {
        Some((Some(spec), bound)) => Some(compiled(&Arc::new(spec), bound.policy.generation)),
        Some((None, bound)) => {
            if let Some(enforced) = taken_over(bound, Some(edit.clone())) {
                return enforced;
            }
            None
        }
        // Nobody remembers which generation it was.
        None => written.last_good.as_ref().map(|spec| compiled(spec, None)),
    };
    match remembered.filter(|(policy, _)| policy.state() == State::Active) {
        Some((policy, spec)) => Enforced { policy: Arc::new(policy), spec, edit: Some(edit) },
        None => Enforced { policy: Arc::new(policy), spec: Arc::clone(&written.spec), edit: None },
    }
}

fn digest<S: Serialize>(written: &Named<S>, version: Version) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(format!("{version} {:?} ", written.generation));
    hasher.update(serde_json::to_vec(&(&*written.spec, &written.refusals)).unwrap_or_default());
    hasher.finalize().into()
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
    pub(in crate::policy) kind: Option<PolicyKind>,
    /// Absent where the policy's own say.
    pub(in crate::policy) own_actions: bool,
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
            && match self.kind {
                Some(kind) => kind == policy.kind,
                // It is in force by itself: a binding that was written for another policy of its name is not to change that.
                None => policy.kind != PolicyKind::ImagePolicy,
            }
    }
}

/// All bindings, by the name of the policy that they name; those of one policy are in the order of their own names.
#[derive(Debug, Default)]
pub(in crate::policy) struct Bindings(HashMap<String, Vec<Binding>>);

impl Bindings {
    pub fn new(written: &[Named<PolicyBindingSpec>]) -> Bindings {
        let mut by_policy: HashMap<String, Vec<Binding>> = HashMap::new();
        for binding in written.iter().map(Binding::new) {
            by_policy.entry(binding.policy_name.clone()).or_default().push(binding);
        }
        for bindings in by_policy.values_mut() {
            bindings.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Bindings(by_policy)
    }

    /// The policy's own binding and those that name it.
    fn of(
        &self,
        policy: &Policy,
        own: Option<Binding>,
        actions: Option<&[ValidationAction]>,
    ) -> Vec<Binding> {
        let named = self.0.get(&policy.name).into_iter().flatten();
        let named = named.filter(|binding| binding.names(policy)).cloned().map(|mut binding| {
            if !binding.own_actions && policy.kind.phase() == Phase::Validate {
                binding.actions = actions.unwrap_or(&[ValidationAction::Deny]).to_vec();
            }
            binding
        });
        own.into_iter().chain(named).collect()
    }

    /// Those that name none of these policies, by name.
    pub fn orphans<'b>(self, bound: impl Iterator<Item = &'b Bound>) -> Vec<Binding> {
        let mut policies: HashMap<&str, Vec<&Policy>> = HashMap::new();
        for bound in bound {
            policies.entry(&bound.policy.name).or_default().push(&bound.policy);
        }
        let is_orphan = |binding: &Binding| {
            let named = policies.get(binding.policy_name.as_str());
            !named.is_some_and(|policies| policies.iter().any(|policy| binding.names(policy)))
        };
        let mut orphans: Vec<Binding> = self.0.into_values().flatten().filter(is_orphan).collect();
        orphans.sort_by(|a, b| a.name.cmp(&b.name));
        orphans
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use crate::cel::Version;
    use crate::policy::Definitions;
    use crate::policy::compile::State;
    use crate::policy::manifest::{Manifest, read};
    use crate::policy::snapshot::Snapshot;

    /// A policy of this generation; `remembered` is the expression of the form that its status remembers.
    fn build(
        generation: u32,
        expression: &str,
        remembered: Option<&str>,
        previous: Option<&Snapshot>,
    ) -> Snapshot {
        let policy = |expression: &str| {
            let text = format!(
                "{{apiVersion: portcullis.dev/v1alpha1, kind: ValidatingPolicy, metadata: {{name: p, generation: \
                 {generation}}}, spec: {{validationActions: [Deny], matchConstraints: {{resourceRules: [{{apiGroups: \
                 [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}}]}}, validations: [{{expression: \
                 '{expression}'}}]}}}}"
            );
            let Manifest::Validating(policy) = read("a", &text).unwrap().remove(0) else {
                panic!()
            };
            policy
        };
        let mut written = policy(expression);
        written.last_good = remembered.map(|expression| policy(expression).spec);
        let validating = vec![written];
        let definitions = Definitions { validating, ..Definitions::default() };
        Snapshot::build(definitions, Version::default(), previous)
    }

    /// `expression in force, generation written, whether that compiles`.
    fn told(snapshot: &Snapshot) -> String {
        let bound = snapshot.policies().next().unwrap();
        let compiles = bound.state() == State::Active;
        let kept = bound.last_good();
        let kept = kept.as_ref().and_then(|spec| spec.pointer("/validations/0/expression"));
        let kept = kept.and_then(Value::as_str).unwrap_or("-");
        let enforced = bound.policy.generation.unwrap_or_default();
        format!("{kept} {enforced} {} {compiles}", bound.generation().unwrap())
    }

    #[test]
    fn a_policy_that_no_longer_compiles_stays_in_its_last_good_form() {
        let good = build(1, "1 < 2", None, None);
        assert_eq!(told(&good), "- 1 1 true");
        let broken = build(2, "1 < x", None, Some(&good));
        assert_eq!(told(&broken), "1 < 2 1 2 false");
        // Built again, whether or not it was edited, it stays.
        let again = build(2, "1 < x", None, Some(&broken));
        assert_eq!(told(&again), "1 < 2 1 2 false");
        let policy = |snapshot: &Snapshot| Arc::clone(&snapshot.policies().next().unwrap().policy);
        assert!(Arc::ptr_eq(&policy(&again), &policy(&good)));
        let edited = build(3, "1 < y", None, Some(&again));
        assert_eq!(told(&edited), "1 < 2 1 3 false");
        assert_eq!(told(&build(4, "1 < 3", None, Some(&edited))), "- 4 4 true");
    }

    #[test]
    fn a_form_that_the_status_remembers_outlives_a_restart() {
        assert_eq!(told(&build(2, "1 < x", Some("1 < 2"), None)), "1 < 2 0 2 false");
        // What compiles needs no memory, and a memory that does not compile is none.
        assert_eq!(told(&build(2, "1 < 3", Some("1 < 2"), None)), "- 2 2 true");
        assert_eq!(told(&build(2, "1 < x", Some("1 < y"), None)), "- 2 2 false");
    }
}
