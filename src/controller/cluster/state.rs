//! What there is in the cluster, as the watches told it. No network here: changes come in, definitions go out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::controller::cluster::object::{BreakGlassObject, Content, Object, ObjectKey};
use crate::controller::cluster::secrets::SecretName;
use crate::policy::Definitions;
use crate::policy::api::{BreakGlassSpec, ParamKind, PolicyStatus};
use crate::policy::definitions::{ParamKindFact, ParamScope};
use crate::policy::manifest::Manifest;
use crate::policy::matching::Equivalents;
use crate::policy::snapshot::Snapshot;
use crate::schema::Catalog;

/// Groups and versions; `*` is any.
pub type Versions = BTreeSet<(String, String)>;

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watched {
    /// ValidatingPolicies.
    Validating,
    /// MutatingPolicies.
    Mutating,
    /// ImagePolicies.
    Images,
    /// TrustRoots.
    TrustRoots,
    /// PolicyBindings.
    Bindings,
    /// Namespaces.
    Namespaces,
    /// BreakGlasses.
    BreakGlasses,
    /// The API server's own validating policies.
    NativeValidating,
    /// Their bindings.
    NativeBindings,
    /// The objects of a param kind.
    Params(KindKey),
    /// A Secret with public keys of image policies.
    Secret(SecretName),
}

impl Watched {
    /// What is watched always.
    pub const BASE: [Watched; 7] = [
        Watched::Validating,
        Watched::Mutating,
        Watched::Images,
        Watched::TrustRoots,
        Watched::Bindings,
        Watched::Namespaces,
        Watched::BreakGlasses,
    ];

    /// What is watched where the API server enforces and we only audit. The namespaces are those of our own policies.
    pub const NATIVE: [Watched; 2] = [Watched::NativeValidating, Watched::NativeBindings];
}

/// A kind, by `apiVersion` and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindKey {
    /// Group and version, as in `v1` or `rules.example.com/v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
}

impl From<&ParamKind> for KindKey {
    fn from(kind: &ParamKind) -> KindKey {
        KindKey { api_version: kind.api_version.clone(), kind: kind.kind.clone() }
    }
}

/// What a watch tells.
#[derive(Debug)]
pub enum Change {
    /// A list begins.
    Restarted(Watched),
    /// An object is there, or changed.
    Seen(Watched, Box<Object>),
    /// An object is gone.
    Gone(Watched, ObjectKey),
    /// The list is complete.
    Complete(Watched),
    /// Objects of this kind live here.
    Found(KindKey, ParamScope),
    /// Nobody serves this kind.
    Missing(KindKey),
    /// A Secret can't be read, and why.
    Unreadable(SecretName, String),
    /// Which resources serve the same objects.
    Equivalents(Equivalents),
    /// The schemas of these groups and versions, by which objects are merged.
    Schemas(Versions, Arc<Catalog>),
}

/// What was seen, and what became of it: all that status needs.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What is compiled.
    pub snapshot: Arc<Snapshot>,
    /// The policies and bindings.
    pub objects: Vec<ObservedObject>,
    /// The schemas that are known.
    pub schemas: Arc<Catalog>,
    /// The BreakGlasses, active or not.
    pub break_glasses: Vec<Arc<BreakGlassObject>>,
}

/// A policy or binding.
#[derive(Clone, Debug)]
pub struct ObservedObject {
    /// Of which kind.
    pub watched: Watched,
    /// Its name.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// Its status as it was seen.
    pub status: Option<PolicyStatus>,
    /// Why it can't be read, if so.
    pub unreadable: Option<String>,
}

/// What has to be done about a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Something must be compiled.
    pub compile: bool,
    /// A status is not what it was.
    pub tell: bool,
}

/// What there is.
#[derive(Debug, Default)]
pub struct State {
    /// What is waited for before anything is compiled.
    base: &'static [Watched],
    pub(in crate::controller::cluster) objects: BTreeMap<Watched, Store>,
    kinds: BTreeMap<KindKey, ParamScope>,
    /// Secrets that can't be read, and why.
    pub(in crate::controller::cluster) unreadable: BTreeMap<SecretName, String>,
    equivalents: Option<Equivalents>,
    pub(in crate::controller::cluster) schemas: Option<(Versions, Arc<Catalog>)>,
    /// What was compiled last.
    pub snapshot: Option<Arc<Snapshot>>,
}

/// The objects of a kind.
#[derive(Debug, Default)]
pub(in crate::controller::cluster) struct Store {
    pub objects: BTreeMap<ObjectKey, Object>,
    /// What the list has so far that is being read.
    incoming: Option<BTreeMap<ObjectKey, Object>>,
    pub is_complete: bool,
}

impl State {
    /// Nothing yet; these lists are always needed.
    pub fn new(base: &'static [Watched]) -> State {
        State { base, ..State::default() }
    }

    /// Takes a change in.
    pub fn apply(&mut self, change: Change) -> Effect {
        let compile = Effect { compile: true, tell: true };
        match change {
            Change::Restarted(watched) => {
                self.store(watched).incoming = Some(BTreeMap::new());
                Effect::default()
            }
            Change::Seen(watched, object) => self.store(watched).seen(*object),
            Change::Gone(watched, key) => match self.store(watched).objects.remove(&key) {
                Some(_) => compile,
                None => Effect::default(),
            },
            Change::Complete(watched) => {
                let was_unreadable = match &watched {
                    Watched::Secret(name) => self.unreadable.remove(name).is_some(),
                    _ => false,
                };
                let effect = self.store(watched).complete();
                if was_unreadable { compile } else { effect }
            }
            Change::Unreadable(name, why) => match self.unreadable.insert(name, why.clone()) {
                Some(before) if before == why => Effect::default(),
                _ => compile,
            },
            Change::Found(kind, scope) => match self.kinds.insert(kind, scope) {
                Some(old) if old == scope => Effect::default(),
                _ => compile,
            },
            Change::Missing(kind) => {
                self.objects.remove(&Watched::Params(kind.clone()));
                match self.kinds.insert(kind, ParamScope::Unknown) {
                    Some(ParamScope::Unknown) => Effect::default(),
                    _ => compile,
                }
            }
            Change::Equivalents(equivalents) => {
                self.equivalents = Some(equivalents);
                compile
            }
            Change::Schemas(versions, schemas) => {
                self.schemas = Some((versions, schemas));
                compile
            }
        }
    }

    fn store(&mut self, watched: Watched) -> &mut Store {
        self.objects.entry(watched).or_default()
    }

    /// Whether every list that is always needed is complete.
    pub fn is_listed(&self) -> bool {
        let complete = |watched| self.objects.get(watched).is_some_and(|store| store.is_complete);
        self.equivalents.is_some() && self.base.iter().all(complete)
    }

    /// Whether the objects of a kind are known, or that there are none to be had.
    pub fn knows_params(&self, kind: &KindKey) -> bool {
        let is_listed =
            self.objects.get(&Watched::Params(kind.clone())).is_some_and(|store| store.is_complete);
        match self.kinds.get(kind) {
            Some(ParamScope::Unknown) => true,
            Some(_) => is_listed,
            None => false,
        }
    }

    /// The param kinds that policies name.
    pub fn param_kinds(&self) -> BTreeSet<KindKey> {
        let kind = |manifest: &Manifest| match manifest {
            Manifest::Validating(policy) => policy.spec.param_kind.as_ref().map(KindKey::from),
            Manifest::Mutating(policy) => policy.spec.param_kind.as_ref().map(KindKey::from),
            _ => None,
        };
        // A policy may be in force in an earlier form.
        let enforced = self.snapshot.iter().flat_map(|snapshot| snapshot.policies());
        let enforced = enforced.filter_map(|bound| bound.policy.param_kind.as_ref());
        self.manifests().filter_map(kind).chain(enforced.map(KindKey::from)).collect()
    }

    /// Forgets what no policy names any more.
    pub fn retain_params(&mut self, needed: &BTreeSet<KindKey>) {
        self.kinds.retain(|kind, _| needed.contains(kind));
        self.objects.retain(|watched, _| match watched {
            Watched::Params(kind) => needed.contains(kind),
            _ => true,
        });
    }

    /// Everything that decisions depend on.
    pub fn definitions(&self, now: Timestamp) -> Definitions {
        let mut definitions = Definitions::default();
        let objects = self.objects.values().flat_map(|store| store.objects.values());
        objects.filter_map(Object::definition).for_each(|manifest| definitions.add(manifest));
        for (watched, store) in &self.objects {
            let documents = store.objects.values().filter_map(|object| match &object.content {
                Some(Content::Document(document)) => Some(Arc::clone(document)),
                _ => None,
            });
            match watched {
                Watched::Namespaces => definitions.namespaces.extend(documents),
                Watched::Params(kind) if self.knows_params(kind) => {
                    definitions.params.extend(documents);
                }
                _ => {}
            }
        }
        let fact = |kind: KindKey| {
            let known = self.kinds.get(&kind).filter(|_| self.knows_params(&kind));
            let scope = known.copied().unwrap_or(ParamScope::Unknown);
            ParamKindFact { api_version: kind.api_version, kind: kind.kind, scope }
        };
        definitions.param_kinds = self.param_kinds().into_iter().map(fact).collect();
        definitions.keys = self.keys();
        definitions.equivalents = self.equivalents.clone().unwrap_or_default();
        definitions.schemas = self.schemas.as_ref().map(|(_, schemas)| Arc::clone(schemas));
        let active = self.break_glasses().filter(|glass| now < glass.ends());
        // It ends when it ends, whatever it says.
        let suspension = |glass: &Arc<BreakGlassObject>| BreakGlassSpec {
            until: glass.ends(),
            ..glass.spec.clone()
        };
        definitions.suspensions = active.map(suspension).collect();
        definitions
    }

    /// How many objects are kept, by what they are: words for a metric, few of them.
    pub fn counts(&self) -> [(&'static str, usize); 9] {
        let count = |wanted: &Watched| self.objects.get(wanted).map_or(0, |s| s.objects.len());
        let is_param = |watched: &Watched| matches!(watched, Watched::Params(_));
        let params = self.objects.iter().filter(|(watched, _)| is_param(watched));
        let is_secret = |watched: &Watched| matches!(watched, Watched::Secret(_));
        let secrets = self.objects.iter().filter(|(watched, _)| is_secret(watched));
        [
            ("validatingpolicies", count(&Watched::Validating)),
            ("mutatingpolicies", count(&Watched::Mutating)),
            ("imagepolicies", count(&Watched::Images)),
            ("trustroots", count(&Watched::TrustRoots)),
            ("policybindings", count(&Watched::Bindings)),
            ("namespaces", count(&Watched::Namespaces)),
            ("breakglasses", count(&Watched::BreakGlasses)),
            ("params", params.map(|(_, store)| store.objects.len()).sum()),
            ("secrets", secrets.map(|(_, store)| store.objects.len()).sum()),
        ]
    }

    /// What status needs; nothing before the first snapshot.
    pub fn observed(&self) -> Option<Observed> {
        let snapshot = self.snapshot.clone()?;
        let kinds = [Watched::Validating, Watched::Mutating, Watched::Images, Watched::Bindings];
        let objects = kinds.into_iter().flat_map(|watched| {
            let store = self.objects.get(&watched);
            store.into_iter().flat_map(|store| store.objects.values()).map(move |object| {
                ObservedObject {
                    watched: watched.clone(),
                    name: object.key.name.clone(),
                    uid: object.uid.clone(),
                    generation: object.generation,
                    status: object.status.clone(),
                    unreadable: object.problem.clone(),
                }
            })
        });
        let break_glasses = self.break_glasses().map(Arc::clone).collect();
        let schemas = self.schemas.as_ref().map(|(_, schemas)| Arc::clone(schemas));
        let schemas = schemas.unwrap_or_else(Catalog::built_in_shared);
        Some(Observed { snapshot, objects: objects.collect(), schemas, break_glasses })
    }

    /// When the next BreakGlass ends that is active.
    pub fn suspended_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.break_glasses().map(|glass| glass.ends()).filter(|end| now < *end).min()
    }

    fn break_glasses(&self) -> impl Iterator<Item = &Arc<BreakGlassObject>> {
        let store = self.objects.get(&Watched::BreakGlasses);
        store.into_iter().flat_map(|store| store.objects.values()).filter_map(
            |object| match &object.content {
                Some(Content::BreakGlass(glass)) => Some(glass),
                _ => None,
            },
        )
    }

    pub(in crate::controller::cluster) fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        let objects = self.objects.values().flat_map(|store| store.objects.values());
        objects.filter_map(|object| match &object.content {
            Some(Content::Manifest(manifest)) => Some(&**manifest),
            _ => None,
        })
    }
}

impl Store {
    fn seen(&mut self, object: Object) -> Effect {
        if let Some(incoming) = &mut self.incoming {
            incoming.insert(object.key.clone(), object);
            return Effect::default();
        }
        let before = self.objects.get(&object.key);
        let effect = Effect {
            compile: !before.is_some_and(|before| before.says_the_same(&object)),
            tell: !before.is_some_and(|before| before.status == object.status),
        };
        let object = object.or_as_it_was(before);
        self.objects.insert(object.key.clone(), object);
        effect
    }

    fn complete(&mut self) -> Effect {
        let incoming = self.incoming.take().unwrap_or_default();
        let same = |(key, object): (&ObjectKey, &Object)| {
            self.objects.get(key).is_some_and(|before| before.says_the_same(object))
        };
        let compile =
            !self.is_complete || incoming.len() != self.objects.len() || !incoming.iter().all(same);
        let mut before = std::mem::take(&mut self.objects);
        self.objects = incoming
            .into_iter()
            .map(|(key, object)| {
                let object = object.or_as_it_was(before.remove(&key).as_ref());
                (key, object)
            })
            .collect();
        self.is_complete = true;
        Effect { compile, tell: true }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use crate::controller::cluster::state::{
        Change, Content, Effect, KindKey, Object, ObjectKey, State, Watched,
    };
    use crate::policy::definitions::ParamScope;
    use crate::policy::manifest;
    use crate::policy::matching::Equivalents;

    fn policy(name: &str, generation: i64, readable: bool) -> Box<Object> {
        let value = json!({
            "apiVersion": "portcullis.dev/v1alpha1",
            "kind": "ValidatingPolicy",
            "metadata": {"name": name, "generation": generation},
            "spec": {
                "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                "matchConstraints": {"resourceRules": []},
            },
        });
        let content = Content::Manifest(Box::new(manifest::from_value(value).unwrap()));
        Box::new(Object {
            key: ObjectKey { namespace: String::new(), name: name.into() },
            uid: name.into(),
            generation: Some(generation),
            resource_version: format!("{name}{generation}{readable}"),
            content: readable.then_some(content),
            problem: (!readable).then(|| "no".into()),
            status: None,
        })
    }

    #[test]
    fn nothing_is_compiled_for_nothing_and_nothing_readable_is_lost() {
        let mut state = State::new(&Watched::BASE);
        let policies = Watched::Validating;
        let seen = |name, generation, readable| {
            Change::Seen(Watched::Validating, policy(name, generation, readable))
        };
        state.apply(Change::Equivalents(Equivalents::default()));
        for watched in Watched::BASE {
            assert!(!state.is_listed());
            state.apply(Change::Restarted(watched.clone()));
            state.apply(Change::Complete(watched));
        }
        assert!(state.is_listed());
        let mut check = |change: Change, compile: bool, count: usize| {
            assert_eq!(state.apply(change).compile, compile);
            assert_eq!(state.definitions(Timestamp::UNIX_EPOCH).validating.len(), count);
        };
        check(seen("a", 1, true), true, 1);
        check(seen("a", 1, true), false, 1);
        check(seen("a", 2, false), true, 1);
        check(seen("b", 1, true), true, 2);
        // A list that is read again counts when it is complete.
        check(Change::Restarted(policies.clone()), false, 2);
        check(seen("b", 1, true), false, 2);
        check(Change::Complete(policies.clone()), true, 1);
        let gone = || {
            let key = ObjectKey { namespace: String::new(), name: "b".into() };
            Change::Gone(Watched::Validating, key)
        };
        check(gone(), true, 0);
        check(gone(), false, 0);
    }

    #[test]
    fn a_param_kind_is_unknown_until_its_list_is_complete() {
        let mut state = State::default();
        let kind = KindKey { api_version: "v1".into(), kind: "ConfigMap".into() };
        state.apply(Change::Seen(Watched::Validating, policy("a", 1, true)));
        let mut check = |change: Option<Change>, scope: ParamScope, knows: bool| {
            change.map(|change| state.apply(change));
            assert_eq!(state.definitions(Timestamp::UNIX_EPOCH).param_kinds[0].scope, scope);
            assert_eq!(state.knows_params(&kind), knows);
        };
        let params = || Watched::Params(kind.clone());
        check(None, ParamScope::Unknown, false);
        check(
            Some(Change::Found(kind.clone(), ParamScope::Namespaced)),
            ParamScope::Unknown,
            false,
        );
        check(Some(Change::Restarted(params())), ParamScope::Unknown, false);
        check(Some(Change::Complete(params())), ParamScope::Namespaced, true);
        check(Some(Change::Missing(kind.clone())), ParamScope::Unknown, true);
        assert_eq!(state.apply(Change::Missing(kind.clone())), Effect::default());
    }
}
