//! The words for arguments that a function does not take, which are those of cel-go: some functions name
//! themselves, some their arguments too, some neither.

use std::fmt::Write;

use crate::cel::fault::{Fault, FaultKind};
use crate::cel::value::{Arena, Value};

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
