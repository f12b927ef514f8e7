//! Runs cases that other projects wrote - admission, expressions, documents - and compares with what the API server's
//! own code answers to them: decision, message, every failure, warnings, audit annotations, mutated object; outcome,
//! value, type and cost. Prints a line for each corpus and
//! writes the answers for `compare.py`. Without the data nothing is compared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod answer;
mod audited;
mod case;
mod documents;
mod expressions;
mod own;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::case::Case;

/// Where the data lies beside a checkout; `CORPORA` names another place.
fn corpora() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    let place = std::env::var_os("CORPORA").map_or(beside, PathBuf::from);
    place.is_dir().then_some(place)
}

#[test]
fn agrees_with_the_api_server_on_the_corpora() {
    let Some(corpora) = corpora() else {
        eprintln!("no corpora beside the checkout; nothing compared");
        return;
    };
    let mut folders: Vec<PathBuf> =
        fs::read_dir(&corpora).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mut tally = Tally::default();
    for folder in folders.iter().filter(|folder| folder.join("index.jsonl").exists()) {
        tally.add(run_corpus(folder));
        tally.add(expressions::run(folder));
        tally.add(audited::disagreeing(folder));
    }
    tally.add(documents::misread(&corpora));
    tally.add(documents::misread_by_an_audit(&corpora));
    for name in ["k8s-policy-validation", "policy-lint"] {
        tally.add(documents::misjudged(&corpora, name));
        tally.add(documents::warned_differently(&corpora, name));
    }
    tally.tell();
}

/// What came of many cases.
#[derive(Default)]
pub struct Tally {
    pub agreed: usize,
    /// Cases that differ for a known reason: an order that Go leaves to chance.
    pub known: usize,
    /// Each other case that differs, and how.
    pub wrong: Vec<(String, String)>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.agreed += other.agreed;
        self.known += other.known;
        self.wrong.extend(other.wrong);
    }

    fn tell(&self) {
        for (id, why) in self.wrong.iter().take(DIFFERENCES_SHOWN_MAX) {
            println!("DIFFERS {id}: {why}");
        }
        println!("total: {} agreed, {} differing", self.agreed, self.wrong.len() + self.known);
        assert!(self.wrong.is_empty(), "{} cases differ", self.wrong.len());
    }
}

/// How many differences are shown: whoever mends the first ones runs it again.
const DIFFERENCES_SHOWN_MAX: usize = 40;

#[test]
fn agrees_with_the_api_server_where_it_is_easy_to_get_wrong() {
    run_cases("own", own::cases()).tell();
}

/// Runs the admission cases of one corpus.
fn run_corpus(folder: &Path) -> Tally {
    let index = fs::read_to_string(folder.join("index.jsonl")).unwrap();
    let cases =
        index.lines().map(|line| Case { folder, case: serde_json::from_str(line).unwrap() });
    let admission = |case: &Case<'_>| {
        ["validate", "mutate"].contains(&case.case["kind"].as_str().unwrap_or_default())
    };
    run_cases(&folder.file_name().unwrap().to_string_lossy(), cases.filter(admission))
}

/// Runs cases, prints a line, and writes the answers.
fn run_cases<'c>(name: &str, cases: impl Iterator<Item = Case<'c>>) -> Tally {
    let (mut agreed, mut left_out) = (0, 0);
    let mut wrong = Vec::new();
    let mut answers = String::new();
    for case in cases {
        let answer = case.run();
        writeln!(answers, "{}", answer.line(case.id())).unwrap();
        if case.case["oracle_agrees"] != true {
            left_out += 1;
            continue;
        }
        match answer.difference(&case) {
            None => agreed += 1,
            Some(why) => wrong.push((case.id().to_owned(), why)),
        }
    }
    if agreed + wrong.len() + left_out > 0 {
        println!("{name}: {agreed} agree, {} differ, {left_out} left out", wrong.len());
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(format!("{name}.jsonl")), answers).unwrap();
    }
    Tally { agreed, known: 0, wrong }
}
