//! What an image policy says to a request: which images it brings that were not there before, and whether each passes.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;

use crate::images::Reference;
use crate::json::Node;
use crate::policy::api::StatusReason;
use crate::policy::facts::Need;
use crate::policy::images::judge::PREDICATES_BYTES_MAX;
use crate::policy::images::object::{Place, places};
use crate::policy::images::pin::{is_pinnable, must_be_pinned};
use crate::policy::images::{ImageRules, Judgement, Verdict, judge};
use crate::policy::invocation::{Halt, Invocation};
use crate::policy::outcome::{Annotation, Cause, Failure, Outcome};

/// How many images one object may bring. Pods have a handful, and each may take a registry some questions.
pub const IMAGES_MAX: usize = 100;

/// Images that have to be verified before there can be a decision; without any, only the time is asked for.
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

/// An image that passed, and where it was found.
pub(in crate::policy::images) struct Passed<'a> {
    pub image: Reference,
    pub judgement: Cow<'a, Judgement>,
    /// A part of a Pod, or the name of an extractor.
    pub field: &'a str,
    /// The container or volume; empty where it is none.
    pub container: &'a str,
}

/// What came of an image.
enum One<'a> {
    /// The policy is not about it.
    Other,
    /// Somebody has to ask a registry.
    Needed(Reference),
    /// It passes.
    Passed(Reference, Cow<'a, Judgement>),
}

/// An image that an object names.
struct Named<'o> {
    text: Cow<'o, str>,
    field: &'o str,
    container: &'o str,
    /// Where, if it is in a part of a Pod.
    place: Option<Place<'o>>,
}

/// That these images have to be verified, or, without any, that the time has to be known.
pub(in crate::policy::images) fn need(rules: &Arc<ImageRules>, images: Vec<Reference>) -> Halt {
    let needed = ImagesNeeded { rules: Arc::clone(rules), images };
    Halt::Need(Need::Images(Box::new(needed)))
}

impl<'s: 'q, 'q> Invocation<'s, 'q> {
    /// Judges the images of the request's object. What was there already is for the audit to report: a policy that judged
    /// it on every update would keep controllers from scaling down.
    pub(in crate::policy) fn admit_images(
        &self,
        rules: &'s Arc<ImageRules>,
        outcome: &mut Outcome<'s>,
    ) -> Result<(), Halt> {
        let request = self.question.request;
        let (before, _) = self.named(rules, request.old_object, Node::null())?;
        let (mut brought, errors) = self.named(rules, request.object, request.old_object)?;
        for why in errors {
            outcome.fail(0, Cause::Error, why);
        }
        brought.retain(|new| !before.iter().any(|old| old.text == new.text));
        let mut texts: Vec<&str> = Vec::new();
        for Named { text, .. } in &brought {
            if !texts.contains(&&**text) {
                texts.push(text);
            }
        }
        if texts.len() > IMAGES_MAX {
            outcome.fail(0, Cause::Denied, format!("more than {IMAGES_MAX} images"));
            return Ok(());
        }
        let (mut needed, mut passed) = (Vec::new(), Vec::new());
        for (index, text) in texts.into_iter().enumerate() {
            outcome.evaluated += 1;
            let found = || brought.iter().filter(|named| named.text == text);
            match self.judged(rules, text, found().filter_map(|named| named.place.as_ref())) {
                Ok(One::Other) => {}
                Ok(One::Needed(image)) => needed.push(image),
                Ok(One::Passed(image, judgement)) => {
                    if let Some(verified) = judgement.verified_before {
                        outcome.note(&judgement, verified);
                    }
                    passed.extend(found().map(|named| Passed {
                        image: image.clone(),
                        judgement: judgement.clone(),
                        field: named.field,
                        container: named.container,
                    }));
                }
                Err((cause, message)) => fail(outcome, index, cause, message),
            }
        }
        if !needed.is_empty() {
            return Err(need(rules, needed));
        }
        self.validated(rules, &passed, outcome)
    }

    /// What is said of an image that these places name.
    fn judged<'p>(
        &self,
        rules: &ImageRules,
        text: &str,
        mut places: impl Iterator<Item = &'p Place<'p>>,
    ) -> Result<One<'q>, (Cause, String)> {
        let image = match Reference::parse(text) {
            Ok(image) if rules.is_about(&image) => image,
            Ok(_) => return Ok(One::Other),
            Err(why) => return Err((Cause::Denied, format!("image `{text}`: {why}"))),
        };
        let told = |cause, why: &str| Err((cause, format!("image `{image}`: {why}")));
        let (by_tag, is_fixed) = (image.digest().is_none(), rules.fixed().is_some());
        // A fixed answer asks nobody, and so nobody says which digest it is.
        let is_pinned = rules.pins_digests() && !is_fixed;
        if by_tag && rules.requires_digest() && !is_pinned {
            return told(Cause::Denied, "it must be named by its digest");
        }
        let judgement = if is_fixed {
            Cow::Owned(judge(rules, &image, Ok(None), Timestamp::UNIX_EPOCH))
        } else if let Some(known) = self.question.facts.judgement(rules, &image) {
            Cow::Borrowed(known)
        } else {
            return Ok(One::Needed(image));
        };
        match judgement.verdict {
            Verdict::Passed => {}
            Verdict::Failed => return Err((Cause::Denied, judgement.message.clone())),
            Verdict::Unknown => return Err((Cause::Error, judgement.message.clone())),
        }
        let request = self.question.request;
        let is_missed = |place: &Place<'_>| {
            must_be_pinned(request, place)
                || (rules.requires_digest() && is_pinnable(request, place))
        };
        if by_tag && is_pinned && places.any(is_missed) {
            let why = "it passes, and is not pinned to the digest that was verified";
            return told(Cause::Error, why);
        }
        Ok(One::Passed(image, judgement))
    }

    /// Asks the validations, if everything passed that came.
    fn validated(
        &self,
        rules: &'s Arc<ImageRules>,
        passed: &[Passed<'_>],
        outcome: &mut Outcome<'s>,
    ) -> Result<(), Halt> {
        let validations = &rules.validations;
        if validations.is_empty() || passed.is_empty() || !outcome.failures.is_empty() {
            return Ok(());
        }
        if let Some(Passed { image, .. }) = passed.iter().find(|one| one.judgement.is_cut) {
            let why = format!(
                "image `{image}`: more than {PREDICATES_BYTES_MAX} bytes are attested, which `validations` can't see"
            );
            fail(outcome, 0, Cause::Error, why);
            return Ok(());
        }
        let now = self.question.facts.now();
        if validations.reads_now() && now.is_none() {
            return Err(need(rules, Vec::new()));
        }
        self.validate_images(validations, passed, now, outcome)
    }

    /// Every image that an object names, and what went wrong in finding out.
    fn named(
        &self,
        rules: &'s ImageRules,
        object: Node<'q>,
        old_object: Node<'q>,
    ) -> Result<(Vec<Named<'q>>, Vec<String>), Halt> {
        let in_pods = places(object).into_iter().map(|place| Named {
            text: Cow::Borrowed(place.image),
            field: place.part,
            container: place.name,
            place: Some(place),
        });
        let (extracted, errors) = self.extracted(&rules.extractors, object, old_object)?;
        let extracted = extracted.into_iter().map(|found| Named {
            text: Cow::Owned(found.image),
            field: found.by,
            container: "",
            place: None,
        });
        Ok((in_pods.chain(extracted).collect(), errors))
    }
}

impl Outcome<'_> {
    /// Tells that an image is admitted by what was verified before.
    fn note(&mut self, judgement: &Judgement, verified: Timestamp) {
        let image = &judgement.image;
        self.notes.push(format!(
            "image `{image}` was verified at {verified} and not now: its registry does not answer (onUnavailable: AllowVerified)"
        ));
        let key = "verified-before".to_owned();
        self.annotations.push(Annotation { key, value: format!("{image} at {verified}") });
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
            verified_before: None,
            is_cut: false,
        }
    }
}
