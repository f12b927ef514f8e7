//! The examples in `policies/*/spec.md`, asked of the engine: every one is a test, so that what a policy's page says is
//! true.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod engine;
mod example;

use crate::engine::Answer;
use crate::example::{Example, Expected, examples, merged};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[test]
fn every_example_gets_the_answer_its_page_says() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for folder in folders() {
        for example in spec(&folder) {
            count += 1;
            let snapshot = engine::snapshot(&folder, &example);
            let review = example.review();
            let answer = engine::ask(&snapshot, &review);
            if let Err(problem) = check(&example, &review["request"]["object"], &answer) {
                let place = folder.file_name().unwrap().display();
                wrong.push(format!(
                    "{place}/spec.md:{}: {}: {problem}",
                    example.line, example.title
                ));
            }
        }
    }
    println!("{count} examples");
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn a_mutation_changes_nothing_the_second_time() {
    for folder in folders() {
        for example in spec(&folder) {
            let snapshot = engine::snapshot(&folder, &example);
            let mut review = example.review();
            let Some(changed) = engine::ask(&snapshot, &review).object else { continue };
            review["request"]["object"] = changed;
            let again = engine::ask(&snapshot, &review).object;
            assert_eq!(again, None, "{}: {}", folder.display(), example.title);
        }
    }
}

#[test]
fn every_policy_has_a_spec_that_can_be_read() {
    let mut wrong = Vec::new();
    for folder in folders() {
        let examples = spec(&folder);
        for (need, is_met) in [
            ("allowed", examples.iter().any(|e| e.expected == Some(Expected::Allow))),
            ("not", examples.iter().any(|e| e.expected != Some(Expected::Allow))),
        ] {
            if !is_met {
                wrong.push(format!("{}: no example that is {need}", folder.display()));
            }
        }
        if !folder.join("policy.yaml").exists() {
            wrong.push(format!("{}: no policy.yaml", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let object = "```yaml\nkind: Pod\n```\n";
    let rows = [
        (format!("## a\n{object}Allow\n"), Ok(1)),
        (format!("# t\n## a\n{object}Allow\n## b\n{object}Deny: no\n"), Ok(2)),
        (format!("## a\n{object}"), Err("lacks an answer")),
        ("## a\nAllow\n".to_owned(), Err("lacks an object")),
        (format!("## a\n{object}Allow\nDeny: no\n"), Err("a second answer")),
        (format!("## a\n{object}{object}Allow\n"), Err("there is one already")),
        (format!("## a\n```json\n{{}}\n```\n{object}Allow\n"), Err("`json` is no block")),
        ("## a\n```yaml\na: [\n```\n".to_owned(), Err("line 2")),
    ];
    for (text, expected) in rows {
        match (examples(&text), expected) {
            (Ok(found), Ok(count)) => assert_eq!(found.len(), count, "{text}"),
            (Err(found), Err(part)) => assert!(found.contains(part), "{found} in {text}"),
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn an_example_becomes_the_request_that_the_api_server_would_send() {
    let text = "## a\n```yaml request\nsubResource: scale\n```\n```yaml old\n{}\n```\n\
                ```yaml\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: b}}\n```\nAllow\n";
    let example = examples(text).unwrap().remove(0);
    let request = &example.review()["request"];
    assert_eq!(
        request["resource"],
        json!({"group": "apps", "version": "v1", "resource": "deployments"})
    );
    assert_eq!(request["operation"], "UPDATE");
    assert_eq!(request["requestSubResource"], "scale");
    assert_eq!(request["oldObject"]["metadata"]["namespace"], "b");
    assert_eq!(example.namespace()["metadata"]["labels"]["kubernetes.io/metadata.name"], "b");
}

#[test]
fn a_patch_says_what_changes() {
    let object = json!({"a": 1, "b": [{"c": 1, "d": 2}, {"c": 3}]});
    let fragment = json!({"b": [{"d": 4}, {}]});
    assert_eq!(merged(&object, &fragment), json!({"a": 1, "b": [{"c": 1, "d": 4}, {"c": 3}]}));
    assert_eq!(merged(&object, &json!({"b": [1]}))["b"], json!([1]));
}

/// The folders of the starter set.
fn folders() -> Vec<PathBuf> {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let entries = std::fs::read_dir(policies).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() > 5, "the starter set was not found");
    folders
}

fn spec(folder: &Path) -> Vec<Example> {
    let file = folder.join("spec.md");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    examples(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Whether the answer is what the example says.
fn check(example: &Example, object: &Value, answer: &Answer) -> Result<(), String> {
    let is = match example.expected.as_ref().unwrap() {
        Expected::Allow => answer.allowed && answer.warnings.is_empty() && answer.object.is_none(),
        Expected::Deny(message) => !answer.allowed && answer.failures.first() == Some(message),
        Expected::Warn(message) => {
            answer.allowed && matches!(&answer.warnings[..], [one] if one.ends_with(message))
        }
        Expected::Patch(fragment) => {
            answer.allowed && answer.object.as_ref() == Some(&merged(object, fragment))
        }
    };
    if is { Ok(()) } else { Err(format!("expected {:?}, got {answer:?}", example.expected)) }
}
