//! Null as the API server reads it: a field that is null is not there, and a null among the items of a list, or in a map
//! of texts, is an empty one.

use serde_json::{Map, Value};

/// Fields that are maps of texts.
const MAPS: &[&str] = &["matchLabels"];

/// Fields that are lists of texts; the items of others are objects.
const TEXT_LISTS: &[&str] = &[
    "operations",
    "apiGroups",
    "apiVersions",
    "resources",
    "resourceNames",
    "values",
    "validationActions",
];

/// Whether there is a null anywhere in a value.
pub(in crate::policy::manifest) fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The value of a field, or of a document, without nulls.
pub(in crate::policy::manifest) fn without_nulls(name: &str, value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let is_text = TEXT_LISTS.contains(&name);
            let empty = || if is_text { Value::from("") } else { Value::Object(Map::new()) };
            let item = |item: &Value| match item {
                Value::Null => empty(),
                item => without_nulls("", item),
            };
            Value::Array(items.iter().map(item).collect())
        }
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| match value {
                Value::Null if !MAPS.contains(&name) => None,
                Value::Null => Some((key.clone(), Value::from(""))),
                value => Some((key.clone(), without_nulls(key, value))),
            };
            Value::Object(members.iter().filter_map(member).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_is_nothing_or_empty() {
        let read =
            json!({"a": null, "b": [{"values": ["x", null]}, null], "matchLabels": {"k": null}});
        let meant = json!({"b": [{"values": ["x", ""]}, {}], "matchLabels": {"k": ""}});
        assert_eq!(without_nulls("", &read), meant);
        assert!(has_null(&read) && !has_null(&meant));
    }
}
