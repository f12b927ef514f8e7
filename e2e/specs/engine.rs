//! The engine, asked as the server asks it.

use crate::example::Example;
use portcullis::admission::{Facts, Phase, Snapshot, review, wire};
use portcullis::cel::{Arena, Version};
use portcullis::json::Document;
use portcullis::policy::{Definitions, manifest};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// What the engine answers.
#[derive(Debug)]
pub struct Answer {
    pub allowed: bool,
    /// Each failed validation or error, in order.
    pub failures: Vec<String>,
    pub warnings: Vec<String>,
    /// The object as the policies left it, if they changed it.
    pub object: Option<Value>,
}

/// The policies and params of a folder, with the example's own params in place of them.
pub fn snapshot(folder: &Path, example: &Example) -> Snapshot {
    let mut definitions = Definitions::default();
    for file in ["policy.yaml", "params.yaml"].map(|file| folder.join(file)) {
        let is_replaced = file.ends_with("params.yaml") && example.params.is_some();
        if is_replaced || !file.exists() {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for manifest in manifest::read(file.to_str().unwrap(), &text).unwrap() {
            definitions.add(manifest);
        }
    }
    definitions.params.extend(example.params.as_ref().map(Document::from_value).map(Arc::new));
    definitions.namespaces.push(Arc::new(Document::from_value(&example.namespace())));
    Snapshot::build(definitions, Version::LATEST, None)
}

/// Mutations first, then validations, each of the object as it was sent.
pub fn ask(snapshot: &Snapshot, request: &Value) -> Answer {
    let parsed = wire::parse(request.to_string().into_bytes()).unwrap();
    let request = parsed.request();
    let mut answer =
        Answer { allowed: true, failures: Vec::new(), warnings: Vec::new(), object: None };
    for phase in [Phase::Mutate, Phase::Validate] {
        let arena = Arena::new();
        let decision = review(phase, &request, snapshot, &Facts::default(), &arena).unwrap();
        let failures = decision.outcomes.iter().flat_map(|outcome| &outcome.failures);
        answer.failures.extend(failures.map(|failure| failure.message.clone()));
        answer.allowed &= decision.allowed;
        answer.warnings.extend(decision.warnings);
        answer.object = answer.object.or(decision.object);
    }
    answer
}
