//! A document without what was refused in it: what is left can be decoded if nothing else is wrong, and then its
//! expressions can be looked at too. It is never put in force.

use serde_json::{Value, json};

use crate::policy::validation::field_error::{ErrorKind, FieldError};

/// The document with words that there are not taken out, and what must be there put in.
pub(in crate::policy) fn repaired(document: &Value, errors: &[FieldError]) -> Value {
    let mut document = document.clone();
    for name in ["metadata", "spec"] {
        if let Value::Object(members) = &mut document
            && members.get(name).is_none_or(Value::is_null)
        {
            members.insert(name.to_owned(), json!({}));
        }
    }
    // From the end, so that the places of those before stay what they are.
    for error in errors.iter().rev() {
        if let Some(pointer) = pointer(&error.field) {
            repair(&mut document, &pointer, error.kind);
        }
    }
    document
}

fn repair(document: &mut Value, pointer: &[String], kind: ErrorKind) {
    let Some((name, parents)) = pointer.split_last() else { return };
    let mut holder = Some(document);
    for step in parents {
        holder = holder.and_then(|value| match value {
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
            Value::Object(members) => members.get_mut(step),
            _ => None,
        });
    }
    match holder {
        Some(Value::Array(items)) if kind == ErrorKind::Unsupported => {
            if let Some(place) = name.parse().ok().filter(|place| *place < items.len()) {
                items.remove(place);
            }
        }
        Some(Value::Object(members)) => {
            let is_empty = |value: &Value| value.is_null() || value == "";
            let is_missing = members.get(name).is_none_or(is_empty);
            let is_no_word = kind == ErrorKind::Unsupported || name == "operator";
            if is_no_word || is_missing || PATCHES.contains(&name.as_str()) {
                members.remove(name);
                members.extend(stand_in(name).map(|value| (name.clone(), value)));
            }
            if name == "patchType" {
                // Nobody knows what it would have to be.
                members.retain(|name, _| !PATCHES.contains(&name.as_str()));
            }
        }
        _ => {}
    }
}

/// The fields of a mutation of which only one may be there.
const PATCHES: &[&str] = &["jsonPatch", "applyConfiguration"];

/// What can stand for a field that must be there.
fn stand_in(name: &str) -> Option<Value> {
    Some(match name {
        "matchConstraints" => json!({}),
        "operations" | "apiGroups" | "apiVersions" | "resources" | "mutations" => json!([]),
        "patchType" => json!("JSONPatch"),
        "operator" => json!("Exists"),
        "name" | "expression" | "key" | "valueExpression" | "policyName" | "apiVersion"
        | "kind" => json!(""),
        _ => return None,
    })
}

/// `spec.a[0].b` as its steps.
fn pointer(field: &str) -> Option<Vec<String>> {
    let mut steps = Vec::new();
    for part in field.split('.') {
        let mut pieces = part.split('[');
        steps.push(pieces.next()?.to_owned());
        for place in pieces {
            steps.push(place.strip_suffix(']')?.to_owned());
        }
    }
    Some(steps)
}
