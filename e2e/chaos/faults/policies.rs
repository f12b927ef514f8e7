//! Faults of people: a policy that is broken by an edit, a new one that never compiled, very many of them, and the glass
//! broken in the middle of it.

use std::fmt::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::faults::{Seen, Window};
use crate::processes::eventually;
use crate::{PATIENCE, World, program};

/// Objects in one `kubectl apply`.
const APPLIED_AT_ONCE: usize = 1_000;

/// A policy that matches what the client writes; `NAME` and `EXPRESSION` are filled in.
const POLICY: &str = "
---
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: NAME, labels: {chaos: many}}
spec:
  validationActions: [Deny]
  failurePolicy: POLICY
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: chaos}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [RESOURCE]}
  validations:
  - {expression: \"EXPRESSION\", message: NAME says no}
";

fn policy(name: &str, failure: &str, resource: &str, expression: &str) -> String {
    POLICY
        .replace("NAME", name)
        .replace("POLICY", failure)
        .replace("RESOURCE", resource)
        .replace("EXPRESSION", expression)
}

/// The last form that compiled stays in force, and a new policy that does not compile harms no other.
pub fn break_policies(world: &mut World) -> Seen {
    let guards = include_str!("../guards.yaml");
    let broken =
        guards.replacen("object.metadata.name != 'bad'", "objet.metadata.name != 'bad'", 1);
    world.kubectl.apply(&broken).assert_accepted();
    // For a resource that the client does not write: what a broken one matches is denied under `Fail`.
    let new = policy("chaos-broken", "Fail", "services", "objet.x == 1");
    world.kubectl.apply(&new).assert_accepted();
    eventually("the policies say that they are broken", PATIENCE, || {
        let said = world.kubectl.run(&["get", "validatingpolicies", "-o", "json"]).ok()?;
        let list: serde_json::Value = serde_json::from_str(&said).unwrap();
        let broken = list["items"].as_array().unwrap().iter().filter(|item| {
            let conditions = item["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "False")
        });
        let broken = broken.count();
        if broken == 2 { Ok(()) } else { Err(format!("{broken} are broken")) }
    });
    world.settle();
    world.fleet.kill(0);
    let death = Window::of_death();
    world.fleet.start(&world.run, 0);
    world.fleet.await_ready(0);
    world.fleet.await_endpoints();
    world.settle();
    world.kubectl.apply(guards).assert_accepted();
    world.kubectl.delete(&new).assert_accepted();
    world.settle();
    let notes = "an edit and a new policy do not compile; a replica is killed meanwhile".to_owned();
    Seen { unanswered: vec![death], notes, ..Seen::default() }
}

/// How long a change to a policy takes until the API server's answers show it.
fn edit(world: &World, name: &str) -> Duration {
    let forbids =
        |word: &str| policy(name, "Fail", "services", &format!("object.metadata.name != '{word}'"));
    let probe = "{apiVersion: v1, kind: Service, metadata: {name: edited, namespace: chaos}, \
                 spec: {ports: [{port: 80}]}}";
    world.kubectl.apply(&forbids("nothing")).assert_accepted();
    eventually("the Service is admitted", PATIENCE, || world.kubectl.try_apply(probe).ok());
    world.kubectl.apply(&forbids("edited")).assert_accepted();
    let applied = Instant::now();
    eventually("the Service is denied", PATIENCE, || {
        let said = world.kubectl.try_apply(probe);
        if said.stderr.contains("says no") { Ok(()) } else { Err(said.stderr) }
    });
    applied.elapsed()
}

pub fn many_policies(world: &mut World) -> Seen {
    let before = world.fleet.memory_mib();
    let filled = Instant::now();
    fill(world, world.sizes.params, |n| {
        let padding = "x".repeat(200);
        format!(
            "\n---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: many-{n}, namespace: default}}, data: {{taboo: {padding}}}}}\n"
        )
    });
    // They match nothing that the client writes, as most policies of a cluster match nothing of most requests.
    fill(world, world.sizes.policies, |n| {
        let resource = ["endpoints", "podtemplates", "replicationcontrollers"][n % 3];
        let expression = format!(
            "object.metadata.name != 'taboo-{n}' && !object.metadata.name.startsWith('x{n}')"
        );
        policy(&format!("many-{n}"), "Fail", resource, &expression)
    });
    let filled = filled.elapsed();
    let edited = edit(world, "many-edited").as_millis();
    let during = world.fleet.memory_mib();
    let death = Window::of_death();
    world.fleet.kill(0);
    world.fleet.start(&world.run, 0);
    let ready = world.fleet.await_ready(0).as_millis();
    world.fleet.await_endpoints();
    world.settle();
    let restarted = world.fleet.memory_mib()[0];
    let (policies, params, filled) = (world.sizes.policies, world.sizes.params, filled.as_secs());
    let notes = format!(
        "{policies} policies and {params} ConfigMaps in {filled} s; an edit is enforced after {edited} ms, `kubectl` \
         included; a restarted replica is ready after {ready} ms; memory {before:?}, then {during:?} MiB, {restarted} \
         MiB of the restarted one"
    );
    Seen { unanswered: vec![death], notes, ..Seen::default() }
}

/// Applies so many manifests.
fn fill(world: &World, count: usize, manifest: impl Fn(usize) -> String) {
    for first in (0..count).step_by(APPLIED_AT_ONCE) {
        let mut text = String::new();
        for n in first..count.min(first + APPLIED_AT_ONCE) {
            let _ = write!(text, "{}", manifest(n));
        }
        let create = ["create", "-f", "-"];
        world.kubectl.run_with(&create, &text).assert_accepted();
    }
}

pub fn remove_many_policies(world: &mut World) -> Seen {
    let delete = ["delete", "validatingpolicies", "-l", "chaos=many", "--wait=false"];
    world.kubectl.run(&delete).assert_accepted();
    eventually("none of them is left", PATIENCE * 5, || {
        let list = ["get", "validatingpolicies", "-l", "chaos=many", "-o", "name"];
        match world.kubectl.run(&list).ok()? {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{} are left", left.lines().count())),
        }
    });
    world.settle();
    let memory = world.fleet.memory_mib();
    Seen { notes: format!("memory {memory:?} MiB afterwards"), ..Seen::default() }
}

/// While the glass is broken bad objects are admitted, on purpose: the client rests then.
pub fn break_the_glass(world: &mut World) -> Seen {
    world.client.pause();
    let portcullis = |arguments: &[&str]| {
        let mut command = Command::new(program());
        command.args(arguments).arg("--kubeconfig").arg(world.kubectl.kubeconfig());
        assert!(command.output().unwrap().status.success(), "portcullis {arguments:?}");
    };
    let bad = "{apiVersion: v1, kind: Pod, metadata: {name: bad, namespace: chaos}, \
               spec: {containers: [{name: app, image: 'nginx:1'}]}}";
    let begun = Instant::now();
    portcullis(&["break-glass", "--reason", "chaos"]);
    eventually("a bad Pod is admitted", PATIENCE, || world.kubectl.try_apply(bad).ok());
    let opened = begun.elapsed().as_millis();
    let ended = Instant::now();
    portcullis(&["break-glass", "--end"]);
    world.await_guards();
    let closed = ended.elapsed().as_millis();
    world.client.go_on();
    world.settle();
    let notes = format!(
        "bad objects are admitted {opened} ms after it is broken, and denied {closed} ms after it ends"
    );
    Seen { notes, ..Seen::default() }
}
