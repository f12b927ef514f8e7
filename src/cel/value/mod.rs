//! The values of the language. They are borrowed and copied freely: from a JSON document, from the
//! constants of a program, or from the arena of the request. Nothing here evaluates anything.

mod arena;
mod compare;
mod constant;
mod json;
mod key;
mod list;
mod map;
mod opaque;
mod show;

use crate::cel::answers::Answers;
use crate::cel::authorization::{Authorizer, ResourceCheck};
use crate::cel::regexp::Pattern;
use crate::cel::time::{Duration, Timestamp};
use crate::cel::types::Type;

pub use crate::cel::value::arena::Arena;
pub(crate) use crate::cel::value::arena::{Exhausted, Text};
pub(crate) use crate::cel::value::compare::{compare, equal, equality};
pub(crate) use crate::cel::value::constant::Constant;
pub use crate::cel::value::json::NotJson;
pub(crate) use crate::cel::value::key::{anew, is_key, other_numbers, same_key};
pub use crate::cel::value::list::List;
pub use crate::cel::value::map::Map;
pub use crate::cel::value::opaque::Opaque;
pub use crate::cel::value::show::Literal;

/// A value. Copying it copies no more than a reference.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A double.
    Double(f64),
    /// Text.
    String(&'a str),
    /// Octets.
    Bytes(&'a [u8]),
    /// A list.
    List(List<'a>),
    /// A map, or an object whose fields were not declared.
    Map(Map<'a>),
    /// An instant.
    Timestamp(Timestamp),
    /// A length of time.
    Duration(Duration),
    /// A type, by its name.
    Type(&'a str),
    /// An optional.
    Optional(Option<&'a Value<'a>>),
    /// An object that an expression made: `Object{..}`, `JSONPatch{..}`.
    Struct(Struct<'a>),
    /// A value of a library's own type.
    Opaque(Opaque<'a>),
}

/// Where a list or map is from. The language makes no difference, and the API server does where it takes one out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A JSON document.
    Document,
    /// The expression.
    Made,
    /// Two lists, whatever they are from.
    Joined,
}

/// An object that an expression made, with the fields it was given, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Struct<'a> {
    /// The name of its type.
    pub name: &'a str,
    /// The fields that were set.
    pub fields: &'a [(&'a str, Value<'a>)],
}

impl<'a> Struct<'a> {
    /// The value of a field, if it was set.
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
    }
}

/// What a function may use besides its arguments.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub arena: &'a Arena,
    pub answers: &'a dyn Answers,
    /// The pattern among the arguments, where it was known beforehand.
    pub pattern: Option<&'a Pattern>,
    /// The types of the one overload that is called, where it was known beforehand.
    pub types: Option<&'static [Type]>,
}

impl<'a> Value<'a> {
    /// What `authorizer` is: it asks on behalf of the requesting user.
    pub fn authorizer() -> Value<'a> {
        Value::Opaque(Opaque::Authorizer(Authorizer::default()))
    }

    /// What `authorizer.requestResource` is.
    pub fn resource_check(check: ResourceCheck<'a>, arena: &'a Arena) -> Value<'a> {
        Value::Opaque(Opaque::ResourceCheck(arena.keep(check)))
    }

    /// The truth value, if it is one.
    pub fn as_bool(self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The text, if it is some.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Value::String(value) => Some(value),
            _ => None,
        }
    }

    /// The text that the value is in Go, where a type is its name and an optional is what it holds.
    pub(crate) fn text_in_go(self) -> Option<&'a str> {
        match self {
            Value::String(text) | Value::Type(text) => Some(text),
            Value::Optional(inner) => inner?.text_in_go(),
            _ => None,
        }
    }

    /// The name of its type, without parameters.
    pub fn type_name(self) -> &'a str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::String(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Type(_) => "type",
            Value::Optional(_) => "optional_type",
            Value::Struct(object) => object.name,
            Value::Opaque(value) => value.type_name(),
        }
    }

    /// How large it is for the cost of handling it: code points, octets, elements or entries; 1 for
    /// everything that has no parts.
    pub(crate) fn size(self) -> u64 {
        match self {
            Value::String(text) => char_count(text),
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::List(list) => list.len() as u64,
            Value::Map(map) => map.len() as u64,
            Value::Optional(Some(inner)) => inner.size(),
            Value::Opaque(value) => value.size(),
            _ => 1,
        }
    }
}

/// Code points of a text: its octets when it is ASCII, which nearly all text of a cluster is.
pub(crate) fn char_count(text: &str) -> u64 {
    if text.is_ascii() { text.len() as u64 } else { text.chars().count() as u64 }
}
