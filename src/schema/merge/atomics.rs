//! What a partial object sets that would be replaced as a whole. It is refused, so that nobody loses what they did not
//! know of.
//!
//! Source: `validatePatch` of `k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch`.

use std::fmt::Write;

use crate::schema::merge::Schema;
use crate::schema::merge::native::{Native, View};
use crate::schema::shape::{ListType, MapType, Shape};

/// How many places are named. Nobody reads more.
const PLACES_MAX: usize = 100;

impl Schema<'_> {
    /// Refuses a partial object that sets an atomic list, map or struct.
    pub(in crate::schema::merge) fn check_atomics(
        &self,
        partial: Native<'_>,
    ) -> Result<(), String> {
        let mut search = Search { schema: *self, path: String::new(), found: Vec::new() };
        search.visit(self.shape, partial);
        if search.found.is_empty() {
            return Ok(());
        }
        let places = search.found.join(", ");
        Err(format!("may not mutate atomic arrays, maps or structs: {places}"))
    }
}

struct Search<'c> {
    schema: Schema<'c>,
    path: String,
    found: Vec<String>,
}

impl<'c> Search<'c> {
    fn visit(&mut self, shape: &'c Shape, value: Native<'_>) {
        let Ok(atom) = self.schema.atom(shape) else { return };
        match (value.view(), atom.map, atom.list) {
            (View::Map(members), Some(map), _) => {
                if map.map_type == MapType::Atomic {
                    self.find();
                }
                // Members that are no fields are not looked at.
                for (name, member) in members.iter() {
                    if let Some(field) = map.field(name) {
                        self.below(format_args!(".{name}"), &field.shape, member);
                    }
                }
            }
            (View::List(elements), _, Some(list)) => {
                if *list.list_type == ListType::Atomic {
                    self.find();
                }
                for (place, element) in elements.iter().enumerate() {
                    self.below(format_args!("[{place}]"), list.element, element);
                }
            }
            _ => {}
        }
    }

    fn find(&mut self) {
        if self.found.len() < PLACES_MAX {
            self.found.push(self.path.clone());
        }
    }

    fn below(&mut self, step: std::fmt::Arguments<'_>, shape: &'c Shape, value: Native<'_>) {
        let len = self.path.len();
        // Writing to a String does not fail.
        let _ = self.path.write_fmt(step);
        self.visit(shape, value);
        self.path.truncate(len);
    }
}
