//! Policies of the API server that can't be asked about what exists, told once and shown by a metric all the while: their
//! status is the API server's, and nobody else's to write. Our own say it in their status.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::controller::audit::shown;
use crate::controller::limits::LEFT_OUT_SHOWN_MAX;
use crate::policy::background::Unauditable;
use crate::policy::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::LeftOutLabels;

/// Those that are left out now, and why.
#[derive(Debug)]
pub(in crate::controller::audit) struct LeftOut {
    metrics: Arc<Metrics>,
    told: BTreeMap<(&'static str, String), Unauditable>,
}

impl LeftOut {
    pub fn new(metrics: Arc<Metrics>) -> LeftOut {
        LeftOut { metrics, told: BTreeMap::new() }
    }

    /// Takes what is left out of these policies in the place of what was left out before.
    pub fn take(&mut self, policies: &Snapshot) {
        let left_out = policies.policies().filter_map(|bound| {
            let why = bound.background().err()?;
            let policy = &bound.policy;
            // Who changes objects is not meant to judge them, and who is not bound is not in force.
            let is_meant = !matches!(why, Unauditable::Mutates | Unauditable::Unbound);
            is_meant.then(|| ((policy.kind_name(), policy.name.clone()), why))
        });
        let left_out: BTreeMap<_, _> = left_out.collect();
        if left_out == self.told {
            return;
        }
        for ((kind, policy), why) in &left_out {
            if self.told.get(&(*kind, policy.clone())) != Some(why) {
                tracing::warn!(kind, policy, %why, "what exists can't be audited by this policy");
            }
        }
        self.told = left_out;
        let all = self.told.iter().map(|((kind, policy), why)| LeftOutLabels {
            kind,
            policy: policy.clone(),
            reason: why.word(),
        });
        let rest = || LeftOutLabels { kind: "*", policy: "*".to_owned(), reason: "*" };
        self.metrics.left_out(shown(all, LEFT_OUT_SHOWN_MAX, rest));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::cel::Version;
    use crate::controller::audit::left_out::LeftOut;
    use crate::controller::limits::LEFT_OUT_SHOWN_MAX;
    use crate::policy::snapshot::Snapshot;
    use crate::policy::{Definitions, manifest};
    use crate::telemetry::Metrics;

    /// `NAME: EXPRESSION` of native policies that are bound.
    fn snapshot(policies: &[&str]) -> Snapshot {
        let mut definitions = Definitions::default();
        for policy in policies {
            let (name, expression) = policy.split_once(": ").unwrap();
            let text = format!(
                "{{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {{name: \
                 {name}}}, spec: {{validations: [{{expression: \"{expression}\"}}], matchConstraints: {{resourceRules: [{{\
                 apiGroups: [''], apiVersions: [v1], operations: [UPDATE], resources: [pods]}}]}}}}}}\n---\n{{apiVersion: \
                 admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {{name: {name}}}, \
                 spec: {{policyName: {name}, validationActions: [Deny]}}}}"
            );
            manifest::read("", &text).unwrap().into_iter().for_each(|m| definitions.add(m));
        }
        Snapshot::build(definitions, Version::default(), None)
    }

    fn shown(metrics: &Metrics) -> Vec<String> {
        let text = metrics.text();
        let prefix = "portcullis_audit_policies_left_out";
        let mut lines: Vec<String> =
            text.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_can_not_be_asked_is_shown_as_long_as_it_is_so() {
        let metrics = Arc::new(Metrics::new());
        let mut left_out = LeftOut::new(Arc::clone(&metrics));
        let mut check = |policies: &[&str], expect: &[&str]| {
            left_out.take(&snapshot(policies));
            let expect: Vec<String> = expect
                .iter()
                .map(|row| {
                    let (name, reason) = row.split_once(' ').unwrap();
                    format!(
                        "{{kind=\"ValidatingAdmissionPolicy\",policy=\"{name}\",reason=\"{reason}\"}} 1"
                    )
                })
                .collect();
            assert_eq!(shown(&metrics), expect, "{policies:?}");
        };
        let old = "b: object == oldObject";
        check(&["a: true", old], &["b old_object"]);
        check(&["a: request.userInfo.username == 'x'", old], &["a user", "b old_object"]);
        check(&["a: true", "c: object.("], &["c broken"]);
        check(&[], &[]);
    }

    #[test]
    fn no_more_are_named_than_a_limit() {
        let metrics = Arc::new(Metrics::new());
        let policies: Vec<String> =
            (0..LEFT_OUT_SHOWN_MAX + 2).map(|n| format!("p{n:03}: object == oldObject")).collect();
        let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
        LeftOut::new(Arc::clone(&metrics)).take(&snapshot(&policies));
        let shown = shown(&metrics);
        assert_eq!(shown.len(), LEFT_OUT_SHOWN_MAX + 1);
        assert_eq!(shown[0], "{kind=\"*\",policy=\"*\",reason=\"*\"} 2");
    }
}
