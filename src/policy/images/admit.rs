//! What an image policy says to a request: which images it brings that were not there before, and whether each passes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;

use crate::images::Reference;
use crate::policy::api::StatusReason;
use crate::policy::facts::Need;
use crate::policy::images::{ImageRules, Judgement, Verdict, judge, object};
use crate::policy::invocation::{Halt, Invocation};
use crate::policy::outcome::{Cause, Failure, Outcome};

/// How many images one object may bring. Pods have a handful, and each may take a registry some questions.
pub const IMAGES_MAX: usize = 100;

/// Images that have to be verified before there can be a decision.
#[derive(Clone, Debug)]
pub struct ImagesNeeded {
    /// By which rules.
    pub rules: Arc<ImageRules>,
    /// Which.
    pub images: Vec<Reference>,
}

impl PartialEq for ImagesNeeded {
    fn eq(&self, other: &ImagesNeeded) -> bool {
        self.rules.fingerprint() == other.rules.fingerprint() && self.images == other.images
    }
}

impl Eq for ImagesNeeded {}

impl Hash for ImagesNeeded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rules.fingerprint().hash(state);
        self.images.hash(state);
    }
}

impl<'s: 'q, 'q> Invocation<'s, 'q> {
    /// Judges the images of the request's object. What was there already is for the audit to report: a policy that judged
    /// it on every update would keep controllers from scaling down.
    pub(in crate::policy) fn admit_images(
        &self,
        rules: &Arc<ImageRules>,
        outcome: &mut Outcome<'s>,
    ) -> Result<(), Halt> {
        let request = self.question.request;
        let before = object::images(request.old_object);
        let brought = object::images(request.object);
        let new: Vec<&str> = brought.into_iter().filter(|text| !before.contains(text)).collect();
        if new.len() > IMAGES_MAX {
            outcome.fail(0, Cause::Denied, format!("more than {IMAGES_MAX} images"));
            return Ok(());
        }
        let mut needed = Vec::new();
        for (index, text) in new.into_iter().enumerate() {
            outcome.evaluated += 1;
            let image = match Reference::parse(text) {
                Ok(image) if rules.is_about(&image) => image,
                Ok(_) => continue,
                Err(why) => {
                    fail(outcome, index, Cause::Denied, format!("image `{text}`: {why}"));
                    continue;
                }
            };
            if rules.requires_digest() && image.digest().is_none() {
                let message = format!("image `{image}`: it must be named by its digest");
                fail(outcome, index, Cause::Denied, message);
                continue;
            }
            let fixed;
            let judgement = if rules.fixed().is_some() {
                fixed = judge(rules, &image, Ok(None), Timestamp::UNIX_EPOCH);
                &fixed
            } else if let Some(known) = self.question.facts.judgement(rules, &image) {
                known
            } else {
                needed.push(image);
                continue;
            };
            match judgement.verdict {
                Verdict::Passed => {}
                Verdict::Failed => fail(outcome, index, Cause::Denied, judgement.message.clone()),
                Verdict::Unknown => fail(outcome, index, Cause::Error, judgement.message.clone()),
            }
        }
        if needed.is_empty() {
            return Ok(());
        }
        let needed = ImagesNeeded { rules: Arc::clone(rules), images: needed };
        Err(Halt::Need(Need::Images(Box::new(needed))))
    }
}

fn fail(outcome: &mut Outcome<'_>, index: usize, cause: Cause, message: String) {
    let reason = Some(StatusReason::Forbidden);
    outcome.failures.push(Failure { index, cause, message, reason });
}

impl Judgement {
    /// What is said where nobody can say more.
    pub fn unknown(image: &Reference, why: &str) -> Judgement {
        Judgement {
            image: image.to_string(),
            digest: None,
            verdict: Verdict::Unknown,
            message: format!("image `{image}`: {why}"),
            checks: Vec::new(),
            problems: Vec::new(),
        }
    }
}
