//! What is known of all objects that were audited: findings, and what has to be known to count right when an object or a
//! policy changes. No object is kept.
//!
//! # Guarantees
//! - Counts agree with what was recorded, object by object, after any order of changes.
//! - An object that did not fail costs its name and a few words, however many policies it meets.
//! - Nothing is dropped in silence: what is not kept in full says so itself.

mod counts;
mod entry;
mod interned;
mod news;
mod policies;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;

use crate::audit::examine::{Answer, Failed};
use crate::audit::finding::{Finding, ObjectRef, PolicyRef, Rule, Verdict};
use crate::audit::report::Summary;
use crate::audit::store::counts::Counts;
use crate::audit::store::entry::{Entry, Failure, Uid};
use crate::audit::store::interned::Interned;
use crate::audit::store::news::News;

/// Findings whose messages are kept, some 50 MB of them. A cluster with more has one policy that fails everywhere, and
/// nobody reads its messages one by one.
pub const FINDINGS_KEPT_MAX: usize = 200_000;

/// What stands in the place of a message that is not kept.
static NOT_KEPT: LazyLock<Arc<str>> =
    LazyLock::new(|| "there are too many findings to keep the message of this one".into());

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
    kinds: HashMap<GroupResource, Objects>,
    counts: Counts,
    /// Sets of policies that objects meet: most objects of a kind meet the same.
    sets: Interned<Vec<u32>>,
    /// Messages, and names of bindings and params: what one policy says of many objects.
    texts: Interned<str>,
    remembered: Remembered,
    news: Option<News>,
}

/// The objects of a kind, by namespace and name.
#[derive(Debug, Default)]
struct Objects {
    api_version: String,
    kind: String,
    places: HashMap<Arc<str>, HashMap<Box<str>, Entry>>,
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
    /// One that says which findings are new (see [`Store::record`]).
    pub fn telling_news() -> Store {
        Store { news: Some(News::default()), ..Store::default() }
    }

    /// Takes over since when findings are findings. That is forgotten with the next call; one with nothing in it says that
    /// everything was looked at.
    pub fn remember(&mut self, remembered: Remembered) {
        self.remembered = remembered;
        if let Some(news) = self.news.as_mut().filter(|_| self.remembered.is_empty()) {
            news.forget();
        }
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
        self.kinds.get_mut(seen.kind)?.places.get_mut(namespace.as_str())?.get_mut(name.as_str())
    }

    /// Takes what policies say about an object. With `asked`, only those were asked, and what the others said before
    /// stays.
    ///
    /// Answers with a finding of each policy that the object newly fails, the gravest, if this store tells news. It is
    /// not new if the object failed before the policy was edited, or another replica had found it.
    pub fn record(
        &mut self,
        seen: Seen<'_>,
        asked: Option<&dyn Fn(&PolicyRef) -> bool>,
        answers: &[(&Answer<'_>, Arc<PolicyRef>)],
        now: Timestamp,
    ) -> Vec<Finding> {
        let Seen { kind, object, version, list } = seen;
        let was_dirty = self.counts.is_dirty(&object.namespace);
        let before = self.take(kind, &object.namespace, &object.name);
        let uid = Uid::parse(&object.uid);
        let same = before.as_ref().filter(|entry| entry.uid == uid);
        let stays = |counts: &Counts, number: u32| {
            let told = counts.policies.get(number);
            asked.is_some_and(|asked| told.is_some_and(|told| !asked(&told.policy)))
        };
        let (mut passes, mut failures, mut news) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(entry) = same {
            passes.extend(entry.passes.iter().filter(|policy| stays(&self.counts, **policy)));
            let kept = entry.failures().iter().filter(|f| stays(&self.counts, f.policy));
            failures.extend(kept.cloned());
        }
        for (answer, reference) in answers {
            let policy = self.counts.policies.number(reference);
            if answer.verdict == Verdict::Pass {
                passes.push(policy);
            }
            let mut is_new = same.is_none_or(|entry| !entry.fails(policy));
            for failed in &answer.failures {
                let since = same.and_then(|entry| entry.since(policy, failed.rule));
                let remembered = self.remembered(reference, failed, object);
                is_new &= remembered.is_none();
                let since = since.or(remembered).unwrap_or(now);
                failures.push(self.failure(policy, failed, since, failures.len()));
            }
            let told = self.news.as_ref().filter(|news| !news.failed_before(reference, uid));
            let gravest = answer.failures.iter().max_by_key(|failed| failed.verdict);
            if let Some(failed) = gravest.filter(|_| is_new && told.is_some()) {
                news.push(failed.finding(Arc::new(object.clone()), reference));
            }
        }
        passes.sort_unstable();
        passes.dedup();
        let list = before.as_ref().map_or(list, |before| before.list.max(list));
        let entry = Entry::new(version, list, uid, self.sets.share(passes), failures);
        let is_same = before.is_some_and(|before| before.says_the_same(&entry));
        let objects = self.kinds.entry(kind.clone()).or_default();
        if objects.kind != object.kind || objects.api_version != object.api_version {
            objects.kind.clone_from(&object.kind);
            objects.api_version.clone_from(&object.api_version);
        }
        let namespace = self.counts.add(kind, &object.namespace, &object.name, &entry);
        let names = objects.places.entry(namespace).or_default();
        names.insert(object.name.as_str().into(), entry);
        if is_same {
            self.counts.set_dirty(&object.namespace, was_dirty);
        }
        news
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
        let gone = self.counts.policies.numbers(are_gone);
        if gone.is_empty() {
            return;
        }
        // Most objects of a kind meet the same policies, so that this is looked at a few times only.
        let mut left: HashMap<usize, Option<Arc<Vec<u32>>>> = HashMap::new();
        for (kind, objects) in &mut self.kinds {
            for (namespace, names) in &mut objects.places {
                for (name, entry) in names {
                    let set = Arc::as_ptr(&entry.passes).addr();
                    let passes = left.entry(set).or_insert_with(|| {
                        let kept = entry.passes.iter().copied().filter(|p| !gone.contains(p));
                        let kept: Vec<u32> = kept.collect();
                        (kept.len() < entry.passes.len()).then(|| self.sets.share(kept))
                    });
                    let failed = entry.failures().iter().filter(|f| gone.contains(&f.policy));
                    let mut failed = failed.peekable();
                    if passes.is_none() && failed.peek().is_none() {
                        continue;
                    }
                    for failure in failed {
                        let told = self.counts.policies.get(failure.policy);
                        if let (Some(news), Some(told)) = (&mut self.news, told) {
                            news.fails(&told.policy, entry.uid);
                        }
                    }
                    self.counts.remove(kind, namespace, name, entry);
                    if let Some(passes) = passes {
                        entry.passes = Arc::clone(passes);
                    }
                    entry.retain(|failure| !gone.contains(&failure.policy));
                    self.counts.add(kind, namespace, name, entry);
                }
            }
        }
        self.counts.policies.forget(&gone);
        self.counts.is_changed = true;
    }

    /// Whether anything that is counted changed since [`Store::take_found`].
    pub fn is_changed(&self) -> bool {
        self.counts.is_changed
    }

    /// What policies found, of those of which that changed since this was asked last. With `true`, of all: whatever was
    /// known of others counts no more.
    pub fn take_found(&mut self) -> (bool, Vec<(Arc<PolicyRef>, Summary)>) {
        self.counts.is_changed = false;
        let (is_all, told) = self.counts.policies.take_changed();
        let found = told.into_iter().map(|told| (Arc::clone(&told.policy), told.summary));
        (is_all, found.collect())
    }

    /// How much there is.
    pub fn totals(&self) -> Totals {
        self.counts.total
    }

    /// What each policy found.
    pub fn by_policy(&self) -> impl Iterator<Item = (&Arc<PolicyRef>, Summary)> {
        self.counts.policies.iter().map(|told| (&told.policy, told.summary))
    }

    /// The namespaces of which something changed since this was asked last. The empty name is for what is in none.
    pub fn take_dirty(&mut self) -> Vec<Arc<str>> {
        self.counts.take_dirty()
    }

    /// Every namespace with an object in it.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        self.counts.namespaces()
    }

    /// The counts of a namespace.
    pub fn summary(&self, namespace: &str) -> Summary {
        self.counts.summary(namespace)
    }

    /// The findings of a namespace, by kind and name.
    pub fn findings(&self, namespace: &str) -> impl Iterator<Item = Lasting> {
        let failing = self.counts.failing(namespace);
        let named = failing.flat_map(|(kind, names)| names.iter().map(move |name| (kind, name)));
        let place: Arc<str> = namespace.into();
        named.flat_map(move |(kind, name)| {
            let objects = self.kinds.get(kind);
            let found =
                objects.and_then(|objects| Some((objects, objects.places.get(&place)?.get(name)?)));
            found.map_or_else(Vec::new, |(objects, entry)| {
                self.lasting(Arc::new(objects.object(&place, name, entry)), entry)
            })
        })
    }

    /// The objects of a namespace that meet policies, each with those.
    pub fn passing(&self, namespace: &str) -> Vec<(ObjectRef, Vec<Arc<PolicyRef>>)> {
        let mut passing = Vec::new();
        for objects in self.kinds.values() {
            let here = objects.places.get(namespace).into_iter().flatten();
            for (name, entry) in here.filter(|(_, entry)| !entry.passes.is_empty()) {
                let numbers = entry.passes.iter();
                let passed = numbers.filter_map(|number| self.counts.policies.get(*number));
                let passed = passed.map(|told| Arc::clone(&told.policy)).collect();
                passing.push((objects.object(namespace, name, entry), passed));
            }
        }
        passing.sort_by(|(a, _), (b, _)| a.cmp(b));
        passing
    }

    fn lasting(&self, object: Arc<ObjectRef>, entry: &Entry) -> Vec<Lasting> {
        let lasting = |failure: &Failure| {
            let told = self.counts.policies.get(failure.policy)?;
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
        let mut all: Vec<Lasting> = entry.failures().iter().filter_map(lasting).collect();
        // Another replica, which asked in another order, has to tell the same.
        all.sort_by(|a, b| place(&a.finding).cmp(&place(&b.finding)));
        all
    }

    fn forget_all(&mut self, kind: &GroupResource, is_gone: impl Fn(&Entry) -> bool) {
        let Some(objects) = self.kinds.get_mut(kind) else { return };
        for (namespace, names) in &mut objects.places {
            names.retain(|name, entry| {
                let is_gone = is_gone(entry);
                if is_gone {
                    self.counts.remove(kind, namespace, name, entry);
                }
                !is_gone
            });
        }
        objects.places.retain(|_, names| !names.is_empty());
    }

    /// Removes an object, and what it counted for.
    fn take(&mut self, kind: &GroupResource, namespace: &str, name: &str) -> Option<Entry> {
        let objects = self.kinds.get_mut(kind)?;
        let names = objects.places.get_mut(namespace)?;
        let entry = names.remove(name)?;
        if names.is_empty() {
            objects.places.remove(namespace);
        }
        self.counts.remove(kind, namespace, name, &entry);
        Some(entry)
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

    fn failure(
        &mut self,
        policy: u32,
        failed: &Failed<'_>,
        since: Timestamp,
        pending: usize,
    ) -> Failure {
        let message = if self.counts.kept + pending < FINDINGS_KEPT_MAX {
            self.texts.share(failed.message.as_str())
        } else {
            Arc::clone(&NOT_KEPT)
        };
        let binding = failed.binding.map(|binding| self.texts.share(binding));
        let param = failed.param.as_deref().map(|param| self.texts.share(param));
        let Failed { rule, verdict, .. } = *failed;
        Failure { policy, rule, verdict, message, binding, param, since }
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
