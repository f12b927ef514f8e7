//! Properties of the room: agreement with serde_json on any text, and patches that lead from any value to any other.

use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

use crate::json::patch::{Patch, apply, diff};
use crate::json::{DEPTH_MAX, Document, Kind, Node, SyntaxErrorKind};

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|int| json!(int)),
        any::<u64>().prop_map(|int| json!(int)),
        (0..4_i64).prop_map(|int| json!(int)),
        prop::num::f64::NORMAL.prop_map(|double| json!(double)),
        strings().prop_map(Value::String),
    ]
}

fn strings() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab/~]{0,3}".prop_map(String::from),
        prop::collection::vec(any::<char>(), 0..12).prop_map(|chars| chars.into_iter().collect()),
        "[a-z\"\\\\\n\u{0}-\u{1f}é😀]{0,20}".prop_map(String::from),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    scalars().prop_recursive(5, 80, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec((strings(), inner), 0..24)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Values with few different parts, so that two of them have much in common.
fn alike() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![Just(json!(null)), (0..3).prop_map(|i| json!(i)), Just(json!("x"))];
    scalar.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec(("[a-c]", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Numbers as the room decodes them: what does not fit `i64` is a double.
fn decoded(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.as_i64().is_none() => {
            number.as_f64().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
        }
        Value::Array(elements) => elements.iter().map(decoded).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(k, v)| (k.clone(), decoded(v))).collect())
        }
        other => other.clone(),
    }
}

fn every_member_is_found(node: Node<'_>) -> bool {
    match node.kind() {
        Kind::Array(array) => array.iter().all(every_member_is_found),
        Kind::Object(object) => object.iter().all(|(key, node)| {
            object.get(key).map(Node::id) == Some(node.id()) && every_member_is_found(node)
        }),
        _ => true,
    }
}

/// What serde_json takes and we refuse: duplicate keys and great depth; it refuses nothing that we take but `-0`-like
/// differences in numbers.
fn agrees(text: &[u8]) -> Result<(), TestCaseError> {
    match (Document::parse(text.to_vec()), serde_json::from_slice::<Value>(text)) {
        (Ok(document), Ok(value)) => {
            let made = Document::from_value(&value);
            prop_assert_eq!(document.root(), made.root());
        }
        (Err(_), Err(_)) => {}
        (Err(error), Ok(_)) => {
            prop_assert!(matches!(error.kind, SyntaxErrorKind::DuplicateKey(_)), "{}", error);
        }
        (Ok(_), Err(error)) => {
            // serde_json stops at 128 levels.
            prop_assert!(error.to_string().contains("recursion limit"), "{}", error);
        }
    }
    Ok(())
}

/// Everything that recurses, on the deepest document there can be, within the stack of an ordinary thread.
#[test]
fn the_deepest_document_fits_the_stack() {
    let half = DEPTH_MAX / 2;
    let text = format!("{}1{}", "[{\"a\":".repeat(half), "}]".repeat(half));
    let document = Document::parse(text.clone().into()).unwrap();
    let again = Document::parse(text.clone().into()).unwrap();
    assert!(document.root() == again.root());
    assert_eq!(document.root().text(), text);
    let value = document.root().to_value();
    assert_eq!(Document::from_value(&value).root().text(), text);
    let other = Document::parse(text.replace('1', "2").into()).unwrap().root().to_value();
    let patch = diff(&value, &other);
    let mut patched = value;
    apply(&mut patched, &patch).unwrap();
    assert_eq!((patched, patch.0.len()), (other, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_survives_the_round_trip(value in values(), pretty: bool) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        let document = Document::parse(text).unwrap();
        prop_assert_eq!(document.root().to_value(), decoded(&value));
        prop_assert!(every_member_is_found(document.root()));
        let again = Document::parse(document.root().text().into()).unwrap();
        prop_assert_eq!(again.root().to_value(), decoded(&value));
        let made = Document::from_value(&value);
        prop_assert_eq!(made.root(), document.root());
        prop_assert!(every_member_is_found(made.root()));
    }

    #[test]
    fn any_change_of_bytes_is_judged_as_serde_json_does(
        value in values(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            any::<u8>(), prop::sample::select(b"{}[],:\"\\u0-1.eE+ \n".to_vec()),
        ], 0..3_u8), 1..4),
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        for (at, byte, how) in changes {
            let at = at.index(text.len() + 1);
            match how {
                0 if at < text.len() => text[at] = byte,
                1 => text.insert(at, byte),
                _ => text.truncate(at),
            }
        }
        agrees(&text)?;
    }

    #[test]
    fn any_bytes_are_judged_as_serde_json_does(text in prop::collection::vec(
        prop::sample::select(b"{}[],:\"\\ua0-1.eE+ \ntrfalsn\xc3\xa9".to_vec()), 0..24,
    )) {
        agrees(&text)?;
    }

    #[test]
    fn a_difference_applied_gives_the_other(from in alike(), to in alike()) {
        let patch = diff(&from, &to);
        let patch = Patch::parse(patch.text().as_bytes()).unwrap();
        let mut value = from.clone();
        apply(&mut value, &patch).unwrap();
        prop_assert_eq!(value, to.clone());
        prop_assert_eq!(patch.is_empty(), from == to);
    }

    #[test]
    fn any_patch_applies_or_changes_nothing(document in alike(), operations in prop::collection::vec(
        ("add|remove|replace|move|copy|test", "(/[a-c0-2-]){0,3}", "(/[a-c0-2-]){0,3}", alike()), 0..6,
    )) {
        let operations: Vec<Value> = operations
            .into_iter()
            .map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}))
            .collect();
        let patch: Patch = serde_json::from_value(json!(operations)).unwrap();
        let mut value = document.clone();
        if apply(&mut value, &patch).is_err() {
            prop_assert_eq!(value, document);
        }
    }
}
