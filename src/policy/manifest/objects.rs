//! Texts into the objects that they hold, Lists flattened, as documents: what an audit reads. Policies are read by
//! [`read`](crate::policy::manifest::read), which knows their types.

use serde_json::{Map, Value};

use crate::json::{Document, Kind, Node};
use crate::policy::manifest::ManifestError;
use crate::policy::manifest::error::Unreadable;
use crate::policy::manifest::lists::{self, Kinds};
use crate::policy::manifest::text::{TextDocument, documents};

/// Lists within lists. `kubectl` makes none.
const LISTS_DEPTH_MAX: usize = 8;

/// An object, and where it stands.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The line of the file on which it begins, from 1.
    pub line: u64,
    /// The object. It has a kind.
    pub document: Document,
}

/// Reads all objects of a text, before which the file has so many lines.
///
/// ```
/// use portcullis::policy::manifest::objects;
///
/// let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod}\n---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\"}\n";
/// let objects = objects("a.yaml", 0, text).unwrap();
/// assert_eq!(objects.iter().map(|object| object.line).collect::<Vec<_>>(), [4, 6]);
/// ```
///
/// # Errors
/// The first thing that makes it unreadable, or no object.
pub fn objects(file: &str, lines: u64, text: &str) -> Result<Vec<Placed>, ManifestError> {
    items(file, lines, text, &Kinds::default())
}

/// The same for the items of a List, which may leave it to the List to say what they are.
pub(in crate::policy::manifest) fn items(
    file: &str,
    lines: u64,
    text: &str,
    kinds: &Kinds,
) -> Result<Vec<Placed>, ManifestError> {
    let mut objects = Vec::new();
    for document in documents(file, text)? {
        let document = document.after(lines);
        if let Some(list) = lists::split(document.text()) {
            for item in list.items {
                let item = document.part(item.lines, &item.text);
                flatten(&item, item.document()?, &list.kinds, 1, &mut objects)?;
            }
        } else {
            flatten(&document, document.document()?, kinds, 0, &mut objects)?;
        }
    }
    Ok(objects)
}

/// The first field of an object's metadata that `kubectl` would not take, and what it should be.
fn misshapen(metadata: Node<'_>) -> Option<(String, &'static str)> {
    let members = match metadata.kind() {
        Kind::Null => return None,
        Kind::Object(members) => members,
        _ => return Some(("metadata".to_owned(), "an object")),
    };
    let is_text = |value: Node<'_>| value.is_null() || value.as_str().is_some();
    for field in ["name", "generateName", "namespace"] {
        if members.get(field).is_some_and(|value| !is_text(value)) {
            return Some((format!("metadata.{field}"), "a string"));
        }
    }
    for field in ["labels", "annotations"] {
        let values = match members.get(field).map(Node::kind) {
            None | Some(Kind::Null) => continue,
            Some(Kind::Object(values)) => values,
            Some(_) => return Some((format!("metadata.{field}"), "an object")),
        };
        if let Some((key, _)) = values.iter().find(|(_, value)| !is_text(*value)) {
            return Some((format!("metadata.{field}.{key}"), "a string: it needs quotes"));
        }
    }
    None
}

/// Adds the object, or those of the List that it is.
fn flatten(
    text: &TextDocument<'_>,
    document: Document,
    kinds: &Kinds,
    depth: usize,
    objects: &mut Vec<Placed>,
) -> Result<(), ManifestError> {
    let root = document.root();
    if root.is_null() {
        return Ok(());
    }
    if root.as_object().is_none() {
        return Err(text.unreadable("no object, but a value of another kind".to_owned().into()));
    }
    let has = |field: &str| root.get(field).and_then(Node::as_str).is_some_and(|t| !t.is_empty());
    if let Some(list) = root.get("items").and_then(Node::as_array) {
        if depth >= LISTS_DEPTH_MAX {
            let message = format!("Lists within Lists, more than {LISTS_DEPTH_MAX} deep");
            return Err(text.unreadable(message.into()));
        }
        let kinds = Kinds::of(root);
        // Read once more to know the lines, as this is a List that could not be split.
        let places = text.places();
        for (number, item) in list.iter().enumerate() {
            let field = format!("items[{number}]");
            let place = places.as_ref().and_then(|places| places.place(&field));
            let line = place.map_or(0, |(line, _)| line.saturating_sub(1));
            let item = Document::from_value(&item.to_value());
            let before = objects.len();
            flatten(text, item, &kinds, depth + 1, objects)?;
            for object in objects.iter_mut().skip(before) {
                object.line = text.shifted((line + 1, 1)).0;
            }
        }
        return Ok(());
    }
    match root.get("items").map(Node::kind) {
        None => {}
        // A List of nothing, as Go's programs write one.
        Some(Kind::Null) if Kinds::of(root).item().is_some() => return Ok(()),
        Some(_) => return Err(text.unreadable("`items` is no list".to_owned().into())),
    }
    if let Some((field, expect)) = misshapen(root.get("metadata").unwrap_or(Node::null())) {
        let place = text.places().and_then(|places| places.place(&field));
        let message = format!("`{field}` is not {expect}");
        return Err(text.unreadable(Unreadable { message, place }));
    }
    let line = text.first_line();
    if has("kind") && has("apiVersion") {
        objects.push(Placed { line, document });
        return Ok(());
    }
    match kinds.item() {
        Some((api_version, kind)) if !has("kind") && !has("apiVersion") => {
            let mut value = root.to_value();
            if let Value::Object(members) = &mut value {
                let mut whole = Map::new();
                whole.insert("apiVersion".into(), api_version.into());
                whole.insert("kind".into(), kind.into());
                whole.append(members);
                value = Value::Object(whole);
            }
            objects.push(Placed { line, document: Document::from_value(&value) });
            Ok(())
        }
        _ => Err(text.unreadable("an object without `kind` and `apiVersion`".to_owned().into())),
    }
}
