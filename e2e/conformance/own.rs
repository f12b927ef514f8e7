//! Our own cases, where a rule is easy to get wrong: `cases.jsonl`, each with what the API server's own code (Kubernetes
//! 1.37.1) answers. A case states what differs from the usual: a policy for everything, a request that creates one pod.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::case::Case;

/// The cases, in the form of the corpora.
pub fn cases() -> impl Iterator<Item = Case<'static>> {
    include_str!("cases.jsonl").lines().map(|line| {
        let mut case: Json = serde_json::from_str(line).unwrap();
        case["oracle_agrees"] = true.into();
        case["policies"] = case["policies"].as_array().unwrap().iter().map(policy).collect();
        case["review"] = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": request(&case["request"]),
        });
        Case { folder: Path::new(""), case }
    })
}

/// `{KIND: NAME, "spec": {..}}` in full.
fn policy(short: &Json) -> Json {
    let (kind, name) = short.as_object().unwrap().iter().find(|(key, _)| *key != "spec").unwrap();
    let mut spec = short["spec"].clone();
    if !kind.ends_with("Binding") && spec["matchConstraints"].is_null() {
        let all = json!({
            "operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*", "*/*"],
        });
        spec["matchConstraints"] = json!({"resourceRules": [all]});
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// The request with what the case states.
fn request(differs: &Json) -> Json {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let mut request = json!({
        "uid": "1", "operation": "CREATE", "namespace": "ns", "name": "a", "dryRun": false,
        "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
        "userInfo": {"username": "u", "uid": "x", "groups": ["g1", "g2"], "extra": {"k": ["v"]}},
        "object": {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "ns", "labels": {"l": "v"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
        "oldObject": null,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
    });
    for (field, value) in differs.as_object().into_iter().flatten() {
        request[field] = value.clone();
    }
    request
}
