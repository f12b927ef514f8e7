//! Values that a program owns: its literals, and what could be computed when it was compiled.

use std::sync::Arc;

use crate::cel::ast::Literal;
use crate::cel::time::{Duration, Timestamp};
use crate::cel::value::{List, Map, Value};

/// A value that owns what it is made of.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Box<str>),
    Bytes(Box<[u8]>),
    /// What it is known by as a key of a map is where it lies, which an empty one shares with none.
    List(Arc<[Constant]>),
    Map(Arc<[(Constant, Constant)]>),
    Timestamp(Timestamp),
    Duration(Duration),
    Type(Box<str>),
}

impl Constant {
    /// The value, borrowed.
    pub fn value(&self) -> Value<'_> {
        match self {
            Constant::Null => Value::Null,
            Constant::Bool(value) => Value::Bool(*value),
            Constant::Int(value) => Value::Int(*value),
            Constant::Uint(value) => Value::Uint(*value),
            Constant::Double(value) => Value::Double(*value),
            Constant::String(text) => Value::String(text),
            Constant::Bytes(octets) => Value::Bytes(octets),
            Constant::List(elements) => Value::List(List::constants(elements)),
            Constant::Map(entries) => Value::Map(Map::constants(entries)),
            Constant::Timestamp(instant) => Value::Timestamp(*instant),
            Constant::Duration(length) => Value::Duration(*length),
            Constant::Type(name) => Value::Type(name),
        }
    }

    /// A copy of a value, if it is of a kind that constants have.
    pub fn of(value: Value<'_>) -> Option<Constant> {
        Some(match value {
            Value::Null => Constant::Null,
            Value::Bool(value) => Constant::Bool(value),
            Value::Int(value) => Constant::Int(value),
            Value::Uint(value) => Constant::Uint(value),
            Value::Double(value) => Constant::Double(value),
            Value::String(text) => Constant::String(text.into()),
            Value::Bytes(octets) => Constant::Bytes(octets.into()),
            Value::List(list) => {
                Constant::List(list.iter().map(Constant::of).collect::<Option<_>>()?)
            }
            Value::Map(map) => Constant::Map(
                map.iter()
                    .map(|(key, value)| Some((Constant::of(key)?, Constant::of(value)?)))
                    .collect::<Option<_>>()?,
            ),
            Value::Timestamp(instant) => Constant::Timestamp(instant),
            Value::Duration(length) => Constant::Duration(length),
            Value::Type(name) => Constant::Type(name.into()),
            Value::Optional(_) | Value::Struct(_) | Value::Opaque(_) => return None,
        })
    }
}

impl From<&Literal> for Constant {
    fn from(literal: &Literal) -> Constant {
        match literal {
            Literal::Null => Constant::Null,
            Literal::Bool(value) => Constant::Bool(*value),
            Literal::Int(value) => Constant::Int(*value),
            Literal::Uint(value) => Constant::Uint(*value),
            Literal::Double(value) => Constant::Double(*value),
            Literal::String(text) => Constant::String(text.as_str().into()),
            Literal::Bytes(octets) => Constant::Bytes(octets.as_slice().into()),
        }
    }
}
