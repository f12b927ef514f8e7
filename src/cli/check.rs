//! `portcullis check`: whether policies compile, before anybody applies them.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::cel::Version;
use crate::cli::{Exit, Failure, diagnostics, files};
use crate::policy::snapshot::Snapshot;
use crate::schema::Catalog;

/// Checks policies and bindings, and shows what is wrong with a caret.
///
/// Warns where an expression asks for something that the objects it is about do not have, as far as their kinds are
/// known: those of Kubernetes, and those of the CustomResourceDefinitions among the files. Ends with 1 if something is
/// wrong.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  portcullis check policies/
  portcullis check --strict policies/ crds/")]
pub struct CheckArgs {
    /// Policies and bindings, ours and native: files or folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The Kubernetes release whose CEL it is
    #[arg(long, default_value = "1.37")]
    version: Version,
    /// End with 1 if there are warnings, too
    #[arg(long)]
    strict: bool,
}

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let definitions = files::definitions(&args.paths)?;
    let mut catalog = Catalog::built_in();
    for object in &definitions.params {
        catalog.add_custom(object);
    }
    let warnings = diagnostics::warnings(&definitions, &catalog, args.version);
    let snapshot = Snapshot::build(definitions, args.version, None);
    let problems = diagnostics::of(&snapshot);
    let out = &mut io::stdout().lock();
    for problem in &problems {
        writeln!(out, "error: {problem}\n")?;
    }
    for warning in &warnings {
        writeln!(out, "warning: {warning}\n")?;
    }
    let policies = snapshot.policies().count();
    let (errors, warned) = (problems.len(), warnings.len());
    writeln!(out, "{policies} policies checked, {errors} problems, {warned} warnings")?;
    let is_fine = problems.is_empty() && !(args.strict && warned > 0);
    Ok(if is_fine { Exit::Ok } else { Exit::Findings })
}
