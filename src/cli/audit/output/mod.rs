//! The forms of an audit: for people, for programs, for CI, for clusters. Each is written as a stream.

mod github;
mod html;
mod json;
mod junit;
mod page;
mod reports;
mod sarif;
mod table;

use std::io::{self, Write};

use clap::ValueEnum;

use crate::audit::report::Flavor;
use crate::cli::audit::tally::{Found, Report};
use crate::policy::api::Severity;

pub use table::table;

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people at a terminal
    Table,
    /// One object, with counts by policy and namespace
    Json,
    /// A finding a line
    Jsonl,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// JUnit XML, a test suite for each policy
    Junit,
    /// GitHub workflow commands, which annotate the lines of a pull request
    Github,
    /// PolicyReports of wgpolicyk8s.io/v1alpha2, in YAML
    Policyreport,
    /// Reports of openreports.io/v1alpha1, in YAML
    Openreports,
    /// One page that needs nothing else, for people
    Html,
}

/// Writes what came of an audit.
///
/// # Errors
/// If it can't be written.
pub fn write(
    out: &mut dyn Write,
    format: Format,
    report: &Report,
    is_terminal: bool,
) -> io::Result<()> {
    match format {
        Format::Table => table::write(out, report, is_terminal),
        Format::Json => json::write(out, report),
        Format::Jsonl => json::write_lines(out, report),
        Format::Sarif => sarif::write(out, report),
        Format::Junit => junit::write(out, report),
        Format::Github => github::write(out, report),
        Format::Policyreport => reports::write(out, report, Flavor::PolicyReport),
        Format::Openreports => reports::write(out, report, Flavor::OpenReports),
        Format::Html => html::write(out, report, crate::controller::now()),
    }?;
    if format != Format::Table {
        unsaid(report);
    }
    Ok(())
}

/// What forms for programs have no place for is told beside.
fn unsaid(report: &Report) {
    for error in &report.unreadable {
        eprintln!("error: {error}");
    }
    if report.more_unreadable > 0 {
        eprintln!("error: and {} more can't be read", report.more_unreadable);
    }
    if report.more > 0 {
        eprintln!("warning: {} more findings are counted and not written", report.more);
    }
}

/// The severity, which a policy that says none has too.
pub fn severity(found: &Found) -> Severity {
    found.finding.policy.severity.unwrap_or(Severity::Medium)
}
