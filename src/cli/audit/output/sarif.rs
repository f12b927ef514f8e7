//! An audit as SARIF 2.1.0, for code scanning. Source: the OASIS standard, and what GitHub reads of it.

use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::{Value as Json, json};

use crate::audit::Verdict;
use crate::audit::report::word;
use crate::cli::audit::baseline::identity;
use crate::cli::audit::output::severity;
use crate::cli::audit::tally::{Found, Report};
use crate::policy::api::Severity;

/// Everything, in one run. Results are written one by one: there may be many.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let mut rules = Rules::default();
    for found in &report.found {
        rules.place(report, found);
    }
    let notification = |error: &crate::policy::manifest::ManifestError| {
        json!({
            "level": "error",
            "message": {"text": error.message},
            "locations": [location(&error.file, error.line, "")],
        })
    };
    let run = json!({
        "tool": {"driver": {
            "name": "portcullis",
            "version": env!("CARGO_PKG_VERSION"),
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": rules.rules,
        }},
        "invocations": [{
            "executionSuccessful": report.unreadable.is_empty(),
            "toolExecutionNotifications":
                report.unreadable.iter().map(notification).collect::<Vec<Json>>(),
        }],
    });
    let run = serde_json::to_string_pretty(&run)?;
    let run = run.strip_suffix('}').unwrap_or(&run).trim_end();
    let schema = "https://json.schemastore.org/sarif-2.1.0.json";
    write!(
        out,
        "{{\"$schema\": \"{schema}\", \"version\": \"2.1.0\", \"runs\": [{run},\n  \"results\": ["
    )?;
    for (number, found) in report.found.iter().enumerate() {
        out.write_all(if number == 0 { b"\n    " } else { b",\n    " })?;
        serde_json::to_writer(&mut *out, &result(report, found, &mut rules))?;
    }
    writeln!(out, "]\n}}]}}")
}

/// Each rule of each policy, once.
#[derive(Default)]
struct Rules {
    rules: Vec<Json>,
    places: HashMap<String, usize>,
}

impl Rules {
    /// The name of the rule of a finding, and where it is.
    fn place(&mut self, report: &Report, found: &Found) -> (String, usize) {
        let finding = &found.finding;
        let id = format!("{}/{}", finding.policy.name, finding.rule);
        let place =
            *self.places.entry(format!("{} {id}", finding.policy.kind)).or_insert_with(|| {
                self.rules.push(rule(report, found, &id));
                self.rules.len() - 1
            });
        (id, place)
    }
}

fn result(report: &Report, found: &Found, rules: &mut Rules) -> Json {
    let finding = &found.finding;
    let (id, place) = rules.place(report, found);
    let mut result = json!({
        "ruleId": id,
        "ruleIndex": place,
        "level": level(found),
        "message": {"text": format!("{}: {}", finding.object, finding.message)},
        "locations": [location(&found.file, found.line, &finding.object.to_string())],
        "partialFingerprints": {"portcullisFinding/v1": identity(finding).hex()},
        "properties": {"result": finding.verdict, "binding": finding.binding, "param": finding.param},
    });
    if let (Some(fields), true) = (result.as_object_mut(), report.known > 0) {
        let state = if found.known { "unchanged" } else { "new" };
        fields.insert("baselineState".into(), state.into());
    }
    result
}

fn rule(report: &Report, found: &Found, id: &str) -> Json {
    let policy = &found.finding.policy;
    let place = report.places.of(&found.finding);
    let description = policy.description.as_deref().unwrap_or(&policy.name);
    let mut help = description.to_owned();
    if let Some(expression) = &place.expression {
        help = format!("{help}\n\n{expression}");
    }
    let short = description.lines().next().unwrap_or_default();
    // GitHub sorts by this number: 9 and more is critical, 7 high, 4 medium, the rest low.
    let score = match severity(found) {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.0",
        Severity::Low => "3.0",
        Severity::Info => "1.0",
    };
    let mut tags = vec!["kubernetes"];
    tags.extend(policy.category.as_deref());
    json!({
        "id": id,
        "name": policy.name,
        "shortDescription": {"text": short},
        "fullDescription": {"text": description},
        "help": {"text": help},
        "defaultConfiguration": {"level": level(found)},
        "properties": {
            "tags": tags,
            "security-severity": score,
            "severity": word(severity(found)),
            "owner": policy.owner,
            "policyFile": place.file,
            "policyLine": place.line,
        },
    })
}

fn level(found: &Found) -> &'static str {
    match (found.finding.verdict, severity(found)) {
        (Verdict::Warn, _) | (Verdict::Fail, Severity::Medium | Severity::Low) => "warning",
        (Verdict::Fail, Severity::Info) => "note",
        _ => "error",
    }
}

fn location(file: &str, line: u64, object: &str) -> Json {
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(file)},
            "region": {"startLine": line.max(1)},
        },
    });
    if let (Some(fields), false) = (location.as_object_mut(), object.is_empty()) {
        let logical = json!([{"fullyQualifiedName": object, "kind": "object"}]);
        fields.insert("logicalLocations".into(), logical);
    }
    location
}

/// A path as a reference of RFC 3986: relative ones stay so.
fn uri(path: &str) -> String {
    use std::fmt::Write as _;
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    let path = path.strip_prefix("./").unwrap_or(path);
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            // Writing to a String does not fail.
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_references() {
        assert_eq!(uri("./a b/ü.yaml"), "a%20b/%C3%BC.yaml");
        assert_eq!(uri("/x/y:1.yaml"), "file:///x/y%3A1.yaml");
    }
}
