//! The plan of an audit: which kinds of objects are looked at, in which version, and which policies are asked about them.
//! Who serves what is told; nobody is asked here.

use std::collections::BTreeMap;

use crate::audit::examine::Chosen;
use crate::policy::api::{NamedRule, Operation, Scope};
use crate::policy::background::Background;
use crate::policy::snapshot::Bound;

/// Objects that somebody serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServedKind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource, in lower-case plural.
    pub resource: String,
    /// The API version.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// Whether each object lives in a namespace.
    pub is_namespaced: bool,
}

/// The kinds that are looked at, each with the policies that are asked.
pub type Plan = BTreeMap<ServedKind, Chosen>;

/// Makes the plan. `served` has the versions of a resource next to each other, the preferred one first. What is outside is
/// looked at only if a policy names it.
///
/// A policy is asked once about an object, however many versions it is served in: in the preferred one if its rules name
/// that, else in the first that they do name, which is the one that the API server would convert to.
pub fn plan<'s>(
    policies: impl IntoIterator<Item = &'s Bound>,
    served: &[ServedKind],
    is_outside: impl Fn(&ServedKind) -> bool,
) -> Plan {
    let mut plan = Plan::new();
    for bound in policies {
        let Ok(background) = bound.background() else { continue };
        let same =
            |a: &ServedKind, b: &ServedKind| (&a.group, &a.resource) == (&b.group, &b.resource);
        for versions in served.chunk_by(same) {
            let rules = || bound.rules().iter().filter(|rule| asks(rule, background));
            let reached = |kind: &&ServedKind| rules().any(|rule| reaches(rule, kind));
            let Some(kind) = versions.iter().find(reached) else { continue };
            if is_outside(kind) && !rules().any(|rule| names(rule, kind)) {
                continue;
            }
            let chosen = plan.entry(kind.clone()).or_default();
            let names = chosen.entry(bound.policy.kind_name()).or_default();
            names.insert(bound.policy.name.clone());
        }
    }
    plan
}

/// Whether the rule is about what is there, and the policy is asked as its operations have it.
fn asks(rule: &NamedRule, background: Background) -> bool {
    let says = |operation: Operation| {
        rule.operations.iter().any(|said| *said == operation || *said == Operation::All)
    };
    (background.created && says(Operation::Create))
        || (background.updated && says(Operation::Update))
}

fn reaches(rule: &NamedRule, kind: &ServedKind) -> bool {
    let any = |words: &[String], word: &str| words.iter().any(|own| own == "*" || own == word);
    let is_scoped = match rule.scope {
        Scope::All => true,
        Scope::Cluster => !kind.is_namespaced,
        Scope::Namespaced => kind.is_namespaced,
    };
    let is_resource = |text: &String| match text.split_once('/') {
        Some((resource, "*")) => resource == "*" || resource == kind.resource,
        Some(_) => false,
        None => text == "*" || *text == kind.resource,
    };
    is_scoped
        && any(&rule.api_groups, &kind.group)
        && any(&rule.api_versions, &kind.version)
        && rule.resources.iter().any(is_resource)
}

/// Whether the rule says the name of the resource.
fn names(rule: &NamedRule, kind: &ServedKind) -> bool {
    let is_it = |text: &String| text.split('/').next() == Some(kind.resource.as_str());
    reaches(rule, kind) && rule.resources.iter().any(is_it)
}

#[cfg(test)]
mod tests {
    use crate::audit::plan::{ServedKind, plan};
    use crate::cel::Version;
    use crate::policy::snapshot::Snapshot;
    use crate::policy::{Definitions, manifest};

    fn served() -> Vec<ServedKind> {
        let rows = [
            "apps/deployments/v1",
            "autoscaling/hpas/v2",
            "autoscaling/hpas/v1",
            "coordination.k8s.io/leases/v1",
            "/nodes/v1",
            "/pods/v1",
        ];
        let kind = |row: &str| {
            let parts: Vec<&str> = row.split('/').collect();
            ServedKind {
                group: parts[0].into(),
                resource: parts[1].into(),
                version: parts[2].into(),
                kind: "Kind".into(),
                is_namespaced: parts[1] != "nodes",
            }
        };
        rows.into_iter().map(kind).collect()
    }

    #[test]
    fn a_policy_is_asked_about_each_object_once() {
        // `GROUPS VERSIONS RESOURCES OPERATIONS`, and what is looked at.
        let check = |rules: &[&str], rest: &str, expect: &[&str]| {
            let rule = |rule: &&str| {
                let words: Vec<String> = rule
                    .split(' ')
                    .map(|words| format!("['{}']", words.trim_matches('\'').replace(',', "', '")))
                    .collect();
                let [groups, versions, resources, operations] = &words[..] else {
                    panic!("{rule}")
                };
                format!(
                    "{{apiGroups: {groups}, apiVersions: {versions}, resources: {resources}, operations: \
                     {operations}{rest}}}"
                )
            };
            let rules: Vec<String> = rules.iter().map(rule).collect();
            let text = format!(
                "{{apiVersion: portcullis.dev/v1alpha1, kind: ValidatingPolicy, metadata: {{name: a}}, spec: {{\
                 validationActions: [Deny], validations: [{{expression: 'true'}}], matchConstraints: {{\
                 resourceRules: [{}]}}}}}}",
                rules.join(", ")
            );
            let mut definitions = Definitions::default();
            manifest::read("", &text).unwrap().into_iter().for_each(|m| definitions.add(m));
            let snapshot = Snapshot::build(definitions, Version::default(), None);
            let is_outside = |kind: &ServedKind| kind.resource == "leases";
            let plan = plan(snapshot.policies(), &served(), is_outside);
            let told: Vec<String> =
                plan.keys().map(|kind| format!("{}/{}", kind.resource, kind.version)).collect();
            assert_eq!(told, expect, "{rules:?}");
        };
        check(&["'' v1 pods CREATE"], "", &["pods/v1"]);
        check(&["* * * *"], "", &["nodes/v1", "pods/v1", "deployments/v1", "hpas/v2"]);
        check(&["* * * CREATE"], ", scope: Cluster", &["nodes/v1"]);
        check(&["* * * CREATE"], ", scope: Namespaced", &["pods/v1", "deployments/v1", "hpas/v2"]);
        check(&["* * leases,pods/* CREATE"], "", &["pods/v1", "leases/v1"]);
        check(&["autoscaling v1 * UPDATE"], "", &["hpas/v1"]);
        check(&["autoscaling v1,v2 hpas UPDATE"], "", &["hpas/v2"]);
        check(&["autoscaling v3 hpas CREATE"], "", &[]);
        check(
            &["* * pods/log,*/scale CREATE", "apps v1 deployments CREATE"],
            "",
            &["deployments/v1"],
        );
        check(&["'' v1 pods DELETE", "apps v1 deployments CREATE"], "", &["deployments/v1"]);
    }
}
