//! `portcullis diff`: whether the policies of a cluster are the ones that were reviewed.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::audit::drift::{Change, Drift, Field, drift};
use crate::cli::cluster::Cluster;
use crate::cli::reach::Reach;
use crate::cli::{Exit, Failure, files};
use crate::policy::Definitions;
use crate::policy::definitions::Origin;

/// Characters of a value that are shown in a line; `-o json` has all.
const VALUE_CHARS_MAX: usize = 300;

/// Compares the policies and bindings of a cluster with those of files: added, removed, changed, field by field.
///
/// Defaults, labels, annotations and status are no difference. Ends with 1 if there is one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis diff policies/
  git worktree add /tmp/reviewed v1.4 && portcullis diff /tmp/reviewed/policies
  portcullis diff --ignore-added policies/     # others have policies in the cluster, too")]
pub struct DiffArgs {
    /// Policies and bindings, ours and native, as they should be: files or folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Passes over policies that only the cluster has
    #[arg(long)]
    ignore_added: bool,
    /// Passes over native policies and bindings
    #[arg(long)]
    ignore_native: bool,
    /// How it is written
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One array, with the values in full
    Json,
}

/// Runs the command.
pub fn run(args: &DiffArgs) -> Result<Exit, Failure> {
    let mut declared = files::definitions(&args.paths)?;
    let mut present = Cluster::connect(&args.reach)?.policies()?;
    if args.ignore_native {
        without_native(&mut declared);
        without_native(&mut present);
    }
    let mut found = drift(&declared, &present);
    if args.ignore_added {
        found.retain(|drift| drift.change != Change::Added);
    }
    let out = &mut io::stdout().lock();
    match args.output {
        Format::Text => text(out, &found)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &found).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(if found.is_empty() { Exit::Ok } else { Exit::Findings })
}

fn without_native(definitions: &mut Definitions) {
    definitions.validating.retain(|policy| policy.origin != Origin::Native);
    definitions.mutating.retain(|policy| policy.origin != Origin::Native);
    definitions.bindings.retain(|binding| binding.origin != Origin::Native);
}

fn text(out: &mut impl Write, found: &[Drift]) -> io::Result<()> {
    for drift in found {
        let place =
            if drift.source.is_empty() { String::new() } else { format!(" ({})", drift.source) };
        writeln!(out, "{} {drift}{place}", drift.change.as_str())?;
        let Change::Changed(fields) = &drift.change else { continue };
        for Field { field, declared, present } in fields {
            writeln!(out, "  {field}")?;
            for (sign, value) in [("-", declared), ("+", present)] {
                let Some(value) = value else { continue };
                let value = value.to_string();
                let shown: String = value.chars().take(VALUE_CHARS_MAX).collect();
                let dots = if shown.len() < value.len() { ".." } else { "" };
                writeln!(out, "    {sign} {shown}{dots}")?;
            }
        }
    }
    match found.len() {
        0 => writeln!(out, "the cluster has what was declared"),
        count => writeln!(out, "{count} policies and bindings differ"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_lines() {
        let field = Field {
            field: "spec.failurePolicy".into(),
            declared: Some(json!("Fail")),
            present: Some(json!("x".repeat(400))),
        };
        let changed = Drift {
            kind: "ValidatingPolicy",
            name: "p".into(),
            source: "a.yaml:1".into(),
            change: Change::Changed(vec![field]),
        };
        let mut out = Vec::new();
        text(&mut out, &[changed]).unwrap();
        let expect = format!(
            "changed ValidatingPolicy p (a.yaml:1)\n  spec.failurePolicy\n    - \"Fail\"\n    + \"{}..\n\
             1 policies and bindings differ\n",
            "x".repeat(299)
        );
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }
}
