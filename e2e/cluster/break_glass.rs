//! What one command does when policies are in the way: enforcement off and on again, with and without a server, and
//! everything removed. These tests have the cluster to themselves.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::kubectl::Said;
use crate::processes::eventually;
use crate::{PATIENCE, PEACE, Space, WORLD, pod};

const GUARDS: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE}
spec:
  validationActions: [Deny]
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - {expression: object.metadata.name != 'bad', message: not this one}
---
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-other}
spec:
  validationActions: [Deny]
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}
  validations:
  - {expression: object.metadata.name != 'bad', message: nor that}
";

const CONFIG_MAP: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: bad}}";

/// Runs the binary as a person does.
fn portcullis(arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let output = command
        .args(arguments)
        .arg("--kubeconfig")
        .arg(WORLD.kubectl.kubeconfig())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = Said {
        success: output.status.success(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    };
    println!("$ portcullis {}\n{}{}", arguments.join(" "), said.stdout, said.stderr);
    said
}

/// Waits until a Pod that the guard is against is created, and answers what was said; it goes again.
fn await_admitted(space: &Space) -> String {
    let bad = pod("bad", "nginx:1");
    eventually("the Pod is admitted", PATIENCE, || {
        let said = space.kubectl.try_apply(&bad);
        if said.success { Ok(said.stderr) } else { Err(said.stderr) }
    })
}

/// Waits until a Pod that the guard is against is denied again. (While the glass is broken its words are in a warning.)
fn await_denied(space: &Space) {
    eventually("the Pod is denied", PATIENCE, || {
        let said = space.kubectl.try_apply(&pod("bad", "nginx:1"));
        if said.stderr.contains("denied request: not this one") { Ok(()) } else { Err(said.stderr) }
    });
}

fn ready_condition(space: &Space) -> (String, String) {
    let policy = WORLD.kubectl.get("validatingpolicy", &space.name);
    let conditions = policy["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    let text = |field: &str| ready[field].as_str().unwrap().to_owned();
    (text("reason"), text("message"))
}

#[test]
fn accepts_with_a_warning_while_the_glass_is_broken_and_rejects_afterwards() {
    let _peace = PEACE.write();
    let space = Space::open("glass");
    let bad = pod("bad", "nginx:1");
    space.apply_until(GUARDS, &bad, "not this one");
    space.await_answer(CONFIG_MAP, "nor that");

    portcullis(&["break-glass", "--reason", "incident 7: nothing rolls out"]).assert_accepted();
    let warned = await_admitted(&space);
    println!("{warned}");
    assert!(warned.contains("Break-glass until"), "{warned}");
    assert!(warned.contains("would deny this: not this one"), "{warned}");
    let (reason, message) = eventually("the policy says so", PATIENCE, || {
        let (reason, message) = ready_condition(&space);
        if reason == "BreakGlass" { Ok((reason, message)) } else { Err(reason + &message) }
    });
    assert!(message.contains("incident 7"), "{reason}: {message}");
    let events = ["get", "events", "-n", "default", "--field-selector=reason=EnforcementSuspended"];
    eventually("there is an Event", PATIENCE, || {
        let said = WORLD.kubectl.run(&events).ok()?;
        if said.contains("incident 7") { Ok(()) } else { Err(said) }
    });
    let listed = WORLD.kubectl.run(&["get", "breakglasses"]);
    println!("$ kubectl get breakglasses\n{}", listed.stdout);
    assert!(listed.stdout.contains("true"), "{}", listed.stdout);

    portcullis(&["break-glass", "--end"]).assert_accepted();
    await_denied(&space);
    eventually("the webhook fails closed again", PATIENCE, || {
        let found = WORLD.kubectl.get("validatingwebhookconfiguration", "portcullis");
        if found["webhooks"][0]["failurePolicy"] == "Fail" {
            Ok(())
        } else {
            Err(found.to_string())
        }
    });
}

#[test]
fn accepts_only_what_the_named_policy_is_against() {
    let _peace = PEACE.write();
    let space = Space::open("one-glass");
    space.apply_until(GUARDS, &pod("bad", "nginx:1"), "not this one");
    space.await_answer(CONFIG_MAP, "nor that");

    let said = portcullis(&[
        "break-glass",
        "--reason",
        "only this",
        "--policy",
        &space.name,
        "--for",
        "4s",
    ]);
    said.assert_accepted();
    let began = Instant::now();
    await_admitted(&space);
    space.kubectl.try_apply(CONFIG_MAP).assert_rejected(&["nor that"]);

    // It ends by itself.
    await_denied(&space);
    println!("it ended {} ms after it began", began.elapsed().as_millis());
    assert!(began.elapsed() > Duration::from_secs(2));
    let said = portcullis(&["break-glass", "--list"]);
    assert!(said.stdout.contains("only this"), "it stays, for whoever asks: {}", said.stdout);
    portcullis(&["break-glass", "--end"]).assert_accepted();
}

#[test]
fn accepts_when_the_server_is_down_and_the_glass_is_broken() {
    let _peace = PEACE.write();
    let space = Space::open("down-glass");
    let bad = pod("bad", "nginx:1");
    space.apply_until(GUARDS, &bad, "not this one");
    WORLD.server.lock().unwrap().kill();
    space.kubectl.try_apply(&bad).assert_rejected(&["failed calling webhook"]);

    let said = portcullis(&["break-glass", "--reason", "the server is gone"]);
    assert!(said.assert_accepted().stdout.contains("webhooks fail open now"));
    await_admitted(&space);
    // A server that starts does not close what was opened on purpose.
    drop(WORLD.server());
    let warned = eventually("the server says that it is open", PATIENCE, || {
        let said = space.kubectl.try_apply(&bad);
        if said.success && said.stderr.contains("Break-glass until") {
            Ok(said.stderr)
        } else {
            Err(said.stderr)
        }
    });
    println!("{warned}");
    portcullis(&["break-glass", "--end"]).assert_accepted();
    await_denied(&space);
}

#[test]
fn accepts_everything_once_it_is_uninstalled() {
    let _peace = PEACE.write();
    let space = Space::open("uninstalled");
    let bad = pod("bad", "nginx:1");
    space.apply_until(GUARDS, &bad, "not this one");
    portcullis(&["uninstall"]).assert_rejected(&["a server runs"]);

    WORLD.server.lock().unwrap().kill();
    eventually("the Lease has run out", PATIENCE, || portcullis(&["uninstall"]).ok());
    for kind in ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
        WORLD.kubectl.run(&["get", kind, "portcullis"]).assert_rejected(&["not found"]);
    }
    space.kubectl.try_apply(&bad).assert_accepted();
    // Installed again, it guards again: the policies were never gone.
    drop(WORLD.server());
    space.await_answer(&bad, "not this one");
}
