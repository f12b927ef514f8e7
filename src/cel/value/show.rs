//! Values as text: plain in messages, and as a literal of the language where a person reads results.

use std::fmt;

use crate::cel::value::Value;

/// Plain: text without quotes, as Kubernetes puts values into messages.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::String(text) => f.write_str(text),
            other => other.literal(f),
        }
    }
}

/// A value as a literal of the language.
pub struct Literal<'a>(pub Value<'a>);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.literal(f)
    }
}

impl Value<'_> {
    fn literal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Uint(value) => write!(f, "{value}u"),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
                write!(f, "{value:.1}")
            }
            Value::Double(value) => write!(f, "{value}"),
            Value::String(text) => write!(f, "{text:?}"),
            Value::Bytes(octets) => write!(f, "b\"{}\"", octets.escape_ascii()),
            Value::List(list) => {
                f.write_str("[")?;
                separated(f, list.iter(), |f, element| element.literal(f))?;
                f.write_str("]")
            }
            Value::Map(map) => {
                f.write_str("{")?;
                separated(f, map.iter(), |f, (key, value)| {
                    key.literal(f)?;
                    f.write_str(": ")?;
                    value.literal(f)
                })?;
                f.write_str("}")
            }
            Value::Timestamp(instant) => write!(f, "timestamp(\"{instant}\")"),
            Value::Duration(length) => write!(f, "duration(\"{length}\")"),
            Value::Type(name) => f.write_str(name),
            Value::Optional(None) => f.write_str("optional.none()"),
            Value::Optional(Some(inner)) => {
                f.write_str("optional.of(")?;
                inner.literal(f)?;
                f.write_str(")")
            }
            Value::Opaque(value) => write!(f, "{}({:?})", value.type_name(), value.to_string()),
            Value::Struct(object) => {
                write!(f, "{}{{", object.name)?;
                separated(f, object.fields.iter(), |f, (name, value)| {
                    write!(f, "{name}: ")?;
                    value.literal(f)
                })?;
                f.write_str("}")
            }
        }
    }
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}
