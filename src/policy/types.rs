//! The second way of checking types, which only warns: the expressions of validations against the types of the objects
//! that the policy matches. At enforcement `object`, `oldObject` and `params` are `dyn`, and a misspelt field is found
//! when an object lacks it; here it is found before. The texts are those of the `status.typeChecking` of a
//! ValidatingAdmissionPolicy.
//!
//! # Assumptions
//! - What does not compile at all is told when the policy is compiled; here it is told again, in the API server's words.
//!
//! Source: `pkg/admission/plugin/policy/validating/typechecking.go` of `k8s.io/apiserver`.

use std::collections::BTreeSet;

use crate::cel::{CompileError, Env, Type, Version};
use crate::policy::api::{ParamKind, ValidatingPolicySpec};
use crate::schema::{self, Catalog, Kind};

/// How many kinds a rule may stand for; the API server checks no more.
const KINDS_MAX: usize = 10;

/// What is wrong with one expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    /// The path of the field, such as `spec.validations[0].expression`.
    pub field: String,
    /// What is wrong with it for each kind, of those with which something is.
    pub errors: Vec<(Kind, CompileError)>,
}

impl Warning {
    /// What the API server says.
    pub fn text(&self) -> String {
        let texts: Vec<String> =
            self.errors.iter().map(|(kind, error)| format!("{kind}: {error}\n")).collect();
        texts.join("\n")
    }
}

/// Checks the expressions of all validations. A kind that the catalog does not know is passed over.
pub fn warnings(spec: &ValidatingPolicySpec, catalog: &Catalog, version: Version) -> Vec<Warning> {
    let environments: Vec<(Kind, Env)> = kinds(spec, catalog)
        .into_iter()
        .filter_map(|kind| {
            let env = environment(spec, catalog, catalog.type_of(&kind)?, version);
            Some((kind, env))
        })
        .collect();
    let check = |field: String, source: &str| {
        let errors: Vec<(Kind, CompileError)> = environments
            .iter()
            .filter_map(|(kind, env)| Some((kind.clone(), env.check(source).err()?)))
            .collect();
        (!errors.is_empty()).then_some(Warning { field, errors })
    };
    let mut warnings = Vec::new();
    for (place, validation) in spec.validations.iter().enumerate() {
        let field = |name: &str| format!("spec.validations[{place}].{name}");
        warnings.extend(check(field("expression"), &validation.expression));
        let message = validation.message_expression.as_deref().filter(|text| !text.is_empty());
        warnings.extend(message.and_then(|text| check(field("messageExpression"), text)));
    }
    warnings
}

/// What is declared where the objects are of this type.
fn environment(
    spec: &ValidatingPolicySpec,
    catalog: &Catalog,
    object: Type,
    version: Version,
) -> Env {
    let mut env = Env::kubernetes(version)
        .declare("namespaceObject", schema::namespace())
        .declare("request", schema::request())
        .declare("object", object.clone())
        .declare("oldObject", object)
        .declare("authorizer", Type::Opaque("kubernetes.authorization.Authorizer"));
    let of = |kind: &ParamKind| Kind::of(&kind.api_version, &kind.kind);
    if let Some(kind) = spec.param_kind.as_ref().and_then(of) {
        env = env.declare("params", catalog.type_of(&kind).unwrap_or(Type::Dyn));
    }
    env = env.with_variables();
    for variable in &spec.variables {
        let checked = env.check(&variable.expression);
        env.typed_variable(&variable.name, checked.as_ref().ok());
    }
    env
}

/// The kinds that the policy's rules stand for, in order. A rule with a wildcard stands for none, and subresources
/// stand for none.
fn kinds(spec: &ValidatingPolicySpec, catalog: &Catalog) -> BTreeSet<Kind> {
    let mut kinds = BTreeSet::new();
    for rule in &spec.match_constraints.resource_rules {
        let mut groups = rule.api_groups.clone();
        let mut versions = rule.api_versions.clone();
        if groups.iter().chain(&versions).any(|text| text.contains('*')) {
            continue;
        }
        let mut resources = rule.resources.clone();
        resources.retain(|resource| !resource.contains(['*', '/']));
        groups.sort();
        versions.sort();
        resources.sort();
        let mut found = Vec::new();
        for group in &groups {
            for version in &versions {
                for resource in &resources {
                    found.extend(catalog.kinds_of(group, version, resource).cloned());
                }
            }
        }
        found.truncate(KINDS_MAX);
        let is_full = found.len() == KINDS_MAX;
        kinds.extend(found);
        // The API server looks at no further rule then.
        if is_full {
            break;
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The warnings of a policy on Pods and Deployments.
    fn check(validation: serde_json::Value, more: &serde_json::Value) -> Vec<String> {
        let mut spec = json!({
            "matchConstraints": {"resourceRules": [{
                "operations": ["*"], "apiGroups": ["", "apps"], "apiVersions": ["v1"],
                "resources": ["pods", "deployments", "pods/status"],
            }]},
            "validations": [validation],
        });
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let spec: ValidatingPolicySpec = serde_json::from_value(spec).unwrap();
        let found = warnings(&spec, &Catalog::built_in(), Version::default());
        found.iter().map(|warning| format!("{}: {}", warning.field, warning.text())).collect()
    }

    #[test]
    fn warnings_are_worded_as_kubernetes_words_them() {
        let said = check(json!({"expression": "object.spec.replicas > 1"}), &json!({}));
        let expected = "spec.validations[0].expression: /v1, Kind=Pod: ERROR: <input>:1:12: undefined field \
             'replicas'\n | object.spec.replicas > 1\n | ...........^\n";
        assert_eq!(said, [expected]);
    }

    #[test]
    fn everything_that_validations_name_is_checked() {
        let none = json!({});
        let rows = [
            (json!({"expression": "object.metadata.name != ''"}), none.clone(), ""),
            (json!({"expression": "oldObject.metadata.nam != ''"}), none.clone(), "'nam'"),
            (json!({"expression": "object.metadata.namespace != ''"}), none.clone(), ""),
            (json!({"expression": "has(object.metadata.labels['a'])"}), none.clone(), ":1:27: inv"),
            (json!({"expression": "true", "messageExpression": "object.what"}), none, "'what'"),
            (
                json!({"expression": "params.data['a'] == 1"}),
                json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}),
                "'_==_' applied to '(string, int)'",
            ),
            (
                json!({"expression": "params.anything"}),
                json!({"paramKind": {"apiVersion": "a.example.com/v1", "kind": "Rule"}}),
                "",
            ),
            (
                json!({"expression": "variables.name == 1"}),
                json!({"variables": [{"name": "name", "expression": "object.metadata.name"}]}),
                "'_==_' applied to '(string, int)'",
            ),
            (
                json!({"expression": "variables.spec.anything"}),
                json!({"variables": [{"name": "spec", "expression": "object.spec"}]}),
                "",
            ),
        ];
        for (validation, more, expected) in rows {
            let said = check(validation.clone(), &more).concat();
            let is_right = said.contains(expected) && said.is_empty() == expected.is_empty();
            assert!(is_right, "{validation}: {said}");
        }
    }

    #[test]
    fn wildcards_are_not_checked() {
        let rule = |group: &str| {
            json!({"matchConstraints": {"resourceRules": [{
                "operations": ["*"], "apiGroups": [group], "apiVersions": ["v1"], "resources": ["pods"],
            }]}})
        };
        let validation = json!({"expression": "object.nothing"});
        assert_eq!(check(validation.clone(), &rule("*")).len(), 0);
        assert_eq!(check(validation, &rule("")).len(), 1);
    }
}
