//! Functions of lists, and those that texts share with them.

use std::cmp::Ordering;

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, overload, strings};
use crate::cel::time::Duration;
use crate::cel::types::Type;
use crate::cel::value::{Arena, Context, List, Value, compare, equal};

/// How long a list `lists.range` may make: Kubernetes' own limit.
const RANGE_MAX: i64 = 1_000_000;

/// The overloads of a function of lists whose elements have an order.
macro_rules! comparable {
    ($prefix:literal, $suffix:literal, $result:literal) => {
        [
            overload(concat!($prefix, "int", $suffix), concat!("list(int).() -> ", $result)),
            overload(concat!($prefix, "uint", $suffix), concat!("list(uint).() -> ", $result)),
            overload(concat!($prefix, "double", $suffix), concat!("list(double).() -> ", $result)),
            overload(concat!($prefix, "bool", $suffix), concat!("list(bool).() -> ", $result)),
            overload(
                concat!($prefix, "duration", $suffix),
                concat!("list(google.protobuf.Duration).() -> ", $result),
            ),
            overload(
                concat!($prefix, "timestamp", $suffix),
                concat!("list(google.protobuf.Timestamp).() -> ", $result),
            ),
            overload(concat!($prefix, "string", $suffix), concat!("list(string).() -> ", $result)),
            overload(concat!($prefix, "bytes", $suffix), concat!("list(bytes).() -> ", $result)),
        ]
    };
    ($prefix:literal, $suffix:literal) => {
        [
            overload(concat!($prefix, "int", $suffix, "int"), "list(int).() -> int"),
            overload(concat!($prefix, "uint", $suffix, "uint"), "list(uint).() -> uint"),
            overload(concat!($prefix, "double", $suffix, "double"), "list(double).() -> double"),
            overload(concat!($prefix, "bool", $suffix, "bool"), "list(bool).() -> bool"),
            overload(
                concat!($prefix, "duration", $suffix, "duration"),
                "list(google.protobuf.Duration).() -> google.protobuf.Duration",
            ),
            overload(
                concat!($prefix, "timestamp", $suffix, "timestamp"),
                "list(google.protobuf.Timestamp).() -> google.protobuf.Timestamp",
            ),
            overload(concat!($prefix, "string", $suffix, "string"), "list(string).() -> string"),
            overload(concat!($prefix, "bytes", $suffix, "bytes"), "list(bytes).() -> bytes"),
        ]
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "isSorted",
        about: "Whether no element comes before the one before it.",
        overloads: &comparable!("list_", "_is_sorted_bool", "bool"),
        examples: &[("[1, 2, 2].isSorted()", "true")],
        cost: VISIT,
        run: is_sorted,
    },
    Function {
        name: "sum",
        about: "The sum of the elements.",
        overloads: &[
            overload("list_int_sum_int", "list(int).() -> int"),
            overload("list_uint_sum_uint", "list(uint).() -> uint"),
            overload("list_double_sum_double", "list(double).() -> double"),
            overload(
                "list_duration_sum_duration",
                "list(google.protobuf.Duration).() -> google.protobuf.Duration",
            ),
        ],
        examples: &[("[1, 2, 3].sum()", "6")],
        cost: VISIT,
        run: sum,
    },
    Function {
        name: "max",
        about: "The greatest element.",
        overloads: &comparable!("list_", "_max_"),
        examples: &[("[1, 3, 2].max()", "3")],
        cost: VISIT,
        run: max,
    },
    Function {
        name: "min",
        about: "The least element.",
        overloads: &comparable!("list_", "_min_"),
        examples: &[("[3, 1, 2].min()", "1")],
        cost: VISIT,
        run: min,
    },
    Function {
        name: "indexOf",
        about: "The place of the first occurrence, or -1.",
        overloads: &[
            overload("string_index_of_string", "string.(string) -> int"),
            overload("string_index_of_string_int", "string.(string, int) -> int"),
            overload("list_a_index_of_int", "list(<A>).(<A>) -> int"),
        ],
        examples: &[("[1, 2, 2].indexOf(2)", "1"), ("'hello'.indexOf('l', 3)", "3")],
        cost: VISIT,
        run: index_of,
    },
    Function {
        name: "lastIndexOf",
        about: "The place of the last occurrence, or -1.",
        overloads: &[
            overload("string_last_index_of_string", "string.(string) -> int"),
            overload("string_last_index_of_string_int", "string.(string, int) -> int"),
            overload("list_a_last_index_of_int", "list(<A>).(<A>) -> int"),
        ],
        examples: &[("[1, 2, 2].lastIndexOf(2)", "2"), ("'hello'.lastIndexOf('l')", "3")],
        cost: VISIT,
        run: last_index_of,
    },
    Function {
        name: "includes",
        about: "Whether a list has an element; a value that is no list has itself.",
        overloads: &[overload("list_includes_dyn_dyn", "dyn.(dyn) -> bool").since(37)],
        examples: &[("[1, 2].includes(2)", "true"), ("'a'.includes('a')", "true")],
        cost: VISIT,
        run: includes,
    },
    Function {
        name: "distinct",
        about: "The elements without those that came before.",
        overloads: &[overload("list_distinct", "list(<T>).() -> list(<T>)")
            .since(34)
            .costs(SELF_COMPARE)],
        examples: &[("[1, 2, 1].distinct()", "[1, 2]")],
        cost: None,
        run: distinct,
    },
    Function {
        name: "flatten",
        about: "The elements of lists in the list, one level deep or so many.",
        overloads: &[
            overload("list_flatten", "list(list(<T>)).() -> list(<T>)").since(34).costs(FLATTEN),
            overload("list_flatten_int", "list(dyn).(int) -> list(dyn)").since(34).costs(FLATTEN),
        ],
        examples: &[("[[1], [2, 3]].flatten()", "[1, 2, 3]")],
        cost: None,
        run: flatten,
    },
    Function {
        name: "lists.range",
        about: "The numbers from 0 up to another, which is not among them.",
        overloads: &[overload("lists_range", "(int) -> list(int)").since(34).costs(OUTPUT)],
        examples: &[("lists.range(3)", "[0, 1, 2]")],
        cost: None,
        run: range,
    },
    Function {
        name: "reverse",
        about: "The elements, the last one first.",
        overloads: &[overload("list_reverse", "list(<T>).() -> list(<T>)").since(34).costs(OUTPUT)],
        examples: &[("[1, 2].reverse()", "[2, 1]")],
        cost: None,
        run: reverse,
    },
    Function {
        name: "slice",
        about: "The elements from a place up to another, which is not among them.",
        overloads: &[overload("list_slice", "list(<T>).(int, int) -> list(<T>)")
            .since(34)
            .costs(OUTPUT)],
        examples: &[("[1, 2, 3].slice(1, 3)", "[2, 3]")],
        cost: None,
        run: slice,
    },
    Function {
        name: "sort",
        about: "The elements in order.",
        overloads: &[
            overload("list_int_sort", "list(int).() -> list(int)").since(34).costs(SELF_COMPARE),
            overload("list_uint_sort", "list(uint).() -> list(uint)").since(34).costs(SELF_COMPARE),
            overload("list_double_sort", "list(double).() -> list(double)")
                .since(34)
                .costs(SELF_COMPARE),
            overload("list_bool_sort", "list(bool).() -> list(bool)").since(34).costs(SELF_COMPARE),
            overload(
                "list_google.protobuf.Duration_sort",
                "list(google.protobuf.Duration).() -> list(google.protobuf.Duration)",
            )
            .since(34)
            .costs(SELF_COMPARE),
            overload(
                "list_google.protobuf.Timestamp_sort",
                "list(google.protobuf.Timestamp).() -> list(google.protobuf.Timestamp)",
            )
            .since(34)
            .costs(SELF_COMPARE),
            overload("list_string_sort", "list(string).() -> list(string)")
                .since(34)
                .costs(SELF_COMPARE),
            overload("list_bytes_sort", "list(bytes).() -> list(bytes)")
                .since(34)
                .costs(SELF_COMPARE),
        ],
        examples: &[("['b', 'a'].sort()", "[\"a\", \"b\"]")],
        cost: None,
        run: sort,
    },
];

const VISIT: Option<Charge> =
    Some(Charge::Args(|args| args.first().map_or(0, |arg| cost::visit_all(*arg))));

const OUTPUT: Charge = Charge::Result(|_, result| allocated(1.0, result.size()));

const FLATTEN: Charge = Charge::Args(|args| {
    let depth = match args {
        [_, Value::Int(depth)] => *depth as f64,
        _ => 1.0,
    };
    allocated(depth, cost::size(args, 0))
});

const SELF_COMPARE: Charge = Charge::Args(|args| self_compare(args.first().copied()));

/// Comparing each element with each.
pub(crate) fn self_compare(list: Option<Value<'_>>) -> u64 {
    let Some(Value::List(list)) = list else { return allocated(2.0, 0) };
    let size = list.len() as u64;
    let text = matches!(list.get(0), Some(Value::String(_) | Value::Bytes(_)));
    allocated(if text { 2.1 } else { 2.0 }, size.saturating_mul(size))
}

fn allocated(factor: f64, size: u64) -> u64 {
    let factor = if factor < 0.0 { 1.0 } else { factor };
    ((size as f64 * factor) as u64).saturating_add(1 + cost::LIST)
}

fn list_of<'a>(context: Context<'a>, args: &[Value<'a>]) -> Result<List<'a>, &'a Fault<'a>> {
    match args.first() {
        Some(Value::List(list)) => Ok(*list),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn made<'a>(context: Context<'a>, items: impl IntoIterator<Item = Value<'a>>) -> Outcome<'a> {
    let items = context.arena.collect(items).map_err(|full| full.fault(context.arena))?;
    Ok(Value::List(List::values(items)))
}

/// A list whose first element is of a type that has an order. Kubernetes looks at no other, and
/// elements that cannot be compared leave things as they are.
fn comparable_list_of<'a>(
    context: Context<'a>,
    args: &[Value<'a>],
) -> Result<List<'a>, &'a Fault<'a>> {
    let list = list_of(context, args)?;
    match list.get(0) {
        Some(first) if !is_comparable(first) => Err(Fault::no_overload(context.arena)),
        _ => Ok(list),
    }
}

/// Whether a value has an order with others of its type.
fn is_comparable(value: Value<'_>) -> bool {
    !matches!(
        value,
        Value::Null
            | Value::List(_)
            | Value::Map(_)
            | Value::Type(_)
            | Value::Optional(_)
            | Value::Struct(_)
            | Value::Opaque(_)
    )
}

fn is_sorted<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let mut before = None;
    for element in comparable_list_of(context, args)?.iter() {
        if !is_comparable(element) {
            return Err(Fault::no_overload(context.arena));
        }
        if before.is_some_and(|before| compare(before, element) == Some(Ordering::Greater)) {
            return Ok(Value::Bool(false));
        }
        before = Some(element);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let list = list_of(context, args)?;
    let overflow = |words| Fault::message(context.arena, words);
    let mut total: Option<Value<'a>> = None;
    for element in list.iter() {
        total = Some(match (total, element) {
            (None, first @ (Value::Int(_) | Value::Uint(_) | Value::Duration(_))) => first,
            (None, Value::Double(first)) => Value::Double(0.0 + first),
            (Some(Value::Int(a)), Value::Int(b)) => {
                Value::Int(a.checked_add(b).ok_or_else(|| overflow("integer overflow"))?)
            }
            (Some(Value::Uint(a)), Value::Uint(b)) => {
                Value::Uint(a.checked_add(b).ok_or_else(|| overflow("unsigned integer overflow"))?)
            }
            (Some(Value::Double(a)), Value::Double(b)) => Value::Double(a + b),
            (Some(Value::Duration(a)), Value::Duration(b)) => {
                let sum = a.0.checked_add(b.0).ok_or_else(|| overflow("duration overflow"))?;
                Value::Duration(Duration(sum))
            }
            _ => return Err(Fault::no_overload(context.arena)),
        });
    }
    // Nothing is what the elements would be, or the first type that has a sum.
    let of = match context.types {
        Some([Type::List(of)]) => of,
        _ => &Type::Int,
    };
    Ok(total.unwrap_or(match of {
        Type::Uint => Value::Uint(0),
        Type::Double => Value::Double(0.0),
        Type::Duration => Value::Duration(Duration(0)),
        _ => Value::Int(0),
    }))
}

fn max<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    extreme(context, args, "max called on empty list", Ordering::Less)
}

fn min<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    extreme(context, args, "min called on empty list", Ordering::Greater)
}

/// The element that the known one is never on the given side of.
fn extreme<'a>(
    context: Context<'a>,
    args: &[Value<'a>],
    empty: &'static str,
    replace: Ordering,
) -> Outcome<'a> {
    let mut elements = comparable_list_of(context, args)?.iter();
    let mut best = elements.next().ok_or_else(|| Fault::message(context.arena, empty))?;
    for element in elements {
        if !is_comparable(element) {
            return Err(Fault::no_overload(context.arena));
        }
        if compare(best, element) == Some(replace) {
            best = element;
        }
    }
    Ok(best)
}

fn index_of<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list), element] => {
            let found = list.iter().position(|other| equal(other, *element));
            Ok(Value::Int(found.map_or(-1, |at| at as i64)))
        }
        [Value::String(text), Value::String(part)] => strings::index_of(context, text, part, 0),
        [Value::String(text), Value::String(part), Value::Int(from)] => {
            strings::index_of(context, text, part, *from)
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn last_index_of<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list), element] => {
            let found =
                (0..list.len()).rev().find(|at| list.get(*at).is_some_and(|e| equal(e, *element)));
            Ok(Value::Int(found.map_or(-1, |at| at as i64)))
        }
        [Value::String(text), Value::String(part)] => {
            strings::last_index_of(context, text, part, None)
        }
        [Value::String(text), Value::String(part), Value::Int(to)] => {
            strings::last_index_of(context, text, part, Some(*to))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn includes<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list), element] => {
            Ok(Value::Bool(list.iter().any(|other| equal(other, *element))))
        }
        [value, other] => Ok(Value::Bool(equal(*value, *other))),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn distinct<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let list = list_of(context, args)?;
    let mut kept = context.arena.vec(0).map_err(|full| full.fault(context.arena))?;
    for element in list.iter() {
        if !kept.iter().any(|other| equal(*other, element)) {
            kept.push(element);
        }
    }
    Ok(Value::List(List::values(kept.into_bump_slice())))
}

fn flatten<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let list = list_of(context, args)?;
    let depth = match args {
        [_] => 1,
        [_, Value::Int(depth)] if *depth < 0 => {
            return Err(Fault::message(context.arena, "level must be non-negative"));
        }
        [_, Value::Int(depth)] => *depth,
        _ => return Err(Fault::no_overload(context.arena)),
    };
    let full = |full: crate::cel::value::Exhausted| full.fault(context.arena);
    let mut flat = context.arena.vec(0).map_err(full)?;
    // The lists that are being gone through, innermost last, and how far.
    let mut open = vec![(list, 0)];
    while let Some((list, place)) = open.pop() {
        let Some(element) = list.get(place) else { continue };
        open.push((list, place + 1));
        match element {
            Value::List(inner) if (open.len() as i64) <= depth => open.push((inner, 0)),
            other => flat.push(other),
        }
    }
    Ok(Value::List(List::values(flat.into_bump_slice())))
}

fn range<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(count)] if *count < 0 => {
            let message = format_args!("lists.range: size must be non-negative, got {count}");
            Err(Fault::text(context.arena, message))
        }
        [Value::Int(count)] if *count > RANGE_MAX => Err(Fault::text(
            context.arena,
            format_args!("lists.range: size {count} exceeds maximum allowed ({RANGE_MAX})"),
        )),
        [Value::Int(count)] => made(context, (0..*count).map(Value::Int)),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn reverse<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let list = list_of(context, args)?;
    made(context, (0..list.len()).rev().map_while(|at| list.get(at)))
}

fn slice<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else {
        return Err(Fault::no_overload(context.arena));
    };
    let length = list.len() as i64;
    let wrong = if *start < 0 || *end < 0 {
        Some("negative indexes not supported".to_owned())
    } else if start > end {
        Some("start index must be less than or equal to end index".to_owned())
    } else if length < *end {
        Some(format!("list is length {length}"))
    } else {
        None
    };
    match wrong {
        Some(wrong) => {
            Err(Fault::text(context.arena, format_args!("cannot slice({start}, {end}), {wrong}")))
        }
        None => made(context, (*start..*end).map_while(|at| list.get(at as usize))),
    }
}

fn sort<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let list = list_of(context, args)?;
    sort_by_keys(list, list, context.arena)
}

/// The elements of a list in the order of their keys.
pub(crate) fn sort_by_keys<'a>(list: List<'a>, keys: List<'a>, arena: &'a Arena) -> Outcome<'a> {
    let first = keys.get(0);
    let comparable = first.is_none_or(|first| compare(first, first).is_some() || is_double(first));
    if !comparable {
        return Err(Fault::message(arena, "list elements must be comparable"));
    }
    let same = |key: Value<'_>| first.is_some_and(|first| first.type_name() == key.type_name());
    if !keys.iter().all(same) {
        return Err(Fault::message(arena, "list elements must have the same type"));
    }
    let full = |full: crate::cel::value::Exhausted| full.fault(arena);
    let mut pairs = arena.vec(list.len()).map_err(full)?;
    pairs.extend(keys.iter().zip(list.iter()));
    pairs.sort_by(|one, two| compare(one.0, two.0).unwrap_or(Ordering::Equal));
    let sorted = arena.collect(pairs.iter().map(|pair| pair.1)).map_err(full)?;
    Ok(Value::List(List::values(sorted)))
}

fn is_double(value: Value<'_>) -> bool {
    matches!(value, Value::Double(_))
}
