//! Signatures of functions as text: `string.(int) -> string`. Nothing here knows any function.

use std::sync::Arc;

use crate::cel::types::Type;

/// The types that an overload takes and gives.
#[derive(Debug)]
pub(crate) struct Signature {
    /// Whether it is called on a receiver, which is then the first parameter.
    pub member: bool,
    pub params: Vec<Type>,
    pub result: Type,
    /// How many type parameters there are: they are `Type::Param(0)` and so on.
    pub variables: u32,
}

impl Signature {
    /// Reads `receiver.(a, b) -> result` or `(a, b) -> result`.
    pub fn parse(text: &'static str) -> Option<Signature> {
        let mut reader = Reader { rest: text, names: Vec::new() };
        let mut params = Vec::new();
        let member = !reader.rest.starts_with('(');
        if member {
            params.push(reader.ty()?);
            reader.take(".")?;
        }
        reader.take("(")?;
        while !reader.rest.starts_with(')') {
            params.push(reader.ty()?);
            if reader.take(", ").is_none() {
                break;
            }
        }
        reader.take(") -> ")?;
        let result = reader.ty()?;
        reader.rest.is_empty().then_some(())?;
        Some(Signature { member, params, result, variables: reader.names.len() as u32 })
    }

    /// The type with its parameters numbered from `first`.
    pub fn instantiate(ty: &Type, first: u32) -> Type {
        let inner = |ty: &Type| Signature::instantiate(ty, first);
        match ty {
            Type::Param(id) => Type::Param(first + id),
            Type::List(element) => Type::list(inner(element)),
            Type::Map(entry) => Type::map(inner(&entry.0), inner(&entry.1)),
            Type::Optional(value) => Type::optional(inner(value)),
            Type::Type(Some(of)) => Type::Type(Some(Arc::new(inner(of)))),
            other => other.clone(),
        }
    }
}

struct Reader {
    rest: &'static str,
    /// The names of the type parameters, in the order they were met.
    names: Vec<&'static str>,
}

impl Reader {
    fn take(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn ty(&mut self) -> Option<Type> {
        if self.take("<").is_some() {
            let (name, rest) = self.rest.split_once('>')?;
            self.rest = rest;
            let known = self.names.iter().position(|known| *known == name);
            let index = known.unwrap_or_else(|| {
                self.names.push(name);
                self.names.len() - 1
            });
            return Some(Type::Param(index as u32));
        }
        let name = self.name();
        match name {
            "list" | "optional_type" | "type" if self.take("(").is_some() => {
                let inner = self.ty()?;
                self.take(")")?;
                Some(match name {
                    "list" => Type::list(inner),
                    "type" => Type::Type(Some(Arc::new(inner))),
                    _ => Type::optional(inner),
                })
            }
            "map" => {
                self.take("(")?;
                let key = self.ty()?;
                self.take(", ")?;
                let value = self.ty()?;
                self.take(")")?;
                Some(Type::map(key, value))
            }
            _ => named(name),
        }
    }

    /// A name with dots in it; the dot before a parameter list is not part of it.
    fn name(&mut self) -> &'static str {
        let mut end = self.rest.find(['(', ')', ',', ' ', '<']).unwrap_or(self.rest.len());
        if self.rest.get(..end).is_some_and(|name| name.ends_with('.')) {
            end -= 1;
        }
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }
}

fn named(name: &'static str) -> Option<Type> {
    Some(match name {
        "" => return None,
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "google.protobuf.Timestamp" => Type::Timestamp,
        "google.protobuf.Duration" => Type::Duration,
        "type" => Type::Type(None),
        other => Type::Opaque(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read() {
        let show = |text: &'static str| {
            Signature::parse(text).map(|s| {
                let params: Vec<_> = s.params.iter().map(ToString::to_string).collect();
                format!("{} {} -> {} /{}", s.member, params.join(" "), s.result, s.variables)
            })
        };
        for (text, expect) in [
            ("string.(int, int) -> string", Some("true string int int -> string /0")),
            ("(<A>, map(<A>, <B>)) -> <B>", Some("false _var0 map(_var0, _var1) -> _var1 /2")),
            ("() -> optional_type(<V>)", Some("false  -> optional_type(_var0) /1")),
            ("net.CIDR.(net.IP) -> bool", Some("true net.CIDR net.IP -> bool /0")),
            ("list(list(<T>)).() -> list(<T>)", Some("true list(list(_var0)) -> list(_var0) /1")),
            ("string.(int", None),
        ] {
            assert_eq!(show(text).as_deref(), expect, "{text}");
        }
    }
}
