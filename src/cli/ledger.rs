//! `portcullis ledger`: whether anybody rewrote what was decided.

use std::fs;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::{Exit, Failure};
use crate::ledger::store::{CHECKPOINT_FILE, RECORDS_FILE};
use crate::ledger::{Checkpoint, Tampered, Verified, verify};

/// Looks into a ledger of decisions.
#[derive(Debug, Args)]
pub struct LedgerArgs {
    #[command(subcommand)]
    command: LedgerCommand,
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    /// Checks every record against the checkpoint; ends with 1 if one was changed, removed or moved
    Verify {
        /// The folder of the ledger
        folder: PathBuf,
    },
}

/// Runs the command.
pub fn run(args: &LedgerArgs) -> Result<Exit, Failure> {
    let LedgerCommand::Verify { folder } = &args.command;
    let checkpoint = fs::read_to_string(folder.join(CHECKPOINT_FILE))
        .map_err(|error| Failure::file(folder, &error))?;
    let checkpoint =
        Checkpoint::parse(&checkpoint).map_err(|error| Failure::file(folder, &error))?;
    let records =
        fs::File::open(folder.join(RECORDS_FILE)).map_err(|error| Failure::file(folder, &error))?;
    let out = &mut io::stdout().lock();
    match verify(BufReader::new(records), &[checkpoint]) {
        Ok(Verified { records, covered, .. }) => {
            writeln!(
                out,
                "{records} records, {covered} covered by the checkpoint: as they were written"
            )?;
            Ok(Exit::Ok)
        }
        Err(Tampered::Io(error)) => Err(Failure::file(folder, &error)),
        Err(tampered) => {
            writeln!(out, "error: {tampered}")?;
            Ok(Exit::Findings)
        }
    }
}
