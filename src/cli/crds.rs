//! `portcullis crds`: the CustomResourceDefinitions, to be applied.

use std::io::{self, Write};

use crate::cli::{Exit, Failure};

/// Runs the command.
pub fn run() -> Result<Exit, Failure> {
    let out = &mut io::stdout().lock();
    for (_, text) in crate::policy::crds::crds() {
        write!(out, "---\n{text}")?;
    }
    Ok(Exit::Ok)
}
