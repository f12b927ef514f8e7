//! The types of the language as the generator needs them, read out of the signatures of the libraries.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub enum Ty {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    Dyn,
    Type,
    List(Box<Ty>),
    Map(Box<Ty>, Box<Ty>),
    Optional(Box<Ty>),
    /// A type that only its library can make.
    Opaque(String),
    Param(String),
}

pub fn list(of: Ty) -> Ty {
    Ty::List(Box::new(of))
}

pub fn map(key: Ty, value: Ty) -> Ty {
    Ty::Map(Box::new(key), Box::new(value))
}

pub fn optional(of: Ty) -> Ty {
    Ty::Optional(Box::new(of))
}

/// A signature such as `string.(int) -> string`.
pub struct Signature {
    pub member: bool,
    /// The receiver first.
    pub params: Vec<Ty>,
    pub result: Ty,
}

pub fn signature(text: &str) -> Signature {
    let (before, result) = text.rsplit_once(" -> ").unwrap();
    let before = before.strip_suffix(')').unwrap();
    let mut params = Vec::new();
    let member = !before.starts_with('(');
    let inner = if member {
        let (receiver, inner) = split_receiver(before);
        params.push(ty(receiver));
        inner
    } else {
        &before[1..]
    };
    params.extend(split(inner).into_iter().map(ty));
    Signature { member, params, result: ty(result) }
}

/// `receiver.(args` apart, at the `.(` that is in no brackets.
fn split_receiver(text: &str) -> (&str, &str) {
    let at = text.rfind(".(").unwrap();
    (&text[..at], &text[at + 2..])
}

fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}

fn ty(text: &str) -> Ty {
    if let Some(name) = text.strip_prefix('<') {
        return Ty::Param(name.trim_end_matches('>').to_owned());
    }
    let inner = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix(')');
    if let Some(of) = inner("list(") {
        return list(ty(of));
    }
    if let Some(of) = inner("optional_type(") {
        return optional(ty(of));
    }
    if inner("type(").is_some() {
        return Ty::Type;
    }
    if let Some(of) = inner("map(") {
        let parts = split(of);
        return map(ty(parts[0]), ty(parts[1]));
    }
    match text {
        "dyn" => Ty::Dyn,
        "null" => Ty::Null,
        "bool" => Ty::Bool,
        "int" => Ty::Int,
        "uint" => Ty::Uint,
        "double" => Ty::Double,
        "string" => Ty::String,
        "bytes" => Ty::Bytes,
        "google.protobuf.Timestamp" => Ty::Timestamp,
        "google.protobuf.Duration" => Ty::Duration,
        "type" => Ty::Type,
        other => Ty::Opaque(other.to_owned()),
    }
}

/// What the parameters of a signature have to be for its result to be the wanted type.
pub type Bound = BTreeMap<String, Ty>;

pub fn unify(pattern: &Ty, wanted: &Ty, bound: &mut Bound) -> bool {
    match (pattern, wanted) {
        (Ty::Param(name), wanted) => match bound.get(name) {
            Some(known) => known == wanted,
            None => {
                bound.insert(name.clone(), wanted.clone());
                true
            }
        },
        (Ty::List(one), Ty::List(two)) | (Ty::Optional(one), Ty::Optional(two)) => {
            unify(one, two, bound)
        }
        (Ty::Map(key, value), Ty::Map(other_key, other_value)) => {
            unify(key, other_key, bound) && unify(value, other_value, bound)
        }
        (one, two) => one == two,
    }
}

/// The type with its parameters filled in; `None` names one that is not bound yet.
pub fn fill(pattern: &Ty, bound: &mut Bound, mut unbound: impl FnMut() -> Ty) -> Ty {
    fill_with(pattern, bound, &mut unbound)
}

fn fill_with(pattern: &Ty, bound: &mut Bound, unbound: &mut dyn FnMut() -> Ty) -> Ty {
    match pattern {
        Ty::Param(name) => bound.entry(name.clone()).or_insert_with(unbound).clone(),
        Ty::List(of) => list(fill_with(of, bound, unbound)),
        Ty::Optional(of) => optional(fill_with(of, bound, unbound)),
        Ty::Map(key, value) => {
            map(fill_with(key, bound, unbound), fill_with(value, bound, unbound))
        }
        other => other.clone(),
    }
}
