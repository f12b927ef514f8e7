//! What we answer to a case, in the form in which the API server's answer is recorded, and how the two differ.

use std::collections::BTreeMap;
use std::fs;

use portcullis::admission::{Decision, native_message};
use portcullis::policy::Request;
use portcullis::policy::manifest::{Manifest, read};
use portcullis::policy::outcome::Cause;
use serde_json::{Value as Json, json};

use crate::case::Case;

#[derive(Default)]
pub struct Answer {
    pub object: Option<Json>,
    decision: Option<&'static str>,
    message: String,
    reason: String,
    code: u16,
    failures: Vec<Json>,
    warnings: Vec<String>,
    audit: BTreeMap<String, String>,
}

impl Answer {
    /// The files of the case could not be read.
    pub fn unreadable(error: String) -> Answer {
        Answer { decision: Some("unreadable"), message: error, ..Answer::default() }
    }

    pub fn allowed(&self) -> bool {
        self.decision.is_none_or(|decision| decision == "allow")
    }

    /// Adds what one phase decided.
    pub fn add(&mut self, request: &Request<'_>, decision: &Decision<'_>) {
        self.warnings.extend(decision.warnings.iter().cloned());
        self.audit.extend(decision.audit_annotations.clone());
        for outcome in &decision.outcomes {
            for failure in &outcome.failures {
                let evaluation = match failure.cause {
                    Cause::Denied => "deny",
                    Cause::Error | Cause::AnnotationError => "error",
                    _ => continue,
                };
                let is_annotation = failure.cause == Cause::AnnotationError;
                if is_annotation && !outcome.counts(failure) {
                    continue;
                }
                let prefix = if is_annotation { "auditAnnotation: " } else { "" };
                self.failures.push(json!({
                    "policy": outcome.policy.name, "evaluation": evaluation,
                    "message": format!("{prefix}{}", failure.message), "index": failure.index,
                }));
            }
        }
        self.decision = Some("allow");
        let Some(status) = &decision.status else { return };
        self.message = native_message(request, decision).unwrap();
        (self.reason, self.code) = (status.reason.to_owned(), status.code);
        let denied = |failure: &Json| {
            failure["evaluation"] == "deny"
                && self.message.contains(failure["message"].as_str().unwrap())
        };
        self.decision = Some(if self.failures.iter().any(denied) { "deny" } else { "error" });
    }

    /// A line for `compare.py`.
    pub fn line(&self, id: &str) -> Json {
        let failures: Vec<&Json> =
            self.failures.iter().map(|failure| &failure["message"]).collect();
        let mut line = json!({
            "id": id, "decision": self.decision, "message": self.message, "failures": failures,
            "reason": self.reason, "code": self.code, "warnings": self.warnings,
            "audit_annotations": self.audit,
        });
        if let Some(object) = &self.object {
            line["object"] = object.clone();
        }
        line
    }

    /// How the answer differs from the API server's, if it does.
    pub fn difference(&self, case: &Case<'_>) -> Option<String> {
        let oracle = &case.case["oracle"];
        let or = |field: &str, default: Json| match &oracle[field] {
            Json::Null => default,
            value => value.clone(),
        };
        let failures: Vec<Json> = or("failures", json!([]))
            .as_array()
            .unwrap()
            .iter()
            .map(|failure| {
                let mut failure = failure.clone();
                failure.as_object_mut().unwrap().shift_remove("reason");
                failure
            })
            .collect();
        let pairs = [
            ("decision", or("decision", json!("")), json!(self.decision)),
            ("message", or("message", json!("")), json!(self.message)),
            ("reason", or("reason", json!("")), json!(self.reason)),
            ("code", or("code", json!(0)), json!(self.code)),
            ("failures", Json::Array(sorted(failures)), Json::Array(sorted(self.failures.clone()))),
            ("warnings", or("warnings", json!([])), json!(self.warnings)),
            ("audit annotations", or("audit_annotations", json!({})), json!(self.audit)),
            ("object", object(case), normal(self.object.clone().unwrap_or_default())),
        ];
        pairs.into_iter().find(|(_, expected, got)| expected != got).map(|(what, expected, got)| {
            if self.decision == Some("unreadable") {
                return format!("can't be read: {}", self.message);
            }
            format!("{what}\n  expected {expected}\n  got      {got}")
        })
    }
}

/// The API server asks policies in any order.
fn sorted(mut failures: Vec<Json>) -> Vec<Json> {
    failures.sort_by_key(|failure| {
        (failure["policy"].to_string(), failure["index"].as_u64(), failure["message"].to_string())
    });
    failures
}

/// The object as the API server left it; null if it did not change it.
fn object(case: &Case<'_>) -> Json {
    let file = match &case.case["oracle"]["object"] {
        Json::String(file) => file,
        object => return normal(object.clone()),
    };
    let text = fs::read_to_string(case.folder.join(file)).unwrap();
    match read(file, &text).unwrap().into_iter().next() {
        Some(Manifest::Object(document) | Manifest::Namespace(document)) => {
            normal(document.root().to_value())
        }
        _ => Json::Null,
    }
}

/// Without what an API server adds or drops freely: nulls and empty containers.
fn normal(value: Json) -> Json {
    let is_nothing = |value: &Json| match value {
        Json::Null => true,
        Json::Object(members) => members.is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => false,
    };
    match value {
        Json::Object(members) => Json::Object(
            members
                .into_iter()
                .map(|(key, value)| (key, normal(value)))
                .filter(|(key, value)| key != "creationTimestamp" && !is_nothing(value))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.into_iter().map(normal).collect()),
        other => other,
    }
}
