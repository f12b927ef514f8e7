//! `portcullis functions`: what expressions may call, from the tables of the language.

use std::io::{self, Write};

use clap::Args;

use crate::cel::{Function, LIBRARIES};
use crate::cli::{Exit, Failure};

/// Prints the functions that expressions may call, or one of them.
#[derive(Debug, Args)]
pub struct FunctionsArgs {
    /// The name of a function, such as `substring` or `ip.isCanonical`
    name: Option<String>,
}

/// Runs the command.
pub fn run(args: &FunctionsArgs) -> Result<Exit, Failure> {
    let out = &mut io::stdout().lock();
    let mut found = false;
    for library in LIBRARIES {
        let wanted = |function: &&Function| match &args.name {
            Some(name) => function.name == name,
            None => true,
        };
        let functions: Vec<&Function> = library.functions.iter().filter(wanted).collect();
        if functions.is_empty() {
            continue;
        }
        found = true;
        if args.name.is_none() {
            writeln!(out, "{}", library.name.to_uppercase())?;
        }
        for function in functions {
            show(out, function)?;
        }
    }
    if found {
        return Ok(Exit::Ok);
    }
    let name = args.name.as_deref().unwrap_or("");
    let names = LIBRARIES.iter().flat_map(|library| library.functions).map(|known| known.name);
    let near = crate::cel::nearest(name, names);
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(Failure::new(format!("there is no function `{name}`{hint}")))
}

fn show(out: &mut impl Write, function: &Function) -> io::Result<()> {
    writeln!(out, "  {}: {}", function.name, function.about)?;
    for overload in function.overloads {
        writeln!(out, "      {}  (since {})", overload.signature, overload.since)?;
    }
    for (source, value) in function.examples {
        writeln!(out, "      {source}  =>  {value}")?;
    }
    writeln!(out)
}
