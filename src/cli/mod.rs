//! The command line: arguments and files in, text and exit codes out. It wires everything together, and is the only
//! room that reads arguments and the environment.

mod audit;
mod break_glass;
mod check;
mod cluster;
mod crds;
mod diagnostics;
mod diff;
pub mod eval;
mod files;
mod functions;
mod images;
mod ledger;
mod reach;
mod review;
mod serve;
mod status;
mod uninstall;

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Decides what may enter a Kubernetes cluster, by policies in CEL.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Audit(audit::AuditArgs),
    Review(review::ReviewArgs),
    Check(check::CheckArgs),
    Diff(diff::DiffArgs),
    Eval(eval::EvalArgs),
    Functions(functions::FunctionsArgs),
    Images(images::ImagesArgs),
    /// Prints the CustomResourceDefinitions, to be applied
    Crds,
    Ledger(ledger::LedgerArgs),
    BreakGlass(break_glass::BreakGlassArgs),
    Status(status::StatusArgs),
    Uninstall(uninstall::UninstallArgs),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing to complain of.
    Ok,
    /// It did its work, and what it looked at is not in order: a denied review, a policy that does not compile.
    Findings,
    /// It could not do its work: bad arguments, unreadable files.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Ok => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
        })
    }
}

/// Why a command could not do its work.
#[derive(Debug)]
pub struct Failure {
    message: String,
    /// Whoever read what was written has seen enough.
    is_of_pipe: bool,
}

impl Failure {
    /// What went wrong, in words.
    pub fn new(message: impl fmt::Display) -> Failure {
        Failure { message: message.to_string(), is_of_pipe: false }
    }

    /// What went wrong with a file.
    pub fn file(path: &Path, why: &dyn fmt::Display) -> Failure {
        Failure::new(format_args!("{}: {why}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        let is_of_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Failure { is_of_pipe, ..Failure::new(error) }
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match &arguments.command {
        Command::Serve(args) => serve::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Review(args) => review::run(args),
        Command::Check(args) => check::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Crds => crds::run(),
        Command::Ledger(args) => ledger::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Functions(args) => functions::run(args),
        Command::Images(args) => images::run(args),
        Command::BreakGlass(args) => break_glass::run(args),
        Command::Status(args) => status::run(args),
        Command::Uninstall(args) => uninstall::run(args),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // `| head` is no error that anybody wants to hear of.
            if !failure.is_of_pipe {
                eprintln!("error: {failure}");
            }
            Exit::Usage.into()
        }
    }
}

/// What commands that speak to a cluster wait on.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// A YAML or JSON document as JSON, read as `kubectl` reads it.
fn yaml(text: &str) -> Result<serde_json::Value, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { legacy_octal_numbers: true })
}
