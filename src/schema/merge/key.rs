//! What tells the elements of a list apart: the values of a set, the keys of a map.
//!
//! Source: `listItemToPathElement` of `sigs.k8s.io/structured-merge-diff/v6/typed`, `PathElement` of its `fieldpath`.

use std::cmp::Ordering;
use std::fmt::{self, Write};

use serde_json::Value as Json;

use crate::schema::merge::Schema;
use crate::schema::merge::atom::ListAtom;
use crate::schema::merge::native::{Native, View};
use crate::schema::merge::words;
use crate::schema::shape::{ListType, Shape};

/// The place of an element in a list that is not atomic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::schema::merge) enum Key<'a> {
    /// Its keys, by name.
    Members(Vec<(&'a str, KeyValue<'a>)>),
    /// The value itself.
    Value(KeyValue<'a>),
}

/// A value that tells elements apart. Numbers are compared as numbers.
#[derive(Clone, Copy, Debug)]
pub(in crate::schema::merge) enum KeyValue<'a> {
    Double(f64),
    Int(i64),
    String(&'a str),
    Bool(bool),
    Null,
    /// A list, a map, or worse: all alike. No schema lets a key be one.
    Other,
}

impl<'a> KeyValue<'a> {
    fn of(value: Native<'a>) -> KeyValue<'a> {
        match value.view() {
            View::Double(value) => KeyValue::Double(value),
            View::Int(value) => KeyValue::Int(value),
            View::String(text) => KeyValue::String(text),
            View::Bool(value) => KeyValue::Bool(value),
            View::Null => KeyValue::Null,
            View::List(_) | View::Map(_) | View::Alien(_) => KeyValue::Other,
        }
    }

    fn of_default(value: &'a Json) -> KeyValue<'a> {
        match value {
            Json::Number(number) => match number.as_i64() {
                Some(value) => KeyValue::Int(value),
                None => KeyValue::Double(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => KeyValue::String(text),
            Json::Bool(value) => KeyValue::Bool(*value),
            Json::Null => KeyValue::Null,
            Json::Array(_) | Json::Object(_) => KeyValue::Other,
        }
    }

    fn rank(self) -> u8 {
        match self {
            KeyValue::Double(_) | KeyValue::Int(_) => 0,
            KeyValue::String(_) => 1,
            KeyValue::Bool(_) => 2,
            KeyValue::Null => 3,
            KeyValue::Other => 4,
        }
    }

    fn number(self) -> f64 {
        match self {
            // Adding makes -0.0 the same key as 0.0.
            KeyValue::Double(value) => value + 0.0,
            KeyValue::Int(value) => value as f64,
            _ => 0.0,
        }
    }
}

impl Ord for KeyValue<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (*self, *other) {
            (KeyValue::Int(one), KeyValue::Int(two)) => one.cmp(&two),
            (KeyValue::String(one), KeyValue::String(two)) => one.cmp(two),
            (KeyValue::Bool(one), KeyValue::Bool(two)) => one.cmp(&two),
            (one, two) => one.rank().cmp(&two.rank()).then(one.number().total_cmp(&two.number())),
        }
    }
}

impl PartialOrd for KeyValue<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for KeyValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for KeyValue<'_> {}

impl<'c> Schema<'c> {
    /// The key of an element, in a list that is not atomic.
    ///
    /// # Errors
    /// If it has none.
    pub(in crate::schema::merge) fn key<'a>(
        &self,
        list: ListAtom<'c>,
        element: Native<'a>,
    ) -> Result<Key<'a>, String>
    where
        'c: 'a,
    {
        match list.list_type {
            ListType::Map(names) if !names.is_empty() => self.keys(list.element, names, element),
            ListType::Atomic => Err("invalid indexing of non-associative list".to_owned()),
            ListType::Set | ListType::Map(_) => match element.view() {
                View::Map(_) => {
                    Err("associative list without keys has an element that's a map type".to_owned())
                }
                View::List(_) => {
                    Err("not supported: associative list with lists as elements".to_owned())
                }
                View::Null => {
                    Err("associative list without keys has an element that's an explicit null"
                        .to_owned())
                }
                _ => Ok(Key::Value(KeyValue::of(element))),
            },
        }
    }

    fn keys<'a>(
        &self,
        shape: &'c Shape,
        names: &'c [String],
        element: Native<'a>,
    ) -> Result<Key<'a>, String>
    where
        'c: 'a,
    {
        let members = match element.view() {
            View::Map(members) => members,
            View::Null => {
                return Err("associative list with keys may not have a null element".to_owned());
            }
            _ => {
                return Err("associative list with keys may not have non-map elements".to_owned());
            }
        };
        let mut key = Vec::with_capacity(names.len());
        for name in names {
            let value = match members.get(name) {
                Some(value) => Some(KeyValue::of(value)),
                None => self
                    .default_of(shape, name)
                    .map_err(|error| format!("couldn't find default value for {name}: {error}"))?,
            };
            key.extend(value.map(|value| (name.as_str(), value)));
        }
        if key.is_empty() {
            let names: Vec<String> = names.iter().map(|name| words::quoted(name)).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                names.join(" ")
            ));
        }
        key.sort_by_key(|(name, _)| *name);
        Ok(Key::Members(key))
    }

    fn default_of(&self, shape: &'c Shape, name: &str) -> Result<Option<KeyValue<'c>>, String> {
        let atom = self.atom(shape).map_err(|_| "invalid elementType for list".to_owned())?;
        let Some(map) = atom.map else {
            return Err("associative list may not have non-map types".to_owned());
        };
        let default = map.field(name).and_then(|field| field.default.as_ref());
        Ok(default.filter(|default| !default.is_null()).map(KeyValue::of_default))
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Value(value) => write!(f, "[={value}]"),
            Key::Members(members) => {
                for (place, (name, value)) in members.iter().enumerate() {
                    f.write_char(if place == 0 { '[' } else { ',' })?;
                    write!(f, "{name}={value}")?;
                }
                f.write_char(']')
            }
        }
    }
}

impl fmt::Display for KeyValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyValue::Double(value) => f.write_str(&words::double(*value)),
            KeyValue::Int(value) => write!(f, "{value}"),
            KeyValue::String(text) => f.write_str(&words::quoted(text)),
            KeyValue::Bool(value) => write!(f, "{value}"),
            KeyValue::Null => f.write_str("null"),
            KeyValue::Other => f.write_str("{{undefined}}"),
        }
    }
}
