//! The real `kubectl`: what a person types, and what a person reads.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[derive(Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: Option<String>,
}

/// What a command answered.
#[derive(Debug)]
pub struct Said {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Kubectl {
    pub fn new(program: PathBuf, kubeconfig: PathBuf) -> Self {
        Self { program, kubeconfig, namespace: None }
    }

    /// The same, for commands in a namespace.
    pub fn within(&self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self.clone() }
    }

    pub fn kubeconfig(&self) -> &PathBuf {
        &self.kubeconfig
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, "")
    }

    /// `kubectl apply -f -` of a manifest.
    pub fn apply(&self, manifest: &str) -> Said {
        self.run_with(&["apply", "-f", "-"], manifest)
    }

    /// `kubectl apply` that changes nothing: the API server asks all its webhooks and stores nothing.
    pub fn try_apply(&self, manifest: &str) -> Said {
        self.run_with(&["apply", "--dry-run=server", "-f", "-"], manifest)
    }

    /// `kubectl delete -f -` of a manifest, whether or not it is there.
    pub fn delete(&self, manifest: &str) -> Said {
        self.run_with(&["delete", "--ignore-not-found", "--wait=false", "-f", "-"], manifest)
    }

    /// An object as JSON.
    pub fn get(&self, kind: &str, name: &str) -> serde_json::Value {
        let said = self.run(&["get", kind, name, "-o", "json"]);
        assert!(said.success, "kubectl get {kind} {name}: {}", said.stderr);
        serde_json::from_str(&said.stdout).unwrap()
    }

    pub fn run_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        if let Some(namespace) = &self.namespace {
            command.args(["--namespace", namespace]);
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{} does not start: {e}", self.program.display()));
        // Writing fails when kubectl has ended early; what it said then tells why.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// Standard output of a command that succeeded, or else what it complained of.
    pub fn ok(self) -> Result<String, String> {
        if self.success { Ok(self.stdout) } else { Err(self.stderr) }
    }

    /// The command succeeded; anything else fails the test.
    #[track_caller]
    pub fn assert_accepted(&self) -> &Self {
        assert!(self.success, "should have been accepted: {}", self.stderr);
        self
    }

    /// The command failed and says each of these.
    #[track_caller]
    pub fn assert_rejected(&self, says: &[&str]) -> &Self {
        assert!(!self.success, "should have been rejected: {}", self.stdout);
        for text in says {
            assert!(self.stderr.contains(text), "`{text}` is not in: {}", self.stderr);
        }
        self
    }
}
