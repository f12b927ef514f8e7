//! Runs the cel-spec conformance data, when it is there, and compares with what Kubernetes answers to
//! the same expressions: stage, type, value and cost. Prints a line for each file.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and the data is known"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis::cel::{
    Arena, Duration, Env, Evaluation, Map, NoAnswers, Stage, Timestamp, Type, Value, Version,
};
use serde_json::Value as Json;

/// Where the data lies beside a checkout; `PORTCULLIS_CEL_DATA` names another place.
fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference");
    let place = std::env::var_os("PORTCULLIS_CEL_DATA").map_or(beside, PathBuf::from);
    place.join("cel-kubernetes").is_dir().then_some(place)
}

/// What is left out, and why: the language of Kubernetes has no protobuf messages, nothing is evaluated
/// that was not checked, and policies declare no functions.
fn is_left_out(test: &Json, expected: &Json) -> bool {
    let declares_functions = test["type_env"]
        .as_array()
        .is_some_and(|env| env.iter().any(|declared| declared.get("function").is_some()));
    test["disable_check"] == true || declares_functions || needs_protobuf(test, expected)
}

fn needs_protobuf(test: &Json, expected: &Json) -> bool {
    let text = test.to_string() + &expected.to_string();
    [
        "proto2",
        "proto3",
        "object_value\":{\"@type\":\"type.googleapis.com/cel",
        "TestAllTypes",
        "google.protobuf.Any",
        "enum_value",
        "google.protobuf.Value",
        "google.protobuf.Struct",
        "google.protobuf.ListValue",
        "Value{",
        "wrapper",
        "container",
    ]
    .iter()
    .any(|word| text.contains(word))
        || expected["stage"] == "env"
        || expected["stage"] == "binding"
}

#[derive(Default)]
struct Tally {
    agreed: usize,
    differing: Vec<String>,
    left_out: usize,
}

#[test]
fn agrees_with_kubernetes_on_the_conformance_data() {
    let Some(data) = data() else {
        eprintln!("the conformance data is not beside the checkout; nothing compared");
        return;
    };
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut files: Vec<_> = fs::read_dir(data.join("cel-kubernetes")).unwrap().collect();
    files.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
    for entry in files {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let expected: Json = read(&path);
        let spec: Json = read(&data.join("cel-spec").join(path.file_name().unwrap()));
        let tally = tallies.entry(name.clone()).or_default();
        // A few names occur twice; what is expected is that of the last one.
        let mut cases = BTreeMap::new();
        for section in spec["section"].as_array().unwrap() {
            for test in section["test"].as_array().unwrap() {
                let (section, test_name) = (&section["name"], &test["name"]);
                let key =
                    format!("{name}/{}/{}", section.as_str().unwrap(), test_name.as_str().unwrap());
                if let Some(expected) = expected.get(&key) {
                    cases.insert(key, (test, expected));
                }
            }
        }
        for (key, (test, expected)) in cases {
            if is_left_out(test, expected) {
                tally.left_out += 1;
                continue;
            }
            match compare(test, expected) {
                Ok(()) => tally.agreed += 1,
                Err(why) => tally.differing.push(format!("{key}: {}: {why}", test["expr"])),
            }
        }
    }
    let (mut agreed, mut differing, mut left_out) = (0, 0, 0);
    for (name, tally) in &tallies {
        println!(
            "{name:16} {:4} agreed, {:3} differing, {:4} left out",
            tally.agreed,
            tally.differing.len(),
            tally.left_out
        );
        for line in &tally.differing {
            println!("    {line}");
        }
        agreed += tally.agreed;
        differing += tally.differing.len();
        left_out += tally.left_out;
    }
    println!("total: {agreed} agreed, {differing} differing, {left_out} left out");
    assert!(agreed > 0);
    assert_eq!(differing, 0);
}

fn read(path: &Path) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The declarations of a test.
fn declared(test: &Json) -> Env {
    let mut env = Env::kubernetes(Version::LATEST);
    for declared in test["type_env"].as_array().into_iter().flatten() {
        if let (Some(name), Some(ty)) =
            (declared["name"].as_str(), declared["ident"]["type"].as_object())
        {
            env = env.declare(name, declared_type(&Json::Object(ty.clone())));
        }
    }
    env
}

fn compare(test: &Json, expected: &Json) -> Result<(), String> {
    let source = test["expr"].as_str().unwrap_or("");
    let env = declared(test);
    let stage = expected["stage"].as_str().unwrap_or("");
    let program = match (env.compile(source, &[]), stage) {
        (Err(error), "parse" | "check") if error.stage() == Stage::Compile => return Ok(()),
        (Err(error), "program") if error.stage() != Stage::Compile => return Ok(()),
        (Err(error), _) => return Err(format!("{stage} expected, refused: {}", error.message())),
        (Ok(_), "parse" | "check" | "program") => {
            return Err(format!("{stage} expected: {}, accepted", expected["error"]));
        }
        (Ok(program), _) => program,
    };
    let output = program.output().to_string();
    if let Some(wanted) = expected["out_type"].as_str()
        && wanted != output
    {
        return Err(format!("type {wanted} expected, got {output}"));
    }
    if stage == "checked" {
        return Ok(());
    }
    let arena = Arena::new();
    let bindings: Vec<Json> = test["type_env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|declared| declared.get("ident").is_some())
        .map(|declared| test["bindings"][declared["name"].as_str().unwrap()]["value"].clone())
        .collect();
    let documents: Vec<_> =
        bindings.iter().map(|binding| plain(binding).unwrap_or(Json::Null)).collect();
    let documents: Vec<_> = documents.iter().map(portcullis::json::Document::from_value).collect();
    let octets: Vec<Vec<u8>> = bindings.iter().map(octets).collect();
    let roots: Vec<Value<'_>> = documents
        .iter()
        .zip(&bindings)
        .zip(&octets)
        .map(|((document, binding), octets)| match Value::from_json(document.root()) {
            Value::String(_) if binding.get("bytes_value").is_some() => Value::Bytes(octets),
            Value::Map(object) => message(binding).unwrap_or(Value::Map(object)),
            Value::Int(number) if binding.get("uint64_value").is_some() => {
                Value::Uint(number as u64)
            }
            Value::Int(number) if binding.get("double_value").is_some() => {
                Value::Double(number as f64)
            }
            other => other,
        })
        .collect();
    let evaluation = Evaluation::new(&arena, &env, &roots, &NoAnswers);
    let run = evaluation.run(&program);
    let seen = run.result.as_ref().map(|value| tagged(*value)).map_err(ToString::to_string);
    match (seen, stage) {
        (Err(_), "eval_error") => {}
        (Ok(value), "value") => {
            if let Some(wanted) = expected.get("value")
                && !same(wanted, &value)
            {
                return Err(format!("{wanted} expected, got {value}"));
            }
        }
        (seen, _) => return Err(format!("{stage} expected {}, got {seen:?}", expected["error"])),
    }
    match expected["actual_cost"].as_u64() {
        Some(wanted) if wanted != run.cost && !early_exit_over_a_map(source) => {
            Err(format!("cost {wanted} expected, got {}", run.cost))
        }
        _ => Ok(()),
    }
}

/// Kubernetes goes over maps in random order, so what an early exit costs there is random.
fn early_exit_over_a_map(source: &str) -> bool {
    source.starts_with('{') && (source.contains(".exists(") || source.contains(".all("))
}

fn declared_type(ty: &Json) -> Type {
    let primitive = |name: &str| match name {
        "BOOL" => Type::Bool,
        "INT64" => Type::Int,
        "UINT64" => Type::Uint,
        "DOUBLE" => Type::Double,
        "STRING" => Type::String,
        "BYTES" => Type::Bytes,
        _ => Type::Dyn,
    };
    if let Some(name) = ty["primitive"].as_str() {
        return primitive(name);
    }
    match (ty["well_known"].as_str(), ty.get("list_type"), ty.get("map_type")) {
        (Some("TIMESTAMP"), ..) => Type::Timestamp,
        (Some("DURATION"), ..) => Type::Duration,
        (_, Some(list), _) => Type::list(declared_type(&list["elem_type"])),
        (.., Some(map)) => {
            Type::map(declared_type(&map["key_type"]), declared_type(&map["value_type"]))
        }
        _ if ty.get("null").is_some() => Type::Null,
        _ => Type::Dyn,
    }
}

/// A value of the data as plain JSON.
fn plain(value: &Json) -> Option<Json> {
    let (kind, content) = value.as_object()?.iter().next()?;
    Some(match kind.as_str() {
        "int64_value" | "uint64_value" => Json::from(content.as_str()?.parse::<i64>().ok()?),
        "list_value" => Json::Array(
            content["values"].as_array().into_iter().flatten().filter_map(plain).collect(),
        ),
        "map_value" => Json::Object(
            content["entries"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|entry| {
                    Some((plain(&entry["key"])?.as_str()?.to_owned(), plain(&entry["value"])?))
                })
                .collect(),
        ),
        _ => content.clone(),
    })
}

/// An instant or a length of time of the data.
fn message(binding: &Json) -> Option<Value<'static>> {
    let object = binding.get("object_value")?;
    let text = object["value"].as_str()?;
    match object["@type"].as_str()? {
        "type.googleapis.com/google.protobuf.Timestamp" => {
            Timestamp::parse(text).map(Value::Timestamp)
        }
        "type.googleapis.com/google.protobuf.Duration" => {
            Duration::parse(text).map(Value::Duration)
        }
        _ => None,
    }
}

/// The octets of a value of the data: the few there are have one or two.
fn octets(binding: &Json) -> Vec<u8> {
    match binding["bytes_value"].as_str() {
        Some("AA==") => vec![0],
        Some("AQ==") => vec![1],
        Some("//8=") => vec![255, 255],
        _ => Vec::new(),
    }
}

/// A value in the form of the data.
fn tagged(value: Value<'_>) -> Json {
    use serde_json::json;
    match value {
        Value::Null => json!({"null_value": null}),
        Value::Bool(value) => json!({"bool_value": value}),
        Value::Int(value) => json!({"int64_value": value.to_string()}),
        Value::Uint(value) => json!({"uint64_value": value.to_string()}),
        Value::Double(value) if value.is_nan() => json!({"double_value": "NaN"}),
        Value::Double(value) if value.is_infinite() => {
            json!({"double_value": if value > 0.0 { "Infinity" } else { "-Infinity" }})
        }
        Value::Double(value) => json!({"double_value": value}),
        Value::String(text) => json!({"string_value": text}),
        Value::Bytes(_) => json!({"bytes_value": value.to_json().unwrap()}),
        Value::List(list) if list.is_empty() => json!({"list_value": {}}),
        Value::List(list) => {
            json!({"list_value": {"values": list.iter().map(tagged).collect::<Vec<_>>()}})
        }
        Value::Map(map) => map_value(map),
        Value::Type(name) => json!({"type_value": name}),
        Value::Timestamp(instant) => json!({"object_value": {
            "@type": "type.googleapis.com/google.protobuf.Timestamp", "value": instant.to_string()}}),
        Value::Duration(length) => json!({"object_value": {
            "@type": "type.googleapis.com/google.protobuf.Duration", "value": length.to_string()}}),
        other => json!({"text": other.to_string()}),
    }
}

fn map_value(map: Map<'_>) -> Json {
    use serde_json::json;
    if map.is_empty() {
        return json!({"map_value": {}});
    }
    let entries: Vec<_> = map
        .iter()
        .map(|(key, value)| json!({"key": tagged(key), "value": tagged(value)}))
        .collect();
    json!({"map_value": {"entries": entries}})
}

/// Whether two values of the data are the same; maps have no order.
fn same(one: &Json, two: &Json) -> bool {
    if let (Some(one), Some(two)) = (one.get("map_value"), two.get("map_value")) {
        let entries = |map: &Json| map["entries"].as_array().cloned().unwrap_or_default();
        let (one, two) = (entries(one), entries(two));
        return one.len() == two.len()
            && one.iter().all(|entry| {
                two.iter().any(|other| {
                    same(&entry["key"], &other["key"]) && same(&entry["value"], &other["value"])
                })
            });
    }
    if let (Some(one), Some(two)) = (one.get("list_value"), two.get("list_value")) {
        let values = |list: &Json| list["values"].as_array().cloned().unwrap_or_default();
        let (one, two) = (values(one), values(two));
        return one.len() == two.len() && one.iter().zip(&two).all(|(one, two)| same(one, two));
    }
    if let (Some(one), Some(two)) = (one.get("double_value"), two.get("double_value")) {
        return one == two || one.as_f64().is_some() && one.as_f64() == two.as_f64();
    }
    if let (Some(one), Some(two)) = (one.get("object_value"), two.get("object_value")) {
        return one["@type"] == two["@type"] && one["value"] == two["value"];
    }
    one == two
}
