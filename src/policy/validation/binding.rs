//! How a policy is put in force: `policyName`, `paramRef`, `validationActions`. Policies of ours say some of it
//! themselves.

use crate::policy::validation::field::Field;
use crate::policy::validation::field_error::{ErrorKind, FieldError};
use crate::policy::validation::names::{path_segment_errors, subdomain_errors};

const BOTH: &str = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
const EXCLUSIVE: &str = "name and selector are mutually exclusive";

pub(in crate::policy::validation) fn policy_name(name: &Field<'_>, errors: &mut Vec<FieldError>) {
    if name.text().is_empty() {
        errors.push(name.required(""));
    } else {
        errors.extend(subdomain_errors(name.text()).into_iter().map(|e| name.invalid(e)));
    }
}

pub(in crate::policy::validation) fn param_ref(
    reference: &Field<'_>,
    errors: &mut Vec<FieldError>,
) {
    if !reference.is_given() {
        return;
    }
    let [name, selector] = ["name", "selector"].map(|field| reference.child(field));
    let is_named = !name.text().is_empty();
    if is_named {
        errors.extend(path_segment_errors(name.text()).into_iter().map(|e| name.invalid(e)));
        if selector.is_given() {
            errors.push(name.forbidden(EXCLUSIVE));
        }
    }
    if selector.is_given() {
        crate::policy::validation::matching::selector(&selector, errors);
        if is_named {
            errors.push(selector.forbidden(EXCLUSIVE));
        }
    }
    if !is_named && !selector.is_given() {
        errors.push(reference.required("one of name or selector must be specified"));
    }
    let missing = reference.child("parameterNotFoundAction");
    match missing.text() {
        "" => errors.push(missing.required("")),
        _ => missing.check_word(&["Deny", "Allow"], errors),
    }
}

pub(in crate::policy::validation) fn validation_actions(
    actions: &Field<'_>,
    errors: &mut Vec<FieldError>,
) {
    let mut seen = Vec::new();
    for action in actions.items() {
        let words = ["Audit", "Deny", "Warn"];
        if !words.contains(&action.text()) {
            errors.push(action.unsupported(&words));
        }
        if seen.contains(&action.text()) {
            let error = FieldError::new(&action.path, ErrorKind::Duplicate, "");
            errors.push(error.shown(action.json()));
        }
        seen.push(action.text());
    }
    if seen.contains(&"Deny") && seen.contains(&"Warn") {
        errors.push(actions.invalid_json(BOTH));
    }
    if seen.is_empty() {
        errors.push(actions.required("at least one validation action is required"));
    }
}
