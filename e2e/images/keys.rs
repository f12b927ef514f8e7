//! Signatures with keys, with and without a log.

use crate::sigstore::{
    Sigstore, bundle, by_certificate, by_key, envelope, layer, pae, simple_signing, statement,
};
use crate::{IMAGE, OTHER, check};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::images::{Authority, Digest, Evidence, PublicKey, SIGNATURE_PREDICATE};
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};

fn authority(key: &KeyPair, sigstore: Option<&Sigstore>) -> Authority {
    Authority::Key {
        key: PublicKey::from_pem(&key.public_key_pem()).unwrap(),
        log: sigstore.map(Sigstore::root),
    }
}

fn of_bundle(bundle: &Value) -> Evidence {
    Evidence::Bundle(bundle.to_string().into_bytes())
}

/// Good signatures of an image in every form, logged if there is a log.
fn signed(
    key: &KeyPair,
    image: &Digest,
    sigstore: Option<&Sigstore>,
) -> [(&'static str, Evidence); 3] {
    let payload = simple_signing(image);
    let signature = key.sign(&payload).unwrap();
    let pem = key.public_key_pem();
    let entry = sigstore.map(|log| log.log_content(&payload, &signature, &pem));
    let legacy = Evidence::Signature(layer(&payload, &signature, None, entry.as_ref()));
    let payload = statement(image, SIGNATURE_PREDICATE, &json!({}));
    let signature = key.sign(&pae(&payload)).unwrap();
    let entry = sigstore.map(|log| log.log_envelope(&payload, &signature, &pem));
    let signed = envelope(&payload, &signature);
    let content = signed.to_string().into_bytes();
    let attested = Evidence::Attestation(layer(&content, b"", None, entry.as_ref()));
    let entries: Vec<_> = entry.into_iter().collect();
    let bundled = of_bundle(&bundle(by_key(), &entries, signed));
    [("signature", legacy), ("attestation", attested), ("bundle", bundled)]
}

#[test]
fn the_owner_of_the_key_counts_and_nobody_else() {
    for algorithm in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
    {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let other = KeyPair::generate_for(algorithm).unwrap();
        for (form, evidence) in signed(&key, &IMAGE, None) {
            check(form, evidence.clone(), &authority(&key, None), Ok(()));
            let changed = "is not the authority's, or what it signed was changed";
            check(form, evidence, &authority(&other, None), Err(changed));
        }
        for (form, evidence) in signed(&key, &OTHER, None) {
            check(form, evidence, &authority(&key, None), Err("about another image"));
        }
    }
}

#[test]
fn where_a_log_is_asked_for_it_must_confirm() {
    let (sigstore, elsewhere) = (Sigstore::new(), Sigstore::new());
    let key = KeyPair::generate().unwrap();
    let authority = authority(&key, Some(&sigstore));
    for (form, evidence) in signed(&key, &IMAGE, Some(&sigstore)) {
        check(form, evidence, &authority, Ok(()));
    }
    for (form, evidence) in signed(&key, &IMAGE, None) {
        check(form, evidence, &authority, Err("log does not confirm it"));
    }
    for (form, evidence) in signed(&key, &IMAGE, Some(&elsewhere)) {
        check(form, evidence, &authority, Err("log does not confirm it"));
    }
    // The log has another key's signature.
    let other = KeyPair::generate().unwrap();
    for (form, evidence) in signed(&other, &IMAGE, Some(&sigstore)) {
        check(form, evidence, &authority, Err("changed"));
    }
}

#[test]
fn a_log_entry_must_be_of_this_signature_and_key() {
    let sigstore = Sigstore::new();
    let key = KeyPair::generate().unwrap();
    let authority = authority(&key, Some(&sigstore));
    let pem = key.public_key_pem();
    let payload = simple_signing(&IMAGE);
    let signature = key.sign(&payload).unwrap();
    let other = KeyPair::generate().unwrap().public_key_pem();
    let rows = [
        ("its own", sigstore.log_content(&payload, &signature, &pem), Ok(())),
        ("other key", sigstore.log_content(&payload, &signature, &other), Err("does not confirm")),
        ("other signature", sigstore.log_content(&payload, b"x", &pem), Err("does not confirm")),
        ("other payload", sigstore.log_content(b"x", &signature, &pem), Err("does not confirm")),
    ];
    for (what, entry, expect) in rows {
        let evidence = Evidence::Signature(layer(&payload, &signature, None, Some(&entry)));
        check(&format!("signature: {what}"), evidence, &authority, expect);
    }
    let payload = statement(&IMAGE, SIGNATURE_PREDICATE, &json!({}));
    let signature = key.sign(&pae(&payload)).unwrap();
    let rows = [
        ("its own", sigstore.log_envelope(&payload, &signature, &pem), Ok(())),
        ("other key", sigstore.log_envelope(&payload, &signature, &other), Err("does not confirm")),
        ("other signature", sigstore.log_envelope(&payload, b"x", &pem), Err("does not confirm")),
        ("other payload", sigstore.log_envelope(b"x", &signature, &pem), Err("does not confirm")),
    ];
    for (what, entry, expect) in rows {
        let signed = envelope(&payload, &signature);
        let evidence = of_bundle(&bundle(by_key(), &[entry], signed));
        check(&format!("bundle: {what}"), evidence, &authority, expect);
    }
}

#[test]
fn a_certificate_does_not_stand_for_a_key() {
    let sigstore = Sigstore::new();
    let leaf = sigstore.issue(&crate::sigstore::Wanted::default());
    let authority = authority(&leaf.key, None);
    let payload = statement(&IMAGE, SIGNATURE_PREDICATE, &json!({}));
    let signature = leaf.key.sign(&pae(&payload)).unwrap();
    let signed = envelope(&payload, &signature);
    let evidence = of_bundle(&bundle(by_certificate(&leaf.der), &[], signed));
    check("certificate", evidence, &authority, Err("it is signed with a certificate"));
}

#[test]
fn what_is_signed_may_be_the_manifest_itself() {
    let key = KeyPair::generate().unwrap();
    let of = |claimed: &Digest, content: &[u8]| {
        let digest: Vec<u8> = (claimed.hex().as_bytes().chunks(2))
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        of_bundle(&json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": by_key(),
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(digest)},
                "signature": STANDARD.encode(key.sign(content).unwrap()),
            },
        }))
    };
    let authority = authority(&key, None);
    check("the image", of(&IMAGE, b"the image"), &authority, Ok(()));
    check("another", of(&OTHER, b"another image"), &authority, Err("about another image"));
    check("claimed only", of(&IMAGE, b"another image"), &authority, Err("was changed"));
}
