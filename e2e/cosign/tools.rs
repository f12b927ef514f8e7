//! The programs: cosign and a registry, as `e2e/tools/build.sh` makes them, and ours.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A registry listens within milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

static TOOLS: LazyLock<PathBuf> = LazyLock::new(|| built("cosign"));

/// The folder with programs of others, built now if they aren't yet. The script tells its progress on stderr.
pub fn built(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/tools/build.sh");
    let mut script = Command::new(script);
    let output = script.arg(name).stderr(Stdio::inherit()).output().expect("`bash` is needed");
    assert!(output.status.success(), "there is no {name}, see what build.sh says above");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// Asserts how it ended, and that it said this.
    pub fn expect(&self, code: i32, text: &str) {
        let said = format!("{}{}", self.stdout, self.stderr);
        assert!(self.code == code && said.contains(text), "not {code} with `{text}`: {self:?}");
    }
}

fn run(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Runs cosign, with nothing of the person whose machine this is and nothing of the network.
pub fn cosign(folder: &Path, arguments: &[&str]) -> Said {
    let said = run(Command::new(TOOLS.join("cosign"))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env("DOCKER_CONFIG", folder)
        .env("COSIGN_PASSWORD", ""));
    if said.code != 0 {
        println!("$ cosign {}\n{}{}", arguments.join(" "), said.stdout, said.stderr);
    }
    said
}

/// Verifies an image with a policy from a file; the image's registry is asked without TLS if it is at an address.
pub fn verify(image: &str, policy: &Path, more: &[&str]) -> Said {
    let host = image.split('/').next().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["images", "verify", image, "--policy"]).arg(policy).args(more);
    if host.starts_with("127.0.0.1:") {
        command.args(["--plain-http", host]);
    }
    run(&mut command)
}

/// Ends the registry when its own input ends: when the run does, in whatever way.
const WARDEN: &str = r#""$0" -port "$1" & registry=$!; cat >/dev/null; kill "$registry""#;

/// A registry, which ends with the run.
pub struct Registry {
    _warden: Child,
    pub host: String,
}

impl Registry {
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let warden = Command::new("sh")
            .args(["-c", WARDEN])
            .arg(TOOLS.join("registry"))
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { _warden: warden, host: format!("127.0.0.1:{port}") };
        let started = Instant::now();
        while TcpStream::connect(&registry.host).is_err() {
            assert!(started.elapsed() < PATIENCE, "the registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }
}
