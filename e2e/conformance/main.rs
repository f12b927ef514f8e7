//! Runs admission cases that other projects wrote, and compares with what the API server's own code answers to them:
//! decision, message, every failure, warnings, audit annotations, mutated object. Prints a line for each corpus and
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
mod case;
mod documents;
mod own;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::case::Case;

/// What is not built yet, by what we then say. Cases that differ for it are counted apart.
const PENDING: &[&str] = &["ApplyConfiguration is not supported yet"];

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
    let mut wrong = Vec::new();
    for folder in folders.iter().filter(|folder| folder.join("index.jsonl").exists()) {
        wrong.extend(run_corpus(folder));
    }
    tell(&wrong);
}

#[test]
fn agrees_with_the_api_server_where_it_is_easy_to_get_wrong() {
    tell(&run_cases("own", own::cases()));
}

#[test]
fn documents_are_read_and_judged_as_the_api_server_does() {
    let Some(corpora) = corpora() else {
        eprintln!("no corpora beside the checkout; nothing compared");
        return;
    };
    let mut wrong = documents::misread(&corpora);
    for name in ["k8s-policy-validation", "policy-lint"] {
        wrong.extend(documents::misjudged(&corpora, name));
    }
    tell(&wrong);
}

fn tell(wrong: &[(String, String)]) {
    for (id, why) in wrong {
        println!("DIFFERS {id}: {why}");
    }
    assert!(wrong.is_empty(), "{} cases differ", wrong.len());
}

/// Runs the admission cases of one corpus, and gives those that differ.
fn run_corpus(folder: &Path) -> Vec<(String, String)> {
    let index = fs::read_to_string(folder.join("index.jsonl")).unwrap();
    let cases =
        index.lines().map(|line| Case { folder, case: serde_json::from_str(line).unwrap() });
    let admission = |case: &Case<'_>| {
        ["validate", "mutate"].contains(&case.case["kind"].as_str().unwrap_or_default())
    };
    run_cases(&folder.file_name().unwrap().to_string_lossy(), cases.filter(admission))
}

/// Runs cases, prints a line, writes the answers, and gives those that differ.
fn run_cases<'c>(name: &str, cases: impl Iterator<Item = Case<'c>>) -> Vec<(String, String)> {
    let (mut agreed, mut left_out, mut pending) = (0, 0, 0);
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
            Some(_) if PENDING.iter().any(|text| answer.says(text)) => pending += 1,
            Some(why) => wrong.push((case.id().to_owned(), why)),
        }
    }
    if agreed + wrong.len() + left_out + pending > 0 {
        println!(
            "{name}: {agreed} agree, {} differ, {pending} wait for what is not built yet, {left_out} left out",
            wrong.len()
        );
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(format!("{name}.jsonl")), answers).unwrap();
    }
    wrong
}
