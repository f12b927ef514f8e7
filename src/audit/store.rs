//! What is known of all objects that were audited: findings, and what has to be known to count right when an object or a
//! policy changes. No object is kept.
//!
//! # Guarantees
//! - Counts agree with what was recorded, object by object, after any order of changes.
//! - An object that did not fail costs its name and a few words, however many policies it meets.
//! - Nothing is dropped in silence: what is not kept in full says so itself.

mod entry;
mod policies;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;

use crate::audit::examine::{Answer, Failed};
use crate::audit::finding::{Finding, ObjectRef, PolicyRef, Rule, Verdict};
use crate::audit::report::Summary;
use crate::audit::store::entry::{Entry, Failure, Uid};
use crate::audit::store::policies::Policies;

/// Findings whose messages are kept, some 50 MB of them. A cluster with more has one policy that fails everywhere, and
/// nobody reads its messages one by one.
pub const FINDINGS_KEPT_MAX: usize = 200_000;

/// What stands in the place of a message that is not kept.
static NOT_KEPT: LazyLock<Arc<str>> =
    LazyLock::new(|| "there are too many findings to keep the message of this one".into());

/// How many different sets of policies there may be before those are looked for that no object has any more.
const PASSES_SWEPT_AT: usize = 10_000;

/// The kind of an object: group and resource. Which version it was read in makes no other object of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource {
    /// The API group; empty for the core group.
    pub group: Arc<str>,
    /// The resource, in lower-case plural.
    pub resource: Arc<str>,
}

/// An object, and which state of it was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'o> {
    /// Its kind.
    pub kind: &'o GroupResource,
    /// What it is called.
    pub object: &'o ObjectRef,
    /// `metadata.resourceVersion` as a number; 0 if it is none.
    pub version: u64,
    /// The list in which it was seen, or after which: counted upwards over all lists.
    pub list: u32,
}

/// Everything that is known.
#[derive(Debug, Default)]
pub struct Store {
    policies: Policies,
    kinds: HashMap<GroupResource, Objects>,
    namespaces: BTreeMap<Arc<str>, Namespace>,
    /// Sets of policies that objects meet: most objects of a kind meet the same.
    passes: HashSet<Arc<[u32]>>,
    kept: usize,
    total: Totals,
    remembered: Remembered,
}

/// The objects of a kind, by namespace and name.
#[derive(Debug, Default)]
struct Objects {
    api_version: String,
    kind: String,
    entries: HashMap<(Arc<str>, Box<str>), Entry>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Objects of the kinds that are audited.
    pub objects: usize,
    /// Those that at least one policy is about.
    pub covered: usize,
    /// All answers.
    pub summary: Summary,
}

/// What is known of a namespace; of what is in none, under the empty name.
#[derive(Debug, Default)]
struct Namespace {
    objects: usize,
    summary: Summary,
    /// The kinds of objects that fail, so that they are found again.
    failing: BTreeMap<GroupResource, BTreeSet<Box<str>>>,
    is_dirty: bool,
}

/// Since when findings are findings, by the word for the kind of the policy, its name, the rule and the object's
/// `metadata.uid`: what another replica had found before.
pub type Remembered = HashMap<(String, String, String, String), Timestamp>;

/// A finding, and since when it is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Lasting {
    /// The finding.
    pub finding: Finding,
    /// When it was first seen.
    pub since: Timestamp,
}

impl Store {
    /// Takes over since when findings are findings. That is forgotten with the next call; one with nothing in it says that
    /// everything was looked at.
    pub fn remember(&mut self, remembered: Remembered) {
        self.remembered = remembered;
    }

    /// Whether this state of the object was recorded. It is taken for seen in the list then.
    pub fn knows(&mut self, seen: Seen<'_>) -> bool {
        let Some(entry) = self.entry(seen) else { return false };
        entry.list = entry.list.max(seen.list);
        seen.version != 0
            && entry.version == seen.version
            && entry.uid == Uid::parse(&seen.object.uid)
    }

    /// Whether the object is known, and in no newer state than this one.
    pub fn is_current(&mut self, seen: Seen<'_>) -> bool {
        self.entry(seen).is_some_and(|entry| entry.version <= seen.version)
    }

    fn entry(&mut self, seen: Seen<'_>) -> Option<&mut Entry> {
        let ObjectRef { namespace, name, .. } = seen.object;
        let key = (namespace.as_str().into(), name.as_str().into());
        self.kinds.get_mut(seen.kind)?.entries.get_mut(&key)
    }

    /// Takes what policies say about an object. With `asked`, only those were asked, and what the others said before
    /// stays.
    pub fn record(
        &mut self,
        seen: Seen<'_>,
        asked: Option<&dyn Fn(&PolicyRef) -> bool>,
        answers: &[(&Answer<'_>, Arc<PolicyRef>)],
        now: Timestamp,
    ) {
        let Seen { kind, object, version, list } = seen;
        let was_dirty = self.namespaces.get(&*object.namespace).is_some_and(|n| n.is_dirty);
        let before = self.take(kind, &object.namespace, &object.name);
        let uid = Uid::parse(&object.uid);
        let same = before.as_ref().filter(|entry| entry.uid == uid);
        let stays = |policies: &Policies, number: u32| {
            let told = policies.get(number);
            asked.is_some_and(|asked| told.is_some_and(|told| !asked(&told.policy)))
        };
        let (mut passes, mut failures) = (Vec::new(), Vec::new());
        if let Some(entry) = same {
            let policies = &self.policies;
            passes.extend(entry.passes.iter().filter(|policy| stays(policies, **policy)));
            let kept = entry.failures.iter().filter(|failure| stays(policies, failure.policy));
            failures.extend(kept.cloned());
        }
        for (answer, reference) in answers {
            let policy = self.policies.number(reference);
            if answer.verdict == Verdict::Pass {
                passes.push(policy);
            }
            for failed in &answer.failures {
                let since = same.and_then(|entry| entry.since(policy, failed.rule));
                let since = since.or_else(|| self.remembered(reference, failed, object));
                let since = since.unwrap_or(now);
                let message = self.message(failed, failures.len());
                failures.push(Failure::new(policy, failed, message, since));
            }
        }
        passes.sort_unstable();
        passes.dedup();
        let list = before.as_ref().map_or(list, |before| before.list.max(list));
        let entry =
            Entry { version, list, uid, passes: self.shared(passes), failures: failures.into() };
        let is_same = before.is_some_and(|before| before.says_the_same(&entry));
        let objects = self.kinds.entry(kind.clone()).or_default();
        if objects.kind != object.kind || objects.api_version != object.api_version {
            objects.kind.clone_from(&object.kind);
            objects.api_version.clone_from(&object.api_version);
        }
        let namespace = self.namespace_name(&object.namespace);
        self.put(kind, Arc::clone(&namespace), object.name.as_str().into(), entry);
        if is_same && let Some(namespace) = self.namespaces.get_mut(&namespace) {
            namespace.is_dirty = was_dirty;
        }
    }

    /// Forgets an object.
    pub fn forget(&mut self, kind: &GroupResource, namespace: &str, name: &str) {
        self.take(kind, namespace, name);
    }

    /// Forgets the objects of a kind that were neither in this list nor seen after it.
    pub fn sweep(&mut self, kind: &GroupResource, list: u32) {
        self.forget_all(kind, |entry| entry.list < list);
    }

    /// Forgets the objects of kinds that are not audited any more.
    pub fn retain_kinds(&mut self, is_audited: impl Fn(&GroupResource) -> bool) {
        let gone = self.kinds.keys().filter(|kind| !is_audited(kind)).cloned();
        for kind in gone.collect::<Vec<_>>() {
            self.forget_all(&kind, |_| true);
            self.kinds.remove(&kind);
        }
    }

    /// Forgets what these policies said.
    pub fn forget_policies(&mut self, are_gone: impl Fn(&PolicyRef) -> bool) {
        let gone = self.policies.numbers(are_gone);
        if gone.is_empty() {
            return;
        }
        for kind in self.kinds.keys().cloned().collect::<Vec<_>>() {
            let Some(objects) = self.kinds.get_mut(&kind) else { continue };
            for ((namespace, name), entry) in std::mem::take(&mut objects.entries) {
                self.uncount(&kind, &namespace, &name, &entry);
                let passes = entry.passes.iter().copied().filter(|p| !gone.contains(p)).collect();
                let kept = entry.failures.iter().filter(|f| !gone.contains(&f.policy)).cloned();
                let (passes, failures) = (self.shared(passes), kept.collect());
                self.put(&kind, namespace, name, Entry { passes, failures, ..entry });
            }
        }
        self.policies.forget(&gone);
    }

    /// How much there is.
    pub fn totals(&self) -> Totals {
        self.total
    }

    /// What each policy found.
    pub fn by_policy(&self) -> impl Iterator<Item = (&Arc<PolicyRef>, Summary)> {
        self.policies.iter().map(|told| (&told.policy, told.summary))
    }

    /// The namespaces of which something changed since this was asked last. The empty name is for what is in none.
    pub fn take_dirty(&mut self) -> Vec<Arc<str>> {
        let dirty = self.namespaces.iter_mut().filter(|(_, namespace)| namespace.is_dirty);
        let dirty = dirty.map(|(name, namespace)| {
            namespace.is_dirty = false;
            Arc::clone(name)
        });
        let dirty = dirty.collect();
        self.namespaces.retain(|_, namespace| namespace.objects > 0);
        dirty
    }

    /// Every namespace with an object in it.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        self.namespaces.keys()
    }

    /// The counts of a namespace.
    pub fn summary(&self, namespace: &str) -> Summary {
        self.namespaces.get(namespace).map(|namespace| namespace.summary).unwrap_or_default()
    }

    /// The findings of a namespace, by kind and name.
    pub fn findings(&self, namespace: &str) -> impl Iterator<Item = Lasting> {
        let failing = self.namespaces.get(namespace).into_iter().flat_map(|n| &n.failing);
        let named = failing.flat_map(|(kind, names)| names.iter().map(move |name| (kind, name)));
        let key: Arc<str> = namespace.into();
        named.flat_map(move |(kind, name)| {
            let objects = self.kinds.get(kind);
            let found = objects.and_then(|objects| {
                Some((objects, objects.entries.get(&(Arc::clone(&key), name.clone()))?))
            });
            found.map_or_else(Vec::new, |(objects, entry)| {
                self.lasting(Arc::new(objects.object(&key, name, entry)), entry)
            })
        })
    }

    /// The objects of a namespace that meet policies, each with those.
    pub fn passing(&self, namespace: &str) -> Vec<(ObjectRef, Vec<Arc<PolicyRef>>)> {
        let mut passing = Vec::new();
        for objects in self.kinds.values() {
            let here = objects.entries.iter().filter(|((place, _), _)| **place == *namespace);
            for ((_, name), entry) in here.filter(|(_, entry)| !entry.passes.is_empty()) {
                let passed = entry.passes.iter().filter_map(|number| self.policies.get(*number));
                let passed = passed.map(|told| Arc::clone(&told.policy)).collect();
                passing.push((objects.object(namespace, name, entry), passed));
            }
        }
        passing.sort_by(|(a, _), (b, _)| a.cmp(b));
        passing
    }

    fn lasting(&self, object: Arc<ObjectRef>, entry: &Entry) -> Vec<Lasting> {
        let lasting = |failure: &Failure| {
            let told = self.policies.get(failure.policy)?;
            let finding = Finding {
                object: Arc::clone(&object),
                policy: Arc::clone(&told.policy),
                rule: failure.rule,
                verdict: failure.verdict,
                message: Arc::clone(&failure.message),
                binding: failure.binding.as_deref().map(str::to_owned),
                param: failure.param.as_deref().map(str::to_owned),
            };
            Some(Lasting { finding, since: failure.since })
        };
        let mut all: Vec<Lasting> = entry.failures.iter().filter_map(lasting).collect();
        // Another replica, which asked in another order, has to tell the same.
        all.sort_by(|a, b| place(&a.finding).cmp(&place(&b.finding)));
        all
    }

    fn forget_all(&mut self, kind: &GroupResource, is_gone: impl Fn(&Entry) -> bool) {
        let entries = self.kinds.get(kind).into_iter().flat_map(|objects| &objects.entries);
        let gone = entries.filter(|(_, entry)| is_gone(entry)).map(|(key, _)| key.clone());
        for (namespace, name) in gone.collect::<Vec<_>>() {
            self.take(kind, &namespace, &name);
        }
    }

    /// Removes an object, and what it counted for.
    fn take(&mut self, kind: &GroupResource, namespace: &str, name: &str) -> Option<Entry> {
        let objects = self.kinds.get_mut(kind)?;
        let entry = objects.entries.remove(&(namespace.into(), name.into()))?;
        self.uncount(kind, namespace, name, &entry);
        Some(entry)
    }

    fn put(&mut self, kind: &GroupResource, namespace: Arc<str>, name: Box<str>, entry: Entry) {
        let summary = entry.summary();
        self.total.objects += 1;
        self.total.covered += usize::from(entry.is_covered());
        self.total.summary += summary;
        self.kept += entry.failures.len();
        entry.each(|policy, verdict| {
            if let Some(told) = self.policies.get_mut(policy) {
                *told.summary.of(verdict) += 1;
            }
        });
        let place = self.namespaces.entry(Arc::clone(&namespace)).or_default();
        place.objects += 1;
        place.summary += summary;
        place.is_dirty = true;
        if !entry.failures.is_empty() {
            place.failing.entry(kind.clone()).or_default().insert(name.clone());
        }
        self.kinds.entry(kind.clone()).or_default().entries.insert((namespace, name), entry);
    }

    fn uncount(&mut self, kind: &GroupResource, namespace: &str, name: &str, entry: &Entry) {
        let summary = entry.summary();
        self.total.objects = self.total.objects.saturating_sub(1);
        self.total.covered = self.total.covered.saturating_sub(usize::from(entry.is_covered()));
        self.total.summary -= summary;
        self.kept = self.kept.saturating_sub(entry.failures.len());
        entry.each(|policy, verdict| {
            if let Some(told) = self.policies.get_mut(policy) {
                let count = told.summary.of(verdict);
                *count = count.saturating_sub(1);
            }
        });
        let Some(place) = self.namespaces.get_mut(namespace) else { return };
        place.objects = place.objects.saturating_sub(1);
        place.summary -= summary;
        place.is_dirty = true;
        if let Some(names) = place.failing.get_mut(kind) {
            names.remove(name);
            if names.is_empty() {
                place.failing.remove(kind);
            }
        }
    }

    /// The one copy of a namespace's name.
    fn namespace_name(&self, name: &str) -> Arc<str> {
        let known = self.namespaces.get_key_value(name);
        known.map_or_else(|| name.into(), |(known, _)| Arc::clone(known))
    }

    fn remembered(
        &self,
        policy: &PolicyRef,
        failed: &Failed<'_>,
        object: &ObjectRef,
    ) -> Option<Timestamp> {
        if self.remembered.is_empty() {
            return None;
        }
        let rule = failed.rule.to_string();
        let key = (policy.kind.to_owned(), policy.name.clone(), rule, object.uid.clone());
        self.remembered.get(&key).copied()
    }

    fn message(&self, failed: &Failed<'_>, pending: usize) -> Arc<str> {
        if self.kept + pending < FINDINGS_KEPT_MAX {
            return failed.message.as_str().into();
        }
        Arc::clone(&NOT_KEPT)
    }

    fn shared(&mut self, passes: Vec<u32>) -> Arc<[u32]> {
        if let Some(known) = self.passes.get(passes.as_slice()) {
            return Arc::clone(known);
        }
        // Sets that no object has any more go when there get to be many.
        if self.passes.len() >= PASSES_SWEPT_AT {
            self.passes.retain(|set| Arc::strong_count(set) > 1);
        }
        let set: Arc<[u32]> = passes.into();
        self.passes.insert(Arc::clone(&set));
        set
    }
}

/// The order of an object's findings.
fn place(finding: &Finding) -> (&str, &str, Rule, Option<&str>, Option<&str>) {
    let Finding { policy, rule, binding, param, .. } = finding;
    (policy.kind, &policy.name, *rule, binding.as_deref(), param.as_deref())
}

impl Objects {
    fn object(&self, namespace: &str, name: &str, entry: &Entry) -> ObjectRef {
        ObjectRef {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: entry.uid.to_string(),
        }
    }
}
