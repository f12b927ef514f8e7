//! Signatures with short-lived certificates of a Sigstore of our own: what passes here passes by cosign too, and what does
//! not, does not.

use crate::program::{Program, eventually};
use crate::push::{MANIFEST, tag_of};
use crate::sigstore::{
    Sigstore, Wanted, bundle, by_certificate, envelope, pae, simple_signing, statement,
};
use crate::tools::{cosign, verify};
use crate::tuf_repository::TufRepository;
use crate::world::{FORMATS, Format, WORLD};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::images::{ANNOTATIONS, Digest, SIGNATURE_PREDICATE};
use rcgen::SigningKey;
use serde_json::json;

/// Signs an image as a build would, and pushes the signature.
fn sign(sigstore: &Sigstore, format: Format, name: &str, wanted: &Wanted) -> Digest {
    let repository = WORLD.repository(format, name);
    let image = repository.image("v1", &format!("{format:?} {name}"));
    let leaf = sigstore.issue(wanted);
    if format == Format::Bundle {
        let payload = statement(&image, SIGNATURE_PREDICATE, &json!({}));
        let signature = leaf.key.sign(&pae(&payload)).unwrap();
        let entry = sigstore.log_envelope(&payload, &signature, &leaf.pem);
        let signed = envelope(&payload, &signature);
        let bundle = bundle(by_certificate(&leaf.der), &[entry], signed);
        repository.bundle(&image, bundle.to_string().as_bytes());
        return image;
    }
    let payload = simple_signing(&image);
    let signature = leaf.key.sign(&payload).unwrap();
    let entry = sigstore.log_content(&payload, &signature, &leaf.pem);
    let mut layer = repository.layer("application/vnd.dev.cosign.simplesigning.v1+json", &payload);
    layer["annotations"] = json!({
        ANNOTATIONS[0]: STANDARD.encode(&signature),
        ANNOTATIONS[1]: leaf.pem,
        ANNOTATIONS[3]: entry.to_annotation(),
    });
    let config = repository.layer("application/vnd.oci.image.config.v1+json", b"{}");
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    repository.manifest(&tag_of(&image, ".sig"), MANIFEST, manifest.to_string().as_bytes());
    image
}

#[test]
fn what_passes_here_passes_by_cosign() {
    let sigstore = Sigstore::new();
    let root = sigstore.trusted_root();
    let file = WORLD.folder.join("trusted_root.json");
    std::fs::write(&file, root.to_string()).unwrap();
    let keyless = |subject: &str| {
        json!({"authorities": [{"name": "ci", "keyless": {
            "issuer": Wanted::default().issuer, "subject": subject, "trustRoot": {"name": "own"},
        }}]})
    };
    let root = json!({
        "apiVersion": "portcullis.dev/v1alpha1", "kind": "TrustRoot",
        "metadata": {"name": "own"}, "spec": {"trustedRoot": root.to_string()},
    });
    for (name, subject) in
        [("ci", Wanted::default().subject), ("other-ci", "https://ci.test/other")]
    {
        let policy = WORLD.write_policy(name, "**", keyless(subject));
        let text = std::fs::read_to_string(&policy).unwrap();
        std::fs::write(policy, format!("{text}\n---\n{root}\n")).unwrap();
    }
    for format in FORMATS {
        let image = sign(&sigstore, format, "keyless", &Wanted::default());
        let reference = WORLD.image(format, "keyless");
        let said = verify(&reference, &WORLD.policy("ci"), &[]);
        said.expect(
            0,
            &format!("by {} of {}", Wanted::default().subject, Wanted::default().issuer),
        );
        verify(&reference, &WORLD.policy("other-ci"), &[])
            .expect(1, "and `https://ci.test/other` is required");
        let by_cosign = |subject: &str| {
            let name = format!("{}@{image}", reference.rsplit_once(':').unwrap().0);
            let new = format!("--new-bundle-format={}", format == Format::Bundle);
            let file = file.to_str().unwrap();
            let issuer = Wanted::default().issuer;
            let arguments = [
                "verify",
                &new,
                "--trusted-root",
                file,
                "--certificate-identity",
                subject,
                "--certificate-oidc-issuer",
                issuer,
                &name,
            ];
            cosign(&WORLD.folder, &arguments).code
        };
        assert_eq!(by_cosign(Wanted::default().subject), 0, "{format:?}");
        assert_ne!(by_cosign("https://ci.test/other"), 0, "{format:?}");
        // Nobody who is trusted here.
        let others = Sigstore::new();
        sign(&others, format, "keyless-of-others", &Wanted::default());
        let said = verify(&WORLD.image(format, "keyless-of-others"), &WORLD.policy("ci"), &[]);
        said.expect(1, "FAILED");
    }
}

#[test]
fn a_trust_root_is_brought_up_to_date() {
    let sigstore = Sigstore::new();
    let repository = TufRepository::start();
    repository.publish(1, &sigstore.trusted_root().to_string());
    let keyless = json!({"authorities": [{"name": "ci", "keyless": {
        "issuer": Wanted::default().issuer, "subject": Wanted::default().subject,
        "trustRoot": {"name": "followed"},
    }}]});
    // What was written is of another instance.
    let written = Sigstore::new().trusted_root().to_string();
    let root = json!({
        "apiVersion": "portcullis.dev/v1alpha1", "kind": "TrustRoot",
        "metadata": {"name": "followed"}, "spec": {
            "trustedRoot": written, "tuf": {"url": repository.url(), "root": repository.root},
        },
    });
    let policy = WORLD.write_policy("followed", "**", keyless);
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(&policy, format!("{text}\n---\n{root}\n")).unwrap();
    for format in FORMATS {
        sign(&sigstore, format, "followed", &Wanted::default());
        let image = WORLD.image(format, "followed");
        let with = ["--plain-http", repository.host()];
        verify(&image, &policy, &with).expect(0, "passed");
        // Without it, what was written counts, and that is said.
        let said = verify(&image, &policy, &[]);
        said.expect(1, "FAILED");
        said.expect(1, "warning: the trust root is as it was written: http://");
    }
    let plain = ["--plain-http", repository.host(), "--plain-http", &WORLD.registry.host];
    let object = WORLD.folder.join("followed-pod.json");
    let image = WORLD.image(Format::Bundle, "followed");
    std::fs::write(&object, crate::admission::pod(&image).to_string()).unwrap();
    for command in ["review", "audit"] {
        let ends = |more: &[&str]| {
            let mut command = crate::program::portcullis(&[command, "--verify-images"]);
            command.arg("--policies").arg(&policy).arg(&object).args(more);
            command.output().unwrap().status.code()
        };
        assert_eq!(ends(&plain), Some(0), "{command}");
        // Its repository is not asked without TLS.
        assert_eq!(ends(&plain[2..]), Some(1), "{command}");
    }
    let program = Program::serve_with(&policy, &plain);
    let image = WORLD.image(Format::Bundle, "followed");
    let answer = || program.validate(&crate::admission::created(&image));
    eventually("the trust root was updated", || answer()["allowed"] == true);
    let metrics = program.get("/metrics").body;
    assert!(metrics.contains("portcullis_trust_roots{state=\"current\"} 1"), "{metrics}");
    // The public instance, as one would have it that is not reached.
    let file = WORLD.folder.join("root.json");
    std::fs::write(&file, &repository.root).unwrap();
    let public = ["--sigstore-tuf", "http://127.0.0.1:1", "--plain-http", "127.0.0.1:1"];
    let with = [&public[..], &["--sigstore-tuf-root", file.to_str().unwrap()]].concat();
    let said = verify(&image, &policy, &[&with[..], &plain].concat());
    said.expect(0, "127.0.0.1:1 can't be reached");
    let keyless = json!({"authorities": [{"name": "ci", "keyless": {
        "issuer": Wanted::default().issuer, "subject": Wanted::default().subject,
    }}]});
    let policy = WORLD.write_policy("public", "**", keyless);
    verify(&image, &policy, &plain).expect(1, "FAILED");
    let url = repository.url();
    let with = ["--sigstore-tuf", &url, "--sigstore-tuf-root", file.to_str().unwrap()];
    verify(&image, &policy, &[&with[..], &plain].concat()).expect(0, "passed");
}
