//! The memory of one request: what evaluation makes lies here until the request is answered.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::sync::Arc;

use bumpalo::Bump;

use crate::cel::answers::Check;
use crate::cel::regexp::{Computed, Pattern, PatternError};
use crate::cel::value::Value;

/// How much the expressions of one request may make. The cost limits keep honest expressions far
/// below it; it is there for those that multiply strings cheaply.
pub const ARENA_BYTES_MAX: usize = 64 << 20;

/// Bump memory for the values that evaluation makes.
#[derive(Default)]
pub struct Arena {
    bump: Bump,
    /// The patterns that were computed.
    patterns: RefCell<Computed>,
    /// The questions that had no answer.
    unanswered: OnceCell<Box<Unanswered>>,
}

struct Unanswered {
    check: Check,
    next: OnceCell<Box<Unanswered>>,
}

/// The arena is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Arena {
    /// An arena that has allocated nothing yet.
    pub fn new() -> Arena {
        Arena::default()
    }

    /// Forgets everything in it and keeps the memory for the next request.
    pub fn reset(&mut self) {
        self.bump.reset();
        self.patterns.take();
        self.unanswered.take();
    }

    /// How many bytes it holds on to.
    pub fn allocated_bytes(&self) -> usize {
        self.bump.allocated_bytes()
    }

    fn room_for(&self, bytes: usize) -> Result<(), Exhausted> {
        let after = self.bump.allocated_bytes().saturating_add(bytes);
        if after > ARENA_BYTES_MAX { Err(Exhausted) } else { Ok(()) }
    }

    /// Keeps a value.
    pub(crate) fn keep<T: Copy>(&self, value: T) -> &T {
        self.bump.alloc(value)
    }

    /// Keeps a text.
    pub(crate) fn text(&self, text: &str) -> Result<&str, Exhausted> {
        self.room_for(text.len())?;
        Ok(self.bump.alloc_str(text))
    }

    /// Keeps octets.
    pub(crate) fn octets(&self, octets: &[u8]) -> Result<&[u8], Exhausted> {
        self.room_for(octets.len())?;
        Ok(self.bump.alloc_slice_copy(octets))
    }

    /// Keeps as many values as the iterator has.
    pub(crate) fn collect<T>(&self, items: impl IntoIterator<Item = T>) -> Result<&[T], Exhausted> {
        let items = items.into_iter();
        let mut kept = self.vec(items.size_hint().0)?;
        for item in items {
            kept.push(item);
            self.room_for(0)?;
        }
        Ok(kept.into_bump_slice())
    }

    /// A pattern that was computed.
    pub(crate) fn pattern<'t>(&self, text: &'t str) -> Result<Arc<Pattern>, PatternError<'t>> {
        self.patterns.borrow_mut().pattern(text)
    }

    /// Keeps a question for the authorizer. There are few: each costs a third of what an expression
    /// may.
    pub(crate) fn keep_check(&self, check: Check) -> &Check {
        let mut end = &self.unanswered;
        while let Some(known) = end.get() {
            if known.check == check {
                return &known.check;
            }
            end = &known.next;
        }
        &end.get_or_init(|| Box::new(Unanswered { check, next: OnceCell::new() })).check
    }

    /// A growing vector in the arena.
    pub(crate) fn vec<T>(
        &self,
        room: usize,
    ) -> Result<bumpalo::collections::Vec<'_, T>, Exhausted> {
        self.room_for(room.saturating_mul(size_of::<T>()))?;
        Ok(bumpalo::collections::Vec::with_capacity_in(room, &self.bump))
    }

    /// A growing text in the arena.
    pub(crate) fn writer(&self) -> Text<'_> {
        Text { arena: self, text: bumpalo::collections::String::new_in(&self.bump) }
    }

    /// Room for the variables of comprehensions.
    pub(crate) fn locals(&self, count: usize) -> &mut [Value<'_>] {
        self.bump.alloc_slice_fill_copy(count, Value::Null)
    }

    /// Keeps something that has interior mutability, such as a memo.
    pub(crate) fn cells<T: Copy>(&self, count: usize, value: T) -> &[std::cell::Cell<T>] {
        self.bump.alloc_slice_fill_with(count, |_| std::cell::Cell::new(value))
    }
}

/// A text that is being written into the arena, within its limit.
pub(crate) struct Text<'a> {
    arena: &'a Arena,
    text: bumpalo::collections::String<'a>,
}

impl<'a> Text<'a> {
    pub(crate) fn push(&mut self, piece: &str) -> Result<(), Exhausted> {
        self.arena.room_for(self.text.len().saturating_add(piece.len()))?;
        self.text.push_str(piece);
        Ok(())
    }

    pub(crate) fn push_char(&mut self, piece: char) -> Result<(), Exhausted> {
        self.push(piece.encode_utf8(&mut [0; 4]))
    }

    pub(crate) fn finish(self) -> &'a str {
        self.text.into_bump_str()
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.push(piece).map_err(|Exhausted| fmt::Error)
    }
}
