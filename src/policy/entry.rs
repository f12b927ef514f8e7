//! Webhook entries: which policies the API server asks for together, and by which path. How long it waits and what it does
//! without an answer is said of an entry, so that policies that differ in that have different ones.
//!
//! # Guarantees
//! - Every policy is asked by exactly one of the entries that are made of a set.
//! - Which one does not depend on how a server is configured: replicas that differ in that leave no policy out.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use crate::policy::api::{FailurePolicy, PolicyKind};
use crate::policy::snapshot::{Bound, Snapshot};

/// Entries of one failure policy for policies that say how long they may take. A request is sent to each entry that it
/// matches, by mutating webhooks to one after the other, so that many would cost more than they help.
pub const TIMEOUTS_MAX: usize = 4;

/// How long a policy is also asked by the entry of its former [`Terms`]: until another replica took the Lease over and
/// registered, and API servers heard of it.
pub const MOVE_GRACE: Duration = Duration::from_secs(30);

/// What a policy says about being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Terms {
    /// What no answer means.
    pub failure: FailurePolicy,
    /// How long the API server waits; none if the policy does not say.
    pub timeout_seconds: Option<u8>,
}

/// One webhook of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What no answer means.
    pub failure: FailurePolicy,
    /// The shortest and the longest time of its policies; none if they are those that do not say.
    pub timeouts: Option<(u8, u8)>,
}

impl Entry {
    /// The entries that policies need, in the order in which they are registered.
    pub fn of(terms: impl IntoIterator<Item = Terms>) -> Vec<Entry> {
        let terms: BTreeSet<Terms> = terms.into_iter().collect();
        let entries = |failure| {
            let says = move |terms: &&Terms| terms.failure == failure;
            let said = terms.iter().filter(says);
            let rest = said.clone().any(|terms| terms.timeout_seconds.is_none());
            let rest = rest.then_some(Entry { failure, timeouts: None });
            let seconds: Vec<u8> = said.filter_map(|terms| terms.timeout_seconds).collect();
            let together = seconds.len().div_ceil(TIMEOUTS_MAX).max(1);
            let ends = seconds.chunks(together).filter_map(|c| Some((*c.first()?, *c.last()?)));
            let timed = ends.map(|ends| Entry { failure, timeouts: Some(ends) });
            rest.into_iter().chain(timed).collect::<Vec<_>>()
        };
        [FailurePolicy::Fail, FailurePolicy::Ignore].into_iter().flat_map(entries).collect()
    }

    /// Whether it is the entry of policies of these terms.
    pub fn takes(self, terms: Terms) -> bool {
        self.failure == terms.failure
            && match (self.timeouts, terms.timeout_seconds) {
                (None, None) => true,
                (Some((least, most)), Some(seconds)) => (least..=most).contains(&seconds),
                _ => false,
            }
    }

    /// The entry of a path's end, as [`Display`](fmt::Display) writes it.
    pub fn parse(text: &str) -> Option<Entry> {
        let (failure, timeouts) = match text.split_once('/') {
            Some((failure, timeouts)) => (failure, Some(timeouts)),
            None => (text, None),
        };
        let failure = match failure {
            "fail" => FailurePolicy::Fail,
            "ignore" => FailurePolicy::Ignore,
            _ => return None,
        };
        let Some(timeouts) = timeouts else { return Some(Entry { failure, timeouts: None }) };
        let (least, most) = timeouts.split_once('-').unwrap_or((timeouts, timeouts));
        Some(Entry { failure, timeouts: Some((least.parse().ok()?, most.parse().ok()?)) })
    }

    /// The same with another character between its words.
    pub fn joined_by(self, separator: char) -> String {
        let failure = match self.failure {
            FailurePolicy::Fail => "fail",
            FailurePolicy::Ignore => "ignore",
        };
        match self.timeouts {
            None => failure.to_owned(),
            Some((least, most)) if least == most => format!("{failure}{separator}{least}"),
            Some((least, most)) => format!("{failure}{separator}{least}-{most}"),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.joined_by('/'))
    }
}

/// The former terms of policies whose terms an edit changed. The API server does not hear of it in the instant in which
/// the edit is in force: until it does, it asks by the old entry, and is not to get an answer without the policy.
#[derive(Clone, Debug, Default)]
pub struct Moves(HashMap<(PolicyKind, String), Vec<Terms>>);

impl Moves {
    /// What moved from one snapshot to the next.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Moves {
        let former: HashMap<(PolicyKind, &str), Terms> =
            before.policies().map(|bound| (key(bound), bound.policy.terms())).collect();
        let moved = after.policies().filter_map(|bound| {
            let (kind, name) = key(bound);
            let former = *former.get(&(kind, name))?;
            (former != bound.policy.terms()).then(|| ((kind, name.to_owned()), vec![former]))
        });
        Moves(moved.collect())
    }

    /// Adds those of an earlier change.
    #[must_use]
    pub fn and(mut self, earlier: &Moves) -> Moves {
        for (key, terms) in &earlier.0 {
            self.0.entry(key.clone()).or_default().extend(terms);
        }
        self
    }

    /// Whether nothing moved.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a policy was one of this entry.
    pub(in crate::policy) fn left(&self, entry: Entry, bound: &Bound) -> bool {
        let (kind, name) = key(bound);
        let former = self.0.get(&(kind, name.to_owned()));
        former.is_some_and(|former| former.iter().any(|terms| entry.takes(*terms)))
    }
}

fn key(bound: &Bound) -> (PolicyKind, &str) {
    (bound.policy.kind, &bound.policy.name)
}

#[cfg(test)]
mod tests {
    use crate::policy::api::FailurePolicy::{Fail, Ignore};
    use crate::policy::entry::{Entry, Terms};

    #[test]
    fn every_policy_has_one_entry_and_there_are_few() {
        let check = |fail: &[u8], ignore: &[u8], expect: &[&str]| {
            // 0 stands for a policy that does not say.
            let terms = |failure, seconds: &[u8]| {
                let said = |n: &u8| Terms { failure, timeout_seconds: (*n > 0).then_some(*n) };
                seconds.iter().map(said).collect::<Vec<Terms>>()
            };
            let terms = [terms(Fail, fail), terms(Ignore, ignore)].concat();
            let entries = Entry::of(terms.iter().copied());
            let told: Vec<String> = entries.iter().map(Entry::to_string).collect();
            assert_eq!(told, expect);
            for terms in terms {
                assert_eq!(entries.iter().filter(|entry| entry.takes(terms)).count(), 1);
            }
            for entry in entries {
                assert_eq!(Entry::parse(&entry.to_string()), Some(entry));
            }
        };
        check(&[], &[], &[]);
        check(&[0, 0], &[], &["fail"]);
        check(&[5, 5], &[], &["fail/5"]);
        check(&[30, 0, 5], &[0], &["fail", "fail/5", "fail/30", "ignore"]);
        let many = ["fail/1-2", "fail/3-4", "fail/5-7", "ignore", "ignore/9"];
        check(&[1, 2, 3, 4, 5, 7], &[9, 0], &many);
        let all: Vec<u8> = (0..=30).collect();
        check(&all, &[], &["fail", "fail/1-8", "fail/9-16", "fail/17-24", "fail/25-30"]);
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for text in ["", "Fail", "fail/", "fail/x", "fail/5-", "fail/5-6-7", "fail/256", "deny"] {
            assert_eq!(Entry::parse(text), None, "{text}");
        }
    }
}
