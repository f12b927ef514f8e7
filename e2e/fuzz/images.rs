//! Whatever registries, Secrets and TrustRoots may hold: signatures, keys, logins, references. What was mutated may be read,
//! but never counts as signed by somebody who did not sign.

use crate::authority::{Log, Stamp, Tsa};
use crate::fuzz;
use crate::sigstore::{
    Sigstore, Wanted, bundle, by_certificate, by_key, envelope, layer, pae, simple_signing,
    statement,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use portcullis::images::registry::Credentials;
use portcullis::images::{
    Authorities, Authority, Digest, Evidence, Found, ImageGlob, Layer, PublicKey, Reference,
    SIGNATURE_PREDICATE, TextMatch, TrustRoot, verify,
};
use rcgen::{KeyPair, SigningKey};
use serde_json::json;
use std::sync::Arc;

/// Signatures of an image: by a key, by a certificate with a log of the first kind, and with one of the second and a
/// timestamp.
fn bundles(image: &Digest) -> Vec<Vec<u8>> {
    let (sigstore, log, tsa) = (Sigstore::new(), Log::new(&rcgen::PKCS_ED25519), Tsa::new(true));
    let payload = statement(image, SIGNATURE_PREDICATE, &json!({}));
    let key = KeyPair::generate().unwrap();
    let signed = envelope(&payload, &key.sign(&pae(&payload)).unwrap());
    let of_key = bundle(by_key(), &[], signed);
    let leaf = sigstore.issue(&Wanted::default());
    let signature = leaf.key.sign(&pae(&payload)).unwrap();
    let of_certificate =
        |entry| bundle(by_certificate(&leaf.der), &[entry], envelope(&payload, &signature));
    let first = of_certificate(sigstore.log_envelope(&payload, &signature, &leaf.pem));
    let mut second = of_certificate(log.entry(&pae(&payload), &signature, &leaf.der));
    second["verificationMaterial"]["timestampVerificationData"] = json!({"rfc3161Timestamps": [
        {"signedTimestamp": STANDARD.encode(tsa.stamp(&Stamp::of(&signature)))},
    ]});
    [of_key, first, second].iter().map(|bundle| bundle.to_string().into_bytes()).collect()
}

/// Who signed none of it.
fn others() -> [Authority; 2] {
    let key = KeyPair::generate().unwrap().public_key_pem();
    let any = || TextMatch::pattern(".*").unwrap();
    [
        Authority::Key { key: PublicKey::from_pem(&key).unwrap(), log: None },
        Authority::Keyless { issuer: any(), subject: any(), root: Sigstore::new().root() },
    ]
}

fn counts(evidence: Evidence, image: &Digest, authority: &Authority) -> bool {
    let found = Found { place: String::new(), evidence };
    verify(&found, image, authority, Timestamp::UNIX_EPOCH).is_ok()
}

#[test]
fn signatures_of_others_never_count() {
    let image = Digest::of(b"image");
    let others = others();
    fuzz(&bundles(&image), |bytes| {
        for authority in &others {
            assert!(!counts(Evidence::Bundle(bytes.to_vec()), &image, authority));
        }
    });
    let payload = simple_signing(&image);
    let sigstore = Sigstore::new();
    let leaf = sigstore.issue(&Wanted::default());
    let signature = leaf.key.sign(&payload).unwrap();
    let entry = sigstore.log_content(&payload, &signature, &leaf.pem);
    let good = layer(&payload, &signature, Some(&leaf.pem), Some(&entry));
    let texts = [
        payload.clone(),
        leaf.pem.clone().into_bytes(),
        entry.to_annotation().into_bytes(),
        STANDARD.encode(&signature).into_bytes(),
    ];
    fuzz(&texts, |bytes| {
        let text = || Some(String::from_utf8_lossy(bytes).into_owned());
        let spoiled = [
            Layer { content: bytes.to_vec(), ..good.clone() },
            Layer { signature: text(), ..good.clone() },
            Layer { certificate: text(), chain: text(), ..good.clone() },
            Layer { log_entry: text(), timestamp: text(), ..good.clone() },
        ];
        for layer in spoiled {
            for authority in &others {
                assert!(!counts(Evidence::Signature(layer.clone()), &image, authority));
                assert!(!counts(Evidence::Attestation(layer.clone()), &image, authority));
            }
        }
    });
}

#[test]
fn what_admins_and_pods_write_is_read_or_refused() {
    let login = r#"{"auths": {"https://a.b/v1/": {"auth": "dTpw"}, "*.c.d/e": {"username": "u", "password": "p"},
        "f": {"identitytoken": "t"}}, "credHelpers": {"g": "h"}}"#;
    let root = Sigstore::new().trusted_root().to_string();
    let key = KeyPair::generate().unwrap().public_key_pem();
    let seeds: Vec<Vec<u8>> = [
        login,
        &root,
        &key,
        &Tsa::new(true).chain(),
        "GHCR.io:443/team/app:1@sha256:",
        "[::1]:5000/a/b",
        "*.example.com/**/app-*",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    fuzz(&seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(reference) = Reference::parse(&text) {
            let complete = reference.to_string();
            assert_eq!(Reference::parse(&complete).unwrap().to_string(), complete);
        }
        let _ = ImageGlob::parse(&text);
        let _ = Digest::parse(&text);
        let _ = Credentials::from_docker_config(&text);
        let _ = Credentials::from_docker_cfg(&text);
        let _ = PublicKey::from_pem(&text);
        let _ = Authorities::from_pem(&text);
        let _ = TrustRoot::from_json(&text).map(Arc::new);
    });
}
