//! The types of the language, as the checker and the declarations of functions speak of them.
//! Nothing here knows of values.

use std::fmt;
use std::sync::Arc;

/// A CEL type.
///
/// Two struct types, or two opaque types, are the same when their names are.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// The type of an expression that failed to check. It agrees with everything, so that one
    /// mistake is reported once.
    Error,
    /// A value whose type is known only when it is evaluated.
    Dyn,
    /// `null`.
    Null,
    /// `bool`.
    Bool,
    /// A 64-bit signed integer.
    Int,
    /// A 64-bit unsigned integer.
    Uint,
    /// An IEEE 754 double.
    Double,
    /// A sequence of Unicode code points.
    String,
    /// A sequence of octets.
    Bytes,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Duration`.
    Duration,
    /// `list(T)`.
    List(Arc<Type>),
    /// `map(K, V)`.
    Map(Arc<(Type, Type)>),
    /// `optional_type(T)`.
    Optional(Arc<Type>),
    /// `type(T)`: the type of a type; `None` where the inner type is unknown.
    Type(Option<Arc<Type>>),
    /// An object with declared fields.
    Struct(Arc<StructType>),
    /// A value that only the functions of its library can look into, such as `kubernetes.Quantity`.
    Opaque(&'static str),
    /// A type parameter: `<A>` of a signature, or a variable that the checker solves.
    Param(u32),
}

/// An object type: a name, and what may be selected from it.
#[derive(Debug)]
pub struct StructType {
    /// The full name, such as `kubernetes.AdmissionRequest`.
    pub name: String,
    /// What may be selected.
    pub fields: Fields,
}

/// The fields of a [`StructType`].
#[derive(Debug)]
pub enum Fields {
    /// Exactly these fields, each with its type.
    Named(Vec<(String, Type)>),
    /// Any field, of type `dyn`: the `Object` types of mutation follow the object they patch.
    Any,
}

impl PartialEq for StructType {
    fn eq(&self, other: &StructType) -> bool {
        self.name == other.name
    }
}

impl StructType {
    /// A struct type of exactly these fields.
    #[expect(clippy::new_ret_no_self, reason = "a struct type is only ever used as a type")]
    pub fn new<N: Into<String>>(name: &str, fields: impl IntoIterator<Item = (N, Type)>) -> Type {
        let fields = fields.into_iter().map(|(name, ty)| (name.into(), ty)).collect();
        Type::Struct(Arc::new(StructType { name: name.to_owned(), fields: Fields::Named(fields) }))
    }

    /// The type of a field, if it is declared.
    pub fn field(&self, name: &str) -> Option<Type> {
        match &self.fields {
            Fields::Named(fields) => {
                fields.iter().find(|(field, _)| field == name).map(|(_, ty)| ty.clone())
            }
            Fields::Any => Some(Type::Dyn),
        }
    }

    /// The names of the declared fields, for suggestions.
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        match &self.fields {
            Fields::Named(fields) => fields.as_slice(),
            Fields::Any => &[],
        }
        .iter()
        .map(|(name, _)| name.as_str())
    }
}

impl Type {
    /// `list(element)`.
    pub fn list(element: Type) -> Type {
        Type::List(Arc::new(element))
    }

    /// `map(key, value)`.
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new((key, value)))
    }

    /// `optional_type(value)`.
    pub fn optional(value: Type) -> Type {
        Type::Optional(Arc::new(value))
    }

    /// The inner type of an optional, or the type itself, and whether it was one.
    pub(crate) fn unwrap_optional(&self) -> (&Type, bool) {
        match self {
            Type::Optional(inner) => (inner, true),
            other => (other, false),
        }
    }

    /// Whether its values have an order.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(
            self,
            Type::Bool
                | Type::Int
                | Type::Uint
                | Type::Double
                | Type::String
                | Type::Bytes
                | Type::Timestamp
                | Type::Duration
        )
    }

    /// Whether some part of it is known only when it is evaluated.
    pub(crate) fn has_dyn(&self) -> bool {
        match self {
            Type::Dyn | Type::Param(_) => true,
            Type::List(inner) | Type::Optional(inner) | Type::Type(Some(inner)) => inner.has_dyn(),
            Type::Map(entry) => entry.0.has_dyn() || entry.1.has_dyn(),
            _ => false,
        }
    }

    /// Whether the checker lets anything be done with it.
    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }

    /// The name of the type without its parameters, as `type(x)` shows it.
    pub fn name(&self) -> &str {
        match self {
            Type::Error => "*error*",
            Type::Dyn => "dyn",
            Type::Null => "null_type",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::Duration => "google.protobuf.Duration",
            Type::List(_) => "list",
            Type::Map(_) => "map",
            Type::Optional(_) => "optional_type",
            Type::Type(_) => "type",
            Type::Struct(ty) => &ty.name,
            Type::Opaque(name) => name,
            Type::Param(_) => "param",
        }
    }

    /// The words of the type checker's messages: `timestamp` rather than its full name.
    pub(crate) fn brief(&self) -> Brief<'_> {
        Brief(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, brief: bool) -> fmt::Result {
        let inner = |ty: &Type, f: &mut fmt::Formatter<'_>| ty.write(f, brief);
        match self {
            Type::Timestamp if brief => f.write_str("timestamp"),
            Type::Duration if brief => f.write_str("duration"),
            Type::Null if brief => f.write_str("null"),
            Type::Error if brief => f.write_str("!error!"),
            Type::Param(id) => write!(f, "_var{id}"),
            Type::List(element) | Type::Optional(element) | Type::Type(Some(element)) => {
                write!(f, "{}(", self.name())?;
                inner(element, f)?;
                f.write_str(")")
            }
            Type::Map(entry) => {
                f.write_str("map(")?;
                inner(&entry.0, f)?;
                f.write_str(", ")?;
                inner(&entry.1, f)?;
                f.write_str(")")
            }
            other => f.write_str(other.name()),
        }
    }
}

/// Kubernetes' own wording, as in `must evaluate to bool but got list(string)`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

/// A type as the checker's messages word it.
pub(crate) struct Brief<'t>(&'t Type);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_worded_as_kubernetes_words_them() {
        let rows = [
            (Type::Timestamp, "google.protobuf.Timestamp", "timestamp"),
            (Type::list(Type::Null), "list(null_type)", "list(null)"),
            (Type::map(Type::String, Type::Dyn), "map(string, dyn)", "map(string, dyn)"),
            (Type::optional(Type::Int), "optional_type(int)", "optional_type(int)"),
            (Type::Type(Some(Arc::new(Type::Int))), "type(int)", "type(int)"),
            (Type::Opaque("net.IP"), "net.IP", "net.IP"),
        ];
        for (ty, long, brief) in rows {
            assert_eq!(ty.to_string(), long);
            assert_eq!(ty.brief().to_string(), brief);
        }
    }
}
