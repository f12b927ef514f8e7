//! What paths of JSON patches are made with.

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, overload};
use crate::cel::value::{Context, Value};

pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "jsonpatch.escapeKey",
    about: "A key as a path of a JSON patch names it: `/` is `~1`, and `~` is `~0`.",
    overloads: &[overload("string_jsonpatch_escapeKey_string", "(string) -> string")],
    examples: &[("jsonpatch.escapeKey('k8s.io/my~label')", "\"k8s.io~1my~0label\"")],
    cost: Some(Charge::Args(cost::traverse_first)),
    run: escape_key,
}];

fn escape_key<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let arena = context.arena;
    let [Value::String(key)] = args else { return Err(Fault::no_overload(arena)) };
    if !key.contains(['~', '/']) {
        return Ok(Value::String(key));
    }
    let escaped = key.replace('~', "~0").replace('/', "~1");
    arena.text(&escaped).map(Value::String).map_err(|full| full.fault(arena))
}
