//! An audit for programs: one object, or a finding a line. The members of a finding are the same in both.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::audit::Finding;
use crate::cli::audit::baseline::identity;
use crate::cli::audit::tally::{Found, PolicyTally, Report};

/// A finding, and where what it is about stands.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'r> {
    #[serde(flatten)]
    finding: &'r Finding,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'r str,
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    policy_file: String,
    policy_line: u64,
    known: bool,
    fingerprint: String,
}

fn line<'r>(report: &Report, found: &'r Found) -> Written<'r> {
    let place = report.places.of(&found.finding);
    Written {
        finding: &found.finding,
        file: &found.file,
        line: found.line,
        expression: place.expression,
        policy_file: place.file,
        policy_line: place.line,
        known: found.known,
        fingerprint: identity(&found.finding).hex(),
    }
}

/// Everything, in one object.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let policy = |PolicyTally { policy, summary }: &PolicyTally| json!({"policy": policy, "summary": summary});
    let left_out = |(policy, why): &(String, String)| json!({"policy": policy, "why": why});
    let head = json!({
        "objects": report.objects,
        "covered": report.covered,
        "known": report.known,
        "notWritten": report.more,
        "summary": report.summary,
        "namespaces": report.namespaces,
        "policies": report.policies.iter().map(policy).collect::<Vec<Json>>(),
        "leftOut": report.left_out.iter().map(left_out).collect::<Vec<Json>>(),
        "unreadable": report.unreadable.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    // Findings are written one by one: there may be many.
    let head = serde_json::to_string_pretty(&head)?;
    let head = head.trim_end().trim_end_matches('}').trim_end();
    write!(out, "{head},\n  \"findings\": [")?;
    for (number, found) in report.found.iter().enumerate() {
        let comma = if number == 0 { "\n    " } else { ",\n    " };
        out.write_all(comma.as_bytes())?;
        serde_json::to_writer(&mut *out, &line(report, found))?;
    }
    writeln!(out, "{}]\n}}", if report.found.is_empty() { "" } else { "\n  " })
}

/// Findings only, each on a line.
pub fn write_lines(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    for found in &report.found {
        serde_json::to_writer(&mut *out, &line(report, found))?;
        writeln!(out)?;
    }
    Ok(())
}
