//! Image policies at admission: the webhook server asked over HTTPS, about images in a real registry.

use crate::front::{Answer, Front};
use crate::program::Program;
use crate::push::tag_of;
use crate::world::{FORMATS, Format, WORLD};
use portcullis::images::Digest;
use serde_json::{Value, json};
use std::path::Path;

/// A server with one policy, that asks these hosts without TLS.
pub fn serve(policy: &Path, hosts: &[&str]) -> Program {
    let plain: Vec<&str> = hosts.iter().flat_map(|host| ["--plain-http", host]).collect();
    Program::serve_with(policy, &plain)
}

/// A policy of its own for a test.
pub fn policy(name: &str, more: Value) -> std::path::PathBuf {
    let mut spec = json!({"authorities": [WORLD.key("release")]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    WORLD.write_policy(name, "**", spec)
}

pub fn pod(image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": "default"},
        "spec": {"containers": [{"name": "app", "image": image}]},
    })
}

/// A review of an object on its way from one form to another.
pub fn review(resource: (&str, &str), kind: &str, old: Value, object: Value) -> Value {
    let version = "v1";
    let (group, resource) = resource;
    let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "operation": operation, "namespace": "default", "name": "app",
        "kind": {"group": group, "version": version, "kind": kind},
        "resource": {"group": group, "version": version, "resource": resource},
        "subResource": subresource, "userInfo": {"username": "dev"},
        "object": object, "oldObject": old, "dryRun": false,
    }})
}

pub fn created(image: &str) -> Value {
    review(("", "pods"), "Pod", Value::Null, pod(image))
}

pub fn message(response: &Value) -> &str {
    response["status"]["message"].as_str().unwrap_or_default()
}

#[test]
fn an_unsigned_pod_is_denied_and_told_why() {
    let program = serve(&WORLD.policy("release"), &[&WORLD.registry.host]);
    for format in FORMATS {
        let signed = program.validate(&created(&WORLD.image(format, "signed")));
        assert_eq!(signed["allowed"], true, "{signed}");
        for (image, why) in [
            ("unsigned", "no signature was found"),
            ("by-others", "the signature is not the authority's, or what it signed was changed"),
        ] {
            let image = WORLD.image(format, image);
            let denied = program.validate(&created(&image));
            assert_eq!(denied["allowed"], false, "{denied}");
            assert_eq!(denied["status"]["code"], 403, "{denied}");
            let expect = format!("image `{image}`: authority `release`: {why}");
            assert!(message(&denied).contains("ImagePolicy 'release'"), "{denied}");
            assert!(message(&denied).contains(&expect), "{denied}");
        }
    }
}

#[test]
fn every_place_that_names_an_image_is_judged() {
    let program = serve(&WORLD.policy("release"), &[&WORLD.registry.host]);
    let good = WORLD.image(Format::Bundle, "signed");
    let bad = WORLD.image(Format::Legacy, "unsigned");
    let with = |field: &str, value: Value| {
        let mut pod = pod(&good);
        pod["spec"][field] = value;
        pod
    };
    let bad_container = json!([{"name": "other", "image": bad}]);
    let template = |kind: &str, spec: Value| json!({"kind": kind, "apiVersion": "v1", "metadata": {"name": "app"}, "spec": spec});
    let spec = with("initContainers", bad_container.clone())["spec"].clone();
    let rows = [
        review(("", "pods"), "Pod", Value::Null, with("initContainers", bad_container.clone())),
        review(
            ("", "pods"),
            "Pod",
            Value::Null,
            with("volumes", json!([{"name": "v", "image": {"reference": bad}}])),
        ),
        review(
            ("", "pods/ephemeralcontainers"),
            "Pod",
            pod(&good),
            with("ephemeralContainers", bad_container),
        ),
        review(
            ("apps", "deployments"),
            "Deployment",
            Value::Null,
            template("Deployment", json!({"template": {"spec": spec}})),
        ),
        review(
            ("batch", "cronjobs"),
            "CronJob",
            Value::Null,
            template("CronJob", json!({"jobTemplate": {"spec": {"template": {"spec": spec}}}})),
        ),
    ];
    for row in rows {
        let denied = program.validate(&row);
        assert_eq!(denied["allowed"], false, "{row}");
        assert!(message(&denied).contains(&format!("image `{bad}`")), "{denied}");
    }
    let malformed = program.validate(&created("Not An Image"));
    assert!(message(&malformed).contains("is no repository"), "{malformed}");
}

#[test]
fn what_was_there_before_is_not_judged_again() {
    let program = serve(&WORLD.policy("release"), &[&WORLD.registry.host]);
    let (bad, good) =
        (WORLD.image(Format::Legacy, "unsigned"), WORLD.image(Format::Legacy, "signed"));
    let rows = [(&bad, &bad, true), (&good, &bad, false), (&bad, &good, true)];
    for (before, after, allowed) in rows {
        let row = review(("", "pods"), "Pod", pod(before), pod(after));
        assert_eq!(program.validate(&row)["allowed"], allowed, "{before} {after}");
    }
}

#[test]
fn many_pods_of_one_image_are_one_verification() {
    let front = Front::start(&WORLD.registry.host, |_| Answer::Honest);
    let program = serve(&WORLD.policy("release"), &[&front.host]);
    let image = WORLD.image(Format::Bundle, "signed").replace(&WORLD.registry.host, &front.host);
    std::thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| assert_eq!(program.validate(&created(&image))["allowed"], true));
        }
    });
    let asked: Vec<String> = front.asked().into_iter().map(|asked| asked.path).collect();
    let resolved = asked.iter().filter(|path| path.ends_with("/manifests/v1")).count();
    assert_eq!(resolved, 1, "{asked:?}");
    let metrics = program.get("/metrics").body;
    for expect in [
        "portcullis_image_verifications_total{result=\"passed\"} 1",
        "portcullis_image_answers_total{from=\"registry\"} 1",
        "portcullis_image_answers_total{from=\"kept\"} 199",
    ] {
        assert!(metrics.contains(expect), "no {expect}: {metrics}");
    }
    println!("one verification asks {} questions: {asked:#?}", asked.len());
}

#[test]
fn when_the_registry_is_down_the_failure_policy_decides() {
    let down = |_: &crate::front::Asked| Answer::Status(503, vec![]);
    for (failure_policy, allowed) in [("Fail", false), ("Ignore", true)] {
        let front = Front::start(&WORLD.registry.host, down);
        let file =
            policy(&format!("down-{failure_policy}"), json!({"failurePolicy": failure_policy}));
        let program = serve(&file, &[&front.host]);
        let image =
            WORLD.image(Format::Bundle, "signed").replace(&WORLD.registry.host, &front.host);
        let answer = program.validate(&created(&image));
        assert_eq!(answer["allowed"], allowed, "{answer}");
        if !allowed {
            assert!(message(&answer).contains("answers with status 503"), "{answer}");
        }
    }
}

#[test]
fn a_registry_that_is_down_is_left_alone_and_what_is_known_goes_on() {
    let is_down = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let state = std::sync::Arc::clone(&is_down);
    let front = Front::start(&WORLD.registry.host, move |_| {
        if state.load(std::sync::atomic::Ordering::SeqCst) {
            Answer::Status(503, vec![])
        } else {
            Answer::Honest
        }
    });
    let program = serve(&WORLD.policy("release"), &[&front.host]);
    let named =
        |image: &str| WORLD.image(Format::Legacy, image).replace(&WORLD.registry.host, &front.host);
    let digest = WORLD.digest(Format::Legacy, "signed");
    let known = named("signed").replace(":v1", &format!("@{digest}"));
    assert_eq!(program.validate(&created(&known))["allowed"], true);
    is_down.store(true, std::sync::atomic::Ordering::SeqCst);
    for tag in ["a", "b", "c"] {
        let other = named("signed").replace(":v1", &format!(":{tag}"));
        assert_eq!(program.validate(&created(&other))["allowed"], false);
    }
    let before = front.asked().len();
    let last = program.validate(&created(&named("signed").replace(":v1", ":d")));
    assert!(message(&last).contains("has not answered lately"), "{last}");
    assert_eq!(program.validate(&created(&known))["allowed"], true);
    assert_eq!(front.asked().len(), before, "it was asked again");
}

#[test]
fn actions_and_digests_are_as_the_policy_says() {
    let file = policy("warns", json!({"validationActions": ["Warn"]}));
    let program = serve(&file, &[&WORLD.registry.host]);
    let warned = program.validate(&created(&WORLD.image(Format::Bundle, "unsigned")));
    assert_eq!(warned["allowed"], true, "{warned}");
    let warning = warned["warnings"][0].as_str().unwrap();
    assert!(warning.contains("no signature was found"), "{warned}");

    let file = policy("digests", json!({"requireDigest": true}));
    let program = serve(&file, &[&WORLD.registry.host]);
    let image = WORLD.image(Format::Bundle, "signed");
    let denied = program.validate(&created(&image));
    assert!(message(&denied).contains("it must be named by its digest"), "{denied}");
    let digest = Digest::parse(&WORLD.digest(Format::Bundle, "signed")).unwrap();
    assert!(tag_of(&digest, "").starts_with("sha256-"));
    let bound = format!("{image}@{digest}");
    assert_eq!(program.validate(&created(&bound))["allowed"], true);
}

#[test]
fn a_policy_that_can_not_be_used_lets_nothing_pass() {
    let broken = json!({"authorities": [{"name": "a", "key": {"publicKey": "none"}}]});
    let file = WORLD.write_policy("unusable", "**", broken);
    let program = serve(&file, &[&WORLD.registry.host]);
    let denied = program.validate(&created(&WORLD.image(Format::Bundle, "signed")));
    assert_eq!(denied["allowed"], false, "{denied}");
    assert!(message(&denied).contains("there is no `PUBLIC KEY` in PEM"), "{denied}");
}
