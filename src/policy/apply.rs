//! What an `ApplyConfiguration` makes of an object: the expression gives a partial object, and that is merged by the schema
//! of the kind that the policy matched.
//!
//! Source: `applyConfigPatcher` of `k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch`.

use serde_json::Value as Json;

use crate::cel::Value;
use crate::json::Node;
use crate::policy::compile::Expression;
use crate::policy::invocation::{Halt, Invocation};
use crate::policy::mutate::evaluated;
use crate::policy::request::Kind;
use crate::policy::type_names::check_type_names;
use crate::schema::Unknown;

/// The object with what the expression states.
///
/// # Errors
/// When a fact is missing, or nobody knows the schema of anything of the kind's group and version: no `failurePolicy` decides
/// about that.
pub(in crate::policy) fn applied(
    invocation: &Invocation<'_, '_>,
    expression: &Expression,
    object: Node<'_>,
) -> Result<Result<Json, String>, Halt> {
    let Kind { group, version, kind } = invocation.matched.kind;
    let name = format_args!("{group}/{version}, Kind={kind}");
    let schemas = invocation.question.snapshot.schemas.as_deref();
    let schema = match schemas.map(|schemas| schemas.schema_of(group, version, kind)) {
        Some(Ok(schema)) => Ok(schema),
        Some(Err(Unknown::Kind)) => Err(format!(
            "error applying patch: failed to convert patch object to typed object: no corresponding type for {name}"
        )),
        None | Some(Err(Unknown::Version)) => {
            return Err(Halt::Unavailable(format!(
                "Resource kind {name} not found. There can be a delay between when CustomResourceDefinitions are created and when they are available."
            )));
        }
    };
    evaluated(invocation, expression, object, |value| {
        let Value::Struct(partial) = value else {
            let what = value.type_name();
            return Err(format!(
                "unsupported return type from ApplyConfiguration expression: {what}"
            ));
        };
        check_type_names(value)?;
        schema?.apply(object, partial).map_err(|error| error.to_string())
    })
}
