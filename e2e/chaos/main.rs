//! Faults while clients write: three replicas of the real binary in front of a real API server, a client that knows what
//! every answer should be, and one thing after another that breaks. Nothing bad is admitted under `Fail`, nothing good is
//! denied beyond the time in which nobody can answer, and everything recovers by itself.
//!
//! Without `CHAOS=full` it is the short form: all faults, with smaller sizes and shorter waits. `CHAOS_ONLY` names the
//! faults to be run, by a part of their names, `CHAOS_POLICIES` and `CHAOS_PARAMS` how many there are in the one with very
//! many, and `PORTCULLIS_BINARY` another `portcullis` than that of this build: one that `cargo build --release` made, say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads the environment and the clock"
)]

mod client;
#[path = "../cluster/control_plane.rs"]
mod control_plane;
mod faults;
mod fleet;
#[path = "../cluster/kubectl.rs"]
#[allow(dead_code, reason = "the cluster tests say more with it")]
mod kubectl;
#[path = "../bench/load.rs"]
#[allow(dead_code, reason = "the benchmark measures with it")]
mod load;
mod network;
#[path = "../cluster/pki.rs"]
mod pki;
#[path = "../cluster/processes.rs"]
mod processes;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::client::Client;
use crate::control_plane::ControlPlane;
use crate::faults::{FAULTS, Seen};
use crate::fleet::Fleet;
use crate::kubectl::Kubectl;
use crate::processes::{Run, eventually};
use crate::table::{Row, print};

/// How long anything may take to become so, on a machine that compiles at the same time.
const PATIENCE: Duration = Duration::from_mins(1);

const REPLICAS: usize = 3;

/// How much of everything there is.
#[derive(Clone, Copy)]
struct Sizes {
    /// How long the client goes on after a fault has passed.
    settle: Duration,
    /// How long a fault of the kind that lasts does.
    lasts: Duration,
    soak: Duration,
    policies: usize,
    params: usize,
    idle_connections: usize,
}

const SHORT: Sizes = Sizes {
    settle: Duration::from_secs(1),
    lasts: Duration::from_secs(3),
    soak: Duration::from_secs(5),
    policies: 100,
    params: 200,
    idle_connections: 300,
};

const FULL: Sizes = Sizes {
    settle: Duration::from_secs(5),
    lasts: Duration::from_secs(10),
    soak: Duration::from_mins(3),
    policies: 5_000,
    params: 10_000,
    idle_connections: 2_000,
};

/// What all faults happen to.
struct World {
    run: Run,
    kubectl: Kubectl,
    control_plane: ControlPlane,
    fleet: Fleet,
    client: Client,
    sizes: Sizes,
    runtime: Runtime,
}

impl World {
    fn start(sizes: Sizes) -> World {
        let run = Run::start();
        let control_plane = ControlPlane::start(&run);
        let kubectl = control_plane.kubectl.clone();
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        let crds = crds.to_str().unwrap();
        kubectl.run(&["apply", "--server-side", "-f", crds]).assert_accepted();
        let established = ["wait", "--for=condition=Established", "--timeout=30s", "-f", crds];
        kubectl.run(&established).assert_accepted();
        // So that the leader writes what it finds, too.
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/cluster/audit/reports.yaml");
        let reports = reports.to_str().unwrap();
        kubectl.run(&["apply", "--server-side", "-f", reports]).assert_accepted();
        for namespace in ["portcullis-system", "chaos"] {
            kubectl.run(&["create", "namespace", namespace]).assert_accepted();
        }
        let account = ["get", "serviceaccount", "default", "-n", "chaos"];
        eventually("the service account exists", PATIENCE, || kubectl.run(&account).ok());
        kubectl.apply(include_str!("guards.yaml")).assert_accepted();

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut fleet = Fleet::new(runtime.handle().clone());
        for _ in 0..REPLICAS {
            fleet.add(&run, &control_plane);
        }
        for place in 0..REPLICAS {
            fleet.await_ready(place);
        }
        fleet.await_endpoints();
        let client = runtime.block_on(Client::start(kubectl.kubeconfig()));
        World { run, kubectl, control_plane, fleet, client, sizes, runtime }
    }

    /// Waits until every guard answers as it should.
    fn await_guards(&self) {
        eventually("every guard answers", PATIENCE, || {
            let wrong = self.runtime.block_on(self.client.ask_each());
            if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:#?}")) }
        });
    }

    /// The place of the replica that holds the Lease.
    fn leader(&self) -> usize {
        eventually("somebody holds the Lease", PATIENCE, || {
            let lease = ["get", "lease", "portcullis", "-n", "portcullis-system"];
            let holder = [&lease[..], &["-o", "jsonpath={.spec.holderIdentity}"]].concat();
            let holder = self.kubectl.run(&holder).ok()?;
            let place = self.fleet.replicas.iter().position(|replica| replica.name == holder);
            place.ok_or(holder)
        })
    }

    fn settle(&self) {
        std::thread::sleep(self.sizes.settle);
    }
}

/// The program that is put to the test.
fn program() -> std::ffi::OsString {
    std::env::var_os("PORTCULLIS_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_portcullis").into())
}

/// How busy the machine is: the average of the last minute, of processes that run or could.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// A size that somebody wants otherwise.
fn size(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |size| size.parse().expect("a number"))
}

#[test]
fn nothing_bad_is_admitted_whatever_fails() {
    let full = std::env::var("CHAOS").is_ok_and(|size| size == "full");
    let only = std::env::var("CHAOS_ONLY").unwrap_or_default();
    let mut sizes = if full { FULL } else { SHORT };
    sizes.policies = size("CHAOS_POLICIES", sizes.policies);
    sizes.params = size("CHAOS_PARAMS", sizes.params);
    let mut world = World::start(sizes);
    world.await_guards();
    let begun = Instant::now();
    let mut rows = Vec::new();
    for (name, fault) in FAULTS {
        if !only.split(',').any(|part| name.contains(part)) {
            continue;
        }
        let from = Instant::now();
        world.client.go_on();
        // What does not recover ends the run, after what was seen until then is told.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let seen: Seen = fault(&mut world);
            let answers = world.client.pause();
            let row = Row::new(name, from, seen, &answers);
            // At once, so that a run that is ended by hand has told what it saw.
            println!("{row}\n  after {:.1} s, load {}", from.elapsed().as_secs_f64(), load());
            for told in &row.told {
                println!("  not right: {told}");
            }
            rows.push(row);
            world.fleet.assert_alive();
            world.fleet.await_endpoints();
            world.await_guards();
        }));
        if let Err(panic) = ended {
            print(&rows);
            resume_unwind(panic);
        }
    }
    print(&rows);
    println!("all in {} s", begun.elapsed().as_secs());
    let complaints: Vec<_> = rows.iter().flat_map(|row| &row.complaints).cloned().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}
