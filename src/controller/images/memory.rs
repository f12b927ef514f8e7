//! What was verified, remembered for longer than answers count: for policies that go on admitting it while its registry does
//! not answer (`onUnavailable: AllowVerified`). In memory only, so that another replica, or this one after a restart, knows
//! nothing of it.
//!
//! # Guarantees
//! - What was verified by other rules, trust roots or keys does not count: the fingerprint of all of them is part of the key.
//! - A bad answer forgets the image, whatever it was named by.
//! - Nothing counts for longer than [`VERIFIED_FOR`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::controller::images::Key;
use crate::policy::images::{ImageRules, Judgement, Verdict};

/// How long it counts that an image was verified while its registry does not answer: a bad day of a registry, and no more,
/// because nobody hears meanwhile that a signature was taken back. Times in certificates and attestations are not looked at
/// again.
pub const VERIFIED_FOR: Duration = Duration::from_hours(24);

/// How many images are remembered: more than a large cluster runs, at some KiB each.
const VERIFIED_MAX: usize = 4096;

/// What was verified.
#[derive(Debug, Default)]
pub(in crate::controller::images) struct Memory(Mutex<HashMap<Key, Remembered>>);

#[derive(Debug)]
struct Remembered {
    judgement: Arc<Judgement>,
    at: Timestamp,
    until: Instant,
}

impl Memory {
    /// Takes in what became of an image now.
    pub fn take_in(
        &self,
        rules: &ImageRules,
        key: &Key,
        said: &Arc<Judgement>,
        (at, now): (Timestamp, Instant),
    ) {
        if !rules.trusts_what_was_verified(&key.1) {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match said.verdict {
            Verdict::Unknown => {}
            Verdict::Failed => {
                known.remove(key);
                let is_it = |remembered: &Remembered| {
                    said.digest.is_some() && remembered.judgement.digest == said.digest
                };
                known.retain(|(by, ..), remembered| *by != key.0 || !is_it(remembered));
            }
            Verdict::Passed => {
                if known.len() >= VERIFIED_MAX && !known.contains_key(key) {
                    known.retain(|_, remembered| remembered.until > now);
                }
                if known.len() >= VERIFIED_MAX && !known.contains_key(key) {
                    let oldest = known.iter().min_by_key(|(_, remembered)| remembered.until);
                    let oldest = oldest.map(|(key, _)| key.clone());
                    oldest.and_then(|oldest| known.remove(&oldest));
                }
                let until = now + VERIFIED_FOR;
                known.insert(key.clone(), Remembered { judgement: Arc::clone(said), at, until });
            }
        }
    }

    /// What was verified of an image of which nobody knows anything now. That its tag names something else is something.
    pub fn recall(
        &self,
        rules: &ImageRules,
        key: &Key,
        unknown: &Judgement,
        now: Instant,
    ) -> Option<Judgement> {
        if !rules.trusts_what_was_verified(&key.1) {
            return None;
        }
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = known.get(key)?;
        let is_other = unknown.digest.is_some() && unknown.digest != remembered.judgement.digest;
        if is_other || remembered.until <= now {
            return None;
        }
        let problems = unknown.problems.clone();
        let verified_before = Some(remembered.at);
        Some(Judgement { problems, verified_before, ..Judgement::clone(&remembered.judgement) })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::{Arc, LazyLock};
    use std::time::Duration;

    use jiff::Timestamp;
    use tokio::time::Instant;

    use crate::cel::Version;
    use crate::controller::images::Key;
    use crate::controller::images::memory::{Memory, VERIFIED_FOR};
    use crate::images::{Digest, Reference};
    use crate::policy::api::{ImageAuthority, ImagePolicySpec, KeyAuthority, OnUnavailable};
    use crate::policy::images::{ImageRules, Judgement, TrustRoots, Verdict};

    static KEY: LazyLock<String> =
        LazyLock::new(|| rcgen::KeyPair::generate().unwrap().public_key_pem());

    fn rules(name: &str, on_unavailable: OnUnavailable, mutate_digest: bool) -> ImageRules {
        let key = KeyAuthority { public_key: Some(KEY.clone()), ..KeyAuthority::default() };
        let authority =
            ImageAuthority { name: name.into(), key: Some(key), ..ImageAuthority::default() };
        let spec = ImagePolicySpec {
            images: vec!["**".into()],
            authorities: vec![authority],
            mutate_digest,
            on_unavailable,
            ..ImagePolicySpec::default()
        };
        ImageRules::compile(&spec, &TrustRoots::default(), Version::default())
    }

    fn said(image: &Reference, verdict: Verdict, digest: Option<&str>) -> Arc<Judgement> {
        let digest = digest.map(|content| Digest::of(content.as_bytes()).to_string());
        Arc::new(Judgement { digest, verdict, ..Judgement::unknown(image, "it is down") })
    }

    fn key(rules: &ImageRules, image: &Reference) -> Key {
        (rules.fingerprint().to_owned(), image.clone(), [0; 32])
    }

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn what_was_verified_counts_until_something_else_is_known() {
        use OnUnavailable::{AllowVerified, Deny};
        let by_tag = Reference::parse("example.com/app:1").unwrap();
        let by_digest = by_tag.at(&Digest::of(b"good"));
        let trusts = rules("a", AllowVerified, true);
        let memory = Memory::default();
        let now = Cell::new(Instant::now());
        let known = |rules: &ImageRules, image: &Reference, digest: Option<&str>| {
            let unknown = said(image, Verdict::Unknown, digest);
            let recalled = memory.recall(rules, &key(rules, image), &unknown, now.get());
            recalled.and_then(|recalled| recalled.verified_before)
        };
        let takes = |rules: &ImageRules, image: &Reference, verdict, digest: Option<&str>| {
            let said = said(image, verdict, digest);
            memory.take_in(rules, &key(rules, image), &said, (AT, now.get()));
        };
        let passed = |rules: &ImageRules| {
            takes(rules, &by_tag, Verdict::Passed, Some("good"));
            takes(rules, &by_digest, Verdict::Passed, Some("good"));
        };
        assert_eq!(known(&trusts, &by_tag, None), None);
        passed(&trusts);
        assert_eq!(known(&trusts, &by_tag, None), Some(AT));
        assert_eq!(known(&trusts, &by_tag, Some("good")), Some(AT));
        // The registry says what the tag names, and not who signed that.
        assert_eq!(known(&trusts, &by_tag, Some("evil")), None);
        // That nobody knows says nothing.
        takes(&trusts, &by_tag, Verdict::Unknown, None);
        assert_eq!(known(&trusts, &by_tag, None), Some(AT));
        // Another policy, or the same with another key, has verified nothing.
        assert_eq!(known(&rules("b", AllowVerified, true), &by_digest, None), None);
        // A bad answer about a tag ends that; one about a digest ends everything that is it.
        takes(&trusts, &by_tag, Verdict::Failed, Some("evil"));
        assert_eq!(known(&trusts, &by_tag, None), None);
        assert_eq!(known(&trusts, &by_digest, None), Some(AT));
        passed(&trusts);
        takes(&trusts, &by_digest, Verdict::Failed, Some("good"));
        assert_eq!(known(&trusts, &by_tag, None), None);
        assert_eq!(known(&trusts, &by_digest, None), None);
        // It ends by itself.
        passed(&trusts);
        now.set(now.get() + VERIFIED_FOR - Duration::from_secs(1));
        assert_eq!(known(&trusts, &by_tag, None), Some(AT));
        now.set(now.get() + Duration::from_secs(1));
        assert_eq!(known(&trusts, &by_tag, None), None);
        // A tag that is not pinned could be another image by the time it is pulled.
        let loose = rules("a", AllowVerified, false);
        passed(&loose);
        assert_eq!(known(&loose, &by_tag, None), None);
        assert_eq!(known(&loose, &by_digest, None), Some(AT));
        let strict = rules("a", Deny, true);
        passed(&strict);
        assert_eq!(known(&strict, &by_digest, None), None);
    }
}
