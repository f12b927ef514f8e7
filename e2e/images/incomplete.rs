//! Signatures of which a part is missing, or there twice.

use crate::IMAGE;
use crate::check;
use crate::keyless::{Form, Parts, anybody_of};
use crate::sigstore::{SIGNED_AT, Sigstore, Wanted, bundle, by_certificate, by_key, envelope};
use portcullis::images::Evidence;
use serde_json::json;

#[test]
fn a_bundle_without_its_parts_does_not_count() {
    let sigstore = Sigstore::new();
    let authority = anybody_of(&sigstore);
    let parts = Parts::new(&sigstore, Form::Bundle, &IMAGE, &Wanted::default());
    let signed = || envelope(&parts.payload, &parts.signature);
    let entry = || vec![parts.entry.clone()];
    let json = |bundle: serde_json::Value| Evidence::Bundle(bundle.to_string().into_bytes());
    let certificate = || by_certificate(&parts.leaf.der);
    check("whole", json(bundle(certificate(), &entry(), signed())), &authority, Ok(()));
    check(
        "no entry",
        json(bundle(certificate(), &[], signed())),
        &authority,
        Err("log does not confirm"),
    );
    check("key", json(bundle(by_key(), &entry(), signed())), &authority, Err("signed with a key"));
    let many = vec![parts.entry.clone(); 9];
    check(
        "9 entries",
        json(bundle(certificate(), &many, signed())),
        &authority,
        Err("more than 8 log entries"),
    );
    for (pointer, expect) in [
        ("/inclusionProof", "log does not confirm it"),
        ("/inclusionPromise", "nothing confirms when"),
    ] {
        let mut bundle = bundle(certificate(), &entry(), signed());
        let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
        entry.as_object_mut().unwrap().shift_remove(&pointer[1..]);
        check(pointer, json(bundle), &authority, Err(expect));
    }
    let mut two = bundle(certificate(), &entry(), signed());
    let again = two["dsseEnvelope"]["signatures"][0].clone();
    two["dsseEnvelope"]["signatures"].as_array_mut().unwrap().push(again);
    check("two signatures", json(two), &authority, Err("can't be read"));
    let mut other = bundle(certificate(), &entry(), signed());
    other["dsseEnvelope"]["payloadType"] = json!("text/plain");
    check("another payload type", json(other), &authority, Err("its payload is `text/plain`"));
    check("no JSON", Evidence::Bundle(b"{".to_vec()), &authority, Err("can't be read"));
    check("no text", Evidence::Bundle(vec![0xff]), &authority, Err("can't be read"));
}

#[test]
fn a_legacy_signature_without_its_parts_does_not_count() {
    let sigstore = Sigstore::new();
    let authority = anybody_of(&sigstore);
    for form in [Form::Signature, Form::Attestation] {
        let parts = Parts::new(&sigstore, form, &IMAGE, &Wanted::default());
        let spoiled = |spoil: fn(&mut portcullis::images::Layer)| match parts.evidence() {
            Evidence::Signature(mut layer) => {
                spoil(&mut layer);
                Evidence::Signature(layer)
            }
            Evidence::Attestation(mut layer) => {
                spoil(&mut layer);
                Evidence::Attestation(layer)
            }
            Evidence::Bundle(_) => unreachable!(),
        };
        check(
            "no entry",
            spoiled(|layer| layer.log_entry = None),
            &authority,
            Err("log does not confirm it"),
        );
        let no_certificate = spoiled(|layer| layer.certificate = None);
        check("no certificate", no_certificate, &authority, Err("signed with a key"));
        let no_time = spoiled(|layer| {
            let text = layer.log_entry.as_mut().unwrap();
            *text = text.replace(&SIGNED_AT.to_string(), "0");
        });
        check("no time", no_time, &authority, Err(""));
    }
}
