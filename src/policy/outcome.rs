//! What one policy says to one request, through one binding and with one param. What becomes of the request is decided
//! elsewhere; here is everything that such a decision, a report or a record needs.

use std::time::Duration;

use crate::policy::api::{BreakGlassSpec, FailurePolicy, StatusReason, ValidationAction};
use crate::policy::compile::Policy;
use crate::policy::snapshot::Binding;

/// One policy's answer to one request.
#[derive(Clone, Debug)]
pub struct Outcome<'s> {
    /// The policy.
    pub policy: &'s Policy,
    /// Through which binding; none if the policy itself could not be asked.
    pub binding: Option<&'s Binding>,
    /// The param, as `namespace/name` or `name`.
    pub param: Option<String>,
    /// How many validations or mutations were evaluated. None if a match condition was false.
    pub evaluated: usize,
    /// What failed, in the order of the policy. Empty if the request passes.
    pub failures: Vec<Failure>,
    /// What the user is told though nothing failed.
    pub notes: Vec<String>,
    /// Audit annotations that have a value.
    pub annotations: Vec<Annotation>,
    /// Whether a mutating policy changed the object.
    pub changed: bool,
    /// How long the policy took, if somebody looked at a clock.
    pub took: Duration,
    /// Why nothing that fails denies the request, if so.
    pub suspended: Option<&'s BreakGlassSpec>,
}

/// One validation that is not met, or one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The place of the validation, audit annotation or mutation in the policy.
    pub index: usize,
    /// What kind of failure it is.
    pub cause: Cause,
    /// In one line, for the user.
    pub message: String,
    /// The category, for the response.
    pub reason: Option<StatusReason>,
}

/// Why something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A validation is false.
    Denied,
    /// An expression could not be evaluated; validation actions apply to it as to a false one.
    Error,
    /// An audit annotation could not be evaluated. It denies whatever the actions.
    AnnotationError,
    /// A policy or binding can't be applied: a param is missing, a selector is none. It denies whatever the actions.
    Configuration,
    /// A mutation could not be made. It denies whatever the actions.
    MutationError,
}

/// An annotation for the audit event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The key, without the policy's name.
    pub key: String,
    /// The value.
    pub value: String,
}

impl Outcome<'_> {
    /// An outcome that nothing was found wrong in yet.
    pub(in crate::policy) fn new<'s>(
        policy: &'s Policy,
        binding: Option<&'s Binding>,
    ) -> Outcome<'s> {
        Outcome {
            policy,
            binding,
            param: None,
            evaluated: 0,
            failures: Vec::new(),
            notes: Vec::new(),
            annotations: Vec::new(),
            changed: false,
            took: Duration::ZERO,
            suspended: None,
        }
    }

    /// Whether nothing failed that counts.
    pub fn passes(&self) -> bool {
        !self.failures.iter().any(|failure| self.counts(failure))
    }

    /// What happens to a request for which a validation fails.
    pub fn actions(&self) -> &[ValidationAction] {
        self.binding.map_or(&[], |binding| &binding.actions)
    }

    /// Whether the failure counts: an error does not where `failurePolicy` is `Ignore`.
    pub fn counts(&self, failure: &Failure) -> bool {
        failure.cause == Cause::Denied || self.policy.failure_policy == FailurePolicy::Fail
    }

    /// Whether the failure denies the request.
    pub fn denies(&self, failure: &Failure) -> bool {
        self.suspended.is_none() && self.would_deny(failure)
    }

    /// Whether the failure denies the request, or would if enforcement were not suspended.
    pub fn would_deny(&self, failure: &Failure) -> bool {
        self.counts(failure)
            && match failure.cause {
                Cause::Denied | Cause::Error => self.actions().contains(&ValidationAction::Deny),
                Cause::AnnotationError | Cause::Configuration | Cause::MutationError => true,
            }
    }

    /// The failures that deny the request.
    pub fn denials(&self) -> impl Iterator<Item = &Failure> {
        self.failures.iter().filter(|failure| self.denies(failure))
    }
}
