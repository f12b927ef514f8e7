//! Borrowed JSON documents: text in, nodes out. Nothing here knows of CEL or Kubernetes.
//!
//! # Flow
//! [`Document::parse`] reads the text once into a flat arena of 16-byte nodes; [`Node`] is a copyable view into it. A reader
//! of another syntax makes a document by a [`Builder`].
//! [`patch`] works on [`serde_json::Value`], because a patched object is rebuilt anyway.
//!
//! # Guarantees
//! - No allocation per node: strings are slices of the text, or of one side buffer if they had escapes.
//! - A member is found in O(log n), whatever the object's size.
//! - Any input gives a document or a [`SyntaxError`] with its position; none panics or exhausts the stack.
//!
//! # Errors
//! What [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259) refuses is refused, and so are duplicate keys (two readers
//! could disagree on which one counts), unpaired surrogates, and numbers beyond `f64`.

mod build;
mod diff;
mod document;
mod go;
mod node;
mod parse;
pub mod patch;
pub mod pointer;
mod read;
mod syntax;

pub use crate::json::build::{Builder, DuplicateKey};
pub use crate::json::document::{Document, NodeId};
pub(crate) use crate::json::go::escape_as_go;
pub use crate::json::node::{Array, Kind, Node, Object};
pub use crate::json::parse::{DEPTH_MAX, TEXT_MAX};
pub use crate::json::pointer::Pointer;
pub use crate::json::syntax::{SyntaxError, SyntaxErrorKind};

#[cfg(test)]
mod tests;
