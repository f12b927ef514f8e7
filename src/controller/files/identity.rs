//! What makes an object one: its kind, namespace and name. In a cluster no two objects share them; in files they can,
//! and then it is not for us to choose.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::json::{Document, Node};
use crate::policy::definitions::{Named, Origin};
use crate::policy::manifest::{Manifest, ManifestError};

/// The objects that were read, each with its place.
#[derive(Debug, Default)]
pub(in crate::controller::files) struct Identities(HashMap<Identity, String>);

/// Kind, namespace, name.
type Identity = (String, String, String);

impl Identities {
    /// Adds an object of a file. Answers whether it is one: what has no name, such as a sample of an AdmissionReview,
    /// is no object of a cluster.
    ///
    /// # Errors
    /// If it was there already, or is nothing that Kubernetes would take.
    pub fn add(&mut self, manifest: &Manifest, file: &str) -> Result<bool, ManifestError> {
        let error = |place: &str, message: String| {
            let (line, column) = if line_of(place) == 0 { (0, 0) } else { (line_of(place), 1) };
            Err(ManifestError::new(file, (line, column), message))
        };
        let (identity, place) = match manifest {
            Manifest::Validating(policy) => named("ValidatingPolicy", policy, file),
            Manifest::Mutating(policy) => named("MutatingPolicy", policy, file),
            Manifest::Binding(binding) => named("PolicyBinding", binding, file),
            Manifest::Images(policy) => named("ImagePolicy", policy, file),
            Manifest::TrustRoot(root) => named("TrustRoot", root, file),
            Manifest::Namespace(document) | Manifest::Object(document) => {
                (identity(document), file.to_owned())
            }
        };
        let (kind, namespace, name) = &identity;
        if kind.is_empty() {
            return error(&place, "an object without `kind` and `apiVersion`".into());
        }
        let slash = if namespace.is_empty() { "" } else { "/" };
        let text = format!("{kind} `{namespace}{slash}{name}`");
        if name.is_empty() {
            return Ok(false);
        }
        match self.0.entry(identity) {
            Entry::Vacant(free) => {
                free.insert(place);
                Ok(true)
            }
            Entry::Occupied(taken) => {
                error(&place, format!("{text} is already in {}", taken.get()))
            }
        }
    }
}

fn named<S>(kind: &str, object: &Named<S>, file: &str) -> (Identity, String) {
    let kind = match object.origin {
        Origin::Portcullis => kind.to_owned(),
        Origin::Native => format!("native {kind}"),
    };
    let place = if object.source.is_empty() { file } else { &object.source };
    ((kind, String::new(), object.name.clone()), place.to_owned())
}

fn identity(document: &Document) -> Identity {
    let root = document.root();
    let text = |node: Option<Node<'_>>| node.and_then(Node::as_str).unwrap_or("").to_owned();
    let metadata = |field: &str| text(root.get("metadata").and_then(|node| node.get(field)));
    let (api_version, kind) = (text(root.get("apiVersion")), text(root.get("kind")));
    let kind = match (api_version.is_empty(), kind.is_empty()) {
        (false, false) => format!("{kind} of {api_version}"),
        _ => String::new(),
    };
    (kind, metadata("namespace"), metadata("name"))
}

/// The line of a place such as `a.yaml:12`; 0 if it has none.
fn line_of(place: &str) -> u64 {
    place.rsplit_once(':').and_then(|(_, line)| line.parse().ok()).unwrap_or(0)
}
