//! Pinning images to the digests that were verified: `app:1` becomes `app:1@sha256:..`, so that what was verified is what
//! runs. Which places can be changed, and to what; the object is changed by whoever asks.
//!
//! # Guarantees
//! - Only what passes is pinned, and only to the digest that passed.
//! - Nothing is changed that the API server would refuse to take, or that would keep a controller from finding what it made.

use std::sync::Arc;

use crate::images::{Digest, Reference};
use crate::json::Node;
use crate::policy::images::admit::{IMAGES_MAX, need};
use crate::policy::images::object::{Place, is_controlled, places};
use crate::policy::images::{ImageRules, Verdict};
use crate::policy::invocation::{Halt, Invocation};
use crate::policy::request::{Operation, Request};

/// A place of an object, and the image that it names from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Pin {
    /// The place, as a JSON pointer.
    pub pointer: String,
    /// The image, with its digest.
    pub image: String,
}

impl<'s: 'q, 'q> Invocation<'s, 'q> {
    /// What of the request's object is to be pinned to digests by a policy.
    pub(in crate::policy) fn pins(&self, rules: &Arc<ImageRules>) -> Result<Vec<Pin>, Halt> {
        let request = self.question.request;
        let old: Vec<Place<'_>> = places(request.old_object);
        let (mut pins, mut needed) = (Vec::new(), Vec::new());
        for place in places(request.object) {
            let image = Reference::parse(place.image).ok();
            let Some(image) =
                image.filter(|image| image.digest().is_none() && rules.is_about(image))
            else {
                continue;
            };
            if let Some(image) = restored(request, &place, &image) {
                pins.push(Pin { pointer: place.pointer, image: image.to_owned() });
                continue;
            }
            let is_new = !old.iter().any(|old| old.image == place.image);
            if !is_new || !is_pinnable(request, &place) {
                continue;
            }
            // A fixed answer asks nobody, and so nobody says which digest it is.
            if rules.fixed().is_some() {
                continue;
            }
            let Some(known) = self.question.facts.judgement(rules, &image) else {
                // Of an object with more the verdict says that it is too many.
                if !needed.contains(&image) && needed.len() < IMAGES_MAX {
                    needed.push(image);
                }
                continue;
            };
            let digest = known.digest.as_deref().filter(|_| known.verdict == Verdict::Passed);
            if let Some(Ok(digest)) = digest.map(Digest::parse) {
                let image = image.bound_to(&digest);
                pins.push(Pin { pointer: place.pointer, image });
            }
        }
        if needed.is_empty() { Ok(pins) } else { Err(need(rules, needed)) }
    }
}

/// Whether a place can be pinned. A Pod's containers can be changed, but those that are added while it runs only by
/// themselves, and volumes not at all once it is there. What a controller made of a template is compared with the template:
/// a ReplicaSet that became another would be made again and again. Its Pods are pinned.
pub(in crate::policy::images) fn is_pinnable(request: &Request<'_>, place: &Place<'_>) -> bool {
    match request.subresource {
        "" if is_pod(request) => {
            let is_settled = request.operation == Operation::Update && place.is_volume();
            !place.is_ephemeral() && !is_settled
        }
        "" => !is_controlled(request.object) && !is_settled(request, place),
        "ephemeralcontainers" => place.is_ephemeral(),
        _ => false,
    }
}

/// Whether a place has to be pinned before the object is stored: it is what the node pulls.
pub(in crate::policy::images) fn must_be_pinned(request: &Request<'_>, place: &Place<'_>) -> bool {
    is_pod(request) && is_pinnable(request, place)
}

fn is_pod(request: &Request<'_>) -> bool {
    request.resource.group.is_empty() && request.resource.resource == "pods"
}

/// Whether a place can't be changed any more: in a Job that is there, or in a volume of a Pod.
fn is_settled(request: &Request<'_>, place: &Place<'_>) -> bool {
    let is_job = request.resource.group == "batch" && request.resource.resource == "jobs";
    request.operation == Operation::Update
        && request.subresource.is_empty()
        && (is_job || (is_pod(request) && place.is_volume()))
}

/// What a place that can't be changed said before, if that is what it says now, pinned: whoever applies a manifest again
/// changes nothing.
fn restored<'o>(request: &Request<'o>, place: &Place<'_>, is: &Reference) -> Option<&'o str> {
    if !is_settled(request, place) {
        return None;
    }
    let before = request.old_object.pointer(&place.pointer).and_then(Node::as_str)?;
    let was = Reference::parse(before).ok()?;
    let is_same = was.name() == is.name() && was.tag() == is.tag();
    (is_same && was.digest().is_some()).then_some(before)
}
