//! What is wrong with policies, as a person reads it.

use std::fmt::Write;

use crate::admission::Snapshot;
use crate::policy::api::PolicyDiagnostic;
use crate::policy::compile::State;

/// One text for each thing that is wrong with a policy or a binding.
pub fn of(snapshot: &Snapshot) -> Vec<String> {
    let mut problems = Vec::new();
    for bound in snapshot.policies() {
        let policy = &bound.policy;
        if let State::Broken(diagnostics) = policy.state() {
            let subject = subject(&policy.source, policy.kind_name(), &policy.name);
            problems.extend(diagnostics.iter().map(|diagnostic| text(&subject, diagnostic)));
        }
        for binding in &bound.bindings {
            let name = binding.name.as_deref().unwrap_or(&policy.name);
            let subject = subject("", "PolicyBinding", name);
            problems.extend(binding.diagnostics.iter().map(|d| text(&subject, d)));
        }
    }
    for orphan in snapshot.orphans() {
        let name = orphan.name.as_deref().unwrap_or("");
        problems.push(format!(
            "PolicyBinding `{name}` names policy `{}`, which is not there",
            orphan.policy_name
        ));
    }
    problems
}

fn subject(source: &str, kind: &str, name: &str) -> String {
    if source.is_empty() {
        format!("{kind} `{name}`")
    } else {
        format!("{source}: {kind} `{name}`")
    }
}

fn text(subject: &str, diagnostic: &PolicyDiagnostic) -> String {
    let mut text = format!("{subject}: {}: {}", diagnostic.field, diagnostic.message);
    if let Some(excerpt) = &diagnostic.excerpt {
        for line in excerpt.lines() {
            // Writing to a String does not fail.
            let _ = write!(text, "\n    {line}");
        }
    }
    text
}
