//! What is kept of one object, as small as it gets: there may be a hundred thousand of them.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::audit::finding::{Rule, Verdict};
use crate::audit::report::Summary;

/// What is known of an object.
#[derive(Debug)]
pub(in crate::audit::store) struct Entry {
    /// `metadata.resourceVersion` as a number; 0 if it is none.
    pub version: u64,
    /// The policies that it meets, ascending.
    pub passes: Arc<Vec<u32>>,
    /// In the order in which they were found; none for most objects.
    failures: Option<Box<Failures>>,
    pub uid: Uid,
    /// The last list that it was in, or that had begun when it was seen.
    pub list: u32,
}

// With its name, an object takes some 100 bytes.
const _: () = assert!(size_of::<Entry>() == 48);

#[derive(Debug, PartialEq)]
struct Failures(Vec<Failure>);

/// One thing that is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::audit::store) struct Failure {
    pub policy: u32,
    pub rule: Rule,
    pub verdict: Verdict,
    pub message: Arc<str>,
    pub binding: Option<Arc<str>>,
    pub param: Option<Arc<str>>,
    pub since: Timestamp,
}

/// `metadata.uid`, which is a UUID; 0 where it is none. Source: RFC 9562.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::audit::store) struct Uid([u8; 16]);

impl Uid {
    pub fn parse(text: &str) -> Uid {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let is_plain = text.len() == 36 && digits.len() == 32;
        let parsed = is_plain.then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
        Uid(parsed.unwrap_or(0_u128).to_be_bytes())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = u128::from_be_bytes(self.0);
        if all == 0 {
            return Ok(());
        }
        let part = |shift: u32, bits: u32| (all >> shift) & ((1 << bits) - 1);
        write!(f, "{:08x}-{:04x}-", part(96, 32), part(80, 16))?;
        write!(f, "{:04x}-{:04x}-{:012x}", part(64, 16), part(48, 16), part(0, 48))
    }
}

impl Entry {
    /// An object in this state.
    pub fn new(
        version: u64,
        list: u32,
        uid: Uid,
        passes: Arc<Vec<u32>>,
        failures: Vec<Failure>,
    ) -> Entry {
        let failures = boxed(failures);
        Entry { version, passes, failures, uid, list }
    }

    /// What is wrong with it.
    pub fn failures(&self) -> &[Failure] {
        self.failures.as_ref().map_or(&[], |failures| &failures.0)
    }

    /// Keeps only what is meant of what is wrong with it.
    pub fn retain(&mut self, is_meant: impl Fn(&Failure) -> bool) {
        if let Some(mut failures) = self.failures.take() {
            failures.0.retain(is_meant);
            self.failures = boxed(failures.0);
        }
    }

    /// What it counts for: once for each policy that it meets, and once for each finding.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        self.each(|_, verdict| *summary.of(verdict) += 1);
        summary
    }

    /// Whether any policy is about it.
    pub fn is_covered(&self) -> bool {
        !self.passes.is_empty() || self.failures.is_some()
    }

    /// Whether it fails this policy.
    pub fn fails(&self, policy: u32) -> bool {
        self.failures().iter().any(|failure| failure.policy == policy)
    }

    pub fn each(&self, mut take: impl FnMut(u32, Verdict)) {
        self.passes.iter().for_each(|policy| take(*policy, Verdict::Pass));
        self.failures().iter().for_each(|failure| take(failure.policy, failure.verdict));
    }

    /// Since when a rule finds something wrong, if it did.
    pub fn since(&self, policy: u32, rule: Rule) -> Option<Timestamp> {
        let found = self.failures().iter().find(|f| f.policy == policy && f.rule == rule);
        found.map(|failure| failure.since)
    }

    /// Whether reports say the same about it.
    pub fn says_the_same(&self, other: &Entry) -> bool {
        self.uid == other.uid && self.passes == other.passes && self.failures == other.failures
    }
}

fn boxed(mut failures: Vec<Failure>) -> Option<Box<Failures>> {
    failures.shrink_to_fit();
    (!failures.is_empty()).then(|| Box::new(Failures(failures)))
}

#[cfg(test)]
mod tests {
    use crate::audit::store::entry::Uid;

    #[test]
    fn a_uid_is_told_as_it_was_read() {
        let check = |text: &str, expect: &str| assert_eq!(Uid::parse(text).to_string(), expect);
        let uid = "0a1b2c3d-0000-4fff-8123-00000000000f";
        check(uid, uid);
        check("", "");
        check("u", "");
        check("0a1b2c3d00004fff812300000000000f", "");
        check("0a1b2c3d-0000-4fff-8123-00000000000g", "");
        check("é", "");
    }
}
