//! Attestations that cosign made: by whom, of what, and what is in them.

use crate::push::{MANIFEST, Repository, tag_of};
use crate::tools::verify;
use crate::world::{FORMATS, Format, WORLD};
use portcullis::images::Digest;
use serde_json::{Value, json};

/// Provenance as a build service writes it, and a scan for vulnerabilities.
fn predicates() -> [(&'static str, &'static str, Value); 2] {
    [
        (
            "slsaprovenance1",
            "provenance",
            json!({
                "buildDefinition": {
                    "buildType": "https://ci.test/build/v1",
                    "externalParameters": {"source": "https://git.test/team/app"},
                    "internalParameters": {}, "resolvedDependencies": [],
                },
                "runDetails": {"builder": {"id": "https://ci.test/builder"}, "metadata": {"invocationId": "1"}},
            }),
        ),
        (
            "vuln",
            "scan",
            json!({
                "invocation": {"parameters": [], "uri": "", "event_id": "", "builder.id": ""},
                "scanner": {"uri": "https://scan.test", "version": "1", "db": {"uri": "", "version": ""},
                    "result": {"critical": 2}},
                "metadata": {"scanStartedOn": "2020-01-01T00:00:00Z", "scanFinishedOn": "2020-01-01T00:01:00Z"},
            }),
        ),
    ]
}

/// An image with attestations by a key.
fn attested(format: Format, image: &'static str, key: &str) -> Repository {
    let repository = WORLD.repository(format, image);
    let digest = repository.image("v1", &format!("{format:?} {image}"));
    let reference = format!("{}/{}@{digest}", repository.host, repository.name);
    for (kind, name, predicate) in predicates() {
        let file = WORLD.folder.join(format!("{image}-{format:?}-{name}.json"));
        std::fs::write(&file, predicate.to_string()).unwrap();
        let (key, file) = (format!("{key}.key"), file.to_str().unwrap());
        WORLD.cosign(
            format,
            &["attest", "--key", &key, "--predicate", file, "--type", kind, &reference],
        );
    }
    repository
}

/// A policy that asks for one attestation with one rule, and no signature.
fn policy(name: &str, predicate_type: &str, expression: &str) -> std::path::PathBuf {
    let spec = json!({
        "authorities": [WORLD.key("release")], "required": 0,
        "attestations": [{
            "name": "asked", "predicateType": predicate_type,
            "validations": [{"expression": expression, "message": "not as it should be"}],
        }],
    });
    WORLD.write_policy(name, "**", spec)
}

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const SCAN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";

#[test]
fn an_attestation_must_say_what_is_asked() {
    let rows = [
        (PROVENANCE, "true", 0, "passed"),
        (PROVENANCE, "predicate.runDetails.builder.id == 'https://ci.test/builder'", 0, "passed"),
        (
            PROVENANCE,
            "predicate.runDetails.builder.id == 'https://evil.test'",
            1,
            "attestation `asked`: not as it should be",
        ),
        (
            PROVENANCE,
            "predicate.buildDefinition.externalParameters.source.startsWith('https://git.test/team/')",
            0,
            "passed",
        ),
        (
            PROVENANCE,
            "image.repository.endsWith('/attested') && image.tag == 'v1' && image.digest.startsWith('sha256:')",
            0,
            "passed",
        ),
        (PROVENANCE, "signer.kind == 'key'", 0, "passed"),
        (PROVENANCE, "predicate.missing == 1", 1, "resulted in error: no such key: missing"),
        (SCAN, "predicate.scanner.result.critical == 0", 1, "not as it should be"),
        (SCAN, "timestamp(predicate.metadata.scanFinishedOn) < now", 0, "passed"),
        (
            SCAN,
            "now - timestamp(predicate.metadata.scanFinishedOn) < duration('168h')",
            1,
            "not as it should be",
        ),
        (
            "https://spdx.dev/Document",
            "true",
            1,
            "no attestation of `https://spdx.dev/Document` was found",
        ),
    ];
    for format in FORMATS {
        attested(format, "attested", "release");
        for (place, (kind, expression, code, expect)) in rows.into_iter().enumerate() {
            let policy = policy(&format!("asks-{format:?}-{place}"), kind, expression);
            verify(&WORLD.image(format, "attested"), &policy, &[]).expect(code, expect);
        }
        // To attest is not to sign.
        let said = verify(&WORLD.image(format, "attested"), &WORLD.policy("release"), &[]);
        said.expect(1, "no signature was found");
    }
}

#[test]
fn an_attestation_by_others_does_not_count() {
    for format in FORMATS {
        attested(format, "attested-by-others", "others");
        let policy = policy(&format!("others-{format:?}"), PROVENANCE, "true");
        let said = verify(&WORLD.image(format, "attested-by-others"), &policy, &[]);
        said.expect(1, "the signature is not the authority's");
    }
}

#[test]
fn an_attestation_of_another_image_does_not_count() {
    for format in FORMATS {
        let from = attested(format, "attested-first", "release");
        let first = Digest::of(&from.read("manifests/v1").unwrap());
        let to = WORLD.repository(format, "attested-copy");
        let image = to.image("v1", &format!("{format:?} copy"));
        if format == Format::Legacy {
            let manifest = from.read_json(&format!("manifests/{}", tag_of(&first, ".att")));
            for layer in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]])
            {
                to.blob(
                    &from.read(&format!("blobs/{}", layer["digest"].as_str().unwrap())).unwrap(),
                );
            }
            to.manifest(&tag_of(&image, ".att"), MANIFEST, manifest.to_string().as_bytes());
        } else {
            let index = from.read_json(&format!("manifests/{}", tag_of(&first, "")));
            let referrer = index["manifests"][0]["digest"].as_str().unwrap();
            let manifest = from.read_json(&format!("manifests/{referrer}"));
            let layer = manifest["layers"][0]["digest"].as_str().unwrap();
            to.bundle(&image, &from.read(&format!("blobs/{layer}")).unwrap());
        }
        let policy = policy(&format!("copied-{format:?}"), PROVENANCE, "true");
        let said = verify(&WORLD.image(format, "attested-copy"), &policy, &[]);
        said.expect(1, &format!("it is about another image: {first}"));
    }
}
