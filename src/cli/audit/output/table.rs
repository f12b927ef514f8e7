//! An audit for people at a terminal: findings, then counts by policy.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};

use crate::audit::report::word;
use crate::cli::audit::output::severity;
use crate::cli::audit::tally::{Found, PolicyTally, Report};

/// How wide a table is where there is no terminal to ask.
const PLAIN_WIDTH: u16 = 140;

/// Findings that are shown. Nobody reads more of a table; other forms have all.
const ROWS_MAX: usize = 1_000;

/// An empty table.
pub fn table(header: &[&str], is_terminal: bool) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.iter().copied());
    if !is_terminal {
        table.set_width(PLAIN_WIDTH);
    }
    table
}

pub fn write(out: &mut dyn Write, report: &Report, is_terminal: bool) -> io::Result<()> {
    let count = report.new_ones().count() as u64;
    let mut rows = table(&["OBJECT", "WHERE", "RESULT", "POLICY", "WHY"], is_terminal);
    for found in report.new_ones().take(ROWS_MAX) {
        rows.add_row(row(found));
    }
    if count > 0 {
        writeln!(out, "{}", rows.trim_fmt())?;
    }
    let hidden = count.saturating_sub(ROWS_MAX as u64) + report.more;
    if hidden > 0 {
        writeln!(
            out,
            "\n{hidden} more findings are not shown; -o jsonl has up to {} of them",
            report.found.len()
        )?;
    }
    let mut policies = table(&["POLICY", "SEVERITY", "FAIL", "WARN", "ERROR", "PASS"], is_terminal);
    let said = |tally: &&PolicyTally| tally.summary.total() > 0;
    for PolicyTally { policy, summary } in report.policies.iter().filter(said) {
        let severity = policy.severity.map_or("-", word);
        let counts = [summary.fail, summary.warn, summary.error, summary.pass];
        let cells = [policy.name.clone(), severity.to_owned()];
        policies.add_row(cells.into_iter().chain(counts.map(|count| count.to_string())));
    }
    if report.policies.iter().any(|tally| tally.summary.total() > 0) {
        writeln!(out, "{}{}", if count > 0 { "\n" } else { "" }, policies.trim_fmt())?;
    }
    for (policy, why) in &report.left_out {
        writeln!(out, "\n{policy} can't be asked about what exists: {why}")?;
    }
    for error in &report.unreadable {
        writeln!(out, "\nerror: {error}")?;
    }
    if report.more_unreadable > 0 {
        writeln!(out, "\nerror: and {} more can't be read", report.more_unreadable)?;
    }
    let summary = report.summary;
    writeln!(
        out,
        "\n{} objects, {} of them with a policy: {} failures, {} warnings, {} errors, {} passes{}",
        report.objects,
        report.covered,
        summary.fail,
        summary.warn,
        summary.error,
        summary.pass,
        if report.known > 0 {
            format!("; {} findings are known", report.known)
        } else {
            String::new()
        }
    )
}

fn row(found: &Found) -> [String; 5] {
    let finding = &found.finding;
    let place = if found.line == 0 {
        found.file.to_string()
    } else {
        format!("{}:{}", found.file, found.line)
    };
    let result = format!("{} {}", word(severity(found)), finding.verdict.as_str());
    [
        finding.object.to_string(),
        place,
        result,
        finding.policy.name.clone(),
        finding.message.to_string(),
    ]
}
