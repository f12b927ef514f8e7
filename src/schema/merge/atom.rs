//! What the schema says of one place in an object: whether a scalar, a list or a map may stand there, and how lists and
//! maps are merged.
//!
//! Source: `Atom` and `Resolve` of `sigs.k8s.io/structured-merge-diff/v6/schema`.

use crate::cel::Type;
use crate::schema::merge::Schema;
use crate::schema::merge::native::View;
use crate::schema::shape::{Field, ListType, MapType, Object, Shape};

/// What may stand in a place. At least one is set.
#[derive(Clone, Copy, Debug)]
pub(in crate::schema::merge) struct Atom<'c> {
    pub scalar: Option<Scalar>,
    pub list: Option<ListAtom<'c>>,
    pub map: Option<MapAtom<'c>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::schema::merge) enum Scalar {
    Number,
    Text,
    Bool,
    Any,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::schema::merge) struct ListAtom<'c> {
    pub element: &'c Shape,
    pub list_type: &'c ListType,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::schema::merge) struct MapAtom<'c> {
    object: Option<&'c Object>,
    /// What members are that are no fields; none if there may be none.
    other: Option<&'c Shape>,
    pub map_type: MapType,
}

impl<'c> MapAtom<'c> {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&'c Field> {
        self.object?.field(name)
    }

    /// What the member of this name may be.
    pub fn member(&self, name: &str) -> Option<&'c Shape> {
        self.field(name).map(|field| &field.shape).or(self.other)
    }
}

static ANYTHING: Shape = Shape::Anything;
static RAW: Shape = Shape::Raw;
static ATOMIC_LIST: ListType = ListType::Atomic;

impl<'c> Schema<'c> {
    /// What may stand where this shape is.
    ///
    /// # Errors
    /// If it refers to a definition that is not there.
    pub(in crate::schema::merge) fn atom(&self, shape: &'c Shape) -> Result<Atom<'c>, String> {
        let none = Atom { scalar: None, list: None, map: None };
        let scalar = |scalar| Atom { scalar: Some(scalar), ..none };
        Ok(match shape {
            Shape::Simple(Type::Int | Type::Double) => scalar(Scalar::Number),
            Shape::Simple(Type::String | Type::Bytes) => scalar(Scalar::Text),
            Shape::Simple(Type::Bool) => scalar(Scalar::Bool),
            // A number or a text has no `type` in OpenAPI, and so is taken for anything.
            Shape::Simple(Type::Dyn) | Shape::Anything => anything(&ANYTHING, MapType::Granular),
            Shape::Simple(_) | Shape::Formatted | Shape::Quantity => scalar(Scalar::Any),
            Shape::Raw => anything(&RAW, MapType::Atomic),
            Shape::List(element, list_type) => {
                Atom { list: Some(ListAtom { element, list_type }), ..none }
            }
            Shape::Map(value, map_type) => {
                let map = MapAtom { object: None, other: Some(value), map_type: *map_type };
                Atom { map: Some(map), ..none }
            }
            Shape::Object(object) => {
                let other = object.is_open.then_some(&ANYTHING);
                let map = MapAtom { object: Some(object), other, map_type: object.map_type };
                Atom { map: Some(map), ..none }
            }
            Shape::Reference(name, map_type) => {
                let missing = || format!("schema error: no type found matching: {name}");
                // Definitions do not refer to each other as a whole.
                let shape = self.definitions.get(name).ok_or_else(missing)?;
                if matches!(shape, Shape::Reference(..)) {
                    return Err(missing());
                }
                let mut atom = self.atom(shape)?;
                if let (Some(map), Some(map_type)) = (&mut atom.map, map_type) {
                    map.map_type = *map_type;
                }
                atom
            }
        })
    }
}

/// What is known of a value of which nothing is known. Lists are replaced as a whole, with all that is in them.
fn anything(other: &'static Shape, map_type: MapType) -> Atom<'static> {
    Atom {
        scalar: Some(Scalar::Any),
        list: Some(ListAtom { element: &RAW, list_type: &ATOMIC_LIST }),
        map: Some(MapAtom { object: None, other: Some(other), map_type }),
    }
}

impl Atom<'_> {
    /// Without what the value is not, if it is something that may stand there.
    pub fn deduced(self, view: View<'_>) -> Self {
        let Atom { scalar, list, map } = self;
        let none = Atom { scalar: None, list: None, map: None };
        match view {
            View::Double(_) | View::Int(_) | View::String(_) | View::Bool(_)
                if scalar.is_some() =>
            {
                Atom { scalar, ..none }
            }
            View::List(_) if list.is_some() => Atom { list, ..none },
            View::Map(_) if map.is_some() => Atom { map, ..none },
            _ => self,
        }
    }
}
