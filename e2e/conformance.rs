//! The language against two sets of answers: what cel-spec asks, and what Kubernetes' own environment answers to it. The
//! data is not part of this repository; where there is none, this says so and passes.
//!
//! `CEL_CONFORMANCE` names the folder that holds `cel-spec/` (the suite of cel.dev/expr as protojson) and
//! `cel-kubernetes/` (the outcomes); without it, `../shared/reference` is looked at. `make conformance` prints the counts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads the environment it is started in"
)]

use portcullis::cel::{
    Arena, Duration, Env, Evaluation, NoAnswers, Timestamp, Type, Value, Version,
};
use portcullis::json::Document;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Share of the applicable expressions whose outcome must be Kubernetes', in thousandths. Raise it as it rises.
const SAME_OUTCOME_MIN: usize = 900;

#[test]
fn expressions_give_what_kubernetes_gives() {
    let Some(data) = data() else {
        println!("no conformance data: set CEL_CONFORMANCE to a folder that has it");
        return;
    };
    println!(
        "{:<18}{:>6}{:>8}{:>10}{:>8}  not the same",
        "file", "asked", "same", "same cost", "n/a"
    );
    let mut total = Count::default();
    for outcomes in files(&data.join("cel-kubernetes")) {
        let name = outcomes.file_stem().unwrap().to_str().unwrap().to_owned();
        let questions = questions(&data.join("cel-spec").join(format!("{name}.json")), &name);
        let mut count = Count::default();
        for (key, outcome) in read(&outcomes).as_object().unwrap() {
            match questions.get(key).filter(|question| applies(question)) {
                Some(question) => count.add(key, compare(question, outcome)),
                None => count.not_applicable += 1,
            }
        }
        println!("{name:<18}{count}");
        total.merge(count);
    }
    println!("{:<18}{total}", "all");
    assert!(total.asked > 1000, "the data is not what it should be");
    let share = total.same * 1000 / total.asked;
    assert!(share >= SAME_OUTCOME_MIN, "{share} of 1000 give what Kubernetes gives");
}

/// What became of the expressions of a file.
#[derive(Default)]
struct Count {
    asked: usize,
    same: usize,
    same_cost: usize,
    with_cost: usize,
    not_applicable: usize,
    /// What is not there yet, and how many expressions ask for it.
    undeclared: BTreeMap<String, usize>,
    different: Vec<String>,
}

impl Count {
    fn add(&mut self, key: &str, comparison: Comparison) {
        self.asked += 1;
        self.same += usize::from(comparison.difference.is_none());
        self.with_cost += usize::from(comparison.cost.is_some());
        self.same_cost += usize::from(comparison.cost == Some(true));
        if let Some(difference) = comparison.difference {
            match difference.split_once("undeclared reference to '") {
                Some((_, rest)) => {
                    let name = rest.split('\'').next().unwrap();
                    *self.undeclared.entry(name.to_owned()).or_default() += 1;
                }
                None => self.different.push(format!("{key}: {difference}")),
            }
        }
    }

    fn merge(&mut self, other: Count) {
        self.asked += other.asked;
        self.same += other.same;
        self.same_cost += other.same_cost;
        self.with_cost += other.with_cost;
        self.not_applicable += other.not_applicable;
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let costs = format!("{}/{}", self.same_cost, self.with_cost);
        write!(f, "{:>6}{:>8}{costs:>10}{:>8}", self.asked, self.same, self.not_applicable)?;
        for (name, count) in &self.undeclared {
            write!(f, "  {name} ({count})")?;
        }
        self.different.iter().try_for_each(|difference| write!(f, "\n    {difference}"))
    }
}

struct Comparison {
    /// What differs, if anything does.
    difference: Option<String>,
    /// Whether the cost is the same, where there is one to compare.
    cost: Option<bool>,
}

/// Evaluates a question, and compares with the outcome that Kubernetes has.
fn compare(question: &Json, outcome: &Json) -> Comparison {
    let stage = outcome["stage"].as_str().unwrap();
    let (env, bound) = environment(question);
    let source = question["expr"].as_str().unwrap();
    let differs = |what: String| Comparison { difference: Some(what), cost: None };
    let program = match (env.compile(source, &[]), stage) {
        (Ok(program), "value" | "eval_error" | "checked") => program,
        (Ok(_), stage) => return differs(format!("compiles, which is a {stage} error: {source}")),
        (Err(error), "value" | "eval_error" | "checked") => {
            return differs(format!("`{}` for {source}", error.message()));
        }
        (Err(_), _) => return Comparison { difference: None, cost: None },
    };
    let arena = Arena::new();
    let values: Vec<Value<'_>> = bound.iter().map(Bound::value).collect();
    let run = Evaluation::new(&arena, &env, &values, &NoAnswers).run(&program);
    let cost = outcome["actual_cost"].as_u64().map(|cost| cost == run.cost);
    let difference = match (run.result, stage) {
        (Ok(_), "checked") | (Err(_), "eval_error") => None,
        (Ok(value), "value") => match outcome.get("value") {
            Some(expected) if !same(value, expected) => {
                Some(format!("{value:?}, not {expected}, for {source}"))
            }
            _ => None,
        },
        (Ok(value), _) => Some(format!("{value:?}, which is an error, for {source}")),
        (Err(error), _) => Some(format!("`{error}`, which is a value, for {source}")),
    };
    Comparison { difference, cost }
}

/// Whether a question can be asked of Kubernetes: it has no protobuf messages, and checks every expression.
fn applies(question: &Json) -> bool {
    let text = question.to_string();
    let words = ["message_type", "cel.expr.conformance", "wrapper", "TestAllTypes"];
    let text = ["Timestamp", "Duration"]
        .iter()
        .fold(text, |text, known| text.replace(&format!("google.protobuf.{known}"), ""));
    let has_messages =
        text.contains("google.protobuf.") || words.iter().any(|word| text.contains(word));
    let declares_functions = text.contains("\"function\"");
    let is_odd =
        ["container", "disable_check", "disable_macros"].iter().any(|f| !question[*f].is_null());
    let declared = question["type_env"].as_array().into_iter().flatten();
    let is_unbound =
        declared.clone().any(|d| question["bindings"][d["name"].as_str().unwrap()].is_null());
    let bound = question["bindings"].as_object().into_iter().flatten();
    let can_bind = bound.clone().all(|(_, value)| Bound::new(&value["value"]).is_some());
    !has_messages && !declares_functions && !is_odd && !is_unbound && can_bind
}

/// The environment that a question declares, and the values of its variables in order.
fn environment(question: &Json) -> (Env, Vec<Bound>) {
    let mut env = Env::kubernetes(Version::LATEST);
    let mut values = Vec::new();
    for (name, value) in question["bindings"].as_object().into_iter().flatten() {
        let declared = question["type_env"].as_array().into_iter().flatten();
        let declared = declared.clone().find(|declaration| declaration["name"] == **name);
        let ty = declared.map_or(Type::Dyn, |declaration| type_of(&declaration["ident"]["type"]));
        env = env.declare(name, ty);
        values.push(Bound::new(&value["value"]).unwrap());
    }
    (env, values)
}

fn type_of(ty: &Json) -> Type {
    let (kind, of) = ty.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), of.as_str().unwrap_or("")) {
        ("primitive", "BOOL") => Type::Bool,
        ("primitive", "INT64") => Type::Int,
        ("primitive", "UINT64") => Type::Uint,
        ("primitive", "DOUBLE") => Type::Double,
        ("primitive", "STRING") => Type::String,
        ("primitive", "BYTES") => Type::Bytes,
        ("well_known", "TIMESTAMP") => Type::Timestamp,
        ("well_known", "DURATION") => Type::Duration,
        ("null", _) => Type::Null,
        ("list_type", _) => Type::list(type_of(&of["elem_type"])),
        ("map_type", _) => Type::map(type_of(&of["key_type"]), type_of(&of["value_type"])),
        _ => Type::Dyn,
    }
}

/// A value for a variable, with what it borrows from.
enum Bound {
    Json(Document),
    Uint(u64),
    Bytes(Vec<u8>),
}

impl Bound {
    /// Of a value as the suite writes it; `None` where JSON has no such thing.
    fn new(value: &Json) -> Option<Self> {
        let (kind, of) = value.as_object()?.iter().next()?;
        match kind.as_str() {
            "uint64_value" => of.as_str()?.parse().ok().map(Bound::Uint),
            "bytes_value" => octets(of.as_str()?).map(Bound::Bytes),
            _ => json_of(value).map(|json| Bound::Json(Document::from_value(&json))),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Bound::Json(document) => Value::from_json(document.root()),
            Bound::Uint(number) => Value::Uint(*number),
            Bound::Bytes(octets) => Value::Bytes(octets),
        }
    }
}

fn json_of(value: &Json) -> Option<Json> {
    let (kind, of) = value.as_object()?.iter().next()?;
    match kind.as_str() {
        "int64_value" => of.as_str()?.parse::<i64>().ok().map(Json::from),
        "null_value" | "bool_value" | "string_value" => Some(of.clone()),
        "double_value" => of.as_f64().filter(|double| double.fract() != 0.0).map(Json::from),
        "list_value" => of["values"].as_array().into_iter().flatten().map(json_of).collect(),
        "map_value" => {
            let entries = of["entries"].as_array().into_iter().flatten();
            let entry = |entry: &Json| {
                Some((entry["key"]["string_value"].as_str()?.to_owned(), json_of(&entry["value"])?))
            };
            entries.map(entry).collect::<Option<serde_json::Map<_, _>>>().map(Json::Object)
        }
        _ => None,
    }
}

/// Whether a value is the one that the suite writes so.
fn same(value: Value<'_>, expected: &Json) -> bool {
    let (kind, of) = expected.as_object().unwrap().iter().next().unwrap();
    let text = of.as_str().unwrap_or("");
    match (value, kind.as_str()) {
        (Value::Null, "null_value") => true,
        (Value::Bool(is), "bool_value") => *of == is,
        (Value::Int(number), "int64_value") => text == number.to_string(),
        (Value::Uint(number), "uint64_value") => text == number.to_string(),
        (Value::Double(double), "double_value") => {
            let named = match text {
                "NaN" => f64::NAN,
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                _ => of.as_f64().unwrap(),
            };
            (double.is_nan() && named.is_nan()) || double.total_cmp(&named).is_eq()
        }
        (Value::String(is), "string_value") => is == text,
        (Value::Bytes(is), "bytes_value") => octets(text).is_some_and(|octets| octets == is),
        (Value::Type(name), "type_value") => name == text,
        (Value::Timestamp(at), "object_value") => {
            Timestamp::parse(of["value"].as_str().unwrap()) == Some(at)
        }
        (Value::Duration(long), "object_value") => {
            Duration::parse(of["value"].as_str().unwrap()) == Some(long)
        }
        (Value::List(list), "list_value") => {
            let expected: Vec<&Json> = of["values"].as_array().into_iter().flatten().collect();
            list.len() == expected.len() && list.iter().zip(expected).all(|(item, e)| same(item, e))
        }
        (Value::Map(map), "map_value") => {
            let expected: Vec<&Json> = of["entries"].as_array().into_iter().flatten().collect();
            let found = |entry: &&Json| {
                map.iter()
                    .any(|(key, value)| same(key, &entry["key"]) && same(value, &entry["value"]))
            };
            map.len() == expected.len() && expected.iter().all(found)
        }
        _ => false,
    }
}

/// Base64 into octets.
fn octets(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut octets, mut bits, mut width) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | DIGITS.iter().position(|d| *d == digit)? as u32;
        width += 6;
        if width >= 8 {
            width -= 8;
            octets.push((bits >> width) as u8);
            bits &= (1 << width) - 1;
        }
    }
    Some(octets)
}

/// The questions of a file of the suite, by `file/section/name`. A name that is there twice is left out.
fn questions(file: &Path, name: &str) -> BTreeMap<String, Json> {
    let (mut questions, mut twice) = (BTreeMap::new(), Vec::new());
    for section in read(file)["section"].as_array().into_iter().flatten() {
        for test in section["test"].as_array().into_iter().flatten() {
            let text = |json: &Json| json["name"].as_str().unwrap().to_owned();
            let key = format!("{name}/{}/{}", text(section), text(test));
            if questions.insert(key.clone(), test.clone()).is_some() {
                twice.push(key);
            }
        }
    }
    questions.retain(|key, _| !twice.contains(key));
    questions
}

fn data() -> Option<PathBuf> {
    let named = std::env::var_os("CEL_CONFORMANCE").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference");
    named.or(Some(beside)).filter(|folder| folder.join("cel-kubernetes").is_dir())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "json"));
    files.sort();
    files
}

fn read(file: &Path) -> Json {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}
