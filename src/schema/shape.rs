//! What an object of a kind looks like: as the expression language sees it, which is a type, and as it is merged.
//! References between definitions are followed when they are used, so that a definition is kept once. Nothing here knows
//! how schemas are written.
//!
//! Source: `SchemaDeclType` of `k8s.io/apiserver/pkg/cel/common`, `PopulateRefs` of `pkg/cel/openapi/resolver`; `Schema`
//! of `sigs.k8s.io/structured-merge-diff`.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::cel::{StructType, Type, is_reserved};

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A value without parts. `dyn` is a number or a text.
    Simple(Type),
    /// A text of a format that has no type of its own.
    Formatted,
    /// A number with a unit, as text or as a number. An expression can't see it.
    Quantity,
    /// Anything. An expression can't see it; when merged, a map in it is merged and a list replaced.
    Anything,
    /// An object of which nothing is known and which is replaced as a whole.
    Raw,
    /// A list of such values.
    List(Box<Shape>, ListType),
    /// A map from strings to such values.
    Map(Box<Shape>, MapType),
    /// An object.
    Object(Object),
    /// An object of a definition, by its name; and how it is merged, where the definition does not decide.
    Reference(String, Option<MapType>),
}

/// How a list is merged: `x-kubernetes-list-type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListType {
    /// As a whole.
    Atomic,
    /// Each value once.
    Set,
    /// By these members of its elements.
    Map(Vec<String>),
}

/// How a map or an object is merged: `x-kubernetes-map-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapType {
    /// Member by member.
    #[default]
    Granular,
    /// As a whole.
    Atomic,
}

/// An object with fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// By name.
    pub(in crate::schema) fields: Vec<Field>,
    /// How it is merged.
    pub map_type: MapType,
    /// Whether it may have other members.
    pub is_open: bool,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it may be.
    pub shape: Shape,
    /// What it is when nobody says.
    pub default: Option<Json>,
}

impl Object {
    /// An object with these fields; without any, it may have all.
    pub fn new(mut fields: Vec<Field>) -> Object {
        fields.sort_by(|one, other| one.name.cmp(&other.name));
        let is_open = fields.is_empty();
        Object { fields, map_type: MapType::Granular, is_open }
    }

    /// The fields, by name.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let place = self.fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()?;
        self.fields.get(place)
    }
}

/// Shapes by name.
pub(in crate::schema) type Definitions = BTreeMap<String, Shape>;

impl Shape {
    /// The type of such a value. Objects are called `name`, and their parts after their place in it, as the API server
    /// calls them: `Pod.spec.containers.@idx`. `None` if an expression can't see it.
    pub(in crate::schema) fn to_type(&self, name: &str, definitions: &Definitions) -> Option<Type> {
        self.resolve(name, definitions, &mut Vec::new())
    }

    fn resolve<'s>(
        &'s self,
        name: &str,
        definitions: &'s Definitions,
        around: &mut Vec<&'s str>,
    ) -> Option<Type> {
        match self {
            Shape::Simple(ty) => Some(ty.clone()),
            Shape::Formatted => Some(Type::String),
            Shape::Quantity | Shape::Anything => None,
            Shape::Raw => Some(StructType::new(name, Vec::<(String, Type)>::new())),
            Shape::List(element, _) => {
                element.resolve(&format!("{name}.@idx"), definitions, around).map(Type::list)
            }
            Shape::Map(value, _) => {
                let value = value.resolve(&format!("{name}.@elem"), definitions, around)?;
                Some(Type::map(Type::String, value))
            }
            Shape::Object(object) => {
                let fields =
                    object.fields.iter().filter_map(|Field { name: field, shape, .. }| {
                        let escaped = escape(field)?;
                        let ty =
                            shape.resolve(&format!("{name}.{escaped}"), definitions, around)?;
                        // A reserved word may be written as it is, too.
                        let plain = is_reserved(field).then(|| (field.clone(), ty.clone()));
                        Some(plain.into_iter().chain([(escaped, ty)]))
                    });
                let fields: Vec<_> = fields.flatten().collect();
                Some(StructType::new(name, fields))
            }
            // Where a definition refers to itself, the API server sees an object without fields.
            Shape::Reference(to, _) if around.contains(&to.as_str()) => {
                Some(StructType::new(name, Vec::<(String, Type)>::new()))
            }
            Shape::Reference(to, _) => {
                around.push(to);
                let ty =
                    definitions.get(to).and_then(|shape| shape.resolve(name, definitions, around));
                around.pop();
                ty
            }
        }
    }
}

/// A name as an expression writes it: `a-b` is `a__dash__b`. `None` if it can't be written at all.
///
/// Source: `Escape` of `k8s.io/apiserver/pkg/cel`.
fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if is_reserved(name) {
        return Some(format!("__{name}__"));
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c)) {
        return None;
    }
    let escaped = name.replace("__", "__underscores__");
    Some(escaped.replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_kubernetes_escapes_them() {
        let rows = [
            ("name", Some("name")),
            ("a-b.c/d", Some("a__dash__b__dot__c__slash__d")),
            ("a__b", Some("a__underscores__b")),
            ("a___b", Some("a__underscores___b")),
            ("namespace", Some("__namespace__")),
            ("$ref", None),
            ("1st", None),
            ("", None),
        ];
        for (name, expected) in rows {
            assert_eq!(escape(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_definition_in_itself_is_an_object_without_fields() {
        let refer = || Shape::Reference("Node".into(), None);
        let field = |name: &str, shape| Field { name: name.into(), shape, default: None };
        let node = Shape::Object(Object::new(vec![
            field("next", Shape::List(Box::new(refer()), ListType::Atomic)),
            field("name", Shape::Simple(Type::String)),
        ]));
        let definitions = Definitions::from([("Node".to_owned(), node)]);
        let ty = refer().to_type("A", &definitions).unwrap();
        let Type::Struct(object) = &ty else { panic!("{ty}") };
        assert_eq!(object.field("name"), Some(Type::String));
        let Some(Type::List(next)) = object.field("next") else { panic!("{object:?}") };
        let Type::Struct(next) = &*next else { panic!("{next}") };
        assert_eq!((next.name.as_str(), next.field_names().count()), ("A.next.@idx", 0));
    }
}
