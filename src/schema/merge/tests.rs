//! What is merged, and how. The order of elements and the texts of errors are compared with the API server's in
//! `e2e/conformance/cases.jsonl`; here is what can be seen without an expression.

use serde_json::{Value as Json, json};

use crate::cel::{Struct, Value};
use crate::json::Document;
use crate::schema::catalog::{Catalog, Unknown};

/// A kind whose `spec` has a member of every sort.
fn catalog() -> Catalog {
    let mut catalog = Catalog::built_in();
    let element = json!({"type": "object", "properties": {
        "port": {"type": "integer"},
        "protocol": {"type": "string", "default": "TCP"},
        "name": {"type": "string"},
    }});
    let spec = json!({"type": "object", "properties": {
        "ports": {"type": "array", "items": element, "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"]},
        "hosts": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "args": {"type": "array", "items": {"type": "string"}},
        "selector": {"type": "object", "x-kubernetes-map-type": "atomic",
            "additionalProperties": {"type": "string"}},
        "sizes": {"type": "object", "additionalProperties": {"type": "integer"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"known": {"type": "boolean"}}},
        "at": {"x-kubernetes-int-or-string": true},
        "inner": {"type": "object", "x-kubernetes-embedded-resource": true},
    }});
    catalog.add_custom(&Document::from_value(&json!({
        "kind": "CustomResourceDefinition",
        "spec": {
            "group": "example.com", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true, "schema": {"openAPIV3Schema":
                {"type": "object", "properties": {"spec": spec}}}}],
        },
    })));
    catalog
}

/// The `spec` that comes of a `spec` and a partial one, or what is wrong.
fn merged(spec: &Json, partial: &Json) -> Json {
    let object = json!({
        "apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec,
    });
    let (object, partial) = (Document::from_value(&object), Document::from_value(partial));
    let fields = [("spec", Value::from_json(partial.root()))];
    let partial = Struct { name: "Object", fields: &fields };
    let catalog = catalog();
    let schema = catalog.schema_of("example.com", "v1", "Thing").unwrap();
    match schema.apply(object.root(), partial) {
        Ok(merged) => merged["spec"].clone(),
        Err(error) => Json::from(error.to_string().rsplit_once(": ").unwrap().1),
    }
}

#[test]
fn each_sort_is_merged_in_its_way() {
    let port = |port: i64, name: &str| json!({"port": port, "name": name});
    let rows = [
        // Elements are told apart by their keys, with the defaults of those that are not there.
        (
            json!({"ports": [{"port": 1, "protocol": "TCP"}, port(2, "b")]}),
            json!({"ports": [port(2, "c"), port(1, "a")]}),
            json!({"ports": [port(2, "c"), {"port": 1, "protocol": "TCP", "name": "a"}]}),
        ),
        (
            json!({"ports": [port(1, "a"), port(2, "b"), port(3, "c")]}),
            json!({"ports": [port(4, "d"), port(2, "x")]}),
            json!({"ports": [port(1, "a"), port(4, "d"), port(2, "x"), port(3, "c")]}),
        ),
        (
            json!({"hosts": ["a", "b"]}),
            json!({"hosts": ["c", "a"]}),
            json!({"hosts": ["c", "a", "b"]}),
        ),
        (
            json!({"sizes": {"a": 1, "b": 2}}),
            json!({"sizes": {"b": 3, "c": 4}}),
            json!({"sizes": {"a": 1, "b": 3, "c": 4}}),
        ),
        (
            json!({"free": {"x": {"a": 1}, "known": true}}),
            json!({"free": {"x": {"b": [1]}}}),
            json!({"free": {"x": {"a": 1, "b": [1]}, "known": true}}),
        ),
        (json!({"at": 1}), json!({"at": "x"}), json!({"at": "x"})),
        (json!({"at": {"a": 1}}), json!({"at": {"b": 2}}), json!({"at": {"a": 1, "b": 2}})),
        (
            json!({"inner": {"kind": "A", "metadata": {"name": "a"}}}),
            json!({"inner": {"metadata": {"labels": {"a": "b"}}}}),
            json!({"inner": {"kind": "A", "metadata": {"name": "a", "labels": {"a": "b"}}}}),
        ),
        // Nothing is taken away.
        (json!({"sizes": {"a": 1}}), json!({"sizes": {}}), json!({"sizes": {"a": 1}})),
        (json!({"hosts": ["a"]}), json!({"hosts": []}), json!({"hosts": ["a"]})),
        (Json::Null, json!({"hosts": ["a"]}), json!({"hosts": ["a"]})),
    ];
    for (spec, partial, expected) in rows {
        let merged = merged(&spec, &partial);
        // The order of members counts too.
        assert_eq!(merged.to_string(), expected.to_string(), "{spec} with {partial}");
    }
}

#[test]
fn what_would_be_replaced_or_does_not_fit_is_refused() {
    let none = json!({});
    let rows = [
        (json!({"args": ["a"]}), ".spec.args"),
        (json!({"args": [], "selector": {}}), ".spec.args, .spec.selector"),
        (json!({"nothing": 1}), "field not declared in schema"),
        (json!({"free": {"known": 1}}), "expected boolean, got &{1}"),
        (json!({"sizes": {"a": "b"}}), "expected numeric (int or float), got string"),
        (json!({"hosts": ["a", "a"]}), "duplicate entries for key [=\"a\"]"),
        (json!({"hosts": {"a": 1}}), "expected list, got &{map[a:1]}"),
        (
            json!({"ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]}),
            "duplicate entries for key [port=1,protocol=\"TCP\"]",
        ),
        (
            json!({"ports": ["a"]}),
            "element 0: associative list with keys may not have non-map elements",
        ),
    ];
    for (partial, expected) in rows {
        let said = merged(&none, &partial);
        let said = said.as_str().unwrap();
        let place = expected.rsplit_once(": ").map_or(expected, |(_, text)| text);
        assert_eq!(said, place, "{partial}");
    }
}

#[test]
fn merging_twice_changes_nothing() {
    let spec = json!({"hosts": ["a", "b"], "ports": [{"port": 1}, {"port": 2}], "sizes": {"a": 1}});
    let partial =
        json!({"hosts": ["c", "a"], "ports": [{"port": 3}, {"port": 1}], "sizes": {"b": 1}});
    let once = merged(&spec, &partial);
    assert_eq!(merged(&once, &partial).to_string(), once.to_string());
}

#[test]
fn a_partial_object_without_end_is_refused() {
    let long = "a".repeat(super::native::PARTIAL_SIZE_MAX);
    assert_eq!(
        merged(&json!({}), &json!({"hosts": [long]})),
        json!(format!("larger than {} bytes", super::native::PARTIAL_SIZE_MAX))
    );
}

#[test]
fn a_kind_is_unknown_alone_or_with_its_version() {
    let catalog = catalog();
    let unknown = |group: &str, version: &str, kind: &str| {
        catalog.schema_of(group, version, kind).map(|_| ()).unwrap_err()
    };
    assert_eq!(unknown("example.com", "v1", "Other"), Unknown::Kind);
    assert_eq!(unknown("example.com", "v2", "Thing"), Unknown::Version);
    assert_eq!(unknown("autoscaling", "v1", "Scale"), Unknown::Kind);
}
