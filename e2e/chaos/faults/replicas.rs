//! Faults of replicas: killed, stopped in order, replaced, hanging.

use std::time::{Duration, Instant};

use crate::faults::{Seen, Window};
use crate::processes::eventually;
use crate::{PATIENCE, REPLICAS, World};

/// Another policy, for resources that the client does not write.
const LATE: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: chaos-late}
spec:
  validationActions: [Deny]
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: chaos}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [services]}
  validations:
  - {expression: \"object.metadata.name != 'late'\", message: this guard came late}
";

const LATE_PROBE: &str = "{apiVersion: v1, kind: Service, \
     metadata: {name: late, namespace: chaos}, spec: {ports: [{port: 80}]}}";

fn millis(times: &[Duration]) -> String {
    let times: Vec<_> = times.iter().map(|time| time.as_millis().to_string()).collect();
    times.join(", ")
}

pub fn kill_each(world: &mut World) -> Seen {
    let (mut unanswered, mut ready) = (Vec::new(), Vec::new());
    for place in 0..REPLICAS {
        unanswered.push(Window::of_death());
        world.fleet.kill(place);
        world.settle();
        world.fleet.start(&world.run, place);
        ready.push(world.fleet.await_ready(place));
        world.fleet.await_endpoints();
    }
    world.settle();
    let notes = format!("restarted ones ready after {} ms", millis(&ready));
    Seen { unanswered, notes, ..Seen::default() }
}

pub fn kill_the_leader(world: &mut World) -> Seen {
    let leader = world.leader();
    let unanswered = vec![Window::of_death()];
    world.fleet.kill(leader);
    world.kubectl.apply(LATE).assert_accepted();
    let applied = Instant::now();
    eventually("the policy is enforced", PATIENCE, || {
        let said = world.kubectl.try_apply(LATE_PROBE);
        if said.stderr.contains("this guard came late") { Ok(()) } else { Err(said.stderr) }
    });
    let enforced = applied.elapsed().as_millis();
    world.settle();
    world.fleet.start(&world.run, leader);
    world.fleet.await_ready(leader);
    world.kubectl.delete(LATE).assert_accepted();
    world.settle();
    let notes = format!("a new policy that was applied meanwhile is enforced after {enforced} ms");
    Seen { unanswered, notes, ..Seen::default() }
}

pub fn kill_all(world: &mut World) -> Seen {
    let killed = Instant::now();
    for place in 0..REPLICAS {
        world.fleet.kill(place);
    }
    world.settle();
    let started = Instant::now();
    for place in 0..REPLICAS {
        world.fleet.start(&world.run, place);
    }
    for place in 0..REPLICAS {
        world.fleet.await_ready(place);
    }
    let ready = started.elapsed().as_millis();
    world.fleet.await_endpoints();
    let unanswered = vec![Window::since(killed)];
    world.settle();
    let notes = format!("recovery counts from the start; all three ready after {ready} ms");
    Seen { unanswered, since: Some(started), notes, ..Seen::default() }
}

pub fn restart_each(world: &mut World) -> Seen {
    let mut stopped = Vec::new();
    for place in 0..REPLICAS {
        stopped.push(world.fleet.stop(place));
        world.fleet.start(&world.run, place);
        world.fleet.await_ready(place);
        world.fleet.await_endpoints();
    }
    world.settle();
    Seen { notes: format!("stopped in {} ms", millis(&stopped)), ..Seen::default() }
}

pub fn roll(world: &mut World) -> Seen {
    for _ in 0..REPLICAS {
        world.fleet.add(&world.run, &world.control_plane);
        world.fleet.await_ready(world.fleet.replicas.len() - 1);
        world.fleet.await_endpoints();
        world.fleet.retire();
    }
    world.settle();
    Seen { notes: "one more first, then one less".to_owned(), ..Seen::default() }
}

pub fn hang(world: &mut World) -> Seen {
    let begun = Instant::now();
    world.fleet.signal(0, "STOP");
    std::thread::sleep(world.sizes.lasts);
    world.fleet.signal(0, "CONT");
    // Connections that it holds hang as long as it does; new ones go elsewhere as soon as it has missed a probe.
    let unanswered = vec![Window::since(begun)];
    world.fleet.await_ready(0);
    world.fleet.await_endpoints();
    world.settle();
    let seconds = world.sizes.lasts.as_secs();
    Seen { unanswered, notes: format!("it hung for {seconds} s"), ..Seen::default() }
}
