//! The program under test, started and stopped, and asked with `curl`.

use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Everything here takes well under a second on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, stopped when it goes out of sight.
pub struct Program {
    child: Child,
    port: u16,
    log: PathBuf,
}

pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Program {
    /// Serves a folder of policies, and waits until it is ready.
    pub fn serve(policies: &Path) -> Self {
        Self::serve_with(policies, &[])
    }

    /// The same with more arguments.
    pub fn serve_with(policies: &Path, more: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = folder("logs").join(format!("{port}.log"));
        let output = std::fs::File::create(&log).unwrap();
        let child = portcullis(&["serve", "--listen", &format!("127.0.0.1:{port}"), "--policies"])
            .arg(policies)
            .args(more)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut program = Self { child, port, log };
        eventually("the server is ready", || {
            let ended = program.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}: {}", program.log());
            program.get("/readyz").status == 200
        });
        program
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &["content-type: application/json"], body)
    }

    /// The response of an AdmissionReview sent to `/validate`.
    pub fn validate(&self, review: &Value) -> Value {
        let answer = self.post("/validate", &review.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str::<Value>(&answer.body).unwrap()["response"].clone()
    }

    /// Asks; status 0 if there is no answer.
    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut curl = Command::new("curl");
        // Without `expect:` curl waits for leave to send a large body.
        curl.args(["--silent", "--insecure", "--max-time", "20", "--header", "expect:"]);
        curl.args(["--request", method, "--write-out", "\n%{http_code}"]);
        curl.args(headers.iter().flat_map(|header| ["--header", header]));
        if method != "GET" {
            curl.args(["--data-binary", "@-"]);
        }
        let mut curl = curl
            .arg(format!("https://127.0.0.1:{}{path}", self.port))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`curl` is needed");
        // A server that has seen enough may close before it has read everything.
        let _ = curl.stdin.take().unwrap().write_all(body.as_bytes());
        let output = String::from_utf8(curl.wait_with_output().unwrap().stdout).unwrap();
        let (body, status) = output.rsplit_once('\n').unwrap();
        Answer { status: status.parse().unwrap(), body: body.to_owned() }
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with these arguments.
pub fn portcullis(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Waits until it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not in {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A path of this repository.
pub fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder of this name for one test, empty unless it is `logs`.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("serve").join(name);
    if name != "logs" {
        let _ = std::fs::remove_dir_all(&folder);
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
