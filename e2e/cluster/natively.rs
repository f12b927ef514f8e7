//! The same policies twice: as the API server's own, in one namespace, and as ours, in another. Whoever asks must be told
//! the same in both.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::kubectl::Said;
use crate::processes::eventually;
use crate::{PATIENCE, PEACE, Space};

/// A policy, and requests of which the first is answered with a denial, a warning or a change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default = "config_maps")]
    rule: Value,
    /// Whether only objects with the row's label are meant. Nothing that is connected to has labels.
    #[serde(default = "yes")]
    labelled: bool,
    /// The policy's spec without `matchConstraints`.
    spec: Value,
    /// The binding's spec without the policy's name.
    #[serde(default = "deny")]
    binding: Value,
    #[serde(default = "two_maps")]
    requests: Vec<Request>,
}

/// What `kubectl` is asked, and what it reads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    arguments: String,
    #[serde(default)]
    input: String,
}

fn config_maps() -> Value {
    json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]})
}

fn yes() -> bool {
    true
}

fn deny() -> Value {
    json!({"validationActions": ["Deny"]})
}

fn two_maps() -> Vec<Request> {
    let create = |name: &str, count: &str| Request {
        arguments: "create --dry-run=server -o json -f -".into(),
        input: format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, labels: {{row: ROW}}}}, data: {{count: '{count}'}}}}"
        ),
    };
    vec![create("bad", "4"), create("good", "2")]
}

fn rows() -> Vec<Row> {
    serde_saphyr::from_str(include_str!("natively/rows.yaml")).unwrap()
}

/// There before anybody is asked, in both namespaces.
const SETTING: &str = "
{apiVersion: v1, kind: ConfigMap, metadata: {name: limits, labels: {used: 'yes'}}, data: {most: '3'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: stricter, labels: {used: 'yes'}}, data: {most: '2'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, labels: {row: deletion}}, data: {keep: 'yes'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: edited, labels: {row: update}}, data: {owner: jane}}
---
{apiVersion: v1, kind: Pod, metadata: {name: standing, labels: {app: web}},
 spec: {automountServiceAccountToken: false, containers: [{name: app, image: 'nginx:1'}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, labels: {row: scale}},
 spec: {replicas: 0, selector: {matchLabels: {app: w}},
  template: {metadata: {labels: {app: w}}, spec: {containers: [{name: app, image: 'nginx:1'}]}}}}
";

/// What a person is told, without what names the way that the answer came.
#[derive(Debug, PartialEq)]
struct Told {
    accepted: bool,
    says: Vec<String>,
    object: Option<Value>,
}

impl Row {
    /// The policy and its binding: of the API server if `native`, else ours.
    fn manifest(&self, native: bool, space: &Space) -> String {
        let mutates = self.spec.get("mutations").is_some();
        let (policy, binding, group) = match (native, mutates) {
            (true, false) => (
                "ValidatingAdmissionPolicy",
                "ValidatingAdmissionPolicyBinding",
                "admissionregistration.k8s.io/v1",
            ),
            (true, true) => (
                "MutatingAdmissionPolicy",
                "MutatingAdmissionPolicyBinding",
                "admissionregistration.k8s.io/v1",
            ),
            (false, false) => ("ValidatingPolicy", "PolicyBinding", "portcullis.dev/v1alpha1"),
            (false, true) => ("MutatingPolicy", "PolicyBinding", "portcullis.dev/v1alpha1"),
        };
        let name = format!("{}-{}", space.name, self.name);
        let mut spec = self.spec.clone();
        spec["matchConstraints"] = json!({"resourceRules": [self.rule]});
        if self.labelled {
            let selector = json!({"matchLabels": {"row": self.name}});
            spec["matchConstraints"]["objectSelector"] = selector;
        }
        let mut bound = if mutates { json!({}) } else { self.binding.clone() };
        bound["policyName"] = json!(name);
        let only_here = json!({"matchLabels": {"kubernetes.io/metadata.name": space.name}});
        bound["matchResources"] = json!({"namespaceSelector": only_here});
        let metadata = json!({"name": name});
        let object = |kind: &str, spec: &Value| json!({"apiVersion": group, "kind": kind, "metadata": metadata, "spec": spec});
        format!("{}\n---\n{}\n", object(policy, &spec), object(binding, &bound))
    }

    fn ask(&self, request: &Request, space: &Space) -> Told {
        let fill = |text: &str| space.fill(text).replace("ROW", &self.name);
        let arguments = fill(&request.arguments);
        let arguments: Vec<&str> = arguments.split(' ').collect();
        told(space.kubectl.run_with(&arguments, &fill(&request.input)), space)
    }
}

fn told(said: Said, space: &Space) -> Told {
    let plain = |text: &str| text.replace(&space.name, "SPACE");
    let says = said.stderr.lines().map(|line| {
        let denial = line.split_once(" denied request: ").map(|(_, message)| message);
        // `Warning: Validation failed for KIND 'POLICY' with binding 'BINDING': MESSAGE`
        let warning = line.strip_prefix("Warning: Validation failed for ");
        let warning = warning.and_then(|line| Some(line.split_once("': ")?.1));
        plain(denial.or(warning).unwrap_or(line))
    });
    let mut object: Option<Value> = serde_json::from_str(&plain(&said.stdout)).ok();
    if let Some(metadata) = object.as_mut().and_then(|object| object["metadata"].as_object_mut()) {
        metadata.retain(|field, _| ["labels", "annotations"].contains(&field.as_str()));
    }
    let mut says: Vec<String> = says.collect();
    // The API server warns in no particular order.
    says.sort();
    Told { accepted: said.success, says, object }
}

#[test]
fn answers_as_the_api_servers_own_policies_do() {
    let _peace = PEACE.read();
    let (theirs, ours) = (Space::open("theirs"), Space::open("ours"));
    for space in [&theirs, &ours] {
        space.kubectl.apply(SETTING).assert_accepted();
    }
    let rows = rows();
    let admitted = rows.iter().map(|row| row.ask(&row.requests[0], &theirs)).collect::<Vec<_>>();
    for row in &rows {
        theirs.apply(&row.manifest(true, &theirs));
        ours.apply(&row.manifest(false, &ours));
    }
    let mut differ = Vec::new();
    let mut asked = 0;
    for (row, admitted) in rows.iter().zip(admitted) {
        for (space, native) in [(&theirs, true), (&ours, false)] {
            let what = format!("an answer by {} (native: {native})", row.name);
            eventually(&what, PATIENCE, || {
                let told = row.ask(&row.requests[0], space);
                if told == admitted { Err(format!("{told:?}")) } else { Ok(()) }
            });
        }
        for request in &row.requests {
            asked += 1;
            let (one, other) = (row.ask(request, &theirs), row.ask(request, &ours));
            if one != other {
                differ.push(format!(
                    "{}: {}\n  theirs {one:?}\n  ours   {other:?}",
                    row.name, request.arguments
                ));
            }
        }
    }
    println!("{} policies, {asked} requests: {} differ", rows.len(), differ.len());
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
