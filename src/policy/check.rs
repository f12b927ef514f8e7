//! What the API server says about the parts of policies and bindings that hold no expressions, when they are created.
//! What came from a cluster was told so already; what came from a file is told here.
//!
//! Source: `k8s.io/kubernetes/pkg/apis/admissionregistration/validation`.

use crate::policy::api::{MatchResources, NamedRule, Operation, PolicyDiagnostic};
use crate::policy::matching::{Matcher, is_dns_subdomain};

/// The longest name of an object.
const NAME_MAX: usize = 253;

/// One thing that is wrong with a field.
pub(in crate::policy) fn complaint(
    field: impl Into<String>,
    message: impl Into<String>,
) -> PolicyDiagnostic {
    PolicyDiagnostic { field: field.into(), message: message.into(), excerpt: None }
}

/// What is wrong with the name of a policy or binding.
pub(in crate::policy) fn name(field: &str, name: &str) -> Option<PolicyDiagnostic> {
    let is_name = name.len() <= NAME_MAX && is_dns_subdomain(name);
    (!is_name).then(|| {
        let message = "must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
        complaint(field, format!("`{name}` {message}"))
    })
}

/// What is wrong with a match. `mutates`: it is that of a mutating policy or of a binding of one.
pub(in crate::policy) fn matching(
    path: &str,
    resources: &MatchResources,
    mutates: bool,
) -> Vec<PolicyDiagnostic> {
    let mut complaints: Vec<PolicyDiagnostic> = Matcher::new(resources)
        .errors()
        .map(|(field, error)| complaint(format!("{path}.{field}"), error.to_string()))
        .collect();
    let lists = [
        ("resourceRules", &resources.resource_rules),
        ("excludeResourceRules", &resources.exclude_resource_rules),
    ];
    for (list, rules) in lists {
        for (place, rule) in rules.iter().enumerate() {
            let path = format!("{path}.{list}[{place}]");
            if mutates && list == "resourceRules" && rule.operations.contains(&Operation::Delete) {
                let message = "a DELETE brings no object that could be changed";
                complaints.push(complaint(format!("{path}.operations"), message));
            }
            rule_complaints(&path, rule, &mut complaints);
        }
    }
    complaints
}

fn rule_complaints(path: &str, rule: &NamedRule, complaints: &mut Vec<PolicyDiagnostic>) {
    let star = |texts: &[String]| texts.iter().any(|text| text == "*");
    let fields = [
        (
            "operations",
            "operations",
            rule.operations.len(),
            rule.operations.contains(&Operation::All),
        ),
        ("apiGroups", "API groups", rule.api_groups.len(), star(&rule.api_groups)),
        ("apiVersions", "API versions", rule.api_versions.len(), star(&rule.api_versions)),
    ];
    for (field, words, count, has_star) in fields {
        if count == 0 {
            complaints.push(complaint(format!("{path}.{field}"), "at least one is required"));
        } else if count > 1 && has_star {
            let message = format!("if '*' is present, must not specify other {words}");
            complaints.push(complaint(format!("{path}.{field}"), message));
        }
    }
    let mut seen = Vec::new();
    for name in &rule.resource_names {
        if seen.contains(&name) {
            let message = format!("duplicate value `{name}`");
            complaints.push(complaint(format!("{path}.resourceNames"), message));
        }
        seen.push(name);
    }
    if let Some(message) = resources_complaint(&rule.resources) {
        complaints.push(complaint(format!("{path}.resources"), message));
    }
}

/// A resource that another one covers is taken for a mistake.
fn resources_complaint(resources: &[String]) -> Option<String> {
    if resources.is_empty() || resources.iter().any(String::is_empty) {
        return Some("at least one is required, and none may be empty".to_owned());
    }
    let (mut wide_resources, mut wide_subresources) = (Vec::new(), Vec::new());
    let mut last_is_plain = false;
    for text in resources {
        let Some((resource, subresource)) = text.split_once('/') else {
            last_is_plain = text != "*";
            continue;
        };
        if wide_resources.contains(&resource) {
            return Some(format!("if '{resource}/*' is present, must not specify {text}"));
        }
        if wide_subresources.contains(&subresource) {
            return Some(format!("if '*/{subresource}' is present, must not specify {text}"));
        }
        if subresource == "*" {
            wide_resources.push(resource);
        }
        if resource == "*" {
            wide_subresources.push(subresource);
        }
    }
    let has = |word: &str| resources.iter().any(|text| text == word);
    if resources.len() > 1 && has("*/*") {
        return Some("if '*/*' is present, must not specify other resources".to_owned());
    }
    let message = "if '*' is present, must not specify other resources without subresources";
    (has("*") && last_is_plain).then(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_that_cover_one_another_are_mistakes() {
        let rows = [
            (json!({}), ""),
            (json!({"operations": ["*", "CREATE"]}), "p.resourceRules[0].operations: if '*'"),
            (json!({"operations": []}), "p.resourceRules[0].operations: at least one"),
            (json!({"operations": ["DELETE"]}), "p.resourceRules[0].operations: a DELETE"),
            (json!({"apiGroups": ["*", "apps"]}), "p.resourceRules[0].apiGroups: if '*'"),
            (json!({"apiVersions": ["v1", "*"]}), "p.resourceRules[0].apiVersions: if '*'"),
            (json!({"resources": [""]}), "p.resourceRules[0].resources: at least one"),
            (json!({"resources": ["*", "pods"]}), "if '*' is present, must not"),
            (json!({"resources": ["*/*", "pods/log"]}), "if '*/*' is present, must not"),
            (json!({"resources": ["pods/*", "pods/log"]}), "if 'pods/*' is present"),
            (json!({"resources": ["*/log", "pods/log"]}), "if '*/log' is present"),
            (json!({"resources": ["pods", "pods/*"]}), ""),
            (json!({"resourceNames": ["a", "a"]}), "p.resourceRules[0].resourceNames: duplicate"),
        ];
        for (more, expected) in rows {
            let mut rule = json!({
                "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
            });
            for (field, value) in more.as_object().unwrap() {
                rule[field] = value.clone();
            }
            let resources = serde_json::from_value(json!({"resourceRules": [rule]})).unwrap();
            let said: Vec<String> = matching("p", &resources, true)
                .iter()
                .map(|complaint| format!("{}: {}", complaint.field, complaint.message))
                .collect();
            let said = said.join("; ");
            assert!(
                said.contains(expected) && said.is_empty() == expected.is_empty(),
                "{more}: {said}"
            );
        }
    }

    #[test]
    fn names_are_those_of_objects() {
        for (text, is_name) in [("a-b.c", true), ("!!!!", false), ("A", false), ("", false)] {
            assert_eq!(name("metadata.name", text).is_none(), is_name, "{text}");
        }
    }
}
