//! What the API server is told about which policies.

use serde_json::{Value, json};

use crate::cel::Version;
use crate::controller::registration::webhooks::{Webhooks, Width};
use crate::controller::registration::{Endpoint, Options};
use crate::policy::Definitions;
use crate::policy::manifest;
use crate::policy::snapshot::Snapshot;

/// Policies in a line each: kind, name, the rest of the spec.
fn snapshot(policies: &[(&str, &str, &str)]) -> Snapshot {
    let mut definitions = Definitions::default();
    for (kind, name, rest) in policies {
        let body = match *kind {
            "ValidatingPolicy" => "validations: [{expression: 'true'}]",
            _ => "mutations: [{patchType: JSONPatch, jsonPatch: {expression: '[]'}}]",
        };
        let text = format!(
            "{{apiVersion: portcullis.dev/v1alpha1, kind: {kind}, metadata: {{name: {name}}}, spec: {{{body}, {rest}}}}}"
        );
        for manifest in manifest::read("a.yaml", &text).unwrap() {
            definitions.add(manifest);
        }
    }
    Snapshot::build(definitions, Version::default(), None)
}

fn rules(operations: &str, group: &str, resources: &str) -> String {
    format!(
        "matchConstraints: {{resourceRules: [{{operations: [{operations}], apiGroups: ['{group}'], apiVersions: ['*'], \
         resources: ['{resources}']}}]}}"
    )
}

fn options() -> Options {
    Options::new(Endpoint::Url("https://127.0.0.1:8443/".into()), "portcullis-system")
}

fn webhooks(policies: &[(&str, &str, &str)]) -> Webhooks {
    Webhooks::new(&snapshot(policies), &options(), "PEM", Width::Narrow)
}

/// `name path failurePolicy: resources` of each entry.
fn entries(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    value["webhooks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let resources: Vec<String> = entry["rules"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|rule| rule["resources"].as_array().unwrap().iter().map(text))
                .collect();
            format!(
                "{} {} {}: {}",
                text(&entry["name"]),
                text(&entry["clientConfig"]["url"]),
                text(&entry["failurePolicy"]),
                resources.join(" ")
            )
        })
        .collect()
}

#[test]
fn policies_share_an_entry_if_they_agree_in_failure_policy_and_timeout() {
    let check = |policies: &[(&str, &str)], expect: &[(&str, &str, u8)]| {
        let pods = rules("CREATE", "", "pods");
        let specs: Vec<(String, String)> = policies
            .iter()
            .map(|(name, terms)| {
                let spec = format!("validationActions: [Deny], {terms} {pods}");
                ((*name).to_owned(), spec)
            })
            .collect();
        let policies: Vec<(&str, &str, &str)> = specs
            .iter()
            .map(|(name, spec)| ("ValidatingPolicy", name.as_str(), spec.as_str()))
            .collect();
        let webhooks = webhooks(&policies);
        let found: Vec<Value> = webhooks.validating["webhooks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| json!([w["name"], w["clientConfig"]["url"], w["timeoutSeconds"]]))
            .collect();
        let expect: Vec<Value> = expect
            .iter()
            .map(|(name, path, seconds)| {
                let url = format!("https://127.0.0.1:8443/validate/{path}");
                json!([format!("validate.{name}.portcullis.dev"), url, seconds])
            })
            .collect();
        assert_eq!(found, expect);
    };
    let quick = "timeoutSeconds: 2,";
    check(&[("a", ""), ("b", "")], &[("fail", "fail", 10)]);
    check(&[("a", quick), ("b", quick)], &[("fail-2", "fail/2", 2)]);
    check(
        &[("a", quick), ("b", ""), ("c", "timeoutSeconds: 2, failurePolicy: Ignore,")],
        &[("fail", "fail", 10), ("fail-2", "fail/2", 2), ("ignore-2", "ignore/2", 2)],
    );
    let many = [1, 2, 3, 4, 30].map(|seconds| format!("timeoutSeconds: {seconds},"));
    let many: Vec<(&str, &str)> =
        many.iter().zip(["a", "b", "c", "d", "e"]).map(|(t, name)| (name, t.as_str())).collect();
    check(
        &many,
        &[("fail-1-2", "fail/1-2", 2), ("fail-3-4", "fail/3-4", 4), ("fail-30", "fail/30", 30)],
    );
}

#[test]
fn there_is_an_entry_for_each_failure_policy_in_use() {
    let pods = rules("CREATE", "", "pods");
    let jobs = rules("CREATE", "batch", "jobs");
    let bound = format!("validationActions: [Deny], {pods}");
    let lenient = format!("validationActions: [Deny], failurePolicy: Ignore, {jobs}");
    let mutating = format!("selfBinding: true, {pods}");
    let check = |policies: &[(&str, &str, &str)], validating: &[&str], mutating: &[&str]| {
        let webhooks = webhooks(policies);
        assert_eq!(entries(&webhooks.validating), validating);
        assert_eq!(entries(&webhooks.mutating), mutating);
        assert_eq!(webhooks.is_empty(), validating.is_empty() && mutating.is_empty());
    };
    let fail = "validate.fail.portcullis.dev https://127.0.0.1:8443/validate/fail Fail: pods";
    let ignore =
        "validate.ignore.portcullis.dev https://127.0.0.1:8443/validate/ignore Ignore: jobs";
    let mutate = "mutate.fail.portcullis.dev https://127.0.0.1:8443/mutate/fail Fail: pods";
    check(&[], &[], &[]);
    check(&[("ValidatingPolicy", "unbound", &pods)], &[], &[]);
    check(&[("ValidatingPolicy", "a", &bound)], &[fail], &[]);
    check(
        &[
            ("ValidatingPolicy", "a", &bound),
            ("ValidatingPolicy", "b", &lenient),
            ("MutatingPolicy", "c", &mutating),
        ],
        &[fail, ignore],
        &[mutate],
    );
}

#[test]
fn a_broken_policy_is_asked_for_too() {
    let spec = format!(
        "validationActions: [Deny], variables: [{{name: x, expression: nope}}], {}",
        rules("CREATE", "", "pods")
    );
    assert_eq!(entries(&webhooks(&[("ValidatingPolicy", "a", &spec)]).validating).len(), 1);
}

#[test]
fn an_entry_says_everything_that_has_a_default() {
    let spec = format!(
        "selfBinding: true, reinvocationPolicy: IfNeeded, {}",
        rules("'*'", "apps", "deployments")
    );
    let webhooks = webhooks(&[("MutatingPolicy", "a", &spec)]);
    assert_eq!(
        webhooks.mutating["webhooks"][0],
        json!({
            "name": "mutate.fail.portcullis.dev",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://127.0.0.1:8443/mutate/fail", "caBundle": "UEVN"},
            "rules": [{
                "apiGroups": ["apps"], "apiVersions": ["*"], "scope": "*",
                "operations": ["CONNECT", "CREATE", "UPDATE"], "resources": ["deployments"],
            }],
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "namespaceSelector": {"matchExpressions": [{
                "key": "kubernetes.io/metadata.name", "operator": "NotIn",
                "values": ["kube-system", "portcullis-system"],
            }]},
            "objectSelector": {},
            "sideEffects": "None",
            "timeoutSeconds": 10,
            "matchConditions": [],
            "reinvocationPolicy": "IfNeeded",
        })
    );
}

#[test]
fn what_a_cluster_needs_to_start_is_outside_unless_it_is_named() {
    let check = |group: &str, resources: &str, expect: &[&str]| {
        let spec = format!("validationActions: [Deny], {}", rules("CREATE", group, resources));
        let webhooks = webhooks(&[("ValidatingPolicy", "a", &spec)]);
        let conditions = webhooks.validating["webhooks"][0]["matchConditions"].as_array().unwrap();
        let texts: Vec<&str> =
            conditions.iter().map(|c| c["expression"].as_str().unwrap()).collect();
        assert_eq!(texts, expect, "{group} {resources}");
    };
    let groups = "!(request.resource.group in ['authentication.k8s.io', 'authorization.k8s.io', \
                  'admissionregistration.k8s.io', 'portcullis.dev'])";
    let key = "request.resource.group + '/' + request.resource.resource";
    let boots = format!(
        "!({key} in ['/nodes', '/events', '/bindings', 'events.k8s.io/events', 'coordination.k8s.io/leases', \
         'certificates.k8s.io/certificatesigningrequests'])"
    );
    let pods = format!(
        "!({key} + '/' + request.?subResource.orValue('') in ['/pods/binding', '/serviceaccounts/token'])"
    );
    check("", "pods", &[]);
    check("", "nodes", &[]);
    check("*", "*/*", &[groups, &boots, &pods]);
    check("", "*", &[&boots, &pods]);
    check(
        "portcullis.dev",
        "*",
        &["!(request.resource.group in ['portcullis.dev'])", &boots, &pods],
    );
    let named = boots.replace("'/nodes', ", "");
    check("*", "nodes", &[groups, &named, &pods]);
    let bound = pods.replace("'/pods/binding', ", "");
    check("*", "pods/binding", &[groups, &boots, &bound]);
}

#[test]
fn both_configurations_go_with_their_owner() {
    let owner = json!([{
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "portcullis", "uid": "7",
    }]);
    let webhooks = webhooks(&[]);
    let owned = webhooks.owned_by("portcullis", "7");
    for (owned, free) in
        [(&owned.validating, &webhooks.validating), (&owned.mutating, &webhooks.mutating)]
    {
        assert_eq!(owned["metadata"]["ownerReferences"], owner);
        assert_eq!(owned["metadata"]["name"], free["metadata"]["name"]);
        assert_eq!(free["metadata"].get("ownerReferences"), None);
    }
}

#[test]
fn certificates_have_the_names_that_the_api_server_asks_for() {
    let check = |endpoint: Endpoint, expect: &[&str]| assert_eq!(endpoint.names(), expect);
    check(Endpoint::Url("https://127.0.0.1:8443".into()), &["127.0.0.1"]);
    check(Endpoint::Url("https://[::1]:8443/x".into()), &["::1"]);
    check(Endpoint::Url("https://hook.example.com".into()), &["hook.example.com"]);
    check(Endpoint::Url("no url".into()), &[]);
    check(
        Endpoint::Service { namespace: "ns".into(), name: "svc".into(), port: 443 },
        &["svc.ns", "svc.ns.svc", "svc.ns.svc.cluster.local"],
    );
}

#[test]
fn what_all_policies_agree_about_is_told_to_the_api_server() {
    let pods = |more: &str| {
        format!(
            "matchConstraints: {{{more} resourceRules: [{{operations: [CREATE], apiGroups: [''], apiVersions: [v1], \
             resources: [pods]}}]}}"
        )
    };
    let policy = |constraints: &str, conditions: &str, actions: &str| {
        let actions = format!("validationActions: [{actions}]");
        format!("{actions}, matchConditions: [{conditions}], {}", pods(constraints))
    };
    let shop =
        "namespaceSelector: {matchLabels: {team: shop}}, objectSelector: {matchLabels: {a: b}},";
    let other = "namespaceSelector: {matchLabels: {team: other}},";
    let plain = "{name: x, expression: 'object.metadata.name != \"x\"'}";
    let params = "{name: z, expression: 'authorizer.path(\"/\").check(\"get\").allowed()'}";
    // What the only entry has: its selectors and conditions.
    let check = |policies: &[String], namespaces: Value, objects: Value, conditions: &[&str]| {
        let policies: Vec<(&str, &str, &str)> = policies
            .iter()
            .zip(["a", "b", "c"])
            .map(|(spec, name)| ("ValidatingPolicy", name, spec.as_str()))
            .collect();
        let entry = webhooks(&policies).validating["webhooks"][0].clone();
        let namespaces = match namespaces {
            Value::Null => json!({"matchExpressions": []}),
            labels => json!({"matchLabels": labels, "matchExpressions": []}),
        };
        let mut found = entry["namespaceSelector"].clone();
        let ours = found["matchExpressions"].as_array_mut().unwrap();
        assert_eq!(ours.pop().unwrap()["operator"], "NotIn");
        assert_eq!(found, namespaces);
        assert_eq!(entry["objectSelector"], objects);
        let expressions = entry["matchConditions"].as_array().unwrap().iter();
        let expressions: Vec<_> = expressions.map(|c| c["expression"].as_str().unwrap()).collect();
        assert_eq!(expressions, conditions);
    };
    let (team, label) = (json!({"team": "shop"}), json!({"matchLabels": {"a": "b"}}));
    let condition = "object.metadata.name != \"x\"";
    let both = format!("{plain}, {params}");
    check(&[policy(shop, plain, "Deny")], team.clone(), label.clone(), &[condition]);
    // Whatever asks the authorizer is asked here, where the answers are kept.
    check(&[policy(shop, &both, "Deny")], team.clone(), label.clone(), &[condition]);
    let agree = [policy(shop, plain, "Deny"), policy(shop, &both, "Deny")];
    check(&agree, team.clone(), label.clone(), &[condition]);
    let disagree = [policy(shop, plain, "Deny"), policy(other, "", "Deny")];
    check(&disagree, Value::Null, json!({}), &[]);
    // An error in a condition of a policy that only warns must not deny.
    check(&[policy(shop, plain, "Warn")], team, label, &[]);
    let broken = policy(shop, plain, "Deny")
        .replace("name: x, expression: '", "name: x, expression: 'nope + ");
    check(&[broken], Value::Null, json!({}), &[]);
}
