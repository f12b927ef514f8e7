//! Reviews in, responses out, over whole policies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::admission::wire::{self, WireError};
use crate::admission::{
    Asked, Facts, NamespaceObject, Need, NoCluster, Phase, Snapshot, Source, Stopwatch, gather,
    native_message, review,
};
use crate::cel::{Answer, Arena, Version};
use crate::policy::Definitions;
use crate::policy::compile::State;
use crate::policy::manifest::read;

/// Policies in short: `name` and the spec's members but for rules, which are for all pods.
fn snapshot(policies: &[(&str, &str)]) -> Snapshot {
    let mut definitions = Definitions::default();
    for (name, spec) in policies {
        let (kind, rules) = match (spec.contains("policyName"), spec.contains("mutations")) {
            (true, _) => ("PolicyBinding", ""),
            (_, true) => ("MutatingPolicy", PODS),
            _ => ("ValidatingPolicy", PODS),
        };
        let text = format!(
            "{{apiVersion: portcullis.dev/v1alpha1, kind: {kind}, metadata: {{name: {name}}}, spec: {{{rules}{spec}}}}}"
        );
        let manifests = read("test.yaml", &text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for manifest in manifests {
            definitions.add(manifest);
        }
    }
    Snapshot::build(definitions, Version::default(), None)
}

const PODS: &str = "matchConstraints: {resourceRules: [{operations: [CREATE, UPDATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]}, ";

const DENY: &str = "validationActions: [Deny], validations: ";

fn body() -> Json {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "namespace": "ns", "name": "a",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "userInfo": {"username": "jane"},
            "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"l": "1"}}},
        },
    })
}

fn facts() -> Facts {
    let mut facts = Facts::new();
    facts.add_namespace("ns", Some(NamespaceObject::named("ns")));
    facts
}

/// The response to the body, and what the API server would say.
fn respond(phase: Phase, policies: &[(&str, &str)]) -> (Json, Option<String>) {
    let snapshot = snapshot(policies);
    let parsed = wire::parse(body().to_string().into_bytes()).unwrap();
    let request = parsed.request();
    let decision = review(phase, &request, &snapshot, &facts(), &Arena::new()).unwrap();
    let response: Json = serde_json::from_slice(&wire::response(request.uid, &decision)).unwrap();
    assert_eq!(response["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(response["kind"], "AdmissionReview");
    assert_eq!(response["response"]["uid"], "u-1");
    (response["response"].clone(), native_message(&request, &decision))
}

#[test]
fn a_request_that_passes_is_allowed_and_nothing_else_is_said() {
    let policies = [("p", "validationActions: [Deny], validations: [{expression: 'true'}]")];
    let expected = json!({"uid": "u-1", "allowed": true});
    assert_eq!(respond(Phase::Validate, &policies).0, expected);
    assert_eq!(respond(Phase::Mutate, &policies).0, expected);
    assert_eq!(respond(Phase::Validate, &[]).0, expected);
}

#[test]
fn a_denial_says_which_policy_and_why() {
    let no = |message: &str, more: &str| {
        format!("{DENY}[{{expression: 'false', message: {message}{more}}}]")
    };
    let one = no("no pods", ", reason: Forbidden");
    let (response, native) = respond(Phase::Validate, &[("p", &one)]);
    assert_eq!(response["allowed"], false);
    assert_eq!(
        response["status"],
        json!({
            "metadata": {}, "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "ValidatingPolicy 'p' denied request: no pods",
        })
    );
    assert_eq!(
        native.unwrap(),
        "pods \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no pods"
    );

    // All of them, each once, however many bindings there are; the first sets the code.
    let (first, second) = (no("one", ""), no("two", ""));
    let bound = "policyName: q";
    let unbound = second.replace("validationActions: [Deny], ", "");
    let policies = [("p", first.as_str()), ("q", unbound.as_str()), ("b", bound), ("c", bound)];
    let status = &respond(Phase::Validate, &policies).0["status"];
    assert_eq!(status["code"], 422);
    assert_eq!(
        status["message"],
        "3 failures:\n- ValidatingPolicy 'p': one\n- ValidatingPolicy 'q' with binding 'b': two\n- ValidatingPolicy 'q' with binding 'c': two"
    );
}

#[test]
fn warnings_and_annotations_come_beside() {
    let spec = "validationActions: [Warn, Audit], \
        validations: [{expression: 'false', message: a < b}, {expression: 'object.nope == 1'}], \
        auditAnnotations: [{key: who, valueExpression: request.userInfo.username}]";
    let response = respond(Phase::Validate, &[("p", spec)]).0;
    assert_eq!(response["allowed"], true);
    let failed = "expression 'object.nope == 1' resulted in error: no such key: nope";
    assert_eq!(
        response["warnings"],
        json!([
            "Validation failed for ValidatingPolicy 'p': a < b",
            format!("Validation failed for ValidatingPolicy 'p': {failed}"),
        ])
    );
    let annotations = &response["auditAnnotations"];
    assert_eq!(annotations["p.who"], "jane");
    let failures = annotations["validation_failure"].as_str().unwrap();
    assert!(failures.starts_with(r#"[{"message":"a \u003c b","policy":"p","binding":"p","expressionIndex":0,"validationActions":["Warn","Audit"]}"#), "{failures}");
}

#[test]
fn mutations_go_by_priority_then_name_and_come_out_as_one_patch() {
    let append = |letter: &str, more: &str| {
        format!(
            "selfBinding: true, {more}mutations: [{{patchType: JSONPatch, jsonPatch: {{expression: '[JSONPatch{{op: \"replace\", path: \"/metadata/labels/l\", value: object.metadata.labels.l + \"{letter}\"}}]'}}}}]"
        )
    };
    let (a, b, c) = (append("a", ""), append("b", "priority: -1, "), append("c", ""));
    let response = respond(Phase::Mutate, &[("c", &c), ("b", &b), ("a", &a)]).0;
    assert_eq!(response["allowed"], true);
    assert_eq!(response["patchType"], "JSONPatch");
    // [{"op":"replace","path":"/metadata/labels/l","value":"1bac"}]
    assert_eq!(
        response["patch"],
        "W3sib3AiOiJyZXBsYWNlIiwicGF0aCI6Ii9tZXRhZGF0YS9sYWJlbHMvbCIsInZhbHVlIjoiMWJhYyJ9XQ=="
    );

    let broken = append("d", "")
        .replace("/metadata/labels/l\\\"", "")
        .replace("labels.l +", "labels.nope +");
    let (response, native) = respond(Phase::Mutate, &[("a", &a), ("d", &broken)]);
    assert_eq!(response["allowed"], false);
    assert_eq!(response.get("patch"), None);
    assert_eq!(response["status"]["code"], 403);
    assert_eq!(response["status"]["reason"], "Invalid");
    let native = native.unwrap();
    assert!(
        native.starts_with("policy 'd' with binding 'd' denied request: expression"),
        "{native}"
    );
}

#[test]
fn a_broken_policy_harms_no_other_and_follows_its_failure_policy() {
    let broken = format!("{DENY}[{{expression: objet.a == 1}}]");
    let ignored = format!("failurePolicy: Ignore, {broken}");
    let good = format!("{DENY}[{{expression: 'false', message: good}}]");
    let set = snapshot(&[("bad", &broken), ("good", &good)]);
    let states: Vec<bool> =
        set.policies().map(|bound| bound.policy.state() == State::Active).collect();
    assert_eq!(states, [false, true]);
    let bound = set.policies().next().unwrap();
    let State::Broken([diagnostic]) = bound.policy.state() else { panic!("{bound:?}") };
    assert_eq!(diagnostic.field, "spec.validations[0].expression");
    assert!(diagnostic.message.contains("undeclared"), "{diagnostic:?}");
    assert!(diagnostic.excerpt.as_ref().unwrap().contains('^'), "{diagnostic:?}");

    let message = |policies: &[(&str, &str)]| {
        let response = respond(Phase::Validate, policies).0;
        response["status"]["message"].as_str().unwrap_or_default().to_owned()
    };
    let both = message(&[("bad", &broken), ("good", &good)]);
    assert!(both.contains("'bad': compilation error") && both.contains("'good': good"), "{both}");
    let one = message(&[("bad", &ignored), ("good", &good)]);
    assert_eq!(one, "ValidatingPolicy 'good' denied request: good");
    assert_eq!(message(&[("bad", &ignored)]), "");
}

/// A clock on which every look takes 40 ms.
#[derive(Debug, Default)]
struct Slow(AtomicU64);

impl Stopwatch for Slow {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(40 * self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(100)
    }
}

#[test]
fn policies_that_there_is_no_time_for_follow_their_failure_policy_and_the_slow_one_is_named() {
    let check = |phase: Phase, failure_policy: &str, expect: &str| {
        let rest = match phase {
            Phase::Validate => format!("{DENY}[{{expression: 'true'}}]"),
            Phase::Mutate => {
                let mutations = "[{patchType: JSONPatch, jsonPatch: {expression: '[JSONPatch{op: \"add\", path: \"/metadata/labels/x\", value: \"y\"}]'}}]";
                format!("selfBinding: true, mutations: {mutations}")
            }
        };
        let spec = format!("failurePolicy: {failure_policy}, {rest}");
        let names = ["a", "b", "c", "d"];
        let snapshot = snapshot(&names.map(|name| (name, spec.as_str())));
        let parsed = wire::parse(body().to_string().into_bytes()).unwrap();
        let (slow, request) = (Slow::default(), parsed.request());
        let asked = Asked { stopwatch: Some(&slow), ..phase.into() };
        let decision = review(asked, &request, &snapshot, &facts(), &Arena::new()).unwrap();
        let told = decision.status.map(|status| status.message).unwrap_or_default();
        assert_eq!(told, expect);
        assert_eq!(decision.outcomes.len(), names.len());
    };
    let why = "denied request: not evaluated: the time was up after 120 ms, of which policy 'a' took 40 ms";
    check(Phase::Validate, "Fail", &format!("ValidatingPolicy 'd' {why}"));
    check(Phase::Mutate, "Fail", &format!("MutatingPolicy 'd' {why}"));
    check(Phase::Validate, "Ignore", "");
    check(Phase::Mutate, "Ignore", "");
}

#[test]
fn only_what_is_bound_is_in_force() {
    let spec = "validations: [{expression: 'false'}]";
    assert_eq!(respond(Phase::Validate, &[("p", spec)]).0["allowed"], true);
    let binding = "policyName: p, validationActions: [Warn]";
    assert_eq!(respond(Phase::Validate, &[("p", spec), ("b", binding)]).0["allowed"], true);
    assert_eq!(
        respond(Phase::Validate, &[("p", spec), ("b", "policyName: p")]).0["allowed"],
        false
    );
    let other = "policyName: p, policyKind: MutatingPolicy";
    assert_eq!(respond(Phase::Validate, &[("p", spec), ("b", other)]).0["allowed"], true);
    let set = snapshot(&[("p", spec), ("b", other)]);
    assert_eq!(set.orphans().len(), 1);
}

#[test]
fn what_did_not_change_is_not_compiled_again() {
    let spec = format!("{DENY}[{{expression: 'false'}}]");
    let definitions = |spec: &str| {
        let mut definitions = Definitions::default();
        for (name, spec) in [("a", spec), ("b", DENY)] {
            let spec = if name == "b" {
                format!("{spec}[{{expression: 'true'}}]")
            } else {
                spec.to_owned()
            };
            let text = format!(
                "{{apiVersion: portcullis.dev/v1alpha1, kind: ValidatingPolicy, metadata: {{name: {name}}}, spec: {{{PODS}{spec}}}}}"
            );
            for manifest in read("t", &text).unwrap() {
                definitions.add(manifest);
            }
        }
        definitions
    };
    let old = Snapshot::build(definitions(&spec), Version::default(), None);
    let changed = spec.replace("false", "true");
    let new = Snapshot::build(definitions(&changed), Version::default(), Some(&old));
    let same: Vec<bool> = old
        .policies()
        .zip(new.policies())
        .map(|(old, new)| std::sync::Arc::ptr_eq(&old.policy, &new.policy))
        .collect();
    assert_eq!(same, [false, true]);
    assert_ne!(old.digest(), new.digest());
}

#[test]
fn a_missing_fact_is_asked_for_and_a_namespace_that_is_missing_is_said() {
    let spec = format!(
        "failurePolicy: Ignore, {DENY}[{{expression: namespaceObject.metadata.name == \"ns\"}}]"
    );
    let snapshot = snapshot(&[("p", &spec)]);
    let parsed = wire::parse(body().to_string().into_bytes()).unwrap();
    let request = parsed.request();
    let mut facts = Facts::new();
    let need = review(Phase::Validate, &request, &snapshot, &facts, &Arena::new()).unwrap_err();
    assert_eq!(need, Need::Namespace("ns".to_owned()));
    facts.add_namespace("ns", None);
    let decision = review(Phase::Validate, &request, &snapshot, &facts, &Arena::new()).unwrap();
    let status = decision.status.unwrap();
    assert_eq!((status.code, status.message.as_str()), (404, "namespaces \"ns\" not found"));
    assert!(!decision.allowed);
}

/// Finds nothing out.
struct Silent;

impl Source for Silent {
    async fn fetch(&self, _: &crate::policy::Request<'_>, _: &Need, _: &mut Facts) {}
}

#[test]
fn gathering_goes_on_until_nothing_is_missing_and_ends_if_nothing_comes() {
    let spec = format!("{DENY}[{{expression: namespaceObject.metadata.name == \"ns\"}}]");
    let snapshot = snapshot(&[("p", &spec)]);
    let parsed = wire::parse(body().to_string().into_bytes()).unwrap();
    let request = parsed.request();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut facts, mut arena) = (Facts::new(), Arena::new());
    let phase = Phase::Validate;
    let gathered = gather(phase, &request, &snapshot, &mut facts, &mut arena, &NoCluster);
    assert!(runtime.block_on(gathered).unwrap().allowed);
    // Whoever asked has a failure policy for that.
    let mut facts = Facts::new();
    let gathered = gather(phase, &request, &snapshot, &mut facts, &mut arena, &Silent);
    let error = runtime.block_on(gathered).unwrap_err();
    assert_eq!(error.to_string(), "namespace `ns` could not be found out");
}

/// An API server that is out of reach.
struct OutOfReach;

impl Source for OutOfReach {
    async fn fetch(&self, _: &crate::policy::Request<'_>, need: &Need, facts: &mut Facts) {
        let Need::Authorization(check) = need else { return };
        let error = Some("connection refused".to_owned());
        facts.add_answer(*check.clone(), Answer { error, unasked: true, ..Answer::default() });
    }
}

#[test]
fn an_authorizer_that_cannot_be_asked_says_neither_yes_nor_no() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let check = "authorizer.group('').resource('pods').check('create')";
    let rows = [
        ("Fail", format!("{check}.allowed()"), false),
        ("Fail", format!("!{check}.allowed()"), false),
        ("Ignore", format!("{check}.allowed()"), true),
        ("Ignore", format!("!{check}.allowed()"), true),
        // Who thinks of it can do as they like.
        ("Fail", format!("{check}.errored() && {check}.error() != ''"), true),
        ("Ignore", format!("!{check}.errored()"), false),
    ];
    for (failure, expression, allowed) in rows {
        let spec = format!("failurePolicy: {failure}, {DENY}[{{expression: \"{expression}\"}}]");
        let snapshot = snapshot(&[("p", &spec)]);
        let parsed = wire::parse(body().to_string().into_bytes()).unwrap();
        let (request, mut facts, mut arena) = (parsed.request(), facts(), Arena::new());
        let gathered =
            gather(Phase::Validate, &request, &snapshot, &mut facts, &mut arena, &OutOfReach);
        let decision = runtime.block_on(gathered).unwrap();
        assert_eq!(decision.allowed, allowed, "{failure}, {expression}");
        let message = decision.status.map(|status| status.message).unwrap_or_default();
        if failure == "Fail" && !allowed {
            let expect = "the authorizer can't be asked: connection refused";
            assert!(message.contains(expect), "{message}");
        }
    }
}

#[test]
fn what_is_no_review_is_refused_with_the_field() {
    let rows = [
        (
            "/kind",
            json!("Pod"),
            "not an AdmissionReview of `admission.k8s.io/v1` but `Pod` of `admission.k8s.io/v1`",
        ),
        ("/apiVersion", json!("admission.k8s.io/v1beta1"), "not an AdmissionReview"),
        ("/request", json!(null), "`request` is not an object"),
        ("/request/kind", json!("Pod"), "`request.kind` is not a group, version and kind"),
        ("/request/resource", json!({}), "`request.resource` is not a group, version and resource"),
        (
            "/request/operation",
            json!("PATCH"),
            "`request.operation` is not CREATE, UPDATE, DELETE or CONNECT",
        ),
        ("/request/namespace", json!(1), "`request.namespace` is not a string"),
        ("/request/object", json!([]), "`request.object` is not an object"),
        ("/request/userInfo", json!("jane"), "`request.userInfo` is not an object"),
    ];
    for (place, value, expected) in rows {
        let mut body = body();
        *body.pointer_mut(place).unwrap() = value;
        let error = wire::parse(body.to_string().into_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{place}: {error}");
    }
    assert!(matches!(wire::parse(b"{\"a\": ".to_vec()), Err(WireError::Syntax(_))));
}

#[test]
fn a_review_as_the_api_server_sends_it_and_one_by_hand_look_the_same_to_expressions() {
    let mut full = body();
    let request = full["request"].as_object_mut().unwrap();
    for (own, asked) in [("kind", "requestKind"), ("resource", "requestResource")] {
        request.insert(asked.to_owned(), request[own].clone());
    }
    request.insert("dryRun".to_owned(), json!(false));
    request.insert("options".to_owned(), json!(null));
    request.insert("oldObject".to_owned(), json!(null));
    let attributes = |body: &Json| {
        let parsed = wire::parse(body.to_string().into_bytes()).unwrap();
        parsed.request().attributes.to_value()
    };
    assert_eq!(attributes(&full), attributes(&body()));
    assert_eq!(attributes(&full).get("uid"), Some(&json!("")));
    assert_eq!(attributes(&full).get("object"), Some(&Json::Null));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_review_or_refused(place in 0_usize..400, byte: u8) {
        let mut bytes = body().to_string().into_bytes();
        let place = place % bytes.len();
        bytes[place] = byte;
        if let Ok(review) = wire::parse(bytes) {
            let _ = review.request().display_name();
        }
    }

    #[test]
    fn any_text_is_a_manifest_or_refused(place in 0_usize..400, text in ".{0,3}") {
        let mut manifest = format!("apiVersion: portcullis.dev/v1alpha1\nkind: ValidatingPolicy\nmetadata: {{name: a}}\nspec: {{{PODS}{DENY}[{{expression: 'true'}}]}}\n");
        let place = place % manifest.len();
        manifest.replace_range(place..=place, &text);
        if let Ok(manifests) = read("a.yaml", &manifest) {
            let mut definitions = Definitions::default();
            for manifest in manifests {
                definitions.add(manifest);
            }
            Snapshot::build(definitions, Version::default(), None);
        }
    }
}
