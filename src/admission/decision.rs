//! The decision: all outcomes folded into allow or deny, with warnings, audit annotations and a patch. The rules, and the
//! native texts, are those of the dispatchers in `k8s.io/apiserver/pkg/admission/plugin/policy`.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value as Json;

use crate::json::escape_as_go;
use crate::json::patch::{Patch, diff_nodes};
use crate::policy::api::{PolicyKind, StatusReason, ValidationAction};
use crate::policy::definitions::Origin;
use crate::policy::mutate::Mutated;
use crate::policy::outcome::{Cause, Failure, Outcome};
use crate::policy::request::Request;

/// How many failures the text of a denial lists. A user fixes a handful and tries again.
pub const FAILURES_SHOWN_MAX: usize = 20;

/// How many failures the audit annotation lists, about 10 KiB. Source: `maxValidationFailures`.
pub const FAILURES_AUDITED_MAX: usize = 50;

/// The audit annotation that lists failures of policies that say Audit.
pub const FAILURES_ANNOTATION: &str = "validation.policy.admission.k8s.io/validation_failure";

/// What becomes of a request.
#[derive(Debug, Default)]
pub struct Decision<'s> {
    /// Whether it passes.
    pub allowed: bool,
    /// Why not, if it does not.
    pub status: Option<Status>,
    /// What the user is told beside, without repetition.
    pub warnings: Vec<String>,
    /// What is written into the audit event, as the API server itself would: by `policy/key`.
    pub audit_annotations: BTreeMap<String, String>,
    /// How the object is changed; empty if it stays.
    pub patch: Patch,
    /// The object as the policies left it, if they changed it.
    pub object: Option<Json>,
    /// Every answer of every policy that matched, for records and reports.
    pub outcomes: Vec<Outcome<'s>>,
}

/// Why a request is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// The category, in the words of the API.
    pub reason: &'static str,
    /// For the user.
    pub message: String,
}

impl<'s> Decision<'s> {
    /// Folds the outcomes of validating policies.
    pub(in crate::admission) fn of_validations(outcomes: Vec<Outcome<'s>>) -> Decision<'s> {
        let mut decision = Decision { allowed: true, ..Decision::default() };
        let mut audited = Vec::new();
        for outcome in &outcomes {
            decision.warn_of_suspended(outcome, &mut audited);
            for note in &outcome.notes {
                decision.tell(format!("{}: {note}", subject(outcome)));
            }
            for failure in outcome.failures.iter().filter(|failure| outcome.counts(failure)) {
                if !matches!(failure.cause, Cause::Denied | Cause::Error) {
                    continue;
                }
                for action in outcome.actions() {
                    match action {
                        ValidationAction::Deny => {}
                        ValidationAction::Warn => decision.warn(outcome, failure),
                        ValidationAction::Audit => audited.push(Audited::new(outcome, failure)),
                    }
                }
            }
        }
        decision.annotate(&outcomes);
        decision.audit(&audited);
        let reason = first_denial(&outcomes)
            .map(|(_, failure)| failure.reason.unwrap_or(StatusReason::Invalid));
        if let Some(reason) = reason {
            let (code, reason) = words(reason);
            decision.deny(code, reason, &outcomes);
        }
        decision.outcomes = outcomes;
        decision
    }

    /// Folds the outcomes of mutating policies.
    pub(in crate::admission) fn of_mutations(
        request: &Request<'_>,
        mutated: Mutated<'s>,
    ) -> Decision<'s> {
        let Mutated { outcomes, object } = mutated;
        let mut decision = Decision { allowed: true, ..Decision::default() };
        let mut audited = Vec::new();
        for outcome in &outcomes {
            decision.warn_of_suspended(outcome, &mut audited);
        }
        decision.audit(&audited);
        match first_denial(&outcomes) {
            // The API server's dispatcher changes the reason and leaves the code.
            Some((_, Failure { cause: Cause::MutationError, .. })) => {
                decision.deny(403, "Invalid", &outcomes);
            }
            Some(_) => decision.deny(403, "Forbidden", &outcomes),
            None => {
                if let Some(changed) = object {
                    decision.patch = diff_nodes(request.object, changed.document.root());
                    decision.object = Some(changed.value);
                }
            }
        }
        decision.outcomes = outcomes;
        decision
    }

    /// The namespace of the request does not exist.
    pub(in crate::admission) fn namespace_missing(name: &str) -> Decision<'s> {
        Decision::halted(404, "NotFound", format!("namespaces \"{name}\" not found"))
    }

    /// Something that is needed is not there yet.
    pub(in crate::admission) fn unavailable(message: String) -> Decision<'s> {
        Decision::halted(503, "ServiceUnavailable", message)
    }

    /// Something that no policy decides about went wrong.
    pub(in crate::admission) fn internal_error(message: &str) -> Decision<'s> {
        Decision::halted(500, "InternalError", format!("Internal error occurred: {message}"))
    }

    fn halted(code: u16, reason: &'static str, message: String) -> Decision<'s> {
        Decision { status: Some(Status { code, reason, message }), ..Decision::default() }
    }

    fn deny(&mut self, code: u16, reason: &'static str, outcomes: &[Outcome<'_>]) {
        self.allowed = false;
        self.status = Some(Status { code, reason, message: denial(outcomes) });
    }

    fn warn(&mut self, outcome: &Outcome<'_>, failure: &Failure) {
        self.tell(format!("Validation failed for {}: {}", subject(outcome), failure.message));
    }

    fn tell(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    /// What would deny the request if enforcement were not suspended is told to the user, and audited.
    fn warn_of_suspended<'o>(&mut self, outcome: &'o Outcome<'_>, audited: &mut Vec<Audited<'o>>) {
        let Some(suspension) = outcome.suspended else { return };
        for failure in outcome.failures.iter().filter(|failure| outcome.would_deny(failure)) {
            let (subject, until) = (subject(outcome), suspension.until);
            let message = &failure.message;
            self.tell(format!("Break-glass until {until}: {subject} would deny this: {message}"));
            if !outcome.actions().contains(&ValidationAction::Audit) {
                audited.push(Audited::new(outcome, failure));
            }
        }
    }

    /// Several bindings or params may give one key several values: each is there once.
    fn annotate(&mut self, outcomes: &[Outcome<'_>]) {
        let mut values: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for outcome in outcomes {
            for annotation in &outcome.annotations {
                let key = format!("{}/{}", outcome.policy.name, annotation.key);
                let values = values.entry(key).or_default();
                if !values.contains(&annotation.value.as_str()) {
                    values.push(&annotation.value);
                }
            }
        }
        let joined = values.into_iter().map(|(key, values)| (key, values.join(", ")));
        self.audit_annotations.extend(joined);
    }

    fn audit(&mut self, audited: &[Audited<'_>]) {
        let shown = audited.get(..FAILURES_AUDITED_MAX).unwrap_or(audited);
        if !shown.is_empty() {
            let text = serde_json::to_string(shown).unwrap_or_default();
            self.audit_annotations.insert(FAILURES_ANNOTATION.to_owned(), escape_as_go(&text));
        }
    }
}

/// One failure in the audit annotation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Audited<'o> {
    message: &'o str,
    policy: &'o str,
    binding: &'o str,
    expression_index: usize,
    validation_actions: &'o [ValidationAction],
}

impl<'o> Audited<'o> {
    fn new(outcome: &'o Outcome<'_>, failure: &'o Failure) -> Audited<'o> {
        let policy = outcome.policy.name.as_str();
        Audited {
            message: &failure.message,
            policy,
            binding: outcome.binding.and_then(|b| b.name.as_deref()).unwrap_or(policy),
            expression_index: failure.index,
            validation_actions: outcome.actions(),
        }
    }
}

fn first_denial<'o>(outcomes: &'o [Outcome<'_>]) -> Option<(&'o Outcome<'o>, &'o Failure)> {
    denials(outcomes).next()
}

fn denials<'o>(
    outcomes: &'o [Outcome<'_>],
) -> impl Iterator<Item = (&'o Outcome<'o>, &'o Failure)> {
    outcomes.iter().flat_map(|outcome| outcome.denials().map(move |failure| (outcome, failure)))
}

fn words(reason: StatusReason) -> (u16, &'static str) {
    match reason {
        StatusReason::Forbidden => (403, "Forbidden"),
        StatusReason::Invalid => (422, "Invalid"),
        StatusReason::RequestEntityTooLarge => (413, "RequestEntityTooLarge"),
    }
}

/// `ValidatingPolicy 'a' with binding 'b'`.
fn subject(outcome: &Outcome<'_>) -> String {
    let mut text = format!("{} '{}'", outcome.policy.kind_name(), outcome.policy.name);
    if let Some(name) = outcome.binding.and_then(|binding| binding.name.as_deref()) {
        let _ = write!(text, " with binding '{name}'");
    }
    text
}

/// What the user reads: every failure that denies, with its policy.
fn denial(outcomes: &[Outcome<'_>]) -> String {
    let mut lines: Vec<(String, &str)> = Vec::new();
    for (outcome, failure) in denials(outcomes) {
        let line = (subject(outcome), failure.message.as_str());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if let [(subject, message)] = lines.as_slice() {
        return format!("{subject} denied request: {message}");
    }
    let mut text = format!("{} failures:", lines.len());
    for (subject, message) in lines.iter().take(FAILURES_SHOWN_MAX) {
        let _ = write!(text, "\n- {subject}: {message}");
    }
    if let Some(more) = lines.len().checked_sub(FAILURES_SHOWN_MAX).filter(|more| *more > 0) {
        let _ = write!(text, "\n- and {more} more");
    }
    text
}

/// What the API server itself would say about the request: the first failure that denies, as it words it for native
/// policies. None if no policy denies.
pub fn native_message(request: &Request<'_>, decision: &Decision<'_>) -> Option<String> {
    let Some((outcome, failure)) = first_denial(&decision.outcomes) else {
        return decision.status.as_ref().map(|status| status.message.clone());
    };
    let Failure { message, .. } = failure;
    let policy = outcome.policy;
    let named = outcome.binding.map(|b| b.name.as_deref().unwrap_or(policy.name.as_str()));
    if policy.kind == PolicyKind::MutatingPolicy {
        return Some(match named {
            Some(binding) => {
                let name = &policy.name;
                format!("policy '{name}' with binding '{binding}' denied request: {message}")
            }
            None => format!("policy {:?} denied request: {message}", policy.name),
        });
    }
    let kind = match policy.origin {
        Origin::Native => policy.kind_name(),
        Origin::Portcullis => "ValidatingAdmissionPolicy",
    };
    let mut text =
        format!("{} {:?} is forbidden: {kind} ", request.resource, request.display_name());
    let _ = write!(text, "'{}'", policy.name);
    if let Some(binding) = named {
        let _ = write!(text, " with binding '{binding}'");
    }
    let _ = write!(text, " denied request: {message}");
    Some(text)
}
