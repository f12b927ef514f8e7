//! `format`: values put into a template. Numbers are written as for readers in the United States, which
//! is how Kubernetes has it: `1,234.50`.

use std::fmt::{self, Write};

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::standard::double_text;
use crate::cel::library::{Function, overload};
use crate::cel::quote::Quoted;
use crate::cel::template::{Clause, Piece, Template, Verb};
use crate::cel::value::{Context, Exhausted, List, Map, Text, Value};

/// Digits after the point, where none are asked for.
const PRECISION: u64 = 6;
/// No double has more digits after the point.
const FRACTION_DIGITS_MAX: usize = 1074;
/// Go reads no further digit of a number beyond this.
const NUMBER_MAX: u64 = 1_000_000;

pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "format",
    about: "A template with values in it: `%s` text, `%d` integers, `%f` and `%e` doubles, `%b` `%o` `%x` `%X`.",
    overloads: &[overload("string_format", "string.(list(dyn)) -> string")
        .since(29)
        .costs(Charge::Args(cost::traverse_first))],
    examples: &[
        ("'%s has %d of %.1f'.format(['a', 2, 3.5])", "\"a has 2 of 3.5\""),
        ("'%s'.format([['a', 1.5, null]]) == '[\"a\", 1.500000, null]'", "true"),
        ("'%x %b %%'.format([255, 5])", "\"ff 101 %\""),
    ],
    cost: None,
    run: format,
}];

/// Why a value cannot be put into a template.
enum Problem {
    Words(String),
    Full,
}

impl From<Exhausted> for Problem {
    fn from(_: Exhausted) -> Problem {
        Problem::Full
    }
}

impl From<fmt::Error> for Problem {
    fn from(_: fmt::Error) -> Problem {
        Problem::Full
    }
}

fn words<T>(words: impl fmt::Display) -> Result<T, Problem> {
    Err(Problem::Words(words.to_string()))
}

fn format<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let arena = context.arena;
    let [Value::String(template), Value::List(values)] = args else {
        return Err(Fault::no_overload(arena));
    };
    let mut out = arena.writer();
    match fill(template, *values, &mut out) {
        Ok(()) => Ok(Value::String(out.finish())),
        Err(Problem::Full) => Err(Exhausted.fault(arena)),
        Err(Problem::Words(words)) => Err(Fault::text(arena, words)),
    }
}

fn fill(template: &str, values: List<'_>, out: &mut Text<'_>) -> Result<(), Problem> {
    let mut template = Template::new(template);
    let mut used = 0;
    while let Some(piece) = template.piece() {
        let last = match piece {
            Piece::Text(text) => {
                out.push(text)?;
                continue;
            }
            Piece::Clause { last } => last,
        };
        let Some(value) = values.get(used) else {
            return words(format_args!("index {used} out of range"));
        };
        used += 1;
        if last {
            return words("unexpected end of string");
        }
        let clause = template.clause().or_else(words)?;
        show(clause, value, out).map_err(|problem| match problem {
            Problem::Words(words) => Problem::Words(format!("error during formatting: {words}")),
            Problem::Full => Problem::Full,
        })?;
    }
    Ok(())
}

/// Writes a value as a clause wants it.
fn show(clause: Clause, value: Value<'_>, out: &mut Text<'_>) -> Result<(), Problem> {
    match (clause.verb, value) {
        (Verb::Text, value) => return text(value, out),
        (Verb::Decimal, Value::Int(value)) => write!(out, "{value}")?,
        (Verb::Decimal, Value::Uint(value)) => write!(out, "{value}")?,
        (Verb::Binary, Value::Bool(value)) => out.push(if value { "1" } else { "0" })?,
        (Verb::Binary, Value::Int(value)) => {
            write!(out, "{}{:b}", sign(value), value.unsigned_abs())?;
        }
        (Verb::Binary, Value::Uint(value)) => write!(out, "{value:b}")?,
        (Verb::Octal, Value::Int(value)) => {
            write!(out, "{}{:o}", sign(value), value.unsigned_abs())?;
        }
        (Verb::Octal, Value::Uint(value)) => write!(out, "{value:o}")?,
        (Verb::Hex { upper }, Value::Int(value)) => {
            out.push(sign(value))?;
            hex(value.unsigned_abs(), upper, out)?;
        }
        (Verb::Hex { upper }, Value::Uint(value)) => hex(value, upper, out)?,
        (Verb::Hex { upper }, Value::String(text)) => hex_octets(text.as_bytes(), upper, out)?,
        (Verb::Hex { upper }, Value::Bytes(octets)) => hex_octets(octets, upper, out)?,
        (Verb::Fixed | Verb::Scientific, value) => match (double(value), clause.verb) {
            (Some(value), Verb::Fixed) => fixed(value, clause.precision, out)?,
            (Some(value), _) => scientific(value, clause.precision, out)?,
            (None, verb) => return refuse(verb, value),
        },
        (verb, value) => return refuse(verb, value),
    }
    Ok(())
}

fn refuse(verb: Verb, value: Value<'_>) -> Result<(), Problem> {
    words(format_args!("{} {}", verb.refusal(), value.type_name()))
}

fn sign(value: i64) -> &'static str {
    if value < 0 { "-" } else { "" }
}

fn hex(value: u64, upper: bool, out: &mut Text<'_>) -> fmt::Result {
    if upper { write!(out, "{value:X}") } else { write!(out, "{value:x}") }
}

fn hex_octets(octets: &[u8], upper: bool, out: &mut Text<'_>) -> fmt::Result {
    octets.iter().try_for_each(|octet| {
        if upper { write!(out, "{octet:02X}") } else { write!(out, "{octet:02x}") }
    })
}

/// A double, or the name of one that is no number.
fn double(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Double(value) => Some(value),
        Value::String("NaN") => Some(f64::NAN),
        Value::String("Infinity") => Some(f64::INFINITY),
        Value::String("-Infinity") => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// What stands for a double that is no number.
fn not_finite(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("∞"),
        f64::NEG_INFINITY => Some("-∞"),
        _ => None,
    }
}

/// A precision as Go reads it; nothing where it stops reading.
fn precision(asked: Option<u64>) -> Option<u64> {
    let asked = asked.unwrap_or(PRECISION);
    (asked / 10 <= NUMBER_MAX).then_some(asked)
}

/// What Go writes for a clause that it could not read to its end.
const UNREADABLE: &str = "%!(NOVERB)";

/// `-1,234.50`
fn fixed(value: f64, asked: Option<u64>, out: &mut Text<'_>) -> Result<(), Problem> {
    let Some(precision) = precision(asked) else { return Ok(out.push(UNREADABLE)?) };
    if let Some(name) = not_finite(value) {
        return Ok(out.push(name)?);
    }
    // Kubernetes keeps the low 16 bits of the precision, with a sign; below 0 it is what is needed.
    let shown = match usize::try_from(precision as i16) {
        Ok(digits) => format!("{:.1$}", value.abs(), digits.min(FRACTION_DIGITS_MAX)),
        Err(_) => value.abs().to_string(),
    };
    let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
    if value < 0.0 {
        out.push("-")?;
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(",")?;
        }
        out.push_char(digit)?;
    }
    // Of the precision as a number of zeros it keeps the low 8 bits.
    let fraction = fraction.trim_end_matches('0');
    let zeros = ((precision & 0xff) as usize).saturating_sub(fraction.len());
    if fraction.len() + zeros > 0 {
        out.push(".")?;
    }
    out.push(fraction)?;
    Ok(out.push(&"0".repeat(zeros))?)
}

/// `1.500000×10⁰³`; what should be the precision is the width, as Kubernetes has it.
fn scientific(value: f64, asked: Option<u64>, out: &mut Text<'_>) -> Result<(), Problem> {
    let Some(width) = precision(asked) else { return Ok(out.push(UNREADABLE)?) };
    let shown = match not_finite(value) {
        Some(name) => name.to_owned(),
        None => superscripted(value),
    };
    let blanks = ((width & 0xffff) as usize).saturating_sub(shown.chars().count());
    out.push(&" ".repeat(blanks))?;
    Ok(out.push(&shown)?)
}

fn superscripted(value: f64) -> String {
    let shown = format!("{:.6e}", value.abs());
    let (digits, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    text.push_str(digits);
    text.push_str("×10");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < 0 {
        text.push('⁻');
    }
    let superscripts = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    for digit in format!("{:02}", exponent.unsigned_abs()).bytes() {
        text.extend(superscripts.get(usize::from(digit - b'0')));
    }
    text
}

/// `%s`
fn text(value: Value<'_>, out: &mut Text<'_>) -> Result<(), Problem> {
    match value {
        Value::List(list) => return list_text(list, out),
        Value::Map(map) => return map_text(map, out),
        Value::Null => out.push("null")?,
        Value::Bool(value) => write!(out, "{value}")?,
        Value::Int(value) => write!(out, "{value}")?,
        Value::Uint(value) => write!(out, "{value}")?,
        Value::Double(value) => out.push(&double_text(value))?,
        Value::String(text) => out.push(text)?,
        Value::Bytes(octets) => out.push(utf8(octets)?)?,
        Value::Timestamp(instant) => write!(out, "{instant}")?,
        Value::Duration(length) => write!(out, "{length}")?,
        Value::Type(name) => out.push(name)?,
        Value::Optional(_) | Value::Struct(_) | Value::Opaque(_) => {
            return refuse(Verb::Text, value);
        }
    }
    Ok(())
}

fn utf8(octets: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(octets).or_else(|_| {
        let what = Quoted("invalid UTF-8 in bytes, cannot convert to string");
        words(format_args!("could not convert argument {what} to string"))
    })
}

/// A value within a list or a map: as a literal of the language, nearly.
fn literal(value: Value<'_>, out: &mut Text<'_>) -> Result<(), Problem> {
    match value {
        Value::String(text) => write!(out, "{}", Quoted(text))?,
        Value::Bytes(octets) => write!(out, "b{}", Quoted(utf8(octets)?))?,
        Value::Double(value) if value.is_finite() => write!(out, "{value:.6}")?,
        Value::Double(value) => write!(out, "{}", Quoted(double_text(value)))?,
        Value::Timestamp(instant) => write!(out, "timestamp({})", Quoted(instant.to_string()))?,
        Value::Duration(length) => write!(out, "duration({})", Quoted(length.to_string()))?,
        Value::Optional(_) | Value::Struct(_) | Value::Opaque(_) => {
            return words(format_args!("no formatting function for {}", value.type_name()));
        }
        other => return text(other, out),
    }
    Ok(())
}

fn list_text(list: List<'_>, out: &mut Text<'_>) -> Result<(), Problem> {
    out.push("[")?;
    for (index, element) in list.iter().enumerate() {
        if index > 0 {
            out.push(", ")?;
        }
        literal(element, out)?;
    }
    Ok(out.push("]")?)
}

/// The entries in the order of the text of their keys.
fn map_text(map: Map<'_>, out: &mut Text<'_>) -> Result<(), Problem> {
    let mut entries = Vec::with_capacity(map.len());
    for (key, value) in map.iter() {
        entries.push((key_text(key)?, value));
    }
    entries.sort_by(|one, two| one.0.cmp(&two.0));
    out.push("{")?;
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(", ")?;
        }
        out.push(&key)?;
        out.push(":")?;
        literal(value, out)?;
    }
    Ok(out.push("}")?)
}

fn key_text(key: Value<'_>) -> Result<String, Problem> {
    match key {
        Value::String(text) => Ok(Quoted(text).to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Int(value) => Ok(value.to_string()),
        Value::Uint(value) => Ok(value.to_string()),
        other => {
            let name = other.type_name();
            words(format_args!("no formatting function for map key of type {name}"))
        }
    }
}
