//! What an audit of files costs: 100 policies over Pods of some 4 KB as YAML documents, as one List and as JSON lines. Wall
//! clock, CPU of all threads, and the most memory that the process had. `make bench` prints the table; `AUDIT_PODS` says how
//! many Pods.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::format_collect,
    reason = "a measurement that cannot be made fails by panicking, and reads the environment it is started in"
)]

#[allow(dead_code, reason = "no review is sent")]
mod fleet;
#[allow(dead_code, reason = "the Pods are the same as those of the language's benchmark")]
mod workload;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::fleet::Fleet;
use crate::workload::pod;

/// Runs of each; the fastest is told, as everything else on a machine only slows it down.
const RUNS: usize = 3;

/// Linux counts CPU time in hundredths of a second.
const TICKS: f64 = 100.0;

fn main() {
    let pods = std::env::var("AUDIT_PODS").ok().and_then(|text| text.parse().ok());
    let pods = pods.unwrap_or(10_000);
    let fleet = Fleet::write(100, 0);
    let folder = fleet.folder.join("objects");
    std::fs::create_dir_all(&folder).unwrap();
    let values: Vec<serde_json::Value> = (0..pods).map(numbered).collect();
    let yaml = |value| serde_saphyr::to_string(value).unwrap();
    let documents: String = values.iter().map(|value| format!("---\n{}", yaml(value))).collect();
    let items = values.iter().map(|value| yaml(value).trim_end().replace('\n', "\n  "));
    let items: String = items.map(|item| format!("- {item}\n")).collect();
    let lines: String = values.iter().map(|value| format!("{value}\n")).collect();
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{items}");
    println!("100 policies, {pods} Pods, the fastest of {RUNS} runs");
    println!(
        "{:<16} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "objects", "MB", "wall s", "CPU s", "MB/s", "MiB RSS"
    );
    for (name, text) in [("documents.yaml", documents), ("list.yaml", list), ("lines.jsonl", lines)]
    {
        let file = folder.join(name);
        std::fs::write(&file, &text).unwrap();
        let runs: Vec<Figures> = (0..RUNS).map(|_| run(&fleet, &file, pods)).collect();
        let best = runs.iter().min_by(|a, b| a.cpu.total_cmp(&b.cpu)).unwrap();
        let wall = runs.iter().map(|run| run.wall).fold(f64::MAX, f64::min);
        let memory = runs.iter().map(|run| run.memory_mib).fold(0.0, f64::max);
        let mb = text.len() as f64 / 1e6;
        println!(
            "{name:<16} {mb:>8.1} {wall:>8.2} {:>8.2} {:>8.1} {memory:>9.1}",
            best.cpu,
            mb / wall
        );
    }
}

struct Figures {
    wall: f64,
    cpu: f64,
    memory_mib: f64,
}

/// One audit, watched from outside.
fn run(fleet: &Fleet, file: &Path, pods: usize) -> Figures {
    let begun = Instant::now();
    let mut policies: Vec<_> = fleet.files();
    policies.retain(|path| path.is_file());
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("audit");
    for policy in policies {
        command.arg("--policies").arg(policy);
    }
    let mut child = command.args(["-o", "json"]).arg(file).stdout(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut stdout).unwrap());
    let (mut memory_mib, mut cpu) = (0.0_f64, 0.0_f64);
    let ended = loop {
        if let Ok(status) = std::fs::read_to_string(format!("/proc/{id}/status")) {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
            memory_mib = memory_mib.max(kib.unwrap_or(0.0) / 1024.0);
        }
        cpu = cpu.max(ticks(id).unwrap_or(0.0) / TICKS);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let wall = begun.elapsed().as_secs_f64();
    let said: serde_json::Value = serde_json::from_str(&reader.join().unwrap()).unwrap();
    assert_eq!(said["objects"], pods, "{ended}");
    assert_eq!(
        said["summary"]["pass"].as_u64().unwrap() + said["summary"]["fail"].as_u64().unwrap(),
        100 * pods as u64
    );
    Figures { wall, cpu, memory_mib }
}

/// User and system time of a process.
fn ticks(id: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some(field(11)? + field(12)?)
}

/// A Pod of three containers; one of ten lacks what a policy asks for.
fn numbered(number: usize) -> serde_json::Value {
    let mut value = pod(3);
    value["metadata"]["name"] = format!("web-{number}").into();
    value["metadata"]["namespace"] = format!("team-{}", number % 20).into();
    if number % 10 == 9 {
        value["spec"]["containers"][0]["image"] = "docker.io/library/nginx:latest".into();
    }
    value
}
