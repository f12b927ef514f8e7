//! Views into a document: copyable, borrowed, read-only. Nothing here makes nodes.

use std::fmt;

use serde_json::{Number, Value};

use crate::json::document::{Document, EMPTY, NO_INDEX, NodeId, Raw};
use crate::json::pointer;

/// A value in a [`Document`].
#[derive(Clone, Copy)]
pub struct Node<'a> {
    document: &'a Document,
    id: u32,
}

/// What a [`Node`] is. Numbers are as the API server decodes them: an integer that fits `i64` is `Int`, every other
/// number is `Double` (`1.0` and `9223372036854775808` too).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that fits `i64`.
    Int(i64),
    /// Any other number; always finite.
    Double(f64),
    /// A string, unescaped.
    String(&'a str),
    /// An array.
    Array(Array<'a>),
    /// An object.
    Object(Object<'a>),
}

/// The elements of an array.
#[derive(Clone, Copy)]
pub struct Array<'a> {
    document: &'a Document,
    first: u32,
    len: u32,
}

/// The members of an object, in the document's order.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    document: &'a Document,
    first: u32,
    len: u32,
    index: u32,
}

impl<'a> Node<'a> {
    pub(in crate::json) fn new(document: &'a Document, id: u32) -> Node<'a> {
        Node { document, id }
    }

    /// A null that belongs to no document.
    pub fn null() -> Node<'a> {
        Node { document: &EMPTY, id: 0 }
    }

    /// The place of this node in its document.
    pub fn id(self) -> NodeId {
        NodeId(self.id)
    }

    /// What this node is.
    pub fn kind(self) -> Kind<'a> {
        let document = self.document;
        match document.raw(self.id) {
            Raw::Null => Kind::Null,
            Raw::Bool(value) => Kind::Bool(value),
            Raw::Int(value) => Kind::Int(value),
            Raw::Double(value) => Kind::Double(value),
            raw @ (Raw::Text { .. } | Raw::Side { .. }) => {
                Kind::String(document.string(raw).unwrap_or(""))
            }
            Raw::Array { first, len } => Kind::Array(Array { document, first, len }),
            Raw::Object { first, len, index } => {
                Kind::Object(Object { document, first, len, index })
            }
        }
    }

    /// The member `key`, if this is an object that has it.
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        match self.kind() {
            Kind::Object(object) => object.get(key),
            _ => None,
        }
    }

    /// The node that an RFC 6901 pointer (text, or a parsed [`crate::json::Pointer`]) names from here.
    pub fn pointer(self, pointer: impl AsRef<str>) -> Option<Node<'a>> {
        pointer::tokens(pointer.as_ref())?.try_fold(self, |node, token| match node.kind() {
            Kind::Object(object) => object.get(&token),
            Kind::Array(array) => array.get(pointer::array_index(&token)?),
            _ => None,
        })
    }

    /// The string, if this is one.
    pub fn as_str(self) -> Option<&'a str> {
        self.document.string(self.document.raw(self.id))
    }

    /// The boolean, if this is one.
    pub fn as_bool(self) -> Option<bool> {
        match self.document.raw(self.id) {
            Raw::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The integer, if this is one.
    pub fn as_i64(self) -> Option<i64> {
        match self.document.raw(self.id) {
            Raw::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The array, if this is one.
    pub fn as_array(self) -> Option<Array<'a>> {
        match self.kind() {
            Kind::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The object, if this is one.
    pub fn as_object(self) -> Option<Object<'a>> {
        match self.kind() {
            Kind::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Whether this is null.
    pub fn is_null(self) -> bool {
        matches!(self.document.raw(self.id), Raw::Null)
    }

    /// An owned copy.
    pub fn to_value(self) -> Value {
        match self.kind() {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(value),
            Kind::Int(value) => Value::Number(value.into()),
            Kind::Double(value) => Number::from_f64(value).map_or(Value::Null, Value::Number),
            Kind::String(value) => Value::String(value.to_owned()),
            Kind::Array(array) => Value::Array(array.iter().map(Node::to_value).collect()),
            Kind::Object(object) => {
                let members = object.iter().map(|(key, node)| (key.to_owned(), node.to_value()));
                Value::Object(members.collect())
            }
        }
    }

    /// Compact JSON.
    pub fn text(self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    /// Writes compact JSON.
    pub fn write(self, out: &mut impl fmt::Write) -> fmt::Result {
        match self.kind() {
            Kind::Null => out.write_str("null"),
            Kind::Bool(value) => out.write_str(if value { "true" } else { "false" }),
            Kind::Int(value) => write!(out, "{value}"),
            // The shortest text that reads as the same double; it keeps `1.0` apart from `1`.
            Kind::Double(value) => write!(out, "{value:?}"),
            Kind::String(value) => write_string(out, value),
            Kind::Array(array) => {
                out.write_str("[")?;
                for (position, node) in array.iter().enumerate() {
                    out.write_str(if position == 0 { "" } else { "," })?;
                    node.write(out)?;
                }
                out.write_str("]")
            }
            Kind::Object(object) => {
                out.write_str("{")?;
                for (position, (key, node)) in object.iter().enumerate() {
                    out.write_str(if position == 0 { "" } else { "," })?;
                    write_string(out, key)?;
                    out.write_str(":")?;
                    node.write(out)?;
                }
                out.write_str("}")
            }
        }
    }
}

impl<'a> Array<'a> {
    /// Where it lies: no two that have anything in them lie at the same place.
    pub fn place(self) -> (usize, u32) {
        (std::ptr::from_ref(self.document).addr(), self.first)
    }

    /// The number of elements.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The element at `position`, from 0.
    pub fn get(self, position: usize) -> Option<Node<'a>> {
        let position = u32::try_from(position).ok().filter(|position| *position < self.len)?;
        Some(Node { document: self.document, id: self.first + position })
    }

    /// The elements in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Node<'a>> + DoubleEndedIterator + Clone {
        let Array { document, first, len } = self;
        (first..first + len).map(move |id| Node { document, id })
    }
}

impl<'a> Object<'a> {
    /// Where it lies: no two that have anything in them lie at the same place.
    pub fn place(self) -> (usize, u32) {
        (std::ptr::from_ref(self.document).addr(), self.first)
    }

    /// The number of members.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The value of `key`. Logarithmic in the number of members.
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        let position = if self.index == NO_INDEX { self.scan(key) } else { self.search(key) }?;
        Some(Node { document: self.document, id: self.first + 2 * position + 1 })
    }

    /// Whether there is a member `key`.
    pub fn contains(self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The member at `position` in the document's order, from 0.
    pub fn member(self, position: usize) -> Option<(&'a str, Node<'a>)> {
        let position = u32::try_from(position).ok().filter(|position| *position < self.len)?;
        let id = self.first + 2 * position;
        let key = self.document.string(self.document.raw(id)).unwrap_or("");
        Some((key, Node { document: self.document, id: id + 1 }))
    }

    /// The members in the document's order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = (&'a str, Node<'a>)> + Clone {
        let Object { document, first, len, .. } = self;
        (0..len).map(move |position| {
            let id = first + 2 * position;
            let key = document.string(document.raw(id)).unwrap_or("");
            (key, Node { document, id: id + 1 })
        })
    }

    fn scan(self, key: &str) -> Option<u32> {
        let members = self.document.children(self.first, 2 * self.len);
        let found = members.chunks_exact(2).position(|member| match member.first() {
            Some(raw @ (Raw::Text { len, .. } | Raw::Side { len, .. })) => {
                *len as usize == key.len() && self.document.bytes(*raw) == Some(key.as_bytes())
            }
            _ => false,
        })?;
        Some(found as u32)
    }

    fn search(self, key: &str) -> Option<u32> {
        let order = self.document.order(self.index, self.len);
        let key_at = |position: &u32| {
            let raw = self.document.raw(self.first + 2 * *position);
            self.document.bytes(raw).unwrap_or_default()
        };
        let found = order.binary_search_by(|position| key_at(position).cmp(key.as_bytes())).ok()?;
        order.get(found).copied()
    }
}

/// Equal values, whichever documents they are in: objects have no order, and `1` equals `1.0`.
impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self.kind(), other.kind()) {
            (Kind::Int(a), Kind::Double(b)) | (Kind::Double(b), Kind::Int(a)) => int_is(a, b),
            (a, b) => a == b,
        }
    }
}

/// Whether the integer and the double are the same number, exactly (2^53 + 1 is not 2^53).
fn int_is(int: i64, double: f64) -> bool {
    double.fract() == 0.0 && double as i128 == i128::from(int)
}

impl PartialEq for Array<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().zip(other.iter()).all(|(a, b)| a == b)
    }
}

impl PartialEq for Object<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(key, node)| other.get(key) == Some(node))
    }
}

/// Compact JSON.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

fn write_string(out: &mut impl fmt::Write, value: &str) -> fmt::Result {
    out.write_str("\"")?;
    let mut rest = value;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        out.write_str(plain)?;
        match special.as_bytes().first() {
            Some(b'"') => out.write_str("\\\"")?,
            Some(b'\\') => out.write_str("\\\\")?,
            Some(b'\n') => out.write_str("\\n")?,
            Some(b'\r') => out.write_str("\\r")?,
            Some(b'\t') => out.write_str("\\t")?,
            Some(0x08) => out.write_str("\\b")?,
            Some(0x0c) => out.write_str("\\f")?,
            Some(byte) => write!(out, "\\u{byte:04x}")?,
            None => {}
        }
        rest = special.get(1..).unwrap_or("");
    }
    out.write_str(rest)?;
    out.write_str("\"")
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::json::{Document, Kind, Node};

    fn document(text: &str) -> Document {
        Document::parse(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn equality_is_of_values() {
        let check = |a: &str, b: &str, expect: bool| {
            assert_eq!(document(a).root() == document(b).root(), expect, "{a} == {b}");
            assert_eq!(document(b).root() == document(a).root(), expect, "{b} == {a}");
        };
        check("1", "1.0", true);
        check("1", "1.5", false);
        check("-0.0", "0", true);
        check("9007199254740993", "9007199254740992.0", false);
        check("9223372036854775807", "9223372036854775808", false);
        check(r#"{"a":1,"b":[2]}"#, r#"{"b":[2.0],"a":1}"#, true);
        check(r#"{"a":1}"#, r#"{"a":1,"b":null}"#, false);
        check(r#"{"a":null}"#, r#"{"b":null}"#, false);
        check("[1,2]", "[2,1]", false);
        check("[]", "{}", false);
        check(r#""\u0061""#, r#""a""#, true);
        check("0", "false", false);
    }

    #[test]
    fn display_is_compact_json() {
        let check = |text: &str, expect: &str| assert_eq!(document(text).root().text(), expect);
        check(" { \"a\" : [ 1 , 1.0 , -2.5e-7 ] } ", r#"{"a":[1,1.0,-2.5e-7]}"#);
        check(
            r#""\u0000\u0008\u000c\n\r\t\"\\\/é\ud83d\ude00""#,
            "\"\\u0000\\b\\f\\n\\r\\t\\\"\\\\/é😀\"",
        );
        check("-0", "0");
    }

    #[test]
    fn pointers_walk_objects_and_arrays() {
        let document = document(r#"{"a":[{"b/c":{"~":"x"}},2],"":{"":3},"1":4}"#);
        let check = |pointer: &str, expect: Option<&str>| {
            let found = document.root().pointer(pointer).map(Node::text);
            assert_eq!(found.as_deref(), expect, "{pointer}");
        };
        check("/a/0/b~1c/~0", Some("\"x\""));
        check("/a/1", Some("2"));
        check("/1", Some("4"));
        check("//", Some("3"));
        for missing in ["/a/2", "/a/-", "/a/01", "/a/-1", "/a/0/x", "/a/1/x", "a", "/~2", "/~"] {
            check(missing, None);
        }
        assert_eq!(document.root().pointer(""), Some(document.root()));
    }

    #[test]
    fn a_member_is_found_in_objects_of_any_size() {
        for size in [0, 1, 16, 17, 1000] {
            let members: Vec<String> = (0..size).map(|i| format!("\"k\\u002d{i}\":{i}")).collect();
            let document = document(&format!("{{{}}}", members.join(",")));
            let object = document.root().as_object().unwrap();
            assert_eq!((object.len(), object.is_empty()), (size, size == 0));
            for i in 0..size {
                let found = object.get(&format!("k-{i}")).unwrap();
                assert_eq!(found.as_i64(), Some(i as i64));
                assert_eq!(object.member(i).unwrap().1, found);
            }
            assert!(object.get("k-").is_none() && object.get("").is_none());
            assert!(object.member(size).is_none());
        }
    }

    #[test]
    fn null_belongs_to_no_document() {
        assert!(Node::null().is_null());
        assert_eq!(Node::null().kind(), Kind::Null);
        assert_eq!(Node::null().pointer("/a"), None);
    }
}
