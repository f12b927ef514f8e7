//! Quantities such as `1.5Gi`: reading, arithmetic, comparison. Versions share the comparisons.

use std::cmp::Ordering;

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, function, overload};
use crate::cel::quantity::{Quantity, QuantityError};
use crate::cel::value::{Context, Opaque, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "quantity",
        about: "A quantity from text such as `1.5Gi` or `200m`.",
        overloads: &[overload("string_to_quantity", "(string) -> kubernetes.Quantity").since(28)],
        examples: &[
            ("quantity('1500m') == quantity('1.5')", "true"),
            ("quantity('1Gi').asInteger()", "1073741824"),
            ("quantity('1K')", "error: unable to parse quantity's suffix"),
        ],
        cost: Some(Charge::Args(cost::traverse_first)),
        run: quantity,
    },
    Function {
        name: "isQuantity",
        about: "Whether a text is a quantity.",
        overloads: &[overload("is_quantity_string", "(string) -> bool").since(28)],
        examples: &[("isQuantity('1.3Gi')", "true"), ("isQuantity('1,3G')", "false")],
        cost: Some(Charge::Args(cost::traverse_first)),
        run: is_quantity,
    },
    function(
        "sign",
        "-1, 0 or 1, as the quantity is.",
        &[overload("quantity_sign", "(kubernetes.Quantity) -> int").since(28)],
        &[("sign(quantity('-2'))", "-1")],
        sign,
    ),
    function(
        "isInteger",
        "Whether `asInteger` gives a value.",
        &[overload("quantity_is_integer", "kubernetes.Quantity.() -> bool").since(28)],
        &[("quantity('50k').isInteger()", "true"), ("quantity('1500m').isInteger()", "false")],
        is_integer,
    ),
    function(
        "asInteger",
        "The quantity as an integer, if nothing is lost.",
        &[overload("quantity_get_int", "kubernetes.Quantity.() -> int").since(28)],
        &[("quantity('50k').asInteger()", "50000")],
        as_integer,
    ),
    function(
        "asApproximateFloat",
        "The quantity as a double, which may lose precision.",
        &[overload("quantity_get_float", "kubernetes.Quantity.() -> double").since(28)],
        &[("quantity('1500m').asApproximateFloat()", "1.5")],
        as_double,
    ),
    function(
        "add",
        "The sum of a quantity and another, or an integer.",
        &[
            overload(
                "quantity_add",
                "kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity",
            )
            .since(28),
            overload("quantity_add_int", "kubernetes.Quantity.(int) -> kubernetes.Quantity")
                .since(28),
        ],
        &[("quantity('50k').add(20).asInteger()", "50020")],
        add,
    ),
    function(
        "sub",
        "The difference of a quantity and another, or an integer.",
        &[
            overload(
                "quantity_sub",
                "kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity",
            )
            .since(28),
            overload("quantity_sub_int", "kubernetes.Quantity.(int) -> kubernetes.Quantity")
                .since(28),
        ],
        &[("quantity('50k').sub(quantity('20k')).asInteger()", "30000")],
        sub,
    ),
    function(
        "isGreaterThan",
        "Whether a quantity or a version is greater than another.",
        &[
            overload(
                "quantity_is_greater_than",
                "kubernetes.Quantity.(kubernetes.Quantity) -> bool",
            )
            .since(28),
            overload("semver_is_greater_than", "kubernetes.Semver.(kubernetes.Semver) -> bool")
                .since(33),
        ],
        &[("quantity('2Gi').isGreaterThan(quantity('2G'))", "true")],
        is_greater,
    ),
    function(
        "isLessThan",
        "Whether a quantity or a version is less than another.",
        &[
            overload("quantity_is_less_than", "kubernetes.Quantity.(kubernetes.Quantity) -> bool")
                .since(28),
            overload("semver_is_less_than", "kubernetes.Semver.(kubernetes.Semver) -> bool")
                .since(33),
        ],
        &[("semver('1.2.3').isLessThan(semver('1.10.0'))", "true")],
        is_less,
    ),
    function(
        "compareTo",
        "-1, 0 or 1, as a quantity or a version is less than another, equal or greater.",
        &[
            overload("quantity_compare_to", "kubernetes.Quantity.(kubernetes.Quantity) -> int")
                .since(28),
            overload("semver_compare_to", "kubernetes.Semver.(kubernetes.Semver) -> int").since(33),
        ],
        &[("quantity('1M').compareTo(quantity('1000k'))", "0")],
        compare_to,
    ),
];

fn made<'a>(context: Context<'a>, quantity: Result<Quantity<'a>, QuantityError>) -> Outcome<'a> {
    match quantity {
        Ok(quantity) => Ok(Value::Opaque(Opaque::Quantity(context.arena.keep(quantity)))),
        Err(error) => Err(Fault::text(context.arena, error)),
    }
}

fn quantity<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => made(context, Quantity::parse(text, context.arena)),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn is_quantity<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(Quantity::is_valid(text))),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn sign<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(quantity))] => Ok(Value::Int(quantity.sign())),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn is_integer<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(quantity))] => {
            Ok(Value::Bool(quantity.as_integer().is_some()))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn as_integer<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(quantity))] => quantity
            .as_integer()
            .map(Value::Int)
            .ok_or_else(|| Fault::message(context.arena, "cannot convert value to integer")),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn as_double<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(quantity))] => Ok(Value::Double(quantity.as_double())),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn add<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(one)), Value::Opaque(Opaque::Quantity(two))] => {
            made(context, one.plus(two, context.arena))
        }
        [Value::Opaque(Opaque::Quantity(one)), Value::Int(two)] => {
            made(context, one.plus(&Quantity::of(*two), context.arena))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn sub<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(one)), Value::Opaque(Opaque::Quantity(two))] => {
            made(context, one.minus(two, context.arena))
        }
        [Value::Opaque(Opaque::Quantity(one)), Value::Int(two)] => {
            made(context, one.minus(&Quantity::of(*two), context.arena))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn compared<'a>(
    context: Context<'a>,
    args: &[Value<'a>],
    result: fn(Ordering) -> Value<'a>,
) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(one)), Value::Opaque(Opaque::Quantity(two))] => {
            Ok(result(one.compare(two)))
        }
        [Value::Opaque(Opaque::Semver(one)), Value::Opaque(Opaque::Semver(two))] => {
            Ok(result(one.compare(two)))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn is_greater<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    compared(context, args, |order| Value::Bool(order.is_gt()))
}

fn is_less<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    compared(context, args, |order| Value::Bool(order.is_lt()))
}

fn compare_to<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    compared(context, args, |order| Value::Int(order as i64))
}
