//! The bundles that the Sigstore project tests its clients with: each is verified, and what comes of it compared with
//! what its authors state. Without the data nothing is compared.

use jiff::Timestamp;
use portcullis::images::{Authority, Digest, Evidence, Found, TextMatch, TrustRoot, verify};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the data lies beside a checkout; `CORPORA` names another place.
fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    let place = std::env::var_os("CORPORA").map_or(beside, PathBuf::from).join("sigstore");
    place.is_dir().then_some(place)
}

#[test]
fn bundles_pass_and_fail_as_stated() {
    let Some(folder) = folder() else {
        eprintln!("no corpora beside the checkout; nothing compared");
        return;
    };
    let read = |file: &Value| std::fs::read(folder.join(file.as_str().unwrap())).unwrap();
    let index = std::fs::read_to_string(folder.join("index.jsonl")).unwrap();
    let (mut agreed, mut differing) = (0, Vec::new());
    for line in index.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let exact =
            |field: &str| TextMatch::Exact(case[field].as_str().unwrap_or_default().to_owned());
        let root = String::from_utf8(read(&case["trusted_root"])).unwrap();
        let authority = match case["key"].as_str() {
            Some(_) => Authority::Key {
                key: portcullis::images::PublicKey::from_pem(
                    &String::from_utf8(read(&case["key"])).unwrap(),
                )
                .unwrap(),
                log: Some(Arc::new(TrustRoot::from_json(&root).unwrap())),
            },
            None => Authority::Keyless {
                issuer: exact("issuer"),
                subject: exact("identity"),
                root: Arc::new(TrustRoot::from_json(&root).unwrap()),
            },
        };
        let found =
            Found { place: String::new(), evidence: Evidence::Bundle(read(&case["bundle"])) };
        let answer = verify(
            &found,
            &Digest::of(&read(&case["artifact"])),
            &authority,
            Timestamp::UNIX_EPOCH,
        );
        let decision = if answer.is_ok() { "allow" } else { "deny" };
        let why = answer.map_or_else(|why| why.to_string(), |verified| format!("{verified:?}"));
        println!("{}: {decision}: {why}", case["id"]);
        if case["expected"]["decision"] == decision {
            agreed += 1;
        } else {
            differing.push(format!("{}: {why}; {}", case["id"], case["why"]));
        }
    }
    println!("sigstore: {agreed} agreed, {} differing", differing.len());
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(agreed > 0, "{} has no cases", folder.display());
}
