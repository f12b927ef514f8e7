//! Values as Go prints them, in the texts of errors.

use crate::cel::{Duration, Quoted, Struct, Value, double_text};
use crate::schema::merge::native::{Native, View, odd_key};

/// How much of a value is shown. An object can be as large as a request.
const SHOWN_BYTES_MAX: usize = 4 * 1024;

/// In quotes, as `%q`.
pub(in crate::schema::merge) fn quoted(text: &str) -> String {
    Quoted(text).to_string()
}

/// A double, as `%v`.
pub(in crate::schema::merge) fn double(value: f64) -> String {
    double_text(value)
}

/// The value and what it is wrapped in, as `%v`.
pub(in crate::schema::merge) fn plain(value: Native<'_>) -> String {
    let mut text = "&{".to_owned();
    write_plain(value, &mut text);
    shortened(text, "}")
}

/// The value and what it is wrapped in, as `%#v`.
pub(in crate::schema::merge) fn sharp(value: Native<'_>) -> String {
    let mut text = "&value.valueUnstructured{Value:".to_owned();
    write_sharp(value, &mut text);
    shortened(text, "}")
}

fn shortened(mut text: String, end: &str) -> String {
    text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
    text + end
}

/// The name of its type, as `%T`.
pub(in crate::schema::merge) fn type_name(value: Native<'_>) -> &'static str {
    match value.view() {
        View::Null => "<nil>",
        View::Bool(_) => "bool",
        View::Int(_) => "int64",
        View::Double(_) => "float64",
        View::String(_) => "string",
        View::List(_) => "[]interface {}",
        View::Map(_) => "map[string]interface {}",
        View::Alien(alien) => alien_type(alien),
    }
}

fn alien_type(value: Value<'_>) -> &'static str {
    match value {
        Value::Null => "structpb.NullValue",
        Value::Uint(_) => "uint64",
        Value::Bytes(_) => "[]uint8",
        Value::Timestamp(_) => "time.Time",
        Value::Duration(_) => "time.Duration",
        Value::List(_) => "[]ref.Val",
        Value::Map(_) => "map[ref.Val]ref.Val",
        Value::Type(_) => "string",
        Value::Struct(_) => "*types.Err",
        _ => "interface {}",
    }
}

fn write_plain(value: Native<'_>, text: &mut String) {
    if text.len() > SHOWN_BYTES_MAX {
        return;
    }
    match value.view() {
        View::Null => text.push_str("<nil>"),
        View::Bool(value) => text.push_str(&value.to_string()),
        View::Int(value) => text.push_str(&value.to_string()),
        View::Double(value) => text.push_str(&double(value)),
        View::String(value) => text.push_str(value),
        View::List(list) => between(text, "[", " ", "]", list.iter(), write_plain),
        View::Map(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            between(text, "map[", " ", "]", sorted.into_iter(), |(name, member), text| {
                text.push_str(name);
                text.push(':');
                write_plain(member, text);
            });
        }
        View::Alien(alien) => write_alien(alien, text),
    }
}

fn write_sharp(value: Native<'_>, text: &mut String) {
    if text.len() > SHOWN_BYTES_MAX {
        return;
    }
    match value.view() {
        View::Null => text.push_str("interface {}(nil)"),
        View::String(value) => text.push_str(&quoted(value)),
        View::List(list) if list.is_nil() => text.push_str("[]interface {}(nil)"),
        View::List(list) => between(text, "[]interface {}{", ", ", "}", list.iter(), write_sharp),
        View::Map(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            let open = "map[string]interface {}{";
            between(text, open, ", ", "}", sorted.into_iter(), |(name, member), text| {
                text.push_str(&quoted(name));
                text.push(':');
                write_sharp(member, text);
            });
        }
        View::Alien(alien) => write_alien_sharp(alien, text),
        View::Bool(_) | View::Int(_) | View::Double(_) => write_plain(value, text),
    }
}

/// A value that stayed one of the language, as `%v`.
fn write_alien(value: Value<'_>, text: &mut String) {
    match value {
        Value::Null => text.push_str("NULL_VALUE"),
        Value::Uint(value) => text.push_str(&value.to_string()),
        Value::Double(value) => text.push_str(&double(value)),
        Value::Bytes(octets) => {
            between(text, "[", " ", "]", octets.iter(), |octet, text| {
                text.push_str(&octet.to_string());
            });
        }
        Value::Timestamp(instant) => {
            let instant = instant.utc_text().replace('T', " ").replace('Z', " +0000 UTC");
            text.push_str(&instant);
        }
        Value::Duration(Duration(nanos)) => text.push_str(&duration(nanos)),
        Value::List(list) => between(text, "[", " ", "]", list.iter(), write_alien),
        Value::Map(map) => {
            between(text, "map[", " ", "]", map.iter(), |(key, member), text| {
                write_alien(key, text);
                text.push(':');
                write_alien(member, text);
            });
        }
        Value::Struct(object) => text.push_str(&not_taken_out(object).unwrap_or_default()),
        other => text.push_str(&other.to_string()),
    }
}

/// A value that stayed one of the language, as `%#v`.
fn write_alien_sharp(value: Value<'_>, text: &mut String) {
    match value {
        Value::Null => text.push('0'),
        Value::String(value) => text.push_str(&quoted(value)),
        Value::Uint(value) => text.push_str(&hexadecimal(value)),
        Value::Bytes(octets) => {
            between(text, "[]uint8{", ", ", "}", octets.iter(), |octet, text| {
                text.push_str(&hexadecimal(u64::from(*octet)));
            });
        }
        Value::Duration(Duration(nanos)) => text.push_str(&nanos.to_string()),
        Value::List(list) => {
            between(text, "[]ref.Val{", ", ", "}", list.iter(), write_alien_sharp);
        }
        Value::Map(map) => {
            let open = "map[ref.Val]ref.Val{";
            between(text, open, ", ", "}", map.iter(), |(key, member), text| {
                write_alien_sharp(key, text);
                text.push(':');
                write_alien_sharp(member, text);
            });
        }
        other => write_alien(other, text),
    }
}

fn hexadecimal(number: u64) -> String {
    format!("{number:#x}")
}

/// Why an object could not be taken out: a key of a map in it is no text.
fn not_taken_out(object: Struct<'_>) -> Option<String> {
    let (field, key) = odd_key(object)?;
    let (key, name) = match key {
        Value::Int(number) => (rune(u32::try_from(number).ok()), "Int"),
        Value::Uint(number) => (rune(u32::try_from(number).ok()), "Uint"),
        Value::Bool(value) => (format!("%!q(types.Bool={value})"), "Bool"),
        other => (format!("%!q(types.Double={other})"), "Double"),
    };
    let field = quoted(field);
    Some(format!(
        "fail to convert field {field}: map key {key} is of type types.{name}, not string"
    ))
}

/// What `%q` makes of a number: the character of this number.
fn rune(number: Option<u32>) -> String {
    let character = number.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    let text = quoted(&character.to_string());
    format!("'{}'", text.trim_matches('"'))
}

/// A length of time as Go writes it: `1h2m3.5s`.
fn duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let small = |unit: u64, name: &str| format!("{sign}{}{name}", nanos as f64 / unit as f64);
    match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{sign}{nanos}ns"),
        1_000..1_000_000 => return small(1_000, "µs"),
        1_000_000..1_000_000_000 => return small(1_000_000, "ms"),
        _ => {}
    }
    let (minutes, seconds) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
    let seconds = seconds as f64 / 1e9;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn between<T>(
    text: &mut String,
    open: &str,
    separator: &str,
    close: &str,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(T, &mut String),
) {
    text.push_str(open);
    for (place, item) in items.enumerate() {
        if place > 0 {
            text.push_str(separator);
        }
        if text.len() > SHOWN_BYTES_MAX {
            return;
        }
        write(item, text);
    }
    text.push_str(close);
}
