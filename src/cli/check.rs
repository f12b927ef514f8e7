//! `portcullis check`: whether policies compile, before anybody applies them.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::cel::Version;
use crate::cli::{Exit, Failure, diagnostics, files};

/// Checks policies and bindings, and shows what is wrong with a caret.
///
/// Ends with 1 if something is wrong.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  portcullis check policies/")]
pub struct CheckArgs {
    /// Policies and bindings, ours and native: files or folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The Kubernetes release whose CEL it is
    #[arg(long, default_value = "1.37")]
    version: Version,
}

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let snapshot = files::snapshot(&args.paths, args.version)?;
    let problems = diagnostics::of(&snapshot);
    let out = &mut io::stdout().lock();
    for problem in &problems {
        writeln!(out, "error: {problem}\n")?;
    }
    let policies = snapshot.policies().count();
    writeln!(out, "{policies} policies checked, {} problems", problems.len())?;
    Ok(if problems.is_empty() { Exit::Ok } else { Exit::Findings })
}
