//! Equality and order. Numbers of different types compare by what they are worth; values of types
//! that have nothing in common are unequal and have no order.

use std::cmp::Ordering;

use crate::cel::value::{Map, Struct, Value};

/// Whether two values are equal: a list is not a string.
pub(crate) fn equal(one: Value<'_>, two: Value<'_>) -> bool {
    equality(one, two) == Some(true)
}

/// Whether two values are equal; `None` where asking is an error, because one is of a library's type
/// and the other is not. Within lists and maps Kubernetes takes such an error for equality.
pub(crate) fn equality(one: Value<'_>, two: Value<'_>) -> Option<bool> {
    Some(match (one, two) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Bool(one), Value::Bool(two)) => one == two,
        (Value::String(one), Value::String(two)) | (Value::Type(one), Value::Type(two)) => {
            one == two
        }
        (Value::Bytes(one), Value::Bytes(two)) => one == two,
        (Value::List(one), Value::List(two)) => {
            one.len() == two.len()
                && one.iter().zip(two.iter()).all(|(one, two)| equality(one, two) != Some(false))
        }
        (Value::Map(one), Value::Map(two)) => maps_equal(one, two),
        (Value::Timestamp(one), Value::Timestamp(two)) => one == two,
        (Value::Duration(one), Value::Duration(two)) => one == two,
        (Value::Optional(one), Value::Optional(two)) => match (one, two) {
            (Some(one), Some(two)) => return equality(*one, *two),
            (one, two) => one.is_none() && two.is_none(),
        },
        (Value::Struct(one), Value::Struct(two)) => structs_equal(one, two),
        (Value::Opaque(one), Value::Opaque(two)) => return one.equality(two),
        (Value::Opaque(_), _) => return None,
        _ => numbers(one, two) == Some(Ordering::Equal),
    })
}

fn maps_equal(one: Map<'_>, two: Map<'_>) -> bool {
    one.len() == two.len()
        && one.iter().all(|(key, value)| {
            two.get(key).is_some_and(|other| equality(value, other) != Some(false))
        })
}

fn structs_equal(one: Struct<'_>, two: Struct<'_>) -> bool {
    one.name == two.name
        && one.fields.len() == two.fields.len()
        && one
            .fields
            .iter()
            .all(|(name, value)| two.get(name).is_some_and(|other| equal(*value, other)))
}

/// Which comes first; `None` where there is no order, as between NaN and anything.
pub(crate) fn compare(one: Value<'_>, two: Value<'_>) -> Option<Ordering> {
    match (one, two) {
        (Value::Bool(one), Value::Bool(two)) => Some(one.cmp(&two)),
        (Value::String(one), Value::String(two)) => Some(one.cmp(two)),
        (Value::Bytes(one), Value::Bytes(two)) => Some(one.cmp(two)),
        (Value::Timestamp(one), Value::Timestamp(two)) => Some(one.cmp(&two)),
        (Value::Duration(one), Value::Duration(two)) => Some(one.cmp(&two)),
        _ => numbers(one, two),
    }
}

fn numbers(one: Value<'_>, two: Value<'_>) -> Option<Ordering> {
    match (one, two) {
        (Value::Int(one), Value::Int(two)) => Some(one.cmp(&two)),
        (Value::Uint(one), Value::Uint(two)) => Some(one.cmp(&two)),
        (Value::Double(one), Value::Double(two)) => one.partial_cmp(&two),
        (Value::Int(one), Value::Uint(two)) => Some(i128::from(one).cmp(&i128::from(two))),
        (Value::Uint(one), Value::Int(two)) => Some(i128::from(one).cmp(&i128::from(two))),
        (Value::Int(one), Value::Double(two)) => with_double(i64::MIN as f64, one as f64, two),
        (Value::Uint(one), Value::Double(two)) => with_double(0.0, one as f64, two),
        (Value::Double(one), Value::Int(two)) => {
            with_double(i64::MIN as f64, two as f64, one).map(Ordering::reverse)
        }
        (Value::Double(one), Value::Uint(two)) => {
            with_double(0.0, two as f64, one).map(Ordering::reverse)
        }
        _ => None,
    }
}

/// An integer, as a double, against a double that may lie outside the integer's range.
fn with_double(least: f64, integer: f64, double: f64) -> Option<Ordering> {
    if double < least { Some(Ordering::Greater) } else { integer.partial_cmp(&double) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_across_types() {
        for (one, two, expect) in [
            (Value::Int(1), Value::Uint(1), Some(Ordering::Equal)),
            (Value::Int(-1), Value::Uint(u64::MAX), Some(Ordering::Less)),
            (Value::Double(1.5), Value::Int(1), Some(Ordering::Greater)),
            (Value::Double(f64::NAN), Value::Int(1), None),
            (Value::Double(1e300), Value::Uint(u64::MAX), Some(Ordering::Greater)),
            (Value::Uint(0), Value::Double(-0.5), Some(Ordering::Greater)),
            (Value::String("b"), Value::String("a"), Some(Ordering::Greater)),
            (Value::String("1"), Value::Int(1), None),
        ] {
            assert_eq!(compare(one, two), expect, "{one:?} {two:?}");
            assert_eq!(equal(one, two), expect == Some(Ordering::Equal), "{one:?} {two:?}");
        }
    }
}
