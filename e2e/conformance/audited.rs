//! Objects that exist, asked about as the audit asks: whoever was denied by the API server's own code has a failure, and
//! whoever was not has none.

use std::path::Path;

use portcullis::admission::{Facts, NamespaceObject, Need, Snapshot};
use portcullis::audit::{Auditor, Existing, Served, Verdict};
use portcullis::cel::{Arena, Version};
use portcullis::json::Document;
use serde_json::Value as Json;

use crate::Tally;
use crate::case::Case;

/// The creations of a corpus, audited.
pub fn disagreeing(folder: &Path) -> Tally {
    let index = std::fs::read_to_string(folder.join("index.jsonl")).unwrap_or_default();
    let mut tally = Tally::default();
    let mut left_out = 0;
    for line in index.lines() {
        let case = Case { folder, case: serde_json::from_str(line).unwrap() };
        let decision = case.case["oracle"]["decision"].as_str().unwrap_or_default();
        let is_wanted = case.case["kind"] == "validate" && case.case["oracle_agrees"] == true;
        if !is_wanted || !["allow", "deny"].contains(&decision) {
            continue;
        }
        match audited(&case) {
            None => left_out += 1,
            Some(Ok(fails)) if fails == (decision == "deny") => tally.agreed += 1,
            Some(Ok(fails)) => {
                let why = format!(
                    "{decision}, and the audit {}",
                    if fails { "fails it" } else { "passes it" }
                );
                tally.wrong.push((case.id().to_owned(), why));
            }
            Some(Err(why)) => tally.wrong.push((case.id().to_owned(), why)),
        }
    }
    if tally.agreed + tally.wrong.len() + left_out > 0 {
        let name = folder.file_name().unwrap().to_string_lossy();
        let differ = tally.wrong.len();
        println!(
            "{name}, audited: {} agree, {differ} differ, {left_out} can't be audited",
            tally.agreed
        );
    }
    tally
}

/// Whether an object fails; none if a policy of the case can't be asked about what exists, or the case is about no object.
fn audited(case: &Case<'_>) -> Option<Result<bool, String>> {
    let definitions = case.definitions().ok()?;
    let snapshot = Snapshot::build(definitions, Version::default(), None);
    let auditor = Auditor::new(&snapshot);
    if !auditor.left_out().is_empty() {
        return None;
    }
    let review = case.review();
    let request = &review["request"];
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    // What was asked for is what is stored, only for an object that says all of it.
    let is_about_an_object = request["operation"] == "CREATE"
        && text(&request["subResource"]).is_empty()
        && request["object"]["metadata"]["name"] == request["name"];
    if !is_about_an_object {
        return None;
    }
    let mut object = request["object"].clone();
    let namespace = text(&request["namespace"]);
    if !namespace.is_empty() && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = namespace.clone().into();
    }
    let document = Document::from_value(&object);
    let resource = text(&request["resource"]["resource"]);
    let served = Served { resource: &resource, namespaced: !namespace.is_empty() };
    let existing = Existing::new(document.root(), served).ok()?;
    let (mut facts, mut arena) = (Facts::new(), Arena::new());
    for _ in 0..64 {
        match auditor.examine(&existing, &facts, &mut arena) {
            Ok(examined) => {
                let fails = |verdict: Verdict| verdict > Verdict::Warn;
                return Some(Ok(examined.answers.iter().any(|answer| fails(answer.verdict))));
            }
            Err(Need::Namespace(name)) => {
                facts.add_namespace(&name, Some(NamespaceObject::named(&name)));
            }
            Err(need) => return Some(Err(format!("needs {need}"))),
        }
    }
    Some(Err("needs too much".into()))
}
