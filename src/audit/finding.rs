//! A finding: what a policy has against an object that exists, in a form to be kept, compared and told.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::audit::existing::Existing;
use crate::policy::api::{Severity, ValidationAction};
use crate::policy::outcome::{Cause, Failure, Outcome};
use crate::policy::snapshot::Bound;

/// What a policy says about an object, from nothing to the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is not about this object: a match condition is false.
    Skip,
    /// It has nothing against it.
    Pass,
    /// It would warn.
    Warn,
    /// It could not be evaluated.
    Error,
    /// The object does not meet it.
    Fail,
}

impl Verdict {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Skip => "skip",
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
            Verdict::Error => "error",
            Verdict::Fail => "fail",
        }
    }

    /// What a failure comes to: a policy that only warns does not fail what exists either.
    pub(in crate::audit) fn of(outcome: &Outcome<'_>, failure: &Failure) -> Verdict {
        match failure.cause {
            Cause::Denied if outcome.actions() == [ValidationAction::Warn] => Verdict::Warn,
            Cause::Denied => Verdict::Fail,
            _ => Verdict::Error,
        }
    }
}

/// Which part of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The validation at this place.
    Validation(usize),
    /// The audit annotation at this place.
    AuditAnnotation(usize),
    /// None: it, its binding or its param can't be applied.
    Configuration,
}

impl Rule {
    pub(in crate::audit) fn of(failure: &Failure) -> Rule {
        match failure.cause {
            Cause::Denied | Cause::Error | Cause::MutationError => Rule::Validation(failure.index),
            Cause::AnnotationError => Rule::AuditAnnotation(failure.index),
            Cause::Configuration => Rule::Configuration,
        }
    }
}

/// `validations[1]`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Validation(place) => write!(f, "validations[{place}]"),
            Rule::AuditAnnotation(place) => write!(f, "auditAnnotations[{place}]"),
            Rule::Configuration => f.write_str("configuration"),
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An object, by what it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Group and version, as in `apps/v1`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for what is in none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `metadata.uid`; empty if it came from a file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

impl ObjectRef {
    /// What an object is called.
    pub fn of(existing: &Existing<'_>) -> ObjectRef {
        let kind = existing.kind();
        let slash = if kind.group.is_empty() { "" } else { "/" };
        let is_namespace = kind.group.is_empty() && kind.kind == "Namespace";
        let namespace = if is_namespace { "" } else { existing.namespace() };
        ObjectRef {
            api_version: format!("{}{slash}{}", kind.group, kind.version),
            kind: kind.kind.to_owned(),
            namespace: namespace.to_owned(),
            name: existing.name().to_owned(),
            uid: existing.uid().to_owned(),
        }
    }
}

/// `Pod default/web`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{}", self.kind, self.namespace, self.name)
    }
}

/// A policy, and what reports say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRef {
    /// The word for its kind, in its own API.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// How bad a violation is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Who answers questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Why it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it was read, if it came from a file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
}

impl PolicyRef {
    /// What reports say about a policy.
    pub fn of(bound: &Bound) -> PolicyRef {
        let policy = &*bound.policy;
        let about = policy.about.clone();
        PolicyRef {
            kind: policy.kind_name(),
            name: policy.name.clone(),
            severity: about.severity,
            category: about.category,
            owner: about.owner,
            description: about.description,
            source: policy.source.clone(),
        }
    }
}

/// What a policy has against an object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The object.
    pub object: Arc<ObjectRef>,
    /// The policy.
    pub policy: Arc<PolicyRef>,
    /// Which part of it.
    pub rule: Rule,
    /// How bad it is: `warn`, `error` or `fail`.
    #[serde(rename = "result")]
    pub verdict: Verdict,
    /// In one line.
    pub message: Arc<str>,
    /// The binding through which it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<String>,
    /// The param, as `namespace/name` or `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
}
