//! Which places are pinned to the digests that were verified, and what becomes of those that are not.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::admission::Phase;
use crate::admission::images_tests::{
    body, digest, message, patch, pinned, pod, policy, respond, snapshot,
};

#[test]
fn every_place_is_pinned_to_what_was_verified() {
    let snapshot = snapshot(&[policy(&json!({"mutateDigest": true}))]);
    let check = |resource: &str, object: Json, expect: &[(&str, &str)]| {
        let (response, _) = respond(Phase::Mutate, &snapshot, body(resource, &Json::Null, &object));
        assert_eq!(response["allowed"], true, "{response}");
        let expect = expect.iter().map(|(path, image)| ((*path).to_owned(), pinned(image)));
        assert_eq!(patch(&response), expect.collect(), "{object}");
    };
    let image = |tag: &str| format!("example.com/app:{tag}");
    let spec = json!({
        "initContainers": [{"name": "i", "image": image("1")}],
        "containers": [{"name": "c", "image": image("2")}, {"name": "d", "image": image("2")}],
        "volumes": [{"name": "none"}, {"name": "v", "image": {"reference": image("3")}}],
    });
    let places = |way: &str| {
        [
            (format!("{way}/initContainers/0/image"), image("1")),
            (format!("{way}/containers/0/image"), image("2")),
            (format!("{way}/containers/1/image"), image("2")),
            (format!("{way}/volumes/1/image/reference"), image("3")),
        ]
    };
    let object = |kind: &str, spec: Json| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    let template = json!({"template": {"spec": spec}});
    let rows = [
        ("pods", object("Pod", spec.clone()), "/spec"),
        ("deployments", object("Deployment", template.clone()), "/spec/template/spec"),
        ("jobs", object("Job", template.clone()), "/spec/template/spec"),
        (
            "cronjobs",
            object("CronJob", json!({"jobTemplate": {"spec": template}})),
            "/spec/jobTemplate/spec/template/spec",
        ),
        (
            "podtemplates",
            json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a"}, "template": {"spec": spec}}),
            "/template/spec",
        ),
    ];
    for (resource, object, way) in rows {
        let places = places(way);
        let places: Vec<(&str, &str)> =
            places.iter().map(|(path, image)| (path.as_str(), image.as_str())).collect();
        check(resource, object, &places);
    }
    // What has a digest stays, and so does what is of other registries, does not pass, or is not known.
    let by_digest = pinned("example.com/app:1");
    let rest =
        [&by_digest, "other.example.com/app:1", "example.com/app:bad", "example.com/app:down"];
    check("pods", pod(&rest), &[]);
    let some = ["example.com/app:bad", "example.com/app:1"];
    check("pods", pod(&some), &[("/spec/containers/1/image", "example.com/app:1")]);
    // Without a tag, the one that is meant is written down.
    let (response, _) =
        respond(Phase::Mutate, &snapshot, body("pods", &Json::Null, &pod(&["example.com/app"])));
    assert_eq!(
        patch(&response)["/spec/containers/0/image"],
        format!("example.com/app:latest@{}", digest("latest"))
    );
}

#[test]
fn nothing_is_changed_that_can_not_be_or_that_a_controller_compares() {
    let snapshot = snapshot(&[policy(&json!({"mutateDigest": true}))]);
    let check = |resource: &str, old: &Json, object: &Json, expect: &[(&str, &str)]| {
        let (response, _) = respond(Phase::Mutate, &snapshot, body(resource, old, object));
        let expect: BTreeMap<String, String> =
            expect.iter().map(|(path, image)| ((*path).to_owned(), (*image).to_owned())).collect();
        assert_eq!(patch(&response), expect, "{object}");
    };
    let image = "example.com/app:1";
    let template = |kind: &str, image: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "a"},
            "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}},
        })
    };
    let mut owned = template("ReplicaSet", image);
    owned["metadata"]["ownerReferences"] = json!([{"kind": "Deployment", "controller": true}]);
    check("replicasets", &Json::Null, &owned, &[]);
    let mut owned = pod(&[image]);
    owned["metadata"]["ownerReferences"] = json!([{"kind": "ReplicaSet", "controller": true}]);
    check("pods", &Json::Null, &owned, &[("/spec/containers/0/image", &pinned(image))]);

    // A manifest that is applied again changes nothing of a Job, and resolves the tag again for a Deployment.
    let place = "/spec/template/spec/containers/0/image";
    let before = format!("{image}@{}", digest("what it was"));
    check("jobs", &template("Job", &before), &template("Job", image), &[(place, &before)]);
    check("jobs", &template("Job", &before), &template("Job", "example.com/app:2"), &[]);
    let old = template("Deployment", &before);
    check("deployments", &old, &template("Deployment", image), &[(place, &pinned(image))]);

    // What was there already is not judged, and so not pinned.
    check("pods", &pod(&[image]), &pod(&[image]), &[]);
    let with = |field: &str, value: Json| {
        let mut pod = pod(&[&before]);
        pod["spec"][field] = value;
        pod
    };
    let ephemeral = with("ephemeralContainers", json!([{"name": "e", "image": image}]));
    let place = "/spec/ephemeralContainers/0/image";
    check("pods/ephemeralcontainers", &pod(&[&before]), &ephemeral, &[(place, &pinned(image))]);
    check("pods", &pod(&[&before]), &ephemeral, &[]);
    check("pods/status", &pod(&[&before]), &pod(&[image]), &[]);
    let volume =
        |image: &str| with("volumes", json!([{"name": "v", "image": {"reference": image}}]));
    check("pods", &volume("example.com/app:0"), &volume(image), &[]);
    let place = "/spec/volumes/0/image/reference";
    check("pods", &volume(&before), &volume(image), &[(place, &before)]);
}

#[test]
fn a_pod_that_was_not_pinned_is_an_error_and_what_makes_pods_is_not() {
    let check = |more: Json, resource: &str, object: &Json, expect: &str| {
        let snapshot = snapshot(&[policy(&more)]);
        let body = body(resource, &Json::Null, object);
        let (response, _) = respond(Phase::Validate, &snapshot, body);
        assert_eq!(response["allowed"], expect.is_empty(), "{response}");
        assert!(message(&response).contains(expect), "{response}");
    };
    let tagged = pod(&["example.com/app:1"]);
    let not_pinned =
        "image `example.com/app:1`: it passes, and is not pinned to the digest that was verified";
    check(json!({"mutateDigest": true}), "pods", &tagged, not_pinned);
    check(json!({"mutateDigest": true, "failurePolicy": "Ignore"}), "pods", &tagged, "");
    let by_digest = pod(&[&pinned("example.com/app:1")]);
    check(json!({"mutateDigest": true, "requireDigest": true}), "pods", &by_digest, "");
    check(json!({"requireDigest": true}), "pods", &tagged, "it must be named by its digest");
    // Why an image does not pass is more to know than that it was not pinned for that.
    let bad = pod(&["example.com/app:bad"]);
    check(json!({"mutateDigest": true, "requireDigest": true}), "pods", &bad, "it is bad");
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "a", "ownerReferences": [{"kind": "Deployment", "controller": true}]},
        "spec": {"template": tagged},
    });
    check(json!({"mutateDigest": true, "requireDigest": true}), "replicasets", &set, "");
    set["metadata"] = json!({"name": "a"});
    check(json!({"mutateDigest": true}), "replicasets", &set, "");
    check(json!({"mutateDigest": true, "requireDigest": true}), "replicasets", &set, not_pinned);
    // A fixed answer asks nobody, and so there is nothing to pin to.
    let fixed = json!([{"name": "all", "static": "Pass"}]);
    check(json!({"mutateDigest": true, "authorities": fixed}), "pods", &tagged, "");
    let both = json!({"mutateDigest": true, "requireDigest": true, "authorities": fixed});
    check(both, "pods", &tagged, "it must be named by its digest");
}

#[test]
fn mutating_policies_come_first() {
    let injector = json!({
        "apiVersion": "portcullis.dev/v1alpha1", "kind": "MutatingPolicy", "metadata": {"name": "inject"},
        "spec": {
            "selfBinding": true,
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]},
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'replace', path: '/spec/containers/0/image', value: 'example.com/app:2'}]"}}],
        },
    });
    let snapshot = snapshot(&[injector, policy(&json!({"mutateDigest": true}))]);
    let (response, asked) =
        respond(Phase::Mutate, &snapshot, body("pods", &Json::Null, &pod(&["example.com/app:1"])));
    assert_eq!(patch(&response)["/spec/containers/0/image"], pinned("example.com/app:2"));
    assert_eq!(asked, ["example.com/app:2"]);
}
