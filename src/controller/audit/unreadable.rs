//! Kinds that policies are about and that can't be read, told when that begins and when it ends, and shown all the while.
//! How kinds are read, and how often it is tried again, is not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::audit::plan::ServedKind;
use crate::controller::audit::shown;
use crate::controller::limits::{AUDIT_RETRY_INTERVAL_MAX, UNREADABLE_KINDS_SHOWN_MAX};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::KindLabels;

/// Why a kind can't be read.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::controller::audit) struct Reason {
    /// What the API server says.
    pub text: String,
    /// Whether it is the list that fails; else it is the watch that follows.
    pub is_of_list: bool,
}

/// The kinds that can't be read now.
#[derive(Debug)]
pub(in crate::controller::audit) struct Unreadable {
    metrics: Arc<Metrics>,
    kinds: BTreeMap<ServedKind, (Reason, Instant)>,
}

impl Unreadable {
    pub fn new(metrics: Arc<Metrics>) -> Unreadable {
        Unreadable { metrics, kinds: BTreeMap::new() }
    }

    /// Whether this kind can't be read.
    pub fn contains(&self, kind: &ServedKind) -> bool {
        self.kinds.contains_key(kind)
    }

    /// Reading a kind failed.
    pub fn failed(&mut self, kind: &ServedKind, reason: Reason, now: Instant) {
        let before = self.kinds.get(kind).map(|(reason, _)| reason);
        if before.is_none_or(|before| before.text != reason.text) {
            let ServedKind { group, resource, .. } = kind;
            tracing::warn!(group, resource, reason = reason.text, "these can't be audited");
        }
        self.kinds.insert(kind.clone(), (reason, now));
        self.show();
    }

    /// A whole list of a kind was read. That ends nothing if it was not the list that failed.
    pub fn listed(&mut self, kind: &ServedKind) {
        if self.kinds.get(kind).is_some_and(|(reason, _)| reason.is_of_list) {
            self.end(kind);
        }
    }

    /// Looks at what is over: kinds that nobody wants to read any more, and watches that did not fail for longer than it
    /// takes to try again. A watch of which nothing is heard says so by nothing else.
    pub fn look(&mut self, is_wanted: impl Fn(&ServedKind) -> bool, now: Instant) {
        let count = self.kinds.len();
        self.kinds.retain(|kind, _| is_wanted(kind));
        let is_over = |(reason, last): &(Reason, Instant)| {
            !reason.is_of_list && now.duration_since(*last) > 2 * AUDIT_RETRY_INTERVAL_MAX
        };
        let over = self.kinds.iter().filter(|(_, failed)| is_over(failed));
        for kind in over.map(|(kind, _)| kind.clone()).collect::<Vec<_>>() {
            self.end(&kind);
        }
        if self.kinds.len() != count {
            self.show();
        }
    }

    fn end(&mut self, kind: &ServedKind) {
        let ServedKind { group, resource, .. } = kind;
        tracing::info!(group, resource, "these can be audited again");
        self.kinds.remove(kind);
        self.show();
    }

    fn show(&self) {
        let all = self
            .kinds
            .keys()
            .map(|kind| KindLabels { group: kind.group.clone(), resource: kind.resource.clone() });
        let rest = || KindLabels { group: "*".to_owned(), resource: "*".to_owned() };
        self.metrics.unreadable(shown(all, UNREADABLE_KINDS_SHOWN_MAX, rest));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use crate::audit::plan::ServedKind;
    use crate::controller::audit::unreadable::{Reason, Unreadable};
    use crate::controller::limits::{AUDIT_RETRY_INTERVAL_MAX, UNREADABLE_KINDS_SHOWN_MAX};
    use crate::telemetry::Metrics;

    fn kind(resource: &str) -> ServedKind {
        ServedKind {
            group: "g".into(),
            resource: resource.into(),
            version: "v1".into(),
            kind: "Kind".into(),
            is_namespaced: true,
        }
    }

    fn reason(is_of_list: bool) -> Reason {
        Reason { text: "forbidden".into(), is_of_list }
    }

    fn shown(metrics: &Metrics) -> Vec<String> {
        let text = metrics.text();
        let lines =
            text.lines().filter_map(|l| l.strip_prefix("portcullis_audit_unreadable_kinds"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_can_not_be_read_is_shown_until_it_can() {
        let metrics = Arc::new(Metrics::new());
        let mut unreadable = Unreadable::new(Arc::clone(&metrics));
        let now = Instant::now();
        unreadable.failed(&kind("a"), reason(true), now);
        unreadable.failed(&kind("b"), reason(false), now);
        unreadable.failed(&kind("c"), reason(false), now);
        let line = |name: &str| format!("{{group=\"g\",resource=\"{name}\"}} 1");
        assert_eq!(shown(&metrics), [line("a"), line("b"), line("c")]);
        // The list of `b` never failed.
        unreadable.listed(&kind("a"));
        unreadable.listed(&kind("b"));
        assert_eq!(shown(&metrics), [line("b"), line("c")]);
        unreadable.look(|kind| kind.resource != "c", now + AUDIT_RETRY_INTERVAL_MAX);
        assert_eq!(shown(&metrics), [line("b")]);
        unreadable.look(|_| true, now + AUDIT_RETRY_INTERVAL_MAX * 3);
        assert_eq!(shown(&metrics), Vec::<String>::new());
    }

    #[test]
    fn no_more_are_named_than_a_limit() {
        let metrics = Arc::new(Metrics::new());
        let mut unreadable = Unreadable::new(Arc::clone(&metrics));
        for number in 0..UNREADABLE_KINDS_SHOWN_MAX + 3 {
            unreadable.failed(&kind(&format!("k{number:04}")), reason(true), Instant::now());
        }
        let shown = shown(&metrics);
        assert_eq!(shown.len(), UNREADABLE_KINDS_SHOWN_MAX + 1);
        assert_eq!(shown[0], "{group=\"*\",resource=\"*\"} 3");
    }
}
