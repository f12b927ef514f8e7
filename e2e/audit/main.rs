//! `portcullis audit` as whoever runs it sees it: exit codes, every form of output, baselines, what is compared, what is
//! hostile, and the page in a real browser where there is one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod browser;
mod hostile;
mod outputs;
mod program;

use serde_json::Value as Json;

use crate::program::{Folder, audit};

/// A policy that no Pod with this label, if any, fails.
pub const NO_LATEST: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: no-latest}
spec:
  severity: High
  category: Images
  owner: platform
  description: |
    A tag that moves makes two Pods of one Deployment differ.
    Name a version.
  validationActions: [Deny]
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - expression: object.spec.containers.all(c, c.name != '')
  - expression: >-
      object.spec.containers.all(c, !c.image.endsWith(':latest'))
    messageExpression: \"'image of ' + object.metadata.name + ' is latest'\"
";

/// One that only warns.
pub const OWNED: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: owned}
spec:
  severity: Low
  validationActions: [Warn]
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - {expression: \"has(object.metadata.labels) && 'team' in object.metadata.labels\", message: no team}
";

pub fn pod(name: &str, namespace: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  labels: {{team: x}}\nspec:\n  \
         containers:\n  - name: c\n    image: {image}\n---\n"
    )
}

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("policies/no-latest.yaml", NO_LATEST);
    folder.write("policies/owned.yaml", OWNED);
    folder
}

#[test]
fn it_ends_as_ci_needs_it() {
    let folder = folder("exit");
    folder.write("good.yaml", pod("good", "a", "x:1"));
    folder.write("bad.yaml", pod("bad", "a", "x:latest"));
    folder.write("warned.yaml", pod("w", "a", "x:1").replace("  labels: {team: x}\n", ""));
    folder.write("broken.yaml", "kind: Pod\n  x: y\n");
    let check = |arguments: &[&str], code: i32| {
        let ran = audit(&folder, &[&["-p", "policies"], arguments].concat());
        assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.out, ran.err);
        ran
    };
    check(&["good.yaml"], 0);
    check(&["bad.yaml"], 1);
    check(&["good.yaml", "bad.yaml"], 1);
    check(&["warned.yaml"], 0);
    check(&["--fail-on", "critical", "bad.yaml"], 0);
    check(&["--fail-on", "high", "bad.yaml"], 1);
    check(&["--fail-on", "low", "warned.yaml"], 1);
    check(&["--fail-on", "medium", "warned.yaml"], 0);
    check(&["--fail-on", "never", "bad.yaml"], 0);
    let broken = check(&["bad.yaml", "broken.yaml"], 2);
    assert!(broken.out.contains("broken.yaml:2:"), "{}", broken.out);
    assert!(broken.out.contains("image of bad is latest"), "{}", broken.out);
    check(&["missing.yaml"], 2);
    check(&["--baseline", "missing.json", "bad.yaml"], 2);
    check(&["-p", "missing", "bad.yaml"], 2);
}

const LIMITED: &str = "
apiVersion: example.com/v1
kind: Limit
metadata: {name: limit, namespace: a}
max: 1
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: few}
spec:
  paramKind: {apiVersion: example.com/v1, kind: Allowance}
  matchConstraints:
    resourceRules:
    - {apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [oxen]}
  validations:
  - {expression: 'object.count <= params.max', messageExpression: '\"at most \" + string(params.max)'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: few}
spec:
  policyName: few
  paramRef: {name: allowed, parameterNotFoundAction: Deny}
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {strict: 'yes'}}}";

const HERD: &str = "
apiVersion: v1
kind: List
items:
- apiVersion: example.com/v1
  kind: Ox
  metadata: {name: lax, namespace: lax}
  count: 5
- apiVersion: example.com/v1
  kind: Ox
  metadata: {name: one, namespace: strict}
  count: 5
- apiVersion: example.com/v1
  kind: Ox
  metadata: {name: two, namespace: strict}
  count: 1
- apiVersion: v1
  kind: Namespace
  metadata: {name: strict, labels: {strict: 'yes'}}
- apiVersion: example.com/v1
  kind: Allowance
  metadata: {name: allowed, namespace: strict}
  max: 3
- apiVersion: apiextensions.k8s.io/v1
  kind: CustomResourceDefinition
  metadata: {name: oxen.example.com}
  spec: {group: example.com, scope: Namespaced, names: {kind: Ox, plural: oxen}, versions: []}
";

#[test]
fn the_dump_of_a_cluster_is_audited_as_the_cluster_would_be() {
    let folder = Folder::new("dump");
    folder.write("policy.yaml", LIMITED);
    let objects = HERD;
    folder.write("dump.yaml", objects);
    let said = |ran: &program::Ran| -> Vec<String> {
        let findings: Vec<Json> =
            ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let text = |f: &Json| format!("{}:{} {}", f["line"], f["object"]["name"], f["message"]);
        findings.iter().map(|f| text(f).replace('"', "")).collect()
    };
    let ran = audit(&folder, &["-p", "policy.yaml", "-o", "jsonl", "dump.yaml"]);
    assert_eq!(said(&ran), ["9:one at most 3"], "{}", ran.err);
    // The same in JSON, in lines, and through a pipe.
    let list: Json = serde_saphyr::from_str(objects).unwrap();
    let lines: String =
        list["items"].as_array().unwrap().iter().map(|item| format!("{item}\n")).collect();
    folder.write("dump.json", list.to_string());
    folder.write("dump.jsonl", &lines);
    let ran = audit(&folder, &["-p", "policy.yaml", "-o", "jsonl", "dump.json"]);
    assert_eq!(said(&ran), ["1:one at most 3"], "{}", ran.err);
    let ran = audit(&folder, &["-p", "policy.yaml", "-o", "jsonl", "dump.jsonl"]);
    assert_eq!(said(&ran), ["2:one at most 3"], "{}", ran.err);
    let ran = program::audit_of(&folder, &["-p", "policy.yaml", "-o", "jsonl", "-"], objects);
    assert_eq!(said(&ran), ["9:one at most 3"], "{}", ran.err);
}

#[test]
fn only_what_is_new_fails_with_a_baseline() {
    let folder = folder("baseline");
    folder.write("pods.yaml", pod("old", "a", "x:latest"));
    let ran = audit(&folder, &["-p", "policies", "--write-baseline", "known.json", "pods.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let with = |arguments: &[&str]| {
        let known = ["-p", "policies", "--baseline", "known.json"];
        audit(&folder, &[&known, arguments].concat())
    };
    assert_eq!(with(&["pods.yaml"]).code, 0);
    // Another line, another message, another file: the same finding.
    let moved = pod("first", "a", "x:1") + &pod("old", "a", "y:latest");
    folder.write("moved.yaml", &moved);
    let ran = with(&["moved.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("1 findings are known"), "{}", ran.out);
    folder.write("more.yaml", moved + &pod("new", "a", "x:latest"));
    let ran = with(&["more.yaml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("image of new") && !ran.out.contains("image of old"), "{}", ran.out);
}

#[test]
fn a_change_of_policies_is_tried_before_it_is_applied() {
    let folder = folder("compare");
    folder.write("new/no-latest.yaml", NO_LATEST.replace("':latest'", "':edge'"));
    folder.write("new/owned.yaml", OWNED);
    let pods = pod("a", "one", "x:latest") + &pod("b", "two", "x:edge") + &pod("c", "two", "x:1");
    folder.write("pods.yaml", &pods);
    let ran = audit(&folder, &["--compare", "policies", "new", "-o", "json", "pods.yaml"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let found: Json = serde_json::from_str(&ran.out).unwrap();
    let names = |which: &str| -> Vec<String> {
        let found = found[which].as_array().unwrap().iter();
        found.map(|found| found["object"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((names("newlyFail"), names("newlyPass")), (vec!["b".into()], vec!["a".into()]));
    assert_eq!(found["namespaces"]["two"], serde_json::json!({"newlyFail": 1, "newlyPass": 0}));
    assert_eq!(found["owners"]["platform"], serde_json::json!({"newlyFail": 1, "newlyPass": 1}));
    let same = audit(&folder, &["--compare", "policies", "policies", "pods.yaml"]);
    assert_eq!(same.code, 0, "{}", same.out);
    assert!(same.out.contains("3 objects: 0 newly fail, 0 newly pass, 1 fail as before"));
}
