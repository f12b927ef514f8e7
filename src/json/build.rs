//! Documents made by a reader of another syntax, node by node. What the syntax is, is not known here.

use std::ops::Range;

use crate::json::document::{Document, Raw, bytes, index_of};

/// A document in the making: its values are put one after the other, an object's keys and values in turn.
///
/// ```
/// use portcullis::json::Builder;
///
/// let mut builder = Builder::new("name: web".to_owned());
/// builder.open();
/// builder.slice(0..4);
/// builder.slice(6..9);
/// builder.close_object().unwrap();
/// assert_eq!(builder.finish().unwrap().root().text(), r#"{"name":"web"}"#);
/// ```
#[derive(Debug)]
pub struct Builder {
    text: String,
    side: String,
    nodes: Vec<Raw>,
    /// Finished children of what is open.
    pending: Vec<Raw>,
    /// Where the children of each open array or object begin in `pending`.
    frames: Vec<usize>,
    indexes: Vec<u32>,
}

/// Two members of an object have this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateKey(pub String);

impl Builder {
    /// Begins a document whose strings may be slices of `text`.
    pub fn new(text: String) -> Builder {
        Builder {
            // A guess for manifests, whose indentation and dashes are text as well.
            nodes: Vec::with_capacity(text.len() / 20 + 1),
            text,
            side: String::new(),
            pending: Vec::with_capacity(128),
            frames: Vec::with_capacity(16),
            indexes: Vec::new(),
        }
    }

    /// The text that [`Builder::slice`] speaks of.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many bytes the strings have that were put.
    pub(in crate::json) fn len(&self) -> usize {
        self.side.len()
    }

    /// How many levels are open.
    pub fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Opens an array or an object.
    pub fn open(&mut self) {
        self.frames.push(self.pending.len());
    }

    /// Closes what was opened last, as an array.
    pub fn close_array(&mut self) {
        let start = self.frames.pop().unwrap_or_default();
        let first = self.nodes.len() as u32;
        let children = self.pending.get(start..).unwrap_or(&[]);
        let len = children.len() as u32;
        self.nodes.extend_from_slice(children);
        self.pending.truncate(start);
        self.pending.push(Raw::Array { first, len });
    }

    /// Closes what was opened last, as an object.
    ///
    /// # Errors
    /// If it has the same key twice.
    pub fn close_object(&mut self) -> Result<(), DuplicateKey> {
        let start = self.frames.pop().unwrap_or_default();
        let first = self.nodes.len() as u32;
        let children = self.pending.get(start..).unwrap_or(&[]);
        let (text, side) = (self.text.as_bytes(), self.side.as_bytes());
        let index = index_of(text, side, children, &mut self.indexes).map_err(|key| {
            let key = bytes(text, side, key).unwrap_or_default();
            DuplicateKey(String::from_utf8_lossy(key).into_owned())
        })?;
        let len = (children.len() / 2) as u32;
        self.nodes.extend_from_slice(children);
        self.pending.truncate(start);
        self.pending.push(Raw::Object { first, len, index });
        Ok(())
    }

    /// Puts a string or a key that stands in the text as it is.
    pub fn slice(&mut self, place: Range<usize>) {
        let len = (place.end - place.start) as u32;
        self.pending.push(Raw::Text { start: place.start as u32, len });
    }

    /// Puts a string or a key.
    pub fn string(&mut self, value: &str) {
        let start = self.side.len() as u32;
        self.side.push_str(value);
        self.pending.push(Raw::Side { start, len: value.len() as u32, at: 0 });
    }

    /// Puts an integer.
    pub fn int(&mut self, value: i64) {
        self.pending.push(Raw::Int(value));
    }

    /// Puts a number that is no integer.
    pub fn double(&mut self, value: f64) {
        self.pending.push(Raw::Double(value));
    }

    /// Puts true or false.
    pub fn bool(&mut self, value: bool) {
        self.pending.push(Raw::Bool(value));
    }

    /// Puts a null.
    pub fn null(&mut self) {
        self.pending.push(Raw::Null);
    }

    /// The document, if exactly one value was put and nothing is open.
    pub fn finish(mut self) -> Option<Document> {
        let [root] = self.pending.as_slice() else { return None };
        if !self.frames.is_empty() {
            return None;
        }
        self.nodes.push(*root);
        let Builder { text, side, nodes, indexes, .. } = self;
        Some(Document::of_parts(text, side, nodes, indexes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_one_after_the_other() {
        let mut builder = Builder::new("key: [x]".into());
        builder.open();
        builder.slice(0..3);
        builder.open();
        builder.slice(6..7);
        builder.int(1);
        builder.double(0.5);
        builder.close_array();
        builder.string("né");
        builder.open();
        builder.close_object().unwrap();
        builder.string("b");
        builder.bool(true);
        builder.string("n");
        builder.null();
        builder.close_object().unwrap();
        let document = builder.finish().unwrap();
        assert_eq!(document.root().text(), r#"{"key":["x",1,0.5],"né":{},"b":true,"n":null}"#);
        assert_eq!(document.root().pointer("/key/1").and_then(crate::json::Node::as_i64), Some(1));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let mut twice = Builder::new(String::new());
        twice.open();
        for _ in 0..2 {
            twice.string("a");
            twice.null();
        }
        assert_eq!(twice.close_object(), Err(DuplicateKey("a".into())));
        let mut open = Builder::new(String::new());
        open.open();
        assert!(open.finish().is_none());
        assert!(Builder::new(String::new()).finish().is_none());
    }

    #[test]
    fn a_large_object_is_indexed() {
        let mut builder = Builder::new(String::new());
        builder.open();
        for i in 0..100 {
            builder.string(&format!("k{i}"));
            builder.int(i);
        }
        builder.close_object().unwrap();
        let document = builder.finish().unwrap();
        for i in 0..100 {
            let found = document.root().get(&format!("k{i}")).and_then(crate::json::Node::as_i64);
            assert_eq!(found, Some(i));
        }
    }
}
