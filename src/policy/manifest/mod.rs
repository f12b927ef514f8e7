//! Manifests: text in YAML or JSON into typed definitions, as `kubectl` reads it. Nothing here opens a file.
//!
//! # Guarantees
//! - A field that the API does not know is an error, with file, line and column: a typo must not weaken a policy.
//! - Scalars are typed as YAML 1.1 has them, and no number or bool becomes a string silently.
//! - One text is bounded in size, depth and number of nodes, aliases included.

mod error;
mod json_pieces;
mod lists;
mod nulls;
mod objects;
mod pieces;
mod places;
mod plain;
mod text;
mod typed;
mod unlike;
mod untyped;

use std::sync::Arc;

use serde_json::Value;

use crate::json::Document;
use crate::policy::api::{
    GROUP, ImagePolicySpec, MutatingPolicySpec, NATIVE_GROUP, PolicyBindingSpec, PolicyKind,
    TrustRootSpec, VERSION, ValidatingPolicySpec,
};
use crate::policy::definitions::{Definitions, Named, Origin};
use crate::policy::manifest::error::{Problem, Unreadable};
use crate::policy::manifest::typed::Typed;
use crate::policy::validation::Subject;

pub use error::{ManifestError, Refusal, Refused};
pub use objects::{Placed, objects};
pub use pieces::{PIECE_MAX, Piece, Pieces};
pub use text::{DEPTH_MAX, NODES_MAX, TEXT_MAX};

/// One document of a manifest.
#[derive(Clone, Debug)]
pub enum Manifest {
    /// A ValidatingPolicy, or a native one.
    Validating(Named<ValidatingPolicySpec>),
    /// A MutatingPolicy, or a native one.
    Mutating(Named<MutatingPolicySpec>),
    /// A PolicyBinding, or a native one.
    Binding(Named<PolicyBindingSpec>),
    /// An ImagePolicy.
    Images(Named<ImagePolicySpec>),
    /// A TrustRoot.
    TrustRoot(Named<TrustRootSpec>),
    /// A Namespace.
    Namespace(Document),
    /// Any other object.
    Object(Document),
}

/// Reads all documents of a text. `file` is its name, for errors.
///
/// ```
/// use portcullis::policy::manifest::{Manifest, read};
///
/// let text = "kind: Namespace\napiVersion: v1\nmetadata: {name: a}\n---\n# nothing here\n";
/// assert!(matches!(read("a.yaml", text).unwrap()[..], [Manifest::Namespace(_)]));
/// let error = read("b.yaml", "kind: PolicyBinding\napiVersion: portcullis.dev/v1alpha1\nspek: {}\n").unwrap_err();
/// assert_eq!((error.line, error.column), (3, 1));
/// ```
///
/// # Errors
/// The first that makes the text unreadable, or else everything that the API server would refuse: a file is taken whole
/// or not at all.
pub fn read(file: &str, text: &str) -> Result<Vec<Manifest>, ManifestError> {
    let (manifests, refused) = read_all(file, text)?;
    if refused.is_empty() { Ok(manifests) } else { Err(ManifestError::refused(file, refused)) }
}

/// Reads all documents of a text, apart from those that can't be decoded because of what the API server would refuse in
/// them: why that is.
///
/// # Errors
/// The first that makes the text unreadable.
pub fn read_all(file: &str, text: &str) -> Result<(Vec<Manifest>, Vec<Refused>), ManifestError> {
    let mut manifests = Vec::new();
    let mut refused = Vec::new();
    for document in text::documents(file, text)? {
        let value: Value = document.read()?;
        let source = document.source();
        let objects = match list_items(&value) {
            Some(items) => (items.iter().enumerate())
                .map(|(place, item)| (format!("items[{place}]."), manifest(&source, item, item)))
                .collect(),
            None if value.is_null() => Vec::new(),
            None => vec![(String::new(), manifest(&source, &value, &document))],
        };
        for (within, read) in objects {
            match read {
                Ok(manifest) => manifests.push(manifest),
                Err(Problem::Refused(found)) => refused.push(document.placed(&within, found)),
                Err(Problem::Unreadable(problem)) => return Err(document.unreadable(problem)),
            }
        }
    }
    Ok((manifests, refused))
}

/// Reads one object that came from a cluster.
///
/// # Errors
/// If it is a policy or binding that can't be read; the message says where.
pub fn from_value(value: Value) -> Result<Manifest, String> {
    manifest("", &value, &value).map_err(|problem| problem.to_string())
}

/// The line of a field such as `spec.validations[0].message`, in the document of a text that begins on this line. If the
/// field is not there, that of what is nearest around it.
///
/// ```
/// use portcullis::policy::manifest::line_of;
///
/// let text = "a: 1\n---\nspec:\n  variables:\n  - name: a\n    expression: b\n";
/// assert_eq!(line_of(text, 3, "spec.variables[0].expression"), Some(6));
/// assert_eq!(line_of(text, 3, "spec.variables[1]"), Some(4));
/// assert_eq!(line_of(text, 3, "status"), Some(3));
/// ```
pub fn line_of(text: &str, first_line: u64, field: &str) -> Option<u64> {
    let documents = text::documents("", text).ok()?;
    let document = documents.into_iter().find(|document| document.first_line() == first_line)?;
    let place = document.places()?.place(field);
    Some(place.map_or(first_line, |place| document.shifted(place).0))
}

impl Definitions {
    /// Adds a document.
    pub fn add(&mut self, manifest: Manifest) {
        match manifest {
            Manifest::Validating(policy) => self.validating.push(policy),
            Manifest::Mutating(policy) => self.mutating.push(policy),
            Manifest::Binding(binding) => self.bindings.push(binding),
            Manifest::Images(policy) => self.images.push(policy),
            Manifest::TrustRoot(root) => self.trust_roots.push(root),
            Manifest::Namespace(document) => self.namespaces.push(Arc::new(document)),
            Manifest::Object(document) => self.params.push(Arc::new(document)),
        }
    }
}

/// `apiVersion` and `kind`.
#[derive(Debug)]
struct Shape {
    group: String,
    version: String,
    kind: String,
}

/// What a document is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// A policy or a binding.
    Policy(Subject),
    TrustRoot,
    Plain,
}

impl Shape {
    fn of(value: &Value) -> Shape {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
        let api_version = text("apiVersion");
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        Shape { group: group.into(), version: version.into(), kind: text("kind").into() }
    }

    fn meaning(&self) -> Meaning {
        use Origin::{Native, Portcullis};
        use PolicyKind::{ImagePolicy, MutatingPolicy, ValidatingPolicy};
        Meaning::Policy(match (self.group.as_str(), self.kind.as_str()) {
            (GROUP, "ValidatingPolicy") => Subject::Policy(Portcullis, ValidatingPolicy),
            (GROUP, "MutatingPolicy") => Subject::Policy(Portcullis, MutatingPolicy),
            (GROUP, "PolicyBinding") => Subject::Binding(Portcullis, None),
            (NATIVE_GROUP, "ValidatingAdmissionPolicy") => {
                Subject::Policy(Native, ValidatingPolicy)
            }
            (NATIVE_GROUP, "MutatingAdmissionPolicy") => Subject::Policy(Native, MutatingPolicy),
            (NATIVE_GROUP, "ValidatingAdmissionPolicyBinding") => {
                Subject::Binding(Native, Some(ValidatingPolicy))
            }
            (NATIVE_GROUP, "MutatingAdmissionPolicyBinding") => {
                Subject::Binding(Native, Some(MutatingPolicy))
            }
            (GROUP, "ImagePolicy") => Subject::Policy(Portcullis, ImagePolicy),
            (GROUP, "TrustRoot") => return Meaning::TrustRoot,
            _ => return Meaning::Plain,
        })
    }

    /// Whether it is of the first native version, which had a default more than those after it.
    fn is_first_native(&self) -> bool {
        self.group == NATIVE_GROUP && self.version == "v1alpha1"
    }

    /// A version that nobody serves would be refused by the API server; a kind of ours that we don't know is a typo.
    fn refuse_unknown(&self) -> Result<(), Unreadable> {
        let Shape { group, version, kind } = self;
        let served: &[&str] = match group.as_str() {
            GROUP => &[VERSION],
            NATIVE_GROUP => &["v1", "v1beta1", "v1alpha1"],
            _ => return Ok(()),
        };
        if !served.contains(&version.as_str()) {
            return Err(
                format!("no version `{version}` of `{group}`, only {}", served.join(", ")).into()
            );
        }
        if group == GROUP && self.meaning() == Meaning::Plain {
            let kinds = "ValidatingPolicy, MutatingPolicy, ImagePolicy, TrustRoot, PolicyBinding";
            return Err(format!("no kind `{kind}` in `{group}`, only {kinds}").into());
        }
        Ok(())
    }
}

/// The items of a List of any kind.
fn list_items(value: &Value) -> Option<&Vec<Value>> {
    let kind = value.get("kind")?.as_str()?;
    kind.strip_suffix("List")?;
    value.get("items")?.as_array()
}

/// An object of any kind.
fn manifest(source: &str, value: &Value, document: &impl Typed) -> Result<Manifest, Problem> {
    let shape = Shape::of(value);
    shape.refuse_unknown()?;
    match shape.meaning() {
        Meaning::Policy(subject) => {
            return typed::policy(subject, &shape, source, value, document);
        }
        Meaning::TrustRoot => return typed::plain(source, document).map(Manifest::TrustRoot),
        Meaning::Plain => {}
    }
    let object = Document::from_value(value);
    Ok(match (shape.group.as_str(), shape.kind.as_str()) {
        ("", "Namespace") => Manifest::Namespace(object),
        _ => Manifest::Object(object),
    })
}

#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;
