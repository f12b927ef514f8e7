//! Outages that others had, each tried here: what a cluster needs to start is not in the way of a policy about everything,
//! nothing is withdrawn in silence, users' specs are theirs, and what was changed later is looked at again.

use crate::processes::eventually;
use crate::{PATIENCE, PEACE, Space, WORLD, pod};
use std::time::Duration;

/// Whatever it is, it is denied: when nobody answers, and when somebody does.
const EVERYTHING: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-everything}
spec:
  validationActions: [Deny]
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*/*']}
  validations:
  - {expression: 'false', message: nothing at all}
";

/// What nodes, leaders, users and those who repair do all the time.
const NEEDED: &[&str] = &[
    "{apiVersion: v1, kind: Node, metadata: {name: SPACE-joins}}",
    "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: SPACE, namespace: kube-system}}",
    "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: SPACE, namespace: default}}",
    "{apiVersion: v1, kind: Event, metadata: {name: SPACE, namespace: default}, \
      involvedObject: {namespace: default}, reason: Tried, message: tried}",
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: SPACE, namespace: kube-system}}",
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: SPACE, namespace: portcullis-system}}",
    "{apiVersion: portcullis.dev/v1alpha1, kind: PolicyBinding, metadata: {name: SPACE}, \
      spec: {policyName: nobody}}",
];

#[test]
fn accepts_what_a_cluster_needs_while_a_policy_about_everything_has_no_server() {
    let _peace = PEACE.write();
    let space = Space::open("everything");
    space.apply_until(EVERYTHING, &pod("any", "nginx:1"), "nothing at all");
    for is_served in [true, false] {
        if !is_served {
            WORLD.server.lock().unwrap().kill();
        }
        space.kubectl.try_apply(&pod("any", "nginx:1")).assert_rejected(&[]);
        for manifest in NEEDED {
            WORLD.kubectl.try_apply(&space.fill(manifest)).assert_accepted();
        }
        // Reviews and tokens, without which nobody logs in. A review is stored nowhere, so it is made for real.
        let token = ["create", "token", "default", "--namespace", &space.name];
        WORLD.kubectl.run(&token).assert_accepted();
        let review = "{apiVersion: authorization.k8s.io/v1, kind: SelfSubjectAccessReview, \
                      spec: {resourceAttributes: {verb: get, resource: pods}}}";
        WORLD.kubectl.run_with(&["create", "-f", "-"], review).assert_accepted();
        let webhooks = ["annotate", "--dry-run=server", "validatingwebhookconfiguration"];
        let webhooks = [&webhooks[..], &["portcullis", "tried=yes"]].concat();
        WORLD.kubectl.run(&webhooks).assert_accepted();
    }
    WORLD.kubectl.delete(&space.fill(EVERYTHING));
    drop(WORLD.server());
    eventually("the namespace is free again", PATIENCE, || {
        space.kubectl.try_apply(&pod("any", "nginx:1")).ok()
    });
}

fn registered() -> serde_json::Value {
    let found = WORLD.kubectl.get("validatingwebhookconfiguration", "portcullis");
    serde_json::json!([found["metadata"]["uid"], found["webhooks"]])
}

#[test]
fn rejects_without_a_gap_as_nothing_registered_is_withdrawn() {
    let _peace = PEACE.write();
    let space = Space::open("withdrawn");
    let policy = EVERYTHING
        .replace("apiGroups: ['*']", "apiGroups: ['']")
        .replace("resources: ['*/*']", "resources: [pods]")
        .replace(
            "  matchConstraints:\n",
            "  matchConstraints:\n    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}\n",
        );
    space.apply_until(&policy, &pod("any", "nginx:1"), "nothing at all");
    let before = registered();
    // Restarts, and a first list without a policy, as of an API server that lost its CRDs for a while.
    for empties in [false, true] {
        WORLD.server.lock().unwrap().kill();
        assert_eq!(registered(), before);
        if empties {
            let all = ["delete", "validatingpolicies,mutatingpolicies", "--all"];
            WORLD.kubectl.run(&all).assert_accepted();
        }
        drop(WORLD.server());
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(registered(), before, "after a restart; without policies: {empties}");
    }
    space.apply_until(&policy, &pod("any", "nginx:1"), "nothing at all");
}

#[test]
fn accepts_a_policy_and_writes_nothing_but_its_status() {
    let _peace = PEACE.read();
    let space = Space::open("spec");
    let policy = EVERYTHING.replace("apiGroups: ['*']", "apiGroups: [nobody.example.com]");
    space.apply(&policy);
    let read = || WORLD.kubectl.get("validatingpolicy", &space.fill("SPACE-everything"));
    let found = eventually("it is ready", PATIENCE, || {
        let found = read();
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        if is_ready { Ok(found) } else { Err(found["status"].to_string()) }
    });
    let metadata = &found["metadata"];
    assert_eq!(metadata["generation"], 1, "the spec was written again");
    assert!(metadata["finalizers"].is_null() && metadata["labels"].is_null(), "{metadata}");
    let said = WORLD.kubectl.run(&[
        "get",
        "validatingpolicy",
        &space.fill("SPACE-everything"),
        "--show-managed-fields",
        "-o",
        "json",
    ]);
    let managed: serde_json::Value = serde_json::from_str(&said.assert_accepted().stdout).unwrap();
    let ours = managed["metadata"]["managedFields"].as_array().unwrap().iter();
    let ours: Vec<_> = ours.filter(|entry| entry["manager"] == "portcullis").collect();
    assert!(!ours.is_empty());
    assert!(ours.iter().all(|entry| entry["subresource"] == "status"), "{ours:?}");
}

/// The first looks at what the second makes, which is called after it: they are of two entries. (A policy that does not
/// match at first is not asked again, as with those of the API server.)
const AGAIN: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: MutatingPolicy
metadata: {name: SPACE-first}
spec:
  selfBinding: true
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: \"Object{metadata: Object.metadata{labels: {'seen': object.metadata.?labels['late'].orValue('no')}}}\"
---
apiVersion: portcullis.dev/v1alpha1
kind: MutatingPolicy
metadata: {name: SPACE-second}
spec:
  selfBinding: true
  failurePolicy: Ignore
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: \"Object{metadata: Object.metadata{labels: {'late': 'yes'}}}\"
";

#[test]
fn mutates_again_what_a_later_webhook_changed() {
    let _peace = PEACE.read();
    let space = Space::open("again");
    space.apply(AGAIN);
    let dry = ["apply", "--dry-run=server", "-f", "-", "-o", "jsonpath={.metadata.labels}"];
    let labels = eventually("the first was asked again", PATIENCE, || {
        let labels = space.kubectl.run_with(&dry, &pod("any", "nginx:1")).ok()?;
        if labels.contains("\"seen\":\"yes\"") { Ok(labels) } else { Err(labels) }
    });
    println!("{labels}");
}
