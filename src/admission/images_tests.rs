//! Image policies, reviewed: which places are pinned and to what, what is denied and why, and what the answers hang on.

mod pins;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::admission::wire;
use crate::admission::{Facts, NamespaceObject, Need, Phase, Snapshot, review};
use crate::cel::{Arena, Version};
use crate::images::{Digest, Reference};
use crate::policy::Definitions;
use crate::policy::images::{About, Attempt, Check, Judgement, Verdict};
use crate::policy::manifest::read;

static KEY: LazyLock<String> = LazyLock::new(public_key);

fn public_key() -> String {
    rcgen::KeyPair::generate().unwrap().public_key_pem()
}

/// A policy over the images of one registry, with this rest of its spec.
fn policy(more: &Json) -> Json {
    let mut spec = json!({
        "images": ["example.com/**"],
        "authorities": [{"name": "release", "key": {"publicKey": *KEY}}],
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "portcullis.dev/v1alpha1", "kind": "ImagePolicy", "metadata": {"name": "p"}, "spec": spec})
}

fn snapshot(objects: &[Json]) -> Snapshot {
    let mut definitions = Definitions::default();
    for object in objects {
        read("test.yaml", &object.to_string())
            .unwrap()
            .into_iter()
            .for_each(|m| definitions.add(m));
    }
    Snapshot::build(definitions, Version::default(), None)
}

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

/// What is said of an image: by its tag or, without one, its repository's last part.
fn said(image: &Reference) -> Judgement {
    let word = image.tag().unwrap_or_else(|| image.repository());
    let verdict = match word {
        "bad" => Verdict::Failed,
        "down" => Verdict::Unknown,
        _ => Verdict::Passed,
    };
    let passed = verdict == Verdict::Passed;
    let signer = json!({"kind": "key", "fingerprint": "f"});
    let attempt = |predicate: Option<Json>| Attempt {
        place: "here".into(),
        rejected: None,
        signer: Some(signer.clone()),
        signed_at: None,
        predicate: predicate.map(Arc::new),
    };
    let check = |about, attempts| Check {
        about,
        subject: "it".into(),
        passed,
        reason: "signed".into(),
        attempts,
    };
    let scanned = json!({"critical": if word == "risky" { 3 } else { 0 }});
    let scan = About::Attestation { name: "scan".into(), predicate_type: "scan/v1".into() };
    Judgement {
        image: image.to_string(),
        digest: Some(digest(word).to_string()),
        verdict,
        message: if passed { String::new() } else { format!("image `{image}`: it is {word}") },
        checks: vec![
            check(About::Authority("release".into()), vec![attempt(None)]),
            check(scan, vec![attempt(Some(scanned))]),
        ],
        problems: Vec::new(),
        verified_before: (word == "before").then_some(Timestamp::UNIX_EPOCH),
        is_cut: word == "long",
    }
}

/// A request for an object on its way from one form to another, and which resource it is of.
fn body(resource: &str, old: &Json, object: &Json) -> Vec<u8> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let group = match resource {
        "pods" | "podtemplates" => "",
        "jobs" | "cronjobs" => "batch",
        "pipelines" => "example.com",
        _ => "apps",
    };
    let kind = object["kind"].as_str().unwrap();
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "1", "namespace": "ns", "name": "a",
            "operation": if old.is_null() { "CREATE" } else { "UPDATE" },
            "kind": {"group": group, "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": resource},
            "subResource": subresource, "userInfo": {"username": "jane"},
            "object": object, "oldObject": old,
        },
    })
    .to_string()
    .into_bytes()
}

/// The response, and the images that somebody had to be asked about.
fn respond(phase: Phase, snapshot: &Snapshot, body: Vec<u8>) -> (Json, Vec<String>) {
    let parsed = wire::parse(body).unwrap();
    let request = parsed.request();
    let mut facts = Facts::new();
    facts.add_namespace("ns", Some(NamespaceObject::named("ns")));
    let mut asked = Vec::new();
    for _ in 0..8 {
        match review(phase, &request, snapshot, &facts, &Arena::new()) {
            Ok(decision) => {
                let response = wire::response(request.uid, &decision);
                let response: Json = serde_json::from_slice(&response).unwrap();
                return (response["response"].clone(), asked);
            }
            Err(Need::Images(needed)) => {
                for image in &needed.images {
                    asked.push(image.to_string());
                    facts.add_judgement(&needed.rules, image, Arc::new(said(image)));
                }
                facts.add_now(Timestamp::from_second(1_800_000_000).unwrap());
            }
            Err(need) => panic!("{need}"),
        }
    }
    panic!("it does not come to an end");
}

/// What is changed, by place.
fn patch(response: &Json) -> BTreeMap<String, String> {
    use base64::Engine as _;
    let Some(text) = response["patch"].as_str() else { return BTreeMap::new() };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let operations: Vec<Json> = serde_json::from_slice(&bytes).unwrap();
    let text = |operation: &Json, field: &str| operation[field].as_str().unwrap().to_owned();
    for operation in &operations {
        assert_eq!(operation["op"], "replace", "{operation}");
    }
    operations.iter().map(|one| (text(one, "path"), text(one, "value"))).collect()
}

fn message(response: &Json) -> &str {
    response["status"]["message"].as_str().unwrap_or_default()
}

fn pod(images: &[&str]) -> Json {
    let containers = images.iter().map(|image| json!({"name": "c", "image": image}));
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": containers.collect::<Vec<_>>()},
    })
}

fn pinned(image: &str) -> String {
    let word = image.rsplit(':').next().unwrap();
    format!("{image}@{}", digest(word))
}
