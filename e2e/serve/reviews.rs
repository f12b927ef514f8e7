//! `portcullis review`: the same engine, asked with files.

use crate::program::{portcullis, tree};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;

#[test]
fn reviews_files_as_a_table() {
    let samples = ["denied", "admitted", "patched"]
        .map(|sample| tree(&format!("docs/samples/{sample}.json")).display().to_string());
    let output = portcullis(&["review", "--policies"])
        .arg(tree("policies"))
        .args(&samples)
        .output()
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    println!("{table}");
    for word in ["builder", "shop", "cache", "privileged"] {
        assert!(table.contains(word), "`{word}` is not in:\n{table}");
    }
}

#[test]
fn reviews_standard_input_as_json() {
    let sample = std::fs::read(tree("docs/samples/denied.json")).unwrap();
    let mut review = portcullis(&["review", "-o", "json", "--policies"])
        .arg(tree("policies"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    review.stdin.take().unwrap().write_all(&sample).unwrap();
    let output = review.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let decision: Value =
        serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert!(decision.to_string().contains("pod-security-privileges"), "{text}");
}

#[test]
fn refuses_what_is_no_review() {
    let output = portcullis(&["review", "--policies"])
        .arg(tree("policies"))
        .arg(tree("Cargo.toml"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("Cargo.toml"), "{error}");
}
