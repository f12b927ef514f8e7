//! What is kept of one object, as small as it gets: there may be a hundred thousand of them.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::audit::examine::Failed;
use crate::audit::finding::{Rule, Verdict};
use crate::audit::report::Summary;

/// What is known of an object.
#[derive(Debug)]
pub(in crate::audit::store) struct Entry {
    /// `metadata.resourceVersion` as a number; 0 if it is none.
    pub version: u64,
    /// The last list that it was in, or that had begun when it was seen.
    pub list: u32,
    pub uid: Uid,
    /// The policies that it meets, ascending.
    pub passes: Arc<[u32]>,
    /// In the order in which they were found.
    pub failures: Box<[Failure]>,
}

/// One thing that is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::audit::store) struct Failure {
    pub policy: u32,
    pub rule: Rule,
    pub verdict: Verdict,
    pub message: Arc<str>,
    pub binding: Option<Box<str>>,
    pub param: Option<Box<str>>,
    pub since: Timestamp,
}

/// `metadata.uid`, which is a UUID; 0 where it is none. Source: RFC 9562.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::audit::store) struct Uid(u128);

impl Uid {
    pub fn parse(text: &str) -> Uid {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let is_plain = text.len() == 36 && digits.len() == 32;
        let parsed = is_plain.then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
        Uid(parsed.unwrap_or_default())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Uid(all) = self;
        if *all == 0 {
            return Ok(());
        }
        let part = |shift: u32, bits: u32| (all >> shift) & ((1 << bits) - 1);
        write!(f, "{:08x}-{:04x}-", part(96, 32), part(80, 16))?;
        write!(f, "{:04x}-{:04x}-{:012x}", part(64, 16), part(48, 16), part(0, 48))
    }
}

impl Entry {
    /// What it counts for: once for each policy that it meets, and once for each finding.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        self.each(|_, verdict| *summary.of(verdict) += 1);
        summary
    }

    /// Whether any policy is about it.
    pub fn is_covered(&self) -> bool {
        !self.passes.is_empty() || !self.failures.is_empty()
    }

    pub fn each(&self, mut take: impl FnMut(u32, Verdict)) {
        self.passes.iter().for_each(|policy| take(*policy, Verdict::Pass));
        self.failures.iter().for_each(|failure| take(failure.policy, failure.verdict));
    }

    /// Since when a rule finds something wrong, if it did.
    pub fn since(&self, policy: u32, rule: Rule) -> Option<Timestamp> {
        let found = self.failures.iter().find(|f| f.policy == policy && f.rule == rule);
        found.map(|failure| failure.since)
    }

    /// Whether reports say the same about it.
    pub fn says_the_same(&self, other: &Entry) -> bool {
        self.uid == other.uid && self.passes == other.passes && self.failures == other.failures
    }
}

impl Failure {
    pub fn new(policy: u32, failed: &Failed<'_>, message: Arc<str>, since: Timestamp) -> Failure {
        Failure {
            policy,
            rule: failed.rule,
            verdict: failed.verdict,
            message,
            binding: failed.binding.map(Into::into),
            param: failed.param.as_deref().map(Into::into),
            since,
        }
    }
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
