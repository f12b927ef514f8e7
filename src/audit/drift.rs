//! Policy drift: what is in a cluster against what was reviewed. Two sets of definitions in, differences out, field by field;
//! where either came from is not known here.
//!
//! What is compared is what the API server would make of it: fields that were left out have their defaults, and who last
//! wrote an object, its labels and its status are not looked at.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;

use crate::policy::api::PolicyKind;
use crate::policy::definitions::{Named, Origin};
use crate::policy::{Definitions, api::PolicyBindingSpec};

/// Fields that are told of one object. Who changed more reads both.
const FIELDS_MAX: usize = 100;

/// How a policy or a binding differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The word for its kind, in its own API.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Where it was declared, as in `policies/a.yaml:1`; empty if it was not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// What is different.
    pub change: Change,
}

/// What is different.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// The cluster has it, and nobody declared it.
    Added,
    /// It was declared, and the cluster does not have it.
    Removed,
    /// Both have it, and it is not the same. There is at least one field.
    Changed(Vec<Field>),
}

/// A field that is not the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// As in `spec.validations[0].expression`.
    pub field: String,
    /// What was declared; none if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<Json>,
    /// What the cluster has; none if it has nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present: Option<Json>,
}

impl Change {
    /// In one word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Change::Added => "added",
            Change::Removed => "removed",
            Change::Changed(_) => "changed",
        }
    }
}

/// `ValidatingPolicy required-labels`.
impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What differs between what was declared and what is present, by kind and name.
pub fn drift(declared: &Definitions, present: &Definitions) -> Vec<Drift> {
    let (declared, mut present) = (by_name(declared), by_name(present));
    let mut found = Vec::new();
    for ((kind, name), (source, spec)) in declared {
        let change = match present.remove(&(kind, name.clone())) {
            None => Change::Removed,
            Some((_, there)) => {
                let mut fields = Vec::new();
                compare("spec", Some(&spec), Some(&there), &mut fields);
                if fields.is_empty() {
                    continue;
                }
                Change::Changed(fields)
            }
        };
        found.push(Drift { kind, name, source, change });
    }
    let added = present.into_keys().map(|(kind, name)| {
        let (source, change) = (String::new(), Change::Added);
        Drift { kind, name, source, change }
    });
    found.extend(added);
    found.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    found
}

/// Where an object was read, and its spec.
type Spec = (String, Json);

fn by_name(definitions: &Definitions) -> BTreeMap<(&'static str, String), Spec> {
    let mut all = BTreeMap::new();
    for policy in &definitions.validating {
        all.insert(entry("ValidatingPolicy", "ValidatingAdmissionPolicy", policy), spec(policy));
    }
    for policy in &definitions.mutating {
        all.insert(entry("MutatingPolicy", "MutatingAdmissionPolicy", policy), spec(policy));
    }
    for binding in &definitions.bindings {
        all.insert(entry("PolicyBinding", native_binding(binding), binding), spec(binding));
    }
    all
}

/// A native binding is of policies of one kind only.
fn native_binding(binding: &Named<PolicyBindingSpec>) -> &'static str {
    match binding.spec.policy_kind {
        Some(PolicyKind::MutatingPolicy) => "MutatingAdmissionPolicyBinding",
        _ => "ValidatingAdmissionPolicyBinding",
    }
}

fn entry<S>(ours: &'static str, native: &'static str, named: &Named<S>) -> (&'static str, String) {
    let kind = if named.origin == Origin::Native { native } else { ours };
    (kind, named.name.clone())
}

fn spec<S: Serialize>(named: &Named<S>) -> Spec {
    (named.source.clone(), serde_json::to_value(&*named.spec).unwrap_or_default())
}

/// Adds the fields that are not the same, as far down as they have the same shape.
fn compare(field: &str, declared: Option<&Json>, present: Option<&Json>, fields: &mut Vec<Field>) {
    if declared == present || fields.len() >= FIELDS_MAX {
        return;
    }
    match (declared, present) {
        (Some(Json::Object(before)), Some(Json::Object(after))) => {
            let added = after.keys().filter(|name| !before.contains_key(*name));
            for name in before.keys().chain(added) {
                let inner = format!("{field}.{name}");
                compare(&inner, before.get(name), after.get(name), fields);
            }
        }
        (Some(Json::Array(before)), Some(Json::Array(after))) => {
            for place in 0..before.len().max(after.len()) {
                let inner = format!("{field}[{place}]");
                compare(&inner, before.get(place), after.get(place), fields);
            }
        }
        _ => fields.push(Field {
            field: field.to_owned(),
            declared: declared.cloned(),
            present: present.cloned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::manifest::read;

    fn policy(name: &str, rest: &str) -> String {
        format!(
            "apiVersion: portcullis.dev/v1alpha1\nkind: ValidatingPolicy\nmetadata: {{name: {name}}}\nspec:\n  \
             matchConstraints:\n    resourceRules:\n    - {{apiGroups: [''], apiVersions: [v1], operations: [CREATE], \
             resources: [pods]}}\n{rest}\n---\n"
        )
    }

    fn definitions(text: &str) -> Definitions {
        let mut definitions = Definitions::default();
        for manifest in read("a.yaml", text).unwrap() {
            definitions.add(manifest);
        }
        definitions
    }

    /// What differs, a line a field.
    fn told(declared: &str, present: &str) -> Vec<String> {
        let mut told = Vec::new();
        for drift in drift(&definitions(declared), &definitions(present)) {
            match &drift.change {
                Change::Changed(fields) => told.extend(fields.iter().map(|field| {
                    let text =
                        |value: &Option<Json>| value.as_ref().map_or("-".into(), Json::to_string);
                    format!(
                        "{drift} {}: {} -> {}",
                        field.field,
                        text(&field.declared),
                        text(&field.present)
                    )
                })),
                change => told.push(format!("{drift} {}", change.as_str())),
            }
        }
        told
    }

    #[test]
    fn what_differs_is_told_field_by_field() {
        let one = "  validations:\n  - {expression: 'true', message: a}";
        let check = |declared: &str, present: &str, expect: &[&str]| {
            assert_eq!(told(declared, present), expect, "{declared} {present}");
        };
        check(&policy("p", one), &policy("p", one), &[]);
        check(&policy("p", one), "", &["ValidatingPolicy p removed"]);
        check("", &policy("p", one), &["ValidatingPolicy p added"]);
        check(
            &policy("p", one),
            &policy(
                "p",
                "  validations:\n  - {expression: 'false', message: a}\n  - {expression: 'true'}",
            ),
            &[
                "ValidatingPolicy p spec.validations[0].expression: \"true\" -> \"false\"",
                "ValidatingPolicy p spec.validations[1]: - -> {\"expression\":\"true\"}",
            ],
        );
        // A default that is written is no difference.
        check(
            &policy("p", one),
            &policy("p", &format!("  failurePolicy: Fail\n  background: true\n{one}")),
            &[],
        );
        check(
            &policy("p", one),
            &policy("p", &format!("  failurePolicy: Ignore\n{one}")),
            &["ValidatingPolicy p spec.failurePolicy: \"Fail\" -> \"Ignore\""],
        );
    }

    #[test]
    fn a_native_object_is_another_than_ours_of_its_name() {
        let binding = |group: &str, kind: &str| {
            format!(
                "apiVersion: {group}\nkind: {kind}\nmetadata: {{name: b}}\nspec: {{policyName: p, validationActions: [Deny]}}\n---\n"
            )
        };
        let ours = binding("portcullis.dev/v1alpha1", "PolicyBinding");
        let native = binding("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding");
        assert_eq!(
            told(&ours, &native),
            ["PolicyBinding b removed", "ValidatingAdmissionPolicyBinding b added"]
        );
    }
}
