//! What matches, as sentences over data.

use serde_json::{Value, json};

use crate::json::{Document, Node};
use crate::policy::matching::{Equivalent, Equivalents, Index, Matcher, Namespace, is_excluded};
use crate::policy::request::{Kind, Operation, Request, Resource, User};

/// `CREATE apps/v1/deployments/scale ns/name`: operation, resource, and where.
fn request<'a>(text: &'a str, object: Node<'a>, old_object: Node<'a>) -> Request<'a> {
    let mut words = text.split(' ');
    let operation = Operation::parse(words.next().unwrap()).unwrap();
    let path: Vec<&str> = words.next().unwrap().split('/').collect();
    let (namespace, name) = words.next().unwrap_or("/").split_once('/').unwrap();
    let [group, version, resource] = [path[0], path[1], path[2]];
    let kind = match resource {
        "namespaces" => "Namespace",
        "deployments" => "Deployment",
        _ => "Pod",
    };
    let null = Node::null();
    let kind = Kind { group, version, kind };
    let resource = Resource { group, version, resource };
    Request {
        uid: "",
        operation,
        kind,
        resource,
        served_kind: kind,
        served_resource: resource,
        subresource: path.get(3).copied().unwrap_or(""),
        name,
        namespace,
        user: User { name: "", uid: "", groups: null, extra: null },
        object,
        old_object,
        attributes: null,
        dry_run: false,
    }
}

fn equivalents() -> Equivalents {
    let entry = |group: &str, version: &str, subresource: &str, kind: &str| Equivalent {
        group: group.into(),
        version: version.into(),
        resource: "deployments".into(),
        subresource: subresource.into(),
        kind: (group.into(), version.into(), kind.into()),
    };
    Equivalents::new(vec![vec![
        entry("apps", "v1", "", "Deployment"),
        entry("apps", "v1", "scale", "Scale"),
        entry("extensions", "v1beta1", "", "Deployment"),
        entry("legacy", "v1", "", ""),
    ]])
}

fn matcher(resources: &Value) -> Matcher {
    Matcher::new(&serde_json::from_value(resources.clone()).unwrap())
}

/// What the request is matched as, `-`, or the error.
fn answer(resources: &Value, question: &str, labels: [Value; 3]) -> String {
    let object = |labels: &Value| match labels {
        Value::Null => Document::from_value(&Value::Null),
        labels => Document::from_value(&json!({"metadata": {"labels": labels}})),
    };
    let [new, old, namespace] = [&labels[0], &labels[1], &labels[2]].map(object);
    let request = request(question, new.root(), old.root());
    let namespace = match namespace.root() {
        none if none.is_null() => Namespace::Missing,
        node => Namespace::Exists(node),
    };
    let equivalents = equivalents();
    match matcher(resources).matches(&request, namespace, &equivalents) {
        Ok(Some(matched)) => {
            format!("{}/{}", matched.resource, matched.resource.version)
        }
        Ok(None) => "-".into(),
        Err(error) => error.to_string(),
    }
}

fn rule(operations: &[&str], group: &str, version: &str, resource: &str, scope: &str) -> Value {
    json!({
        "operations": operations, "apiGroups": [group], "apiVersions": [version],
        "resources": [resource], "scope": scope,
    })
}

fn none() -> [Value; 3] {
    [json!({}), Value::Null, json!({})]
}

#[test]
fn rules_match_operations_groups_versions_and_resources() {
    let rows = [
        ("CREATE", "", "v1", "pods", "CREATE /v1/pods ns/a", true),
        ("*", "*", "*", "*", "DELETE /v1/pods ns/a", true),
        ("CREATE", "", "v1", "pods", "UPDATE /v1/pods ns/a", false),
        ("*", "apps", "v1", "pods", "CREATE /v1/pods ns/a", false),
        ("*", "", "v2", "pods", "CREATE /v1/pods ns/a", false),
        ("*", "", "v1", "pods", "CREATE /v1/pods/status ns/a", false),
        // A star alone is no subresource.
        ("*", "*", "*", "*", "UPDATE /v1/pods/status ns/a", false),
        // But with all subresources comes the resource itself.
        ("*", "", "v1", "pods/*", "CREATE /v1/pods ns/a", true),
        ("*", "", "v1", "pods/*", "CONNECT /v1/pods/exec ns/a", true),
        ("*", "", "v1", "*/exec", "CONNECT /v1/pods/exec ns/a", true),
        ("*", "", "v1", "*/exec", "CONNECT /v1/pods/attach ns/a", false),
        ("*", "", "v1", "*/*", "CONNECT /v1/pods/attach ns/a", true),
    ];
    for (operation, group, version, resource, question, expected) in rows {
        let resources = json!({
            "matchPolicy": "Exact",
            "resourceRules": [rule(&[operation], group, version, resource, "*")],
        });
        let matches = answer(&resources, question, none()) != "-";
        assert_eq!(matches, expected, "{operation} {group}/{version}/{resource}: {question}");
    }
}

#[test]
fn scope_knows_that_a_namespace_is_in_no_namespace() {
    let rows = [
        ("Cluster", "CREATE /v1/namespaces ns/ns", true),
        ("Cluster", "UPDATE /v1/namespaces/finalize ns/ns", true),
        ("Namespaced", "CREATE /v1/namespaces ns/ns", false),
        ("Namespaced", "CREATE /v1/pods ns/a", true),
        ("Cluster", "CREATE /v1/pods ns/a", false),
        ("Cluster", "CREATE /v1/nodes /a", true),
        ("Namespaced", "CREATE /v1/nodes /a", false),
        ("*", "CREATE /v1/nodes /a", true),
    ];
    for (scope, question, expected) in rows {
        let resources = json!({"resourceRules": [rule(&["*"], "*", "*", "*/*", scope)]});
        assert_eq!(answer(&resources, question, none()) != "-", expected, "{scope}: {question}");
    }
}

#[test]
fn names_excludes_and_no_rules_at_all() {
    let named = |names: &[&str]| {
        let mut named = rule(&["*"], "", "v1", "pods", "*");
        named["resourceNames"] = json!(names);
        named
    };
    let all = rule(&["*"], "*", "*", "*", "*");
    let rows = [
        (json!({"resourceRules": [named(&["a", "b"])]}), "CREATE /v1/pods ns/b", true),
        (json!({"resourceRules": [named(&["a", "b"])]}), "CREATE /v1/pods ns/c", false),
        // A name yet to be generated is none of them.
        (json!({"resourceRules": [named(&["a"])]}), "CREATE /v1/pods ns/", false),
        (
            json!({"resourceRules": [all], "excludeResourceRules": [named(&["a"])]}),
            "CREATE /v1/pods ns/a",
            false,
        ),
        (
            json!({"resourceRules": [all], "excludeResourceRules": [named(&["a"])]}),
            "CREATE /v1/pods ns/b",
            true,
        ),
        (json!({"excludeResourceRules": [named(&[])]}), "CREATE /v1/pods ns/b", false),
        (json!({}), "CREATE /v1/pods ns/b", true),
    ];
    for (resources, question, expected) in rows {
        assert_eq!(
            answer(&resources, question, none()) != "-",
            expected,
            "{resources}: {question}"
        );
    }
}

#[test]
fn equivalent_resources_match_unless_exact_is_asked_for() {
    let deployments = rule(&["*"], "extensions", "v1beta1", "deployments", "*");
    let legacy = rule(&["*"], "legacy", "v1", "deployments", "*");
    let own = rule(&["*"], "apps", "v1", "deployments", "*");
    let rows = [
        (json!({"resourceRules": [deployments]}), "deployments.extensions/v1beta1"),
        (json!({"resourceRules": [deployments], "matchPolicy": "Exact"}), "-"),
        // The request's own resource is preferred, wherever its rule stands.
        (json!({"resourceRules": [deployments, own]}), "deployments.apps/v1"),
        // Excludes look through the table too.
        (json!({"resourceRules": [own], "excludeResourceRules": [deployments]}), "-"),
        (
            json!({"resourceRules": [own], "excludeResourceRules": [deployments], "matchPolicy": "Exact"}),
            "deployments.apps/v1",
        ),
        (
            json!({"resourceRules": [legacy]}),
            "unable to convert to legacy/v1, Resource=deployments: unknown kind",
        ),
    ];
    for (resources, expected) in rows {
        let got = answer(&resources, "CREATE apps/v1/deployments ns/a", none());
        assert_eq!(got, expected, "{resources}");
    }
    // The other group does not serve this subresource.
    let scale = rule(&["*"], "extensions", "v1beta1", "deployments/scale", "*");
    let resources = json!({"resourceRules": [scale]});
    assert_eq!(answer(&resources, "UPDATE apps/v1/deployments/scale ns/a", none()), "-");
}

#[test]
fn selectors_look_at_either_object_and_at_the_namespace() {
    let objects = json!({"objectSelector": {"matchLabels": {"a": "b"}}});
    let namespaces = json!({"namespaceSelector": {"matchLabels": {"a": "b"}}});
    let unlike = json!({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}});
    let [yes, no, null] = [json!({"a": "b"}), json!({}), Value::Null];
    let missing = "namespaces \"ns\" not found";
    let rows = [
        (&objects, "UPDATE /v1/pods ns/a", [&yes, &no, &no], "pods/v1"),
        (&objects, "UPDATE /v1/pods ns/a", [&no, &yes, &no], "pods/v1"),
        (&objects, "UPDATE /v1/pods ns/a", [&no, &no, &yes], "-"),
        (&objects, "DELETE /v1/pods ns/a", [&null, &yes, &no], "pods/v1"),
        (&namespaces, "CREATE /v1/pods ns/a", [&no, &null, &yes], "pods/v1"),
        (&namespaces, "CREATE /v1/pods ns/a", [&yes, &null, &no], "-"),
        // A cluster-scoped object is never selected away.
        (&namespaces, "CREATE /v1/nodes /a", [&no, &null, &no], "nodes/v1"),
        // A Namespace is selected by the labels it will have; when it goes, by those it has.
        (&namespaces, "CREATE /v1/namespaces ns/ns", [&yes, &null, &null], "namespaces/v1"),
        (&namespaces, "CREATE /v1/namespaces ns/ns", [&no, &null, &yes], "-"),
        (&namespaces, "DELETE /v1/namespaces ns/ns", [&null, &no, &yes], "namespaces/v1"),
        // A namespace that is missing has no labels, which is not the same as having none.
        (&namespaces, "CREATE /v1/pods ns/a", [&no, &null, &null], missing),
        (&unlike, "CREATE /v1/pods ns/a", [&no, &null, &null], missing),
        (&objects, "CREATE /v1/pods ns/a", [&yes, &null, &null], "pods/v1"),
    ];
    for (resources, question, labels, expected) in rows {
        let labels = labels.map(Clone::clone);
        assert_eq!(
            answer(resources, question, labels.clone()),
            expected,
            "{resources} {question} {labels:?}"
        );
    }
}

#[test]
fn an_error_counts_only_where_the_rules_match() {
    let bad = json!({"matchExpressions": [{"key": "a", "operator": "In"}]});
    let pods = rule(&["*"], "", "v1", "pods", "*");
    let resources = json!({"objectSelector": bad, "resourceRules": [pods]});
    assert_eq!(answer(&resources, "CREATE /v1/nodes /a", none()), "-");
    let error = answer(&resources, "CREATE /v1/pods ns/a", none());
    assert!(error.starts_with("Internal error occurred: values"), "{error}");
}

#[test]
fn the_index_finds_what_can_match_in_order_and_once() {
    let by = |group: &str, resource: &str| {
        matcher(&json!({"resourceRules": [rule(&["*"], group, "*", resource, "*")]}))
    };
    let matchers = [
        by("", "pods"),
        by("*", "pods/exec"),
        by("apps", "*"),
        by("*", "*/*"),
        by("apps", "deployments"),
        matcher(&json!({})),
        matcher(&json!({"resourceRules": [
            rule(&["CREATE"], "", "v1", "pods", "*"), rule(&["*"], "*", "*", "pods", "*"),
        ]})),
        by("extensions", "deployments"),
    ];
    let index = Index::new(matchers.iter().map(Some));
    let resource = |group, resource| Resource { group, version: "v1", resource };
    let rows: [(&[Resource<'_>], &[u32]); 5] = [
        (&[resource("", "pods")], &[0, 1, 3, 5, 6]),
        (&[resource("apps", "deployments")], &[2, 3, 4, 5]),
        (
            &[resource("apps", "deployments"), resource("extensions", "deployments")],
            &[2, 3, 4, 5, 7],
        ),
        (&[resource("batch", "jobs")], &[3, 5]),
        (&[resource("", "pods"); 20], &[0, 1, 3, 5, 6]),
    ];
    for (resources, expected) in rows {
        let found: Vec<u32> = index.candidates(resources.iter().copied()).collect();
        assert_eq!(found, expected, "{resources:?}");
    }
}

#[test]
fn reviews_and_native_policies_are_seen_by_no_policy() {
    let rows = [
        ("authorization.k8s.io", "subjectaccessreviews", true),
        ("authentication.k8s.io", "tokenreviews", true),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies", true),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations", false),
        ("", "bindings", false),
        ("", "tokenreviews", false),
    ];
    for (group, resource, expected) in rows {
        assert_eq!(
            is_excluded(Resource { group, version: "v1", resource }),
            expected,
            "{resource}"
        );
    }
}
