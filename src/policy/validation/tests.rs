//! What is refused, with the API server's texts.

use serde_json::{Value, json};

use crate::policy::api::PolicyKind::{self, MutatingPolicy, ValidatingPolicy};
use crate::policy::definitions::Origin::{Native, Portcullis};
use crate::policy::validation::{Subject, errors, repaired};

const VALIDATING: Subject = Subject::Policy(Native, ValidatingPolicy);
const MUTATING: Subject = Subject::Policy(Native, MutatingPolicy);
const VALIDATING_BINDING: Subject = Subject::Binding(Native, Some(ValidatingPolicy));
const MUTATING_BINDING: Subject = Subject::Binding(Native, Some(MutatingPolicy));

/// A policy or binding in which nothing is wrong.
fn good(subject: Subject) -> Value {
    let rule = json!({
        "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
    });
    let spec = match subject {
        Subject::Policy(_, PolicyKind::ValidatingPolicy | PolicyKind::ImagePolicy) => json!({
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "true"}],
        }),
        Subject::Policy(_, PolicyKind::MutatingPolicy) => json!({
            "matchConstraints": {"resourceRules": [rule]},
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "x"}}],
            "reinvocationPolicy": "Never",
        }),
        Subject::Binding(Native, Some(PolicyKind::ValidatingPolicy)) => {
            json!({"policyName": "p", "validationActions": ["Deny"]})
        }
        Subject::Binding(..) => json!({"policyName": "p"}),
    };
    json!({"metadata": {"name": "p"}, "spec": spec})
}

/// What is said when these places of a good document hold something else; null takes what is there away.
fn said(subject: Subject, changes: &Value) -> Vec<String> {
    let mut document = good(subject);
    for (pointer, value) in changes.as_object().unwrap() {
        let (holder, name) = pointer.rsplit_once('/').unwrap();
        let holder = document.pointer_mut(holder).unwrap();
        holder.as_object_mut().unwrap().insert(name.to_owned(), value.clone());
    }
    errors(subject, &document).iter().map(ToString::to_string).collect()
}

fn check(rows: &[(Subject, Value, &[&str])]) {
    for (subject, changes, expected) in rows {
        let said = said(*subject, changes);
        assert_eq!(said.len(), expected.len(), "{changes}: {said:#?}");
        for (said, expected) in said.iter().zip(*expected) {
            assert!(said.starts_with(expected), "{changes}: {said}\nnot {expected}");
        }
    }
}

#[test]
fn policies_lack_what_has_no_default() {
    let nothing_to_do =
        "Required value: validations or auditAnnotations must contain at least one item";
    let [validations, annotations] =
        ["validations", "auditAnnotations"].map(|name| format!("spec.{name}: {nothing_to_do}"));
    check(&[
        (VALIDATING, json!({}), &[]),
        (MUTATING, json!({}), &[]),
        (
            VALIDATING,
            json!({"/spec": null}),
            &["spec.matchConstraints: Required value", &validations, &annotations],
        ),
        (
            MUTATING,
            json!({"/spec": {}}),
            &[
                "spec.matchConstraints: Required value",
                "spec.mutations: Required value: mutations must contain at least one item",
                "spec.reinvocationPolicy: Required value",
            ],
        ),
        (
            VALIDATING,
            json!({"/metadata": {"generateName": "p-"}}),
            &["metadata.name: Required value: name or generateName is required"],
        ),
        (
            VALIDATING,
            json!({"/metadata/name": "P", "/metadata/namespace": "n"}),
            &[
                "metadata.name: Invalid value: \"P\": a lowercase RFC 1123 subdomain must",
                "metadata.namespace: Forbidden: not allowed on this type",
            ],
        ),
    ]);
}

#[test]
fn words_are_those_of_the_api() {
    check(&[
        (
            VALIDATING,
            json!({"/spec/failurePolicy": "<Deny>"}),
            &[
                r#"spec.failurePolicy: Unsupported value: "\u003cDeny\u003e": supported values: "Fail", "Ignore""#,
            ],
        ),
        (
            VALIDATING,
            json!({"/spec/validations": [{"expression": "x", "reason": ""}]}),
            &[
                r#"spec.validations[0].reason: Unsupported value: "": supported values: "Forbidden", "#,
            ],
        ),
        (
            MUTATING,
            json!({"/spec/reinvocationPolicy": "Always"}),
            &[
                r#"spec.reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never""#,
            ],
        ),
        (
            VALIDATING_BINDING,
            json!({"/spec/validationActions": ["Deny", "Warn", "Deny", "Log"]}),
            &[
                r#"spec.validationActions[2]: Duplicate value: "Deny""#,
                r#"spec.validationActions[3]: Unsupported value: "Log": supported values: "Audit", "Deny", "Warn""#,
                r#"spec.validationActions: Invalid value: ["Deny","Warn","Deny","Log"]: must not contain both"#,
            ],
        ),
        (
            Subject::Policy(Portcullis, ValidatingPolicy),
            json!({"/spec/severity": "Bad"}),
            &[
                r#"spec.severity: Unsupported value: "Bad": supported values: "Info", "Low", "Medium""#,
            ],
        ),
    ]);
}

#[test]
fn rules_that_cover_one_another_are_mistakes() {
    let rule = |field: &str, value: Value| {
        let mut rule = json!({
            "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
        });
        rule[field] = value;
        json!({"/spec/matchConstraints/resourceRules": [rule]})
    };
    let at = "spec.matchConstraints.resourceRules[0]";
    let rows = [
        ("operations", json!(["*", "CREATE"]), "operations: Invalid value: [\"*\",\"CREATE\"]: if"),
        ("operations", json!([]), "operations: Required value"),
        ("operations", json!(["create"]), "operations[0]: Unsupported value: \"create\": supp"),
        ("apiGroups", json!(["*", "apps"]), "apiGroups: Invalid value: [\"*\",\"apps\"]: if '*'"),
        ("apiVersions", json!([""]), "apiVersions[0]: Required value"),
        ("resources", json!([""]), "resources[0]: Required value"),
        ("resources", json!(["*", "pods"]), "resources: Invalid value: [\"*\",\"pods\"]: if '*' "),
        ("resources", json!(["pods/*", "pods/log"]), "resources[1]: Invalid value: \"pods/log\""),
        ("resources", json!(["*/log", "pods/log"]), "resources[1]: Invalid value: \"pods/log\""),
        ("resourceNames", json!(["a", "a"]), "resourceNames[1]: Duplicate value: \"a\""),
        ("resourceNames", json!(["."]), "resourceNames[0]: Invalid value: \".\": may not be '.'"),
        ("scope", json!("Any"), "scope: Unsupported value: \"Any\": supported values: \"*\", "),
    ];
    for (field, value, expected) in rows {
        check(&[(VALIDATING, rule(field, value), &[&format!("{at}.{expected}")])]);
    }
    check(&[
        (VALIDATING, rule("resources", json!(["pods", "pods/*"])), &[]),
        (VALIDATING, rule("operations", json!(["DELETE"])), &[]),
        (
            MUTATING,
            rule("operations", json!(["DELETE"])),
            &["spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\""],
        ),
    ]);
}

#[test]
fn selectors_and_kinds_of_params_are_looked_at() {
    let term = |key: &str, operator: &str, values: Value| {
        let terms = json!([{"key": key, "operator": operator, "values": values}]);
        json!({"/spec/matchConstraints/objectSelector": {"matchExpressions": terms}})
    };
    let kind = |version: &str, kind: &str| json!({"/spec/paramKind": {"apiVersion": version, "kind": kind}});
    let at = "spec.matchConstraints.objectSelector.matchExpressions[0]";
    let selectors = [
        (term("a", "In", json!([])), "values: Required value: must be specified when"),
        (term("a", "Exists", json!(["b"])), "values: Forbidden: may not be specified when"),
        (term("a", "Is", json!(["b"])), "operator: Invalid value: \"Is\": not a valid selector"),
        (term("a b", "Exists", json!([])), "key: Invalid value: \"a b\": name part must consist"),
        (term("a", "In", json!(["-"])), "values[0]: Invalid value: \"-\": a valid label must"),
    ];
    for (changes, expected) in selectors {
        check(&[(VALIDATING, changes, &[&format!("{at}.{expected}")])]);
    }
    check(&[
        (VALIDATING, kind("v1", "ConfigMap"), &[]),
        (VALIDATING, kind("", "A"), &["spec.paramKind.apiVersion: Required value"]),
        (
            VALIDATING,
            kind("a/b/c", "A"),
            &["spec.paramKind.apiVersion: Invalid value: \"a/b/c\": "],
        ),
        (VALIDATING, kind("a/", "A"), &["spec.paramKind.apiVersion: Invalid value: \"a/\": vers"]),
        (VALIDATING, kind("v1", "A.b"), &["spec.paramKind.kind: Invalid value: \"A.b\": may have"]),
    ]);
}

#[test]
fn what_stands_around_expressions_is_looked_at() {
    let many: Vec<Value> =
        (0..65).map(|place| json!({"name": format!("c{place}"), "expression": "x"})).collect();
    let annotation = |key: &str, value: &str| json!({"/spec/auditAnnotations": [{"key": key, "valueExpression": value}]});
    check(&[
        (
            VALIDATING,
            json!({"/spec/matchConditions": many}),
            &["spec.matchConditions: Too many: 65: must have at most 64 items"],
        ),
        (
            VALIDATING,
            json!({"/spec/matchConditions": [{"name": "a", "expression": "x"}, {"name": "a"}]}),
            &[
                "spec.matchConditions[1].expression: Required value",
                "spec.matchConditions[1].name: Duplicate value: \"a\"",
            ],
        ),
        (
            VALIDATING,
            json!({"/spec/variables": [{"name": "in", "expression": " "}]}),
            &[
                "spec.variables[0].name: Invalid value: \"in\": must be a valid CEL identifier",
                "spec.variables[0].expression: Required value: expression is not specified",
            ],
        ),
        (
            VALIDATING,
            json!({"/spec/validations": [{"expression": "x", "message": "a\nb", "messageExpression": " "}]}),
            &[
                "spec.validations[0].messageExpression: Invalid value: \" \": must be non-empty if",
                "spec.validations[0].message: Invalid value: \"a\\nb\": must not contain line breaks",
            ],
        ),
        (
            VALIDATING,
            annotation("a/b", ""),
            &[
                "spec.auditAnnotations[0].key: Invalid value: \"p/a/b\": a valid label key must",
                "spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not",
            ],
        ),
        (
            VALIDATING,
            annotation("a", &"x".repeat(5121)),
            &[
                "spec.auditAnnotations[0].valueExpression: Required value: must not exceed 5120 bytes",
            ],
        ),
        (
            MUTATING,
            json!({"/spec/mutations": [{"patchType": "JSONPatch", "applyConfiguration": {}}, {}]}),
            &[
                "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is",
                "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must",
                "spec.mutations[1].patchType: Required value",
            ],
        ),
    ]);
}

#[test]
fn bindings_name_policies_and_params() {
    let params = |reference: Value| json!({"/spec/paramRef": reference});
    check(&[
        (VALIDATING_BINDING, json!({}), &[]),
        (
            VALIDATING_BINDING,
            json!({"/spec": {}}),
            &[
                "spec.policyName: Required value",
                "spec.validationActions: Required value: at least one validation action is required",
            ],
        ),
        (
            MUTATING_BINDING,
            params(json!({})),
            &[
                "spec.paramRef: Required value: one of name or selector must be specified",
                "spec.paramRef.parameterNotFoundAction: Required value",
            ],
        ),
        (
            MUTATING_BINDING,
            params(json!({"name": "a", "selector": {}, "parameterNotFoundAction": "Fail"})),
            &[
                "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.parameterNotFoundAction: Unsupported value: \"Fail\": supported values: \"Deny\", \"Allow\"",
            ],
        ),
    ]);
}

#[test]
fn ours_have_defaults_and_bind_themselves() {
    let reference = json!({"name": "a", "parameterNotFoundAction": "Deny"});
    let kind = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let binding = Subject::Binding(Portcullis, None);
    check(&[
        (
            Subject::Policy(Portcullis, MutatingPolicy),
            json!({"/spec/reinvocationPolicy": null}),
            &[],
        ),
        (
            Subject::Policy(Portcullis, MutatingPolicy),
            json!({"/spec/paramKind": kind, "/spec/paramRef": reference}),
            &["spec.paramRef: Forbidden: needs paramKind and selfBinding"],
        ),
        (
            Subject::Policy(Portcullis, ValidatingPolicy),
            json!({"/spec/paramKind": kind, "/spec/paramRef": reference, "/spec/validationActions": ["Deny"]}),
            &[],
        ),
        (
            Subject::Policy(Portcullis, ValidatingPolicy),
            json!({"/spec/variables": [{"name": "a", "expression": "x"}, {"name": "a", "expression": "y"}]}),
            &["spec.variables[1]: Duplicate value: {\"name\":\"a\"}"],
        ),
        (binding, json!({}), &[]),
        (
            binding,
            json!({"/spec/policyKind": "MutatingPolicy", "/spec/validationActions": ["Deny"]}),
            &["spec.validationActions: Forbidden: means nothing to a MutatingPolicy"],
        ),
        (
            binding,
            json!({"/spec/policyKind": "ValidatingAdmissionPolicy"}),
            &["spec.policyKind: Unsupported value: "],
        ),
    ]);
}

#[test]
fn what_was_refused_can_be_taken_out() {
    let document = json!({"spec": {
        "failurePolicy": "x",
        "matchConstraints": {"resourceRules": [{"operations": ["a", "CREATE", "b"], "scope": "x"}]},
        "mutations": [{"patchType": "x", "jsonPatch": {}}],
    }});
    let repaired = repaired(&document, &errors(MUTATING, &document));
    let rule =
        json!({"operations": ["CREATE"], "apiGroups": [], "apiVersions": [], "resources": []});
    assert_eq!(repaired["spec"]["matchConstraints"]["resourceRules"][0], rule);
    assert_eq!(repaired["spec"]["mutations"], json!([{"patchType": "JSONPatch"}]));
    assert_eq!(repaired["metadata"], json!({"name": ""}));
    assert_eq!(repaired["spec"].get("failurePolicy"), None);
}
