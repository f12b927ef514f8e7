//! What all recorded objects come to: in all, by policy, by namespace. Objects are counted in and out one by one; which of
//! them are known is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::audit::report::Summary;
use crate::audit::store::entry::Entry;
use crate::audit::store::policies::Policies;
use crate::audit::store::{GroupResource, Totals};

/// The counts.
#[derive(Debug, Default)]
pub(in crate::audit::store) struct Counts {
    pub policies: Policies,
    pub total: Totals,
    /// Findings.
    pub kept: usize,
    /// Whether they are not what they were.
    pub is_changed: bool,
    namespaces: BTreeMap<Arc<str>, Namespace>,
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

impl Counts {
    /// Counts an object. Answers with the one copy of the name of its namespace.
    pub fn add(
        &mut self,
        kind: &GroupResource,
        namespace: &str,
        name: &str,
        entry: &Entry,
    ) -> Arc<str> {
        let summary = entry.summary();
        self.is_changed = true;
        self.total.objects += 1;
        self.total.covered += usize::from(entry.is_covered());
        self.total.summary += summary;
        self.kept += entry.failures().len();
        entry.each(|policy, verdict| {
            if let Some(told) = self.policies.get_mut(policy) {
                *told.summary.of(verdict) += 1;
            }
        });
        let known = self.namespaces.get_key_value(namespace);
        let key: Arc<str> = known.map_or_else(|| namespace.into(), |(key, _)| Arc::clone(key));
        let place = self.namespaces.entry(Arc::clone(&key)).or_default();
        place.objects += 1;
        place.summary += summary;
        place.is_dirty = true;
        if !entry.failures().is_empty() {
            place.failing.entry(kind.clone()).or_default().insert(name.into());
        }
        key
    }

    /// Counts an object no more.
    pub fn remove(&mut self, kind: &GroupResource, namespace: &str, name: &str, entry: &Entry) {
        let summary = entry.summary();
        self.is_changed = true;
        self.total.objects = self.total.objects.saturating_sub(1);
        self.total.covered = self.total.covered.saturating_sub(usize::from(entry.is_covered()));
        self.total.summary -= summary;
        self.kept = self.kept.saturating_sub(entry.failures().len());
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

    pub fn is_dirty(&self, namespace: &str) -> bool {
        self.namespaces.get(namespace).is_some_and(|namespace| namespace.is_dirty)
    }

    pub fn set_dirty(&mut self, namespace: &str, is_dirty: bool) {
        if let Some(namespace) = self.namespaces.get_mut(namespace) {
            namespace.is_dirty = is_dirty;
        }
    }

    /// The namespaces of which something changed since this was asked last. Those with nothing in them are forgotten.
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

    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        self.namespaces.keys()
    }

    pub fn summary(&self, namespace: &str) -> Summary {
        self.namespaces.get(namespace).map(|namespace| namespace.summary).unwrap_or_default()
    }

    /// The names of objects that fail, by kind.
    pub fn failing(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = (&GroupResource, &BTreeSet<Box<str>>)> {
        self.namespaces.get(namespace).into_iter().flat_map(|namespace| &namespace.failing)
    }
}
