//! The operators, as the functions that the checker sees. The evaluator has steps of its own for equality,
//! logic and choice.

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, Overload, function, not_a_key, overload};
use crate::cel::time::Duration;
use crate::cel::value::{Context, Value, compare, equal, is_key};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "_==_",
        "Whether two values are equal; numbers compare across types.",
        &[overload("equals", "(<A>, <A>) -> bool")],
        &[("1 == dyn(1.0)", "true"), ("[1] == [1]", "true")],
        no_overload,
    ),
    function(
        "_!=_",
        "Whether two values differ.",
        &[overload("not_equals", "(<A>, <A>) -> bool")],
        &[("'a' != 'b'", "true")],
        no_overload,
    ),
    function(
        "_&&_",
        "Whether all terms are true; one that is false decides, whatever error another has.",
        &[overload("logical_and", "(bool, bool) -> bool")],
        &[("false && 1 / 0 == 1", "false")],
        no_overload,
    ),
    function(
        "_||_",
        "Whether some term is true; one that is decides, whatever error another has.",
        &[overload("logical_or", "(bool, bool) -> bool")],
        &[("1 / 0 == 1 || true", "true")],
        no_overload,
    ),
    function(
        "!_",
        "The opposite of a truth value.",
        &[overload("logical_not", "(bool) -> bool")],
        &[("!false", "true")],
        no_overload,
    ),
    function(
        "_?_:_",
        "One of two values; the other is not evaluated.",
        &[overload("conditional", "(bool, <A>, <A>) -> <A>")],
        &[("true ? 1 : 2", "1")],
        no_overload,
    ),
    function(
        "_[_]",
        "The element of a list or the value of a key.",
        &[
            overload("index_list", "(list(<A>), int) -> <A>"),
            overload("index_map", "(map(<A>, <B>), <A>) -> <B>"),
            overload(
                "optional_list_index_int",
                "(optional_type(list(<V>)), int) -> optional_type(<V>)",
            )
            .since(28),
            overload(
                "optional_map_index_value",
                "(optional_type(map(<K>, <V>)), <K>) -> optional_type(<V>)",
            )
            .since(28),
        ],
        &[("[1, 2][1]", "2"), ("{'a': 1}['a']", "1")],
        no_overload,
    ),
    function(
        "_[?_]",
        "The element of a list or the value of a key, if it is there.",
        &[
            overload("list_optindex_optional_int", "(list(<V>), int) -> optional_type(<V>)")
                .since(28),
            overload(
                "optional_list_optindex_optional_int",
                "(optional_type(list(<V>)), int) -> optional_type(<V>)",
            )
            .since(28),
            overload("map_optindex_optional_value", "(map(<K>, <V>), <K>) -> optional_type(<V>)")
                .since(28),
            overload(
                "optional_map_optindex_optional_value",
                "(optional_type(map(<K>, <V>)), <K>) -> optional_type(<V>)",
            )
            .since(28),
        ],
        &[("[1][?5].hasValue()", "false")],
        no_overload,
    ),
    function(
        "@in",
        "Whether a list has an element or a map has a key.",
        &[
            overload("in_list", "(<A>, list(<A>)) -> bool")
                .costs(Charge::Args(|args| cost::size(args, 1))),
            overload("in_map", "(<A>, map(<A>, <B>)) -> bool"),
        ],
        &[("1 in [1, 2]", "true"), ("'a' in {'b': 1}", "false")],
        contains,
    ),
    function("_<_", "Whether the first comes before the second.", LESS, &[("1 < 2", "true")], less),
    function(
        "_<=_",
        "Whether the first does not come after the second.",
        LESS_EQUALS,
        &[("2 <= 2u", "true")],
        less_equals,
    ),
    function(
        "_>_",
        "Whether the first comes after the second.",
        GREATER,
        &[("'b' > 'a'", "true")],
        greater,
    ),
    function(
        "_>=_",
        "Whether the first does not come before the second.",
        GREATER_EQUALS,
        &[("1.5 >= 1.0", "true")],
        greater_equals,
    ),
    function(
        "_+_",
        "The sum of numbers; lists, texts and octets joined.",
        &[
            overload("add_bytes", "(bytes, bytes) -> bytes").costs(JOIN),
            overload("add_double", "(double, double) -> double"),
            overload(
                "add_duration_duration",
                "(google.protobuf.Duration, google.protobuf.Duration) -> google.protobuf.Duration",
            ),
            overload(
                "add_duration_timestamp",
                "(google.protobuf.Duration, google.protobuf.Timestamp) -> google.protobuf.Timestamp",
            ),
            overload(
                "add_timestamp_duration",
                "(google.protobuf.Timestamp, google.protobuf.Duration) -> google.protobuf.Timestamp",
            ),
            overload("add_int64", "(int, int) -> int"),
            overload("add_list", "(list(<A>), list(<A>)) -> list(<A>)"),
            overload("add_string", "(string, string) -> string").costs(JOIN),
            overload("add_uint64", "(uint, uint) -> uint"),
        ],
        &[("'a' + 'b'", "\"ab\""), ("[1] + [2]", "[1, 2]")],
        add,
    ),
    function(
        "_-_",
        "The difference.",
        &[
            overload("subtract_double", "(double, double) -> double"),
            overload(
                "subtract_duration_duration",
                "(google.protobuf.Duration, google.protobuf.Duration) -> google.protobuf.Duration",
            ),
            overload("subtract_int64", "(int, int) -> int"),
            overload(
                "subtract_timestamp_duration",
                "(google.protobuf.Timestamp, google.protobuf.Duration) -> google.protobuf.Timestamp",
            ),
            overload(
                "subtract_timestamp_timestamp",
                "(google.protobuf.Timestamp, google.protobuf.Timestamp) -> google.protobuf.Duration",
            ),
            overload("subtract_uint64", "(uint, uint) -> uint"),
        ],
        &[("5 - 3", "2")],
        subtract,
    ),
    function(
        "_*_",
        "The product.",
        &[
            overload("multiply_double", "(double, double) -> double"),
            overload("multiply_int64", "(int, int) -> int"),
            overload("multiply_uint64", "(uint, uint) -> uint"),
        ],
        &[("2 * 3", "6")],
        multiply,
    ),
    function(
        "_/_",
        "The quotient; of integers the whole part.",
        &[
            overload("divide_double", "(double, double) -> double"),
            overload("divide_int64", "(int, int) -> int"),
            overload("divide_uint64", "(uint, uint) -> uint"),
        ],
        &[("7 / 2", "3")],
        divide,
    ),
    function(
        "_%_",
        "The remainder, with the sign of the first.",
        &[
            overload("modulo_int64", "(int, int) -> int"),
            overload("modulo_uint64", "(uint, uint) -> uint"),
        ],
        &[("-7 % 3", "-1")],
        modulo,
    ),
    function(
        "-_",
        "The negative.",
        &[
            overload("negate_double", "(double) -> double"),
            overload("negate_int64", "(int) -> int"),
        ],
        &[("-(1)", "-1")],
        negate,
    ),
];

const JOIN: Charge =
    Charge::Args(|args| cost::traverse(cost::size(args, 0).saturating_add(cost::size(args, 1))));

const SHORTER: Charge =
    Charge::Args(|args| cost::traverse(cost::size(args, 0).min(cost::size(args, 1))));

macro_rules! ordering {
    ($name:literal) => {
        &[
            overload(concat!($name, "_bool"), "(bool, bool) -> bool"),
            overload(concat!($name, "_int64"), "(int, int) -> bool"),
            overload(concat!($name, "_int64_double"), "(int, double) -> bool").since(28),
            overload(concat!($name, "_int64_uint64"), "(int, uint) -> bool").since(28),
            overload(concat!($name, "_uint64"), "(uint, uint) -> bool"),
            overload(concat!($name, "_uint64_double"), "(uint, double) -> bool").since(28),
            overload(concat!($name, "_uint64_int64"), "(uint, int) -> bool").since(28),
            overload(concat!($name, "_double"), "(double, double) -> bool"),
            overload(concat!($name, "_double_int64"), "(double, int) -> bool").since(28),
            overload(concat!($name, "_double_uint64"), "(double, uint) -> bool").since(28),
            overload(concat!($name, "_string"), "(string, string) -> bool").costs(SHORTER),
            overload(concat!($name, "_bytes"), "(bytes, bytes) -> bool").costs(SHORTER),
            overload(
                concat!($name, "_timestamp"),
                "(google.protobuf.Timestamp, google.protobuf.Timestamp) -> bool",
            ),
            overload(
                concat!($name, "_duration"),
                "(google.protobuf.Duration, google.protobuf.Duration) -> bool",
            ),
        ]
    };
}

const LESS: &[Overload] = ordering!("less");
const LESS_EQUALS: &[Overload] = ordering!("less_equals");
const GREATER: &[Overload] = ordering!("greater");
const GREATER_EQUALS: &[Overload] = ordering!("greater_equals");

const INT_OVERFLOW: &str = "integer overflow";
const UINT_OVERFLOW: &str = "unsigned integer overflow";
const TIMESTAMP_OVERFLOW: &str = "timestamp overflow";
const DURATION_OVERFLOW: &str = "duration overflow";

/// What the evaluator has a step for, or types that do not go together.
fn no_overload<'a>(context: Context<'a>, _: &[Value<'a>]) -> Outcome<'a> {
    Err(Fault::no_overload(context.arena))
}

fn contains<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [element, Value::List(list)] => Ok(Value::Bool(list.iter().any(|e| equal(*element, e)))),
        [key, Value::Map(map)] if map.is_hashed() && !is_key(*key) => {
            Err(not_a_key(*key, context.arena))
        }
        [key, Value::Map(map)] => Ok(Value::Bool(map.get(*key).is_some())),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn ordered<'a>(
    context: Context<'a>,
    args: &[Value<'a>],
    holds: fn(std::cmp::Ordering) -> bool,
) -> Outcome<'a> {
    let [one, two] = args else { return Err(Fault::no_overload(context.arena)) };
    match compare(*one, *two) {
        Some(order) => Ok(Value::Bool(holds(order))),
        None if is_nan(*one) || is_nan(*two) => {
            Err(Fault::message(context.arena, "NaN values cannot be ordered"))
        }
        None => Err(Fault::no_overload(context.arena)),
    }
}

fn is_nan(value: Value<'_>) -> bool {
    matches!(value, Value::Double(number) if number.is_nan())
}

fn less<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    ordered(context, args, std::cmp::Ordering::is_lt)
}

fn less_equals<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    ordered(context, args, std::cmp::Ordering::is_le)
}

fn greater<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    ordered(context, args, std::cmp::Ordering::is_gt)
}

fn greater_equals<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    ordered(context, args, std::cmp::Ordering::is_ge)
}

/// The value, or the words that say why there is none.
fn or_fault<'a>(
    context: Context<'a>,
    value: Option<Value<'a>>,
    words: &'static str,
) -> Outcome<'a> {
    value.ok_or_else(|| Fault::message(context.arena, words))
}

fn add<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let arena = context.arena;
    let [one, two] = args else { return Err(Fault::no_overload(arena)) };
    match (*one, *two) {
        (Value::Int(a), Value::Int(b)) => {
            or_fault(context, a.checked_add(b).map(Value::Int), INT_OVERFLOW)
        }
        (Value::Uint(a), Value::Uint(b)) => {
            or_fault(context, a.checked_add(b).map(Value::Uint), UINT_OVERFLOW)
        }
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => {
            let mut text = arena.writer();
            let written = text.push(a).and_then(|()| text.push(b));
            written.map_err(|full| full.fault(arena))?;
            Ok(Value::String(text.finish()))
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            let joined = arena.octets(&[a, b].concat());
            joined.map(Value::Bytes).map_err(|full| full.fault(arena))
        }
        (Value::List(a), Value::List(b)) => Ok(Value::List(a.join(b, arena))),
        (Value::Duration(a), Value::Duration(b)) => {
            let sum = a.0.checked_add(b.0).map(|sum| Value::Duration(Duration(sum)));
            or_fault(context, sum, INT_OVERFLOW)
        }
        (Value::Timestamp(instant), Value::Duration(length))
        | (Value::Duration(length), Value::Timestamp(instant)) => {
            or_fault(context, instant.plus(length).map(Value::Timestamp), TIMESTAMP_OVERFLOW)
        }
        _ => Err(Fault::no_overload(arena)),
    }
}

fn subtract<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let [one, two] = args else { return Err(Fault::no_overload(context.arena)) };
    match (*one, *two) {
        (Value::Int(a), Value::Int(b)) => {
            or_fault(context, a.checked_sub(b).map(Value::Int), INT_OVERFLOW)
        }
        (Value::Uint(a), Value::Uint(b)) => {
            or_fault(context, a.checked_sub(b).map(Value::Uint), UINT_OVERFLOW)
        }
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Duration(a), Value::Duration(b)) => {
            let difference = a.0.checked_sub(b.0).map(|nanos| Value::Duration(Duration(nanos)));
            or_fault(context, difference, INT_OVERFLOW)
        }
        (Value::Timestamp(a), Value::Timestamp(b)) => {
            or_fault(context, a.since(b).map(Value::Duration), DURATION_OVERFLOW)
        }
        (Value::Timestamp(instant), Value::Duration(length)) => {
            let before = length.0.checked_neg().and_then(|nanos| instant.plus(Duration(nanos)));
            or_fault(context, before.map(Value::Timestamp), TIMESTAMP_OVERFLOW)
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn multiply<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => {
            or_fault(context, a.checked_mul(*b).map(Value::Int), INT_OVERFLOW)
        }
        [Value::Uint(a), Value::Uint(b)] => {
            or_fault(context, a.checked_mul(*b).map(Value::Uint), UINT_OVERFLOW)
        }
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn divide<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
            Err(Fault::message(context.arena, "division by zero"))
        }
        [Value::Int(a), Value::Int(b)] => {
            or_fault(context, a.checked_div(*b).map(Value::Int), INT_OVERFLOW)
        }
        [Value::Uint(a), Value::Uint(b)] => {
            or_fault(context, a.checked_div(*b).map(Value::Uint), UINT_OVERFLOW)
        }
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn modulo<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
            Err(Fault::message(context.arena, "modulus by zero"))
        }
        [Value::Int(a), Value::Int(b)] => {
            or_fault(context, a.checked_rem(*b).map(Value::Int), INT_OVERFLOW)
        }
        [Value::Uint(a), Value::Uint(b)] => {
            or_fault(context, a.checked_rem(*b).map(Value::Uint), UINT_OVERFLOW)
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn negate<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a)] => or_fault(context, a.checked_neg().map(Value::Int), INT_OVERFLOW),
        [Value::Double(a)] => Ok(Value::Double(-a)),
        [Value::Duration(a)] => {
            let negative = a.0.checked_neg().map(|nanos| Value::Duration(Duration(nanos)));
            or_fault(context, negative, INT_OVERFLOW)
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}
