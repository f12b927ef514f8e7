//! What is read, and what is refused where.

use crate::policy::api::{FailurePolicy, MatchPolicy, PolicyKind};
use crate::policy::definitions::Origin;
use crate::policy::manifest::{Manifest, from_value, read};

const POLICY: &str = "\
# A policy.
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata:
  name: replicas
  labels: {team: a}
  annotations: {note: b}
spec:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}
  validations:
  - expression: object.spec.replicas <= 5
    message: at most five
";

const NATIVE_BINDING: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: replicas}
spec: {policyName: replicas, validationActions: [Deny]}
";

fn refused(text: &str) -> String {
    read("f.yaml", text).unwrap_err().to_string()
}

#[test]
fn policies_and_bindings_of_both_origins_are_read_with_defaults() {
    let text = format!(
        "{POLICY}--- # next\n{NATIVE_BINDING}---\n\n---\nkind: Namespace\napiVersion: v1\n"
    );
    let manifests = read("f.yaml", &text).unwrap();
    let [Manifest::Validating(policy), Manifest::Binding(binding), Manifest::Namespace(_)] =
        &manifests[..]
    else {
        panic!("{manifests:?}");
    };
    assert_eq!((policy.origin, policy.name.as_str()), (Origin::Portcullis, "replicas"));
    assert_eq!(policy.source, "f.yaml:2");
    assert_eq!(policy.spec.failure_policy, FailurePolicy::Fail);
    assert_eq!(policy.spec.match_constraints.match_policy, MatchPolicy::Equivalent);
    assert!(policy.spec.background);
    assert_eq!(binding.origin, Origin::Native);
    assert_eq!(binding.spec.policy_kind, Some(PolicyKind::ValidatingPolicy));
    assert_eq!(binding.source, "f.yaml:16");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let rows = [
        (POLICY.replace("message:", "mesage:"), "f.yaml:14:5", "`mesage`"),
        (
            POLICY.replace("  validations:", "  validationActons: [Deny]\n  validations:"),
            "f.yaml:12:3",
            "validationActons",
        ),
        (POLICY.replace("team: a", "team: a}\n  lables: {a: b"), "f.yaml:7:3", "lables"),
        (
            POLICY.replace("[CREATE]", "[CRATE]"),
            "f.yaml:11:21: ValidatingPolicy `replicas`: spec.matchConstraints.resourceRules[0].operations[0]:",
            "Unsupported value: \"CRATE\": supported values: \"*\"",
        ),
        // Everything is told, what does not compile included.
        (
            POLICY.replace("  matchConstraints:", "  matchConstraint:").replace("<= 5", "<= "),
            "f.yaml:9:3: unknown field",
            "",
        ),
        (
            POLICY.replace("[CREATE]", "[CRATE]").replace("<= 5", "<= '5' + 1"),
            "f.yaml:11:21",
            "\nf.yaml:13:5: ValidatingPolicy `replicas`: spec.validations[0].expression: Invalid value: ",
        ),
        // kubectl would not take a bool for a string either.
        (POLICY.replace("object.spec.replicas <= 5", "true"), "f.yaml:13:", "quot"),
        (POLICY.replace("name: replicas", "name: a\n  name: b"), "f.yaml:6:3", "uplicate"),
        (
            POLICY.replace("  name: replicas\n", ""),
            "f.yaml:4:1: ValidatingPolicy: metadata.name: Required value",
            "",
        ),
        (POLICY.replace("v1alpha1", "v1"), "f.yaml:1:1", "no version `v1`"),
        (
            POLICY.replace("ValidatingPolicy", "ValidatingPolicies"),
            "f.yaml:1:1",
            "no kind `ValidatingPolicies`",
        ),
        (
            format!("{POLICY}---\n{}", NATIVE_BINDING.replace("[Deny]", "[deny]")),
            "f.yaml:19:",
            "deny",
        ),
        (
            format!(
                "{POLICY}---\n{}",
                NATIVE_BINDING.replace("spec: {", "spec: {severity: High, ")
            ),
            "f.yaml:19:",
            "severity",
        ),
        ("a: [1, 2".to_owned(), "f.yaml:", ""),
        ("{\"a\": 1, \"a\": 2}".to_owned(), "f.yaml:1:10", "key"),
    ];
    for (text, place, message) in rows {
        let error = refused(&text);
        assert!(
            error.starts_with(place) && error.contains(message),
            "{text}\n{place} {message}: {error}"
        );
    }
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let alias = format!("*a{}", level - 1);
        let line = format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", "));
        text.push_str(&line);
    }
    assert!(!refused(&text).is_empty());
}

#[test]
fn scalars_are_those_of_kubectl() {
    let rows = [
        ("[y, on, yes, n, No, \"yes\", True]", "[true,true,true,false,false,\"yes\",true]"),
        ("[010, 0o10, 1_000, 0x10, 0b11, +1, 08, -0]", "[8,8,1000,16,3,1,8,0]"),
        ("[1.0, .5, 1e3, 1.0e+5, 1., -0.0, 1.5]", "[1,0.5,1000,100000,1,0,1.5]"),
        (
            "[2020-01-01, 12:30:45, 0x1p3, NaN, !!str 1]",
            r#"["2020-01-01","12:30:45","0x1p3","NaN","1"]"#,
        ),
        ("[~, Null, NULL, ]", "[null,null,null]"),
        ("[9223372036854775807, 1e30]", "[9223372036854775807,1e30]"),
        ("{y: 1, n: 2, \"on\": 3}", r#"{"true":1,"false":2,"on":3}"#),
        (
            "{8080: 2, 1.5: 4, 010: 7, 0x10: 8, 1e3: 9, 1.0: 3}",
            r#"{"8080":2,"1.5":4,"8":7,"16":8,"1000":9,"1":3}"#,
        ),
    ];
    for (text, expected) in rows {
        let manifests = read("f.yaml", &format!("a: {text}")).unwrap();
        let [Manifest::Object(object)] = &manifests[..] else { panic!("{text}") };
        assert_eq!(object.root().get("a").unwrap().to_string(), expected, "{text}");
    }
    for (text, expected) in [
        ("{y: 1, on: 2}", "duplicate key `true`"),
        ("{8: 1, 010: 2}", "uplicate"),
        ("{~: 1}", "null"),
        ("[.inf]", "not a finite number"),
    ] {
        let error = refused(&format!("a: {text}"));
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn lists_are_their_items() {
    let list = format!(
        "kind: List\napiVersion: v1\nitems:\n- kind: ConfigMap\n  apiVersion: v1\n- {}",
        NATIVE_BINDING.replace('\n', "\n  ")
    );
    let manifests = read("f.yaml", &list).unwrap();
    assert!(matches!(manifests[..], [Manifest::Object(_), Manifest::Binding(_)]));
}

#[test]
fn objects_of_a_cluster_are_read_the_same() {
    let value = serde_json::json!({
        "apiVersion": "portcullis.dev/v1alpha1", "kind": "PolicyBinding",
        "metadata": {"name": "a", "generation": 3, "uid": "x", "managedFields": []},
        "spec": {"policyName": "p"}, "status": {"observedGeneration": 2},
    });
    let Ok(Manifest::Binding(binding)) = from_value(value.clone()) else { panic!() };
    assert_eq!((binding.generation, binding.spec.policy_name.as_str()), (Some(3), "p"));
    let mut typo = value;
    typo["spec"]["polcyName"] = "p".into();
    assert!(from_value(typo).unwrap_err().contains("polcyName"));
}
