//! The binary under test, and what it says of itself.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::control_plane::free_ports;
use crate::kubectl::Kubectl;
use crate::processes::{Process, Run};

pub struct Server {
    port: u16,
    process: Process,
    started: Instant,
}

/// What the metrics say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    pub objects: usize,
    pub covered: usize,
    pub backlog: u64,
    pub fail: u64,
    pub warn: u64,
    pub evaluations: u64,
    pub report_writes: u64,
}

impl Server {
    pub fn start(run: &Run, kubectl: &Kubectl) -> Server {
        let [port] = free_ports();
        let ours = || env!("CARGO_BIN_EXE_portcullis").into();
        let binary: PathBuf = std::env::var_os("PORTCULLIS_BINARY").map_or_else(ours, Into::into);
        let mut command = Command::new(binary);
        command
            .arg("serve")
            .arg("--kubeconfig")
            .arg(kubectl.kubeconfig())
            .args(["--identity", "scale"])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--webhook-url", &format!("https://127.0.0.1:{port}")]);
        let started = Instant::now();
        Server { port, process: run.spawn("portcullis", &mut command), started }
    }

    /// For how long it has run.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// In order, so that the Lease is given back.
    pub fn stop(&mut self) {
        let id = self.process.id().to_string();
        Command::new("kill").arg(&id).status().unwrap();
        self.process.await_end(Duration::from_secs(30));
    }

    /// Its resident memory, and what of it is its own: the rest is the program itself, which replicas on a node share.
    pub fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let kib = |field: &str| {
            let line = status.as_ref().ok()?.lines().find(|line| line.starts_with(field))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        let mib = |field: &str| kib(field).unwrap_or_default() / 1024.0;
        let (now, most, own) = (mib("VmRSS:"), mib("VmHWM:"), mib("RssAnon:"));
        format!("{now:.1} MiB, {own:.1} without the program, at most {most:.1} MiB")
    }

    pub fn told(&self) -> Told {
        let url = format!("https://127.0.0.1:{}/metrics", self.port);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--insecure", "--max-time", "5", &url]);
        let text = String::from_utf8(curl.output().expect("`curl` is needed").stdout).unwrap();
        let sum = |prefix: &str, part: &str| {
            let lines = text.lines().filter(|line| line.starts_with(prefix) && line.contains(part));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
        };
        Told {
            objects: sum("portcullis_audit_objects ", "") as usize,
            covered: sum("portcullis_audit_objects_covered ", "") as usize,
            // Before it leads, it has nothing to do either.
            backlog: match sum("portcullis_audit_objects ", "") as u64 {
                0 => u64::MAX,
                _ => sum("portcullis_audit_backlog ", "") as u64,
            },
            fail: sum("portcullis_audit_findings{", "result=\"fail\"") as u64,
            warn: sum("portcullis_audit_findings{", "result=\"warn\"") as u64,
            evaluations: sum("portcullis_audit_evaluations_total ", "") as u64,
            report_writes: sum("portcullis_cluster_writes_total{", "what=\"report\"") as u64,
        }
    }
}
