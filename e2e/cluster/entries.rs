//! How the API server is told to ask: one webhook entry for the policies that agree in what no answer means and how long to
//! wait, and a slow policy that harms those of its own entry at most.

use crate::processes::eventually;
use crate::{PATIENCE, PEACE, Space, WORLD, pod};
use std::fmt::Write;

/// A policy about Pods; `REST` are more of its fields.
const POLICY: &str = "
---
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-NAME}
spec:
  validationActions: [Deny]
  REST
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - {expression: \"EXPRESSION\", message: NAME says no}
";

/// Params of the slow policy: each is evaluated by itself, and looks at the clock.
const PARAMS: usize = 200;

fn policy(name: &str, rest: &str, expression: &str) -> String {
    POLICY.replace("NAME", name).replace("REST", rest).replace("EXPRESSION", expression)
}

/// The entries that are registered for validation: `name timeoutSeconds failurePolicy`.
fn entries() -> Vec<String> {
    let found = WORLD.kubectl.get("validatingwebhookconfiguration", "portcullis");
    let entries = found["webhooks"].as_array().cloned().unwrap_or_default();
    let text = |entry: &serde_json::Value| {
        let name = entry["name"].as_str().unwrap().trim_end_matches(".portcullis.dev");
        format!("{name} {} {}", entry["timeoutSeconds"], entry["failurePolicy"].as_str().unwrap())
    };
    entries.iter().map(text).collect()
}

#[test]
fn rejects_by_each_of_the_entries_that_policies_need() {
    let _peace = PEACE.read();
    let space = Space::open("entries");
    let rows = [
        ("plain", "failurePolicy: Fail", "validate.fail 10 Fail"),
        ("quick", "timeoutSeconds: 7", "validate.fail-7 7 Fail"),
        ("soft", "{timeoutSeconds: 7, failurePolicy: Ignore}", "validate.ignore-7 7 Ignore"),
    ];
    for (name, rest, entry) in rows {
        let rest = rest.trim_matches(['{', '}']).replace(", ", "\n  ");
        let expression = format!("object.metadata.name != '{name}'");
        let says = format!("{name} says no");
        space.apply_until(&policy(name, &rest, &expression), &pod(name, "nginx:1"), &says);
        assert!(entries().iter().any(|found| found == entry), "{entry}: {:?}", entries());
    }
    // Asked by one entry each, so that nobody is told twice.
    let everywhere = policy("quick", "timeoutSeconds: 7", "false");
    space.apply_until(&everywhere, &pod("any", "nginx:1"), "quick says no");
    let said = space.kubectl.try_apply(&pod("any", "nginx:1")).stderr;
    assert_eq!(said.matches("quick says no").count(), 1, "{said}");
    // An edit that moves it to another entry leaves no moment without it.
    space.apply(&policy("quick", "timeoutSeconds: 9", "false"));
    eventually("the edit is registered", PATIENCE, || {
        space.kubectl.try_apply(&pod("any", "nginx:1")).assert_rejected(&["quick says no"]);
        let found = entries();
        let is_there = found.iter().any(|entry| entry == "validate.fail-9 9 Fail");
        if is_there { Ok(()) } else { Err(format!("{found:?}")) }
    });
    for wrong in ["0", "31", "soon"] {
        let manifest = policy("wrong", &format!("timeoutSeconds: {wrong}"), "true");
        let said = space.kubectl.try_apply(&space.fill(&manifest));
        said.assert_rejected(&["timeoutSeconds"]);
    }
}

#[test]
fn rejects_at_its_own_deadline_and_names_the_slow_policy() {
    let _peace = PEACE.write();
    let space = Space::open("slow");
    let params = (0..PARAMS).fold(String::new(), |mut text, n| {
        let labels = "{e2e: slow-params}";
        let _ = write!(
            text,
            "\n---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: p{n}, labels: {labels}}}}}"
        );
        text
    });
    space.kubectl.run_with(&["create", "-f", "-"], &params).assert_accepted();
    // A release evaluates some ten times as fast.
    let rounds = if cfg!(debug_assertions) { 100 } else { 1000 };
    let list = |len: usize| format!("[{}]", vec!["1"; len].join(","));
    let (outer, inner) = (list(rounds), list(100));
    let busy = format!("{outer}.all(a, {inner}.all(b, a + b + size(params.metadata.name) > 0))");
    let terms = |failure: &str| {
        format!(
            "timeoutSeconds: 3\n  failurePolicy: {failure}\n  paramKind: {{apiVersion: v1, kind: ConfigMap}}\n  \
             paramRef: {{namespace: SPACE, parameterNotFoundAction: Deny, selector: {{matchLabels: {{e2e: slow-params}}}}}}"
        )
    };
    space.apply_until(
        &policy("slow", &terms("Fail"), &busy),
        &pod("any", "nginx:1"),
        "not evaluated: the time was up after",
    );
    let said = space.kubectl.try_apply(&pod("any", "nginx:1"));
    println!("{}", said.stderr.lines().next().unwrap_or_default());
    said.assert_rejected(&["of which policy 'e2e-slow-slow' took"]);
    assert!(!said.stderr.contains("failed calling webhook"), "{}", said.stderr);
    space.apply(&policy("slow", &terms("Ignore"), &busy));
    eventually("what is late is let through under Ignore", PATIENCE, || {
        space.kubectl.try_apply(&pod("any", "nginx:1")).ok()
    });
}
