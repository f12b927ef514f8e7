//! Values as the API server sees them once they leave the expression language. It takes lists and maps out one level at
//! a time, so that a map written out in a list that is written out stays a value of the language, and fits no schema;
//! the same map in a list that was joined, or from the object, is a map. Policies meet these rules, so they are kept.
//!
//! Source: `convertField` of `k8s.io/apiserver/pkg/cel/mutation/dynamic`, `Value` of cel-go's `common/types`.

use serde_json::{Number, Value as Json};

use crate::cel::{List, Map, Origin, Struct, Value};
use crate::json::DEPTH_MAX;

/// How much a partial object may hold, in values and bytes of text: a request, and so an object, is at most 3 MiB, and an
/// expression can join lists beyond all measure.
pub const PARTIAL_SIZE_MAX: usize = 3 * 1024 * 1024;

/// A value at some distance from the language.
#[derive(Clone, Copy, Debug)]
pub(in crate::schema::merge) struct Native<'a> {
    value: Value<'a>,
    place: Place,
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a document.
    Document,
    /// As the whole partial object.
    Root,
    /// As a field of an object that an expression made: what it holds is taken out.
    Field,
    /// In a list or map that an expression made: it is taken as it is.
    Element,
}

/// What is there.
#[derive(Clone, Copy, Debug)]
pub(in crate::schema::merge) enum View<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(&'a str),
    List(Elements<'a>),
    Map(Members<'a>),
    /// What no schema knows: a value that stayed one of the language.
    Alien(Value<'a>),
}

/// The elements of a list.
#[derive(Clone, Copy, Debug)]
pub(in crate::schema::merge) struct Elements<'a> {
    list: List<'a>,
    place: Place,
}

/// The members of a map.
#[derive(Clone, Copy, Debug)]
pub(in crate::schema::merge) enum Members<'a> {
    Map(Map<'a>, NativePlace),
    Struct(Struct<'a>, NativePlace),
}

/// A [`Place`] that other files need not know.
#[derive(Clone, Copy, Debug)]
pub(in crate::schema::merge) struct NativePlace(Place);

impl<'a> Native<'a> {
    /// A value in a document.
    pub fn document(value: Value<'a>) -> Native<'a> {
        Native { value, place: Place::Document }
    }

    /// The whole partial object.
    pub fn partial(value: Value<'a>) -> Native<'a> {
        Native { value, place: Place::Root }
    }

    /// What it is.
    pub fn view(self) -> View<'a> {
        let Native { value, place } = self;
        match value {
            Value::Null if place == Place::Document => View::Null,
            Value::Bool(value) => View::Bool(value),
            Value::Int(value) => View::Int(value),
            Value::Double(value) => View::Double(value),
            Value::String(text) => View::String(text),
            Value::List(list) => list_view(list, place),
            Value::Map(map) => map_view(map, place),
            Value::Struct(object) if place != Place::Root && odd_key(object).is_some() => {
                View::Alien(value)
            }
            Value::Type(name) => View::String(name),
            Value::Struct(object) => {
                let inside = if place == Place::Root { Place::Root } else { Place::Field };
                View::Map(Members::Struct(object, NativePlace(inside)))
            }
            Value::Optional(None) => View::Null,
            Value::Optional(Some(inner)) => {
                Native { value: *inner, place: unwrapped(*inner, place) }.view()
            }
            other => View::Alien(other),
        }
    }

    /// Its JSON. What is alien fits no schema, so that there is none left when this is asked.
    pub fn to_json(self) -> Json {
        match self.view() {
            View::Null | View::Alien(_) => Json::Null,
            View::Bool(value) => Json::Bool(value),
            View::Int(value) => Json::from(value),
            View::Double(value) => number(value),
            View::String(text) => Json::from(text),
            View::List(list) => Json::Array(list.iter().map(Native::to_json).collect()),
            View::Map(members) => {
                let members = members.iter().map(|(key, value)| (key.to_owned(), value.to_json()));
                Json::Object(members.collect())
            }
        }
    }
}

/// What an optional holds is taken out like a field if the expression made it, and taken as it is otherwise.
fn unwrapped(inner: Value<'_>, place: Place) -> Place {
    let is_made = match inner {
        Value::List(list) => list.origin() == Origin::Made,
        Value::Map(map) => map.origin() == Origin::Made,
        Value::Optional(_) => true,
        _ => false,
    };
    if is_made { place } else { Place::Element }
}

fn list_view(list: List<'_>, place: Place) -> View<'_> {
    let place = match (list.origin(), place) {
        (Origin::Made, Place::Element | Place::Document) => return View::Alien(Value::List(list)),
        (Origin::Made, _) => Place::Element,
        (Origin::Document, Place::Field | Place::Root) => Place::Field,
        (Origin::Document, _) => Place::Document,
        (Origin::Joined, Place::Field | Place::Root) => Place::Field,
        (Origin::Joined, _) => Place::Element,
    };
    View::List(Elements { list, place })
}

fn map_view(map: Map<'_>, place: Place) -> View<'_> {
    let place = match (map.origin(), place) {
        (Origin::Document, Place::Field | Place::Root) => Place::Field,
        (Origin::Document, _) => Place::Document,
        (_, Place::Element | Place::Document) => return View::Alien(Value::Map(map)),
        _ => Place::Element,
    };
    View::Map(Members::Map(map, NativePlace(place)))
}

/// The field of the object that is a map with a key that is no text, and the key. Such an object can't be taken out.
pub(in crate::schema::merge) fn odd_key<'a>(object: Struct<'a>) -> Option<(&'a str, Value<'a>)> {
    let odd = |(name, value): &(&'a str, Value<'a>)| {
        let map = match value {
            Value::Map(map) | Value::Optional(Some(Value::Map(map))) => *map,
            _ => return None,
        };
        let mut keys = map.iter().map(|(key, _)| key).filter(|_| map.origin() == Origin::Made);
        keys.find(|key| key.as_str().is_none()).map(|key| (*name, key))
    };
    object.fields.iter().find_map(odd)
}

/// Numbers as Go writes them: a whole one has no fraction, however it was computed.
fn number(value: f64) -> Json {
    let is_whole = value.fract() == 0.0 && value.abs() <= INTEGER_MAX;
    if is_whole {
        return Json::from(value as i64);
    }
    Number::from_f64(value).map_or(Json::Null, Json::Number)
}

/// Up to here every whole double is an integer of its own: 2^53.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

impl<'a> Elements<'a> {
    /// Whether it is an empty list that was taken out: Go has a word of its own for that.
    pub fn is_nil(self) -> bool {
        self.list.is_empty() && self.place != Place::Document
    }

    pub fn len(self) -> usize {
        self.list.len()
    }

    pub fn iter(self) -> impl Iterator<Item = Native<'a>> + Clone {
        self.list.iter().map(move |value| Native { value, place: self.place })
    }
}

impl<'a> Members<'a> {
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// The members in their order. Of the same one twice the last one counts.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Native<'a>)> {
        let len = match self {
            Members::Map(map, _) => map.len(),
            Members::Struct(object, _) => object.fields.len(),
        };
        (0..len).filter_map(move |place| self.at(place))
    }

    fn at(self, index: usize) -> Option<(&'a str, Native<'a>)> {
        match self {
            Members::Map(map, NativePlace(place)) => {
                let (key, value) = map.entry(index)?;
                Some((key.as_str()?, Native { value, place }))
            }
            Members::Struct(object, NativePlace(around)) => {
                let (name, value) = *object.fields.get(index)?;
                let is_type = around == Place::Root && ["apiVersion", "kind"].contains(&name);
                let rest = object.fields.get(index + 1..).unwrap_or_default();
                let is_last = rest.iter().all(|(later, _)| *later != name);
                let value = Native { value, place: Place::Field };
                (is_last && !is_type).then_some((name, value))
            }
        }
    }

    /// The member of this name.
    pub fn get(self, name: &str) -> Option<Native<'a>> {
        match self {
            Members::Map(map, NativePlace(place)) => {
                map.field(name).map(|value| Native { value, place })
            }
            Members::Struct(..) => {
                self.iter().find(|(member, _)| *member == name).map(|(_, value)| value)
            }
        }
    }
}

/// Looks whether a partial object is small enough to go through.
pub(in crate::schema::merge) fn measure(partial: Native<'_>) -> Result<(), String> {
    let mut left = PARTIAL_SIZE_MAX;
    measure_within(partial, &mut left, DEPTH_MAX)
}

fn measure_within(value: Native<'_>, left: &mut usize, depth: usize) -> Result<(), String> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(format!("nested deeper than {DEPTH_MAX} levels"));
    };
    let mut take = |size: usize| {
        *left = left
            .checked_sub(size)
            .ok_or_else(|| format!("larger than {PARTIAL_SIZE_MAX} bytes"))?;
        Ok(())
    };
    match value.view() {
        View::String(text) => take(1 + text.len()),
        View::List(list) => {
            take(1)?;
            list.iter().try_for_each(|element| measure_within(element, left, depth))
        }
        View::Map(members) => {
            take(1)?;
            members.iter().try_for_each(|(key, member)| {
                *left = left.saturating_sub(key.len());
                measure_within(member, left, depth)
            })
        }
        _ => take(1),
    }
}
