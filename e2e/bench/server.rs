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
#[allow(dead_code, reason = "the Pods are the same as those of the language's benchmark")]
mod workload;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portcullis::admission::{Arena, Facts, NamespaceObject, Phase, review, wire};
use portcullis::cel::Version;
use portcullis::policy::{Definitions, manifest, snapshot::Snapshot};

use crate::allocations::allocations;
use crate::fleet::{Fleet, tree};
use crate::load::{Load, Loop, ask, connect};

/// Requests before the clock runs: caches, branch predictors and the allocator settle.
const WARM_UP: usize = 2_000;
/// Enough for a steady 99th percentile.
const REQUESTS: usize = 20_000;
/// Connections at a time: the API server keeps a few for each webhook.
const CONNECTIONS: usize = 16;
/// The server is ready in well under a second.
const READY_PATIENCE: Duration = Duration::from_secs(20);
/// Linux counts CPU time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);
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

/// The server, stopped when this goes.
struct Server {
    process: Child,
    port: u16,
    ready_after: Duration,
}

/// What a load cost.
struct Figures {
    p50: Duration,
    p99: Duration,
    per_second: f64,
    /// The server's, of one request.
    cpu: Duration,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, cpu] = [self.p50, self.p99, self.cpu].map(|time| time.as_micros());
        let rate = self.per_second;
        write!(
            f,
            "p50 {p50} µs, p99 {p99} µs, {rate:.0} requests/s, {cpu} µs of the server's CPU each"
        )
    }
}

impl Server {
    async fn start(policies: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["serve", "--policies"]).arg(policies);
        command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        let started = Instant::now();
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self { process, port, ready_after: Duration::ZERO };
        while !server.is_ready().await {
            let waited = started.elapsed();
            assert!(waited < READY_PATIENCE, "not ready after {} s", READY_PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.ready_after = started.elapsed();
        server
    }

    async fn is_ready(&self) -> bool {
        let Ok(mut connection) = connect(self.port).await else { return false };
        ask(&mut connection, "GET", "/readyz", b"").await.is_ok_and(|status| status == 200)
    }

    /// As many requests as there are answers to be had.
    fn load<'l>(&self, path: &'l str, body: &'l [u8], connections: usize) -> Load<'l> {
        let (port, requests, pace) = (self.port, REQUESTS, Loop::Closed);
        Load { port, path, body, connections, requests, pace }
    }

    async fn measure(&self, load: Load<'_>) -> Figures {
        Load { requests: WARM_UP, ..load }.run().await;
        let (cpu, from) = (self.cpu(), Instant::now());
        let latencies = load.run().await;
        let (cpu, took) = (self.cpu().saturating_sub(cpu), from.elapsed());
        Figures {
            p50: latencies[latencies.len() / 2],
            p99: latencies[latencies.len() * 99 / 100],
            per_second: latencies.len() as f64 / took.as_secs_f64(),
            cpu: cpu / u32::try_from(latencies.len()).unwrap(),
        }
    }

    fn memory_mib(&self) -> f64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = kib.trim_end_matches("kB").trim().parse().unwrap();
        kib / 1024.0
    }

    /// User and system time so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u32 = [fields[11], fields[12]].map(|f| f.parse::<u32>().unwrap()).iter().sum();
        TICK * ticks
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
