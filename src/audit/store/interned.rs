//! Values that are kept once, however often they are named.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// How many different values there may be before those are looked for that nobody has any more.
const SWEPT_AT: usize = 10_000;

/// The values.
#[derive(Debug)]
pub(in crate::audit::store) struct Interned<T: ?Sized> {
    known: HashSet<Arc<T>>,
    /// When to look again for those that nobody has.
    swept_at: usize,
}

impl<T: ?Sized> Default for Interned<T> {
    fn default() -> Interned<T> {
        Interned { known: HashSet::new(), swept_at: SWEPT_AT }
    }
}

impl<T: ?Sized + Eq + Hash> Interned<T> {
    /// The one copy of a value.
    pub fn share<V: Into<Arc<T>> + Borrow<T>>(&mut self, value: V) -> Arc<T> {
        let wanted: &T = value.borrow();
        if let Some(known) = self.known.get(wanted) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.swept_at {
            self.known.retain(|value| Arc::strong_count(value) > 1);
            // If all are in use, looking again soon would find nothing either.
            self.swept_at = (2 * self.known.len()).max(SWEPT_AT);
        }
        let value: Arc<T> = value.into();
        self.known.insert(Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::audit::store::interned::{Interned, SWEPT_AT};

    #[test]
    fn what_nobody_has_is_forgotten() {
        let mut texts: Interned<str> = Interned::default();
        let kept = texts.share("kept");
        assert!(Arc::ptr_eq(&kept, &texts.share("kept")));
        for number in 0..2 * SWEPT_AT {
            texts.share(number.to_string().as_str());
        }
        assert!(texts.known.len() <= SWEPT_AT + 1, "{}", texts.known.len());
        assert!(Arc::ptr_eq(&kept, &texts.share("kept")));
    }
}
