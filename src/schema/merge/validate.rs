//! Whether a value is of a schema.
//!
//! Source: `validate.go` of `sigs.k8s.io/structured-merge-diff/v6/typed`.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::schema::merge::Schema;
use crate::schema::merge::atom::{ListAtom, MapAtom, Scalar};
use crate::schema::merge::native::{Native, View};
use crate::schema::merge::words;
use crate::schema::shape::{ListType, Shape};

/// How many things are said to be wrong with one object. Nobody reads more.
const COMPLAINTS_MAX: usize = 100;

impl Schema<'_> {
    /// Checks a whole object. `allow_duplicates`: elements of a list may have the same key.
    pub(in crate::schema::merge) fn validate(
        &self,
        value: Native<'_>,
        allow_duplicates: bool,
    ) -> Result<(), String> {
        let mut walk =
            Walk { schema: *self, allow_duplicates, path: String::new(), complaints: Vec::new() };
        walk.visit(self.shape, value);
        match walk.complaints.as_slice() {
            [] => Ok(()),
            [one] => Err(one.clone()),
            more => Err(format!("errors:\n  {}", more.join("\n  "))),
        }
    }
}

struct Walk<'c> {
    schema: Schema<'c>,
    allow_duplicates: bool,
    path: String,
    complaints: Vec<String>,
}

impl<'c> Walk<'c> {
    fn complain(&mut self, message: &str) {
        if self.complaints.len() < COMPLAINTS_MAX {
            let colon = if self.path.is_empty() { "" } else { ": " };
            self.complaints.push(format!("{}{colon}{message}", self.path));
        }
    }

    /// Does something with a longer path.
    fn below(&mut self, step: impl std::fmt::Display, act: impl FnOnce(&mut Self)) {
        let len = self.path.len();
        // Writing to a String does not fail.
        let _ = write!(self.path, "{step}");
        act(self);
        self.path.truncate(len);
    }

    fn visit(&mut self, shape: &'c Shape, value: Native<'_>) {
        let atom = match self.schema.atom(shape) {
            Ok(atom) => atom.deduced(value.view()),
            Err(error) => return self.complain(&error),
        };
        if let Some(map) = atom.map {
            self.map(map, value);
        } else if let Some(scalar) = atom.scalar {
            if let Some(expected) = misfit(scalar, value) {
                self.complain(&expected);
            }
        } else if let Some(list) = atom.list {
            self.list(list, value);
        }
    }

    fn map(&mut self, map: MapAtom<'c>, value: Native<'_>) {
        let members = match value.view() {
            View::Null => return,
            View::Map(members) => members,
            _ => return self.complain(&format!("expected map, got {}", words::plain(value))),
        };
        for (name, member) in members.iter() {
            let Some(shape) = map.member(name) else {
                self.below(format_args!(".{name}"), |walk| {
                    walk.complain("field not declared in schema");
                });
                return;
            };
            self.below(format_args!(".{name}"), |walk| walk.visit(shape, member));
        }
    }

    fn list(&mut self, list: ListAtom<'c>, value: Native<'_>) {
        let elements = match value.view() {
            View::Null => return,
            View::List(elements) => elements,
            _ => return self.complain(&format!("expected list, got {}", words::plain(value))),
        };
        let mut seen = BTreeSet::new();
        for (place, element) in elements.iter().enumerate() {
            if *list.list_type == ListType::Atomic {
                self.below(format_args!("[{place}]"), |walk| walk.visit(list.element, element));
                continue;
            }
            let key = match self.schema.key(list, element) {
                Ok(key) => key,
                Err(error) => return self.complain(&format!("element {place}: {error}")),
            };
            if !self.allow_duplicates && seen.contains(&key) {
                self.complain(&format!("duplicate entries for key {key}"));
            }
            self.below(&key, |walk| walk.visit(list.element, element));
            seen.insert(key);
        }
    }
}

/// What is wrong with a value where a scalar is expected.
pub(in crate::schema::merge) fn misfit(scalar: Scalar, value: Native<'_>) -> Option<String> {
    let fits = matches!(
        (scalar, value.view()),
        (_, View::Null)
            | (Scalar::Number | Scalar::Any, View::Double(_) | View::Int(_))
            | (Scalar::Text | Scalar::Any, View::String(_))
            | (Scalar::Bool | Scalar::Any, View::Bool(_))
    );
    let expected = || match scalar {
        Scalar::Number => {
            format!("expected numeric (int or float), got {}", words::type_name(value))
        }
        Scalar::Text => format!("expected string, got {}", words::sharp(value)),
        Scalar::Bool => format!("expected boolean, got {}", words::plain(value)),
        Scalar::Any => format!("expected any scalar, got {}", words::plain(value)),
    };
    (!fits).then(expected)
}
