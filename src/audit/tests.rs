//! What an audit says about objects, row by row.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::admission::{Facts, NamespaceObject, Need};
use crate::audit::report::{Flavor, Summary, failure, report};
use crate::audit::{Auditor, Chosen, Existing, Finding, NotAnObject, ObjectRef, Served, Verdict};
use crate::cel::{Arena, Version};
use crate::json::Document;
use crate::policy::snapshot::Snapshot;
use crate::policy::{Definitions, manifest};

const PODS: Served<'_> = Served { resource: "pods", namespaced: true };

/// `NAME OPERATIONS EXPRESSION` of policies in force, with what else they say.
fn snapshot(policies: &[(&str, &str, &str, &str)]) -> Snapshot {
    let mut definitions = Definitions::default();
    for (name, operations, expression, rest) in policies {
        let text = format!(
            "{{apiVersion: portcullis.dev/v1alpha1, kind: ValidatingPolicy, metadata: {{name: {name}}}, spec: {{\
             matchConstraints: {{resourceRules: [{{apiGroups: ['*'], apiVersions: ['*'], operations: [{operations}], \
             resources: ['*']}}]}}, {rest} validations: [{{expression: \"{expression}\", message: no {name}}}]}}}}"
        );
        for manifest in manifest::read("a.yaml", &text).unwrap() {
            definitions.add(manifest);
        }
    }
    Snapshot::build(definitions, Version::default(), None)
}

fn pod(rest: &Json) -> Document {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "a", "uid": "u"},
    });
    for (field, value) in rest.as_object().unwrap() {
        pod[field] = value.clone();
    }
    Document::from_value(&pod)
}

fn facts() -> Facts {
    let mut facts = Facts::new();
    facts.add_namespace("a", Some(NamespaceObject::named("a")));
    facts
}

/// `policy: verdict`, and what is wrong.
fn told(
    auditor: &Auditor<'_>,
    object: &Document,
    served: Served<'_>,
) -> (Vec<String>, Vec<Finding>) {
    let existing = Existing::new(object.root(), served).unwrap();
    let examined = auditor.examine(&existing, &facts(), &mut Arena::new()).unwrap();
    let answer =
        |a: &crate::audit::Answer<'_>| format!("{}: {}", a.policy.name, a.verdict.as_str());
    let findings = auditor.findings(&examined, &Arc::new(ObjectRef::of(&existing)));
    (examined.answers.iter().map(answer).collect(), findings)
}

const DENY: &str = "validationActions: [Deny],";

#[test]
fn every_policy_that_can_be_asked_answers_once() {
    let policies = [
        ("a-create", "CREATE", "has(object.spec)", DENY),
        ("b-both", "CREATE, UPDATE", "oldObject == null || false", DENY),
        ("c-update", "UPDATE", "request.operation == 'UPDATE'", DENY),
        ("d-delete", "DELETE", "false", DENY),
        ("e-user", "CREATE", "request.userInfo.username == 'x'", DENY),
        ("f-old", "UPDATE", "object == oldObject", DENY),
        ("g-off", "CREATE", "false", "background: false, validationActions: [Deny],"),
        ("h-unbound", "CREATE", "false", ""),
        ("i-warn", "CREATE", "false", "validationActions: [Warn],"),
        ("j-error", "CREATE", "object.nothing.here == 1", DENY),
        (
            "k-ignore",
            "CREATE",
            "object.nothing.here == 1",
            "failurePolicy: Ignore, validationActions: [Deny],",
        ),
        (
            "l-skip",
            "CREATE",
            "false",
            "matchConditions: [{name: a, expression: 'false'}], validationActions: [Deny],",
        ),
        ("m-all", "'*'", "request.operation == 'CREATE'", DENY),
        ("n-broken", "CREATE", "object.(", DENY),
    ];
    let snapshot = snapshot(&policies);
    let auditor = Auditor::new(&snapshot);
    let (answers, findings) = told(&auditor, &pod(&json!({})), PODS);
    let expect = [
        "a-create: fail",
        "b-both: pass",
        "i-warn: warn",
        "j-error: error",
        "k-ignore: error",
        "l-skip: skip",
        "m-all: pass",
        "c-update: pass",
    ];
    assert_eq!(answers, expect);
    let texts: Vec<&str> = findings.iter().map(|finding| &*finding.message).collect();
    let no_key = "expression 'object.nothing.here == 1' resulted in error: no such key: nothing";
    assert_eq!(texts, ["no a-create", "no i-warn", no_key, no_key]);
    assert_eq!(findings[0].object.to_string(), "Pod a/web");
    let left_out: Vec<String> =
        auditor.left_out().iter().map(|(bound, _)| bound.policy.name.clone()).collect();
    assert_eq!(left_out, ["d-delete", "e-user", "f-old", "g-off", "h-unbound", "n-broken"]);
}

#[test]
fn only_what_is_chosen_is_asked() {
    let snapshot = snapshot(&[("a", "CREATE", "false", DENY), ("b", "UPDATE", "false", DENY)]);
    let check = |names: &[&str], expect: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let chosen = Chosen::from([("ValidatingPolicy", names)]);
        let auditor = Auditor::new(&snapshot).only(&chosen);
        assert_eq!(told(&auditor, &pod(&json!({})), PODS).0, expect);
    };
    check(&[], &[]);
    check(&["a"], &["a: fail"]);
    check(&["b"], &["b: fail"]);
    check(&["a", "b"], &["a: fail", "b: fail"]);
}

#[test]
fn an_object_is_where_it_says() {
    let expression = "request.namespace == 'x'";
    let policies =
        [("a", "CREATE", "!has(request.namespace)", DENY), ("b", "CREATE", expression, DENY)];
    let snapshot = snapshot(&policies);
    let auditor = Auditor::new(&snapshot);
    let check = |object: Json, served: Served<'_>, expect: [&str; 2]| {
        assert_eq!(told(&auditor, &Document::from_value(&object), served).0, expect, "{object}");
    };
    let nodes = Served { resource: "nodes", namespaced: false };
    check(json!({"apiVersion": "v1", "kind": "Node"}), nodes, ["a: pass", "b: error"]);
    let namespaces = Served { resource: "namespaces", namespaced: false };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}});
    check(namespace, namespaces, ["a: fail", "b: pass"]);
    assert_eq!(
        Existing::new(Document::from_value(&json!({"kind": "Pod"})).root(), PODS).unwrap_err(),
        NotAnObject
    );
    let lost = Document::from_value(&json!({"apiVersion": "v1", "kind": "Pod"}));
    let lost = Existing::new(lost.root(), PODS).unwrap();
    assert_eq!(
        auditor.examine(&lost, &facts(), &mut Arena::new()).unwrap_err(),
        Need::Namespace("default".into())
    );
    let mut gone = Facts::new();
    gone.add_namespace("default", None);
    let examined = auditor.examine(&lost, &gone, &mut Arena::new()).unwrap();
    assert_eq!(examined.trouble.as_deref(), Some("namespaces \"default\" not found"));
}

#[test]
fn reports_say_what_was_found() {
    let about = "severity: High, category: Pods, owner: us, validationActions: [Deny, Audit],";
    let snapshot = snapshot(&[("a", "CREATE", "false", about)]);
    let (_, findings) = told(&Auditor::new(&snapshot), &pod(&json!({})), PODS);
    let since = jiff::Timestamp::new(7, 5).unwrap();
    let results = vec![failure(&findings[0], Some(since))];
    let mut summary = Summary::default();
    *summary.of(Verdict::Fail) += 1;
    let metadata = json!({"name": "portcullis", "namespace": "a"});
    let made = report(Flavor::OpenReports, metadata.clone(), summary, results.clone());
    let expect = json!({
        "apiVersion": "openreports.io/v1alpha1",
        "kind": "Report",
        "metadata": metadata,
        "summary": {"pass": 0, "fail": 1, "warn": 0, "error": 0, "skip": 0},
        "results": [{
            "source": "portcullis", "policy": "a", "rule": "validations[0]", "result": "fail", "scored": true,
            "message": "no a", "category": "Pods", "severity": "high",
            "timestamp": {"seconds": 7, "nanos": 5},
            "resources": [{"apiVersion": "v1", "kind": "Pod", "namespace": "a", "name": "web", "uid": "u"}],
            "properties": {"policyKind": "ValidatingPolicy", "owner": "us"},
        }],
        "source": "portcullis",
    });
    assert_eq!(made, expect);
    let cluster = report(Flavor::PolicyReport, json!({"name": "x"}), summary, results);
    assert_eq!(cluster["kind"], "ClusterPolicyReport");
    assert_eq!(cluster["apiVersion"], "wgpolicyk8s.io/v1alpha2");
}
