//! `portcullis ledger`: whether anybody rewrote what was decided.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::{Exit, Failure, files};
use crate::ledger::{Checkpoint, OpenError, Verified, verify_folder};

/// Looks into a ledger of decisions.
#[derive(Debug, Args)]
pub struct LedgerArgs {
    #[command(subcommand)]
    command: LedgerCommand,
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    /// Checks every record against checkpoints; ends with 1 if one was changed, removed or moved
    Verify {
        /// The folder of the ledger, which may be in use
        folder: PathBuf,
        /// A checkpoint that was kept elsewhere, beside the folder's own; may be repeated
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
    },
}

/// What the ledger of `portcullis serve` calls itself in its checkpoints.
pub const ORIGIN: &str = "portcullis";

/// Runs the command.
pub fn run(args: &LedgerArgs) -> Result<Exit, Failure> {
    let LedgerCommand::Verify { folder, checkpoint } = &args.command;
    let mut kept = Vec::with_capacity(checkpoint.len());
    for path in checkpoint {
        let text = files::text(path)?;
        kept.push(Checkpoint::parse(&text).map_err(|error| Failure::file(path, &error))?);
    }
    let out = &mut io::stdout().lock();
    match verify_folder(folder, ORIGIN, &kept) {
        Ok(Verified { records, covered, .. }) => {
            let covered = format!("{covered} covered by checkpoints");
            writeln!(out, "{records} records, {covered}: as they were written")?;
            Ok(Exit::Ok)
        }
        Err(OpenError::Io { path, source }) => Err(Failure::file(&path, &source)),
        Err(tampered) => {
            writeln!(out, "error: {tampered}")?;
            Ok(Exit::Findings)
        }
    }
}
