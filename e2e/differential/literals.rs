//! Literals and JSON at the edges of what there is: limits, NaN, nothing, unicode, text that some function reads.

use serde_json::{Value as Json, json};

use crate::random::Random;
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
const TIMESTAMPS: &[&str] = &[
    "2024-02-29T12:34:56.789Z",
    "1970-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "2023-06-01T10:00:00+02:00",
    "2024-12-31T23:59:59-11:30",
];
const DURATIONS: &[&str] =
    &["1s", "0s", "-1.5h", "1h30m", "100ms", "1us", "1ns", "2562047h", "24h", "1m1s1ms", "90m"];
const ZONES: &[&str] =
    &["UTC", "America/New_York", "Asia/Kolkata", "+02:30", "-11:00", "05:45", "Nowhere/At"];

/// Texts that mean something to some function, by what reads them.
const TEXTS: &[(&str, &[&str])] = &[
    (
        "quantity",
        &[
            "1Gi",
            "500m",
            "-1.5",
            "1e3",
            "0",
            "1000000000000000000000",
            "0.1u",
            "5Ki",
            "1.5x",
            "12E",
            "100Mi",
        ],
    ),
    (
        "ip",
        &[
            "10.0.0.1",
            "::1",
            "::ffff:1.2.3.4",
            "fe80::1",
            "256.0.0.1",
            "0.0.0.0",
            "2001:DB8::68",
            "fe80::1%en0",
        ],
    ),
    (
        "cidr",
        &["10.0.0.0/8", "10.0.0.1/8", "::/0", "2001:db8::/32", "1.2.3.4/33", "192.168.0.0/16"],
    ),
    ("semver", &["1.2.3", "v1.2", "1.0.0-alpha.1+b", "01.2.3", "1.2.3-", "0.0.0"]),
    (
        "url",
        &[
            "https://a.example:8443/p/q?x=1&x=2#f",
            "http://[::1]:80/",
            "/only/path",
            "a b",
            "://",
            "https://u:p@h/%41?%zz",
            "mailto:a@b",
        ],
    ),
    (
        "pattern",
        &[
            "^a.*b$",
            "[0-9]+",
            "(a|b)+",
            "\\\\d{2,3}",
            "",
            ".",
            "(?i)ABC",
            "[",
            "^[a-z]([-a-z0-9]*[a-z0-9])?$",
            "\\\\p{L}",
            "(x)?",
        ],
    ),
    (
        "format",
        &["%s", "%d and %s", "%.2f", "%e", "%x", "%X", "%o", "%b", "%%", "%q", "%.3e", "%s %s %s"],
    ),
    ("timestamp", TIMESTAMPS),
    ("duration", DURATIONS),
    ("zone", ZONES),
    (
        "number",
        &[
            "1",
            "-5",
            "3.14",
            "0x10",
            "1e3",
            "18446744073709551615",
            "9223372036854775808",
            "NaN",
            " 1",
            "+1",
            "1_000",
            "inf",
        ],
    ),
    ("bool", &["true", "false", "True", "t", "1", "yes", "FALSE", "f"]),
    (
        "name",
        &[
            "my-name",
            "My_Name",
            "a.b.c",
            "-x",
            "app.kubernetes.io/name",
            "d41d8cd9-8f00-b204-e980-0998ecf8427e",
            "aGVsbG8=",
            "2024-01-01",
        ],
    ),
    (
        "formats",
        &[
            "dns1123Label",
            "dns1123Subdomain",
            "dns1035Label",
            "qualifiedName",
            "uri",
            "uuid",
            "byte",
            "date",
            "datetime",
            "labelValue",
            "nope",
        ],
    ),
    ("selector", &["a=b", "a in (b,c),!d", "a!=b", "=", "metadata.name=x"]),
    (
        "plain",
        &[
            "",
            "a",
            "abc",
            "ABC",
            "hello world",
            "a,b,,c",
            "  pad\\t",
            "é",
            "日本語",
            "\u{1f600}x",
            "a\\nb",
            "\\u0000",
            "it''s",
            "nginx:1.25@sha256",
            "a/b/c",
            "e\u{301}",
            "\u{a0}nb\u{a0}",
            "0123456789abcdef0123456789abcdef",
        ],
    ),
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
        "format" => &["format"],
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
            let text = *random.pick(&["", "a", "abc", "\\xff\\x00", "é"]);
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
