//! Label selectors: parsed once, then matched against the labels of objects. The rules are those of
//! `k8s.io/apimachinery/pkg/labels`.

use thiserror::Error;

use crate::json::{Kind, Node};
use crate::policy::api::{LabelSelector, SelectorOperator};
use crate::policy::validation::names::{label_value_errors, qualified_name_errors};

/// A label selector, ready to match.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    terms: Box<[Term]>,
}

#[derive(Clone, Debug)]
struct Term {
    key: Box<str>,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    In(Box<[Box<str>]>),
    NotIn(Box<[Box<str>]>),
    Exists,
    DoesNotExist,
}

/// Why a label selector is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// `In` or `NotIn` without values.
    #[error("values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty")]
    ValuesMissing,
    /// `Exists` or `DoesNotExist` with values.
    #[error("values: Invalid value: {0}: values set must be empty for exists and does not exist")]
    ValuesNotEmpty(String),
    /// A key that can't be a label.
    #[error("key: Invalid value: {0:?}: {1}")]
    Key(String, String),
    /// A value that no label can have.
    #[error("values[{0}][{1}]: Invalid value: {2:?}: {3}")]
    Value(usize, String, String, String),
}

impl Selector {
    /// Parses what the API says.
    pub fn parse(selector: &LabelSelector) -> Result<Selector, SelectorError> {
        let mut terms = Vec::new();
        for (key, value) in &selector.match_labels {
            terms.push(term(key, SelectorOperator::In, std::slice::from_ref(value))?);
        }
        for expression in &selector.match_expressions {
            terms.push(term(&expression.key, expression.operator, &expression.values)?);
        }
        Ok(Selector { terms: terms.into() })
    }

    /// Whether it selects everything, even what has no labels at all.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether an object with these labels is selected. No object, null, is selected by the empty selector alone.
    pub fn matches_object(&self, object: Node<'_>) -> bool {
        self.is_empty()
            || (!object.is_null()
                && self.matches(object.get("metadata").and_then(|m| m.get("labels"))))
    }

    /// Whether these labels are selected.
    pub fn matches(&self, labels: Option<Node<'_>>) -> bool {
        let labels = labels.filter(|labels| are_labels(*labels));
        self.terms.iter().all(|term| {
            let value = labels.and_then(|labels| labels.get(&term.key)?.as_str());
            match &term.test {
                Test::In(values) => value.is_some_and(|v| values.iter().any(|x| **x == *v)),
                Test::NotIn(values) => value.is_none_or(|v| values.iter().all(|x| **x != *v)),
                Test::Exists => value.is_some(),
                Test::DoesNotExist => value.is_none(),
            }
        })
    }
}

/// The API server reads labels as a whole: if one is no string, the object has none.
fn are_labels(labels: Node<'_>) -> bool {
    match labels.kind() {
        Kind::Object(members) => members.iter().all(|(_, value)| value.as_str().is_some()),
        _ => false,
    }
}

fn term(key: &str, operator: SelectorOperator, values: &[String]) -> Result<Term, SelectorError> {
    let reasons = qualified_name_errors(key);
    if !reasons.is_empty() {
        return Err(SelectorError::Key(key.to_owned(), reasons.join("; ")));
    }
    match operator {
        SelectorOperator::In | SelectorOperator::NotIn if values.is_empty() => {
            return Err(SelectorError::ValuesMissing);
        }
        SelectorOperator::Exists | SelectorOperator::DoesNotExist if !values.is_empty() => {
            return Err(SelectorError::ValuesNotEmpty(
                serde_json::to_string(values).unwrap_or_default(),
            ));
        }
        _ => {}
    }
    for (position, value) in values.iter().enumerate() {
        let reasons = label_value_errors(value);
        if !reasons.is_empty() {
            let reasons = reasons.join("; ");
            return Err(SelectorError::Value(position, key.to_owned(), value.clone(), reasons));
        }
    }
    let values = values.iter().map(|value| value.as_str().into()).collect();
    let test = match operator {
        SelectorOperator::In => Test::In(values),
        SelectorOperator::NotIn => Test::NotIn(values),
        SelectorOperator::Exists => Test::Exists,
        SelectorOperator::DoesNotExist => Test::DoesNotExist,
    };
    Ok(Term { key: key.into(), test })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json::Document;

    fn selector(value: serde_json::Value) -> Result<Selector, SelectorError> {
        Selector::parse(&serde_json::from_value(value).unwrap())
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> serde_json::Value {
        json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
    }

    #[test]
    fn labels_match_as_kubernetes_matches_them() {
        let object = |labels| json!({"metadata": {"labels": labels}});
        let rows = [
            (json!({}), json!(null), true),
            (json!({"matchLabels": {"a": "b"}}), json!(null), false),
            (expression("a", "NotIn", &["b"]), json!(null), false),
            (expression("a", "NotIn", &["b"]), object(json!({})), true),
            (expression("a", "NotIn", &["b"]), object(json!({"a": "b"})), false),
            (expression("a", "In", &["b", "c"]), object(json!({"a": "c"})), true),
            (expression("a", "In", &["b", "c"]), object(json!({"a": "d"})), false),
            (expression("a", "Exists", &[]), object(json!({"a": ""})), true),
            (expression("a", "DoesNotExist", &[]), object(json!({"b": ""})), true),
            (json!({"matchLabels": {"a": "b", "c": "d"}}), object(json!({"a": "b"})), false),
            // One label that is no string, and there are no labels.
            (expression("a", "Exists", &[]), object(json!({"a": "", "n": 1})), false),
            (expression("a", "DoesNotExist", &[]), json!({}), true),
        ];
        for (text, object, expected) in rows {
            let document = Document::from_value(&object);
            let matches = selector(text.clone()).unwrap().matches_object(document.root());
            assert_eq!(matches, expected, "{text} on {object}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        let rows = [
            (expression("a", "In", &[]), "values set can't be empty"),
            (expression("a", "Exists", &["b"]), "values set must be empty"),
            (expression("", "Exists", &[]), "name part must be non-empty"),
            (expression("/a", "Exists", &[]), "prefix part must be non-empty"),
            (expression("A.com/a", "Exists", &[]), "RFC 1123"),
            (expression("a", "In", &["-"]), "a valid label must be"),
            (json!({"matchLabels": {"a b": "c"}}), "name part must consist of"),
        ];
        for (text, expected) in rows {
            let error = selector(text.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
