//! Schemas as OpenAPI v3 documents and custom resource definitions write them, and what the expression language can see
//! of them. What it can't see has no shape: a field without a shape is not there for an expression.
//!
//! Source: `SchemaDeclType` of `k8s.io/apiserver/pkg/cel/common`.

use serde_json::Value;

use crate::cel::Type;
use crate::schema::shape::Shape;

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

/// The shape of what the schema describes; `None` if an expression can't see it.
pub(in crate::schema) fn shape(schema: &Value) -> Option<Shape> {
    if let Some(name) = reference(schema) {
        return Some(Shape::Reference(short(name).to_owned()));
    }
    let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or("");
    if text("format") == "int-or-string" || is_set(schema, "x-kubernetes-int-or-string") {
        return Some(Shape::Simple(Type::Dyn));
    }
    let simple = match (text("type"), text("format")) {
        ("array", _) => return shape(schema.get("items")?).map(|of| Shape::List(Box::new(of))),
        ("object", _) => return object(schema),
        ("string", "byte") => Type::Bytes,
        ("string", "duration") => Type::Duration,
        ("string", "date" | "date-time") => Type::Timestamp,
        ("string", _) => Type::String,
        ("boolean", _) => Type::Bool,
        ("number", _) => Type::Double,
        ("integer", _) => Type::Int,
        _ => return None,
    };
    Some(Shape::Simple(simple))
}

/// The shape of a custom resource, or of one that is embedded: it has metadata whatever its schema says.
pub(in crate::schema) fn resource(schema: &Value) -> Shape {
    let mut fields = properties(schema);
    let own = ["apiVersion", "kind", "metadata"];
    fields.retain(|(name, _)| !own.contains(&name.as_str()));
    let [version, kind, metadata] = own.map(str::to_owned);
    fields.push((version, Shape::Simple(Type::String)));
    fields.push((kind, Shape::Simple(Type::String)));
    fields.push((metadata, Shape::Reference(OBJECT_META.to_owned())));
    Shape::Object(fields)
}

fn object(schema: &Value) -> Option<Shape> {
    if is_set(schema, "x-kubernetes-embedded-resource") {
        return Some(resource(schema));
    }
    match schema.get("additionalProperties") {
        Some(of) if of.is_object() => shape(of).map(|of| Shape::Map(Box::new(of))),
        _ => Some(Shape::Object(properties(schema))),
    }
}

fn properties(schema: &Value) -> Vec<(String, Shape)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties = properties.into_iter().flatten();
    properties.filter_map(|(name, schema)| Some((name.clone(), shape(schema)?))).collect()
}

/// What the schema refers to. A reference stands in `allOf` where it has a description of its own.
fn reference(schema: &Value) -> Option<&str> {
    if let Some(to) = schema.get("$ref").and_then(Value::as_str) {
        return Some(to.strip_prefix(DEFINITIONS).unwrap_or(to));
    }
    schema.get("allOf").and_then(Value::as_array)?.iter().find_map(reference)
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
            let ty = shape(&schema).and_then(|shape| shape.to_type("X", &Definitions::new()));
            let seen = ty.map_or("nothing".to_owned(), |ty| ty.to_string());
            assert_eq!(seen, expected, "{schema}");
        }
    }

    #[test]
    fn an_embedded_resource_has_metadata() {
        let schema = json!({"type": "object", "x-kubernetes-embedded-resource": true});
        let Some(Shape::Object(fields)) = shape(&schema) else { panic!() };
        assert!(fields.iter().any(|(name, _)| name == "metadata"));
    }
}
