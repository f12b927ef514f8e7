//! What the checker promises: where it knew the type of every part of an expression, evaluation never finds that something
//! is of a wrong type.

use std::time::{Duration, Instant};

use portcullis::cel::{Env, Type, Version};
use serde_json::Value as Json;

use crate::case::{Case, ours};
use crate::number;

/// How long expressions are tried in every run of the tests.
const SECONDS: u64 = 2;

/// The words of evaluation for a value of a wrong type.
const WRONG_TYPE: [&str; 5] = [
    "no such overload",
    "unsupported index type",
    "expected iterable type",
    "interface conversion",
    "unsupported conversion",
];

/// What they also stand for: an error where a list was looked for, and text that is no address.
const ANOTHER_ERROR: [&str; 3] = ["*types.Err", "containsIP(", "containsCIDR("];

/// At least so many of a hundred expressions have to be typed, or the test tries nothing.
const TYPED_PERCENT_MIN: u64 = 5;

#[test]
fn what_was_checked_without_dyn_never_has_a_wrong_type() {
    let until = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS", SECONDS));
    let first = number("DIFFERENTIAL_SEED", 1).wrapping_mul(1_000_000_007);
    let (mut tried, mut typed) = (0, 0);
    while Instant::now() < until {
        let case = Case::typed(first.wrapping_add(tried));
        tried += 1;
        if !is_typed(&case) {
            continue;
        }
        typed += 1;
        let answer = ours(&case.question());
        let error = answer["error"].as_str().unwrap_or("");
        let says = |words: &[&str]| words.iter().any(|words| error.contains(words));
        let wrong = says(&WRONG_TYPE) && !says(&ANOTHER_ERROR);
        assert!(!wrong, "{}\n{answer}", case.question());
    }
    println!("{typed} of {tried} expressions were checked without `dyn`");
    assert!(typed * 100 >= tried * TYPED_PERCENT_MIN, "{typed} of {tried}");
}

/// Whether the checker knows all types. Holes are Kubernetes' own: `null` stands for a value of some other types, a test of a
/// way with `?` in it may be an optional, and a map may be indexed by what it can't be indexed by.
fn is_typed(case: &Case) -> bool {
    let source = case.expr.to_string();
    let types = case.inputs["var_types"].as_object().unwrap();
    let env = types
        .iter()
        .fold(Env::kubernetes(Version::LATEST), |env, (name, ty)| env.declare(name, declared(ty)));
    let has_hole = source.contains("null") || source.contains("has(") && source.contains('?');
    !has_hole && env.is_typed(&source).unwrap_or(false)
}

fn declared(name: &Json) -> Type {
    match name.as_str().unwrap() {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "duration" => Type::Duration,
        "int" => Type::Int,
        "string" => Type::String,
        "timestamp" => Type::Timestamp,
        "uint" => Type::Uint,
        other => panic!("no variable is of type {other}"),
    }
}
