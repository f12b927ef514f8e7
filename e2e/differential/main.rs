//! Random expressions over random objects, asked of this engine and of the API server's own: acceptance, value, type, error and
//! cost have to agree. What does not agree is made small and printed as a line for `regressions.jsonl`, which is compared on
//! every run. `DIFFERENTIAL_CASES` says how many cases, `DIFFERENTIAL_SEED` where they begin; `FUZZ_SECONDS` how long `typed`
//! takes, which asks nobody.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod case;
mod generate;
mod literals;
mod oracle;
mod random;
mod shrink;
mod special;
mod texts;
mod tree;
mod typed;
mod types;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::case::{Case, difference, is_documented, ours};
use crate::oracle::Oracle;

/// What every run of the tests compares; `make differential` compares more.
const CASES: u64 = 3_000;

/// Cases that are asked at once.
const BATCH: u64 = 500;

/// So many different differences end the run: there is enough to do then.
const REPORTED_MAX: usize = 60;

/// Parts of an answer that a regression is compared in.
const COMPARED: [&str; 5] = ["outcome", "type", "value", "output_type", "cost"];

#[test]
fn agrees_with_the_api_server_on_random_expressions() {
    let Some(program) = oracle::program() else {
        eprintln!("NOT COMPARED WITH THE API SERVER: there is no `go` to build e2e/oracle with");
        return;
    };
    // What panics is compared, and needs no trace.
    std::panic::set_hook(Box::new(|_| ()));
    let tally = run(
        &mut Oracle::start(&program),
        number("DIFFERENTIAL_SEED", 1),
        number("DIFFERENTIAL_CASES", CASES),
    );
    let _ = std::panic::take_hook();
    println!("{tally}");
    assert!(tally.differing.is_empty(), "\n{tally}");
    assert!(tally.values * 5 > tally.cases, "too few of the expressions have a value:\n{tally}");
}

#[test]
fn regressions_are_answered_as_the_api_server_answers_them() {
    let rows = regressions();
    for row in &rows {
        let differs = difference(&ours(row), &row["expect"]);
        assert!(differs.is_none(), "{}: {}\n{}", differs.unwrap_or(""), row, ours(row));
    }
}

#[test]
fn regressions_say_what_the_api_server_answers() {
    let Some(program) = oracle::program() else { return };
    let rows = regressions();
    for (row, theirs) in rows.iter().zip(Oracle::start(&program).ask(&rows)) {
        for part in COMPARED {
            assert_eq!(row["expect"][part], theirs[part], "{part} of {row}");
        }
    }
}

#[test]
fn the_comparison_sees_what_differs() {
    let value = |value: Json, cost: u64| json!({"outcome": "value", "value": value, "cost": cost});
    let one = value(json!({"double": 0.0}), 1);
    for (theirs, expect) in [
        (one.clone(), None),
        (value(json!({"double": -0.0}), 1), Some("value")),
        (value(json!({"int": "0"}), 1), Some("value")),
        (value(json!({"double": 0.0}), 2), Some("cost")),
        (json!({"outcome": "runtime_error"}), Some("outcome")),
    ] {
        assert_eq!(difference(&one, &theirs), expect, "{theirs}");
    }
}

#[derive(Default)]
struct Tally {
    cases: u64,
    values: u64,
    /// The oracle does not always answer the same.
    random: u64,
    /// docs/differences.md says so.
    documented: u64,
    /// How they differ and the smallest expression found, with a line for the regressions and how often it was met.
    differing: BTreeMap<(String, String), (String, u64)>,
    seconds: f64,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for ((how, expr), (row, count)) in &self.differing {
            writeln!(f, "{how} ({count}): {expr}\n{row}")?;
        }
        write!(
            f,
            "{} cases, {} with a value, {} without a certain answer, {} differing as documented, {} differing, {:.0} s",
            self.cases,
            self.values,
            self.random,
            self.documented,
            self.differing.len(),
            self.seconds
        )
    }
}

fn run(oracle: &mut Oracle, seed: u64, count: u64) -> Tally {
    let started = Instant::now();
    let mut tally = Tally::default();
    while tally.cases < count && tally.differing.len() < REPORTED_MAX {
        let first = seed.wrapping_mul(1_000_000_007).wrapping_add(tally.cases);
        let batch = BATCH.min(count - tally.cases);
        let cases: Vec<Case> =
            (0..batch).map(|place| Case::of(first.wrapping_add(place))).collect();
        let questions: Vec<Json> = cases.iter().map(Case::question).collect();
        let (theirs, own) =
            oracle.ask_while(&questions, || questions.iter().map(ours).collect::<Vec<_>>());
        tally.cases += batch;
        for ((case, question), (own, theirs)) in
            cases.into_iter().zip(&questions).zip(own.iter().zip(&theirs))
        {
            tally.values += u64::from(theirs["outcome"] == "value");
            if let Some(how) = difference(own, theirs) {
                tally.differs(oracle, case, question, how);
            }
        }
        if tally.cases % 50_000 == 0 {
            eprintln!("{} cases, {} differing", tally.cases, tally.differing.len());
        }
    }
    tally.seconds = started.elapsed().as_secs_f64();
    tally
}

impl Tally {
    fn differs(&mut self, oracle: &mut Oracle, case: Case, question: &Json, how: &'static str) {
        if shrink::is_random(oracle, question) {
            self.random += 1;
            return;
        }
        let small = shrink::shrink(oracle, case, how);
        let mut row = small.question();
        let (own, theirs) = (ours(&row), oracle.ask(std::slice::from_ref(&row)).remove(0));
        if is_documented(&own, &theirs) {
            self.documented += 1;
            return;
        }
        let parts = |answer: &Json| {
            let kept = COMPARED.iter().filter(|part| !answer[**part].is_null());
            Json::Object(kept.map(|part| ((*part).to_owned(), answer[*part].clone())).collect())
        };
        row["expect"] = parts(&theirs);
        let line = format!(
            "  {row}\n  ours: {} {} theirs: {}",
            parts(&own),
            own["error"],
            theirs["error"]
        );
        let key = (how.to_owned(), small.expr.to_string());
        self.differing.entry(key).or_insert((line, 0)).1 += 1;
    }
}

fn regressions() -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/differential/regressions.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[expect(clippy::disallowed_methods, reason = "the only arguments that a test can be given")]
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}
