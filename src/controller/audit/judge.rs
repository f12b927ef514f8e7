//! The two sets of policies that are asked, and what became of them from one snapshot to the next. No network here.

use std::collections::HashMap;
use std::sync::Arc;

use crate::admission::NamespaceObject;
use crate::audit::plan::ServedKind;
use crate::audit::{Chosen, PolicyRef, References};
use crate::policy::snapshot::{Bound, Snapshot};

/// A set of policies.
#[derive(Debug, Default)]
pub(in crate::controller::audit) struct Judge {
    pub snapshot: Arc<Snapshot>,
    pub references: Arc<References>,
    /// What the answers of each policy hang on, by the word for its kind, and name.
    identities: HashMap<(&'static str, String), [u8; 32]>,
}

/// What became of policies.
#[derive(Debug, Default, PartialEq)]
pub(in crate::controller::audit) struct Changes {
    /// Those that have to be asked anew.
    pub changed: Chosen,
    /// Those whose answers do not count any more: all that changed, and all that are gone.
    pub outdated: Chosen,
    /// Namespaces that are not what they were.
    pub namespaces: Vec<String>,
    /// Whether policies, bindings and params may be others at all.
    pub are_policies_new: bool,
}

impl Judge {
    /// Takes a snapshot in the place of the last.
    pub fn take(&mut self, snapshot: Arc<Snapshot>) -> Changes {
        let namespaces = self.namespaces(&snapshot);
        if self.snapshot.has_policies_of(&snapshot) {
            self.snapshot = snapshot;
            return Changes { namespaces, ..Changes::default() };
        }
        let auditable = snapshot.policies().filter(|bound| bound.background().is_ok());
        let identity = |bound: &Bound| {
            let policy = &bound.policy;
            ((policy.kind_name(), policy.name.clone()), snapshot.identity(bound))
        };
        let identities: HashMap<_, _> = auditable.map(identity).collect();
        let mut changes = Changes { namespaces, are_policies_new: true, ..Changes::default() };
        for (policy, identity) in &identities {
            if self.identities.get(policy) != Some(identity) {
                add(&mut changes.changed, policy);
            }
        }
        for (policy, identity) in &self.identities {
            if identities.get(policy) != Some(identity) {
                add(&mut changes.outdated, policy);
            }
        }
        self.identities = identities;
        self.references = Arc::new(References::of(&snapshot));
        self.snapshot = snapshot;
        changes
    }

    /// The namespaces that are not what they were.
    fn namespaces(&self, next: &Snapshot) -> Vec<String> {
        let is_other = |(name, object): &(&str, &NamespaceObject)| {
            let before = self.snapshot.namespace(name);
            // Of a new one there is nothing that could be outdated.
            before.is_some_and(|before| before.shown() != object.shown())
        };
        next.namespaces().filter(is_other).map(|(name, _)| name.to_owned()).collect()
    }
}

fn add(chosen: &mut Chosen, (kind, name): &(&'static str, String)) {
    chosen.entry(*kind).or_default().insert(name.clone());
}

impl Changes {
    /// Whether the answers of this policy do not count any more.
    pub fn outdates(&self, policy: &PolicyRef) -> bool {
        self.outdated.get(policy.kind).is_some_and(|names| names.contains(&policy.name))
    }
}

/// The policies that are in both.
pub(in crate::controller::audit) fn common(a: &Chosen, b: &Chosen) -> Chosen {
    let both = a.iter().filter_map(|(kind, names)| {
        let names: std::collections::HashSet<String> =
            names.intersection(b.get(kind)?).cloned().collect();
        (!names.is_empty()).then_some((*kind, names))
    });
    both.collect()
}

/// Which kinds are outside unless a policy names them: what the webhook leaves outside, and reports, which would be about themselves.
pub fn is_outside(kind: &ServedKind) -> bool {
    use crate::controller::registration::webhooks::{OUTSIDE_GROUPS, OUTSIDE_RESOURCES};
    let group = kind.group.as_str();
    OUTSIDE_RESOURCES.contains(&(group, kind.resource.as_str()))
        || OUTSIDE_GROUPS.contains(&group)
        || ["openreports.io", "wgpolicyk8s.io"].contains(&group)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::sync::Arc;

    use serde_json::json;

    use crate::cel::Version;
    use crate::controller::audit::judge::Judge;
    use crate::json::Document;
    use crate::policy::snapshot::Snapshot;
    use crate::policy::{Definitions, manifest};

    /// `NAME: EXPRESSION` of policies with the params of a ConfigMap, whose version is given, in a namespace with a label.
    fn snapshot(policies: &[&str], binding: &str, version: &str, label: &str) -> Arc<Snapshot> {
        let mut text = String::new();
        for policy in policies {
            let (name, expression) = policy.split_once(": ").unwrap();
            let _ = write!(
                text,
                "{{apiVersion: portcullis.dev/v1alpha1, kind: ValidatingPolicy, metadata: {{name: {name}}}, spec: {{\
                 paramKind: {{apiVersion: v1, kind: ConfigMap}}, validations: [{{expression: '{expression}'}}], \
                 matchConstraints: {{resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE], \
                 resources: [pods]}}]}}}}}}\n---\n{{apiVersion: portcullis.dev/v1alpha1, kind: PolicyBinding, \
                 metadata: {{name: {name}}}, spec: {{policyName: {name}, validationActions: [{binding}], paramRef: \
                 {{name: {name}, namespace: x, parameterNotFoundAction: Deny}}}}}}\n---\n"
            );
        }
        let mut definitions = Definitions::default();
        manifest::read("", &text).unwrap().into_iter().for_each(|m| definitions.add(m));
        let metadata =
            json!({"name": "a", "namespace": "x", "uid": "u", "resourceVersion": version});
        let param = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        definitions.params.push(Arc::new(Document::from_value(&param)));
        let metadata = json!({"name": "x", "labels": {"a": label}});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        definitions.namespaces.push(Arc::new(Document::from_value(&namespace)));
        Arc::new(Snapshot::build(definitions, Version::default(), None))
    }

    #[test]
    fn what_changed_is_asked_again_and_nothing_else() {
        type Row<'r> = (&'r [&'r str], &'r str, &'r str, &'r str);
        let first: Row<'_> = (&["a: 'true'", "b: 'true'"], "Deny", "1", "l");
        let check = |next: Row<'_>, changed: &[&str], outdated: &[&str], namespaces: &[&str]| {
            let mut judge = Judge::default();
            let make = |(policies, binding, version, label): Row<'_>| {
                let policies: Vec<String> =
                    policies.iter().map(|policy| policy.replace('\'', "")).collect();
                let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
                snapshot(&policies, binding, version, label)
            };
            let all = judge.take(make(first));
            assert!(all.outdated.is_empty() && all.namespaces.is_empty());
            assert_eq!(all.changed["ValidatingPolicy"].len(), 2);
            let changes = judge.take(make(next));
            let names = |chosen: &crate::audit::Chosen| {
                let mut names: Vec<String> = chosen.values().flatten().cloned().collect();
                names.sort();
                names
            };
            assert_eq!(names(&changes.changed), changed);
            assert_eq!(names(&changes.outdated), outdated);
            assert_eq!(changes.namespaces, namespaces);
        };
        check(first, &[], &[], &[]);
        check((&["a: 'false'", "b: 'true'"], "Deny", "1", "l"), &["a"], &["a"], &[]);
        check((&["b: 'true'"], "Deny", "1", "l"), &[], &["a"], &[]);
        check((&["a: 'true'", "b: 'true'", "c: 'true'"], "Deny", "1", "l"), &["c"], &[], &[]);
        check((&["a: 'true'", "b: x"], "Deny", "1", "l"), &[], &["b"], &[]);
        check((&["a: 'true'", "b: 'true'"], "Warn", "1", "l"), &["a", "b"], &["a", "b"], &[]);
        // Only `a` has the ConfigMap of that name.
        check((&["a: 'true'", "b: 'true'"], "Deny", "2", "l"), &["a"], &["a"], &[]);
        check((&["a: 'true'", "b: 'true'"], "Deny", "1", "m"), &[], &[], &["x"]);
    }
}
