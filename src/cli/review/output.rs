//! Decisions as a table for people, and as JSON with every outcome.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::admission::{Decision, Phase, Snapshot};
use crate::cli::diagnostics;
use crate::policy::Request;
use crate::policy::outcome::{Cause, Failure, Outcome};

/// How wide a table is where there is no terminal to ask.
const PLAIN_WIDTH: u16 = 120;

/// What became of one request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reviewed {
    source: String,
    uid: String,
    operation: &'static str,
    kind: String,
    namespace: String,
    name: String,
    /// Whether the request passes.
    pub allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Json>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Json::is_null")]
    audit_annotations: Json,
    #[serde(skip_serializing_if = "Json::is_null")]
    patch: Json,
    outcomes: Vec<Json>,
    /// Policy and message of everything that a person should read.
    #[serde(skip)]
    notes: Vec<[String; 2]>,
}

impl Reviewed {
    /// A request that nothing is known of yet.
    pub fn new(source: &str) -> Reviewed {
        Reviewed {
            source: source.to_owned(),
            uid: String::new(),
            operation: "",
            kind: String::new(),
            namespace: String::new(),
            name: String::new(),
            allowed: true,
            status: None,
            warnings: Vec::new(),
            audit_annotations: Json::Null,
            patch: Json::Null,
            outcomes: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds the decision of a phase.
    pub fn take(&mut self, phase: Phase, request: &Request<'_>, decision: &Decision<'_>) {
        request.uid.clone_into(&mut self.uid);
        self.operation = request.operation.as_str();
        request.kind.kind.clone_into(&mut self.kind);
        request.namespace.clone_into(&mut self.namespace);
        request.display_name().clone_into(&mut self.name);
        self.allowed &= decision.allowed;
        if let Some(status) = &decision.status {
            self.status = Some(json!({
                "code": status.code, "reason": status.reason, "message": status.message
            }));
        }
        self.warnings.extend(decision.warnings.iter().cloned());
        if !decision.audit_annotations.is_empty() {
            self.audit_annotations = json!(decision.audit_annotations);
        }
        if phase == Phase::Mutate && !decision.patch.is_empty() {
            self.patch = serde_json::to_value(&decision.patch).unwrap_or_default();
        }
        for outcome in &decision.outcomes {
            self.outcomes.push(outcome_json(outcome));
            self.note(outcome);
        }
        let unsaid = decision.status.as_ref().filter(|_| self.notes.is_empty());
        if let Some(status) = unsaid {
            self.notes.push([String::new(), status.message.clone()]);
        }
    }

    fn note(&mut self, outcome: &Outcome<'_>) {
        let name = outcome.policy.name.clone();
        if outcome.changed {
            self.notes.push([name.clone(), "changes the object".to_owned()]);
        }
        for failure in &outcome.failures {
            let how = match (outcome.denies(failure), outcome.counts(failure)) {
                (true, _) => String::new(),
                (false, true) => {
                    let actions: Vec<_> =
                        outcome.actions().iter().map(|action| format!("{action:?}")).collect();
                    format!("{}: ", actions.join(", "))
                }
                (false, false) => "Ignored: ".to_owned(),
            };
            self.notes.push([name.clone(), format!("{how}{}", failure.message)]);
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.allowed, self.patch.is_null(), self.warnings.is_empty()) {
            (false, ..) => "denied",
            (true, false, _) => "patched",
            (true, true, false) => "warned",
            (true, true, true) => "allowed",
        }
    }
}

fn outcome_json(outcome: &Outcome<'_>) -> Json {
    let failure = |failure: &Failure| {
        json!({
            "index": failure.index,
            "cause": match failure.cause {
                Cause::Denied => "denied",
                Cause::Error => "error",
                Cause::AnnotationError => "annotation error",
                Cause::Configuration => "configuration",
                Cause::MutationError => "mutation error",
            },
            "message": failure.message,
            "reason": failure.reason.map(|reason| format!("{reason:?}")),
            "denies": outcome.denies(failure),
        })
    };
    let annotations: serde_json::Map<String, Json> = outcome
        .annotations
        .iter()
        .map(|annotation| (annotation.key.clone(), json!(annotation.value)))
        .collect();
    json!({
        "kind": outcome.policy.kind_name(),
        "policy": outcome.policy.name,
        "binding": outcome.binding.and_then(|binding| binding.name.as_deref()),
        "param": outcome.param,
        "evaluated": outcome.evaluated,
        "passes": outcome.passes(),
        "changed": outcome.changed,
        "failures": outcome.failures.iter().map(failure).collect::<Vec<_>>(),
        "auditAnnotations": annotations,
    })
}

/// The decisions for people.
pub fn table(out: &mut impl Write, reviewed: &[Reviewed]) -> io::Result<()> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["REQUEST", "DECISION", "WHY"]);
    if !table.is_tty() {
        table.set_width(PLAIN_WIDTH);
    }
    for one in reviewed {
        let place = match one.namespace.as_str() {
            "" => one.name.clone(),
            namespace => format!("{namespace}/{}", one.name),
        };
        let request = format!("{} {} {place}", one.operation, one.kind);
        let why: Vec<String> = one
            .notes
            .iter()
            .map(|[policy, message]| match policy.as_str() {
                "" => message.clone(),
                policy => format!("{policy}: {message}"),
            })
            .collect();
        table.add_row([request, one.verdict().to_owned(), why.join("\n")]);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    let denied = reviewed.iter().filter(|one| !one.allowed).count();
    writeln!(out, "\n{} reviewed, {denied} denied", reviewed.len())
}

/// The decisions for programs.
pub fn json(out: &mut impl Write, reviewed: &[Reviewed]) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, reviewed)?;
    writeln!(out)
}

/// What is wrong with policies, before anything is decided by them.
pub fn broken(out: &mut impl Write, snapshot: &Snapshot) -> io::Result<()> {
    for finding in diagnostics::of(snapshot).iter().chain(&diagnostics::orphans(snapshot, &[])) {
        writeln!(out, "warning: {finding}")?;
    }
    Ok(())
}
