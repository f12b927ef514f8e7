//! JSON Patch (RFC 6902) on owned values: reading, writing, applying, and finding the patch between two values. What a
//! patch is for is not known here.
//!
//! Applying follows gopkg.in/evanphx/json-patch.v4, which is what the API server applies patches with, where it goes
//! beyond the RFC: `replace` and `copy` treat a member that is not there, of an object that is, as null; a negative index
//! counts from the end; `-` appends and is no element.
//!
//! # Guarantees
//! - A patch that fails leaves the value as it was.
//! - `apply(a, diff(a, b))` gives `b`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::diff;
use crate::json::pointer::Pointer;
use crate::json::{DEPTH_MAX, Document, Node};

/// Operations of one patch. The API server refuses longer ones (`maxJSONPatchOperations`).
pub const OPERATIONS_MAX: usize = 10_000;

/// Bytes, as JSON, that the `copy` operations of one patch may add: repeated copies double a document each time. The
/// API server's own limit (`JSONPatchMaxCopyBytes`).
pub const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Operations that are applied in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Patch(pub Vec<Operation>);

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Sets a member, or inserts an element.
    Add {
        /// Where.
        path: Pointer,
        /// What.
        value: Value,
    },
    /// Takes a member or element away.
    Remove {
        /// Where.
        path: Pointer,
    },
    /// Sets a member or element.
    Replace {
        /// Where.
        path: Pointer,
        /// What.
        value: Value,
    },
    /// Takes a value away and adds it elsewhere.
    Move {
        /// Whence.
        from: Pointer,
        /// Whither.
        path: Pointer,
    },
    /// Adds a value that is elsewhere too.
    Copy {
        /// Whence.
        from: Pointer,
        /// Whither.
        path: Pointer,
    },
    /// Fails the patch if the value is another.
    Test {
        /// Where.
        path: Pointer,
        /// What.
        value: Value,
    },
}

/// Why a patch does not apply. `operation` counts from 0.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PatchError {
    /// A `test` found another value. Callers often mean something else by this than by a broken patch.
    #[error("operation {operation}: test of `{path}` failed")]
    Test {
        /// Which operation.
        operation: usize,
        /// Which place.
        path: Pointer,
    },
    /// There is no such place.
    #[error("operation {operation}: no value at `{path}`")]
    Missing {
        /// Which operation.
        operation: usize,
        /// Which place.
        path: Pointer,
    },
    /// The last token is no index of the array.
    #[error("operation {operation}: `{path}` is no index of the array there")]
    Index {
        /// Which operation.
        operation: usize,
        /// Which place.
        path: Pointer,
    },
    /// The value would be deeper than [`DEPTH_MAX`].
    #[error("operation {operation}: nested deeper than {DEPTH_MAX} levels")]
    Depth {
        /// Which operation.
        operation: usize,
    },
    /// More than [`COPIED_BYTES_MAX`].
    #[error("operation {operation}: the patch copies more than {COPIED_BYTES_MAX} bytes")]
    Copied {
        /// Which operation.
        operation: usize,
    },
    /// More than [`OPERATIONS_MAX`].
    #[error("the patch has {0} operations, at most {OPERATIONS_MAX} are allowed")]
    Operations(usize),
}

impl Patch {
    /// Reads a patch from its JSON text.
    pub fn parse(text: &[u8]) -> Result<Patch, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The JSON text.
    pub fn text(&self) -> String {
        // Values and strings always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A small patch that makes `to` of `from`: parents of changed values stay, and array elements are aligned.
///
/// ```
/// # use portcullis::json::patch;
/// # use serde_json::json;
/// let patch = patch::diff(&json!({"a": [1, 2]}), &json!({"a": [0, 1, 2]}));
/// assert_eq!(patch.text(), r#"[{"op":"add","path":"/a/0","value":0}]"#);
/// ```
pub fn diff(from: &Value, to: &Value) -> Patch {
    diff_nodes(Document::from_value(from).root(), Document::from_value(to).root())
}

/// The same for nodes. Numbers are different if their values are: `1` is not changed to `1.0`.
pub fn diff_nodes(from: Node<'_>, to: Node<'_>) -> Patch {
    Patch(diff::diff(from, to))
}

/// Applies `patch`, or leaves `value` as it was.
pub fn apply(value: &mut Value, patch: &Patch) -> Result<(), PatchError> {
    if patch.0.len() > OPERATIONS_MAX {
        return Err(PatchError::Operations(patch.0.len()));
    }
    let mut patched = value.clone();
    let mut copied = 0;
    for (number, operation) in patch.0.iter().enumerate() {
        Step { number, copied: &mut copied }.apply(&mut patched, operation)?;
    }
    *value = patched;
    Ok(())
}

/// The application of one operation.
struct Step<'c> {
    number: usize,
    /// Bytes copied so far.
    copied: &'c mut usize,
}

impl Step<'_> {
    fn apply(&mut self, root: &mut Value, operation: &Operation) -> Result<(), PatchError> {
        match operation {
            Operation::Add { path, value } => self.add(root, path, value.clone()),
            Operation::Remove { path } => self.remove(root, path).map(drop),
            Operation::Replace { path, value } => self.replace(root, path, value),
            Operation::Move { from, path } => {
                let value = self.remove(root, from)?;
                self.add(root, path, value)
            }
            Operation::Copy { from, path } => {
                let value = self.find(root, from)?.cloned().unwrap_or_default();
                *self.copied = self.copied.saturating_add(value.to_string().len());
                if *self.copied > COPIED_BYTES_MAX {
                    return Err(PatchError::Copied { operation: self.number });
                }
                self.add(root, path, value)
            }
            Operation::Test { path, value } => match self.find(root, path)? {
                Some(found) if same(found, value) => Ok(()),
                None if value.is_null() => Ok(()),
                _ => Err(PatchError::Test { operation: self.number, path: path.clone() }),
            },
        }
    }

    fn add(&self, root: &mut Value, path: &Pointer, value: Value) -> Result<(), PatchError> {
        self.check_depth(path, &value)?;
        let Some((parent, token)) = self.parent(root, path)? else {
            *root = value;
            return Ok(());
        };
        match parent {
            Value::Object(members) => {
                members.insert(token.into_owned(), value);
            }
            Value::Array(elements) if token == "-" => elements.push(value),
            Value::Array(elements) => {
                let index = index(&token, elements.len() + 1).ok_or_else(|| self.index(path))?;
                elements.insert(index, value);
            }
            _ => return Err(self.missing(path)),
        }
        Ok(())
    }

    fn remove(&self, root: &mut Value, path: &Pointer) -> Result<Value, PatchError> {
        match self.parent(root, path)? {
            Some((Value::Object(members), token)) => {
                members.shift_remove(token.as_ref()).ok_or_else(|| self.missing(path))
            }
            Some((Value::Array(elements), token)) => {
                let index = index(&token, elements.len()).ok_or_else(|| self.index(path))?;
                Ok(elements.remove(index))
            }
            _ => Err(self.missing(path)),
        }
    }

    fn replace(&self, root: &mut Value, path: &Pointer, value: &Value) -> Result<(), PatchError> {
        self.check_depth(path, value)?;
        let Some((parent, token)) = self.parent(root, path)? else {
            *root = value.clone();
            return Ok(());
        };
        match parent {
            Value::Object(members) => {
                members.insert(token.into_owned(), value.clone());
            }
            Value::Array(elements) => {
                let slot = index(&token, elements.len()).and_then(|index| elements.get_mut(index));
                *slot.ok_or_else(|| self.index(path))? = value.clone();
            }
            _ => return Err(self.missing(path)),
        }
        Ok(())
    }

    /// The value at `path`; `None` for a missing member of an object that is there.
    fn find<'v>(
        &self,
        root: &'v mut Value,
        path: &Pointer,
    ) -> Result<Option<&'v Value>, PatchError> {
        let Some((parent, token)) = path.split_last() else { return Ok(Some(root)) };
        match walk(root, parent) {
            Some(Value::Object(members)) => Ok(members.get(token.as_ref())),
            Some(Value::Array(elements)) => index(&token, elements.len())
                .and_then(|index| elements.get(index))
                .map(Some)
                .ok_or_else(|| self.index(path)),
            _ => Err(self.missing(path)),
        }
    }

    /// What holds the place that `path` names, and the last token; `None` for the whole document.
    fn parent<'v, 'p>(
        &self,
        root: &'v mut Value,
        path: &'p Pointer,
    ) -> Result<Option<(&'v mut Value, Cow<'p, str>)>, PatchError> {
        let Some((parent, token)) = path.split_last() else { return Ok(None) };
        let parent = walk(root, parent).ok_or_else(|| self.missing(path))?;
        Ok(Some((parent, token)))
    }

    fn check_depth(&self, path: &Pointer, value: &Value) -> Result<(), PatchError> {
        if path.depth() + depth(value) > DEPTH_MAX {
            return Err(PatchError::Depth { operation: self.number });
        }
        Ok(())
    }

    fn missing(&self, path: &Pointer) -> PatchError {
        PatchError::Missing { operation: self.number, path: path.clone() }
    }

    fn index(&self, path: &Pointer) -> PatchError {
        PatchError::Index { operation: self.number, path: path.clone() }
    }
}

fn walk<'v>(root: &'v mut Value, pointer: &str) -> Option<&'v mut Value> {
    crate::json::pointer::tokens(pointer)?.try_fold(root, |value, token| match value {
        Value::Object(members) => members.get_mut(token.as_ref()),
        Value::Array(elements) => {
            let index = index(&token, elements.len())?;
            elements.get_mut(index)
        }
        _ => None,
    })
}

/// The position that a token names among `len`, as Go's `strconv.Atoi` and evanphx/json-patch read it.
fn index(token: &str, len: usize) -> Option<usize> {
    let index: i64 = token.parse().ok()?;
    let len_signed = i64::try_from(len).ok()?;
    let index = if index < 0 { index.checked_add(len_signed)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

/// Levels of arrays and objects in a value.
fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    let mut open = vec![(value, 0)];
    while let Some((value, above)) = open.pop() {
        match value {
            Value::Array(elements) => open.extend(elements.iter().map(|v| (v, above + 1))),
            Value::Object(members) => open.extend(members.values().map(|v| (v, above + 1))),
            _ => continue,
        }
        deepest = deepest.max(above + 1);
    }
    deepest
}

/// Equal values, where `1` is `1.0` (RFC 6902, section 4.6).
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::json::patch::{Patch, PatchError, apply};

    #[track_caller]
    fn check(document: Value, patch: &str, expect: Result<Value, &str>) {
        let mut value = document.clone();
        let result = apply(&mut value, &Patch::parse(patch.as_bytes()).unwrap());
        match (result, expect) {
            (Ok(()), Ok(expect)) => assert_eq!(value.to_string(), expect.to_string(), "{patch}"),
            (Err(error), Err(expect)) => {
                assert_eq!(error.to_string(), expect, "{patch}");
                assert_eq!(value, document, "a failed patch changes nothing");
            }
            (result, _) => panic!("{patch}: {result:?}, {value}"),
        }
    }

    #[test]
    fn add() {
        let add = |path: &str| format!(r#"[{{"op":"add","path":"{path}","value":9}}]"#);
        check(json!({"a": 1}), &add("/b"), Ok(json!({"a": 1, "b": 9})));
        check(json!({"a": 1}), &add("/a"), Ok(json!({"a": 9})));
        check(json!({"a": [1]}), &add("/a/-"), Ok(json!({"a": [1, 9]})));
        check(json!({"a": [1]}), &add("/a/0"), Ok(json!({"a": [9, 1]})));
        check(json!({"a": [1]}), &add("/a/1"), Ok(json!({"a": [1, 9]})));
        check(json!({"a": [1]}), &add("/a/-1"), Ok(json!({"a": [1, 9]})));
        check(json!({"a": [1]}), &add("/a/-2"), Ok(json!({"a": [9, 1]})));
        check(json!({"a": 1}), &add(""), Ok(json!(9)));
        check(json!({"a~/b": {}}), &add("/a~0~1b/c"), Ok(json!({"a~/b": {"c": 9}})));
        let no_index = |path: &str| format!("operation 0: `{path}` is no index of the array there");
        for path in ["/a/2", "/a/-3", "/a/x", "/a/"] {
            check(json!({"a": [1]}), &add(path), Err(&no_index(path)));
        }
        for path in ["/b/c", "/a/0/x", "/a/1/x", "/a/-/x"] {
            let missing = format!("operation 0: no value at `{path}`");
            check(json!({"a": [1]}), &add(path), Err(&missing));
        }
    }

    #[test]
    fn remove() {
        let remove = |path: &str| format!(r#"[{{"op":"remove","path":"{path}"}}]"#);
        check(json!({"a": 1, "b": 2, "c": 3}), &remove("/a"), Ok(json!({"b": 2, "c": 3})));
        check(json!([1, 2, 3]), &remove("/1"), Ok(json!([1, 3])));
        check(json!([1, 2, 3]), &remove("/-1"), Ok(json!([1, 2])));
        check(json!({"a": 1}), &remove("/b"), Err("operation 0: no value at `/b`"));
        check(json!({"a": 1}), &remove(""), Err("operation 0: no value at ``"));
        check(json!([1]), &remove("/-"), Err("operation 0: `/-` is no index of the array there"));
        check(json!([1]), &remove("/1"), Err("operation 0: `/1` is no index of the array there"));
    }

    #[test]
    fn replace() {
        let replace = |path: &str| format!(r#"[{{"op":"replace","path":"{path}","value":9}}]"#);
        check(json!({"a": 1, "b": 2}), &replace("/a"), Ok(json!({"a": 9, "b": 2})));
        check(json!({"a": 1}), &replace("/b"), Ok(json!({"a": 1, "b": 9})));
        check(json!([1, 2]), &replace("/1"), Ok(json!([1, 9])));
        check(json!({"a": 1}), &replace("/b/c"), Err("operation 0: no value at `/b/c`"));
    }

    #[test]
    fn move_and_copy() {
        let one = |op: &str, from: &str, path: &str| {
            format!(r#"[{{"op":"{op}","from":"{from}","path":"{path}"}}]"#)
        };
        check(json!({"a": 1, "b": {}}), &one("move", "/a", "/b/c"), Ok(json!({"b": {"c": 1}})));
        check(json!([1, 2, 3]), &one("move", "/0", "/2"), Ok(json!([2, 3, 1])));
        check(
            json!({"a": {"b": 1}}),
            &one("move", "/a", "/a/b"),
            Err("operation 0: no value at `/a/b`"),
        );
        check(json!({"a": 1}), &one("move", "/x", "/y"), Err("operation 0: no value at `/x`"));
        check(json!({"a": [1]}), &one("copy", "/a", "/b"), Ok(json!({"a": [1], "b": [1]})));
        check(json!({"a": 1}), &one("copy", "/x", "/y"), Ok(json!({"a": 1, "y": null})));
        check(json!({"a": 1}), &one("copy", "/x/z", "/y"), Err("operation 0: no value at `/x/z`"));
    }

    #[test]
    fn test() {
        let test = |path: &str, value: &str| {
            format!(r#"[{{"op":"test","path":"{path}","value":{value}}}]"#)
        };
        let document = json!({"a": {"x": [1, {"y": 2.0}]}, "n": null});
        check(document.clone(), &test("/a", r#"{"x":[1.0,{"y":2}]}"#), Ok(document.clone()));
        check(document.clone(), &test("/n", "null"), Ok(document.clone()));
        check(document.clone(), &test("/b", "null"), Ok(document.clone()));
        check(document.clone(), &test("/b", "1"), Err("operation 0: test of `/b` failed"));
        check(document.clone(), &test("/a/x/0", "2"), Err("operation 0: test of `/a/x/0` failed"));
        check(document.clone(), &test("/b/c", "1"), Err("operation 0: no value at `/b/c`"));
        let mut value = document.clone();
        let patch = Patch::parse(test("/a", "1").as_bytes()).unwrap();
        assert!(matches!(apply(&mut value, &patch), Err(PatchError::Test { operation: 0, .. })));
        check(
            document,
            r#"[{"op":"remove","path":"/a"},{"op":"test","path":"/n","value":1}]"#,
            Err("operation 1: test of `/n` failed"),
        );
    }

    #[test]
    fn growth_is_limited() {
        // Copying a document into its own innermost value doubles its depth every time.
        let mut operations = Vec::new();
        let mut path = String::from("/a");
        for _ in 0..20 {
            operations.push(format!(r#"{{"op":"copy","from":"/a","path":"{path}/a"}}"#));
            path = format!("{path}{path}");
        }
        let patch = Patch::parse(format!("[{}]", operations.join(",")).as_bytes()).unwrap();
        let mut value = json!({"a": {}});
        assert!(matches!(apply(&mut value, &patch), Err(PatchError::Depth { operation: 9 })));

        let bytes = "x".repeat(1024 * 1024);
        let copy = r#"{"op":"copy","from":"/a","path":"/b"}"#;
        let three = format!("[{copy},{copy},{copy}]");
        let mut value = json!({ "a": bytes });
        let result = apply(&mut value, &Patch::parse(three.as_bytes()).unwrap());
        assert_eq!(result, Err(PatchError::Copied { operation: 2 }));

        let many = vec![r#"{"op":"test","path":"/x","value":null}"#; 10_001];
        let patch = Patch::parse(format!("[{}]", many.join(",")).as_bytes()).unwrap();
        assert_eq!(apply(&mut json!({}), &patch), Err(PatchError::Operations(10_001)));
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        for text in [
            "{}",
            r#"[{"op":"add","path":"a","value":1}]"#,
            r#"[{"op":"add","path":"/a"}]"#,
            r#"[{"op":"move","path":"/a"}]"#,
            r#"[{"op":"merge","path":"/a","value":1}]"#,
        ] {
            assert!(Patch::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_patch_is_written_as_it_is_read() {
        let text = concat!(
            r#"[{"op":"add","path":"/a~1b","value":null},{"op":"remove","path":"/a"},"#,
            r#"{"op":"replace","path":"","value":[1]},{"op":"move","from":"/a","path":"/b"},"#,
            r#"{"op":"copy","from":"/a","path":"/b"},{"op":"test","path":"/a","value":{}}]"#
        );
        assert_eq!(Patch::parse(text.as_bytes()).unwrap().text(), text);
    }
}
