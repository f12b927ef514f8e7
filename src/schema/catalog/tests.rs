//! What the catalog knows.

use serde_json::json;

use super::*;

fn select(catalog: &Catalog, version: &str, kind: &str, path: &str) -> String {
    let kind = Kind::of(version, kind).unwrap();
    let mut ty = catalog.type_of(&kind);
    for field in path.split('.').filter(|field| !field.is_empty()) {
        ty = match ty {
            Some(Type::Struct(object)) => object.field(field),
            Some(Type::List(element)) if field == "@idx" => Some((*element).clone()),
            _ => None,
        };
    }
    ty.map_or_else(|| "nothing".to_owned(), |ty| ty.to_string())
}

#[test]
fn built_in_kinds_are_known() {
    let catalog = Catalog::built_in();
    let rows = [
        ("v1", "Pod", "spec.containers", "list(Pod.spec.containers.@idx)"),
        ("v1", "Pod", "spec.containers.@idx.image", "string"),
        // The API server does not see quantities, nor maps of them.
        ("v1", "Pod", "spec.containers.@idx.resources.limits", "nothing"),
        ("v1", "Pod", "metadata.labels", "map(string, string)"),
        ("v1", "Pod", "metadata.namespace", "string"),
        ("v1", "Pod", "metadata.__namespace__", "string"),
        ("v1", "Pod", "metadata.creationTimestamp", "google.protobuf.Timestamp"),
        ("v1", "Secret", "data", "map(string, bytes)"),
        ("v1", "Service", "spec.ports.@idx.targetPort", "dyn"),
        ("apps/v1", "Deployment", "spec.replicas", "int"),
        ("apps/v1", "Deployment", "spec.template.spec.hostNetwork", "bool"),
        ("apps/v1", "Deployment", "spec.replicaz", "nothing"),
        ("apps/v1", "Nothing", "", "nothing"),
    ];
    for (version, kind, path, expected) in rows {
        assert_eq!(select(&catalog, version, kind, path), expected, "{kind} {path}");
    }
}

#[test]
fn resources_stand_for_kinds() {
    let catalog = Catalog::built_in();
    let rows = [
        ("apps", "v1", "deployments", "apps/v1, Kind=Deployment"),
        ("apps", "v1", "Deployment", "apps/v1, Kind=Deployment"),
        ("", "v1", "pods", "/v1, Kind=Pod"),
        // The core group has no name, and so stands for all.
        ("", "v1", "deployments", "apps/v1, Kind=Deployment"),
        ("", "v1", "events", "/v1, Kind=Event; events.k8s.io/v1, Kind=Event"),
        ("apps", "v1", "pods", ""),
        ("apps", "v2", "deployments", ""),
    ];
    for (group, version, resource, expected) in rows {
        let kinds: Vec<String> =
            catalog.kinds_of(group, version, resource).map(ToString::to_string).collect();
        assert_eq!(kinds.join("; "), expected, "{group} {version} {resource}");
    }
}

#[test]
fn what_is_written_is_read() {
    let catalog = Catalog::built_in();
    assert_eq!(Catalog::read(&catalog.write("again")), catalog);
}

#[test]
fn custom_kinds_are_added() {
    let mut catalog = Catalog::built_in();
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"maxReplicas": {"type": "integer"}}},
    }});
    let version = |name: &str, served: bool| json!({"name": name, "served": served, "schema": {"openAPIV3Schema": schema}});
    catalog.add_custom(&Document::from_value(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "spec": {
            "group": "rules.example.com", "names": {"kind": "Rule", "plural": "rules"},
            "versions": [version("v1", true), version("v0", false)],
        },
    })));
    let rows = [
        ("v1", "spec.maxReplicas", "int"),
        ("v1", "metadata.name", "string"),
        ("v1", "kind", "string"),
        ("v1", "spec.minReplicas", "nothing"),
        ("v0", "spec.maxReplicas", "nothing"),
    ];
    for (version, path, expected) in rows {
        let version = format!("rules.example.com/{version}");
        assert_eq!(select(&catalog, &version, "Rule", path), expected, "{version} {path}");
    }
    assert_eq!(catalog.kinds_of("rules.example.com", "v1", "rule").count(), 1);
}

#[test]
fn broken_definitions_add_nothing() {
    let mut catalog = Catalog::default();
    for broken in [json!(null), json!({"kind": "CustomResourceDefinition"}), json!([1])] {
        catalog.add_custom(&Document::from_value(&broken));
    }
    assert_eq!(catalog, Catalog::default());
}

#[test]
fn documents_of_an_api_server_become_a_catalog() {
    let of = json!({"group": "apps", "version": "v1", "kind": "Scale"});
    let refer = |name: &str| json!({"allOf": [{"$ref": format!("#/components/schemas/io.k8s.api.{name}")}]});
    let document = json!({
        "paths": {
            "/apis/apps/v1/namespaces/{namespace}/scales": {"post": {"x-kubernetes-group-version-kind": of}},
            "/apis/apps/v1/namespaces/{namespace}/pods/{name}/scale": {"post": {"x-kubernetes-group-version-kind": of}},
        },
        "components": {"schemas": {
            "io.k8s.api.Scale": {
                "type": "object", "x-kubernetes-group-version-kind": [of],
                "properties": {"at": refer("Time"), "size": refer("Quantity"), "ones": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                    "more": {"type": "array", "items": refer("Part"), "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["a"]}},
            },
            "io.k8s.api.Part": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {
                "a": {"type": "integer", "default": 0}, "b": {"type": "string", "default": ""}}},
            "io.k8s.api.Unused": {"type": "object"},
            "io.k8s.api.Time": {"type": "string", "format": "date-time"},
            "io.k8s.api.Quantity": {"oneOf": [{"type": "string"}]},
        }},
    });
    assert_eq!(
        Catalog::built_in_from_openapi([&document]).write("t"),
        "# t\nkind apps/v1 Scale scales =api.Scale\ntype api.Part ! a:int|0 b:string\ntype api.Scale at:time more:[(map,a)=api.Part ones:[(set)string size:anything\n"
    );
}
