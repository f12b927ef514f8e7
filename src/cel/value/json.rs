//! Between JSON and values. Going in copies nothing; going out makes a tree that can be patched.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::cel::value::{List, Map, Value};
use crate::json::{Kind, Node};

/// A value that JSON cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotJson {
    what: String,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no JSON form", self.what)
    }
}

impl std::error::Error for NotJson {}

impl<'a> Value<'a> {
    /// The value of a JSON node.
    pub fn from_json(node: Node<'a>) -> Value<'a> {
        match node.kind() {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(value),
            Kind::Int(value) => Value::Int(value),
            Kind::Double(value) => Value::Double(value),
            Kind::String(text) => Value::String(text),
            Kind::Array(array) => Value::List(List::json(array)),
            Kind::Object(object) => Value::Map(Map::json(object)),
        }
    }

    /// The JSON of a value, by the protobuf mapping that Kubernetes uses: octets in base64, instants
    /// in RFC 3339, durations in seconds.
    pub fn to_json(self) -> Result<serde_json::Value, NotJson> {
        use serde_json::Value as Json;
        let not_json = || NotJson { what: format!("a value of type `{}`", self.type_name()) };
        Ok(match self {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(value),
            Value::Int(value) => Json::from(value),
            Value::Uint(value) => Json::from(value),
            Value::Double(value) => {
                serde_json::Number::from_f64(value).map(Json::Number).ok_or_else(not_json)?
            }
            Value::String(text) => Json::from(text),
            Value::Bytes(octets) => Json::from(BASE64.encode(octets)),
            Value::List(list) => {
                Json::Array(list.iter().map(Value::to_json).collect::<Result<_, _>>()?)
            }
            Value::Map(map) => {
                let entry = |(key, value): (Value<'a>, Value<'a>)| {
                    Ok((key.to_json_key().ok_or_else(not_json)?, value.to_json()?))
                };
                Json::Object(map.iter().map(entry).collect::<Result<_, NotJson>>()?)
            }
            Value::Timestamp(instant) => Json::from(instant.utc_text()),
            Value::Duration(length) => Json::from(length.to_string()),
            Value::Optional(Some(inner)) => inner.to_json()?,
            Value::Optional(None) => Json::Null,
            Value::Struct(object) => {
                let field =
                    |(name, value): &(&str, Value<'a>)| Ok(((*name).to_owned(), value.to_json()?));
                Json::Object(object.fields.iter().map(field).collect::<Result<_, NotJson>>()?)
            }
            Value::Type(_) | Value::Opaque(_) => return Err(not_json()),
        })
    }

    fn to_json_key(self) -> Option<String> {
        match self {
            Value::String(text) => Some(text.to_owned()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Uint(value) => Some(value.to_string()),
            _ => None,
        }
    }
}
