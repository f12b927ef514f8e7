//! The language beside the API server's own environment: the same expressions over the same Pods, decoded, evaluated and
//! compiled here and by `oracle bench` of `e2e/oracle`, one after the other in one run. `make bench` prints times, ratios and how
//! often the heap was asked for memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be made fails by panicking"
)]

mod allocations;
mod workload;

use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis::cel::{Arena, Env, Evaluation, NoAnswers, Program, Type, Value, Version};
use portcullis::json::Document;
use portcullis::schema;
use serde_json::{Value as Json, json};

use crate::allocations::allocations;
use crate::workload::{CONTAINERS, Policy, pod, policies};

/// How long each figure is measured.
const SECONDS: f64 = 0.2;

/// What `build.sh` of the oracle ends with where there is no Go.
const NO_GO: i32 = 69;

/// A time in nanoseconds, and how often memory was allocated in it.
#[derive(Clone, Copy)]
struct Figure {
    nanos: f64,
    heap: f64,
}

fn main() {
    let pods: Vec<Json> = CONTAINERS.iter().map(|count| pod(*count)).collect();
    let theirs = oracle(&pods);
    println!(
        "times in microseconds, heap allocations in brackets: Portcullis, the API server's code, ratio"
    );
    println!(
        "{:<24}{:>4}  {:^38}{:^38}{:^38}{:^38}",
        "policy", "pod", "evaluate", "decode", "both", "compile"
    );
    for policy in policies() {
        for (place, pod) in pods.iter().enumerate() {
            let ours = measured(&policy, pod.to_string().as_bytes());
            let row = theirs.iter().find(|row| row["policy"] == policy.name && row["pod"] == place);
            print!("{:<24}{:>4}  ", policy.name, CONTAINERS[place]);
            for (figure, name) in ours.into_iter().zip(["evaluate", "decode", "both", "compile"]) {
                print!("{}", cell(figure, row, name));
            }
            println!();
        }
    }
}

fn cell(ours: Figure, row: Option<&Json>, name: &str) -> String {
    let micros = |nanos: f64| nanos / 1e3;
    let own = format!("{:.2} ({:.0})", micros(ours.nanos), ours.heap);
    let Some(row) = row else { return format!("{own:>16}{:22}", "") };
    let (nanos, heap) =
        (row[name].as_f64().unwrap(), row[format!("{name}_heap")].as_f64().unwrap());
    let other = format!("{:.1} ({heap:.0})", micros(nanos));
    format!("{own:>16}{other:>15}{:>6.1}x", nanos / ours.nanos)
}

/// Evaluation, decoding, both, and compiling.
fn measured(policy: &Policy, pod: &[u8]) -> [Figure; 4] {
    let (env, programs) = compile(policy);
    let null = Document::parse(b"null".to_vec()).unwrap();
    let mut arena = Arena::new();
    let document = Document::parse(pod.to_vec()).unwrap();
    let evaluate = figure(|| {
        judge(&arena, &env, &programs, &document, &null);
        arena.reset();
    });
    let decode = figure(|| drop(black_box(Document::parse(pod.to_vec()).unwrap())));
    let both = figure(|| {
        let document = Document::parse(pod.to_vec()).unwrap();
        judge(&arena, &env, &programs, &document, &null);
        arena.reset();
    });
    let compiled = figure(|| drop(black_box(compile(policy))));
    [evaluate, decode, both, compiled]
}

fn judge(arena: &Arena, env: &Env, programs: &[Program], document: &Document, null: &Document) {
    let null = Value::from_json(null.root());
    let roots = [Value::from_json(document.root()), null, null, null];
    let evaluation = Evaluation::new(arena, env, &roots, &NoAnswers);
    for program in programs {
        let run = evaluation.run(program);
        assert!(run.result.is_ok(), "{}: {:?}", program.source(), run.result);
        black_box(run.cost);
    }
}

fn compile(policy: &Policy) -> (Env, Vec<Program>) {
    let mut env = ENVIRONMENT.clone();
    for (name, expression) in &policy.variables {
        let program = env.compile(expression, &[]).map_err(|error| error.to_string());
        env.variable(name, program);
    }
    let programs = policy.expressions.iter().map(|source| env.compile(source, &[]).unwrap());
    let programs = programs.collect();
    (env, programs)
}

/// What a validation sees, without an authorizer and params.
static ENVIRONMENT: std::sync::LazyLock<Env> = std::sync::LazyLock::new(|| {
    Env::kubernetes(Version::LATEST)
        .declare("object", Type::Dyn)
        .declare("oldObject", Type::Dyn)
        .declare("namespaceObject", schema::namespace())
        .declare("request", schema::request())
        .with_variables()
});

fn figure(mut work: impl FnMut()) -> Figure {
    work();
    let (before, started) = (allocations(), Instant::now());
    let (mut rounds, mut batch) = (0u64, 1u64);
    while started.elapsed() < Duration::from_secs_f64(SECONDS) {
        for _ in 0..batch {
            work();
        }
        rounds += batch;
        batch *= 2;
    }
    let nanos = started.elapsed().as_nanos() as f64 / rounds as f64;
    Figure { nanos, heap: (allocations() - before) as f64 / rounds as f64 }
}

/// The figures of the API server's code; none where there is no Go.
fn oracle(pods: &[Json]) -> Vec<Json> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/oracle/build.sh");
    let built = Command::new("bash").arg(script).stderr(Stdio::inherit()).output().unwrap();
    if built.status.code() == Some(NO_GO) {
        println!("there is no `go`: nothing to compare with");
        return Vec::new();
    }
    assert!(built.status.success(), "there is no oracle: see above");
    let mut process = Command::new(String::from_utf8(built.stdout).unwrap().trim())
        .arg("bench")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let policies: Vec<Json> = policies()
        .iter()
        .map(|policy| {
            let variables: Vec<Json> = policy
                .variables
                .iter()
                .map(|(name, expression)| json!({"name": name, "expression": expression}))
                .collect();
            json!({"name": policy.name, "variables": variables, "expressions": policy.expressions})
        })
        .collect();
    let work = json!({"pods": pods, "policies": policies, "seconds": SECONDS});
    process.stdin.take().unwrap().write_all(work.to_string().as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "the oracle failed");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
