//! What is wrong with policies and bindings, and what may be, as a person reads it.

use std::collections::HashMap;
use std::fmt;
use std::fs;

use serde::Serialize;

use crate::admission::Snapshot;
use crate::cel::Version;
use crate::policy::Definitions;
use crate::policy::api::PolicyDiagnostic;
use crate::policy::compile::Policy;
use crate::policy::manifest::{self, Refusal, Refused};
use crate::policy::snapshot::Binding;
use crate::policy::types::{self, Warning};
use crate::schema::Catalog;

/// The longest value that is shown in a line. A longer one is an expression, of which the excerpt shows what matters.
const VALUE_CHARS_MAX: usize = 200;

/// One thing that is wrong, or may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Whether it is.
    pub level: Level,
    file: String,
    /// From 1; 0 if it is not known.
    line: u64,
    kind: String,
    name: String,
    #[serde(flatten)]
    diagnostic: PolicyDiagnostic,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// The API server would refuse it.
    Error,
    /// It may not do what was meant.
    Warning,
}

impl Finding {
    /// Errors first; each as they stand in the files.
    pub fn order(&self) -> impl Ord + use<> {
        (self.level, self.file.clone(), self.line)
    }
}

/// What is wrong with the policies and bindings of a snapshot.
pub fn of(snapshot: &Snapshot) -> Vec<Finding> {
    let mut texts = Texts::default();
    let mut findings = Vec::new();
    for bound in snapshot.policies() {
        let policy = &bound.policy;
        let place = Subject::of(policy);
        findings.extend(
            policy.diagnostics().iter().map(|d| place.finding(Level::Error, d.clone(), &mut texts)),
        );
        for binding in &bound.bindings {
            findings.extend(of_binding(binding, &mut texts));
        }
    }
    for orphan in snapshot.orphans() {
        findings.extend(of_binding(orphan, &mut texts));
    }
    findings
}

/// The bindings that name a policy that is not there, nor among those that were refused.
pub fn orphans(snapshot: &Snapshot, refused: &[(String, Refused)]) -> Vec<Finding> {
    let mut texts = Texts::default();
    let is_there = |name: &str| refused.iter().any(|(_, refused)| refused.name == name);
    let orphans = snapshot.orphans().iter().filter(|orphan| !is_there(&orphan.policy_name));
    let finding = |orphan: &Binding| {
        let diagnostic = PolicyDiagnostic {
            field: "spec.policyName".into(),
            message: format!("there is no policy `{}`", orphan.policy_name),
            excerpt: None,
        };
        Subject::of_binding(orphan).finding(Level::Warning, diagnostic, &mut texts)
    };
    orphans.map(finding).collect()
}

fn of_binding(binding: &Binding, texts: &mut Texts) -> Vec<Finding> {
    let subject = Subject::of_binding(binding);
    let told = |d: &PolicyDiagnostic| subject.finding(Level::Error, d.clone(), texts);
    binding.diagnostics.iter().map(told).collect()
}

/// What is wrong with policies and bindings of files that could not even be decoded.
pub fn refused(refused: &[(String, Refused)]) -> Vec<Finding> {
    let of_one = |(file, one): &(String, Refused)| {
        let finding = |refusal: &Refusal| Finding {
            level: Level::Error,
            file: file.clone(),
            line: refusal.place.0,
            kind: one.kind.clone(),
            name: one.name.clone(),
            diagnostic: refusal.diagnostic.clone(),
        };
        one.refusals.iter().map(finding).collect::<Vec<Finding>>()
    };
    refused.iter().flat_map(of_one).collect()
}

/// Every expression that asks for what the objects it is about do not have. What does not even compile against any object
/// is an error, and not told here.
pub fn warnings(definitions: &Definitions, catalog: &Catalog, version: Version) -> Vec<Finding> {
    let mut texts = Texts::default();
    let mut findings = Vec::new();
    for named in &definitions.validating {
        let policy = Policy::validating(named, version);
        for warning in types::warnings(&named.spec, catalog, version) {
            if policy.diagnostics().iter().any(|broken| broken.field == warning.field) {
                continue;
            }
            let subject = Subject::of(&policy);
            let diagnostics = of_warning(&warning).into_iter();
            findings.extend(diagnostics.map(|d| subject.finding(Level::Warning, d, &mut texts)));
        }
    }
    findings
}

/// What is wrong with the expression; what is wrong in the same way for several kinds is told once.
fn of_warning(warning: &Warning) -> Vec<PolicyDiagnostic> {
    let mut told: Vec<(String, &str, Vec<String>)> = Vec::new();
    for (kind, error) in &warning.errors {
        let excerpt = error.render();
        match told.iter_mut().find(|(known, ..)| *known == excerpt) {
            Some((.., kinds)) => kinds.push(kind.to_string()),
            None => told.push((excerpt, error.message(), vec![kind.to_string()])),
        }
    }
    let diagnostic = |(excerpt, message, kinds): (String, &str, Vec<String>)| PolicyDiagnostic {
        field: warning.field.clone(),
        message: format!("for {}: {message}", kinds.join("; ")),
        excerpt: Some(excerpt),
    };
    told.into_iter().map(diagnostic).collect()
}

/// Whom something is said of.
struct Subject<'s> {
    /// As in `a.yaml:12`; empty if it came from no file.
    source: &'s str,
    kind: &'s str,
    name: &'s str,
}

impl<'s> Subject<'s> {
    fn of(policy: &'s Policy) -> Subject<'s> {
        Subject { source: &policy.source, kind: policy.kind_name(), name: &policy.name }
    }

    fn of_binding(binding: &'s Binding) -> Subject<'s> {
        let name = binding.name.as_deref().unwrap_or(&binding.policy_name);
        Subject { source: &binding.source, kind: binding.kind_name(), name }
    }

    fn finding(&self, level: Level, diagnostic: PolicyDiagnostic, texts: &mut Texts) -> Finding {
        let (file, line) = texts.place(self.source, &diagnostic.field);
        let (kind, name) = (self.kind.to_owned(), self.name.to_owned());
        Finding { level, file, line, kind, name, diagnostic }
    }
}

/// The texts of the files in which something is wrong, to find the lines of fields in them.
#[derive(Default)]
struct Texts(HashMap<String, String>);

impl Texts {
    /// The file and line of a field; where the text can't be read any more, as standard input can't, that of its document.
    fn place(&mut self, source: &str, field: &str) -> (String, u64) {
        let Some((file, line)) = source.rsplit_once(':') else { return (source.to_owned(), 0) };
        let line = line.parse().unwrap_or(0);
        let read = || fs::read_to_string(file).unwrap_or_default();
        let text = self.0.entry(file.to_owned()).or_insert_with(read);
        (file.to_owned(), manifest::line_of(text, line, field).unwrap_or(line))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, kind, name, diagnostic, .. } = self;
        let PolicyDiagnostic { field, message, excerpt } = diagnostic;
        match (file.as_str(), line) {
            ("", _) => {}
            (file, 0) => write!(f, "{file}: ")?,
            (file, line) => write!(f, "{file}:{line}: ")?,
        }
        f.write_str(kind)?;
        if !name.is_empty() {
            write!(f, " `{name}`")?;
        }
        let Some(excerpt) = excerpt else { return write!(f, ": {field}: {message}") };
        let message = with_short_value(message);
        // The excerpt draws it better.
        let told: Vec<&str> = message.lines().filter(|line| !line.starts_with(" | ")).collect();
        write!(f, ": {field}: {}", told.join("\n  "))?;
        let mut excerpt = excerpt.lines().peekable();
        excerpt.next_if(|first| told.last().is_some_and(|last| last.ends_with(first)));
        excerpt.try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// The message with the beginning of a value that is too long for a line.
fn with_short_value(message: &str) -> String {
    let start = "Invalid value: \"";
    let Some(rest) = message.strip_prefix(start) else { return message.to_owned() };
    let mut is_escaped = false;
    let end = rest.char_indices().find(|(_, c)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    let Some((value, after)) = end.and_then(|(at, _)| rest.split_at_checked(at)) else {
        return message.to_owned();
    };
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        None => message.to_owned(),
        Some((at, _)) => {
            let shown = value.get(..at).unwrap_or(value).trim_end_matches('\\');
            format!("{start}{shown}..{after}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_an_excerpt() {
        let finding = |message: &str, excerpt: Option<&str>| Finding {
            level: Level::Error,
            file: "a.yaml".into(),
            line: 3,
            kind: "ValidatingPolicy".into(),
            name: "p".into(),
            diagnostic: PolicyDiagnostic {
                field: "spec.x".into(),
                message: message.into(),
                excerpt: excerpt.map(str::to_owned),
            },
        };
        let at = "a.yaml:3: ValidatingPolicy `p`: spec.x: ";
        let check = |message: &str, excerpt: Option<&str>, expected: &str| {
            assert_eq!(finding(message, excerpt).to_string(), format!("{at}{expected}"));
        };
        check("Required value", None, "Required value");
        check(
            "Invalid value: \"y\": failed: ERROR: <input>:1:1: no y\n | y\n | ^",
            Some("no y\n  |\n1 | y\n  | ^\n"),
            "Invalid value: \"y\": failed: ERROR: <input>:1:1: no y\n      |\n    1 | y\n      | ^",
        );
        let long = "\\\"".repeat(150);
        check(
            &format!("Invalid value: \"{long}\": no"),
            Some("no"),
            &format!("Invalid value: \"{}..\": no", "\\\"".repeat(100)),
        );
    }
}
