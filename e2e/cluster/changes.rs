//! Policies that change while the server runs: edited, broken, repaired, removed.

use crate::processes::eventually;
use crate::{PATIENCE, PEACE, Space, WORLD, pod};
use std::time::Instant;

/// No Pod of the namespace may be named `TABOO`.
const NAMES: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-names}
spec:
  validationActions: [Deny]
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - {expression: object.metadata.name != 'TABOO', message: no Pod is named TABOO here}
";

/// The same with a misspelt variable.
const BROKEN: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-broken}
spec:
  validationActions: [Deny]
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - {expression: objet.metadata.name != 'x'}
";

#[test]
fn rejects_by_the_new_text_soon_after_an_edit() {
    let _peace = PEACE.read();
    let space = Space::open("edit");
    space.apply_until(
        &NAMES.replace("TABOO", "one"),
        &pod("one", "nginx:1"),
        "no Pod is named one here",
    );

    let mut took = Vec::new();
    for taboo in ["two", "three", "four", "five", "six"] {
        let says = format!("no Pod is named {taboo} here");
        took.push(space.apply_until(&NAMES.replace("TABOO", taboo), &pod(taboo, "nginx:1"), &says));
    }
    took.sort();
    println!("from an edit to its enforcement, of five, `kubectl` included: {took:?}");
    space.kubectl.apply(&pod("one", "nginx:1")).assert_accepted();
}

#[test]
fn accepts_again_after_a_policy_is_deleted() {
    let _peace = PEACE.read();
    let space = Space::open("delete");
    let policy = NAMES.replace("TABOO", "one");
    space.apply_until(&policy, &pod("one", "nginx:1"), "no Pod is named one here");
    space.kubectl.run(&["delete", "validatingpolicy", "e2e-delete-names"]).assert_accepted();
    eventually("the Pod is admitted", PATIENCE, || {
        space.kubectl.apply(&pod("one", "nginx:1")).ok()
    });
}

#[test]
fn rejects_by_other_policies_while_one_does_not_compile() {
    let _peace = PEACE.read();
    let space = Space::open("broken");
    space.apply(BROKEN);
    let excerpt = eventually("a status that shows the error", PATIENCE, || {
        let status = &space.kubectl.get("validatingpolicy", "e2e-broken-broken")["status"];
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let broken = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "False");
        match status["diagnostics"][0]["excerpt"].as_str() {
            Some(excerpt) if broken => Ok(excerpt.to_owned()),
            _ => Err(status.to_string()),
        }
    });
    println!("the status of a policy that does not compile:\n{excerpt}");
    assert!(excerpt.contains("objet.metadata.name"), "the source line: {excerpt}");
    assert!(excerpt.contains('^'), "a caret: {excerpt}");

    space.apply_until(
        &NAMES.replace("TABOO", "one"),
        &pod("one", "nginx:1"),
        "no Pod is named one here",
    );
}

#[test]
fn accepts_after_a_broken_policy_is_repaired() {
    let _peace = PEACE.read();
    let space = Space::open("repair");
    space.apply(BROKEN);
    // A policy that can't be evaluated denies: its failurePolicy is Fail.
    space.await_answer(&pod("fine", "nginx:1"), "e2e-repair-broken");
    space.apply(&BROKEN.replace("objet", "object"));
    eventually("the Pod is admitted", PATIENCE, || {
        space.kubectl.apply(&pod("fine", "nginx:1")).ok()
    });
    space.kubectl.apply(&pod("x", "nginx:1")).assert_rejected(&["e2e-repair-broken"]);
}

#[test]
fn rejects_by_the_last_good_form_while_an_edit_does_not_compile() {
    let _peace = PEACE.write();
    let space = Space::open("last-good");
    let policy = NAMES.replace("TABOO", "one");
    space.apply_until(&policy, &pod("one", "nginx:1"), "no Pod is named one here");
    space.apply(&policy.replace("object.metadata.name", "objet.metadata.name"));
    let stays = "stays in force";
    let message = eventually("a status that says what is in force", PATIENCE, || {
        let status = &space.kubectl.get("validatingpolicy", "e2e-last-good-names")["status"];
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|c| c["type"] == "Ready").cloned().unwrap_or_default();
        let message = ready["message"].as_str().unwrap_or_default().to_owned();
        if message.contains(stays) { Ok(message) } else { Err(status.to_string()) }
    });
    println!("{message}");
    for restart in [false, true] {
        if restart {
            WORLD.server.lock().unwrap().kill();
            drop(WORLD.server());
        }
        let said = space.kubectl.try_apply(&pod("one", "nginx:1"));
        said.assert_rejected(&["no Pod is named one here"]);
        space.kubectl.try_apply(&pod("two", "nginx:1")).assert_accepted();
    }
    space.apply(&NAMES.replace("TABOO", "two"));
    space.await_answer(&pod("two", "nginx:1"), "no Pod is named two here");
    eventually("the status forgets what is no longer in force", PATIENCE, || {
        let status = &space.kubectl.get("validatingpolicy", "e2e-last-good-names")["status"];
        if status.get("lastGood").is_none() { Ok(()) } else { Err(status.to_string()) }
    });
}

/// A rule for a built-in kind and for one of a CustomResourceDefinition, each with a field that its objects do not have.
const MISTYPED: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shops.types.example.com}
spec:
  group: types.example.com
  scope: Namespaced
  names: {plural: shops, singular: shop, kind: Shop}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {open: {type: boolean}}}}}}
---
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-types}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
    - {apiGroups: [types.example.com], apiVersions: [v1], operations: [CREATE], resources: [shops]}
  validations:
  - {expression: object.spec.opened == true}
";

#[test]
fn accepts_a_policy_with_a_field_that_no_object_has_and_says_so_in_its_status() {
    let _peace = PEACE.read();
    let space = Space::open("types");
    space.apply(MISTYPED);
    let warning = eventually("a status that warns of both kinds", PATIENCE, || {
        let status = &space.kubectl.get("validatingpolicy", "e2e-types-types")["status"];
        let warning = &status["typeChecking"]["expressionWarnings"][0];
        let text = warning["warning"].as_str().unwrap_or_default();
        let both = text.contains("Kind=Pod") && text.contains("Kind=Shop");
        if both { Ok(warning.clone()) } else { Err(status.to_string()) }
    });
    println!("{}", warning["warning"].as_str().unwrap());
    assert_eq!(warning["fieldRef"], "spec.validations[0].expression");
}

#[test]
fn accepts_twenty_pods_and_says_what_they_cost() {
    let _peace = PEACE.read();
    let space = Space::open("twenty");
    space.apply_until(
        &NAMES.replace("TABOO", "one"),
        &pod("one", "nginx:1"),
        "no Pod is named one here",
    );
    let status = std::fs::read_to_string(format!("/proc/{}/status", WORLD.server().id()))
        .unwrap_or_default();
    let memory: Vec<_> = status.lines().filter(|line| line.starts_with("VmRSS")).collect();
    let asked = Instant::now();
    for number in 0..20 {
        space.kubectl.try_apply(&pod(&format!("fine-{number}"), "nginx:1")).assert_accepted();
    }
    println!(
        "server: {memory:?}; kubectl, API server and webhook: {} ms a Pod",
        asked.elapsed().as_millis() / 20
    );
}
