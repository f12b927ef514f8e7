//! The words for arguments that a function does not take, which are those of cel-go: some functions name
//! themselves, some their arguments too, some neither.

use std::fmt::Write;

use crate::cel::fault::{Fault, FaultKind};
use crate::cel::types::Type;
use crate::cel::value::{Arena, Opaque, Value};

/// The fault of a call of the function with arguments that it does not take.
#[cold]
pub(crate) fn mismatch<'a>(function: &str, args: &[Value<'_>], arena: &'a Arena) -> &'a Fault<'a> {
    let names_itself = match (function, args.first()) {
        ("contains" | "startsWith" | "endsWith" | "@in", _) => return Fault::no_overload(arena),
        ("size", Some(first)) => !matches!(first, Value::String(_)),
        ("matches", Some(first)) => !matches!(first, Value::String(_)),
        (operator, Some(first)) if operator.contains('_') => !dispatches(operator, *first),
        _ => {
            let types: Vec<&str> = args.iter().map(|arg| arg.type_name()).collect();
            let mut text = arena.writer();
            return match write!(text, "no such overload: {function}({})", types.join(", ")) {
                Ok(()) => Fault::new(arena, FaultKind::Message(text.finish())),
                Err(std::fmt::Error) => Fault::no_overload(arena),
            };
        }
    };
    if names_itself {
        Fault::text(arena, format_args!("no such overload: {function}"))
    } else {
        Fault::no_overload(arena)
    }
}

/// Whether a value has this operator for some second operand, or answers calls of any kind.
fn dispatches(operator: &str, first: Value<'_>) -> bool {
    use Value as V;
    let number = matches!(first, V::Int(_) | V::Uint(_) | V::Double(_));
    let answers_any = matches!(first, V::String(_) | V::Duration(_) | V::Timestamp(_));
    answers_any
        || match operator {
            "_+_" => number || matches!(first, V::Bytes(_) | V::List(_)),
            "_-_" | "_*_" | "_/_" => number,
            "_%_" => matches!(first, V::Int(_) | V::Uint(_)),
            "!_" | "-_" => matches!(first, V::Bool(_) | V::Int(_) | V::Double(_)),
            _ => number || matches!(first, V::Bool(_) | V::Bytes(_)),
        }
}

/// Whether the arguments are of these types, as far as cel-go looks: of lists and maps at the first element.
pub(crate) fn takes(types: &[Type], args: &[Value<'_>]) -> bool {
    types.len() == args.len() && types.iter().zip(args).all(|(ty, arg)| is_of(ty, *arg))
}

fn is_of(ty: &Type, value: Value<'_>) -> bool {
    match (ty, value) {
        (Type::Dyn | Type::Param(_), _) => true,
        (Type::List(of), Value::List(list)) => list.get(0).is_none_or(|first| is_of(of, first)),
        (Type::Map(of), Value::Map(map)) => {
            map.entry(0).is_none_or(|(key, value)| is_of(&of.0, key) && is_of(&of.1, value))
        }
        (ty, value) => ty.name() == value.type_name(),
    }
}

/// The end of an evaluation in which the elements of something that is no list would be compared to
/// find its cost: cel-go panics then. Nothing is given for an argument that is an error.
#[cold]
pub(crate) fn not_a_list<'a>(value: Option<Value<'_>>, arena: &'a Arena) -> &'a Fault<'a> {
    let (name, missing) = value.map_or(("*types.Err", "Add"), |value| (go_name(value), "Contains"));
    let text =
        format_args!("interface conversion: {name} is not traits.Lister: missing method {missing}");
    internal(text, arena)
}

/// The same for how deep lists are to be flattened.
#[cold]
pub(crate) fn not_a_depth<'a>(value: Option<Value<'_>>, arena: &'a Arena) -> &'a Fault<'a> {
    let name = value.map_or("*types.Err", go_name);
    internal(format_args!("interface conversion: ref.Val is {name}, not types.Int"), arena)
}

/// The same for a key that Go can't look up in a map, because what it is made of has no hash.
#[cold]
pub(crate) fn not_a_key<'a>(value: Value<'_>, arena: &'a Arena) -> &'a Fault<'a> {
    let name = go_name(value);
    internal(format_args!("runtime error: hash of unhashable type {name}"), arena)
}

fn internal<'a>(what: std::fmt::Arguments<'_>, arena: &'a Arena) -> &'a Fault<'a> {
    match Fault::text(arena, what).kind {
        FaultKind::Message(text) => Fault::new(arena, FaultKind::Internal(text)),
        kind => Fault::new(arena, kind),
    }
}

/// What Go calls the type of a value.
pub(crate) fn go_name(value: Value<'_>) -> &'static str {
    match value {
        Value::Null => "types.Null",
        Value::Bool(_) => "types.Bool",
        Value::Int(_) => "types.Int",
        Value::Uint(_) => "types.Uint",
        Value::Double(_) => "types.Double",
        Value::String(_) => "types.String",
        Value::Bytes(_) => "types.Bytes",
        Value::Timestamp(_) => "types.Timestamp",
        Value::Duration(_) => "types.Duration",
        Value::List(_) => "*types.baseList",
        Value::Map(_) => "*types.baseMap",
        Value::Optional(_) => "*types.Optional",
        Value::Opaque(Opaque::Semver(_)) => "cel.Semver",
        Value::Opaque(Opaque::Format(_)) => "cel.Format",
        _ => "*types.Type",
    }
}
