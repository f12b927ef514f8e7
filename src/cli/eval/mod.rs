//! `portcullis eval`: one expression over files, or many as JSON lines. The rooms below evaluate; here arguments become
//! inputs and results become text.

mod inputs;
mod tagged;

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value as Json;

use crate::cli::{Exit, Failure};

pub use crate::cli::eval::inputs::{Evaluated, Inputs};

/// How long a line of `--jsonl` may be: an expression and the largest objects that the API server takes.
const LINE_BYTES_MAX: usize = 32 << 20;

/// Evaluates a CEL expression and prints its value, type and cost.
///
/// The expression sees what a policy sees: object, oldObject, params, request, namespaceObject, authorizer. A file may be
/// YAML or JSON. With --jsonl, lines of JSON are read from standard input, each with an expression and its inputs, and an
/// answer is written for each.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis eval '1 + 2'
  portcullis eval 'object.spec.replicas > 3' --object deployment.yaml
  portcullis eval --jsonl < cases.jsonl > answers.jsonl")]
pub struct EvalArgs {
    /// The expression
    #[arg(required_unless_present = "jsonl")]
    expression: Option<String>,
    /// The object under review
    #[arg(long, value_name = "FILE")]
    object: Option<PathBuf>,
    /// The object as it was
    #[arg(long, value_name = "FILE")]
    old_object: Option<PathBuf>,
    /// The param of the policy
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// The AdmissionRequest, for `request`
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// The Namespace, for `namespaceObject`
    #[arg(long, value_name = "FILE")]
    namespace_object: Option<PathBuf>,
    /// The Kubernetes release whose language it is
    #[arg(long, default_value = "1.37")]
    version: String,
    /// Adds the types of mutation: Object, JSONPatch
    #[arg(long)]
    mutation: bool,
    /// Prints JSON
    #[arg(long, conflicts_with = "jsonl")]
    json: bool,
    /// Reads cases as lines of JSON and writes an answer for each
    #[arg(long, conflicts_with_all = ["expression", "object", "old_object", "params", "request"])]
    jsonl: bool,
}

/// Runs the command. An expression that has no value is an answer, and ends with 1.
pub fn run(args: &EvalArgs) -> Result<Exit, Failure> {
    if args.jsonl {
        return lines(&mut io::stdin().lock(), &mut io::stdout().lock());
    }
    let inputs = Inputs {
        expr: args.expression.clone().unwrap_or_default(),
        env: Some(if args.mutation { "map" } else { "vap" }.to_owned()),
        version: Some(args.version.clone()),
        stored: Some(false),
        object: args.object.as_deref().map(read).transpose()?,
        old_object: args.old_object.as_deref().map(read).transpose()?,
        params: args.params.as_deref().map(read).transpose()?,
        request: args.request.as_deref().map(read).transpose()?,
        namespace_object: args.namespace_object.as_deref().map(read).transpose()?,
        ..Inputs::default()
    };
    let evaluated = inputs.evaluate();
    let out = &mut io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &evaluated).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        show(out, &evaluated)?;
    }
    Ok(match evaluated.outcome {
        "value" => Exit::Ok,
        "bad_input" => Exit::Usage,
        _ => Exit::Findings,
    })
}

fn show(out: &mut impl Write, evaluated: &Evaluated) -> io::Result<()> {
    let ty = evaluated.output_type.as_deref().unwrap_or("");
    match (evaluated.outcome, &evaluated.rendered) {
        ("value", _) => writeln!(out, "{}", evaluated.literal)?,
        (_, Some(rendered)) => write!(out, "error: {rendered}")?,
        _ => writeln!(out, "error: {}", evaluated.error.as_deref().unwrap_or(""))?,
    }
    match evaluated.cost {
        Some(cost) => writeln!(out, "type: {ty}\ncost: {cost}"),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<Json, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    crate::cli::yaml(&text).map_err(|error| Failure::file(path, &error))
}

/// Answers each line; a line that can't be read is answered too.
fn lines(input: &mut impl BufRead, out: &mut impl Write) -> Result<Exit, Failure> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read =
            io::Read::take(&mut *input, LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(Exit::Ok);
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let evaluated = match serde_json::from_slice::<Inputs>(&line) {
            Ok(inputs) => inputs.evaluate(),
            Err(error) => Evaluated {
                outcome: "bad_input",
                error: Some(error.to_string()),
                ..Evaluated::default()
            },
        };
        serde_json::to_writer(&mut *out, &evaluated).map_err(io::Error::from)?;
        writeln!(out)?;
    }
}
