//! What is wrong with policies, and what may be, as a person reads it.

use std::fmt::Write;

use crate::admission::Snapshot;
use crate::cel::Version;
use crate::policy::Definitions;
use crate::policy::api::PolicyDiagnostic;
use crate::policy::compile::{Policy, State};
use crate::policy::types::{self, Warning};
use crate::schema::Catalog;

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

/// One text for each expression that asks for what the objects it is about do not have. What does not even compile
/// against any object is an error, and not told here.
pub fn warnings(definitions: &Definitions, catalog: &Catalog, version: Version) -> Vec<String> {
    let mut texts = Vec::new();
    for named in &definitions.validating {
        let policy = Policy::validating(named, version);
        let broken = match policy.state() {
            State::Active => &[],
            State::Broken(diagnostics) => diagnostics,
        };
        let subject = subject(&policy.source, policy.kind_name(), &policy.name);
        for warning in types::warnings(&named.spec, catalog, version) {
            if broken.iter().any(|diagnostic| diagnostic.field == warning.field) {
                continue;
            }
            texts.extend(warning_texts(&subject, &warning));
        }
    }
    texts
}

/// A text for each thing that is wrong with the expression; what is wrong in the same way for several kinds is told once.
fn warning_texts(subject: &str, warning: &Warning) -> Vec<String> {
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    for (kind, error) in &warning.errors {
        let excerpt = error.render();
        match told.iter_mut().find(|(known, _)| *known == excerpt) {
            Some((_, kinds)) => kinds.push(kind.to_string()),
            None => told.push((excerpt, vec![kind.to_string()])),
        }
    }
    let text_of = |(excerpt, kinds): (String, Vec<String>)| {
        let message = format!("for {}:", kinds.join("; "));
        let field = warning.field.clone();
        text(subject, &PolicyDiagnostic { field, message, excerpt: Some(excerpt) })
    };
    told.into_iter().map(text_of).collect()
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
