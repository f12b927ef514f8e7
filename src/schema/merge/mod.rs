//! How a partial object is merged into an object, by the schema of its kind: objects and maps member by member, lists by
//! their keys, sets united, everything else replaced. Nothing is removed. Nothing here knows what a policy is.
//!
//! # Flow
//! The partial object is measured, checked against the schema (`validate`), searched for what may not be set (`atomics`);
//! the object is checked too; then both are merged (`walk`). All of them see values as the API server does (`native`).
//!
//! # Guarantees
//! - The object and the partial object are only read; the result is new.
//! - The order of members and elements is that of the object, with what is new after it; where elements of a list are
//!   told apart by keys, they come in the order of the partial object.
//!
//! Source: `ApplyStructuredMergeDiff` of `k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch`, and `typed` of
//! `sigs.k8s.io/structured-merge-diff`. The texts are theirs.

mod atom;
mod atomics;
mod key;
mod native;
mod validate;
mod walk;
mod words;

use std::fmt;

use serde_json::Value as Json;

use crate::cel::{Struct, Value};
use crate::json::Node;
use crate::schema::merge::native::Native;
use crate::schema::shape::{Definitions, Shape};

/// How objects of one kind are merged.
#[derive(Clone, Copy, Debug)]
pub struct Schema<'c> {
    shape: &'c Shape,
    definitions: &'c Definitions,
}

/// Why nothing was merged, in the API server's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeError(String);

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MergeError {}

impl<'c> Schema<'c> {
    pub(in crate::schema) fn new(shape: &'c Shape, definitions: &'c Definitions) -> Schema<'c> {
        Schema { shape, definitions }
    }

    /// The object with what an expression states about it. What it states of `apiVersion` and `kind` does not count.
    ///
    /// # Errors
    /// If the partial object is not of this schema or sets what would be replaced as a whole; if the object is not of
    /// this schema.
    pub fn apply(&self, object: Node<'_>, partial: Struct<'_>) -> Result<Json, MergeError> {
        if native::odd_key(partial).is_some() {
            return Err(MergeError("invalid return type: *dynamic.ObjectVal".to_owned()));
        }
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: String| MergeError(format!("error applying patch: {what}: {error}"))
        };
        let partial = Native::partial(Value::Struct(partial));
        native::measure(partial).map_err(failed("the partial object"))?;
        let not_typed = "failed to convert patch object to typed object";
        self.validate(partial, false).map_err(failed(not_typed))?;
        self.check_atomics(partial).map_err(failed("invalid ApplyConfiguration"))?;
        let object = Native::document(Value::from_json(object));
        let not_typed = "failed to convert original object to typed object";
        self.validate(object, true).map_err(failed(not_typed))?;
        self.merge(object, partial).map_err(failed("failed to merge patch"))
    }
}

#[cfg(test)]
mod tests;
