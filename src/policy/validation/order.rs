//! The order in which the API server tells what is wrong.

use crate::policy::api::PolicyDiagnostic;

/// The fields of specs, in that order.
const FIELDS: &[&str] = &[
    "failurePolicy",
    "policyName",
    "paramKind",
    "paramRef",
    "matchConstraints",
    "matchResources",
    "matchConditions",
    "variables",
    "mutations",
    "reinvocationPolicy",
    "validations",
    "auditAnnotations",
    "validationActions",
];

/// Everything that is wrong with a policy, field by field.
pub(in crate::policy) fn in_order(mut diagnostics: Vec<PolicyDiagnostic>) -> Vec<PolicyDiagnostic> {
    diagnostics.sort_by_key(|diagnostic| place(&diagnostic.field));
    diagnostics
}

/// The place of a field, and that of the item in it, from 1.
fn place(field: &str) -> (usize, usize) {
    let Some(rest) = field.strip_prefix("spec.") else { return (0, 0) };
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let known = FIELDS.iter().position(|known| *known == name);
    let item = rest.strip_prefix('[').and_then(|rest| rest.split(']').next());
    let item = item.and_then(|item| item.parse::<usize>().ok()).map_or(0, |item| item + 1);
    (known.unwrap_or(FIELDS.len()) + 1, item)
}
