//! Semantic versions. Quantities and versions share the comparisons, which are with the quantities.

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, overload};
use crate::cel::semver::{Semver, SemverError};
use crate::cel::value::{Context, Opaque, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "semver",
        about: "A semantic version; with `true`, a `v` before it, missing parts and leading zeros do no harm.",
        overloads: &[
            overload("string_to_semver", "(string) -> kubernetes.Semver").since(33),
            overload("string_bool_to_semver", "(string, bool) -> kubernetes.Semver").since(33),
        ],
        examples: &[("semver('v1.2', true) == semver('1.2.0')", "true")],
        cost: Some(Charge::Args(cost::traverse_first)),
        run: semver,
    },
    Function {
        name: "isSemver",
        about: "Whether a text is a semantic version, or becomes one.",
        overloads: &[
            overload("is_semver_string", "(string) -> bool").since(33),
            overload("is_semver_string_bool", "(string, bool) -> bool").since(33),
        ],
        examples: &[("isSemver('v1.0')", "false"), ("isSemver('v1.0', true)", "true")],
        cost: Some(Charge::Args(cost::traverse_first)),
        run: is_semver,
    },
    Function {
        name: "major",
        about: "The first number of a version.",
        overloads: &[overload("semver_major", "kubernetes.Semver.() -> int").since(33)],
        examples: &[("semver('1.2.3').major()", "1")],
        cost: None,
        run: major,
    },
    Function {
        name: "minor",
        about: "The second number of a version.",
        overloads: &[overload("semver_minor", "kubernetes.Semver.() -> int").since(33)],
        examples: &[("semver('1.2.3').minor()", "2")],
        cost: None,
        run: minor,
    },
    Function {
        name: "patch",
        about: "The third number of a version.",
        overloads: &[overload("semver_patch", "kubernetes.Semver.() -> int").since(33)],
        examples: &[("semver('1.2.3').patch()", "3")],
        cost: None,
        run: patch,
    },
];

fn read<'a>(
    context: Context<'a>,
    args: &[Value<'a>],
) -> Result<Result<Semver<'a>, SemverError<'a>>, &'a Fault<'a>> {
    match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => {
            Ok(Semver::parse(text))
        }
        [Value::String(text), Value::Bool(true)] => {
            Ok(Semver::parse_normalized(text, context.arena))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn semver<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match read(context, args)? {
        Ok(version) => Ok(Value::Opaque(Opaque::Semver(context.arena.keep(version)))),
        Err(error) => Err(Fault::text(context.arena, error)),
    }
}

fn is_semver<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    read(context, args).map(|version| Value::Bool(version.is_ok()))
}

/// A number of a version. What does not fit wraps, as Kubernetes has it.
fn number<'a>(context: Context<'a>, args: &[Value<'a>], of: fn(&Semver<'_>) -> u64) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Semver(version))] => Ok(Value::Int(of(version) as i64)),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn major<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    number(context, args, |version| version.major)
}

fn minor<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    number(context, args, |version| version.minor)
}

fn patch<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    number(context, args, |version| version.patch)
}
