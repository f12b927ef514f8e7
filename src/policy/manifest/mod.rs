//! Manifests: text in YAML or JSON into typed definitions, as `kubectl` reads it. Nothing here opens a file.
//!
//! # Guarantees
//! - A field that the API does not know is an error, with file, line and column: a typo must not weaken a policy.
//! - Scalars are typed as YAML 1.1 has them, and no number or bool becomes a string silently.
//! - One text is bounded in size, depth and number of nodes, aliases included.

mod text;
mod untyped;

use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use thiserror::Error;

use crate::json::Document;
use crate::policy::api::native::{
    MutatingAdmissionPolicyBindingSpec, MutatingAdmissionPolicySpec,
    ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec,
};
use crate::policy::api::{
    GROUP, MutatingPolicySpec, NATIVE_GROUP, PolicyBindingSpec, VERSION, ValidatingPolicySpec,
};
use crate::policy::definitions::{Definitions, Named, Origin};

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
    /// A Namespace.
    Namespace(Document),
    /// Any other object.
    Object(Document),
}

/// Why a text is no manifest, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct ManifestError {
    /// The name that the text was given.
    pub file: String,
    /// The line, from 1; 0 if it is not known.
    pub line: u64,
    /// The column, from 1; 0 if it is not known.
    pub column: u64,
    /// What is wrong.
    pub message: String,
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
/// The first one: a file is taken whole or not at all.
pub fn read(file: &str, text: &str) -> Result<Vec<Manifest>, ManifestError> {
    let mut manifests = Vec::new();
    for document in text::documents(file, text)? {
        let value: Value = document.read()?;
        if value.is_null() {
            continue;
        }
        if let Some(items) = list_items(&value) {
            for item in items {
                let read = manifest(&Shape::of(item), &document.source(), &|| Ok(item.clone()));
                manifests.push(read.map_err(|problem| document.problem(problem))?);
            }
            continue;
        }
        let shape = Shape::of(&value);
        let manifest = match shape.meaning() {
            Meaning::Plain => manifest(&shape, "", &|| Ok(value.clone())),
            _ => document.typed(&shape),
        };
        manifests.push(manifest.map_err(|problem| document.problem(problem))?);
    }
    Ok(manifests)
}

/// Reads one object that came from a cluster.
///
/// # Errors
/// If it is a policy or binding that can't be read; the message says where.
pub fn from_value(value: Value) -> Result<Manifest, String> {
    let shape = Shape::of(&value);
    manifest(&shape, "", &|| Ok(value.clone())).map_err(|problem| problem.message)
}

impl Definitions {
    /// Adds a document.
    pub fn add(&mut self, manifest: Manifest) {
        match manifest {
            Manifest::Validating(policy) => self.validating.push(policy),
            Manifest::Mutating(policy) => self.mutating.push(policy),
            Manifest::Binding(binding) => self.bindings.push(binding),
            Manifest::Namespace(document) => self.namespaces.push(Arc::new(document)),
            Manifest::Object(document) => self.params.push(Arc::new(document)),
        }
    }
}

/// What is wrong with a document, and where, if that is known better than the document's beginning.
#[derive(Debug)]
struct Problem {
    message: String,
    place: Option<(u64, u64)>,
}

impl From<String> for Problem {
    fn from(message: String) -> Problem {
        Problem { message, place: None }
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
    Validating(Origin),
    Mutating(Origin),
    Binding,
    NativeValidatingBinding,
    NativeMutatingBinding,
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
        match (self.group.as_str(), self.kind.as_str()) {
            (GROUP, "ValidatingPolicy") => Meaning::Validating(Origin::Portcullis),
            (GROUP, "MutatingPolicy") => Meaning::Mutating(Origin::Portcullis),
            (GROUP, "PolicyBinding") => Meaning::Binding,
            (NATIVE_GROUP, "ValidatingAdmissionPolicy") => Meaning::Validating(Origin::Native),
            (NATIVE_GROUP, "MutatingAdmissionPolicy") => Meaning::Mutating(Origin::Native),
            (NATIVE_GROUP, "ValidatingAdmissionPolicyBinding") => Meaning::NativeValidatingBinding,
            (NATIVE_GROUP, "MutatingAdmissionPolicyBinding") => Meaning::NativeMutatingBinding,
            _ => Meaning::Plain,
        }
    }

    /// A version that nobody serves would be refused by the API server; a kind of ours that we don't know is a typo.
    fn refuse_unknown(&self) -> Result<(), Problem> {
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
            let kinds = "ValidatingPolicy, MutatingPolicy, PolicyBinding";
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

/// What every object has. Fields that the server sets are known and not looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "known, and not looked at")]
struct Envelope<S> {
    api_version: IgnoredAny,
    kind: IgnoredAny,
    metadata: Metadata,
    spec: S,
    status: Option<IgnoredAny>,
}

/// `metav1.ObjectMeta`, of which we use two fields. The others are there because a field that is not is a typo.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "known, and not looked at")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    generation: Option<i64>,
    generate_name: Option<IgnoredAny>,
    namespace: Option<IgnoredAny>,
    self_link: Option<IgnoredAny>,
    uid: Option<IgnoredAny>,
    resource_version: Option<IgnoredAny>,
    creation_timestamp: Option<IgnoredAny>,
    deletion_timestamp: Option<IgnoredAny>,
    deletion_grace_period_seconds: Option<IgnoredAny>,
    labels: Option<IgnoredAny>,
    annotations: Option<IgnoredAny>,
    owner_references: Option<IgnoredAny>,
    finalizers: Option<IgnoredAny>,
    managed_fields: Option<IgnoredAny>,
}

/// A document that can be read as the type that its kind calls for.
trait Typed {
    fn typed<T: DeserializeOwned>(&self) -> Result<T, Problem>;
}

impl<F: Fn() -> Result<Value, Problem>> Typed for F {
    fn typed<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_value(self()?).map_err(|error| error.to_string().into())
    }
}

fn manifest(shape: &Shape, source: &str, document: &impl Typed) -> Result<Manifest, Problem> {
    shape.refuse_unknown()?;
    let ours = Origin::Portcullis;
    Ok(match shape.meaning() {
        Meaning::Validating(Origin::Portcullis) => {
            Manifest::Validating(named::<_, ValidatingPolicySpec>(ours, source, document)?)
        }
        Meaning::Validating(origin) => Manifest::Validating(named::<
            _,
            ValidatingAdmissionPolicySpec,
        >(origin, source, document)?),
        Meaning::Mutating(Origin::Portcullis) => {
            Manifest::Mutating(named::<_, MutatingPolicySpec>(ours, source, document)?)
        }
        Meaning::Mutating(origin) => {
            Manifest::Mutating(named::<_, MutatingAdmissionPolicySpec>(origin, source, document)?)
        }
        Meaning::Binding => {
            Manifest::Binding(named::<_, PolicyBindingSpec>(ours, source, document)?)
        }
        Meaning::NativeValidatingBinding => Manifest::Binding(named::<
            _,
            ValidatingAdmissionPolicyBindingSpec,
        >(
            Origin::Native, source, document
        )?),
        Meaning::NativeMutatingBinding => Manifest::Binding(named::<
            _,
            MutatingAdmissionPolicyBindingSpec,
        >(
            Origin::Native, source, document
        )?),
        Meaning::Plain => {
            let object = Document::from_value(&document.typed::<Value>()?);
            match (shape.group.as_str(), shape.kind.as_str()) {
                ("", "Namespace") => Manifest::Namespace(object),
                _ => Manifest::Object(object),
            }
        }
    })
}

fn named<T, S>(origin: Origin, source: &str, document: &impl Typed) -> Result<Named<T>, Problem>
where
    S: DeserializeOwned + Into<T>,
{
    let envelope: Envelope<S> = document.typed()?;
    let Metadata { name, generation, .. } = envelope.metadata;
    if name.is_empty() {
        return Err("`metadata.name` is missing".to_owned().into());
    }
    Ok(Named { origin, name, generation, source: source.to_owned(), spec: envelope.spec.into() })
}

#[cfg(test)]
mod tests;
