//! The release binary as a process: started, waited for, loaded, measured from outside.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{Load, Loop, ask, connect};

/// Requests before the clock runs: caches, branch predictors and the allocator settle.
const WARM_UP: usize = 2_000;
/// Enough for a steady 99th percentile.
const REQUESTS: usize = 20_000;
/// The server is ready in well under a second.
const READY_PATIENCE: Duration = Duration::from_secs(20);
/// Linux counts CPU time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// The server, stopped when this goes.
pub struct Server {
    process: Child,
    pub port: u16,
    pub ready_after: Duration,
}

/// What a load cost.
pub struct Figures {
    pub p50: Duration,
    pub p99: Duration,
    pub per_second: f64,
    /// The server's, of one request.
    pub cpu: Duration,
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
    pub async fn start(policies: &Path) -> Self {
        Self::start_with(policies, &[]).await
    }

    /// The same with more arguments.
    pub async fn start_with(policies: &Path, more: &[&str]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["serve", "--policies"]).arg(policies);
        command.arg("--listen").arg(format!("127.0.0.1:{port}")).args(more);
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
    pub fn load<'l>(&self, path: &'l str, body: &'l [u8], connections: usize) -> Load<'l> {
        let (port, requests, pace) = (self.port, REQUESTS, Loop::Closed);
        Load { port, path, body, connections, requests, pace }
    }

    pub async fn measure(&self, load: Load<'_>) -> Figures {
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

    pub fn memory_mib(&self) -> f64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = kib.trim_end_matches("kB").trim().parse().unwrap();
        kib / 1024.0
    }

    /// User and system time so far.
    pub fn cpu(&self) -> Duration {
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
