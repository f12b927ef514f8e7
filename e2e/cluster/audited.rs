//! The command line beside a cluster: its objects audited without being dumped, and its policies against a folder.

use std::process::Command;

use serde_json::Value as Json;

use crate::{Space, WORLD};

const POLICY: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-few-keys}
spec:
  severity: High
  validationActions: [Deny]
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}
  validations:
  - {expression: '!has(object.data) || object.data.size() < 2', message: at most one key}
";

/// A native one that is about custom resources, in all groups.
const NATIVE: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: SPACE-native}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: ['portcullis.dev'], apiVersions: ['*'], operations: [CREATE], resources: ['validatingpolicies']}
  validations:
  - {expression: 'object.metadata.name != \"SPACE-few-keys\"', message: not this name}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: SPACE-native}
spec: {policyName: SPACE-native, validationActions: [Audit]}
";

/// What the program prints, and how it ends.
pub fn portcullis(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .arg("--kubeconfig")
        .arg(WORLD.kubectl.kubeconfig())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (said.into_owned(), output.status.code())
}

#[test]
fn audits_what_a_cluster_has_page_by_page() {
    let space = Space::without_server("audited");
    let folder = std::env::temp_dir().join(format!("portcullis-audited-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("policy.yaml"), space.fill(POLICY)).unwrap();
    std::fs::write(folder.join("native.yaml"), space.fill(NATIVE)).unwrap();
    let folder = folder.to_str().unwrap();
    // More than a page of them.
    let maps: Vec<String> = (0..600)
        .map(|n| {
            let more = if n == 500 { ", b: c" } else { "" };
            format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: m{n}}}, data: {{a: b{more}}}}}")
        })
        .collect();
    let maps = maps.join("\n---\n");
    space.kubectl.run_with(&["create", "-f", "-"], &maps).assert_accepted();
    space.apply(POLICY);
    let arguments = ["audit", "--cluster", "--policies", folder, "-o", "json"];
    let (said, code) = portcullis(&arguments);
    let found: Json = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    let mut names: Vec<&str> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["object"]["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!((names, code), (vec!["e2e-audited-few-keys", "m500"], Some(1)), "{said}");
    assert!(found["objects"].as_u64().unwrap() >= 601, "{said}");
    let uid = &found["findings"][0]["object"]["uid"];
    assert!(uid.as_str().is_some_and(|uid| uid.len() == 36), "{said}");

    // The same with the policies that the cluster has.
    let (said, _) = portcullis(&["audit", "--cluster", "--policies-from-cluster", "-o", "jsonl"]);
    assert!(
        said.lines().any(|line| line.contains("\"m500\"") && line.contains("few-keys")),
        "{said}"
    );

    // The native ones were never applied; the other is as it was declared, until somebody edits it.
    let diff = ["diff", "--ignore-added", folder];
    let (said, code) = portcullis(&diff);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("removed ValidatingAdmissionPolicy e2e-audited-native"), "{said}");
    assert!(!said.contains("changed"), "{said}");
    let (said, code) = portcullis(&["diff", "--ignore-added", "--ignore-native", folder]);
    assert_eq!(code, Some(0), "{said}");
    space.apply(&POLICY.replace("< 2", "< 3"));
    let (said, code) = portcullis(&["diff", "--ignore-added", "--ignore-native", folder]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("spec.validations[0].expression\n    - \"!has(object.data)"), "{said}");
    let _ = std::fs::remove_dir_all(folder);
}
