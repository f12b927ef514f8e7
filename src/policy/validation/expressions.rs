//! What stands around the expressions of a policy: names, messages, keys. Whether an expression compiles is found out
//! when the policy is compiled; here, only whether there is one.

use crate::policy::validation::field::Field;
use crate::policy::validation::field_error::{ErrorKind, FieldError};
use crate::policy::validation::names::{is_cel_identifier, qualified_name_errors};

/// The most match conditions of a policy.
const MATCH_CONDITIONS_MAX: usize = 64;

/// The most audit annotations of a policy.
const AUDIT_ANNOTATIONS_MAX: usize = 20;

/// The longest expression of an audit annotation, without blanks around it.
pub(in crate::policy) const VALUE_EXPRESSION_MAX: usize = 5 << 10;

/// Why a policy without rules is none.
const NOTHING_TO_DO: &str = "validations or auditAnnotations must contain at least one item";

pub(in crate::policy::validation) fn match_conditions(
    conditions: &Field<'_>,
    errors: &mut Vec<FieldError>,
) {
    if conditions.count() > MATCH_CONDITIONS_MAX {
        errors.push(conditions.too_many(MATCH_CONDITIONS_MAX));
    }
    let mut seen = Vec::new();
    for condition in conditions.items() {
        expression(&condition, "", errors);
        let name = condition.child("name");
        if name.text().is_empty() {
            errors.push(name.required(""));
            continue;
        }
        errors.extend(qualified_name_errors(name.text()).into_iter().map(|e| name.invalid(e)));
        if seen.contains(&name.text()) {
            errors.push(name.duplicate());
        }
        seen.push(name.text());
    }
}

pub(in crate::policy::validation) fn variables(
    variables: &Field<'_>,
    errors: &mut Vec<FieldError>,
) {
    for variable in variables.items() {
        let name = variable.child("name");
        if name.text().trim().is_empty() {
            errors.push(name.required("name is not specified"));
        } else if !is_cel_identifier(name.text()) {
            errors.push(name.invalid("must be a valid CEL identifier"));
        }
        expression(&variable, "expression is not specified", errors);
    }
}

/// That no two variables share a name. A custom resource can't have them; of native variables, the last counts.
pub(in crate::policy::validation) fn unique_variables(
    variables: &Field<'_>,
    errors: &mut Vec<FieldError>,
) {
    let mut seen = Vec::new();
    for variable in variables.items() {
        let name = variable.child("name");
        if seen.contains(&name.text()) {
            let key = format!("{{\"name\":{}}}", name.json());
            errors.push(FieldError::new(&variable.path, ErrorKind::Duplicate, "").shown(key));
        }
        seen.push(name.text());
    }
}

/// `validations` and `auditAnnotations`: at least one of either.
pub(in crate::policy::validation) fn rules(
    spec: &Field<'_>,
    policy: &str,
    errors: &mut Vec<FieldError>,
) {
    let validations = spec.child("validations");
    let annotations = spec.child("auditAnnotations");
    if validations.count() == 0 && annotations.count() == 0 {
        errors.push(validations.required(NOTHING_TO_DO));
        errors.push(annotations.required(NOTHING_TO_DO));
    }
    for item in validations.items() {
        validation(&item, errors);
    }
    if annotations.count() > AUDIT_ANNOTATIONS_MAX {
        let detail = format!("must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations");
        let error = annotations.invalid_json(detail);
        errors.push(error.shown(annotations_as_go(&annotations)));
    }
    let mut seen = Vec::new();
    for annotation in annotations.items() {
        let key = annotation.child("key");
        audit_annotation(&annotation, &key, policy, errors);
        if seen.contains(&key.text()) {
            errors.push(key.duplicate());
        }
        seen.push(key.text());
    }
}

fn validation(validation: &Field<'_>, errors: &mut Vec<FieldError>) {
    expression(validation, "expression is not specified", errors);
    for name in ["messageExpression", "message"] {
        let field = validation.child(name);
        let trimmed = field.text().trim();
        if trimmed.is_empty() && !field.text().is_empty() {
            errors.push(field.invalid("must be non-empty if specified"));
        } else if name == "message" && trimmed.contains(['\n', '\r']) {
            errors.push(field.invalid("must not contain line breaks"));
        }
    }
    let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
    validation.child("reason").check_word(&reasons, errors);
}

fn audit_annotation(
    annotation: &Field<'_>,
    key: &Field<'_>,
    policy: &str,
    errors: &mut Vec<FieldError>,
) {
    if policy.is_empty() {
        errors.push(key.invalid("requires metadata.name be non-empty"));
    } else {
        let full = format!("{policy}/{}", key.text());
        let complaints = qualified_name_errors(&full).into_iter();
        errors.extend(complaints.map(|detail| key.invalid_text(&full, detail)));
    }
    let value = annotation.child("valueExpression");
    let trimmed = value.text().trim();
    if trimmed.is_empty() {
        errors.push(value.required("valueExpression is not specified"));
    } else if trimmed.len() > VALUE_EXPRESSION_MAX {
        let detail = format!("must not exceed {VALUE_EXPRESSION_MAX} bytes in length");
        errors.push(value.required(&detail));
    }
}

/// The API server shows its own form of them, whose fields have other names.
fn annotations_as_go(annotations: &Field<'_>) -> String {
    let shown = annotations.items().map(|annotation| {
        let [key, value] = ["key", "valueExpression"].map(|name| annotation.child(name).json());
        format!("{{\"Key\":{key},\"ValueExpression\":{value}}}")
    });
    format!("[{}]", shown.collect::<Vec<String>>().join(","))
}

pub(in crate::policy::validation) fn mutations(
    mutations: &Field<'_>,
    errors: &mut Vec<FieldError>,
) {
    const PATCH_TYPES: &[&str] = &["ApplyConfiguration", "JSONPatch"];
    if mutations.count() == 0 {
        errors.push(mutations.required("mutations must contain at least one item"));
    }
    for mutation in mutations.items() {
        let patch_type = mutation.child("patchType");
        let (named, other) = match patch_type.text() {
            "" => {
                errors.push(patch_type.required(""));
                continue;
            }
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
            "JSONPatch" => ("jsonPatch", "applyConfiguration"),
            _ => {
                errors.push(patch_type.unsupported(PATCH_TYPES));
                continue;
            }
        };
        let patch_type = patch_type.text();
        match mutation.child(named).given() {
            Some(patch) => expression(&patch, "", errors),
            None => {
                let detail = format!("must be specified when patchType is {patch_type}");
                errors.push(mutation.child(named).required(&detail));
            }
        }
        if let Some(patch) = mutation.child(other).given() {
            let detail = format!("must not be specified when patchType is {patch_type}");
            errors.push(patch.invalid_text(&format!("{{{other}}}"), detail));
        }
    }
}

/// That there is an expression.
fn expression(holder: &Field<'_>, detail: &str, errors: &mut Vec<FieldError>) {
    let expression = holder.child("expression");
    if expression.text().trim().is_empty() {
        errors.push(expression.required(detail));
    }
}
