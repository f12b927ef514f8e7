//! What a policy says to one image, by what registries have about it: who signed, what is attested, and why that is enough
//! or is not.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;

use crate::images::registry::{Known, RegistryError};
use crate::images::{Claim, Digest, Reference, Rejected, Verified, verify};
use crate::policy::api::StaticAnswer;
use crate::policy::images::compile::{Attestation, Counts, ImageRules, Named};
use crate::policy::images::predicate;

/// How many reasons one message gives: what a person reads.
const REASONS_MAX: usize = 3;

/// How many bytes of predicates are kept of one image for validations. Provenance has some tens of KiB; long lists of packages
/// are for the validations of the attestation itself, which see them whole.
pub const PREDICATES_BYTES_MAX: usize = 256 << 10;

/// What a policy says to one image.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// The image, complete.
    pub image: String,
    /// Its digest, if that is known.
    pub digest: Option<String>,
    /// What is said.
    pub verdict: Verdict,
    /// Why, in one line; empty if it passes.
    pub message: String,
    /// What was asked of it, one by one.
    pub checks: Vec<Check>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// When it was verified, if that is not now: its registry does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_before: Option<Timestamp>,
    /// Whether predicates were left out because they are too large to be kept.
    #[serde(skip)]
    pub is_cut: bool,
}

/// Whether an image passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It does.
    Passed,
    /// It does not.
    Failed,
    /// Nobody can say now: the registry did not answer everything, and what it answered is not enough. Later it may.
    Unknown,
}

impl Verdict {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Unknown => "unknown",
        }
    }
}

/// What a check is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// An authority, by its name.
    Authority(String),
    /// An attestation.
    Attestation {
        /// Its name in the policy.
        name: String,
        /// What kind of thing is attested.
        predicate_type: String,
    },
}

/// One thing that is asked of an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What.
    #[serde(skip)]
    pub about: About,
    /// The same for people.
    pub subject: String,
    /// Whether it is met.
    pub passed: bool,
    /// Why it is, or is not.
    pub reason: String,
    /// Every signature or attestation that was looked at for it.
    pub attempts: Vec<Attempt>,
}

/// A signature or attestation that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Where it is.
    pub place: String,
    /// Why it does not count; none if it does.
    pub rejected: Option<String>,
    /// Who made it, if it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<Json>,
    /// When, if that is attested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<String>,
    /// What is attested, if it counts and the policy has validations that may look at it.
    #[serde(skip)]
    pub predicate: Option<Arc<Json>>,
}

/// Judges an image by what is known about it, or by the reason why nothing is. Rules that are fixed need nothing.
pub fn judge(
    rules: &ImageRules,
    image: &Reference,
    evidence: Result<Option<&Known>, &RegistryError>,
    now: Timestamp,
) -> Judgement {
    let known = evidence.ok().flatten();
    let digest = known.map(|known| &known.digest);
    let signers: Vec<Signer<'_>> = rules
        .authorities
        .iter()
        .map(|named| Signer { named, tried: try_all(named, known, now), unasked: known.is_none() })
        .collect();
    let mut checks: Vec<Check> = signers.iter().map(signature).collect();
    let signed = checks.iter().filter(|check| check.passed).count();
    let room = if rules.validations.is_empty() { 0 } else { PREDICATES_BYTES_MAX };
    let mut question = Question { image, digest, now, room, is_cut: false };
    let attested: Vec<Check> =
        rules.attestations.iter().map(|asked| question.attested(asked, &signers)).collect();
    let is_cut = question.is_cut && !rules.validations.is_empty();
    let passes = signed >= rules.required && attested.iter().all(|check| check.passed);
    let problems: Vec<&RegistryError> = match evidence {
        Ok(known) => known.iter().flat_map(|known| &known.gathered.problems).collect(),
        Err(problem) => vec![problem],
    };
    let needs_registry = rules.fixed().is_none();
    let verdict = if passes {
        Verdict::Passed
    } else if rules.fixed() == Some(Verdict::Failed) {
        Verdict::Failed
    } else if rules.misses_a_key()
        || (needs_registry && problems.iter().any(|problem| problem.is_passing()))
    {
        Verdict::Unknown
    } else {
        Verdict::Failed
    };
    let message = if passes {
        String::new()
    } else if let Err(problem) = evidence
        && needs_registry
    {
        format!("image `{image}`: {problem}")
    } else {
        let shortfall = (signed < rules.required).then(|| shortfall(rules, &checks, signed));
        let missing = attested.iter().filter(|check| !check.passed);
        let missing = missing.map(|check| format!("{}: {}", check.subject, check.reason));
        let mut reasons: Vec<String> = shortfall.into_iter().chain(missing).collect();
        if let Some(problem) = problems.first().filter(|_| needs_registry) {
            reasons.insert(0, problem.to_string());
        }
        let left_out = known.map_or(0, |known| known.gathered.left_out);
        if left_out > 0 {
            reasons.push(format!("{left_out} more signatures or attestations were not looked at"));
        }
        format!("image `{image}`: {}", reasons.join("; "))
    };
    checks.extend(attested);
    Judgement {
        image: image.to_string(),
        digest: digest.map(ToString::to_string),
        verdict,
        message,
        checks,
        problems: problems.iter().map(ToString::to_string).collect(),
        verified_before: None,
        is_cut,
    }
}

/// An authority, and what came of everything that was found.
struct Signer<'r> {
    named: &'r Named,
    tried: Vec<(String, Result<Verified, Rejected>)>,
    /// Whether there was nothing to try.
    unasked: bool,
}

fn try_all(
    named: &Named,
    known: Option<&Known>,
    now: Timestamp,
) -> Vec<(String, Result<Verified, Rejected>)> {
    let (Counts::Signed(authority), Some(known)) = (&named.counts, known) else {
        return Vec::new();
    };
    let tried = |found| verify(found, &known.digest, authority, now);
    known.gathered.found.iter().map(|found| (found.place.clone(), tried(found))).collect()
}

/// Whether an authority has signed.
fn signature(signer: &Signer<'_>) -> Check {
    let subject = format!("authority `{}`", signer.named.name);
    let fixed = |passed, reason: &str| (passed, reason.to_owned(), Vec::new());
    let (passed, reason, attempts) = match &signer.named.counts {
        Counts::Static(StaticAnswer::Pass) => fixed(true, "it passes every image"),
        Counts::Static(StaticAnswer::Fail) => fixed(false, "it passes no image"),
        Counts::Broken(why) | Counts::Missing(why) => fixed(false, why),
        Counts::Signed(_) if signer.unasked => fixed(false, "nothing is known of the image"),
        Counts::Signed(_) => {
            let is_signature = |verified: &Verified| *verified.claim() == Claim::Signature;
            let attempts = signer
                .tried
                .iter()
                .filter(|(_, tried)| tried.as_ref().map_or(true, is_signature))
                .map(|(place, tried)| Attempt::new(place, tried))
                .collect();
            told(attempts, "signed", "no signature was found")
        }
    };
    let about = About::Authority(signer.named.name.clone());
    Check { about, subject, passed, reason, attempts }
}

/// Whether any of the attempts counts, and if none does, why.
fn told(attempts: Vec<Attempt>, good: &str, none: &str) -> (bool, String, Vec<Attempt>) {
    if attempts.iter().any(|attempt| attempt.rejected.is_none()) {
        return (true, good.to_owned(), attempts);
    }
    let mut reasons: Vec<&str> = Vec::new();
    for reason in attempts.iter().filter_map(|attempt| attempt.rejected.as_deref()) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let reason = match reasons.get(..REASONS_MAX) {
        Some(first) if reasons.len() > REASONS_MAX => {
            format!("{}, and {} more reasons", first.join(", "), reasons.len() - REASONS_MAX)
        }
        _ if reasons.is_empty() => none.to_owned(),
        _ => reasons.join(", "),
    };
    (false, reason, attempts)
}

impl Attempt {
    fn new(place: &str, tried: &Result<Verified, Rejected>) -> Attempt {
        let verified = tried.as_ref().ok();
        Attempt {
            place: place.to_owned(),
            rejected: tried.as_ref().err().map(ToString::to_string),
            signer: verified.map(predicate::signer),
            signed_at: verified.and_then(Verified::signed_at).map(|time| time.to_string()),
            predicate: None,
        }
    }
}

/// What of one image is asked when.
struct Question<'q> {
    image: &'q Reference,
    digest: Option<&'q Digest>,
    now: Timestamp,
    /// How many bytes of predicates can still be kept.
    room: usize,
    /// Whether some were not.
    is_cut: bool,
}

impl Question<'_> {
    /// Keeps what is attested, if there is room.
    fn kept(&mut self, predicate: &Json) -> Option<Arc<Json>> {
        let left = self.room.checked_sub(predicate.to_string().len());
        self.is_cut |= left.is_none();
        self.room = left?;
        Some(Arc::new(predicate.clone()))
    }

    /// Whether something is attested by one who may, and meets the rules.
    fn attested(&mut self, asked: &Attestation, signers: &[Signer<'_>]) -> Check {
        let mut attempts = Vec::new();
        let may = asked.authorities.iter().filter_map(|place| signers.get(*place));
        for (place, tried) in may.flat_map(|signer| &signer.tried) {
            let mut attempt = Attempt::new(place, tried);
            if let Ok(verified) = tried {
                let Claim::Attestation { predicate_type, predicate } = verified.claim() else {
                    continue;
                };
                if *predicate_type != asked.predicate_type {
                    continue;
                }
                attempt.rejected = self.digest.and_then(|digest| {
                    predicate::unmet(asked, predicate, verified, self.image, digest, self.now)
                });
                if attempt.rejected.is_none() {
                    attempt.predicate = self.kept(predicate);
                }
            }
            attempts.push(attempt);
        }
        let none = format!("no attestation of `{}` was found", asked.predicate_type);
        let (passed, reason, attempts) = told(attempts, "attested", &none);
        let (name, predicate_type) = (asked.name.clone(), asked.predicate_type.clone());
        let about = About::Attestation { name, predicate_type };
        Check { about, subject: format!("attestation `{}`", asked.name), passed, reason, attempts }
    }
}

/// Why too few authorities have signed.
fn shortfall(rules: &ImageRules, checks: &[Check], signed: usize) -> String {
    let unmet: Vec<String> = checks
        .iter()
        .filter(|check| !check.passed)
        .map(|check| format!("{}: {}", check.subject, check.reason))
        .collect();
    match (rules.required, checks.len()) {
        (_, 1) => unmet.join("; "),
        (required, all) => {
            format!(
                "{signed} of {all} authorities signed, {required} required: {}",
                unmet.join("; ")
            )
        }
    }
}
