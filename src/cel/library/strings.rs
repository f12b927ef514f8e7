//! The extended functions of texts. Places are counted in code points from 0.

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, overload};
use crate::cel::value::{Context, List, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "charAt",
        about: "The code point at a place; nothing at the end.",
        overloads: &[overload("string_char_at_int", "string.(int) -> string")],
        examples: &[("'abc'.charAt(1)", "\"b\""), ("'abc'.charAt(3)", "\"\"")],
        cost: None,
        run: char_at,
    },
    Function {
        name: "join",
        about: "Texts, one after the other, with another between them.",
        overloads: &[
            overload("list_join", "list(string).() -> string"),
            overload("list_join_string", "list(string).(string) -> string"),
        ],
        examples: &[("['a', 'b'].join('-')", "\"a-b\"")],
        cost: Some(Charge::Result(|_, result| twice(result.size()))),
        run: join,
    },
    Function {
        name: "lowerAscii",
        about: "The text with its ASCII letters in lower case.",
        overloads: &[overload("string_lower_ascii", "string.() -> string")],
        examples: &[("'TacoCÆt'.lowerAscii()", "\"tacocÆt\"")],
        cost: TRAVERSE,
        run: lower_ascii,
    },
    Function {
        name: "upperAscii",
        about: "The text with its ASCII letters in upper case.",
        overloads: &[overload("string_upper_ascii", "string.() -> string")],
        examples: &[("'tacocæt'.upperAscii()", "\"TACOCæT\"")],
        cost: TRAVERSE,
        run: upper_ascii,
    },
    Function {
        name: "replace",
        about: "The text with another replaced everywhere, or so many times from the left.",
        overloads: &[
            overload("string_replace_string_string", "string.(string, string) -> string"),
            overload("string_replace_string_string_int", "string.(string, string, int) -> string"),
        ],
        examples: &[("'hello'.replace('l', 'w', 1)", "\"hewlo\"")],
        cost: Some(Charge::Args(|args| twice(cost::size(args, 0)))),
        run: replace,
    },
    Function {
        name: "split",
        about: "The parts between separators, at most so many.",
        overloads: &[
            overload("string_split_string", "string.(string) -> list(string)"),
            overload("string_split_string_int", "string.(string, int) -> list(string)"),
        ],
        examples: &[("'a,b,c'.split(',', 2)", "[\"a\", \"b,c\"]")],
        cost: Some(Charge::Args(|args| twice(cost::size(args, 0)))),
        run: split,
    },
    Function {
        name: "substring",
        about: "The text from a place on, or up to another.",
        overloads: &[
            overload("string_substring_int", "string.(int) -> string"),
            overload("string_substring_int_int", "string.(int, int) -> string"),
        ],
        examples: &[("'tacocat'.substring(0, 4)", "\"taco\"")],
        cost: TRAVERSE,
        run: substring,
    },
    Function {
        name: "trim",
        about: "The text without blanks at its ends.",
        overloads: &[overload("string_trim", "string.() -> string")],
        examples: &[("'  trim me '.trim()", "\"trim me\"")],
        cost: TRAVERSE,
        run: trim,
    },
    Function {
        name: "strings.quote",
        about: "The text in quotes, with escapes where the language needs them.",
        overloads: &[overload("strings_quote", "(string) -> string")
            .since(29)
            .costs(Charge::Args(cost::traverse_first))],
        examples: &[("strings.quote('a\\n') == '\"a\\\\n\"'", "true")],
        cost: None,
        run: quote,
    },
];

const TRAVERSE: Option<Charge> = Some(Charge::Args(cost::traverse_first));

fn twice(size: u64) -> u64 {
    (size as f64 * 2.0 * 0.1).ceil() as u64
}

/// The octet at which a code point begins; the end of the text counts as one.
fn offset(text: &str, place: i64) -> Option<usize> {
    let place = usize::try_from(place).ok()?;
    if text.is_ascii() {
        return (place <= text.len()).then_some(place);
    }
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(place)
}

/// The text between two octets.
fn between(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or("")
}

fn out_of_range(context: Context<'_>, place: i64) -> &Fault<'_> {
    Fault::text(context.arena, format_args!("index out of range: {place}"))
}

fn char_at<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::Int(place)] = args else {
        return Err(Fault::no_overload(context.arena));
    };
    let start = offset(text, *place).ok_or_else(|| out_of_range(context, *place))?;
    let rest = between(text, start, text.len());
    let length = rest.chars().next().map_or(0, char::len_utf8);
    Ok(Value::String(between(rest, 0, length)))
}

fn join<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, *separator),
        _ => return Err(Fault::no_overload(context.arena)),
    };
    let arena = context.arena;
    let mut text = arena.writer();
    for (index, element) in list.iter().enumerate() {
        let Value::String(element) = element else {
            return Err(Fault::no_overload(arena));
        };
        let separator = if index > 0 { separator } else { "" };
        let written = text.push(separator).and_then(|()| text.push(element));
        written.map_err(|full| full.fault(arena))?;
    }
    Ok(Value::String(text.finish()))
}

fn lower_ascii<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => kept(context, &text.to_ascii_lowercase()),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn upper_ascii<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => kept(context, &text.to_ascii_uppercase()),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn kept<'a>(context: Context<'a>, text: &str) -> Outcome<'a> {
    context.arena.text(text).map(Value::String).map_err(|full| full.fault(context.arena))
}

fn replace<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, old, new, count) = match args {
        [Value::String(text), Value::String(old), Value::String(new)] => (*text, *old, *new, -1),
        [Value::String(text), Value::String(old), Value::String(new), Value::Int(count)] => {
            (*text, *old, *new, *count)
        }
        _ => return Err(Fault::no_overload(context.arena)),
    };
    let arena = context.arena;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut out = arena.writer();
    let mut last = 0;
    let mut written = Ok(());
    for (start, part) in text.match_indices(old).take(count) {
        written = written
            .and_then(|()| out.push(between(text, last, start)))
            .and_then(|()| out.push(new));
        last = start + part.len();
        if written.is_err() {
            break;
        }
    }
    written
        .and_then(|()| out.push(between(text, last, text.len())))
        .map_err(|full| full.fault(arena))?;
    Ok(Value::String(out.finish()))
}

fn split<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, separator, limit) = match args {
        [Value::String(text), Value::String(separator)] => (*text, *separator, -1),
        [Value::String(text), Value::String(separator), Value::Int(limit)] => {
            (*text, *separator, *limit)
        }
        _ => return Err(Fault::no_overload(context.arena)),
    };
    let arena = context.arena;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let parts = if limit == 0 {
        Ok([].as_slice())
    } else if separator.is_empty() {
        // Each code point, and the rest in the last part.
        let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
        let count = text.chars().count().min(limit);
        let mut start = 0;
        arena.collect(ends.take(count).enumerate().map(move |(index, end)| {
            let end = if index + 1 == count { text.len() } else { end };
            let part = Value::String(between(text, start, end));
            start = end;
            part
        }))
    } else {
        arena.collect(text.splitn(limit, separator).map(Value::String))
    };
    let parts = parts.map_err(|full| full.fault(arena))?;
    Ok(Value::List(List::values(parts)))
}

fn substring<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, start, end) = match args {
        [Value::String(text), Value::Int(start)] => (*text, *start, None),
        [Value::String(text), Value::Int(start), Value::Int(end)] => (*text, *start, Some(*end)),
        _ => return Err(Fault::no_overload(context.arena)),
    };
    if let Some(end) = end
        && start > end
    {
        let message = format_args!("invalid substring range. start: {start}, end: {end}");
        return Err(Fault::text(context.arena, message));
    }
    let from = offset(text, start).ok_or_else(|| out_of_range(context, start))?;
    let to = match end {
        Some(end) => offset(text, end).ok_or_else(|| out_of_range(context, end))?,
        None => text.len(),
    };
    Ok(Value::String(between(text, from, to)))
}

fn trim<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::String(text.trim())),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn quote<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text)] = args else {
        return Err(Fault::no_overload(context.arena));
    };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    kept(context, &quoted)
}

/// The place of the first occurrence from a place on.
pub(super) fn index_of<'a>(context: Context<'a>, text: &str, part: &str, from: i64) -> Outcome<'a> {
    if from < 0 {
        return Err(out_of_range(context, from));
    }
    let Some(start) = offset(text, from) else {
        let end = text.chars().count() as i64;
        return Ok(Value::Int(if part.is_empty() { end } else { -1 }));
    };
    let found = between(text, start, text.len()).find(part);
    Ok(Value::Int(found.map_or(-1, |at| place_of(text, start + at))))
}

/// The place of the last occurrence that begins no later than a place; anywhere, if there is none.
pub(super) fn last_index_of<'a>(
    context: Context<'a>,
    text: &str,
    part: &str,
    to: Option<i64>,
) -> Outcome<'a> {
    let size = text.chars().count() as i64;
    let (to, given) = (to.unwrap_or(size), to.is_some());
    if to < 0 {
        return Err(out_of_range(context, to));
    }
    if part.is_empty() {
        return Ok(Value::Int(to.min(size)));
    }
    if to > size || (to == size && given) {
        return Ok(Value::Int(-1));
    }
    let end = offset(text, to).map_or(text.len(), |at| (at + part.len()).min(text.len()));
    let end = text.floor_char_boundary(end);
    Ok(Value::Int(between(text, 0, end).rfind(part).map_or(-1, |at| place_of(text, at))))
}

fn place_of(text: &str, at: usize) -> i64 {
    between(text, 0, at).chars().count() as i64
}
