//! A document as validation reads it: fields with their paths, before anything has a type. What is absent, null or of
//! another type than it should be reads as empty; types are checked when the document is decoded.

use serde_json::Value;

use crate::cel::Quoted;
use crate::json::escape_as_go;
use crate::policy::validation::field_error::{ErrorKind, FieldError};

/// A place in a document, and what is there.
#[derive(Clone, Debug)]
pub(in crate::policy::validation) struct Field<'v> {
    pub path: String,
    value: Option<&'v Value>,
}

impl<'v> Field<'v> {
    /// A field at the top of a document.
    pub fn top(document: &'v Value, name: &str) -> Field<'v> {
        Field { path: name.to_owned(), value: document.get(name).filter(|v| !v.is_null()) }
    }

    pub fn child(&self, name: &str) -> Field<'v> {
        let value = self.value.and_then(|value| value.get(name)).filter(|value| !value.is_null());
        Field { path: format!("{}.{name}", self.path), value }
    }

    /// Whether there is anything.
    pub fn is_given(&self) -> bool {
        self.value.is_some()
    }

    /// Itself, if there is anything.
    pub fn given(self) -> Option<Field<'v>> {
        self.value.is_some().then_some(self)
    }

    /// Itself, told of under another path.
    pub fn told_at(self, path: String) -> Field<'v> {
        Field { path, ..self }
    }

    pub fn text(&self) -> &'v str {
        self.value.and_then(Value::as_str).unwrap_or_default()
    }

    pub fn integer(&self) -> i64 {
        self.value.and_then(Value::as_i64).unwrap_or_default()
    }

    pub fn is_true(&self) -> bool {
        self.value.and_then(Value::as_bool).unwrap_or_default()
    }

    /// The items of a list, with their places.
    pub fn items(&self) -> impl Iterator<Item = Field<'v>> {
        let items = self.value.and_then(Value::as_array).into_iter().flatten().enumerate();
        items.map(|(place, value)| Field {
            path: format!("{}[{place}]", self.path),
            value: Some(value).filter(|value| !value.is_null()),
        })
    }

    pub fn count(&self) -> usize {
        self.value.and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// The members of a map of texts.
    pub fn texts_by_key(&self) -> impl Iterator<Item = (&'v str, &'v str)> {
        let members = self.value.and_then(Value::as_object).into_iter().flatten();
        members.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
    }

    /// Whether it is a list with this text.
    pub fn has(&self, text: &str) -> bool {
        self.items().any(|item| item.text() == text)
    }

    /// That it must be given.
    pub fn required(&self, detail: &str) -> FieldError {
        FieldError::new(&self.path, ErrorKind::Required, detail)
    }

    pub fn forbidden(&self, detail: &str) -> FieldError {
        FieldError::new(&self.path, ErrorKind::Forbidden, detail)
    }

    /// That its text is not one.
    pub fn invalid(&self, detail: impl Into<String>) -> FieldError {
        self.invalid_text(self.text(), detail)
    }

    /// That a text in it is not one.
    pub fn invalid_text(&self, text: &str, detail: impl Into<String>) -> FieldError {
        FieldError::new(&self.path, ErrorKind::Invalid, detail).shown(Quoted(text).to_string())
    }

    /// That it is not what it should be, shown as JSON.
    pub fn invalid_json(&self, detail: impl Into<String>) -> FieldError {
        FieldError::new(&self.path, ErrorKind::Invalid, detail).shown(self.json())
    }

    /// That it is none of the words there are.
    pub fn unsupported(&self, words: &[&str]) -> FieldError {
        let words: Vec<String> = words.iter().map(|word| Quoted(word).to_string()).collect();
        let detail = format!("supported values: {}", words.join(", "));
        FieldError::new(&self.path, ErrorKind::Unsupported, detail).shown(self.json())
    }

    /// That its text is already there.
    pub fn duplicate(&self) -> FieldError {
        FieldError::new(&self.path, ErrorKind::Duplicate, "").shown(Quoted(self.text()).to_string())
    }

    /// That a list is too long.
    pub fn too_many(&self, max: usize) -> FieldError {
        let detail = format!("must have at most {max} items");
        FieldError::new(&self.path, ErrorKind::TooMany, detail).shown(self.count().to_string())
    }

    /// The value as the API server shows what is not plain text. A word that is absent is an empty one to it.
    pub fn json(&self) -> String {
        let json = self.value.map_or_else(|| "\"\"".to_owned(), Value::to_string);
        escape_as_go(&json)
    }

    /// A word, if it is given: one of these.
    pub fn check_word(&self, words: &[&str], errors: &mut Vec<FieldError>) {
        if self.is_given() && !words.contains(&self.text()) {
            errors.push(self.unsupported(words));
        }
    }
}
