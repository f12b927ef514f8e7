//! Processes that a run starts, and their certain end: a warden beside the run stops them, newest first, when the run
//! ends in whatever way, a kill included; and the next run stops what a killed warden left.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// Waits for the end of the run (its end of the pipe closes, even when it is killed), then stops every process that
/// the file of pids names, newest first, if it still works in the run's folder: pids are used again.
const WARDEN: &str = r#"
ours() { [ "$(readlink "/proc/$1/cwd")" = "$folder" ]; }
folder=$1
cat >/dev/null
for pid in $(sed '1!G;h;$!d' "$folder/pids"); do
  ours "$pid" || continue
  kill "$pid"
  tenths=50
  while [ "$tenths" -gt 0 ] && ours "$pid"; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  ! ours "$pid" || kill -9 "$pid"
done
rm -rf "$folder/etcd" "$folder/pids"
"#;

/// One run of the tests: its folder, logs and processes.
pub struct Run {
    pub folder: PathBuf,
    /// Held open for as long as the run lives.
    _warden: ChildStdin,
}

impl Run {
    /// Clears away what earlier runs left and opens a folder of its own for this one.
    pub fn start() -> Self {
        let runs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
        for stale in std::fs::read_dir(&runs).into_iter().flatten().flatten() {
            let owner = stale.file_name().into_string().unwrap();
            if !Path::new("/proc").join(&owner).exists() {
                warden(&stale.path()).wait_with_output().unwrap();
                std::fs::remove_dir_all(stale.path()).unwrap();
            }
        }
        let folder = runs.join(std::process::id().to_string());
        std::fs::create_dir_all(folder.join("logs")).unwrap();
        File::create(folder.join("pids")).unwrap();
        let warden = warden(&folder).stdin.take().unwrap();
        Self { folder, _warden: warden }
    }

    /// Starts a process with its output in `logs/NAME.log`, and remembers it for the warden.
    pub fn spawn(&self, name: &str, command: &mut Command) -> Process {
        let log = self.folder.join("logs").join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).unwrap();
        command
            .current_dir(&self.folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        let child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        let mut pids = File::options().append(true).open(self.folder.join("pids")).unwrap();
        writeln!(pids, "{}", child.id()).unwrap();
        Process { name: name.to_owned(), log, child }
    }
}

fn warden(folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", WARDEN, "warden"])
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`sh` starts")
}

/// A running process and where it writes.
pub struct Process {
    name: String,
    pub log: PathBuf,
    child: Child,
}

impl Process {
    /// Fails the test with the end of the log if the process has ended.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended with {status}; the end of its log:\n{}", self.name, self.log_tail());
        }
    }

    pub fn log_tail(&self) -> String {
        let text =
            String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name]).arg(self.id().to_string()).status();
        assert!(sent.unwrap().success(), "{} can't be sent {name}", self.name);
    }

    /// Waits for its end; a process that fails, fails the test.
    pub fn await_end(&mut self, patience: Duration) {
        let status = eventually(&format!("{} has ended", self.name), patience, || {
            self.child.try_wait().unwrap().ok_or_else(|| "it still runs".to_owned())
        });
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.log_tail());
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

/// Asks again and again until there is an answer; fails the test with `what` and the last refusal when time is up.
pub fn eventually<T>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> Result<T, String>,
) -> T {
    let started = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(refusal) if started.elapsed() > patience => {
                panic!("not in {} s: {what}\nlast seen: {refusal}", patience.as_secs())
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
