//! What exists already: found, reported, and reported right whatever changes.

use crate::processes::eventually;
use crate::{PATIENCE, PEACE, Space, WORLD, pod};
use serde_json::Value as Json;
use std::time::{Duration, Instant};

/// Objects of the namespace need a label. `RULES` are resource rules.
const LABELLED: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-labelled}
spec:
  validationActions: [Audit]
  severity: High
  category: Labels
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules: [RULES]
  validations:
  - {expression: 'has(object.metadata.labels) && \"team\" in object.metadata.labels', message: MESSAGE}
";

pub const PODS: &str =
    "{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}";

pub fn labelled(rules: &str, message: &str) -> String {
    LABELLED.replace("RULES", rules).replace("MESSAGE", message)
}

impl Space {
    /// All results of the reports of the namespace, and their counts.
    fn reported(&self) -> (Vec<Json>, [u64; 4]) {
        let said = self.kubectl.run(&["get", "reports.openreports.io", "-o", "json"]);
        let list: Json = serde_json::from_str(&said.stdout).unwrap_or_default();
        let reports = list["items"].as_array().cloned().unwrap_or_default();
        let results = |report: &Json| report["results"].as_array().cloned().unwrap_or_default();
        let mut counts = [0; 4];
        for (count, word) in counts.iter_mut().zip(["pass", "fail", "warn", "error"]) {
            *count = reports.iter().filter_map(|report| report["summary"][word].as_u64()).sum();
        }
        (reports.iter().flat_map(results).collect(), counts)
    }

    /// Waits until the reports of the namespace say this: `policy Kind/name message`.
    pub fn await_report(&self, counts: [u64; 4], expect: &[&str]) -> Vec<Json> {
        eventually(&format!("a report of {expect:?}"), PATIENCE, || {
            let (results, found) = self.reported();
            let told = |result: &Json| {
                let text =
                    |pointer: &str| result.pointer(pointer).and_then(Json::as_str).unwrap_or("-");
                format!(
                    "{} {}/{} {}",
                    text("/policy").trim_start_matches(&format!("{}-", self.name)),
                    text("/resources/0/kind"),
                    text("/resources/0/name"),
                    text("/message")
                )
            };
            let mut told: Vec<String> = results.iter().map(told).collect();
            told.sort();
            if told == expect && found == counts {
                Ok(results)
            } else {
                Err(format!("{found:?} {told:?}"))
            }
        })
    }

    pub fn policy(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// What `kubectl events` has of an object, a line each.
    pub fn events(&self, object: &str) -> Vec<String> {
        let said = self.kubectl.run(&["events", "--no-headers", "--for", object]);
        said.stdout.lines().filter(|line| line.contains("Policy")).map(str::to_owned).collect()
    }
}

#[test]
fn reports_what_exists_and_what_becomes_of_it() {
    let _peace = PEACE.read();
    let space = Space::open("audit");
    space.kubectl.apply(&pod("one", "nginx:1")).assert_accepted();
    space.kubectl.apply(&pod("two", "nginx:1")).assert_accepted();
    space.kubectl.run(&["label", "pod", "two", "team=a"]).assert_accepted();

    space.apply(&labelled(PODS, "a Pod has a team"));
    let results = space.await_report([1, 1, 0, 0], &["labelled Pod/one a Pod has a team"]);
    let uid = &space.kubectl.get("pod", "one")["metadata"]["uid"];
    assert_eq!(results[0]["resources"][0]["uid"], *uid);
    assert_eq!(results[0]["severity"], "high");
    assert_eq!(results[0]["category"], "Labels");
    assert_eq!(results[0]["rule"], "validations[0]");
    let since = results[0]["timestamp"]["seconds"].as_i64().unwrap();
    assert!(since > 1_700_000_000, "{since}");

    // An object changes.
    space.kubectl.run(&["label", "pod", "one", "team=a"]).assert_accepted();
    space.await_report([2, 0, 0, 0], &[]);
    space.kubectl.run(&["label", "pod", "two", "team-"]).assert_accepted();
    space.await_report([1, 1, 0, 0], &["labelled Pod/two a Pod has a team"]);

    // The policy changes: what it says, then what it is about.
    space.apply(&labelled(PODS, "each Pod has a team"));
    space.await_report([1, 1, 0, 0], &["labelled Pod/two each Pod has a team"]);
    let services = PODS.replace("pods", "services");
    space.apply(&labelled(&services, "a Service has a team"));
    eventually("no report of Pods is left", PATIENCE, || match space.reported() {
        (results, [0, 0, 0, 0]) if results.is_empty() => Ok(()),
        (results, counts) => Err(format!("{counts:?} {results:?}")),
    });
    space.apply(&labelled(PODS, "a Pod has a team"));
    space.await_report([1, 1, 0, 0], &["labelled Pod/two a Pod has a team"]);

    // Objects and policies go.
    space.kubectl.run(&["delete", "pod", "one", "--grace-period=0", "--force"]).assert_accepted();
    space.await_report([0, 1, 0, 0], &["labelled Pod/two a Pod has a team"]);
    WORLD.kubectl.run(&["delete", "validatingpolicy", &space.policy("labelled")]).assert_accepted();
    eventually("no report is left", PATIENCE, || {
        let said = space.kubectl.run(&["get", "reports.openreports.io", "-o", "name"]);
        if said.stdout.is_empty() { Ok(()) } else { Err(said.stdout) }
    });
}

#[test]
fn finds_a_new_failure_within_a_moment() {
    let _peace = PEACE.read();
    let space = Space::open("audit-soon");
    space.apply(&labelled(PODS, "a Pod has a team"));
    let mut took = Vec::new();
    for number in 0..5 {
        let name = format!("p{number}");
        space.kubectl.apply(&pod(&name, "nginx:1")).assert_accepted();
        let applied = Instant::now();
        let policy = space.policy("labelled");
        eventually("the metric counts it", PATIENCE, || {
            let metrics = WORLD.server().metrics();
            let mine = |line: &&str| line.contains(&policy) && line.contains("audit_findings");
            let line = metrics.lines().find(mine).unwrap_or_default();
            if line.ends_with(&format!(" {}", number + 1)) { Ok(()) } else { Err(line.to_owned()) }
        });
        took.push(applied.elapsed());
    }
    took.sort();
    println!("from an object to the metric that counts what is wrong with it, of five: {took:?}");
    assert!(took[2] < Duration::from_secs(5), "{took:?}");
}

#[test]
fn judges_again_when_params_bindings_and_namespaces_change() {
    let _peace = PEACE.read();
    let space = Space::open("audit-params");
    space.kubectl.apply(&pod("one", "nginx:1")).assert_accepted();
    let limits = |name: &str| {
        space.fill(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: limits, namespace: SPACE}}, data: {{taboo: {name}}}}}"
        ))
    };
    space.kubectl.apply(&limits("one")).assert_accepted();
    space.apply(
        "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-taboo}
spec:
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    namespaceSelector: {matchLabels: {audited: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - {expression: object.metadata.name != params.data.taboo, messageExpression: \"'no ' + params.data.taboo\"}
",
    );
    let binding = |actions: &str| {
        format!(
            "
apiVersion: portcullis.dev/v1alpha1
kind: PolicyBinding
metadata: {{name: SPACE-taboo}}
spec:
  policyName: SPACE-taboo
  validationActions: [{actions}]
  paramRef: {{name: limits, namespace: SPACE, parameterNotFoundAction: Deny}}
"
        )
    };
    space.apply(&binding("Audit"));
    // Nothing says that it is about this namespace.
    let namespace = space.name.clone();
    let label = |label: &str| {
        WORLD
            .kubectl
            .run(&["label", "namespace", &namespace, label, "--overwrite"])
            .assert_accepted();
    };
    label(&format!("audited={namespace}"));
    space.await_report([0, 1, 0, 0], &["taboo Pod/one no one"]);
    // The params.
    space.kubectl.apply(&limits("two")).assert_accepted();
    space.await_report([1, 0, 0, 0], &[]);
    space.kubectl.apply(&limits("one")).assert_accepted();
    space.await_report([0, 1, 0, 0], &["taboo Pod/one no one"]);
    // The binding.
    space.apply(&binding("Warn"));
    space.await_report([0, 0, 1, 0], &["taboo Pod/one no one"]);
    // The namespace.
    label("audited=no");
    space.await_report([0, 0, 0, 0], &[]);
}

#[test]
fn watches_kinds_that_appear_go_and_come_back() {
    let _peace = PEACE.read();
    let space = Space::open("audit-kinds");
    let rule =
        "{apiGroups: [audit.example.com], apiVersions: ['*'], operations: ['*'], resources: ['*']}";
    space.apply(&labelled(rule, "a Thing has a team"));
    let definition = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.audit.example.com}
spec:
  group: audit.example.com
  scope: Namespaced
  names: {kind: Thing, plural: things, singular: thing}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";
    let thing = "{apiVersion: audit.example.com/v1, kind: Thing, metadata: {name: a}}";
    for round in ["new", "back"] {
        space.apply(definition);
        eventually("a Thing is taken", PATIENCE, || space.kubectl.apply(thing).ok());
        let applied = Instant::now();
        space.await_report([0, 1, 0, 0], &["labelled Thing/a a Thing has a team"]);
        println!("a kind that is {round} is reported after {:?}", applied.elapsed());
        let name = "things.audit.example.com";
        WORLD.kubectl.run(&["delete", "crd", name]).assert_accepted();
        space.await_report([0, 0, 0, 0], &[]);
    }
}

#[test]
fn reports_what_the_api_servers_own_policies_say_of_what_exists() {
    let _peace = PEACE.read();
    let space = Space::open("audit-native");
    space.kubectl.apply(&pod("one", "nginx:1")).assert_accepted();
    space.apply(
        "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: SPACE-native}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - {expression: object.metadata.name != 'one', message: not one}
",
    );
    space.apply(
        "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: SPACE-native}
spec: {policyName: SPACE-native, validationActions: [Audit]}
",
    );
    let results = space.await_report([0, 1, 0, 0], &["native Pod/one not one"]);
    assert_eq!(results[0]["properties"]["policyKind"], "ValidatingAdmissionPolicy");
    assert_eq!(results[0]["properties"]["binding"], space.policy("native"));
}

#[test]
fn mends_a_report_that_somebody_else_edits_or_deletes() {
    let _peace = PEACE.read();
    let space = Space::open("audit-foreign");
    space.kubectl.apply(&pod("one", "nginx:1")).assert_accepted();
    space.apply(&labelled(PODS, "a Pod has a team"));
    let expect = ["labelled Pod/one a Pod has a team"];
    space.await_report([0, 1, 0, 0], &expect);
    let edit = r#"{"results": [], "summary": {"fail": 0, "pass": 1}}"#;
    let edit = ["patch", "reports.openreports.io", "portcullis", "--type=merge", "-p", edit];
    space.kubectl.run(&edit).assert_accepted();
    space.await_report([0, 1, 0, 0], &expect);
    space.kubectl.run(&["delete", "reports.openreports.io", "portcullis"]).assert_accepted();
    space.await_report([0, 1, 0, 0], &expect);
    let metrics = WORLD.server().metrics();
    let edited = metrics.lines().find(|line| line.starts_with("portcullis_reports_edited_total"));
    let edited: f64 = edited.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap();
    assert!(edited >= 2.0, "{edited}");
}

#[test]
fn goes_on_where_a_killed_leader_stood() {
    let _peace = PEACE.write();
    let space = Space::open("audit-killed");
    space.kubectl.apply(&pod("one", "nginx:1")).assert_accepted();
    space.apply(&labelled(PODS, "a Pod has a team"));
    let before = space.await_report([0, 1, 0, 0], &["labelled Pod/one a Pod has a team"]);
    let told = space.events("pod/one");
    let version = || {
        let report = space.kubectl.get("reports.openreports.io", "portcullis");
        report["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    };
    let written = version();
    WORLD.server().kill();
    let restarted = Instant::now();
    drop(WORLD.server());
    eventually("the audit is complete again", PATIENCE, || {
        let metrics = WORLD.server().metrics();
        let is = |line: &str| metrics.lines().any(|found| found == line);
        let objects = metrics.lines().find(|line| line.starts_with("portcullis_audit_objects "));
        let has_some = objects.is_some_and(|line| !line.ends_with(" 0"));
        if is("portcullis_audit_backlog 0") && has_some {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    });
    println!("after a kill, the audit is complete again after {:?}", restarted.elapsed());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(version(), written, "what is right is not written again");
    // What happens while nobody audits is seen afterwards, and what was found before is as old as it was.
    WORLD.server().kill();
    space
        .kubectl
        .run(&["delete", "validatingwebhookconfiguration", "portcullis"])
        .assert_accepted();
    space.kubectl.apply(&pod("two", "nginx:1")).assert_accepted();
    drop(WORLD.server());
    let expect = ["labelled Pod/one a Pod has a team", "labelled Pod/two a Pod has a team"];
    let after = space.await_report([0, 2, 0, 0], &expect);
    let of = |results: &[Json], name: &str| {
        let is_it = |result: &&Json| result["resources"][0]["name"] == name;
        results.iter().find(is_it).unwrap()["timestamp"].clone()
    };
    assert_eq!(of(&before, "one"), of(&after, "one"));
    assert_eq!(space.events("pod/one").len(), told.len(), "who audits then has no news");
}

#[test]
fn says_once_which_policies_can_not_be_audited() {
    let _peace = PEACE.read();
    let space = Space::open("audit-cannot");
    let check = |name: &str, operations: &str, expression: &str, expect: &str| {
        space.apply(&format!(
            "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {{name: SPACE-{name}}}
spec:
  validationActions: [Audit]
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: SPACE}}}}
    resourceRules:
    - {{apiGroups: [''], apiVersions: [v1], operations: [{operations}], resources: [pods]}}
  validations:
  - {{expression: \"{expression}\"}}
"
        ));
        let said = eventually("a status that says whether it can be audited", PATIENCE, || {
            let status = &space.kubectl.get("validatingpolicy", &space.policy(name))["status"];
            let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
            let found = conditions.iter().find(|condition| condition["type"] == "Auditable");
            found.cloned().ok_or_else(|| status.to_string())
        });
        let told =
            format!("{} {}", said["status"].as_str().unwrap(), said["message"].as_str().unwrap());
        assert!(told.contains(expect), "{told}");
    };
    check("can", "CREATE", "true", "True ");
    check(
        "user",
        "CREATE",
        "request.userInfo.username != 'x'",
        "False objects that exist can't be audited by it: it reads `request.userInfo`",
    );
    check("old", "UPDATE", "object == oldObject", "reads `oldObject`");
    check("gone", "DELETE", "true", "only DELETE of pods");
}
