//! `portcullis functions`: what expressions may call, from the tables of the language.

use std::fmt::Write as _;
use std::io::{self, Write};

use clap::Args;

use crate::cel::{Function, LIBRARIES, Version};
use crate::cli::{Exit, Failure};

/// Prints the functions that expressions may call, or one of them.
#[derive(Debug, Args)]
pub struct FunctionsArgs {
    /// The name of a function, such as `substring` or `ip.isCanonical`
    name: Option<String>,
    /// Prints all of them as the page that the documentation has
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

/// Runs the command.
pub fn run(args: &FunctionsArgs) -> Result<Exit, Failure> {
    let out = &mut io::stdout().lock();
    if args.markdown {
        write!(out, "{}", page())?;
        return Ok(Exit::Ok);
    }
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

/// The page of the documentation.
fn page() -> String {
    // Writing to a String does not fail.
    let mut page = PREFACE.to_owned();
    for library in LIBRARIES {
        let _ = writeln!(page, "\n## {}", library.name);
        for function in library.functions {
            let _ = writeln!(page, "\n### `{}`\n\n{}\n", function.name, function.about);
            for overload in function.overloads {
                let since = match overload.since {
                    Version::BASE => String::new(),
                    since => format!(", since {since}"),
                };
                let _ = writeln!(page, "- `{}`{since}", overload.signature);
            }
            if !function.examples.is_empty() {
                page.push_str("\n```\n");
                for (source, value) in function.examples {
                    let _ = writeln!(page, "{source}  =>  {value}");
                }
                page.push_str("```\n");
            }
        }
    }
    page
}

const PREFACE: &str = "\
# What expressions may call

Made by `portcullis functions --markdown`; a test compares. The language is Kubernetes' CEL of 1.37; a function that came
later than 1.22 says since when, and `--version` of the commands selects an older language. The macros `has`, `all`,
`exists`, `exists_one`, `map` and `filter` are always there; `optMap` and `optFlatMap` since 1.28; the forms with two
variables (`all`, `exists`, `existsOne`, `transformList`, `transformMap`, `transformMapEntry`) since 1.32; `sortBy`
since 1.34.
";

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_DOCS=1 cargo test` writes the page.
    #[test]
    fn the_page_in_the_documentation_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cel.md");
        #[expect(clippy::disallowed_methods, reason = "a test may be told to write")]
        if std::env::var("UPDATE_DOCS").is_ok() {
            std::fs::write(path, page()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), page());
    }
}
