//! Lists as sets: order and repetition do not count.

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, overload};
use crate::cel::value::{Context, List, Value, equal};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "sets.contains",
        about: "Whether a list has every element of another.",
        overloads: &[overload("list_sets_contains_list", "(list(<T>), list(<T>)) -> bool")
            .since(29)
            .costs(Charge::Args(|args| product(args, 1)))],
        examples: &[
            ("sets.contains([1, 2, 3], [2, 3])", "true"),
            ("sets.contains([], [1])", "false"),
        ],
        cost: None,
        run: contains,
    },
    Function {
        name: "sets.equivalent",
        about: "Whether each of two lists has every element of the other.",
        overloads: &[overload("list_sets_equivalent_list", "(list(<T>), list(<T>)) -> bool")
            .since(29)
            .costs(Charge::Args(|args| product(args, 2)))],
        examples: &[("sets.equivalent([1, 2], [2, 1, 1])", "true")],
        cost: None,
        run: equivalent,
    },
    Function {
        name: "sets.intersects",
        about: "Whether two lists have an element in common.",
        overloads: &[overload("list_sets_intersects_list", "(list(<T>), list(<T>)) -> bool")
            .since(29)
            .costs(Charge::Args(|args| product(args, 1)))],
        examples: &[
            ("sets.intersects([1], [1, 2])", "true"),
            ("sets.intersects([1], [])", "false"),
        ],
        cost: None,
        run: intersects,
    },
];

/// 1 and so many times the one size times the other.
fn product(args: &[Value<'_>], times: u64) -> u64 {
    cost::size(args, 0).saturating_mul(cost::size(args, 1)).saturating_mul(times).saturating_add(1)
}

fn has(list: List<'_>, element: Value<'_>) -> bool {
    list.iter().any(|other| equal(element, other))
}

fn has_all(list: List<'_>, elements: List<'_>) -> bool {
    elements.iter().all(|element| has(list, element))
}

fn contains<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list), Value::List(elements)] => Ok(Value::Bool(has_all(*list, *elements))),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn equivalent<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(one), Value::List(two)] => {
            Ok(Value::Bool(has_all(*one, *two) && has_all(*two, *one)))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn intersects<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(one), Value::List(two)] => {
            Ok(Value::Bool(one.iter().any(|element| has(*two, element))))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}
