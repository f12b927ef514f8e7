//! Maps: objects of a JSON document, constants of a program, or made by an expression.

use std::cmp::Ordering;
use std::fmt;

use crate::cel::value::{Arena, Constant, Exhausted, Value, equal};
use crate::json;

/// From how many entries on a map that an expression made is searched by halving: below it, looking
/// at each key is as fast.
const INDEX_FROM: usize = 12;

/// A map. Its entries have the order in which they were written.
#[derive(Clone, Copy)]
pub struct Map<'a>(Repr<'a>);

#[derive(Clone, Copy)]
enum Repr<'a> {
    Json(json::Object<'a>),
    Entries(&'a Entries<'a>),
    Constants(&'a [(Constant, Constant)]),
}

#[derive(Clone, Copy)]
struct Entries<'a> {
    entries: &'a [(Value<'a>, Value<'a>)],
    /// The places of the entries in the order of their keys; empty for a small map.
    index: &'a [u32],
}

impl<'a> Map<'a> {
    pub(crate) fn json(object: json::Object<'a>) -> Map<'a> {
        Map(Repr::Json(object))
    }

    pub(crate) fn constants(entries: &'a [(Constant, Constant)]) -> Map<'a> {
        Map(Repr::Constants(entries))
    }

    /// A map of these entries; of entries with the same key the last one counts.
    pub(crate) fn entries(
        entries: &'a [(Value<'a>, Value<'a>)],
        arena: &'a Arena,
    ) -> Result<Map<'a>, Exhausted> {
        let key = |place: u32| entries.get(place as usize).map_or(Value::Null, |entry| entry.0);
        let mut index = arena.vec(entries.len())?;
        index.extend(0..entries.len() as u32);
        index.sort_by(|a, b| key_order(key(*a), key(*b)));
        let distinct = index.windows(2).all(|pair| match pair {
            [a, b] => key_order(key(*a), key(*b)) != Ordering::Equal,
            _ => true,
        });
        if distinct {
            let index: &[u32] =
                if entries.len() < INDEX_FROM { &[] } else { index.into_bump_slice() };
            return Ok(Map(Repr::Entries(arena.keep(Entries { entries, index }))));
        }
        // The sort is stable: of equal keys the last one written comes last.
        let mut last = arena.vec(entries.len())?;
        for (at, place) in index.iter().enumerate() {
            let next = index.get(at + 1).map(|next| key(*next));
            if next.is_none_or(|next| key_order(key(*place), next) != Ordering::Equal) {
                last.push(*place);
            }
        }
        last.sort_unstable();
        let kept =
            arena.collect(last.iter().filter_map(|at| entries.get(*at as usize).copied()))?;
        Map::entries(kept, arena)
    }

    /// How many entries it has.
    pub fn len(self) -> usize {
        match self.0 {
            Repr::Json(object) => object.len(),
            Repr::Entries(entries) => entries.entries.len(),
            Repr::Constants(constants) => constants.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    pub fn field(self, name: &str) -> Option<Value<'a>> {
        match self.0 {
            Repr::Json(object) => object.get(name).map(Value::from_json),
            _ => self.get(Value::String(name)),
        }
    }

    /// The value of a key; `1`, `1u` and `1.0` are the same key.
    pub fn get(self, key: Value<'_>) -> Option<Value<'a>> {
        match self.0 {
            Repr::Json(object) => object.get(key.as_str()?).map(Value::from_json),
            Repr::Entries(Entries { entries, index: [] }) => {
                entries.iter().find(|entry| equal(entry.0, key)).map(|entry| entry.1)
            }
            Repr::Entries(Entries { entries, index }) => {
                let at = |place: &u32| entries.get(*place as usize);
                let order =
                    |place: &u32| at(place).map_or(Ordering::Less, |entry| key_order(entry.0, key));
                let found = index.binary_search_by(order).ok().and_then(|found| index.get(found));
                found.and_then(at).map(|entry| entry.1)
            }
            Repr::Constants(constants) => constants
                .iter()
                .rev()
                .find(|entry| equal(entry.0.value(), key))
                .map(|entry| entry.1.value()),
        }
    }

    /// Its entries.
    pub fn iter(self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> + Clone {
        (0..self.len()).map_while(move |place| self.entry(place))
    }

    /// The entry at a place, in the order in which they were written.
    pub(crate) fn entry(self, place: usize) -> Option<(Value<'a>, Value<'a>)> {
        match self.0 {
            Repr::Json(object) => {
                object.member(place).map(|(key, node)| (Value::String(key), Value::from_json(node)))
            }
            Repr::Entries(entries) => entries.entries.get(place).copied(),
            Repr::Constants(constants) => {
                constants.get(place).map(|(key, value)| (key.value(), value.value()))
            }
        }
    }
}

/// A total order of keys in which equal keys, and only they, are equal.
fn key_order(one: Value<'_>, two: Value<'_>) -> Ordering {
    match (one, two) {
        (Value::String(one), Value::String(two)) => one.cmp(two),
        (Value::Bool(one), Value::Bool(two)) => one.cmp(&two),
        _ if rank(one) == rank(two) && rank(one) > 1 => {
            one.type_name().cmp(two.type_name()).then_with(|| {
                if equal(one, two) {
                    Ordering::Equal
                } else {
                    one.to_string().cmp(&two.to_string())
                }
            })
        }
        _ => rank(one).cmp(&rank(two)).then_with(|| number(one).total_cmp(&number(two))).then_with(
            || {
                if equal(one, two) { Ordering::Equal } else { integer(one).cmp(&integer(two)) }
            },
        ),
    }
}

fn rank(key: Value<'_>) -> u8 {
    match key {
        Value::Bool(_) => 0,
        Value::Int(_) | Value::Uint(_) | Value::Double(_) => 1,
        _ => 2,
    }
}

fn number(key: Value<'_>) -> f64 {
    match key {
        Value::Int(number) => number as f64,
        Value::Uint(number) => number as f64,
        // Adding makes -0.0 the same key as 0.0.
        Value::Double(number) => number + 0.0,
        _ => 0.0,
    }
}

fn integer(key: Value<'_>) -> i128 {
    match key {
        Value::Int(number) => i128::from(number),
        Value::Uint(number) => i128::from(number),
        Value::Double(number) => number as i128,
        _ => 0,
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
