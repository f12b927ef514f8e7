//! `portcullis images verify` against the real `cosign` and a real registry: what cosign signs passes, in both formats in
//! which it signs, and what is wrong with it or with the registry is told and does not pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod admission;
mod attested;
mod faults;
mod forged;
mod front;
mod hostile;
mod http;
mod keyless;
mod logins;
mod pinned;
#[path = "../serve/program.rs"]
#[allow(dead_code, reason = "shared with the tests of the server")]
mod program;
mod push;
#[path = "../images/sigstore.rs"]
#[allow(dead_code, reason = "shared with the tests that need no registry")]
mod sigstore;
mod tools;
#[path = "../images/tuf_repository.rs"]
#[allow(dead_code, reason = "shared with the tests that need no registry")]
mod tuf_repository;
mod world;

use crate::tools::verify;
use crate::world::{FORMATS, WORLD};

#[test]
fn what_the_key_signed_passes_and_nothing_else() {
    for format in FORMATS {
        let rows = [
            ("signed", 0, "passed by ImagePolicy `release`"),
            ("unsigned", 1, "authority `release`: no signature was found"),
            ("by-others", 1, "the signature is not the authority's, or what it signed was changed"),
            ("twice", 0, "passed"),
        ];
        for (image, code, expect) in rows {
            let said = verify(&WORLD.image(format, image), &WORLD.policy("release"), &[]);
            said.expect(code, expect);
        }
        let signed = WORLD.image(format, "signed");
        let digest = WORLD.digest(format, "signed");
        let said = verify(&signed, &WORLD.policy("release"), &[]);
        said.expect(0, &format!("digest: {digest}"));
        // By its digest, a tag need not be asked for.
        let by_digest = signed.replace(":v1", &format!("@{digest}"));
        verify(&by_digest, &WORLD.policy("release"), &[]).expect(0, "passed");
        let json = verify(&signed, &WORLD.policy("release"), &["-o", "json"]);
        let answer: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        let judgement = &answer[0]["answers"][0]["judgement"];
        assert_eq!(judgement["verdict"], "passed", "{answer}");
        assert_eq!(judgement["digest"], digest, "{answer}");
        assert_eq!(judgement["checks"][0]["attempts"][0]["signer"]["kind"], "key", "{answer}");
    }
}

#[test]
fn what_can_not_be_asked_is_a_failure_of_the_command() {
    let policy = WORLD.policy("release");
    let image = WORLD.image(FORMATS[0], "signed");
    verify("Not An Image", &policy, &[]).expect(2, "is no repository");
    verify(&image, &WORLD.policy("broken"), &[]).expect(2, "spec.authorities[0].key.publicKey");
    verify(&image, &WORLD.policy("elsewhere"), &[]).expect(1, "no policy is about it");
    let missing = WORLD.image(FORMATS[0], "missing");
    verify(&missing, &policy, &[]).expect(1, "is not there");
    // Nobody said that this host has no TLS.
    let elsewhere = image.replace("127.0.0.1", "localhost");
    let elsewhere_host = elsewhere.split('/').next().unwrap();
    verify(&elsewhere, &policy, &["--any-address", elsewhere_host]).expect(1, "UNKNOWN");
}

#[test]
fn a_number_of_authorities_can_be_required() {
    for format in FORMATS {
        let rows = [
            ("both", "twice", 0, "passed"),
            ("both", "signed", 1, "1 of 2 authorities signed, 2 required: authority `others`"),
            ("any", "signed", 0, "passed"),
            ("any", "by-others", 0, "passed"),
            ("any", "unsigned", 1, "0 of 2 authorities signed, 1 required"),
            ("pass", "unsigned", 0, "it passes every image"),
            ("fail", "signed", 1, "it passes no image"),
        ];
        for (policy, image, code, expect) in rows {
            let said = verify(&WORLD.image(format, image), &WORLD.policy(policy), &[]);
            said.expect(code, expect);
        }
    }
    // A fixed answer asks nobody: this registry is not there.
    let nowhere = "127.0.0.1:1/app:v1";
    verify(nowhere, &WORLD.policy("pass"), &[]).expect(0, "passed");
    verify(nowhere, &WORLD.policy("release"), &[]).expect(1, "UNKNOWN");
}
