//! Which resources serve the same objects: `matchPolicy: Equivalent` looks through this table. It is passed in, because
//! only an API server, or a file, knows it.

use std::collections::HashMap;

use crate::policy::request::{Kind, Resource};

/// Sets of resources that serve the same objects.
#[derive(Clone, Debug, Default)]
pub struct Equivalents {
    sets: Vec<Vec<Equivalent>>,
    /// By group, then resource, the position of the set.
    by_resource: HashMap<Box<str>, HashMap<Box<str>, usize>>,
}

/// One way to reach the objects of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivalent {
    /// The API group.
    pub group: String,
    /// The API version.
    pub version: String,
    /// The resource.
    pub resource: String,
    /// The subresource that the kind is for; empty for the object itself.
    pub subresource: String,
    /// Group, version and kind of what is served there.
    pub kind: (String, String, String),
}

impl Equivalents {
    /// A table of these sets. A resource that is in several sets belongs to the last.
    pub fn new(sets: Vec<Vec<Equivalent>>) -> Equivalents {
        let mut by_resource: HashMap<Box<str>, HashMap<Box<str>, usize>> = HashMap::new();
        for (position, set) in sets.iter().enumerate() {
            for entry in set {
                let resources = by_resource.entry(entry.group.as_str().into()).or_default();
                resources.insert(entry.resource.as_str().into(), position);
            }
        }
        Equivalents { sets, by_resource }
    }

    /// Every resource that serves the same objects with this subresource, itself included, each with its kind.
    pub fn of<'e>(
        &'e self,
        resource: Resource<'_>,
        subresource: &str,
    ) -> impl Iterator<Item = (Resource<'e>, Option<Kind<'e>>)> {
        let position =
            self.by_resource.get(resource.group).and_then(|m| m.get(resource.resource)).copied();
        let set = position.and_then(|position| self.sets.get(position));
        set.into_iter().flatten().filter(move |entry| entry.subresource == subresource).map(
            |entry| {
                let Equivalent { group, version, resource, kind, .. } = entry;
                let (kind_group, kind_version, kind_name) = kind;
                let kind = Kind { group: kind_group, version: kind_version, kind: kind_name };
                (Resource { group, version, resource }, Some(kind).filter(|k| !k.kind.is_empty()))
            },
        )
    }
}
