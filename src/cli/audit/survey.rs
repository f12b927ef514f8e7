//! A first look at the files: what decisions depend on beside the object itself. Only what can be that is read.

use std::collections::BTreeSet;
use std::sync::Arc;

use memchr::memmem::Finder;

use crate::cli::audit::kinds::Kinds;
use crate::cli::audit::sources::Source;
use crate::json::{Document, Node};
use crate::policy::Definitions;

/// What was found.
#[derive(Debug, Default)]
pub struct Survey {
    namespaces: Vec<Arc<Document>>,
    params: Vec<Arc<Document>>,
    /// The custom kinds among the objects.
    pub kinds: Kinds,
    /// Bytes of all objects.
    pub bytes: u64,
}

/// Bytes of params and namespaces that are taken. They are in memory while objects are audited, and a cluster's are far
/// below it.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// Looks through all files. What can't be read is told when it is audited.
pub fn survey(sources: &[Source], sets: &[Definitions]) -> Survey {
    let mut survey = Survey::default();
    for object in sets.iter().flat_map(|set| &set.params) {
        survey.kinds.add(object);
    }
    let params: BTreeSet<&str> = sets
        .iter()
        .flat_map(|set| &set.validating)
        .filter_map(|policy| policy.spec.param_kind.as_ref())
        .map(|kind| kind.kind.as_str())
        .collect();
    let mut wanted = params.clone();
    wanted.extend(["Namespace", "CustomResourceDefinition"]);
    let finders: Vec<Finder<'_>> = wanted.iter().map(Finder::new).collect();
    let mut kept = 0;
    // A cluster is asked for these by their kinds.
    for source in sources.iter().filter(|source| source.is_file()) {
        let Ok(pieces) = source.pieces() else { continue };
        for piece in pieces.flatten() {
            survey.bytes += piece.text.len() as u64;
            let bytes = piece.text.as_bytes();
            if kept > KEPT_BYTES_MAX || !finders.iter().any(|f| f.find(bytes).is_some()) {
                continue;
            }
            for object in piece.objects(&source.name).unwrap_or_default() {
                let root = object.document.root();
                let kind = root.get("kind").and_then(Node::as_str).unwrap_or_default();
                let is_core = root.get("apiVersion").and_then(Node::as_str) == Some("v1");
                let is_namespace = kind == "Namespace" && is_core;
                let is_param = params.contains(kind);
                survey.kinds.add(&object.document);
                if !is_namespace && !is_param {
                    continue;
                }
                kept += piece.text.len();
                let document = Arc::new(object.document);
                if is_param {
                    survey.params.push(Arc::clone(&document));
                }
                if is_namespace {
                    survey.namespaces.push(document);
                }
            }
        }
    }
    survey
}

impl Survey {
    /// Adds it to what policies are built from.
    pub fn add_to(&self, definitions: &mut Definitions) {
        definitions.params.extend(self.params.iter().cloned());
        definitions.namespaces.extend(self.namespaces.iter().cloned());
    }
}
