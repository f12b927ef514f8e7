//! The names of the types of objects that an expression makes: each says where it belongs, `Object.spec` in the `spec` of an
//! `Object`. The checker takes any name; what was made is looked through here. Only what the expression itself wrote out
//! is: what comes from a document, out of an optional or from two lists that were joined holds no names any more.
//!
//! Source: `CheckTypeNamesMatchFieldPathNames` of `k8s.io/apiserver/pkg/cel/mutation/dynamic`.

use crate::cel::{Origin, Value};

/// Checks the names in a value, if it is an object that an expression made.
///
/// # Errors
/// A line for each name that is not that of its place.
pub(in crate::policy) fn check_type_names(value: Value<'_>) -> Result<(), String> {
    let Value::Struct(object) = value else { return Ok(()) };
    let mut errors = Vec::new();
    check(value, &mut object.name.to_owned(), &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(format!("type mismatch: {}", errors.join("\n"))) }
}

/// How many wrong names are told. Nobody reads more.
const ERRORS_MAX: usize = 100;

fn check(value: Value<'_>, expected: &mut String, errors: &mut Vec<String>) {
    if errors.len() >= ERRORS_MAX {
        return;
    }
    match value {
        Value::Struct(object) => {
            if object.name != expected {
                errors.push(format!(
                    "unexpected type name \"{}\", expected \"{expected}\", which matches field name path from root Object type",
                    object.name
                ));
            }
            for (field, value) in object.fields {
                let len = expected.len();
                expected.push('.');
                expected.push_str(field);
                check(*value, expected, errors);
                expected.truncate(len);
            }
        }
        Value::List(list) if list.origin() == Origin::Made => {
            list.iter().for_each(|element| check(element, expected, errors));
        }
        Value::Map(map) if map.origin() == Origin::Made => {
            map.iter().for_each(|(_, member)| check(member, expected, errors));
        }
        Value::Optional(Some(inner)) if !matches!(inner, Value::Struct(_)) => {
            check(*inner, expected, errors);
        }
        _ => {}
    }
}
