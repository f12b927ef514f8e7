//! Applying a mutation's operations as the API server does. It uses a library that is older than some readings of RFC
//! 6902, and policies rely on what it does: a `replace` of a member that is missing adds it, a negative index counts from
//! the end, an `add` without a value adds null. Its words are kept too. What goes out on the wire is `json::patch`.
//!
//! Source: `gopkg.in/evanphx/json-patch.v4`.

use serde_json::Value;

use crate::json::patch::{COPIED_BYTES_MAX, OPERATIONS_MAX};
use crate::json::{DEPTH_MAX, Document};

/// One operation, as an expression made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::policy) struct Operation {
    pub op: String,
    pub path: String,
    pub from: String,
    pub value: Option<Value>,
}

/// Why a patch was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) enum NotApplied {
    /// A `test` found something else.
    Test,
    /// It can't be applied.
    Error(String),
}

use NotApplied::Error;

/// Applies all operations, or leaves something half-done that the caller throws away.
pub(in crate::policy) fn apply(
    object: &mut Value,
    operations: Vec<Operation>,
) -> Result<(), NotApplied> {
    if operations.len() > OPERATIONS_MAX {
        return Err(Error(format!("more than {OPERATIONS_MAX} operations")));
    }
    let mut copied = 0;
    for operation in operations {
        match operation.op.as_str() {
            "add" => add(object, &operation.path, operation.value.unwrap_or_default())?,
            "remove" => remove(object, &operation.path)?,
            "replace" => replace(object, &operation.path, operation.value.unwrap_or_default())?,
            "test" => test(object, &operation.path, operation.value)?,
            "move" => relocate(object, &operation)?,
            "copy" => copied = copy(object, &operation, copied)?,
            other => return Err(Error(format!("Unexpected kind: {other}"))),
        }
    }
    Ok(())
}

const MISSING: &str = "missing value";

fn missing(text: String) -> NotApplied {
    Error(format!("{text}: {MISSING}"))
}

/// What an operation works on: an object or array, and a key in it.
struct Place<'o> {
    parent: &'o mut Value,
    key: String,
    /// How deep in the whole the value at the key is.
    depth: usize,
}

/// The place that a path names, if everything on the way to it is there. The text before the first slash is not looked at.
fn find<'o>(object: &'o mut Value, path: &str) -> Option<Place<'o>> {
    let unescape = |token: &str| token.replace("~1", "/").replace("~0", "~");
    let mut tokens: Vec<String> = path.split('/').skip(1).map(unescape).collect();
    let depth = tokens.len();
    let key = tokens.pop()?;
    let mut parent = object;
    for token in tokens {
        parent = match parent {
            Value::Object(members) => members.get_mut(&token)?,
            Value::Array(items) => {
                let place = index(&token, items.len(), items.len()).ok()?;
                items.get_mut(place)?
            }
            _ => return None,
        };
    }
    (parent.is_object() || parent.is_array()).then_some(Place { parent, key, depth })
}

/// An index below `end`; a negative one counts from `len`.
fn index(token: &str, end: usize, len: usize) -> Result<usize, String> {
    let Ok(number) = token.parse::<i64>() else {
        return Err(format!("strconv.Atoi: parsing {token:?}: invalid syntax"));
    };
    let place = if number < 0 { number.saturating_add(len as i64) } else { number };
    match usize::try_from(place) {
        Ok(place) if place < end => Ok(place),
        _ => Err(format!("Unable to access invalid index: {number}: invalid index referenced")),
    }
}

impl Place<'_> {
    /// The value there. An object has a value, null, for every key: the library does not look.
    fn get(&self) -> Result<Option<Value>, String> {
        match &*self.parent {
            Value::Object(members) => Ok(members.get(&self.key).cloned()),
            Value::Array(items) => {
                let place = index(&self.key, items.len(), items.len())?;
                Ok(items.get(place).cloned())
            }
            _ => Ok(None),
        }
    }

    /// A value that was copied into itself a few times is deeper than any stack. It is refused before it exists.
    fn check_depth(&self, value: &Value) -> Result<(), String> {
        if self.depth.saturating_add(depth(value)) > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX} levels"));
        }
        Ok(())
    }

    fn add(self, value: Value) -> Result<(), String> {
        self.check_depth(&value)?;
        match self.parent {
            Value::Object(members) => {
                members.insert(self.key, value);
            }
            Value::Array(items) if self.key == "-" => items.push(value),
            Value::Array(items) => {
                if self.key.parse::<i64>().is_err() {
                    let key = &self.key;
                    return Err(format!(
                        "value was not a proper array index: '{key}': strconv.Atoi: parsing {key:?}: invalid syntax"
                    ));
                }
                let end = items.len() + 1;
                let place = index(&self.key, end, end)?;
                items.insert(place, value);
            }
            _ => {}
        }
        Ok(())
    }

    fn set(self, value: Value) -> Result<(), String> {
        self.check_depth(&value)?;
        match self.parent {
            Value::Object(members) => {
                members.insert(self.key, value);
            }
            Value::Array(items) => {
                let place = index(&self.key, items.len(), items.len())?;
                if let Some(item) = items.get_mut(place) {
                    *item = value;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn remove(self) -> Result<(), String> {
        match self.parent {
            Value::Object(members) => {
                let key = &self.key;
                let removed = members.shift_remove(key).map(|_| ());
                removed
                    .ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}"))?;
            }
            Value::Array(items) => {
                let place = index(&self.key, items.len(), items.len())?;
                items.remove(place);
            }
            _ => {}
        }
        Ok(())
    }
}

/// How many levels a value has. None that exists here has more than a stack can take.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), NotApplied> {
    let Some(place) = find(object, path) else {
        return Err(missing(format!(
            "add operation does not apply: doc is missing path: \"{path}\""
        )));
    };
    place.add(value).map_err(|error| Error(format!("error in add for path: '{path}': {error}")))
}

fn remove(object: &mut Value, path: &str) -> Result<(), NotApplied> {
    let Some(place) = find(object, path) else {
        let text = format!("remove operation does not apply: doc is missing path: \"{path}\"");
        return Err(missing(text));
    };
    place.remove().map_err(|error| Error(format!("error in remove for path: '{path}': {error}")))
}

fn replace(object: &mut Value, path: &str, value: Value) -> Result<(), NotApplied> {
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err(Error("replace operation value must be object or array".to_owned()));
        }
        *object = value;
        return Ok(());
    }
    let Some(place) = find(object, path) else {
        return Err(missing(format!(
            "replace operation does not apply: doc is missing path: {path}"
        )));
    };
    if place.get().is_err() {
        return Err(missing(format!(
            "replace operation does not apply: doc is missing key: {path}"
        )));
    }
    place.set(value).map_err(|error| Error(format!("error in remove for path: '{path}': {error}")))
}

fn test(object: &mut Value, path: &str, value: Option<Value>) -> Result<(), NotApplied> {
    let found = if path.is_empty() {
        Some(object.clone())
    } else {
        let Some(place) = find(object, path) else {
            return Err(missing(format!("test operation does not apply: is missing path: {path}")));
        };
        place.get().map_err(|error| Error(format!("error in test for path: '{path}': {error}")))?
    };
    let same = match (&found, &value) {
        (None, None) => true,
        (Some(found), Some(value)) => {
            Document::from_value(found).root() == Document::from_value(value).root()
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(NotApplied::Test) }
}

fn relocate(object: &mut Value, operation: &Operation) -> Result<(), NotApplied> {
    let Operation { path, from, .. } = operation;
    let Some(place) = find(object, from) else {
        return Err(missing(format!(
            "move operation does not apply: doc is missing from path: {from}"
        )));
    };
    let key = place.key.clone();
    let failed = |error| Error(format!("error in move for path: '{key}': {error}"));
    let value = place.get().map_err(failed)?.unwrap_or_default();
    place.remove().map_err(failed)?;
    let Some(place) = find(object, path) else {
        let text =
            format!("move operation does not apply: doc is missing destination path: {path}");
        return Err(missing(text));
    };
    place.add(value).map_err(|error| Error(format!("error in move for path: '{path}': {error}")))
}

/// Gives how many bytes have been copied so far.
fn copy(object: &mut Value, operation: &Operation, copied: usize) -> Result<usize, NotApplied> {
    let Operation { path, from, .. } = operation;
    let Some(place) = find(object, from) else {
        return Err(missing(format!(
            "copy operation does not apply: doc is missing from path: {from}"
        )));
    };
    let value = place
        .get()
        .map_err(|error| Error(format!("error in copy for from: '{from}': {error}")))?
        .unwrap_or_default();
    let copied = copied.saturating_add(value.to_string().len());
    if copied > COPIED_BYTES_MAX {
        return Err(Error(format!("the patch copies more than {COPIED_BYTES_MAX} bytes")));
    }
    let Some(place) = find(object, path) else {
        let text =
            format!("copy operation does not apply: doc is missing destination path: {path}");
        return Err(missing(text));
    };
    let failed = |error| Error(format!("error while adding value during copy: {error}"));
    place.add(value).map_err(failed)?;
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `op path [from] [value]` on an object: what is left, `test`, or the error.
    fn check(operation: &Value, expected: &str) {
        let text = |field: &str| operation[field].as_str().unwrap_or_default().to_owned();
        let made = Operation {
            op: text("op"),
            path: text("path"),
            from: text("from"),
            value: operation.get("value").cloned(),
        };
        let mut object = json!({"a": {"b": 1}, "l": [1, 2, 3], "s": "x"});
        let got = match apply(&mut object, vec![made]) {
            Ok(()) => object.to_string(),
            Err(NotApplied::Test) => "test".to_owned(),
            Err(Error(error)) => error,
        };
        assert_eq!(got, expected, "{operation}");
    }

    #[test]
    fn add_and_remove_do_what_the_api_server_does() {
        let rows = [
            (
                json!({"op": "add", "path": "/a/c", "value": 2}),
                r#"{"a":{"b":1,"c":2},"l":[1,2,3],"s":"x"}"#,
            ),
            (json!({"op": "add", "path": "/a/c"}), r#"{"a":{"b":1,"c":null},"l":[1,2,3],"s":"x"}"#),
            (
                json!({"op": "add", "path": "/l/-", "value": 4}),
                r#"{"a":{"b":1},"l":[1,2,3,4],"s":"x"}"#,
            ),
            (
                json!({"op": "add", "path": "/l/3", "value": 4}),
                r#"{"a":{"b":1},"l":[1,2,3,4],"s":"x"}"#,
            ),
            (
                json!({"op": "add", "path": "/l/-1", "value": 4}),
                r#"{"a":{"b":1},"l":[1,2,3,4],"s":"x"}"#,
            ),
            (
                json!({"op": "add", "path": "/l/4", "value": 4}),
                "error in add for path: '/l/4': Unable to access invalid index: 4: invalid index referenced",
            ),
            (
                json!({"op": "add", "path": "/l/x", "value": 4}),
                "error in add for path: '/l/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            (
                json!({"op": "add", "path": "/z/c", "value": 2}),
                "add operation does not apply: doc is missing path: \"/z/c\": missing value",
            ),
            (
                json!({"op": "add", "path": "/s/c", "value": 2}),
                "add operation does not apply: doc is missing path: \"/s/c\": missing value",
            ),
            (
                json!({"op": "add", "path": "", "value": {}}),
                "add operation does not apply: doc is missing path: \"\": missing value",
            ),
            (json!({"op": "remove", "path": "/l/-1"}), r#"{"a":{"b":1},"l":[1,2],"s":"x"}"#),
            (
                json!({"op": "remove", "path": "/q"}),
                "error in remove for path: '/q': Unable to remove nonexistent key: q: missing value",
            ),
        ];
        for (operation, expected) in rows {
            check(&operation, expected);
        }
    }

    #[test]
    fn replace_test_move_and_copy_do_what_the_api_server_does() {
        let rows = [
            (
                json!({"op": "replace", "path": "/q", "value": 1}),
                r#"{"a":{"b":1},"l":[1,2,3],"s":"x","q":1}"#,
            ),
            (
                json!({"op": "replace", "path": "/l/7", "value": 1}),
                "replace operation does not apply: doc is missing key: /l/7: missing value",
            ),
            (json!({"op": "replace", "path": "", "value": {"k": 1}}), r#"{"k":1}"#),
            (
                json!({"op": "test", "path": "/a/b", "value": 1.0}),
                r#"{"a":{"b":1},"l":[1,2,3],"s":"x"}"#,
            ),
            (json!({"op": "test", "path": "/a/b", "value": 2}), "test"),
            (json!({"op": "test", "path": "/a/q", "value": null}), "test"),
            (json!({"op": "test", "path": "/a/q"}), r#"{"a":{"b":1},"l":[1,2,3],"s":"x"}"#),
            (
                json!({"op": "test", "path": "/z/q", "value": 1}),
                "test operation does not apply: is missing path: /z/q: missing value",
            ),
            (
                json!({"op": "move", "from": "/a/b", "path": "/l/0"}),
                r#"{"a":{},"l":[1,1,2,3],"s":"x"}"#,
            ),
            (
                json!({"op": "move", "from": "/a/q", "path": "/l/0"}),
                "error in move for path: 'q': Unable to remove nonexistent key: q: missing value",
            ),
            (
                json!({"op": "copy", "from": "/a", "path": "/c"}),
                r#"{"a":{"b":1},"l":[1,2,3],"s":"x","c":{"b":1}}"#,
            ),
            (
                json!({"op": "copy", "from": "/a/q", "path": "/c"}),
                r#"{"a":{"b":1},"l":[1,2,3],"s":"x","c":null}"#,
            ),
            (json!({"op": "frob", "path": "/a"}), "Unexpected kind: frob"),
        ];
        for (operation, expected) in rows {
            check(&operation, expected);
        }
    }

    #[test]
    fn nothing_gets_deeper_than_a_stack_can_take() {
        let mut object = json!({"a": {}});
        let copy = |path: &str| Operation {
            op: "copy".into(),
            from: "/a".into(),
            path: path.into(),
            ..Operation::default()
        };
        // Each copy doubles the depth.
        let operations = (0..12).map(|power| copy(&"/a".repeat((1 << power) + 1))).collect();
        let refused = Err(Error(
            "error while adding value during copy: nested deeper than 1000 levels".into(),
        ));
        assert_eq!(apply(&mut object, operations), refused);
    }
}
