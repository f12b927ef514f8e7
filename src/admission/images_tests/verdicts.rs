//! What is denied and why, and what the answers hang on.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::admission::images_tests::{
    KEY, body, message, pod, policy, public_key, respond, snapshot,
};
use crate::admission::{Facts, NamespaceObject, Need, Phase, Snapshot, review, wire};
use crate::cel::{Arena, Version};
use crate::policy::Definitions;
use crate::policy::images::ImageRules;
use crate::policy::manifest::read;

#[test]
fn what_was_verified_before_is_told() {
    let snapshot = snapshot(&[policy(&json!({}))]);
    let body = body("pods", &Json::Null, &pod(&["example.com/app:before"]));
    let (response, _) = respond(Phase::Validate, &snapshot, body);
    assert_eq!(response["allowed"], true);
    let expect = "ImagePolicy 'p': image `example.com/app:before` was verified at 1970-01-01T00:00:00Z and not now";
    assert!(response["warnings"][0].as_str().unwrap().starts_with(expect), "{response}");
    assert_eq!(
        response["auditAnnotations"]["p.verified-before"],
        "example.com/app:before at 1970-01-01T00:00:00Z"
    );
}

#[test]
fn expressions_find_images_in_other_kinds() {
    let check = |expression: &str, failure_policy: &str, old: Json, new: Json, expect: &str| {
        let snapshot = snapshot(&[policy(&json!({
            "extractors": [{"name": "steps", "expression": expression}],
            "failurePolicy": failure_policy,
            "matchConstraints": {"resourceRules": [{"apiGroups": ["example.com"], "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"], "resources": ["pipelines"]}]},
        }))]);
        let object = |spec: Json| match spec {
            Json::Null => Json::Null,
            spec => {
                json!({"apiVersion": "example.com/v1", "kind": "Pipeline", "metadata": {"name": "a"}, "spec": spec})
            }
        };
        let body = body("pipelines", &object(old), &object(new));
        let (response, _) = respond(Phase::Validate, &snapshot, body);
        assert_eq!(response["allowed"], expect.is_empty(), "{response}");
        assert!(message(&response).contains(expect), "{response}");
    };
    let (good, bad) = ("example.com/app:1", "example.com/app:bad");
    let steps = |images: &[&str]| json!({"steps": images.iter().map(|image| json!({"image": image})).collect::<Vec<_>>()});
    let all = "object.spec.steps.map(s, s.image)";
    check(all, "Fail", Json::Null, steps(&[good]), "");
    check(all, "Ignore", Json::Null, steps(&[good, bad]), "image `example.com/app:bad`: it is bad");
    check(all, "Fail", steps(&[bad]), steps(&[good, bad]), "");
    check(all, "Fail", steps(&[]), steps(&[bad]), "it is bad");
    check("object.spec.steps[0].image", "Fail", Json::Null, steps(&[bad]), "it is bad");
    check(
        "request.operation == 'UPDATE' ? [] : [object.spec.steps[0].image]",
        "Fail",
        Json::Null,
        steps(&[bad]),
        "it is bad",
    );
    // An error is an error, whatever the object was before.
    let error = "extractor `steps`: expression 'object.spec.steps[0].image' resulted in error";
    check("object.spec.steps[0].image", "Fail", Json::Null, steps(&[]), error);
    check("object.spec.steps[0].image", "Ignore", Json::Null, steps(&[]), "");
    let typed = "extractor `steps`: it gives int: a string or a list of strings is expected";
    check("object.spec.number", "Fail", Json::Null, json!({"number": 1}), typed);
    let element = "extractor `steps`: map is no image: a string is expected";
    check("object.spec.steps", "Fail", Json::Null, steps(&[good]), element);
    check("object.spec.steps", "Ignore", Json::Null, steps(&[good]), "");
}

#[test]
fn validations_see_what_was_verified() {
    let check = |validation: Json, images: &[&str], expect: &str| {
        let snapshot = snapshot(&[policy(&json!({
            "variables": [{"name": "critical", "expression": "images.map(i, i.attestations['scan'][0].predicate.critical)"}],
            "validations": [validation],
        }))]);
        let (response, _) =
            respond(Phase::Validate, &snapshot, body("pods", &Json::Null, &pod(images)));
        assert_eq!(response["allowed"], expect.is_empty(), "{response}");
        assert!(message(&response).contains(expect), "{response}");
    };
    let says = |expression: &str| json!({"expression": expression, "message": "no"});
    let (good, risky) = ("example.com/app:1", "example.com/app:risky");
    check(says("variables.critical.all(c, c == 0)"), &[good], "");
    check(
        says("variables.critical.all(c, c == 0)"),
        &[good, risky],
        "ImagePolicy 'p' denied request: no",
    );
    check(
        says(
            "images.all(i, size(i.signers['release']) > 0 && i.signers['release'][0].kind == 'key')",
        ),
        &[good],
        "",
    );
    check(
        says(
            "images[0].registry == 'example.com' && images[0].repository == 'app' && images[0].tag == '1'",
        ),
        &[good],
        "",
    );
    check(says("images[0].field == 'containers' && images[0].container == 'c'"), &[good], "");
    check(
        says("images[0].digest.startsWith('sha256:') && images[0].reference.endsWith(':1')"),
        &[good],
        "",
    );
    check(says("images[0].attestations['scan'][0].predicateType == 'scan/v1'"), &[good], "");
    check(says("now > timestamp('2026-01-01T00:00:00Z')"), &[good], "");
    check(says("now < timestamp('2026-01-01T00:00:00Z')"), &[good], "no");
    check(
        says(
            "object.metadata.name == 'a' && request.operation == 'CREATE' && namespaceObject.metadata.name == 'ns'",
        ),
        &[good],
        "",
    );
    let worded = json!({"expression": "false", "message": "no", "messageExpression": "'digest ' + images[0].tag"});
    check(worded, &[good], "digest 1");
    check(says("images[0].signers['nobody'].size() > 0"), &[good], "no such key: nobody");
    // Nothing is asked of images that did not pass, nor where no image is new.
    check(says("false"), &["example.com/app:bad"], "it is bad");
    check(says("false"), &["other.example.com/app:1"], "");
    check(says("true"), &["example.com/app:long"], "more than 262144 bytes are attested");
    // Too much of it is an error, as in every policy.
    let dear = "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, [1,2,3,4,5,6,7,8,9,10].all(g, true)))))))";
    check(says(dear), &[good], "cost");
}

#[test]
fn a_key_may_be_in_a_secret() {
    let authority =
        json!([{"name": "a", "key": {"secretRef": {"namespace": "keys", "name": "release"}}}]);
    let secret = |key: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "keys", "name": "release"},
            "stringData": {"cosign.pub": key},
        })
    };
    let check = |objects: &[Json], failure_policy: &str, expect: &str, diagnostic: &str| {
        let policy = policy(&json!({"authorities": authority, "failurePolicy": failure_policy}));
        let snapshot = snapshot(&[&[policy], objects].concat());
        let told = snapshot.policies().next().unwrap().policy.diagnostics().to_vec();
        let told: Vec<String> =
            told.iter().map(|d| format!("{}: {}", d.field, d.message)).collect();
        assert_eq!(told.join("; "), diagnostic);
        let (response, _) = respond(
            Phase::Validate,
            &snapshot,
            body("pods", &Json::Null, &pod(&["example.com/app:1"])),
        );
        assert_eq!(response["allowed"], expect.is_empty(), "{response}");
        assert!(message(&response).contains(expect), "{response}");
    };
    check(&[secret(&KEY)], "Fail", "", "");
    let missing = "there is no Secret `keys/release`";
    let told = "spec.authorities[0].key.secretRef: there is no Secret `keys/release`";
    check(&[], "Fail", missing, told);
    check(&[], "Ignore", "", told);
    let none = "spec.authorities[0].key.secretRef: there is no `PUBLIC KEY` in PEM";
    check(&[secret("none")], "Ignore", "there is no `PUBLIC KEY` in PEM", none);
}

#[test]
fn a_key_that_changes_or_goes_is_another_policy() {
    let key = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "k", "name": "s"},
        "stringData": {"cosign.pub": name}})
    };
    let (one, other) = (&**KEY, &*public_key());
    let build = |secret: Option<Json>, images: &str, previous: Option<&Snapshot>| {
        let mut written = policy(&json!({
            "images": [images],
            "authorities": [{"name": "a", "key": {"secretRef": {"namespace": "k", "name": "s"}}}],
        }));
        written["metadata"]["generation"] = json!(1);
        let mut definitions = Definitions::default();
        for object in [Some(written), secret].into_iter().flatten() {
            read("a", &object.to_string()).unwrap().into_iter().for_each(|m| definitions.add(m));
        }
        Snapshot::build(definitions, Version::default(), previous)
    };
    let rules = |snapshot: &Snapshot| -> Option<Arc<ImageRules>> {
        let parsed = wire::parse(body("pods", &Json::Null, &pod(&["example.com/app:1"]))).unwrap();
        let mut facts = Facts::new();
        facts.add_namespace("ns", Some(NamespaceObject::named("ns")));
        match review(Phase::Validate, &parsed.request(), snapshot, &facts, &Arena::new()) {
            Err(Need::Images(needed)) => Some(needed.rules),
            _ => None,
        }
    };
    let fingerprint =
        |snapshot: &Snapshot| rules(snapshot).map(|rules| rules.fingerprint().to_owned());
    let first = build(Some(key(one)), "example.com/**", None);
    let same = build(Some(key(one)), "example.com/**", Some(&first));
    assert_eq!(fingerprint(&first), fingerprint(&same));
    let rotated = build(Some(key(other)), "example.com/**", Some(&first));
    assert!(fingerprint(&rotated).is_some());
    assert_ne!(fingerprint(&first), fingerprint(&rotated));
    // A key that was taken away is not trusted in the policy's last good form.
    let gone = build(None, "example.com/**", Some(&rotated));
    assert_eq!(fingerprint(&gone), None);
    // An edit that does not compile leaves the last form in force, with the keys that there are.
    let broken = build(Some(key(one)), "example.com*", Some(&rotated));
    assert_eq!(fingerprint(&broken), fingerprint(&first));
}

#[test]
fn what_can_not_be_meant_is_told() {
    let check = |more: Json, expect: &str| {
        let snapshot = snapshot(&[policy(&more)]);
        let bound = snapshot.policies().next().unwrap();
        let told: Vec<String> = bound
            .policy
            .diagnostics()
            .iter()
            .map(|d| format!("{}: {}", d.field, d.message))
            .collect();
        assert!(told.iter().any(|one| one.contains(expect)), "{told:?}");
    };
    let pods = json!({"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]});
    let extractors = json!([{"name": "a", "expression": "object.spec.image"}]);
    let why = "spec.mutateDigest: can't be combined with extractors";
    check(json!({"mutateDigest": true, "extractors": extractors, "matchConstraints": pods}), why);
    check(json!({"extractors": extractors}), "spec.extractors: needs matchConstraints");
    let wrong = json!([{"name": "a", "expression": "1 + 1"}]);
    check(
        json!({"extractors": wrong, "matchConstraints": pods}),
        "spec.extractors[0].expression: ",
    );
    let validation = |expression: &str| json!({"validations": [{"expression": expression}]});
    check(validation("images[0].diggest == ''"), "undefined field 'diggest'");
    check(validation("images.size()"), "spec.validations[0].expression: ");
    check(
        validation("authorizer.path('/').check('get').allowed()"),
        "undeclared reference to 'authorizer'",
    );
    let kms = json!([{"name": "a", "key": {"kms": "awskms:///alias/a"}}]);
    check(
        json!({"authorities": kms}),
        "spec.authorities[0].key.kms: keys of key management systems are not supported",
    );
    let both = json!([{"name": "a", "key": {"publicKey": "a", "secretRef": {"namespace": "a", "name": "b"}}}]);
    check(json!({"authorities": both}), "exactly one of publicKey and secretRef is required");
}

#[test]
fn a_binding_that_does_not_say_so_leaves_image_policies_alone() {
    let binding = |kind: Option<&str>| {
        let mut binding = json!({
            "apiVersion": "portcullis.dev/v1alpha1", "kind": "PolicyBinding", "metadata": {"name": "b"},
            "spec": {"policyName": "p", "validationActions": ["Deny"]},
        });
        if let Some(kind) = kind {
            binding["spec"]["policyKind"] = json!(kind);
        }
        binding
    };
    let check = |kind: Option<&str>, allowed: bool, orphans: usize| {
        let audits = policy(&json!({"validationActions": ["Audit"]}));
        let snapshot = snapshot(&[audits, binding(kind)]);
        let body = body("pods", &Json::Null, &pod(&["example.com/app:bad"]));
        let (response, _) = respond(Phase::Validate, &snapshot, body);
        assert_eq!(response["allowed"], allowed, "{kind:?}: {response}");
        assert_eq!(snapshot.orphans().len(), orphans, "{kind:?}");
    };
    check(None, true, 1);
    check(Some("ValidatingPolicy"), true, 1);
    check(Some("ImagePolicy"), false, 0);
}
