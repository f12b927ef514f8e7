//! The arena that a document lives in. How text becomes nodes is `parse`; how nodes are read is `node`.

use std::ops::Range;

use crate::json::node::Node;
use crate::json::parse::{Parsed, parse};
use crate::json::syntax::SyntaxError;

/// Objects with more members than this carry a sorted index. Below it, comparing lengths in a row is faster than a
/// binary search; above it, a look-up must not grow with an object that a stranger sent.
pub(in crate::json) const UNINDEXED_MEMBERS_MAX: usize = 16;

/// An [`Raw::Object`] without an index.
pub(in crate::json) const NO_INDEX: u32 = u32::MAX;

/// One node. Children are contiguous: an array's elements, an object's keys and values in turn.
#[derive(Clone, Copy, Debug)]
pub(in crate::json) enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    /// A slice of the text.
    Text {
        start: u32,
        len: u32,
    },
    /// A slice of the side buffer; `at` is where it began in the text.
    Side {
        start: u32,
        len: u32,
        at: u32,
    },
    Array {
        first: u32,
        len: u32,
    },
    /// `len` members; `index` is where the order of their keys begins in `indexes`.
    Object {
        first: u32,
        len: u32,
        index: u32,
    },
}

// Four nodes to a cache line: the evaluator walks them on every request.
const _: () = assert!(size_of::<Raw>() == 16);

/// The place of a node in its [`Document`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(in crate::json) u32);

/// A JSON document that owns its text. It is immutable but for [`Document::blank`] and [`Document::complete`], which only
/// append.
///
/// ```
/// use portcullis::json::Document;
///
/// let document = Document::parse(br#"{"spec": {"replicas": 3}}"#.to_vec()).unwrap();
/// let replicas = document.root().pointer("/spec/replicas").and_then(|node| node.as_i64());
/// assert_eq!(replicas, Some(3));
/// ```
#[derive(Clone, Debug)]
pub struct Document {
    text: String,
    side: String,
    nodes: Vec<Raw>,
    indexes: Vec<u32>,
    root: u32,
}

/// What a node of no document is looked up in: every look-up is null.
pub(in crate::json) static EMPTY: Document = Document {
    text: String::new(),
    side: String::new(),
    nodes: Vec::new(),
    indexes: Vec::new(),
    root: 0,
};

impl Document {
    /// Reads strict RFC 8259 text: UTF-8 without a byte order mark, at most [`crate::json::TEXT_MAX`] bytes and
    /// [`crate::json::DEPTH_MAX`] levels, no object with the same key twice.
    pub fn parse(text: Vec<u8>) -> Result<Document, SyntaxError> {
        let text = String::from_utf8(text).map_err(|error| SyntaxError::utf8(&error))?;
        let Parsed { side, nodes, indexes } = parse(&text)?;
        Ok(Document::of_parts(text, side, nodes, indexes))
    }

    /// The document of these parts; its root is the last node.
    pub(in crate::json) fn of_parts(
        text: String,
        side: String,
        nodes: Vec<Raw>,
        indexes: Vec<u32>,
    ) -> Document {
        let root = nodes.len().saturating_sub(1) as u32;
        Document { text, side, nodes, indexes, root }
    }

    /// The document that has the value of `value`. It is as deep as the value is.
    pub fn from_value(value: &serde_json::Value) -> Document {
        let mut document = EMPTY.clone();
        document.nodes.push(Raw::Null);
        let mut waiting = vec![(0_usize, value)];
        let mut next = 0;
        while let Some((id, value)) = waiting.get(next).copied() {
            next += 1;
            let raw = document.shallow(value, &mut waiting);
            document.set(id, raw);
        }
        document
    }

    /// The outermost value.
    pub fn root(&self) -> Node<'_> {
        Node::new(self, self.root)
    }

    /// The node that `id` names in this document; null if it names none.
    pub fn node(&self, id: NodeId) -> Node<'_> {
        Node::new(self, id.0)
    }

    /// The document as a program in Go has it that wrote it out and read it again, if that changes it: Go writes `1.0` as
    /// `1`, and so a number that is whole comes back as an integer, if it fits one.
    pub fn reread(&self) -> Option<Document> {
        let whole = |raw: &Raw| match *raw {
            Raw::Double(number) => {
                let fits = number >= i64::MIN as f64 && number < i64::MAX as f64;
                (fits && number.fract() == 0.0).then_some(Raw::Int(number as i64))
            }
            _ => None,
        };
        self.nodes.iter().any(|raw| whole(raw).is_some()).then(|| {
            let nodes = self.nodes.iter().map(|raw| whole(raw).unwrap_or(*raw)).collect();
            Document { nodes, ..self.clone() }
        })
    }

    /// Appends a copy of an object whose members `texts` are empty and whose members `nulls` are null, whether it had them
    /// or not, and gives its place. Its other children are shared. What is no object is given back as it is.
    pub fn blank(&mut self, object: NodeId, texts: &[&str], nulls: &[&str]) -> NodeId {
        let Raw::Object { first, len, .. } = self.raw(object.0) else { return object };
        let mut kept: Vec<Raw> = self
            .children(first, len.saturating_mul(2))
            .chunks_exact(2)
            .filter(|member| {
                member
                    .first()
                    .and_then(|key| self.string(*key))
                    .is_some_and(|key| !texts.contains(&key) && !nulls.contains(&key))
            })
            .flatten()
            .copied()
            .collect();
        for key in texts {
            let member = [self.push_side(key), self.push_side("")];
            kept.extend(member);
        }
        for key in nulls {
            let member = [self.push_side(key), Raw::Null];
            kept.extend(member);
        }
        NodeId(self.push_object(&kept))
    }

    /// Gives the outermost object these texts, as far as it has no members of those names. What is no object stays as it
    /// is.
    pub fn complete(&mut self, texts: &[(&str, &str)]) {
        let Raw::Object { first, len, .. } = self.raw(self.root) else { return };
        let root = self.root();
        let missing: Vec<_> = texts.iter().filter(|(key, _)| root.get(key).is_none()).collect();
        if missing.is_empty() {
            return;
        }
        let mut members = self.children(first, len.saturating_mul(2)).to_vec();
        for (key, value) in missing {
            let member = [self.push_side(key), self.push_side(value)];
            members.extend(member);
        }
        self.root = self.push_object(&members);
    }

    /// Gives back the memory that nothing is in.
    pub(in crate::json) fn shrink(&mut self) {
        self.side.shrink_to_fit();
        self.nodes.shrink_to_fit();
        self.indexes.shrink_to_fit();
    }

    fn push_object(&mut self, members: &[Raw]) -> u32 {
        let first = self.nodes.len() as u32;
        let len = (members.len() / 2) as u32;
        let index = self.index(members);
        self.nodes.extend_from_slice(members);
        self.nodes.push(Raw::Object { first, len, index });
        (self.nodes.len() - 1) as u32
    }

    pub(in crate::json) fn raw(&self, id: u32) -> Raw {
        self.nodes.get(id as usize).copied().unwrap_or(Raw::Null)
    }

    /// `len` nodes from `first` on.
    pub(in crate::json) fn children(&self, first: u32, len: u32) -> &[Raw] {
        let first = first as usize;
        self.nodes.get(first..first + len as usize).unwrap_or(&[])
    }

    /// The order of the keys of an object with an index: positions of members, by key.
    pub(in crate::json) fn order(&self, index: u32, len: u32) -> &[u32] {
        let index = index as usize;
        self.indexes.get(index..index + len as usize).unwrap_or(&[])
    }

    pub(in crate::json) fn string(&self, raw: Raw) -> Option<&str> {
        string(&self.text, &self.side, raw)
    }

    pub(in crate::json) fn bytes(&self, raw: Raw) -> Option<&[u8]> {
        bytes(self.text.as_bytes(), self.side.as_bytes(), raw)
    }

    fn set(&mut self, id: usize, raw: Raw) {
        if let Some(slot) = self.nodes.get_mut(id) {
            *slot = raw;
        }
    }

    /// The node for `value`. Its children get their places now and are made when their turn in `waiting` comes.
    fn shallow<'v>(
        &mut self,
        value: &'v serde_json::Value,
        waiting: &mut Vec<(usize, &'v serde_json::Value)>,
    ) -> Raw {
        use serde_json::Value;
        match value {
            Value::Null => Raw::Null,
            Value::Bool(value) => Raw::Bool(*value),
            Value::Number(number) => number
                .as_i64()
                .map_or_else(|| Raw::Double(number.as_f64().unwrap_or(f64::NAN)), Raw::Int),
            Value::String(value) => self.push_side(value),
            Value::Array(elements) => {
                let first = self.nodes.len();
                waiting.extend(elements.iter().enumerate().map(|(i, v)| (first + i, v)));
                self.nodes.resize(first + elements.len(), Raw::Null);
                Raw::Array { first: first as u32, len: elements.len() as u32 }
            }
            Value::Object(members) => {
                let first = self.nodes.len();
                for (position, (key, value)) in members.iter().enumerate() {
                    let key = self.push_side(key);
                    self.nodes.extend([key, Raw::Null]);
                    waiting.push((first + 2 * position + 1, value));
                }
                let pairs = self.nodes.get(first..).unwrap_or(&[]).to_vec();
                let index = self.index(&pairs);
                Raw::Object { first: first as u32, len: members.len() as u32, index }
            }
        }
    }

    fn push_side(&mut self, value: &str) -> Raw {
        let start = self.side.len() as u32;
        self.side.push_str(value);
        Raw::Side { start, len: value.len() as u32, at: 0 }
    }

    /// Makes the index of an object with these members, if it needs one.
    fn index(&mut self, members: &[Raw]) -> u32 {
        if members.len() / 2 <= UNINDEXED_MEMBERS_MAX {
            return NO_INDEX;
        }
        let start = self.indexes.len();
        let order = sorted(self.text.as_bytes(), self.side.as_bytes(), members);
        self.indexes.extend(order);
        start as u32
    }
}

/// The positions of the members of an object, by the bytes of their keys.
pub(in crate::json) fn sorted(text: &[u8], side: &[u8], members: &[Raw]) -> Vec<u32> {
    let key = |position: &u32| {
        members.get(2 * *position as usize).and_then(|raw| bytes(text, side, *raw))
    };
    let mut order: Vec<u32> = (0..(members.len() / 2) as u32).collect();
    order.sort_by(|a, b| key(a).cmp(&key(b)));
    order
}

/// The place of the index of an object with these members, which a large one gets.
///
/// # Errors
/// The second of two keys that are the same.
pub(in crate::json) fn index_of(
    text: &[u8],
    side: &[u8],
    members: &[Raw],
    indexes: &mut Vec<u32>,
) -> Result<u32, Raw> {
    let same = |a: Raw, b: Raw| bytes(text, side, a) == bytes(text, side, b);
    if members.len() / 2 <= UNINDEXED_MEMBERS_MAX {
        for (position, key) in members.iter().step_by(2).enumerate() {
            let before = members.iter().step_by(2).take(position);
            if before.into_iter().any(|other| len(*other) == len(*key) && same(*other, *key)) {
                return Err(*key);
            }
        }
        return Ok(NO_INDEX);
    }
    let order = sorted(text, side, members);
    let key = |position: u32| members.get(2 * position as usize).copied().unwrap_or(Raw::Null);
    // The sort is stable, so the later of the two comes second.
    for pair in order.windows(2) {
        if let [a, b] = *pair
            && same(key(a), key(b))
        {
            return Err(key(b));
        }
    }
    let index = indexes.len() as u32;
    indexes.extend(order);
    Ok(index)
}

fn len(raw: Raw) -> u32 {
    match raw {
        Raw::Text { len, .. } | Raw::Side { len, .. } => len,
        _ => 0,
    }
}

pub(in crate::json) fn bytes<'t>(text: &'t [u8], side: &'t [u8], raw: Raw) -> Option<&'t [u8]> {
    let (from, range) = place(text, side, raw)?;
    from.get(range)
}

fn string<'t>(text: &'t str, side: &'t str, raw: Raw) -> Option<&'t str> {
    let (from, range) = place(text, side, raw)?;
    from.get(range)
}

/// Which of the two holds a string, and where.
fn place<T>(text: T, side: T, raw: Raw) -> Option<(T, Range<usize>)> {
    let (from, start, len) = match raw {
        Raw::Text { start, len } => (text, start as usize, len as usize),
        Raw::Side { start, len, .. } => (side, start as usize, len as usize),
        _ => return None,
    };
    Some((from, start..start + len))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::json::{Document, Kind, Node};

    #[test]
    fn blank_shares_children_and_leaves_the_original() {
        let check = |text: &str, keys: &[&str], expect: &str| {
            let mut document = Document::parse(text.as_bytes().to_vec()).unwrap();
            let root = document.root().id();
            let id = document.blank(root, &["t"], keys);
            assert_eq!(document.node(id).text(), expect, "{text} without {keys:?}");
            assert_eq!(document.root().text(), text);
        };
        check(r#"{"a":[1,{"b":2}],"c":3}"#, &["c"], r#"{"a":[1,{"b":2}],"t":"","c":null}"#);
        check(r#"{"t":1,"c":"é"}"#, &["c", "x"], r#"{"t":"","c":null,"x":null}"#);
        check(r#"{"a":1}"#, &[], r#"{"a":1,"t":""}"#);
        check("[1]", &["0"], "[1]");
        check("null", &["0"], "null");
    }

    #[test]
    fn what_is_missing_is_added_and_nothing_else() {
        let check = |text: &str, expect: &str| {
            let mut document = Document::parse(text.as_bytes().to_vec()).unwrap();
            document.complete(&[("a", "x"), ("b", "y")]);
            assert_eq!(document.root().text(), expect);
        };
        check(r#"{"c":{"a":1}}"#, r#"{"c":{"a":1},"a":"x","b":"y"}"#);
        check(r#"{"a":null}"#, r#"{"a":null,"b":"y"}"#);
        check(r#"{"b":1,"a":2}"#, r#"{"b":1,"a":2}"#);
        check("[]", "[]");
    }

    #[test]
    fn a_copy_of_a_large_object_is_indexed_again() {
        let members: Vec<String> = (0..100).map(|i| format!("\"k{i}\":{i}")).collect();
        let mut document = Document::parse(format!("{{{}}}", members.join(",")).into()).unwrap();
        let root = document.root().id();
        let id = document.blank(root, &["k7"], &["k50"]);
        let Kind::Object(object) = document.node(id).kind() else { panic!("an object") };
        assert_eq!(object.len(), 100);
        for i in 0..100 {
            let found = object.get(&format!("k{i}")).and_then(Node::as_i64);
            assert_eq!(found, (i != 7 && i != 50).then_some(i));
        }
    }

    #[test]
    fn a_value_becomes_a_document_and_returns() {
        let many: serde_json::Map<_, _> = (0..40).map(|i| (format!("k{i}"), json!(i))).collect();
        for value in [
            json!(null),
            json!([[], {}, [[{"a": [true, false, null]}]]]),
            json!({"a": "é\n\"", "b": {"c": 1.5, "d": [1, 2, {"e": -7}]}}),
            json!(many),
        ] {
            let document = Document::from_value(&value);
            assert_eq!(document.root().to_value(), value);
            assert_eq!(document.root().text(), value.to_string());
        }
        assert_eq!(
            Document::from_value(&json!(many)).root().get("k39").and_then(Node::as_i64),
            Some(39)
        );
    }

    #[test]
    fn whole_numbers_are_integers_when_read_again() {
        let check = |text: &str, expect: Option<&str>| {
            let document = Document::parse(text.as_bytes().to_vec()).unwrap();
            let again = document.reread().map(|document| document.root().to_value().to_string());
            assert_eq!(again.as_deref(), expect, "{text}");
        };
        check("[1.0,1e3,-0.0,2]", Some("[1,1000,0,2]"));
        check(r#"{"a":[1.0,0.5]}"#, Some(r#"{"a":[1,0.5]}"#));
        check("[0.5,1e30,9223372036854775808]", None);
        check("[-9223372036854775808.0]", Some("[-9223372036854775808]"));
    }

    #[test]
    fn a_place_of_no_node_is_null() {
        let large = Document::parse(b"[1,2,3]".to_vec()).unwrap();
        let small = Document::parse(b"1".to_vec()).unwrap();
        assert!(small.node(large.root().id()).is_null());
    }
}
