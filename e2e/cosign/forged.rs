//! What somebody who can write to a registry would try: signatures of other images, changed payloads.

use crate::push::{MANIFEST, Repository, tag_of};
use crate::tools::verify;
use crate::world::{Format, WORLD};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::images::Digest;
use serde_json::Value;

fn digest(format: Format, image: &str) -> Digest {
    Digest::parse(&WORLD.digest(format, image)).unwrap()
}

/// The bundle that cosign pushed for an image.
fn bundle_of(repository: &Repository, image: &Digest) -> Vec<u8> {
    let index = repository.read_json(&format!("manifests/{}", tag_of(image, "")));
    let referrer = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest = repository.read_json(&format!("manifests/{referrer}"));
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    repository.read(&format!("blobs/{layer}")).unwrap()
}

#[test]
fn a_signature_of_another_image_does_not_count() {
    let signed = digest(Format::Legacy, "signed");
    let from = WORLD.repository(Format::Legacy, "signed");
    let to = WORLD.repository(Format::Legacy, "copied");
    let image = to.image("v1", "copied");
    let manifest = from.read_json(&format!("manifests/{}", tag_of(&signed, ".sig")));
    for layer in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
        to.blob(&from.read(&format!("blobs/{}", layer["digest"].as_str().unwrap())).unwrap());
    }
    to.manifest(&tag_of(&image, ".sig"), MANIFEST, manifest.to_string().as_bytes());
    let said = verify(&WORLD.image(Format::Legacy, "copied"), &WORLD.policy("release"), &[]);
    said.expect(1, &format!("it is about another image: {signed}"));

    let signed = digest(Format::Bundle, "signed");
    let from = WORLD.repository(Format::Bundle, "signed");
    let to = WORLD.repository(Format::Bundle, "copied");
    let image = to.image("v1", "copied too");
    to.bundle(&image, &bundle_of(&from, &signed));
    let said = verify(&WORLD.image(Format::Bundle, "copied"), &WORLD.policy("release"), &[]);
    said.expect(1, &format!("it is about another image: {signed}"));
}

#[test]
fn a_changed_payload_does_not_count() {
    let signed = digest(Format::Legacy, "signed");
    let from = WORLD.repository(Format::Legacy, "signed");
    let to = WORLD.repository(Format::Legacy, "changed");
    let image = to.image("v1", "changed");
    let mut manifest = from.read_json(&format!("manifests/{}", tag_of(&signed, ".sig")));
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let payload = String::from_utf8(from.read(&format!("blobs/{layer}")).unwrap()).unwrap();
    let changed = payload.replace(&signed.to_string(), &image.to_string());
    assert_ne!(payload, changed);
    let pushed = to.layer("", changed.as_bytes());
    for field in ["digest", "size"] {
        manifest["layers"][0][field] = pushed[field].clone();
    }
    to.blob(
        &from.read(&format!("blobs/{}", manifest["config"]["digest"].as_str().unwrap())).unwrap(),
    );
    to.manifest(&tag_of(&image, ".sig"), MANIFEST, manifest.to_string().as_bytes());
    let said = verify(&WORLD.image(Format::Legacy, "changed"), &WORLD.policy("release"), &[]);
    said.expect(1, "the signature is not the authority's, or what it signed was changed");

    let signed = digest(Format::Bundle, "signed");
    let from = WORLD.repository(Format::Bundle, "signed");
    let to = WORLD.repository(Format::Bundle, "changed");
    let image = to.image("v1", "changed too");
    let mut bundle: Value = serde_json::from_slice(&bundle_of(&from, &signed)).unwrap();
    let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    let changed = payload.replace(signed.hex(), image.hex());
    assert_ne!(payload, changed);
    bundle["dsseEnvelope"]["payload"] = STANDARD.encode(changed).into();
    to.bundle(&image, bundle.to_string().as_bytes());
    let said = verify(&WORLD.image(Format::Bundle, "changed"), &WORLD.policy("release"), &[]);
    said.expect(1, "the signature is not the authority's, or what it signed was changed");
}

#[test]
fn a_tag_that_moves_takes_no_signature_along() {
    for format in crate::world::FORMATS {
        let repository = WORLD.repository(format, "moved");
        let before = repository.image("v1", "before");
        WORLD.sign(format, "moved", "release");
        let image = WORLD.image(format, "moved");
        verify(&image, &WORLD.policy("release"), &[]).expect(0, &format!("digest: {before}"));
        let after = repository.image("v1", "after");
        let said = verify(&image, &WORLD.policy("release"), &[]);
        said.expect(1, &format!("digest: {after}"));
        said.expect(1, "no signature was found");
    }
}
