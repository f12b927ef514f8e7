//! Literals and JSON at the edges of what there is: limits, NaN, nothing, unicode, text that some function reads.

use serde_json::{Value as Json, json};

use crate::random::Random;
use crate::texts::{DURATIONS, TEXTS, TIMESTAMPS};
use crate::tree::Node;
use crate::types::Ty;

const INTS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "-1",
    "10",
    "42",
    "100",
    "-7",
    "9223372036854775807",
    "-9223372036854775808",
    "4294967296",
    "9007199254740993",
    "1700000000",
    "-62135596800",
    "253402300799",
    "0x1F",
];
const UINTS: &[&str] =
    &["0u", "1u", "2u", "7u", "18446744073709551615u", "9223372036854775808u", "0xffu"];
const DOUBLES: &[&str] = &[
    "0.0",
    "1.0",
    "-1.5",
    "0.1",
    "2.5",
    "3.0",
    "1e308",
    "-1e308",
    "1e-320",
    "9223372036854775808.0",
    "9.007199254740993e15",
    "123456789.123",
    "1e21",
    "double('NaN')",
    "double('Infinity')",
    "double('-inf')",
    "-0.0",
    ".5",
];
/// What a text for an argument of this function is likely to be.
fn kinds(function: &str) -> &'static [&'static str] {
    match function {
        "quantity" | "isQuantity" => &["quantity"],
        "ip" | "isIP" | "containsIP" | "ip.isCanonical" => &["ip"],
        "cidr" | "isCIDR" | "containsCIDR" => &["cidr", "ip"],
        "semver" | "isSemver" => &["semver"],
        "url" | "isURL" => &["url"],
        "matches" | "find" | "findAll" => &["pattern", "plain"],
        "format" => &["format", "format", "plain"],
        "timestamp" => &["timestamp"],
        "duration" => &["duration"],
        "int" | "uint" | "double" => &["number"],
        "bool" => &["bool"],
        "format.named" => &["formats"],
        "fieldSelector" | "labelSelector" => &["selector"],
        "validate" => &["name", "url", "plain"],
        name if name.starts_with("get") => &["zone"],
        _ => &["plain"],
    }
}

/// A text that means something to some function.
pub fn any_text(random: &mut Random) -> String {
    let (_, texts) = random.pick(TEXTS);
    let text = *random.pick(texts);
    // What costs by its length is rounded, so some are long.
    if random.percent(5) { text.repeat(1 + random.below(40)) } else { text.to_owned() }
}

pub fn text_for(random: &mut Random, function: &str) -> String {
    let wanted = kinds(function);
    let kind = if random.percent(85) { *random.pick(wanted) } else { random.pick(TEXTS).0 };
    let (_, texts) = TEXTS.iter().find(|(name, _)| *name == kind).unwrap();
    (*random.pick(texts)).to_owned()
}

/// A literal, or nothing where the type has none.
pub fn literal(random: &mut Random, ty: &Ty, function: &str) -> Option<Node> {
    let text = match ty {
        Ty::Null => "null".to_owned(),
        Ty::Bool => (*random.pick(&["true", "false"])).to_owned(),
        Ty::Int if random.percent(60) => random.below(6).to_string(),
        Ty::Int => (*random.pick(INTS)).to_owned(),
        Ty::Uint => (*random.pick(UINTS)).to_owned(),
        Ty::Double => (*random.pick(DOUBLES)).to_owned(),
        Ty::String => {
            let text = text_for(random, function);
            quoted(random, &text)
        }
        Ty::Bytes => {
            let text =
                *random.pick(&["", "a", "abc", "\\xff\\x00", "é", "\\377\\101", "\\u00e9", "\\n"]);
            format!("b{}", quoted(random, text))
        }
        Ty::Timestamp => format!("timestamp('{}')", random.pick(TIMESTAMPS)),
        Ty::Duration => format!("duration('{}')", random.pick(DURATIONS)),
        Ty::Type => (*random.pick(&[
            "int",
            "string",
            "list",
            "map",
            "type",
            "bool",
            "null_type",
            "google.protobuf.Timestamp",
            "type(1)",
        ]))
        .to_owned(),
        _ => return None,
    };
    Some(Node::text(ty.clone(), text))
}

fn quoted(random: &mut Random, text: &str) -> String {
    match random.below(10) {
        0 => format!("\"{text}\""),
        1 => format!("'''{text}'''"),
        _ => format!("'{text}'"),
    }
}

const KEYS: &[&str] = &[
    "a",
    "b",
    "name",
    "labels",
    "spec",
    "containers",
    "app.kubernetes.io/name",
    "x-y",
    "é",
    "",
    "in",
    "replicas",
    "image",
];

/// JSON of some depth.
pub fn json(random: &mut Random, depth: usize) -> Json {
    match random.below(if depth == 0 { 6 } else { 10 }) {
        0 => Json::Null,
        1 => json!(random.percent(50)),
        2 => json!(*random.pick(&[0i64, 1, 2, 3, 5, -1, 42, 8080, i64::MAX, i64::MIN])),
        3 => json!(*random.pick(&[0.5f64, 1.0, -2.25, 1e300, 3.0e10, 0.1])),
        4 | 5 => {
            let text = text_for(random, "");
            // Here it is no literal, so what looks like an escape is text.
            json!(text)
        }
        6 | 7 => {
            let alike = random.percent(60);
            let first = json(random, depth - 1);
            let mut items = Vec::new();
            for _ in 0..random.below(5) {
                items.push(if alike { similar(random, &first) } else { json(random, depth - 1) });
            }
            Json::Array(items)
        }
        _ => object(random, depth - 1),
    }
}

/// A value of the same kind.
fn similar(random: &mut Random, to: &Json) -> Json {
    match to {
        Json::Number(_) => json!(random.below(9)),
        Json::String(_) => json!(text_for(random, "")),
        Json::Bool(_) => json!(random.percent(50)),
        Json::Object(fields) => {
            Json::Object(fields.iter().map(|(k, v)| (k.clone(), similar(random, v))).collect())
        }
        other => other.clone(),
    }
}

pub fn object(random: &mut Random, depth: usize) -> Json {
    let mut fields = serde_json::Map::new();
    for _ in 0..random.below(5) {
        let key = *random.pick(KEYS);
        fields.insert(key.to_owned(), json(random, depth));
    }
    Json::Object(fields)
}
