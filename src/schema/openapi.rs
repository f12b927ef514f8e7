//! Schemas as OpenAPI v3 documents and custom resource definitions write them, read as shapes.
//!
//! Source: `SchemaDeclType` of `k8s.io/apiserver/pkg/cel/common`, `ToSchemaFromOpenAPI` of
//! `k8s.io/kube-openapi/pkg/schemaconv`.

use serde_json::Value;

use crate::cel::Type;
use crate::schema::shape::{Field, ListType, MapType, Object, Shape};

/// Where the metadata of every object is defined.
pub(in crate::schema) const OBJECT_META: &str = "apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Where the definitions of a document are.
const DEFINITIONS: &str = "#/components/schemas/";

/// What most names of definitions begin with, and what is left out.
const NAME_PREFIX: &str = "io.k8s.";

/// The short name of a definition.
pub(in crate::schema) fn short(name: &str) -> &str {
    name.strip_prefix(NAME_PREFIX).unwrap_or(name)
}

/// The shape of a definition of this short name.
pub(in crate::schema) fn definition(name: &str, schema: &Value) -> Shape {
    match name {
        "apimachinery.pkg.api.resource.Quantity" => Shape::Quantity,
        "apimachinery.pkg.runtime.RawExtension" => Shape::Raw,
        _ => shape(schema),
    }
}

/// The shape of what the schema describes.
pub(in crate::schema) fn shape(schema: &Value) -> Shape {
    shape_within(schema, false)
}

/// `is_open`: a schema around this one keeps members that it does not know, and with it all schemas within.
fn shape_within(schema: &Value, is_open: bool) -> Shape {
    if let Some(name) = reference(schema) {
        let map_type = schema.get("x-kubernetes-map-type").map(|_| map_type(schema));
        return Shape::Reference(short(name).to_owned(), map_type);
    }
    let is_open = is_open || is_set(schema, "x-kubernetes-preserve-unknown-fields");
    if text(schema, "format") == "int-or-string" || is_set(schema, "x-kubernetes-int-or-string") {
        return Shape::Simple(Type::Dyn);
    }
    Shape::Simple(match (text(schema, "type"), text(schema, "format")) {
        ("array", _) => {
            let items = schema.get("items");
            let of = items.map_or(Shape::Anything, |items| shape_within(items, is_open));
            return Shape::List(Box::new(of), list_type(schema));
        }
        ("object", _) => return object(schema, is_open),
        ("string", "byte") => Type::Bytes,
        ("string", "duration") => Type::Duration,
        ("string", "date" | "date-time") => Type::Timestamp,
        ("string", "") => Type::String,
        ("string", _) => return Shape::Formatted,
        ("boolean", _) => Type::Bool,
        ("number", _) => Type::Double,
        ("integer", _) => Type::Int,
        _ => return Shape::Anything,
    })
}

/// The shape of a custom resource, or of one that is embedded: it has metadata whatever its schema says.
pub(in crate::schema) fn resource(schema: &Value) -> Shape {
    let is_open = is_set(schema, "x-kubernetes-preserve-unknown-fields");
    resource_within(schema, is_open)
}

fn resource_within(schema: &Value, is_open: bool) -> Shape {
    let mut fields = properties(schema, is_open);
    let own = ["apiVersion", "kind", "metadata"];
    fields.retain(|field| !own.contains(&field.name.as_str()));
    let shapes = [
        Shape::Simple(Type::String),
        Shape::Simple(Type::String),
        Shape::Reference(OBJECT_META.to_owned(), None),
    ];
    let own = own.into_iter().zip(shapes);
    fields.extend(own.map(|(name, shape)| Field { name: name.to_owned(), shape, default: None }));
    Shape::Object(Object { map_type: map_type(schema), is_open, ..Object::new(fields) })
}

fn object(schema: &Value, is_open: bool) -> Shape {
    if is_set(schema, "x-kubernetes-embedded-resource") {
        return resource_within(schema, is_open);
    }
    let map_type = map_type(schema);
    match schema.get("additionalProperties") {
        Some(of) if of.is_object() => Shape::Map(Box::new(shape_within(of, is_open)), map_type),
        more => {
            let fields = Object::new(properties(schema, is_open));
            let is_open = match more.and_then(Value::as_bool) {
                Some(allows) => allows,
                None => is_open || fields.is_open,
            };
            Shape::Object(Object { map_type, is_open, ..fields })
        }
    }
}

fn properties(schema: &Value, is_open: bool) -> Vec<Field> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let fields = properties.into_iter().flatten().map(|(name, schema)| Field {
        name: name.clone(),
        shape: shape_within(schema, is_open),
        default: schema.get("default").cloned(),
    });
    fields.collect()
}

/// What the schema refers to. A reference stands in `allOf` where it has a description of its own.
fn reference(schema: &Value) -> Option<&str> {
    if let Some(to) = schema.get("$ref").and_then(Value::as_str) {
        return Some(to.strip_prefix(DEFINITIONS).unwrap_or(to));
    }
    schema.get("allOf").and_then(Value::as_array)?.iter().find_map(reference)
}

/// How lists are merged: as the schema says, or as strategic merge patches do it.
fn list_type(schema: &Value) -> ListType {
    let keys = || {
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
        keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    match (text(schema, "x-kubernetes-list-type"), text(schema, "x-kubernetes-patch-strategy")) {
        ("set", _) => ListType::Set,
        ("map", _) => ListType::Map(keys()),
        ("", "merge" | "merge,retainKeys") => match text(schema, "x-kubernetes-patch-merge-key") {
            "" => ListType::Set,
            key => ListType::Map(vec![key.to_owned()]),
        },
        _ => ListType::Atomic,
    }
}

fn map_type(schema: &Value) -> MapType {
    match text(schema, "x-kubernetes-map-type") {
        "atomic" => MapType::Atomic,
        _ => MapType::Granular,
    }
}

fn text<'v>(schema: &'v Value, key: &str) -> &'v str {
    schema.get(key).and_then(Value::as_str).unwrap_or("")
}

fn is_set(schema: &Value, extension: &str) -> bool {
    schema.get(extension).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::shape::Definitions;

    #[test]
    fn schemas_are_seen_as_kubernetes_sees_them() {
        let rows = [
            (json!({"type": "string"}), "string"),
            (json!({"type": "string", "format": "byte"}), "bytes"),
            (json!({"type": "string", "format": "date-time"}), "google.protobuf.Timestamp"),
            (json!({"type": "string", "format": "duration"}), "google.protobuf.Duration"),
            (json!({"type": "string", "format": "uuid"}), "string"),
            (json!({"type": "integer", "format": "int32"}), "int"),
            (json!({"type": "number"}), "double"),
            (json!({"x-kubernetes-int-or-string": true}), "dyn"),
            (json!({"format": "int-or-string", "oneOf": [{"type": "integer"}]}), "dyn"),
            (json!({"oneOf": [{"type": "string"}, {"type": "number"}]}), "nothing"),
            (json!({"type": "array", "items": {"type": "boolean"}}), "list(bool)"),
            (json!({"type": "array", "items": {}}), "nothing"),
            (json!({"type": "array"}), "nothing"),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                "map(string, string)",
            ),
            (json!({"type": "object", "additionalProperties": {}}), "nothing"),
            (json!({"type": "object", "additionalProperties": true}), "X"),
            (json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}), "X"),
            (json!({"x-kubernetes-preserve-unknown-fields": true}), "nothing"),
        ];
        for (schema, expected) in rows {
            let ty = shape(&schema).to_type("X", &Definitions::new());
            let seen = ty.map_or("nothing".to_owned(), |ty| ty.to_string());
            assert_eq!(seen, expected, "{schema}");
        }
    }

    #[test]
    fn an_embedded_resource_has_metadata() {
        let schema = json!({"type": "object", "x-kubernetes-embedded-resource": true});
        let Shape::Object(object) = shape(&schema) else { panic!() };
        assert!(object.field("metadata").is_some());
    }
}
