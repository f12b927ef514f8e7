//! The standard library: sizes, searches in text, conversions.

use std::fmt::Write;

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, overload};
use crate::cel::time::{Duration, Timestamp};
use crate::cel::value::{Context, Opaque, Value, char_count};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "size",
        about: "How many code points, octets, elements or entries there are.",
        overloads: &[
            overload("size_bytes", "(bytes) -> int"),
            overload("bytes_size", "bytes.() -> int"),
            overload("size_list", "(list(<A>)) -> int"),
            overload("list_size", "list(<A>).() -> int"),
            overload("size_map", "(map(<A>, <B>)) -> int"),
            overload("map_size", "map(<A>, <B>).() -> int"),
            overload("size_string", "(string) -> int"),
            overload("string_size", "string.() -> int"),
        ],
        examples: &[("'héllo'.size()", "5"), ("size([1, 2])", "2"), ("{'a': 1}.size()", "1")],
        cost: None,
        run: size,
    },
    Function {
        name: "contains",
        about: "Whether a text has another in it.",
        overloads: &[overload("contains_string", "string.(string) -> bool").costs(Charge::Args(
            |args| cost::traverse(cost::size(args, 0)) * cost::traverse(cost::size(args, 1)),
        ))],
        examples: &[("'hello'.contains('ell')", "true")],
        cost: None,
        run: contains,
    },
    Function {
        name: "startsWith",
        about: "Whether a text begins with another.",
        overloads: &[overload("starts_with_string", "string.(string) -> bool").costs(SECOND)],
        examples: &[("'hello'.startsWith('he')", "true")],
        cost: None,
        run: starts_with,
    },
    Function {
        name: "endsWith",
        about: "Whether a text ends with another.",
        overloads: &[overload("ends_with_string", "string.(string) -> bool").costs(SECOND)],
        examples: &[("'hello'.endsWith('llo')", "true")],
        cost: None,
        run: ends_with,
    },
    Function {
        name: "matches",
        about: "Whether some part of a text matches an RE2 pattern.",
        overloads: &[
            overload("matches", "(string, string) -> bool").costs(SEARCH),
            overload("matches_string", "string.(string) -> bool").costs(SEARCH),
        ],
        examples: &[("'v1.2'.matches('^v[0-9]')", "true")],
        cost: None,
        run: matches,
    },
    Function {
        name: "type",
        about: "The type of a value.",
        overloads: &[overload("type", "(<A>) -> type(<A>)")],
        examples: &[("type(1) == int", "true")],
        cost: None,
        run: type_of,
    },
    Function {
        name: "dyn",
        about: "The value itself, of a type that is known only when it is evaluated.",
        overloads: &[overload("to_dyn", "(<A>) -> dyn")],
        examples: &[("dyn(1) == dyn(1.0)", "true")],
        cost: None,
        run: first,
    },
    Function {
        name: "bool",
        about: "A truth value from a text.",
        overloads: &[
            overload("bool_to_bool", "(bool) -> bool"),
            overload("string_to_bool", "(string) -> bool"),
        ],
        examples: &[("bool('true')", "true")],
        cost: None,
        run: to_bool,
    },
    Function {
        name: "bytes",
        about: "The UTF-8 octets of a text.",
        overloads: &[
            overload("bytes_to_bytes", "(bytes) -> bytes"),
            overload("string_to_bytes", "(string) -> bytes").costs(FIRST),
        ],
        examples: &[("bytes('hi')", "b\"hi\"")],
        cost: None,
        run: to_bytes,
    },
    Function {
        name: "double",
        about: "A double from a number or a text.",
        overloads: &[
            overload("double_to_double", "(double) -> double"),
            overload("int64_to_double", "(int) -> double"),
            overload("string_to_double", "(string) -> double"),
            overload("uint64_to_double", "(uint) -> double"),
        ],
        examples: &[("double('1.5')", "1.5")],
        cost: None,
        run: to_double,
    },
    Function {
        name: "int",
        about: "An integer from a number (its whole part), a text, an instant or a length of time.",
        overloads: &[
            overload("int64_to_int64", "(int) -> int"),
            overload("double_to_int64", "(double) -> int"),
            overload("duration_to_int64", "(google.protobuf.Duration) -> int"),
            overload("string_to_int64", "(string) -> int"),
            overload("timestamp_to_int64", "(google.protobuf.Timestamp) -> int"),
            overload("uint64_to_int64", "(uint) -> int"),
        ],
        examples: &[("int('42')", "42"), ("int(1.9)", "1")],
        cost: None,
        run: to_int,
    },
    Function {
        name: "uint",
        about: "An unsigned integer from a number or a text.",
        overloads: &[
            overload("uint64_to_uint64", "(uint) -> uint"),
            overload("double_to_uint64", "(double) -> uint"),
            overload("int64_to_uint64", "(int) -> uint"),
            overload("string_to_uint64", "(string) -> uint"),
        ],
        examples: &[("uint(7)", "7u")],
        cost: None,
        run: to_uint,
    },
    Function {
        name: "string",
        about: "The text of a value.",
        overloads: &[
            overload("string_to_string", "(string) -> string"),
            overload("bool_to_string", "(bool) -> string"),
            overload("bytes_to_string", "(bytes) -> string").costs(FIRST),
            overload("double_to_string", "(double) -> string"),
            overload("duration_to_string", "(google.protobuf.Duration) -> string"),
            overload("int64_to_string", "(int) -> string"),
            overload("timestamp_to_string", "(google.protobuf.Timestamp) -> string"),
            overload("uint64_to_string", "(uint) -> string"),
            overload("ip_to_string", "(net.IP) -> string").since(30),
            overload("cidr_to_string", "(net.CIDR) -> string").since(30),
        ],
        examples: &[("string(1.5)", "\"1.5\""), ("string(duration('90s'))", "\"90s\"")],
        cost: None,
        run: to_string,
    },
    Function {
        name: "timestamp",
        about: "An instant from RFC 3339 text or from seconds since 1970.",
        overloads: &[
            overload(
                "timestamp_to_timestamp",
                "(google.protobuf.Timestamp) -> google.protobuf.Timestamp",
            ),
            overload("int64_to_timestamp", "(int) -> google.protobuf.Timestamp"),
            overload("string_to_timestamp", "(string) -> google.protobuf.Timestamp"),
        ],
        examples: &[("timestamp(0) < timestamp('2020-01-01T00:00:00Z')", "true")],
        cost: None,
        run: to_timestamp,
    },
    Function {
        name: "duration",
        about: "A length of time from text such as `1h30m`.",
        overloads: &[
            overload(
                "duration_to_duration",
                "(google.protobuf.Duration) -> google.protobuf.Duration",
            ),
            overload("string_to_duration", "(string) -> google.protobuf.Duration"),
        ],
        examples: &[("duration('1m') == duration('60s')", "true")],
        cost: None,
        run: to_duration,
    },
];

const FIRST: Charge = Charge::Args(cost::traverse_first);
const SECOND: Charge = Charge::Args(|args| cost::traverse(cost::size(args, 1)));
const SEARCH: Charge = Charge::Args(|args| cost::search(cost::size(args, 0), cost::size(args, 1)));

fn size<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let size = match args {
        [Value::String(text)] => char_count(text),
        [Value::Bytes(octets)] => octets.len() as u64,
        [Value::List(list)] => list.len() as u64,
        [Value::Map(map)] => map.len() as u64,
        _ => return Err(Fault::no_overload(context.arena)),
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn contains<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.contains(part))),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn starts_with<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.starts_with(part))),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn ends_with<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.ends_with(part))),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn matches<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::String(pattern)] = args else {
        return Err(Fault::no_overload(context.arena));
    };
    match context.arena.pattern(pattern) {
        Ok(pattern) => Ok(Value::Bool(pattern.is_match(text))),
        Err(error) => Err(Fault::text(context.arena, error)),
    }
}

fn type_of<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value] => Ok(Value::Type(value.type_name())),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn first<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    args.first().copied().ok_or_else(|| Fault::no_overload(context.arena))
}

/// The value, or that there is no conversion from the one type to the other.
fn converted<'a>(
    context: Context<'a>,
    args: &[Value<'a>],
    value: Option<Value<'a>>,
    to: &str,
) -> Outcome<'a> {
    value.ok_or_else(|| {
        let from = args.first().map_or("", |arg| arg.type_name());
        Fault::text(context.arena, format_args!("type conversion error from '{from}' to '{to}'"))
    })
}

fn to_bool<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let value = match args {
        [Value::Bool(value)] => Some(*value),
        [Value::String("1" | "t" | "T" | "true" | "TRUE" | "True")] => Some(true),
        [Value::String("0" | "f" | "F" | "false" | "FALSE" | "False")] => Some(false),
        [Value::String(_)] => None,
        _ => return Err(Fault::no_overload(context.arena)),
    };
    converted(context, args, value.map(Value::Bool), "bool")
}

fn to_bytes<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bytes(octets)] => Ok(Value::Bytes(octets)),
        [Value::String(text)] => Ok(Value::Bytes(text.as_bytes())),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn to_double<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let value = match args {
        [Value::Double(value)] => Some(*value),
        [Value::Int(value)] => Some(*value as f64),
        [Value::Uint(value)] => Some(*value as f64),
        [Value::String(text)] => parse_double(text),
        _ => return Err(Fault::no_overload(context.arena)),
    };
    converted(context, args, value.map(Value::Double), "double")
}

/// A double as Go reads it: Rust's grammar and hexadecimal digits, with underscores between digits, but
/// not what is out of range.
fn parse_double(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let hexadecimal = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X"));
    let value = match hexadecimal {
        Some(digits) => {
            let digits = digits.strip_prefix('_').unwrap_or(digits);
            let value = parse_hexadecimal(&without_underscores(digits, 16)?)?;
            if text.starts_with('-') { -value } else { value }
        }
        None => without_underscores(text, 10)?.parse().ok()?,
    };
    let named = hexadecimal.is_none() && text.bytes().any(|c| matches!(c, b'n' | b'N'));
    (value.is_finite() || named).then_some(value)
}

/// The text without underscores, each of which has to be between two digits.
fn without_underscores(text: &str, radix: u32) -> Option<String> {
    let is_digit = |c: char| c.is_digit(radix);
    let parts: Vec<&str> = text.split('_').collect();
    let joined = parts.windows(2).all(|pair| {
        let [one, two] = pair else { return false };
        one.ends_with(is_digit) && two.starts_with(is_digit)
    });
    joined.then(|| parts.concat())
}

/// `1.8p1`: sixteen times as much a digit, and a power of two, which has to be there.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent: i32 = exponent.parse().ok()?;
    let (mut mantissa, mut dropped) = (0_u64, 0_i32);
    for digit in whole.chars().chain(fraction.chars()) {
        let digit = u64::from(digit.to_digit(16)?);
        if mantissa >> 59 == 0 {
            mantissa = mantissa << 4 | digit;
        } else {
            // Only whether anything is left counts for rounding.
            mantissa |= u64::from(digit != 0);
            dropped = dropped.saturating_add(4);
        }
    }
    let places = i32::try_from(fraction.len()).ok()?.saturating_mul(4);
    let power = exponent.saturating_add(dropped).saturating_sub(places).clamp(-3000, 3000);
    let half = power / 2;
    let value = mantissa as f64 * 2_f64.powi(half) * 2_f64.powi(power - half);
    (!digits.trim_start_matches('.').is_empty()).then_some(value)
}

fn to_int<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let overflow = || Fault::message(context.arena, "integer overflow");
    let value = match args {
        [Value::Int(value)] => *value,
        [Value::Uint(value)] => i64::try_from(*value).map_err(|_| overflow())?,
        [Value::Double(value)] => {
            let fits = *value > i64::MIN as f64 && *value < i64::MAX as f64;
            fits.then_some(*value as i64).ok_or_else(overflow)?
        }
        [Value::Duration(length)] => length.0,
        [Value::Timestamp(instant)] => instant.seconds(),
        [Value::String(text)] => {
            let value = text.parse().ok().map(Value::Int);
            return converted(context, args, value, "int");
        }
        _ => return Err(Fault::no_overload(context.arena)),
    };
    Ok(Value::Int(value))
}

fn to_uint<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let overflow = || Fault::message(context.arena, "unsigned integer overflow");
    let value = match args {
        [Value::Uint(value)] => *value,
        [Value::Int(value)] => u64::try_from(*value).map_err(|_| overflow())?,
        [Value::Double(value)] => {
            let fits = *value >= 0.0 && *value < u64::MAX as f64;
            fits.then_some(*value as u64).ok_or_else(overflow)?
        }
        [Value::String(text)] => {
            let value = text.parse().ok().filter(|_| !text.starts_with('+')).map(Value::Uint);
            return converted(context, args, value, "uint");
        }
        _ => return Err(Fault::no_overload(context.arena)),
    };
    Ok(Value::Uint(value))
}

fn to_string<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let arena = context.arena;
    let mut text = arena.writer();
    let written = match args {
        [Value::String(text)] => return Ok(Value::String(text)),
        [Value::Bytes(octets)] => {
            return std::str::from_utf8(octets).map(Value::String).map_err(|_| {
                Fault::message(arena, "invalid UTF-8 in bytes, cannot convert to string")
            });
        }
        [Value::Bool(value)] => write!(text, "{value}"),
        [Value::Int(value)] => write!(text, "{value}"),
        [Value::Uint(value)] => write!(text, "{value}"),
        [Value::Double(value)] => text.write_str(&double_text(*value)),
        [Value::Duration(length)] => write!(text, "{length}"),
        [Value::Timestamp(instant)] => write!(text, "{instant}"),
        [Value::Opaque(Opaque::Ip(address))] => write!(text, "{address}"),
        [Value::Opaque(Opaque::Cidr(cidr))] => write!(text, "{cidr}"),
        _ => return Err(Fault::no_overload(arena)),
    };
    match written {
        Ok(()) => Ok(Value::String(text.finish())),
        Err(std::fmt::Error) => Err(Fault::message(arena, "the text is too long")),
    }
}

/// A double in Go's `%g`: the fewest digits, and an exponent below 1e-4 and from 1e6 on.
pub(crate) fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = shortest(value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let digits = mantissa.trim_start_matches('-').len().saturating_sub(2) as i32 - exponent;
    format!("{value:.0$}", digits.max(0) as usize)
}

/// The fewest digits that are this double and no other, with an exponent. Where two lie as near, the
/// even one.
fn shortest(value: f64) -> String {
    let shortest = format!("{value:e}");
    let digits = shortest.bytes().take_while(|c| *c != b'e').filter(u8::is_ascii_digit).count();
    let nearest = format!("{value:.0$e}", digits.saturating_sub(1));
    if nearest.parse() == Ok(value) { nearest } else { shortest }
}

fn to_timestamp<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let value = match args {
        [Value::Timestamp(instant)] => Some(*instant),
        [Value::Int(seconds)] => Some(
            Timestamp::new(*seconds, 0)
                .ok_or_else(|| Fault::message(context.arena, "timestamp overflow"))?,
        ),
        [Value::String(text)] => Timestamp::parse(text),
        _ => return Err(Fault::no_overload(context.arena)),
    };
    converted(context, args, value.map(Value::Timestamp), "google.protobuf.Timestamp")
}

fn to_duration<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let value = match args {
        [Value::Duration(length)] => Some(*length),
        [Value::String(text)] => Duration::parse(text),
        _ => return Err(Fault::no_overload(context.arena)),
    };
    converted(context, args, value.map(Value::Duration), "google.protobuf.Duration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_go_writes_them() {
        for (value, expect) in [
            (1.5, "1.5"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (0.000_1, "0.0001"),
            (0.000_01, "1e-05"),
            (-0.0, "-0"),
            (1e300, "1e+300"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(double_text(value), expect);
        }
    }
}
