//! Which requests are meant: rules, selectors and `paramKind`.

use crate::policy::validation::field::Field;
use crate::policy::validation::field_error::FieldError;
use crate::policy::validation::metadata::labels;
use crate::policy::validation::names::{
    dns_1035_errors, label_value_errors, path_segment_errors, qualified_name_errors,
    subdomain_errors,
};

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

/// A DELETE brings no object that could be changed.
const MUTATING_OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];

/// `matchConstraints` of a policy: they must be there, with a rule.
pub(in crate::policy::validation) fn constraints(
    constraints: &Field<'_>,
    mutates: bool,
    errors: &mut Vec<FieldError>,
) {
    if !constraints.is_given() {
        errors.push(constraints.required(""));
        return;
    }
    resources(constraints, errors);
    let rules = constraints.child("resourceRules");
    if rules.count() == 0 {
        errors.push(rules.required(""));
    }
    if mutates {
        mutating_operations(constraints, errors);
    }
}

/// `matchConstraints` or `matchResources`.
pub(in crate::policy::validation) fn resources(
    resources: &Field<'_>,
    errors: &mut Vec<FieldError>,
) {
    resources.child("matchPolicy").check_word(&["Equivalent", "Exact"], errors);
    selector(&resources.child("namespaceSelector"), errors);
    selector(&resources.child("objectSelector"), errors);
    for list in ["resourceRules", "excludeResourceRules"] {
        for item in resources.child(list).items() {
            rule(&item, errors);
        }
    }
}

/// The API server gives no places of these.
pub(in crate::policy::validation) fn mutating_operations(
    resources: &Field<'_>,
    errors: &mut Vec<FieldError>,
) {
    let rules = resources.child("resourceRules");
    for operation in rules.items().flat_map(|rule| {
        let operations = rule.child("operations");
        operations.items().collect::<Vec<_>>()
    }) {
        if !MUTATING_OPERATIONS.contains(&operation.text()) {
            let path = format!("{}.operations", rules.path);
            errors.push(operation.told_at(path).unsupported(MUTATING_OPERATIONS));
        }
    }
}

fn rule(rule: &Field<'_>, errors: &mut Vec<FieldError>) {
    let mut seen = Vec::new();
    for name in rule.child("resourceNames").items() {
        errors.extend(path_segment_errors(name.text()).into_iter().map(|e| name.invalid(e)));
        if seen.contains(&name.text()) {
            errors.push(name.duplicate());
        }
        seen.push(name.text());
    }
    let operations = rule.child("operations");
    wildcard(&operations, "operations", errors);
    for operation in operations.items() {
        if !OPERATIONS.contains(&operation.text()) {
            errors.push(operation.unsupported(OPERATIONS));
        }
    }
    wildcard(&rule.child("apiGroups"), "API groups", errors);
    let versions = rule.child("apiVersions");
    wildcard(&versions, "API versions", errors);
    let empty = versions.items().filter(|version| version.text().is_empty());
    errors.extend(empty.map(|version| version.required("")));
    rule_resources(&rule.child("resources"), errors);
    rule.child("scope").check_word(&["*", "Cluster", "Namespaced"], errors);
}

/// A list that is not empty, and in which the wildcard stands alone.
fn wildcard(list: &Field<'_>, words: &str, errors: &mut Vec<FieldError>) {
    if list.count() == 0 {
        errors.push(list.required(""));
    }
    if list.count() > 1 && list.has("*") {
        let detail = format!("if '*' is present, must not specify other {words}");
        errors.push(list.invalid_json(detail));
    }
}

/// A resource that another one covers is taken for a mistake.
fn rule_resources(resources: &Field<'_>, errors: &mut Vec<FieldError>) {
    if resources.count() == 0 {
        errors.push(resources.required(""));
    }
    let (mut wide_resources, mut wide_subresources) = (Vec::new(), Vec::new());
    let mut last_is_plain = false;
    for item in resources.items() {
        let text = item.text();
        if text.is_empty() {
            errors.push(item.required(""));
            continue;
        }
        let Some((resource, subresource)) = text.split_once('/') else {
            last_is_plain = text != "*";
            continue;
        };
        if wide_resources.contains(&resource) {
            let detail = format!("if '{resource}/*' is present, must not specify {text}");
            errors.push(item.invalid(detail));
        }
        if wide_subresources.contains(&subresource) {
            let detail = format!("if '*/{subresource}' is present, must not specify {text}");
            errors.push(item.invalid(detail));
        }
        if subresource == "*" {
            wide_resources.push(resource);
        }
        if resource == "*" {
            wide_subresources.push(subresource);
        }
    }
    if resources.count() > 1 && resources.has("*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(resources.invalid_json(detail));
    }
    if resources.has("*") && last_is_plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(resources.invalid_json(detail));
    }
}

/// A label selector.
pub(in crate::policy::validation) fn selector(selector: &Field<'_>, errors: &mut Vec<FieldError>) {
    labels(&selector.child("matchLabels"), errors);
    for term in selector.child("matchExpressions").items() {
        let [operator, key, values] = ["operator", "key", "values"].map(|name| term.child(name));
        match operator.text() {
            "In" | "NotIn" if values.count() == 0 => {
                errors
                    .push(values.required("must be specified when `operator` is 'In' or 'NotIn'"));
            }
            "Exists" | "DoesNotExist" if values.count() > 0 => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(values.forbidden(detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(operator.invalid_json("not a valid selector operator")),
        }
        errors.extend(qualified_name_errors(key.text()).into_iter().map(|e| key.invalid(e)));
        for value in values.items() {
            errors.extend(label_value_errors(value.text()).into_iter().map(|e| value.invalid(e)));
        }
    }
}

/// The kind of the params.
pub(in crate::policy::validation) fn param_kind(kind: &Field<'_>, errors: &mut Vec<FieldError>) {
    if !kind.is_given() {
        return;
    }
    let [api_version, kind] = ["apiVersion", "kind"].map(|name| kind.child(name));
    let text = api_version.text();
    match text.split('/').collect::<Vec<&str>>()[..] {
        _ if text.is_empty() => errors.push(api_version.required("")),
        [version] => version_errors(&api_version, "", version, errors),
        [group, version] => version_errors(&api_version, group, version, errors),
        _ => errors.push(api_version.invalid(format!("unexpected GroupVersion string: {text}"))),
    }
    let complaints = dns_1035_errors(&kind.text().to_lowercase());
    if kind.text().is_empty() {
        errors.push(kind.required(""));
    } else if !complaints.is_empty() {
        let complaints = complaints.join(",");
        let detail = format!("may have mixed case, but should otherwise match: {complaints}");
        errors.push(kind.invalid(detail));
    }
}

fn version_errors(field: &Field<'_>, group: &str, version: &str, errors: &mut Vec<FieldError>) {
    let complaints = subdomain_errors(group);
    if !group.is_empty() && !complaints.is_empty() {
        errors.push(field.invalid_text(group, complaints.join(",")));
    }
    let complaints = dns_1035_errors(version);
    if version.is_empty() {
        errors.push(field.invalid("version must be specified"));
    } else if !complaints.is_empty() {
        errors.push(field.invalid_text(version, complaints.join(",")));
    }
}
