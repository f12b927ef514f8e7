//! Values as JSON that keeps their types: `{"int": "5"}`, `{"list": [..]}`. Programs that compare engines read it.

use serde_json::{Value as Json, json};

use crate::cel::{Duration, Map, Struct, Value};

/// The value with its type.
pub fn tagged(value: Value<'_>) -> Json {
    match value {
        Value::Null => json!({"null": null}),
        Value::Bool(value) => json!({"bool": value}),
        Value::Int(value) => json!({"int": value.to_string()}),
        Value::Uint(value) => json!({"uint": value.to_string()}),
        Value::Double(value) if value.is_finite() => json!({"double": value}),
        Value::Double(value) => json!({"double": not_finite(value)}),
        Value::String(text) => json!({"string": text}),
        Value::Bytes(_) => json!({"bytes": value.to_json().unwrap_or_default()}),
        Value::List(list) => json!({"list": list.iter().map(tagged).collect::<Vec<_>>()}),
        // An empty map is `null`, as Go writes a slice that was never made.
        Value::Map(map) if map.is_empty() => json!({"map": null}),
        Value::Map(map) => json!({"map": entries(map)}),
        Value::Struct(object) => json!({"opaque": object.name, "string": struct_text(object)}),
        Value::Opaque(value) => {
            json!({"opaque": value.type_name(), "string": value.to_string()})
        }
        Value::Timestamp(instant) => json!({"timestamp": instant.utc_text()}),
        Value::Duration(length) => json!({"duration": go_text(length)}),
        Value::Type(name) => json!({"type": name}),
        Value::Optional(None) => json!({"optional": null}),
        Value::Optional(Some(inner)) => json!({"optional": tagged(*inner)}),
    }
}

/// The entries in the order of their keys' text, because maps have none.
fn entries(map: Map<'_>) -> Vec<[Json; 2]> {
    let mut entries: Vec<[Json; 2]> =
        map.iter().map(|(key, value)| [tagged(key), tagged(value)]).collect();
    entries.sort_by_key(|[key, _]| key.to_string());
    entries
}

/// An object that an expression made, as Go prints it.
fn struct_text(object: Struct<'_>) -> String {
    if object.name != "JSONPatch" {
        return native_text(Value::Struct(object));
    }
    let field = |name| object.get(name).map(|value| value_text(value)).unwrap_or_default();
    let value = object.get("value").map_or_else(|| "<nil>".to_owned(), value_text);
    format!("&{{{} {} {} {value}}}", field("op"), field("from"), field("path"))
}

/// A value as cel-go prints it.
fn value_text(value: Value<'_>) -> String {
    match value {
        Value::List(list) => {
            let nothing = |item: &Value<'_>| list.is_of_document() && matches!(item, Value::Null);
            let text = |item| if nothing(&item) { "<nil>".to_owned() } else { value_text(item) };
            let items: Vec<_> = list.iter().map(text).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => {
            let entry = |(key, value)| format!("{}: {}", value_text(key), value_text(value));
            let entries: Vec<_> = map.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Struct(object) => struct_text(object),
        Value::Null => "0".to_owned(),
        Value::Double(_) => native_text(value),
        Value::Uint(number) => number.to_string(),
        Value::Bytes(octets) => {
            let octets: Vec<_> = octets.iter().map(u8::to_string).collect();
            format!("[{}]", octets.join(" "))
        }
        Value::Duration(length) => go_text(length),
        Value::Timestamp(instant) => {
            instant.utc_text().replace('T', " ").replace('Z', " +0000 UTC")
        }
        Value::Optional(Some(inner)) => format!("optional({})", value_text(*inner)),
        Value::Opaque(value) => value.to_string(),
        other => other.to_string(),
    }
}

/// A value as Go prints the maps and slices it is made of.
fn native_text(value: Value<'_>) -> String {
    let sorted = |mut entries: Vec<(String, String)>| {
        entries.sort();
        let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        format!("map[{}]", entries.join(" "))
    };
    match value {
        Value::Null => "NULL_VALUE".to_owned(),
        Value::Double(number) if number.fract() == 0.0 && number.abs() < 1e21 => {
            format!("{number:.0}")
        }
        Value::List(list) => {
            let items: Vec<_> = list.iter().map(native_text).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(map) => {
            sorted(map.iter().map(|(key, value)| (native_text(key), native_text(value))).collect())
        }
        Value::Struct(object) => {
            let field =
                |(name, value): &(&str, Value<'_>)| ((*name).to_owned(), native_text(*value));
            sorted(object.fields.iter().map(field).collect())
        }
        other => other.to_string(),
    }
}

fn not_finite(value: f64) -> &'static str {
    match value {
        _ if value.is_nan() => "NaN",
        _ if value > 0.0 => "+Inf",
        _ => "-Inf",
    }
}

/// A length of time as Go writes it: `1h30m0s`, `1.5ms`.
fn go_text(length: Duration) -> String {
    let nanos = length.0.unsigned_abs();
    let sign = if length.0 < 0 { "-" } else { "" };
    if nanos == 0 {
        return "0s".to_owned();
    }
    for (unit, size) in [("ns", 1), ("\u{b5}s", 1_000), ("ms", 1_000_000)] {
        if nanos < size * 1_000 {
            return format!("{sign}{}{unit}", decimal(nanos, size));
        }
    }
    let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
    let minutes = nanos / 60_000_000_000;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// How many times `size` goes into `amount`, with as many decimals as it takes.
fn decimal(amount: u64, size: u64) -> String {
    let (whole, rest) = (amount / size, amount % size);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = size.ilog10() as usize;
    let rest = format!("{rest:0digits$}");
    format!("{whole}.{}", rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_go_writes_them() {
        for (nanos, expect) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5\u{b5}s"),
            (-2_000_000, "-2ms"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (1_500_000_000, "1.5s"),
        ] {
            assert_eq!(go_text(Duration(nanos)), expect);
        }
    }
}
