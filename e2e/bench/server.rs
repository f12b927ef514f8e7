//! What running Portcullis costs, measured from outside on the release binary: its size, the time until it is ready,
//! memory idle and under load, and for sets of policies of several sizes the requests a second, the latency and the
//! server's CPU of a Pod admitted over HTTPS. `make bench` prints tables.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be made fails by panicking"
)]

mod allocations;
mod fleet;
mod load;
mod process;
#[allow(dead_code, reason = "the Pods are the same as those of the language's benchmark")]
mod workload;

use std::path::Path;
use std::time::Duration;

use portcullis::admission::{Arena, Facts, NamespaceObject, Phase, review, wire};
use portcullis::cel::Version;
use portcullis::policy::{Definitions, manifest, snapshot::Snapshot};

use crate::allocations::allocations;
use crate::fleet::{Fleet, tree};
use crate::load::{Load, Loop};
use crate::process::Server;

/// Connections at a time: the API server keeps a few for each webhook.
const CONNECTIONS: usize = 16;
/// How many policies match, and how many more there are.
const SETS: [(usize, usize); 5] = [(1, 0), (10, 0), (100, 0), (1_000, 0), (10, 990)];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        starter_set().await;
        sets().await;
    });
}

/// The policies of the repository.
async fn starter_set() {
    let binary = Path::new(env!("CARGO_BIN_EXE_portcullis"));
    let server = Server::start(&tree("policies")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    row("binary", format!("{:.1} MB", std::fs::metadata(binary).unwrap().len() as f64 / 1e6));
    row("from start to ready", format!("{} ms", server.ready_after.as_millis()));
    row("idle memory (RSS)", format!("{:.1} MiB", server.memory_mib()));
    let body = std::fs::read(tree("docs/samples/admitted.json")).unwrap();
    row("request", format!("{} bytes, eight policies of which seven match", body.len()));
    for (path, connections) in [("/validate", 1), ("/validate", CONNECTIONS), ("/mutate", 1)] {
        let load = server.load(path, &body, connections);
        let figures = server.measure(load).await;
        row(&format!("{path}, {connections} at a time"), figures);
    }
    row("memory after that (RSS)", format!("{:.1} MiB", server.memory_mib()));
}

/// Sets of policies, each over the Pod that its matching ones are about.
async fn sets() {
    let body = fleet::review();
    println!("\nA Pod review of {} bytes; `of` is how many policies exist.", body.len());
    println!(
        "{:>8} {:>5} {:>9} {:>15} {:>11} {:>10} {:>10} {:>12} {:>12}",
        "matching",
        "of",
        "ready",
        "MiB idle, load",
        "requests/s",
        "CPU µs",
        "p50 µs",
        "p99 µs at ½",
        "heap a review"
    );
    for (matching, others) in SETS {
        let fleet = Fleet::write(matching, others);
        let server = Server::start(&fleet.folder).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let idle = server.memory_mib();
        let one = server.measure(server.load("/validate", &body, 1)).await;
        let full = server.measure(server.load("/validate", &body, CONNECTIONS)).await;
        let rate = full.per_second / 2.0;
        let pace = Loop::Open(rate);
        let half = Load { pace, ..server.load("/validate", &body, CONNECTIONS) }.run().await;
        println!(
            "{matching:>8} {:>5} {:>6} ms {:>7.1}, {:>6.1} {:>11.0} {:>10} {:>10} {:>12} {:>12}",
            matching + others,
            server.ready_after.as_millis(),
            idle,
            server.memory_mib(),
            full.per_second,
            one.cpu.as_micros(),
            one.p50.as_micros(),
            half[half.len() * 99 / 100].as_micros(),
            heap(&fleet, &body),
        );
    }
}

fn row(what: &str, value: impl std::fmt::Display) {
    println!("{what:<28}{value}");
}

/// How often the heap is asked for memory by one review from bytes to bytes, without HTTP and TLS.
fn heap(fleet: &Fleet, body: &[u8]) -> u64 {
    let mut definitions = Definitions::default();
    for file in fleet.files() {
        let text = std::fs::read_to_string(&file).unwrap();
        for manifest in manifest::read("bench", &text).unwrap() {
            definitions.add(manifest);
        }
    }
    let snapshot = Snapshot::build(definitions, Version::default(), None);
    let mut arena = Arena::new();
    let mut facts = Facts::new();
    facts.add_namespace("shop", Some(NamespaceObject::named("shop")));
    let mut count = 0;
    // The first goes to memory that is used again.
    for _ in 0..3 {
        let body = body.to_vec();
        let before = allocations();
        let parsed = wire::parse(body).unwrap();
        let request = parsed.request();
        let decision = review(Phase::Validate, &request, &snapshot, &facts, &arena).unwrap();
        assert!(decision.allowed, "the Pod meets every rule");
        drop(wire::response(request.uid, &decision));
        count = allocations() - before;
        arena.reset();
    }
    count
}
