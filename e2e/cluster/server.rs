//! The real `portcullis` binary, serving a cluster: started, asked whether it is ready, killed and started again.

use crate::control_plane::free_ports;
use crate::kubectl::Kubectl;
use crate::pki::API_SERVER_AS_CLIENT;
use crate::processes::{Process, Run, eventually};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// It is ready in well under a second; this is for a machine that compiles at the same time.
const READY_PATIENCE: Duration = Duration::from_mins(1);

pub struct Server {
    port: u16,
    /// Registries that are asked without TLS.
    registries: Vec<String>,
    /// The authority of those who are answered; everybody without it.
    clients: Option<String>,
    process: Option<Process>,
}

impl Server {
    pub fn new(registries: &[&str], clients: Option<String>) -> Self {
        let [port] = free_ports();
        let registries = registries.iter().map(|host| (*host).to_owned()).collect();
        Self { port, registries, clients, process: None }
    }

    /// Starts it and waits until it is ready. Answers how long that took.
    pub fn start(&mut self, run: &Run, kubectl: &Kubectl) -> Duration {
        let started = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command
            .arg("serve")
            .arg("--kubeconfig")
            .arg(kubectl.kubeconfig())
            .arg("--listen")
            .arg(format!("127.0.0.1:{}", self.port))
            .args(self.registries.iter().flat_map(|host| ["--plain-http", host]))
            .args(["--pull-secrets", "--warm-images", "--audit-events", "--audit-images"])
            .arg("--webhook-url")
            .arg(self.url(""));
        if let Some(authority) = &self.clients {
            command.args(["--client-ca", authority, "--client-name", API_SERVER_AS_CLIENT]);
        }
        let mut process = run.spawn("portcullis", &mut command);
        eventually("portcullis is ready", READY_PATIENCE, || {
            process.assert_alive();
            if self.is_ready() { Ok(()) } else { Err(process.log_tail()) }
        });
        self.process = Some(process);
        started.elapsed()
    }

    /// `kill -9`: no chance to say goodbye.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Whether it was started and not stopped; that it has died by itself fails the test.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().map(Process::assert_alive).is_some()
    }

    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it is running").id()
    }

    /// What `/metrics` says.
    pub fn metrics(&self) -> String {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--insecure", "--max-time", "5", &self.url("/metrics")]);
        let output = curl.output().expect("`curl` is needed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    fn is_ready(&self) -> bool {
        let answer = Command::new("curl")
            .args(["--silent", "--fail", "--insecure", "--max-time", "5", &self.url("/readyz")])
            .stdout(Stdio::null())
            .status()
            .expect("`curl` is needed");
        answer.success()
    }
}
