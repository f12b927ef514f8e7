//! Faults of what replicas depend on: the way to the API server, the API server, its store.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::World;
use crate::faults::{Seen, Window};
use crate::network::Way;

pub fn cut_one(world: &mut World) -> Seen {
    let begun = Instant::now();
    world.fleet.replicas[0].gate.set(Way::Cut);
    sleep(world.sizes.lasts);
    world.fleet.replicas[0].gate.set(Way::Open);
    after_a_cut(world, begun)
}

pub fn cut_all(world: &mut World) -> Seen {
    let begun = Instant::now();
    world.fleet.cut_all(Way::Cut);
    sleep(world.sizes.lasts);
    world.fleet.cut_all(Way::Open);
    after_a_cut(world, begun)
}

/// The worst kind: nobody is told that nothing goes through.
pub fn silence_all(world: &mut World) -> Seen {
    let begun = Instant::now();
    world.fleet.cut_all(Way::Silent);
    sleep(world.sizes.lasts);
    world.fleet.cut_all(Way::Open);
    after_a_cut(world, begun)
}

/// Whatever needs facts can't be decided during a cut; everything else is, and readiness stays.
fn after_a_cut(world: &mut World, begun: Instant) -> Seen {
    let without_facts = vec![Window::since(begun)];
    let mut complaints = Vec::new();
    if (0..world.fleet.replicas.len()).any(|place| !world.fleet.is_ready(place)) {
        complaints.push("a replica that was cut off for seconds is not ready".to_owned());
    }
    world.settle();
    let seconds = world.sizes.lasts.as_secs();
    let notes = format!("for {seconds} s; only the policy that asks the authorizer notices");
    Seen { without_facts, notes, complaints, ..Seen::default() }
}

pub fn hang_the_api_server(world: &mut World) -> Seen {
    let begun = Instant::now();
    world.control_plane.api.signal("STOP");
    sleep(world.sizes.lasts);
    world.control_plane.api.signal("CONT");
    let continued = Instant::now();
    world.control_plane.await_api();
    let down = vec![Window::since(begun)];
    world.settle();
    Seen {
        // What it had begun to ask when it stopped is over time when it goes on.
        unanswered: down.clone(),
        without_facts: down.clone(),
        api_down: down,
        since: Some(continued),
        notes: "recovery counts from its going on".to_owned(),
        ..Seen::default()
    }
}

pub fn restart_the_api_server(world: &mut World) -> Seen {
    let begun = Instant::now();
    world.control_plane.api.kill();
    sleep(Duration::from_secs(1));
    let started = Instant::now();
    world.control_plane.start_api(&world.run);
    world.control_plane.await_api();
    let took = started.elapsed().as_millis();
    let down = vec![Window::since(begun)];
    world.settle();
    Seen {
        without_facts: down.clone(),
        api_down: down,
        since: Some(started),
        notes: format!(
            "recovery counts from its start; it says itself that it is ready after {took} ms"
        ),
        ..Seen::default()
    }
}

pub fn restart_etcd(world: &mut World) -> Seen {
    let begun = Instant::now();
    world.control_plane.etcd.kill();
    sleep(Duration::from_secs(1));
    let started = Instant::now();
    world.control_plane.start_etcd(&world.run);
    world.control_plane.await_api();
    let down = vec![Window::since(begun)];
    world.settle();
    Seen {
        without_facts: down.clone(),
        api_down: down,
        since: Some(started),
        notes: "recovery counts from its start".to_owned(),
        ..Seen::default()
    }
}

/// A replica that starts while there is no API server is ready as soon as there is one.
pub fn start_without_an_api_server(world: &mut World) -> Seen {
    let death = Window::of_death();
    world.fleet.kill(0);
    world.fleet.replicas[0].gate.set(Way::Cut);
    world.fleet.start(&world.run, 0);
    sleep(world.sizes.lasts);
    let mut complaints = Vec::new();
    if world.fleet.is_ready(0) {
        complaints.push("it is ready without ever having read a policy".to_owned());
    }
    world.fleet.replicas[0].gate.set(Way::Open);
    let ready = world.fleet.await_ready(0).as_millis();
    world.fleet.await_endpoints();
    world.settle();
    let notes = format!("ready {ready} ms after the API server could be reached");
    Seen { unanswered: vec![death], notes, complaints, ..Seen::default() }
}
