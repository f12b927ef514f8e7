//! What holds when Portcullis does not: killed, unreachable, not there at all. These tests have the cluster to
//! themselves.

use crate::processes::eventually;
use crate::{PEACE, Space, WORLD, pod};
use serde_json::{Value, json};
use std::time::Duration;

const GUARDS: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-closed}
spec:
  validationActions: [Deny]
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - {expression: object.metadata.name != 'bad', message: this guard fails closed}
---
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-open}
spec:
  validationActions: [Deny]
  failurePolicy: Ignore
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}
  validations:
  - {expression: object.metadata.name != 'bad', message: this guard fails open}
";

fn config_map(name: &str) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}")
}

#[test]
fn rejects_under_fail_and_accepts_under_ignore_while_killed_and_recovers() {
    let _peace = PEACE.write();
    let space = Space::open("killed");
    space.apply_until(GUARDS, &pod("bad", "nginx:1"), "this guard fails closed");
    space.await_answer(&config_map("bad"), "this guard fails open");

    WORLD.server.lock().unwrap().kill();
    let said = space.kubectl.apply(&pod("fine", "nginx:1"));
    println!("while it is down: {}", said.stderr);
    said.assert_rejected(&["failed calling webhook"]);
    space.kubectl.apply(&config_map("bad")).assert_accepted();
    // The cluster's own life goes on: nobody asked to guard these.
    space
        .kubectl
        .apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: fine}}")
        .assert_accepted();
    WORLD.kubectl.run(&["get", "namespaces"]).assert_accepted();

    drop(WORLD.server());
    space.kubectl.apply(&pod("bad", "nginx:1")).assert_rejected(&["this guard fails closed"]);
    space.kubectl.apply(&pod("fine", "nginx:1")).assert_accepted();
    space.kubectl.run(&["delete", "configmap", "bad"]).assert_accepted();
    space.kubectl.apply(&config_map("bad")).assert_rejected(&["this guard fails open"]);
}

#[test]
fn rejects_what_a_policy_gained_while_the_server_was_down() {
    let _peace = PEACE.write();
    let space = Space::open("missed");
    WORLD.server.lock().unwrap().kill();
    space.apply(GUARDS);
    drop(WORLD.server());
    space.await_answer(&pod("bad", "nginx:1"), "this guard fails closed");
}

/// Writes the Secret of the certificate again as it was, if there is anything to write, and starts the server meanwhile.
/// Answers what the Secret says then.
fn start_without_secret(restored: Option<&Value>) -> Value {
    let data = std::thread::scope(|scope| {
        scope.spawn(|| {
            let Some(data) = restored else { return };
            std::thread::sleep(Duration::from_secs(2));
            let manifest = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data,
                "metadata": {"name": "portcullis-tls", "namespace": "portcullis-system"},
            });
            WORLD.kubectl.apply(&manifest.to_string()).assert_accepted();
        });
        drop(WORLD.server());
        WORLD.kubectl.within("portcullis-system").get("secret", "portcullis-tls")["data"].clone()
    });
    assert!(!data["tls.crt"].is_null());
    data
}

#[test]
fn rejects_by_the_trusted_certificate_after_its_secret_was_lost() {
    let _peace = PEACE.write();
    let space = Space::open("lost-secret");
    space.apply_until(GUARDS, &pod("bad", "nginx:1"), "this guard fails closed");
    let system = WORLD.kubectl.within("portcullis-system");
    let before = system.get("secret", "portcullis-tls")["data"].clone();
    let lose = || system.run(&["delete", "secret", "portcullis-tls"]);
    // One that runs writes it again at once.
    lose().assert_accepted();
    eventually("the Secret is back", Duration::from_secs(10), || {
        system.run(&["get", "secret", "portcullis-tls"]).ok()
    });
    assert_eq!(system.get("secret", "portcullis-tls")["data"], before);
    // One that starts waits for another to do so, while the API server trusts what was in it.
    WORLD.server.lock().unwrap().kill();
    lose().assert_accepted();
    assert!(start_without_secret(Some(&before)) == before, "another authority was made");
    space.kubectl.try_apply(&pod("bad", "nginx:1")).assert_rejected(&["this guard fails closed"]);
    // If nobody does, it makes another one, which the API server is told to trust.
    WORLD.server.lock().unwrap().kill();
    lose().assert_accepted();
    assert!(start_without_secret(None) != before, "no other authority was made");
    space.await_answer(&pod("bad", "nginx:1"), "this guard fails closed");
}

#[test]
fn rejects_nonsense_policies_even_without_a_server() {
    let _peace = PEACE.write();
    let space = Space::without_server("nonsense");
    WORLD.server.lock().unwrap().kill();
    let good = space.fill(GUARDS);
    space.kubectl.try_apply(&good).assert_accepted();
    let rows = [
        ("failurePolicy: Fail", "failurePolicy: Maybe", "failurePolicy"),
        ("[Deny]", "[Deny, Warn]", "validationActions"),
        ("[Deny]", "[Refuse]", "validationActions"),
        ("  validations:\n", "  validation:\n", "unknown field \"spec.validation\""),
        (
            "expression: object",
            "expresion: object",
            "unknown field \"spec.validations[0].expresion\"",
        ),
        ("  matchConstraints:\n", "  matchConstraint:\n", "matchConstraint"),
        ("operations: [CREATE]", "operations: [MAKE]", "operations"),
        (
            "kind: ValidatingPolicy",
            "kind: MutatingPolicy",
            "unknown field \"spec.validationActions\"",
        ),
        (
            "{expression: object.metadata.name != 'bad', message: this guard fails closed}",
            "{message: no}",
            "expression: Required",
        ),
    ];
    for (right, wrong, says) in rows {
        assert!(good.contains(right), "{right}");
        let said = space.kubectl.try_apply(&good.replacen(right, wrong, 1));
        println!("{wrong}: {}", said.stderr);
        said.assert_rejected(&[says]);
    }
}
