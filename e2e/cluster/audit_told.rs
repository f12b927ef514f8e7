//! What the audit tells beside reports: Events on objects, and policies that it can't ask.

use crate::audit::{PODS, labelled};
use crate::processes::eventually;
use crate::{PATIENCE, PEACE, Space, WORLD, pod};
use serde_json::Value as Json;
use std::time::Duration;

#[test]
fn writes_an_event_on_an_object_that_newly_fails() {
    let _peace = PEACE.read();
    let space = Space::open("audit-events");
    let name = space.name.clone();
    space.kubectl.apply(&pod("one", "nginx:1")).assert_accepted();
    space.kubectl.run(&["label", "pod", "one", "team=a"]).assert_accepted();
    space.apply(&labelled(PODS, "a Pod has a team"));
    // A Namespace lives in none, and so Events about it are in `default`.
    space.apply(
        "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-owned}
spec:
  validationActions: [Warn]
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [namespaces], resourceNames: [SPACE]}
  validations:
  - {expression: \"!('orphan' in object.metadata.labels)\", message: a Namespace has an owner}
",
    );
    space.await_report([1, 0, 0, 0], &[]);
    assert_eq!(space.events("pod/one"), [""; 0]);
    // Other tests may have used up what may be written at once.
    let told = |label: [&str; 4], unlabel: [&str; 4], kubectl: &[&str]| {
        eventually("an Event that says so", PATIENCE, || {
            WORLD.kubectl.run(&["-n", &name, "label", label[0], label[1], label[2], label[3]]);
            let found = eventually_soon(|| {
                let said = WORLD.kubectl.run(kubectl).stdout;
                said.lines().find(|line| line.contains("Policy")).map(str::to_owned)
            });
            let undo = ["-n", &name, "label", unlabel[0], unlabel[1], unlabel[2], unlabel[3]];
            WORLD.kubectl.run(&undo);
            found.ok_or_else(|| "none".to_owned())
        })
    };
    let line = told(
        ["pod", "one", "team-", "--overwrite"],
        ["pod", "one", "team=a", "--overwrite"],
        &["-n", &name, "events", "--no-headers", "--for", "pod/one"],
    );
    let expect = format!(
        "Pod/one ValidatingPolicy {}, validations[0]: a Pod has a team",
        space.policy("labelled")
    );
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("Warning PolicyViolation") && words.ends_with(&expect), "{line}");
    let described = space.kubectl.run(&["describe", "pod", "one"]).stdout;
    assert!(described.contains("PolicyViolation"), "{described}");
    let line = told(
        ["namespace", &name, "orphan=yes", "--overwrite"],
        ["namespace", &name, "orphan-", "--overwrite"],
        &["-n", "default", "events", "--no-headers", "--for", &format!("namespace/{name}")],
    );
    assert!(line.contains("PolicyWarning") && line.contains("a Namespace has an owner"), "{line}");
}

/// What is there within a few seconds.
fn eventually_soon<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    (0..15).find_map(|_| {
        let found = look();
        if found.is_none() {
            std::thread::sleep(Duration::from_millis(300));
        }
        found
    })
}

#[test]
fn sums_up_what_is_too_much_for_an_event_each() {
    let _peace = PEACE.read();
    let space = Space::open("audit-many-events");
    let pods: Vec<String> = (0..30).map(|n| pod(&format!("p{n}"), "nginx:1")).collect();
    space.kubectl.apply(&pods.join("\n---\n")).assert_accepted();
    space.kubectl.run(&["label", "pods", "--all", "team=a"]).assert_accepted();
    let wants_team = labelled(PODS, "a Pod has a team");
    space.apply(&wants_team);
    space.await_report([30, 0, 0, 0], &[]);
    // An edit, by which all of them fail at once.
    space.apply(&wants_team.replace("\"team\"", "\"owner\""));
    let policy = space.policy("labelled");
    // They add up for half a minute.
    let patience = Duration::from_secs(30) + PATIENCE;
    let summed = eventually("an Event on the policy", patience, || {
        let said = WORLD.kubectl.run(&["describe", "validatingpolicy", &policy]).stdout;
        let line = said.lines().find(|line| line.contains("PolicyViolations"));
        let line = line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        line.ok_or(said)
    });
    let (_, note) = summed.split_once("portcullis ").unwrap();
    let more: usize = note.split(' ').next().unwrap().parse().unwrap();
    assert!(note.contains(" more findings, too many for an Event each, the first about Pod "));
    let said = space.kubectl.run(&["get", "events", "-o", "json"]).stdout;
    let events: Json = serde_json::from_str(&said).unwrap();
    let is_ours = |event: &&Json| event["reason"] == "PolicyViolation";
    let written = events["items"].as_array().unwrap().iter().filter(is_ours).count();
    assert!(written <= 10, "{written}");
    assert_eq!(written + more, 30, "{note}");
    let metrics = WORLD.server().metrics();
    let left_out = "portcullis_audit_events_total{result=\"left_out\"} ";
    let left_out = metrics.lines().find_map(|line| line.strip_prefix(left_out)).unwrap();
    assert!(left_out.parse::<usize>().unwrap() >= more, "{left_out}");
}

#[test]
fn shows_which_of_the_api_servers_own_policies_can_not_be_audited() {
    let _peace = PEACE.read();
    let space = Space::open("audit-native-cannot");
    space.apply(
        "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: SPACE-user}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - {expression: request.userInfo.username != 'nobody'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: SPACE-user}
spec: {policyName: SPACE-user, validationActions: [Audit]}
",
    );
    let expect = format!(
        "portcullis_audit_policies_left_out{{kind=\"ValidatingAdmissionPolicy\",policy=\"{}\",reason=\"user\"}} 1",
        space.policy("user")
    );
    eventually("the metric names it", PATIENCE, || {
        let metrics = WORLD.server().metrics();
        if metrics.lines().any(|line| line == expect) { Ok(()) } else { Err(metrics) }
    });
}
