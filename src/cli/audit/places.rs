//! Where rules stand in the files of policies, and what they say: looked up for findings only.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use crate::audit::{Finding, PolicyRef, Rule};
use crate::policy::Definitions;
use crate::policy::api::ValidatingPolicySpec;
use crate::policy::definitions::{Named, Origin};
use crate::policy::manifest;

/// Bytes of a file of policies in which lines are looked for.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Where rules stand. Answers are kept: many findings are of one rule.
#[derive(Debug, Default)]
pub struct Places {
    specs: HashMap<(&'static str, String), Arc<ValidatingPolicySpec>>,
    texts: RefCell<HashMap<String, Arc<str>>>,
    known: RefCell<HashMap<(String, Rule), Place>>,
}

/// Where a rule stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file; empty if it came from a cluster.
    pub file: String,
    /// The line; 0 if it is not known.
    pub line: u64,
    /// The expression.
    pub expression: Option<String>,
}

impl Places {
    /// Where the rules of these policies are.
    pub fn new(definitions: &Definitions) -> Places {
        let named = |policy: &Named<ValidatingPolicySpec>| {
            let kind = match policy.origin {
                Origin::Portcullis => "ValidatingPolicy",
                Origin::Native => "ValidatingAdmissionPolicy",
            };
            ((kind, policy.name.clone()), Arc::clone(&policy.spec))
        };
        Places { specs: definitions.validating.iter().map(named).collect(), ..Places::default() }
    }

    /// Where the rule of a finding stands.
    pub fn of(&self, finding: &Finding) -> Place {
        let key = (format!("{}/{}", finding.policy.kind, finding.policy.name), finding.rule);
        if let Some(place) = self.known.borrow().get(&key) {
            return place.clone();
        }
        let place = self.look(&finding.policy, finding.rule);
        self.known.borrow_mut().insert(key, place.clone());
        place
    }

    fn look(&self, policy: &PolicyRef, rule: Rule) -> Place {
        let spec = self.specs.get(&(policy.kind, policy.name.clone()));
        let (expression, field) = match rule {
            Rule::Validation(at) => (
                spec.and_then(|spec| spec.validations.get(at)).map(|rule| &rule.expression),
                format!("spec.validations[{at}].expression"),
            ),
            Rule::AuditAnnotation(at) => (
                spec.and_then(|spec| spec.audit_annotations.get(at))
                    .map(|annotation| &annotation.value_expression),
                format!("spec.auditAnnotations[{at}].valueExpression"),
            ),
            Rule::Configuration => (None, "spec".to_owned()),
        };
        let expression = expression.cloned();
        let Some((file, first)) = policy.source.rsplit_once(':') else {
            return Place { file: policy.source.clone(), line: 0, expression };
        };
        let first = first.parse().unwrap_or(0);
        let line = manifest::line_of(&self.text(file), first, &field).unwrap_or(first);
        Place { file: file.to_owned(), line, expression }
    }

    /// The text of a file; empty if it can't be read again, as standard input can't.
    fn text(&self, file: &str) -> Arc<str> {
        let mut texts = self.texts.borrow_mut();
        let read = || {
            let is_short = fs::metadata(file).is_ok_and(|file| file.len() <= FILE_BYTES_MAX);
            let text =
                if is_short { fs::read_to_string(file).unwrap_or_default() } else { String::new() };
            text.into()
        };
        Arc::clone(texts.entry(file.to_owned()).or_insert_with(read))
    }
}
