//! Verification of images, by what it must refuse: a negative test for each thing that is bound, in every form of
//! signature, and the bundles that the Sigstore project tests its clients with.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod authority;
mod certificates;
mod corpus;
#[path = "../cosign/front.rs"]
#[allow(dead_code, reason = "shared with the tests of registries")]
mod front;
#[path = "../cosign/http.rs"]
#[allow(dead_code, reason = "shared with the tests of registries")]
mod http;
mod incomplete;
mod keyless;
mod keys;
mod sigstore;
mod stamped;
mod tuf;
mod tuf_repository;

use jiff::Timestamp;
use portcullis::images::{Authority, Digest, Evidence, Found, Verified, verify};
use std::sync::LazyLock;

/// The image that everything is about.
pub static IMAGE: LazyLock<Digest> = LazyLock::new(|| Digest::of(b"the image"));

/// Another image.
pub static OTHER: LazyLock<Digest> = LazyLock::new(|| Digest::of(b"another image"));

/// Verifies a piece of evidence today.
pub fn verified(evidence: Evidence, authority: &Authority) -> Result<Verified, String> {
    let found = Found { place: "here".to_owned(), evidence };
    let now = Timestamp::from_second(1_790_000_000).unwrap();
    verify(&found, &IMAGE, authority, now).map_err(|why| why.to_string())
}

/// Asserts that it counts, or why it does not.
pub fn check(what: &str, evidence: Evidence, authority: &Authority, expect: Result<(), &str>) {
    match (verified(evidence, authority), expect) {
        (Ok(verified), Ok(())) => assert_eq!(verified.image(), &*IMAGE, "{what}"),
        (Err(why), Err(expect)) => assert!(why.contains(expect), "{what}: {why}"),
        (Ok(verified), Err(expect)) => panic!("{what}: {verified:?}, and should be: {expect}"),
        (Err(why), Ok(())) => panic!("{what}: {why}"),
    }
}
