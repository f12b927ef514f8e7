//! The fields and elements that a way leads to, and those of the objects that an expression made: `Object{..}` shows its
//! fields only where the checker knew that it is one, and shows them as what they are in Go.

use crate::cel::fault::FaultKind;
use crate::cel::value::{Arena, Exhausted, List, Map, Opaque, Struct, Value, other_numbers};

/// What is found, if anything is.
type Found<'a> = Result<Option<Value<'a>>, FaultKind<'a>>;

/// The field of a value, if it has it. `declared` says whether the checker knew of the field.
pub(super) fn select<'a>(
    from: Value<'a>,
    name: &'a str,
    declared: bool,
    arena: &'a Arena,
) -> Found<'a> {
    match from {
        Value::Map(map) => Ok(map.field(name)),
        Value::Struct(patch) if is_patch(patch) => {
            if !is_field_of_patch(name) {
                return Err(FaultKind::Message("unsupported indexer"));
            }
            let unset = if name == "value" { Value::Null } else { Value::String("") };
            Ok(Some(patch.get(name).unwrap_or(unset)))
        }
        Value::Struct(object) if declared && !is_native(object) => Err(FaultKind::Message(
            "cannot get the field of an object with a map that JSON has not",
        )),
        Value::Struct(object) if declared => {
            shown(object.get(name).unwrap_or(Value::Null), arena).map(Some)
        }
        Value::List(_) => Err(FaultKind::Message("unsupported index type 'string' in list")),
        _ => Ok(None),
    }
}

/// The field of a value, if it was set.
pub(super) fn select_if_set<'a>(
    from: Value<'a>,
    name: &'a str,
    declared: bool,
    arena: &'a Arena,
) -> Found<'a> {
    match from {
        Value::Struct(patch) if is_patch(patch) && !is_field_of_patch(name) => {
            Err(FaultKind::Message("unsupported field"))
        }
        Value::Struct(patch) if is_patch(patch) => {
            Ok(patch.get(name).filter(|value| name == "value" || value.as_str() != Some("")))
        }
        Value::Struct(object) if declared && !(is_native(object) && object.get(name).is_some()) => {
            Ok(None)
        }
        other => select(other, name, declared, arena),
    }
}

fn is_patch(object: Struct<'_>) -> bool {
    object.name == "JSONPatch"
}

fn is_field_of_patch(name: &str) -> bool {
    matches!(name, "op" | "path" | "from" | "value")
}

/// The field of a `JSONPatch` that should be text and is not.
pub(super) fn unfit_for_patch(made: Struct<'_>) -> Option<&str> {
    let unfit = |field: &&(&str, Value<'_>)| field.0 != "value" && field.1.as_str().is_none();
    is_patch(made).then(|| made.fields.iter().find(unfit).map(|(name, _)| *name)).flatten()
}

/// Whether the maps that are its fields have texts as keys. It shows none of its fields otherwise.
fn is_native(object: Struct<'_>) -> bool {
    object.fields.iter().all(|(_, field)| match field {
        Value::Map(map) => map.iter().all(|(key, _)| key.text_in_go().is_some()),
        _ => true,
    })
}

/// What a field of an `Object` is in Go, and then again here. Go goes into a list or a map once.
fn shown<'a>(value: Value<'a>, arena: &'a Arena) -> Result<Value<'a>, FaultKind<'a>> {
    match value {
        Value::List(list) => {
            let mut elements = arena.vec(list.len()).map_err(full)?;
            for element in list.iter() {
                elements.push(native(element, arena)?);
            }
            Ok(Value::List(List::values(elements.into_bump_slice())))
        }
        Value::Map(map) => {
            let mut entries = arena.vec(map.len()).map_err(full)?;
            for (key, value) in map.iter() {
                let key = key.text_in_go().map_or(key, Value::String);
                entries.push((key, native(value, arena)?));
            }
            Ok(Value::Map(Map::entries(entries.into_bump_slice(), arena).map_err(full)?))
        }
        other => native(other, arena),
    }
}

/// Objects are maps, types are their names, optionals are what they hold.
fn native<'a>(value: Value<'a>, arena: &'a Arena) -> Result<Value<'a>, FaultKind<'a>> {
    match value {
        Value::Type(name) => Ok(Value::String(name)),
        Value::Optional(inner) => native(inner.copied().unwrap_or(Value::Null), arena),
        Value::Struct(object) if !is_patch(object) => {
            let mut entries = arena.vec(object.fields.len()).map_err(full)?;
            for (name, value) in object.fields {
                entries.push((Value::String(name), shown(*value, arena)?));
            }
            Ok(Value::Map(Map::entries(entries.into_bump_slice(), arena).map_err(full)?))
        }
        Value::Opaque(
            Opaque::Quantity(_)
            | Opaque::Ip(_)
            | Opaque::Cidr(_)
            | Opaque::Url(_)
            | Opaque::Semver(_)
            | Opaque::Format(_),
        ) => Err(FaultKind::Message("unsupported conversion to ref.Val")),
        other => Ok(other),
    }
}

fn full<'a>(_: Exhausted) -> FaultKind<'a> {
    FaultKind::MemoryExceeded
}

/// A key that something can be indexed by.
pub(super) fn usable(key: Value<'_>) -> Result<Value<'_>, FaultKind<'_>> {
    match key {
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_) => {
            Ok(key)
        }
        _ => Err(FaultKind::Message("invalid qualifier type")),
    }
}

/// The element or the entry of a value, if it has it; where it is enough that it is set, only then.
pub(super) fn index<'a>(
    from: Value<'a>,
    key: Value<'a>,
    if_set: bool,
    arena: &'a Arena,
) -> Found<'a> {
    match (from, key) {
        (Value::Map(map), key) => Ok(map.get(key)),
        (Value::List(list), key) => Ok(list_index(key)?.and_then(|index| list.get(index))),
        (Value::Struct(_), Value::String(name)) if if_set => {
            select_if_set(from, name, false, arena)
        }
        (Value::Struct(_), Value::String(name)) => select(from, name, false, arena),
        _ => Ok(None),
    }
}

/// A number as the index of a list; `None` where no list reaches.
fn list_index(key: Value<'_>) -> Result<Option<usize>, FaultKind<'_>> {
    let index = match key {
        Value::Int(index) => index,
        Value::Uint(_) | Value::Double(_) => match other_numbers(key) {
            [Some(Value::Int(index)), _] => index,
            _ => return Err(FaultKind::Message("unsupported index value in list")),
        },
        _ => return Err(FaultKind::Message("unsupported index type in list")),
    };
    Ok(usize::try_from(index).ok())
}
