//! One case: an expression and what it is evaluated over, in the format of `portcullis eval --jsonl`; and how two answers to
//! it differ.

use portcullis::cel::Version;
use portcullis::cli::eval::Inputs;
use serde_json::{Value as Json, json};

use crate::generate::{Generator, Known};
use crate::literals;
use crate::random::Random;
use crate::tree::Node;
use crate::types::{Ty, list, map, optional};

/// How deep expressions nest: deeper ones are seldom of use for finding anything, and slow.
const DEPTH_MAX: usize = 4;

/// Longer expressions are left out.
const BYTES_MAX: usize = 2_000;

#[derive(Clone)]
pub struct Case {
    pub expr: Node,
    /// Everything but the expression.
    pub inputs: Json,
}

impl Case {
    /// The case of a seed.
    pub fn of(seed: u64) -> Case {
        let random = &mut Random::new(seed);
        let bare = random.percent(65);
        let (mut inputs, known) = if bare { bare_inputs(random) } else { policy_inputs(random) };
        if random.percent(15) {
            inputs["version"] = json!(Version::v1(27 + random.below(10) as u8).to_string());
            inputs["stored"] = json!(false);
        }
        let has_mutation = inputs["env"] == "map";
        let mut generator = Generator { random, known, names: 0, has_mutation };
        let mut expr = loop {
            let depth = 1 + generator.random.below(DEPTH_MAX);
            let expr = generator.any(depth);
            if expr.to_string().len() <= BYTES_MAX {
                break expr;
            }
        };
        if random.percent(3) {
            let text = garbled(random, &expr.to_string());
            expr = Node::text(Ty::Null, text);
        }
        Case { expr, inputs }
    }

    /// The case of a seed in which every variable has a type.
    pub fn typed(seed: u64) -> Case {
        let random = &mut Random::new(seed);
        let (mut inputs, mut known) = bare_inputs(random);
        known.retain(|known| !matches!(known.name.as_str(), "o" | "l" | "m"));
        for part in ["vars", "var_types"] {
            let declared = inputs[part].as_object_mut().unwrap();
            declared.retain(|name, _| !matches!(name.as_str(), "o" | "l" | "m"));
        }
        let mut generator = Generator { random, known, names: 0, has_mutation: false };
        let depth = 1 + generator.random.below(DEPTH_MAX);
        Case { expr: generator.any(depth), inputs }
    }

    pub fn question(&self) -> Json {
        let mut question = self.inputs.clone();
        question["expr"] = json!(self.expr.to_string());
        question
    }
}

/// Variables of every type, and nothing else.
fn bare_inputs(random: &mut Random) -> (Json, Vec<Known>) {
    let object = literals::object(random, 3);
    let items = Json::Array((0..random.below(5)).map(|_| literals::json(random, 1)).collect());
    let vars = json!({
        "o": object.clone(), "l": items, "m": literals::object(random, 2), "s": literals::any_text(random),
        "i": *random.pick(&[0i64, 1, -3, 7, i64::MAX, i64::MIN]), "u": *random.pick(&[0u32, 1, 9]),
        "d": *random.pick(&[0.0f64, 0.5, -1.25, 1e300]), "t": random.percent(50), "b": *random.pick(&["", "YWJj", "/wA="]),
        "ts": "2024-02-29T12:34:56.789Z", "du": *random.pick(&["90m", "-1s", "0s"]),
    });
    let types = [
        ("l", "list", list(Ty::Dyn)),
        ("m", "map", map(Ty::String, Ty::Dyn)),
        ("s", "string", Ty::String),
        ("i", "int", Ty::Int),
        ("u", "uint", Ty::Uint),
        ("d", "double", Ty::Double),
        ("t", "bool", Ty::Bool),
        ("b", "bytes", Ty::Bytes),
        ("ts", "timestamp", Ty::Timestamp),
        ("du", "duration", Ty::Duration),
    ];
    let var_types: serde_json::Map<_, _> =
        types.iter().map(|(name, ty, _)| ((*name).to_owned(), json!(ty))).collect();
    let mut known: Vec<Known> =
        types.map(|(name, _, ty)| Known { name: name.to_owned(), ty, holds: None }).into();
    // Named thrice, so that paths into it are as frequent as all the others.
    for _ in 0..3 {
        known.push(Known { name: "o".to_owned(), ty: Ty::Dyn, holds: Some(object.clone()) });
    }
    (json!({"env": "base", "stored": true, "vars": vars, "var_types": var_types}), known)
}

/// What policies see.
fn policy_inputs(random: &mut Random) -> (Json, Vec<Known>) {
    let mut object = literals::object(random, 3);
    object["apiVersion"] = json!("apps/v1");
    object["kind"] = json!("Thing");
    object["metadata"] =
        json!({"name": "n", "namespace": "ns", "labels": literals::object(random, 0)});
    let mut inputs = json!({
        "env": if random.percent(80) { "vap" } else { "map" },
        "object": object.clone(),
        "request": {"userInfo": {"username": "u", "groups": ["g", "h"]}, "dryRun": random.percent(50)},
        "namespaceObject": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "labels": {"a": "b"}}},
        "authz": {"rules": [{"decision": "allow", "verb": "get", "reason": "r"}, {"decision": "deny", "verb": "list"},
            {"decision": "", "verb": "watch", "error": "e"}]},
    });
    let known = |name: &str, ty: Ty| Known { name: name.to_owned(), ty, holds: None };
    let json = |name: &str, value: &Json| Known {
        name: name.to_owned(),
        ty: Ty::Dyn,
        holds: Some(value.clone()),
    };
    let mut all = vec![
        json("object", &object),
        json("object", &object),
        known("request.operation", Ty::String),
        known("request.userInfo.username", Ty::String),
        known("request.userInfo.groups", list(Ty::String)),
        known("request.dryRun", Ty::Bool),
        known("request.kind.group", Ty::String),
        known("request.?subResource", optional(Ty::String)),
        known("namespaceObject.metadata.labels", map(Ty::String, Ty::String)),
        known("namespaceObject.metadata.name", Ty::String),
        known("authorizer", Ty::Opaque("kubernetes.authorization.Authorizer".to_owned())),
        known(
            "authorizer.requestResource",
            Ty::Opaque("kubernetes.authorization.ResourceCheck".to_owned()),
        ),
    ];
    if random.percent(50) {
        inputs["oldObject"] = object.clone();
        all.push(json("oldObject", &object));
    }
    if random.percent(50) {
        let params = literals::object(random, 2);
        inputs["params"] = params.clone();
        all.push(json("params", &params));
    }
    if random.percent(30) {
        let mut variables = Vec::new();
        for name in ["one", "two"] {
            let mut generator = Generator {
                random: &mut *random,
                known: all.clone(),
                names: 100,
                has_mutation: false,
            };
            let expression = generator.any(2);
            variables.push(json!({"name": name, "expression": expression.to_string()}));
            all.push(known(&format!("variables.?{name}"), optional(expression.ty.clone())));
            all.push(known(&format!("variables.{name}"), expression.ty));
        }
        inputs["variables"] = Json::Array(variables);
    }
    (inputs, all)
}

/// The text with something wrong in it.
fn garbled(random: &mut Random, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(2) {
        let at = random.below(chars.len());
        match random.below(4) {
            0 if chars.len() > 1 => drop(chars.remove(at)),
            1 => chars.insert(
                at,
                *random.pick(&[
                    '(', ')', '[', '.', ',', '?', ':', '-', '!', '\'', '"', '\\', 'u', '0', ' ',
                    '{', '}', '`', '/', 'é',
                ]),
            ),
            2 => chars.truncate(at + 1),
            _ => {
                let other = random.below(chars.len());
                chars.swap(at, other);
            }
        }
    }
    chars.into_iter().collect()
}

/// What we answer. A panic is an answer that nobody agrees with.
pub fn ours(question: &Json) -> Json {
    let answered = std::panic::catch_unwind(|| {
        let inputs: Inputs = serde_json::from_value(question.clone()).unwrap();
        serde_json::to_value(inputs.evaluate()).unwrap()
    });
    answered.unwrap_or_else(|_| json!({"outcome": "panic"}))
}

/// Whether docs/differences.md says that they differ: what is of the API server's own types, as the parts of `request` and
/// of `namespaceObject`, takes no key that is not text and no index that is not an int; and `variables` is nothing here
/// without a field.
pub fn is_documented(ours: &Json, theirs: &Json) -> bool {
    let bare = "undeclared reference to 'variables'";
    if ours["error"].as_str().is_some_and(|error| error.contains(bare)) {
        return true;
    }
    let texts = [&theirs["error"], &theirs["value"]["optional"]["string"]];
    let kinds = ["unsupported map key type: types.", "unsupported index type: types."];
    texts
        .iter()
        .any(|text| kinds.iter().any(|kind| text.as_str().is_some_and(|t| t.contains(kind))))
}

/// In what the two answers differ, if they do.
pub fn difference(ours: &Json, theirs: &Json) -> Option<&'static str> {
    // A panic of the library has no answer that could be compared.
    if theirs["outcome"] == "panic" && ours["outcome"] != "panic" {
        return None;
    }
    if ours["outcome"] != theirs["outcome"] {
        return Some(if ours["outcome"] == "panic" { "panic" } else { "outcome" });
    }
    if theirs["outcome"] == "compile_error" || theirs["outcome"] == "bad_input" {
        return None;
    }
    for part in ["output_type", "type", "value"] {
        if !same(&ours[part], &theirs[part]) {
            return Some(part);
        }
    }
    // Past a limit there may be no cost to compare, or one that no longer fits.
    let is_told = theirs["cost"].is_u64();
    (is_told && ours["cost"] != theirs["cost"]).then_some("cost")
}

/// Entries by the text of their keys.
fn in_order(entries: &Json) -> Json {
    let mut entries = entries.as_array().cloned().unwrap_or_default();
    // Go does not find what has this key again.
    let lost = |entry: &&mut Json| entry[0]["double"] == "NaN";
    entries.iter_mut().filter(lost).for_each(|entry| entry[1] = Json::Null);
    entries.sort_by_cached_key(|entry| entry[0].to_string());
    Json::Array(entries)
}

/// Numbers are the same when their bits are.
fn same(one: &Json, two: &Json) -> bool {
    match (one, two) {
        (Json::Number(one), Json::Number(two)) => {
            one.as_f64().map(f64::to_bits) == two.as_f64().map(f64::to_bits)
        }
        (Json::Array(one), Json::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| same(one, two))
        }
        // The entries of a map have no order; the texts that they are sorted by may be escaped otherwise.
        (Json::Object(one), Json::Object(two))
            if one.contains_key("map") && two.contains_key("map") =>
        {
            same(&in_order(&one["map"]), &in_order(&two["map"]))
        }
        // Go has no text for these but their place in memory.
        (Json::Object(one), Json::Object(two)) if one.contains_key("opaque") => {
            let ty = one["opaque"].as_str().unwrap();
            let is_place = |text: &Json| text.as_str().unwrap().contains(" 0x");
            let shown = !ty.contains("authorization")
                && !ty.contains("Format")
                && !is_place(&two["string"]);
            one["opaque"] == two["opaque"] && (!shown || one["string"] == two["string"])
        }
        (Json::Object(one), Json::Object(two)) => {
            one.len() == two.len()
                && one
                    .iter()
                    .all(|(key, value)| two.get(key).is_some_and(|other| same(value, other)))
        }
        (one, two) => one == two,
    }
}
