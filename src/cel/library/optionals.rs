//! Values that may be absent.

use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, overload};
use crate::cel::value::{Context, List, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "optional.of",
        about: "An optional that holds a value.",
        overloads: &[overload("optional_of", "(<V>) -> optional_type(<V>)").since(28)],
        examples: &[("optional.of(1).value()", "1")],
        cost: None,
        run: of,
    },
    Function {
        name: "optional.ofNonZeroValue",
        about: "An optional that holds a value, unless it is the zero of its type.",
        overloads: &[overload("optional_ofNonZeroValue", "(<V>) -> optional_type(<V>)").since(28)],
        examples: &[("optional.ofNonZeroValue('').hasValue()", "false")],
        cost: None,
        run: of_non_zero,
    },
    Function {
        name: "optional.none",
        about: "An optional that holds nothing.",
        overloads: &[overload("optional_none", "() -> optional_type(<V>)").since(28)],
        examples: &[("optional.none().hasValue()", "false")],
        cost: None,
        run: none,
    },
    Function {
        name: "optional.unwrap",
        about: "The values that the optionals of a list hold.",
        overloads: &[
            overload("optional_unwrap", "(list(optional_type(<V>))) -> list(<V>)").since(28)
        ],
        examples: &[("optional.unwrap([optional.of(1), optional.none()])", "[1]")],
        cost: None,
        run: unwrap,
    },
    Function {
        name: "unwrapOpt",
        about: "The values that the optionals of a list hold.",
        overloads: &[
            overload("optional_unwrapOpt", "list(optional_type(<V>)).() -> list(<V>)").since(28)
        ],
        examples: &[("[optional.of(1), optional.none()].unwrapOpt()", "[1]")],
        cost: None,
        run: unwrap,
    },
    Function {
        name: "hasValue",
        about: "Whether an optional holds a value.",
        overloads: &[overload("optional_hasValue", "optional_type(<V>).() -> bool").since(28)],
        examples: &[("{'a': 1}.?a.hasValue()", "true")],
        cost: None,
        run: has_value,
    },
    Function {
        name: "value",
        about: "The value that an optional holds; an error if it holds none.",
        overloads: &[overload("optional_value", "optional_type(<V>).() -> <V>").since(28)],
        examples: &[("{'a': 1}.?a.value()", "1")],
        cost: None,
        run: value,
    },
    Function {
        name: "or",
        about: "The first of two optionals that holds a value.",
        overloads: &[overload(
            "optional_or_optional",
            "optional_type(<V>).(optional_type(<V>)) -> optional_type(<V>)",
        )
        .since(28)],
        examples: &[("optional.none().or(optional.of(1)).value()", "1")],
        cost: None,
        run: or,
    },
    Function {
        name: "orValue",
        about: "The value that an optional holds, or another.",
        overloads: &[
            overload("optional_orValue_value", "optional_type(<V>).(<V>) -> <V>").since(28)
        ],
        examples: &[("{'a': 1}.?b.orValue(2)", "2")],
        cost: None,
        run: or_value,
    },
    Function {
        name: "first",
        about: "The first element of a list, if it has one.",
        overloads: &[overload("list_first", "list(<V>).() -> optional_type(<V>)").since(28)],
        examples: &[("[1, 2].first().value()", "1")],
        cost: None,
        run: first,
    },
    Function {
        name: "last",
        about: "The last element of a list, if it has one.",
        overloads: &[overload("list_last", "list(<V>).() -> optional_type(<V>)").since(28)],
        examples: &[("[1, 2].last().value()", "2")],
        cost: None,
        run: last,
    },
];

fn some<'a>(context: Context<'a>, value: Value<'a>) -> Value<'a> {
    Value::Optional(Some(context.arena.keep(value)))
}

fn of<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value] => Ok(some(context, *value)),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn of_non_zero<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value] if is_zero(*value) => Ok(Value::Optional(None)),
        [value] => Ok(some(context, *value)),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn is_zero(value: Value<'_>) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) => true,
        Value::Double(number) => number == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(octets) => octets.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Duration(length) => length.0 == 0,
        Value::Timestamp(instant) => instant.is_zero(),
        Value::Struct(object) => object.fields.is_empty(),
        _ => false,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every function answers with an outcome")]
fn none<'a>(_: Context<'a>, _: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Optional(None))
}

fn unwrap<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let arena = context.arena;
    let [Value::List(list)] = args else { return Err(Fault::no_overload(arena)) };
    let mut values = arena.vec(0).map_err(|full| full.fault(arena))?;
    for element in list.iter() {
        match element {
            Value::Optional(inner) => values.extend(inner.copied()),
            other => {
                let message = format_args!("value {other} is not optional");
                return Err(Fault::text(arena, message));
            }
        }
    }
    Ok(Value::List(List::values(values.into_bump_slice())))
}

fn has_value<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn value<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(Some(inner))] => Ok(**inner),
        [Value::Optional(None)] => {
            Err(Fault::message(context.arena, "optional.none() dereference"))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn or<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [one @ Value::Optional(Some(_)), _] => Ok(*one),
        [Value::Optional(None), two @ Value::Optional(_)] => Ok(*two),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn or_value<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(Some(inner)), _] => Ok(**inner),
        [Value::Optional(None), other] => Ok(*other),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn first<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list)] => {
            Ok(list.get(0).map_or(Value::Optional(None), |element| some(context, element)))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn last<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list)] => {
            let last = list.len().checked_sub(1).and_then(|at| list.get(at));
            Ok(last.map_or(Value::Optional(None), |element| some(context, element)))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}
