//! The replicas: real processes that share a cluster, each with a port and a way to the API server of its own, behind a
//! balancer.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::control_plane::{ControlPlane, free_ports};
use crate::network::{Balancer, Gate, Way, is_ready};
use crate::processes::{Process, Run, eventually};
use crate::program;

/// It is ready in well under a second; this is for a machine that compiles at the same time, and for many policies.
pub const READY_PATIENCE: Duration = Duration::from_mins(3);

/// A replica lingers for 5 s and then waits for requests in flight.
const END_PATIENCE: Duration = Duration::from_secs(45);

pub struct Replica {
    pub name: String,
    pub port: u16,
    /// Its way to the API server.
    pub gate: Gate,
    kubeconfig: PathBuf,
    process: Option<Process>,
}

pub struct Fleet {
    pub replicas: Vec<Replica>,
    pub balancer: Balancer,
    runtime: Handle,
    named: usize,
}

impl Fleet {
    /// Starts the balancer, and no replica yet.
    pub fn new(runtime: Handle) -> Fleet {
        let balancer = runtime.block_on(Balancer::start());
        Fleet { replicas: Vec::new(), balancer, runtime, named: 0 }
    }

    /// Starts one more replica, of a name that none had before. It is not waited for.
    pub fn add(&mut self, run: &Run, control_plane: &ControlPlane) {
        let name = format!("replica-{}", self.named);
        self.named += 1;
        let [port] = free_ports();
        let gate = self.runtime.block_on(Gate::to(control_plane.api_port()));
        let kubeconfig = run.folder.join(format!("{name}.kubeconfig"));
        let server = format!("https://127.0.0.1:{}", gate.port);
        control_plane.pki.kubeconfig(&kubeconfig, "admin", &server);
        let _inside = self.runtime.enter();
        self.balancer.add(port);
        self.replicas.push(Replica { name, port, gate, kubeconfig, process: None });
        let last = self.replicas.len() - 1;
        self.start(run, last);
    }

    /// Starts the process of a replica that has none.
    pub fn start(&mut self, run: &Run, place: usize) {
        let url = format!("https://127.0.0.1:{}", self.balancer.port);
        let replica = &mut self.replicas[place];
        assert!(replica.process.is_none(), "{} runs", replica.name);
        let mut command = Command::new(program());
        command.arg("serve").arg("--kubeconfig").arg(&replica.kubeconfig);
        command.args(["--listen", &format!("127.0.0.1:{}", replica.port)]);
        command.args(["--webhook-url", &url, "--identity", &replica.name]);
        replica.process = Some(run.spawn(&replica.name, &mut command));
    }

    /// `kill -9`.
    pub fn kill(&mut self, place: usize) {
        self.replicas[place].process.take().expect("it runs").kill();
    }

    /// Tells it to stop, and waits until it has. It must have said that it ended well.
    pub fn stop(&mut self, place: usize) -> Duration {
        let told = Instant::now();
        let mut process = self.replicas[place].process.take().expect("it runs");
        process.signal("TERM");
        process.await_end(END_PATIENCE);
        told.elapsed()
    }

    /// Stops the oldest replica for good.
    pub fn retire(&mut self) {
        self.stop(0);
        let retired = self.replicas.remove(0);
        self.balancer.remove(retired.port);
    }

    pub fn signal(&self, place: usize, signal: &str) {
        self.replicas[place].process.as_ref().expect("it runs").signal(signal);
    }

    pub fn cut_all(&self, way: Way) {
        for replica in &self.replicas {
            replica.gate.set(way);
        }
    }

    pub fn is_ready(&self, place: usize) -> bool {
        self.runtime.block_on(is_ready(self.replicas[place].port))
    }

    /// Waits until a replica is ready. Answers how long it took.
    pub fn await_ready(&mut self, place: usize) -> Duration {
        let begun = Instant::now();
        let runtime = self.runtime.clone();
        let replica = &mut self.replicas[place];
        eventually(&format!("{} is ready", replica.name), READY_PATIENCE, || {
            let process = replica.process.as_mut().expect("it runs");
            process.assert_alive();
            if runtime.block_on(is_ready(replica.port)) { Ok(()) } else { Err(process.log_tail()) }
        });
        begun.elapsed()
    }

    /// Waits until the balancer sends connections to exactly those that run.
    pub fn await_endpoints(&self) {
        eventually("the balancer knows all replicas", READY_PATIENCE, || {
            let known = self.balancer.endpoints();
            let run = self.replicas.iter().filter(|replica| replica.process.is_some());
            if run.map(|replica| replica.port).collect::<std::collections::BTreeSet<_>>() == known {
                Ok(())
            } else {
                Err(format!("{known:?}"))
            }
        });
    }

    pub fn assert_alive(&mut self) {
        for replica in &mut self.replicas {
            if let Some(process) = &mut replica.process {
                process.assert_alive();
            }
        }
    }

    /// Memory that each holds, in MiB.
    pub fn memory_mib(&self) -> Vec<u64> {
        let processes = self.replicas.iter().filter_map(|replica| replica.process.as_ref());
        processes.map(|process| memory_mib(process.id())).collect()
    }
}

fn memory_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
