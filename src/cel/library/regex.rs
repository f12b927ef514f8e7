//! Parts of texts that match RE2 patterns.

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, overload};
use crate::cel::regexp::Pattern;
use crate::cel::value::{Context, List, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "find",
        about: "The first part of a text that matches a pattern, or nothing.",
        overloads: &[overload("string_find_string", "string.(string) -> string")],
        examples: &[("'abc 123'.find('[0-9]+')", "\"123\""), ("'abc'.find('[0-9]+')", "\"\"")],
        cost: SEARCH,
        run: find,
    },
    Function {
        name: "findAll",
        about: "Every part of a text that matches a pattern, or the first so many.",
        overloads: &[
            overload("string_find_all_string", "string.(string) -> list(string)"),
            overload("string_find_all_string_int", "string.(string, int) -> list(string)"),
        ],
        examples: &[("'123 abc 456'.findAll('[0-9]+')", "[\"123\", \"456\"]")],
        cost: SEARCH,
        run: find_all,
    },
];

const SEARCH: Option<Charge> =
    Some(Charge::Args(|args| cost::search(cost::size(args, 0), cost::size(args, 1))));

/// The pattern, which the program has where it is a literal.
fn with_pattern<'a, T>(
    context: Context<'a>,
    text: &str,
    search: impl FnOnce(&Pattern) -> T,
) -> Result<T, &'a Fault<'a>> {
    if let Some(pattern) = context.pattern {
        return Ok(search(pattern));
    }
    let pattern = context
        .arena
        .pattern(text)
        .map_err(|error| Fault::text(context.arena, format_args!("Illegal regex: {error}")))?;
    Ok(search(&pattern))
}

fn find<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::String(pattern)] = args else {
        return Err(Fault::no_overload(context.arena));
    };
    let found = with_pattern(context, pattern, |pattern| pattern.find(text))?;
    Ok(Value::String(found.unwrap_or("")))
}

fn find_all<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, pattern, limit) = match args {
        [Value::String(text), Value::String(pattern)] => (*text, *pattern, -1),
        [Value::String(text), Value::String(pattern), Value::Int(limit)] => {
            (*text, *pattern, *limit)
        }
        _ => return Err(Fault::no_overload(context.arena)),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = with_pattern(context, pattern, |pattern| {
        context.arena.collect(pattern.find_all(text).take(limit).map(Value::String))
    })?;
    found.map(|found| Value::List(List::values(found))).map_err(|full| full.fault(context.arena))
}
