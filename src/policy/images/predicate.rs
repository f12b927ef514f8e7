//! Expressions over what is attested: what they see, and how they are run.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::cel::{Arena, Env, Evaluation, NoAnswers, Type, Value, Version};
use crate::images::{Digest, Reference, Signer, Verified};
use crate::json::Document;
use crate::policy::budget::POLICY_COST_MAX;
use crate::policy::images::compile::{Attestation, Rule};

/// What expressions over predicates may name.
pub(in crate::policy::images) fn env(version: Version) -> Env {
    Env::kubernetes(version)
        .declare("predicate", Type::Dyn)
        .declare("image", Type::Dyn)
        .declare("signer", Type::Dyn)
        .declare("now", Type::Timestamp)
}

/// Why an attestation does not meet the rules, if it does not.
pub(in crate::policy::images) fn unmet(
    attestation: &Attestation,
    predicate: &Json,
    verified: &Verified,
    image: &Reference,
    digest: &Digest,
    now: Timestamp,
) -> Option<String> {
    let documents = [predicate, &shown(image, digest), &signer(verified)].map(Document::from_value);
    let [predicate, image, signer] = &documents;
    let now = crate::cel::Timestamp::new(now.as_second(), 0).map_or(Value::Null, Value::Timestamp);
    let roots = [
        Value::from_json(predicate.root()),
        Value::from_json(image.root()),
        Value::from_json(signer.root()),
        now,
    ];
    let arena = Arena::new();
    let evaluation = Evaluation::new(&arena, &attestation.env, &roots, &NoAnswers);
    let mut budget = POLICY_COST_MAX;
    attestation.rules.iter().find_map(|rule| {
        let told = |why: String| Some(format!("expression '{}' {why}", rule.source.trim()));
        let program = match &rule.program {
            Ok(program) => program,
            Err(why) => return told(format!("does not compile: {why}")),
        };
        let run = evaluation.run(program);
        match budget.checked_sub(run.cost) {
            Some(left) => budget = left,
            None => return told("is too expensive".to_owned()),
        }
        match run.result {
            Ok(Value::Bool(true)) => None,
            Ok(_) => Some(said(rule)),
            Err(error) => told(format!("resulted in error: {error}")),
        }
    })
}

fn said(rule: &Rule) -> String {
    match &rule.message {
        Some(message) => message.trim().to_owned(),
        None => format!("failed expression: {}", rule.source.trim()),
    }
}

fn shown(image: &Reference, digest: &Digest) -> Json {
    json!({
        "registry": image.registry(),
        "repository": image.repository(),
        "tag": image.tag().unwrap_or_default(),
        "digest": digest.to_string(),
    })
}

/// Who attests it, as expressions and reports see it.
pub(in crate::policy::images) fn signer(verified: &Verified) -> Json {
    match verified.signer() {
        Signer::Key { fingerprint } => json!({"kind": "key", "fingerprint": fingerprint}),
        Signer::Identity { issuer, subject, claims } => {
            json!({"kind": "identity", "issuer": issuer, "subject": subject, "claims": claims})
        }
        Signer::Certificate { subject } => {
            json!({"kind": "certificate", "subject": subject.as_deref().unwrap_or_default()})
        }
    }
}
