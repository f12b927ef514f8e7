//! When two values are the same key of a map. It is not equality: a map of Kubernetes is one of Go, in which `1` and `1.0`
//! are two keys, NaN is another one each time, and a list is the same key as itself only.

use std::cmp::Ordering;
use std::mem::discriminant;
use std::ptr::from_ref;

use crate::cel::value::{Arena, Exhausted, Opaque, Value};

/// Whether Go can look the value up at all; it gives up on one that it can't.
pub(crate) fn is_key(value: Value<'_>) -> bool {
    !matches!(value, Value::Bytes(_) | Value::Opaque(Opaque::Semver(_) | Opaque::Format(_)))
}

/// Whether both are the same key.
pub(crate) fn same_key(one: Value<'_>, two: Value<'_>) -> bool {
    match (one, two) {
        (Value::String(one), Value::String(two)) | (Value::Type(one), Value::Type(two)) => {
            one == two
        }
        (Value::Double(one), Value::Double(two)) => one.partial_cmp(&two) == Some(Ordering::Equal),
        _ if order_of_keys(one, two).is_ne() => false,
        (Value::List(_) | Value::Map(_) | Value::Struct(_) | Value::Opaque(_), _) => {
            matches!(one, Value::Opaque(Opaque::Ip(_) | Opaque::Cidr(_))) || place(one).is_some()
        }
        (Value::Timestamp(one), Value::Timestamp(two)) => one.is_written_as(two),
        _ => true,
    }
}

/// The numbers of other types that a key is also looked up as, in turn.
pub(crate) fn other_numbers(key: Value<'_>) -> [Option<Value<'static>>; 2] {
    match key {
        Value::Int(number) => [u64::try_from(number).ok().map(Value::Uint), None],
        Value::Uint(number) => [i64::try_from(number).ok().map(Value::Int), None],
        Value::Double(number) if number.fract() == 0.0 => {
            let int = number > i64::MIN as f64 && number < i64::MAX as f64;
            let uint = number >= 0.0 && number < u64::MAX as f64;
            [int.then_some(Value::Int(number as i64)), uint.then_some(Value::Uint(number as u64))]
        }
        _ => [None, None],
    }
}

/// An order of keys in which those that are the same come together, and only keys that are the same as nothing else share
/// a place.
pub(crate) fn order_of_keys(one: Value<'_>, two: Value<'_>) -> Ordering {
    match (one, two) {
        (Value::String(one), Value::String(two)) | (Value::Type(one), Value::Type(two)) => {
            one.cmp(two)
        }
        (Value::Bool(one), Value::Bool(two)) => one.cmp(&two),
        (Value::Int(one), Value::Int(two)) => one.cmp(&two),
        (Value::Uint(one), Value::Uint(two)) => one.cmp(&two),
        // Adding makes -0.0 the same key as 0.0.
        (Value::Double(one), Value::Double(two)) => (one + 0.0).total_cmp(&(two + 0.0)),
        (Value::Timestamp(one), Value::Timestamp(two)) => one.cmp(&two),
        (Value::Duration(one), Value::Duration(two)) => one.cmp(&two),
        (Value::Opaque(Opaque::Ip(one)), Value::Opaque(Opaque::Ip(two))) => one.cmp(two),
        (Value::Opaque(Opaque::Cidr(one)), Value::Opaque(Opaque::Cidr(two))) => {
            one.to_string().cmp(&two.to_string())
        }
        _ if discriminant(&one) == discriminant(&two) => place(one).cmp(&place(two)),
        _ => one.type_name().cmp(two.type_name()),
    }
}

/// Where a value lies that is the same as itself only.
fn place(value: Value<'_>) -> Option<(usize, u32)> {
    let at = |address: usize| (address, 0);
    match value {
        Value::List(list) => list.place(),
        Value::Map(map) => Some(map.place()),
        Value::Optional(inner) => inner.map(|inner| at(from_ref(inner).addr())),
        Value::Struct(object) => Some(at(object.fields.as_ptr().addr())),
        Value::Opaque(Opaque::Quantity(quantity)) => Some(at(from_ref(quantity).addr())),
        Value::Opaque(Opaque::Url(url)) => Some(at(from_ref(url).addr())),
        _ => None,
    }
}

/// The value as Go has it that converts what lies in a document whenever it is reached: at a place of its own.
pub(crate) fn anew<'a>(value: Value<'a>, arena: &'a Arena) -> Result<Value<'a>, Exhausted> {
    Ok(match value {
        Value::List(list) => Value::List(list.anew(arena)?),
        Value::Map(map) => Value::Map(map.anew(arena)?),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::value::List;

    #[test]
    fn keys_are_the_same_as_in_a_map_of_go() {
        let (ones, others) = ([Value::Int(1)], [Value::Int(1)]);
        let list = Value::List(List::values(&ones));
        for (one, two, expect) in [
            (Value::Int(1), Value::Int(1), true),
            (Value::Int(1), Value::Uint(1), false),
            (Value::Int(1), Value::Double(1.0), false),
            (Value::Double(0.0), Value::Double(-0.0), true),
            (Value::Double(f64::NAN), Value::Double(f64::NAN), false),
            (Value::Null, Value::Null, true),
            (Value::Optional(None), Value::Optional(None), true),
            (list, list, true),
            (list, Value::List(List::values(&others)), false),
            (Value::String("int"), Value::Type("int"), false),
        ] {
            assert_eq!(same_key(one, two), expect, "{one:?} {two:?}");
        }
    }
}
