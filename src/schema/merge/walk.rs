//! Merging itself, once both sides are known to be of the schema.
//!
//! Source: `merge.go` of `sigs.k8s.io/structured-merge-diff/v6/typed`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map as JsonMap, Value as Json};

use crate::schema::merge::Schema;
use crate::schema::merge::atom::{ListAtom, MapAtom};
use crate::schema::merge::key::Key;
use crate::schema::merge::native::{Elements, Members, Native, View};
use crate::schema::merge::validate::misfit;
use crate::schema::shape::{ListType, MapType, Shape};

impl<'c> Schema<'c> {
    /// The object with what the partial object states.
    pub(in crate::schema::merge) fn merge(
        &self,
        object: Native<'_>,
        partial: Native<'_>,
    ) -> Result<Json, String> {
        self.both(self.shape, object, partial)
    }

    /// What is on one side only stays as it is.
    fn either(
        &self,
        shape: &'c Shape,
        object: Option<Native<'_>>,
        partial: Option<Native<'_>>,
    ) -> Result<Json, String> {
        match (object, partial) {
            (Some(object), Some(partial)) => self.both(shape, object, partial),
            (Some(one), None) | (None, Some(one)) => Ok(one.to_json()),
            (None, None) => Ok(Json::Null),
        }
    }

    fn both(
        &self,
        shape: &'c Shape,
        object: Native<'_>,
        partial: Native<'_>,
    ) -> Result<Json, String> {
        // What the partial object is decides, where a place may hold more than one thing.
        let atom = self.atom(shape)?.deduced(partial.view());
        if let Some(map) = atom.map {
            self.maps(map, object, partial)
        } else if let Some(scalar) = atom.scalar {
            match (misfit(scalar, object), misfit(scalar, partial)) {
                (Some(_), Some(error)) => Err(error),
                _ => Ok(partial.to_json()),
            }
        } else if let Some(list) = atom.list {
            self.lists(list, object, partial)
        } else {
            Ok(partial.to_json())
        }
    }

    fn maps(
        &self,
        map: MapAtom<'c>,
        object: Native<'_>,
        partial: Native<'_>,
    ) -> Result<Json, String> {
        match (some_members(object), some_members(partial)) {
            (None, None) => Ok(partial.to_json()),
            _ if map.map_type == MapType::Atomic => Ok(partial.to_json()),
            // Null takes nothing away.
            (Some(_), None) => Ok(object.to_json()),
            (None, Some(_)) => Ok(partial.to_json()),
            (Some(object), Some(partial)) => self.members(map, object, partial),
        }
    }

    fn members(
        &self,
        map: MapAtom<'c>,
        object: Members<'_>,
        partial: Members<'_>,
    ) -> Result<Json, String> {
        let mut merged = JsonMap::new();
        for (name, member) in object.iter() {
            let value = match partial.get(name) {
                Some(partial) => self.both(member_shape(map, name)?, member, partial)?,
                None => member.to_json(),
            };
            merged.insert(name.to_owned(), value);
        }
        for (name, member) in partial.iter() {
            if !merged.contains_key(name) {
                merged.insert(name.to_owned(), member.to_json());
            }
        }
        Ok(Json::Object(merged))
    }

    fn lists(
        &self,
        list: ListAtom<'c>,
        object: Native<'_>,
        partial: Native<'_>,
    ) -> Result<Json, String> {
        match (some_elements(object), some_elements(partial)) {
            (None, None) => Ok(partial.to_json()),
            _ if *list.list_type == ListType::Atomic => Ok(partial.to_json()),
            (Some(_), None) => Ok(object.to_json()),
            (None, Some(_)) => Ok(partial.to_json()),
            (Some(object), Some(partial)) => {
                let object = Side::new(self, list, object, true)?;
                let partial = Side::new(self, list, partial, false)?;
                self.elements(list, &object, &partial)
            }
        }
    }

    /// The elements of both in an order that is, as far as can be, that of both. Where they disagree the partial object
    /// is right.
    fn elements<'a>(
        &self,
        list: ListAtom<'c>,
        object: &Side<'a>,
        partial: &Side<'a>,
    ) -> Result<Json, String> {
        let mut shared: VecDeque<&Key<'a>> =
            partial.keys.iter().filter(|key| object.by_key.contains_key(*key)).collect();
        let mut next_shared = shared.pop_front();
        let mut taken: BTreeSet<&Key<'a>> = BTreeSet::new();
        let mut merged = Vec::with_capacity(object.keys.len().max(partial.keys.len()));
        let (mut left, mut right) = (0, 0);
        loop {
            let (on_left, on_right) = (object.keys.get(left), partial.keys.get(right));
            if on_left.is_none() && on_right.is_none() {
                return Ok(Json::Array(merged));
            }
            if let (Some(key), Some(other)) = (on_left, on_right) {
                if key == other {
                    taken.insert(other);
                    merged.push(self.either(list.element, object.get(key), partial.get(key))?);
                    (left, right) = (left + 1, right + 1);
                    next_shared = shared.pop_front();
                    continue;
                }
                // It is on both sides, but its turn comes later.
                let waits = next_shared.is_some_and(|next| next != key);
                if partial.by_key.contains_key(key) && waits {
                    left += 1;
                    continue;
                }
            }
            if let Some(key) = on_left {
                if !partial.by_key.contains_key(key) {
                    // By place: of several with this key each is kept.
                    merged.extend(object.elements.get(left).map(|element| element.to_json()));
                    left += 1;
                    continue;
                }
                if taken.contains(key) {
                    left += 1;
                }
            }
            if let Some(key) = on_right {
                taken.insert(key);
                merged.push(self.either(list.element, object.get(key), partial.get(key))?);
                right += 1;
                if next_shared == Some(key) {
                    next_shared = shared.pop_front();
                }
            }
        }
    }
}

fn some_members(side: Native<'_>) -> Option<Members<'_>> {
    match side.view() {
        View::Map(members) => Some(members).filter(|members| !members.is_empty()),
        _ => None,
    }
}

fn some_elements(side: Native<'_>) -> Option<Elements<'_>> {
    match side.view() {
        View::List(elements) => Some(elements).filter(|elements| elements.len() > 0),
        _ => None,
    }
}

fn member_shape<'c>(map: MapAtom<'c>, name: &str) -> Result<&'c Shape, String> {
    map.member(name).ok_or_else(|| format!(".{name}: field not declared in schema"))
}

/// One side of a merge of lists.
struct Side<'a> {
    elements: Vec<Native<'a>>,
    keys: Vec<Key<'a>>,
    /// The element of each key; none where several have it.
    by_key: BTreeMap<Key<'a>, Option<Native<'a>>>,
}

impl<'a> Side<'a> {
    fn new<'c: 'a>(
        schema: &Schema<'c>,
        list: ListAtom<'c>,
        elements: Elements<'a>,
        allow_duplicates: bool,
    ) -> Result<Side<'a>, String> {
        let mut side = Side {
            elements: elements.iter().collect(),
            keys: Vec::with_capacity(elements.len()),
            by_key: BTreeMap::new(),
        };
        for (place, element) in side.elements.iter().enumerate() {
            let key =
                schema.key(list, *element).map_err(|error| format!("element {place}: {error}"))?;
            let known = side.by_key.insert(key.clone(), Some(*element)).is_some();
            if known && !allow_duplicates {
                return Err(format!("duplicate entries for key {key}"));
            }
            if known {
                side.by_key.insert(key.clone(), None);
            }
            side.keys.push(key);
        }
        Ok(side)
    }

    fn get(&self, key: &Key<'a>) -> Option<Native<'a>> {
        self.by_key.get(key).copied().flatten()
    }
}
