//! What an object of a kind looks like, as far as the expression language can see it, and that as a type. References
//! between definitions are followed when a type is made, so that a definition is kept once. Nothing here knows how
//! schemas are written.
//!
//! Source: `SchemaDeclType` of `k8s.io/apiserver/pkg/cel/common`, `PopulateRefs` of `pkg/cel/openapi/resolver`.

use std::collections::BTreeMap;

use crate::cel::{StructType, Type};

/// What can be seen of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A value without parts.
    Simple(Type),
    /// A list of such values.
    List(Box<Shape>),
    /// A map from strings to such values.
    Map(Box<Shape>),
    /// An object with these fields and no others.
    Object(Vec<(String, Shape)>),
    /// An object of a definition, by its name.
    Reference(String),
}

/// Shapes of objects by name.
pub(in crate::schema) type Definitions = BTreeMap<String, Shape>;

impl Shape {
    /// The type of such a value. Objects are called `name`, and their parts after their place in it, as the API server
    /// calls them: `Pod.spec.containers.@idx`. `None` if it refers to something that can't be seen.
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
            Shape::List(element) => {
                element.resolve(&format!("{name}.@idx"), definitions, around).map(Type::list)
            }
            Shape::Map(value) => {
                let value = value.resolve(&format!("{name}.@elem"), definitions, around)?;
                Some(Type::map(Type::String, value))
            }
            Shape::Object(fields) => {
                let fields = fields.iter().filter_map(|(field, shape)| {
                    let escaped = escape(field)?;
                    let ty = shape.resolve(&format!("{name}.{escaped}"), definitions, around)?;
                    // A reserved word may be written as it is, too.
                    let plain = is_reserved(field).then(|| (field.clone(), ty.clone()));
                    Some(plain.into_iter().chain([(escaped, ty)]))
                });
                let fields: Vec<_> = fields.flatten().collect();
                Some(StructType::new(name, fields))
            }
            // Where a definition refers to itself, the API server sees an object without fields.
            Shape::Reference(to) if around.contains(&to.as_str()) => {
                Some(StructType::new(name, Vec::<(String, Type)>::new()))
            }
            Shape::Reference(to) => {
                around.push(to);
                let ty =
                    definitions.get(to).and_then(|shape| shape.resolve(name, definitions, around));
                around.pop();
                ty
            }
        }
    }
}

/// The words that the language keeps for itself.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
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
        let node = Shape::Object(vec![
            ("next".into(), Shape::List(Box::new(Shape::Reference("Node".into())))),
            ("name".into(), Shape::Simple(Type::String)),
        ]);
        let definitions = Definitions::from([("Node".to_owned(), node)]);
        let ty = Shape::Reference("Node".into()).to_type("A", &definitions).unwrap();
        let Type::Struct(object) = &ty else { panic!("{ty}") };
        assert_eq!(object.field("name"), Some(Type::String));
        let Some(Type::List(next)) = object.field("next") else { panic!("{object:?}") };
        let Type::Struct(next) = &*next else { panic!("{next}") };
        assert_eq!((next.name.as_str(), next.field_names().count()), ("A.next.@idx", 0));
    }
}
