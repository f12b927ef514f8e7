//! Lists: of a JSON document, of a program's constants, made by an expression, or two lists joined,
//! which copies neither.

use std::fmt;
use std::ptr::from_ref;

use crate::cel::value::{Arena, Constant, Exhausted, Origin, Value};
use crate::json;

/// A list.
#[derive(Clone, Copy)]
pub struct List<'a>(Repr<'a>);

#[derive(Clone, Copy)]
enum Repr<'a> {
    Json(json::Array<'a>),
    Values(&'a [Value<'a>]),
    Constants(&'a [Constant]),
    Joined(&'a Joined<'a>),
}

/// Two lists, one after the other. The length saturates: joining is free, so an expression can make
/// lists that nobody could go through.
#[derive(Clone, Copy)]
struct Joined<'a> {
    left: List<'a>,
    right: List<'a>,
    len: usize,
}

impl<'a> List<'a> {
    pub(crate) fn json(array: json::Array<'a>) -> List<'a> {
        List(Repr::Json(array))
    }

    pub(crate) fn constants(elements: &'a [Constant]) -> List<'a> {
        List(Repr::Constants(elements))
    }

    /// A list of these values.
    pub fn values(values: &'a [Value<'a>]) -> List<'a> {
        List(Repr::Values(values))
    }

    /// The elements of one and then those of the other.
    pub(crate) fn join(self, right: List<'a>, arena: &'a Arena) -> List<'a> {
        match (self.len(), right.len()) {
            (0, _) => right,
            (_, 0) => self,
            (left_len, right_len) => {
                let len = left_len.saturating_add(right_len);
                List(Repr::Joined(arena.keep(Joined { left: self, right, len })))
            }
        }
    }

    /// Where its elements are from.
    pub(crate) fn origin(self) -> Origin {
        match self.0 {
            Repr::Json(_) => Origin::Document,
            Repr::Values(_) | Repr::Constants(_) => Origin::Made,
            Repr::Joined(_) => Origin::Joined,
        }
    }

    /// Whether it lies in a JSON document.
    pub fn is_of_document(self) -> bool {
        self.origin() == Origin::Document
    }

    /// How many elements it has.
    pub fn len(self) -> usize {
        match self.0 {
            Repr::Json(array) => array.len(),
            Repr::Values(values) => values.len(),
            Repr::Constants(constants) => constants.len(),
            Repr::Joined(joined) => joined.len,
        }
    }

    /// Where it lies; nothing for what is empty and was made by the expression, which lies nowhere.
    pub(crate) fn place(self) -> Option<(usize, u32)> {
        Some(match self.0 {
            Repr::Json(array) => array.place(),
            Repr::Values([]) => return None,
            Repr::Values(values) => (values.as_ptr().addr(), 0),
            Repr::Constants(constants) => (constants.as_ptr().addr(), 0),
            Repr::Joined(joined) => (from_ref(joined).addr(), 0),
        })
    }

    /// The same list at a place of its own, if it is one of a document.
    pub(crate) fn anew(self, arena: &'a Arena) -> Result<List<'a>, Exhausted> {
        match self.0 {
            Repr::Json(_) => Ok(List::values(arena.collect(self.iter())?)),
            _ => Ok(self),
        }
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The element at an index from 0.
    pub fn get(self, index: usize) -> Option<Value<'a>> {
        let (mut list, mut index) = (self, index);
        loop {
            match list.0 {
                Repr::Json(array) => return array.get(index).map(Value::from_json),
                Repr::Values(values) => return values.get(index).copied(),
                Repr::Constants(constants) => return constants.get(index).map(Constant::value),
                Repr::Joined(joined) => {
                    let left = joined.left.len();
                    (list, index) = if index < left {
                        (joined.left, index)
                    } else {
                        (joined.right, index - left)
                    };
                }
            }
        }
    }

    /// Its elements.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> + Clone {
        (0..self.len()).map_while(move |index| self.get(index))
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
