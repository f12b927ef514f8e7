//! Questions for the cluster's authorizer. Answers were gathered before; one that is missing is a fault
//! that says what to ask.

use crate::cel::authorization::{Authorizer, Decision, GroupCheck, PathCheck, ResourceCheck};
use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, FaultKind, Outcome};
use crate::cel::formats;
use crate::cel::library::{Function, Overload, function, overload};
use crate::cel::value::{Context, Opaque, Value};

/// What a check costs: two are as much as an expression may have.
const CHECK_COST: u64 = 350_000;

/// The overload of a function of a resource check that gives one.
macro_rules! resource_check {
    ($id:literal, $minor:literal) => {
        [overload(
            $id,
            "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck",
        )
        .since($minor)]
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    function("path", "A path outside the resources, to be checked.", &[overload(
        "authorizer_path",
        "kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.PathCheck",
    )
    .since(27)], &[], path),
    function("group", "An API group, of which a resource is to be checked.", &[overload(
        "authorizer_group",
        "kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.GroupCheck",
    )
    .since(27)], &[], group),
    function("serviceAccount", "The authorizer, asked for a service account (namespace, name).", &[
        overload(
            "authorizer_serviceaccount",
            "kubernetes.authorization.Authorizer.(string, string) -> kubernetes.authorization.Authorizer",
        )
        .since(27),
    ], &[], service_account),
    function("resource", "A resource of the group, to be checked.", &[overload(
        "groupcheck_resource",
        "kubernetes.authorization.GroupCheck.(string) -> kubernetes.authorization.ResourceCheck",
    )
    .since(27)], &[], resource),
    function("subresource", "A subresource to be checked.", &resource_check!("resourcecheck_subresource", 27), &[], subresource),
    function("namespace", "The namespace to be checked in.", &resource_check!("resourcecheck_namespace", 27), &[], namespace),
    function("name", "The name of the object to be checked.", &resource_check!("resourcecheck_name", 27), &[], name),
    selector("fieldSelector", "Only objects with such fields.", &resource_check!("authorizer_fieldselector", 31), field_selector),
    selector("labelSelector", "Only objects with such labels.", &resource_check!("authorizer_labelselector", 31), label_selector),
    Function {
        name: "check",
        about: "The authorizer's answer whether a verb is allowed.",
        overloads: &[
            overload("pathcheck_check", "kubernetes.authorization.PathCheck.(string) -> kubernetes.authorization.Decision")
                .since(27),
            overload("resourcecheck_check", "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.Decision")
                .since(27),
        ],
        examples: &[],
        cost: Some(Charge::Fixed(CHECK_COST)),
        run: check,
    },
    function("allowed", "Whether the answer is yes.", &[overload(
        "decision_allowed",
        "kubernetes.authorization.Decision.() -> bool",
    )
    .since(27)], &[], allowed),
    function("reason", "Why, in the authorizer's words.", &[overload(
        "decision_reason",
        "kubernetes.authorization.Decision.() -> string",
    )
    .since(27)], &[], reason),
    function("errored", "Whether asking failed.", &[overload(
        "decision_errored",
        "kubernetes.authorization.Decision.() -> bool",
    )
    .since(27)], &[], errored),
    function("error", "Why asking failed, or nothing.", &[overload(
        "decision_error",
        "kubernetes.authorization.Decision.() -> string",
    )
    .since(27)], &[], error),
];

const fn selector(
    name: &'static str,
    about: &'static str,
    overloads: &'static [Overload],
    run: super::Run,
) -> Function {
    let cost = Some(Charge::Args(|args| parse_selector(cost::size(args, 1))));
    Function { cost, ..function(name, about, overloads, &[], run) }
}

/// Reading a selector, which has a requirement for every two characters at most.
fn parse_selector(length: u64) -> u64 {
    let requirements = (length as f64 * 0.5).ceil();
    cost::LIST + cost::traverse(length) + (requirements * (cost::LIST + cost::STRUCT) as f64) as u64
}

fn path<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Authorizer(authorizer)), Value::String(path)] => {
            if path.trim().is_empty() {
                return Err(Fault::message(context.arena, "path must not be empty"));
            }
            let check = PathCheck { authorizer: *authorizer, path };
            Ok(Value::Opaque(Opaque::PathCheck(context.arena.keep(check))))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn group<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Authorizer(authorizer)), Value::String(group)] => {
            let check = GroupCheck { authorizer: *authorizer, group };
            Ok(Value::Opaque(Opaque::GroupCheck(context.arena.keep(check))))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn service_account<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let arena = context.arena;
    let [Value::Opaque(Opaque::Authorizer(_)), Value::String(namespace), Value::String(name)] =
        args
    else {
        return Err(Fault::no_overload(arena));
    };
    match formats::is_account(namespace, name) {
        (_, false) => Err(Fault::message(arena, "Invalid service account name")),
        (false, _) => Err(Fault::message(arena, "Invalid service account namespace")),
        (true, true) => {
            let account = arena.keep((*namespace, *name));
            let authorizer = Authorizer { service_account: Some(account) };
            Ok(Value::Opaque(Opaque::Authorizer(authorizer)))
        }
    }
}

fn resource<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::GroupCheck(group)), Value::String(resource)] => {
            if resource.trim().is_empty() {
                return Err(Fault::message(context.arena, "resource must not be empty"));
            }
            let GroupCheck { authorizer, group } = **group;
            let check = ResourceCheck { authorizer, group, resource, ..ResourceCheck::default() };
            Ok(Value::Opaque(Opaque::ResourceCheck(context.arena.keep(check))))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

/// A resource check with one more thing said of it.
fn narrowed<'a>(
    context: Context<'a>,
    args: &[Value<'a>],
    narrow: fn(ResourceCheck<'a>, &'a str) -> ResourceCheck<'a>,
) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::ResourceCheck(check)), Value::String(text)] => {
            let check = context.arena.keep(narrow(**check, text));
            Ok(Value::Opaque(Opaque::ResourceCheck(check)))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn subresource<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    narrowed(context, args, |check, subresource| ResourceCheck { subresource, ..check })
}

fn namespace<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    narrowed(context, args, |check, namespace| ResourceCheck { namespace, ..check })
}

fn name<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    narrowed(context, args, |check, name| ResourceCheck { name, ..check })
}

fn field_selector<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    narrowed(context, args, |check, field_selector| ResourceCheck { field_selector, ..check })
}

fn label_selector<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    narrowed(context, args, |check, label_selector| ResourceCheck { label_selector, ..check })
}

fn check<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let check = match args {
        [Value::Opaque(Opaque::PathCheck(check)), Value::String(verb)] => check.check(verb),
        [Value::Opaque(Opaque::ResourceCheck(check)), Value::String(verb)] => check.check(verb),
        _ => return Err(Fault::no_overload(context.arena)),
    };
    match context.answers.authorize(&check) {
        Some(answer) => Ok(Value::Opaque(Opaque::Decision(Decision(answer)))),
        None => {
            let check = context.arena.keep_check(check);
            Err(Fault::new(context.arena, FaultKind::Need(check)))
        }
    }
}

/// Something of a decision.
fn of<'a>(
    context: Context<'a>,
    args: &[Value<'a>],
    part: fn(Decision<'a>) -> Value<'a>,
) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Decision(decision))] => Ok(part(*decision)),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn allowed<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Decision(Decision(answer)))] if answer.unasked => {
            let error = answer.error.as_deref().unwrap_or("no answer");
            Err(Fault::text(context.arena, format_args!("the authorizer can't be asked: {error}")))
        }
        _ => of(context, args, |decision| Value::Bool(decision.0.allowed)),
    }
}

fn reason<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    of(context, args, |decision| Value::String(&decision.0.reason))
}

fn errored<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    of(context, args, |decision| Value::Bool(decision.0.error.is_some()))
}

fn error<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    of(context, args, |decision| Value::String(decision.0.error.as_deref().unwrap_or("")))
}
