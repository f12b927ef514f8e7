//! Maps: objects of a JSON document, constants of a program, or made by an expression.

use std::cmp::Ordering;
use std::fmt;
use std::ptr::from_ref;

use crate::cel::value::key::{order_of_keys, other_numbers, same_key};
use crate::cel::value::{Arena, Constant, Exhausted, Origin, Value};
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

    /// A map of these entries; of those with the same key the last one counts.
    pub(crate) fn entries(
        entries: &'a [(Value<'a>, Value<'a>)],
        arena: &'a Arena,
    ) -> Result<Map<'a>, Exhausted> {
        let key = |place: u32| entries.get(place as usize).map_or(Value::Null, |entry| entry.0);
        let mut index = arena.vec(entries.len())?;
        index.extend(0..entries.len() as u32);
        index.sort_by(|a, b| order_of_keys(key(*a), key(*b)));
        let distinct = index.windows(2).all(|pair| match pair {
            [a, b] => !same_key(key(*a), key(*b)),
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
            if next.is_none_or(|next| !same_key(key(*place), next)) {
                last.push(*place);
            }
        }
        last.sort_unstable();
        let kept =
            arena.collect(last.iter().filter_map(|at| entries.get(*at as usize).copied()))?;
        Map::entries(kept, arena)
    }

    /// Where its entries are from.
    pub(crate) fn origin(self) -> Origin {
        match self.0 {
            Repr::Json(_) => Origin::Document,
            Repr::Entries(_) | Repr::Constants(_) => Origin::Made,
        }
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

    /// The value of a key. An integer is found by any number that is worth the same, a double only by itself.
    pub fn get(self, key: Value<'_>) -> Option<Value<'a>> {
        if let Repr::Json(object) = self.0 {
            return object.get(key.as_str()?).map(Value::from_json);
        }
        let found = self.exact(key).or_else(|| {
            other_numbers(key).into_iter().flatten().find_map(|number| self.exact(number))
        });
        self.entry(found?).map(|entry| entry.1)
    }

    /// The place of this very key.
    pub(crate) fn exact(self, key: Value<'_>) -> Option<usize> {
        match self.0 {
            Repr::Json(_) => None,
            Repr::Entries(Entries { entries, index: [] }) => {
                entries.iter().position(|entry| same_key(entry.0, key))
            }
            Repr::Entries(Entries { entries, index }) => {
                let at = |place: &u32| entries.get(*place as usize);
                let order = |place: &u32| {
                    at(place).map_or(Ordering::Less, |entry| order_of_keys(entry.0, key))
                };
                let found =
                    index.binary_search_by(order).ok().and_then(|found| index.get(found))?;
                at(found).is_some_and(|entry| same_key(entry.0, key)).then_some(*found as usize)
            }
            Repr::Constants(constants) => {
                constants.iter().position(|entry| same_key(entry.0.value(), key))
            }
        }
    }

    /// Whether Go looks a key up in it by its hash, which not everything has: in a map that an expression made.
    pub(crate) fn is_hashed(self) -> bool {
        !matches!(self.0, Repr::Json(_)) && !self.is_empty()
    }

    /// Where it lies.
    pub(crate) fn place(self) -> (usize, u32) {
        match self.0 {
            Repr::Json(object) => object.place(),
            Repr::Entries(entries) => (from_ref(entries).addr(), 0),
            Repr::Constants(constants) => (constants.as_ptr().addr(), 0),
        }
    }

    /// The same map at a place of its own, if it is one of a document.
    pub(crate) fn anew(self, arena: &'a Arena) -> Result<Map<'a>, Exhausted> {
        match self.0 {
            Repr::Json(_) => Map::entries(arena.collect(self.iter())?, arena),
            _ => Ok(self),
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

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
