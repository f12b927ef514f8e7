//! What is made of many documents, kept for as long as they are the very same ones: an edit of one policy is no reason to
//! read ten thousand params again. What is made of them is not known here.

use std::sync::Arc;

use crate::json::Document;

/// What was made, and of what.
#[derive(Debug)]
pub(in crate::policy) struct Kept<T, C = ()> {
    documents: Vec<Arc<Document>>,
    context: C,
    made: Arc<T>,
}

impl<T: Default, C: Default> Default for Kept<T, C> {
    fn default() -> Self {
        Kept { documents: Vec::new(), context: C::default(), made: Arc::default() }
    }
}

impl<T, C: PartialEq> Kept<T, C> {
    /// Makes it of documents and whatever else it depends on, or takes over what was made of the same.
    pub fn new(
        documents: Vec<Arc<Document>>,
        context: C,
        previous: Option<&Kept<T, C>>,
        make: impl FnOnce(&[Arc<Document>], &C) -> T,
    ) -> Kept<T, C> {
        let same = |previous: &&Kept<T, C>| {
            previous.context == context
                && previous.documents.len() == documents.len()
                && previous.documents.iter().zip(&documents).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        let made = match previous.filter(same) {
            Some(previous) => Arc::clone(&previous.made),
            None => Arc::new(make(&documents, &context)),
        };
        Kept { documents, context, made }
    }

    /// Whether it is the very same.
    pub fn is_same(&self, other: &Kept<T, C>) -> bool {
        Arc::ptr_eq(&self.made, &other.made)
    }

    /// What was made.
    pub fn made(&self) -> &T {
        &self.made
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use crate::json::Document;
    use crate::policy::kept::Kept;

    #[test]
    fn it_is_made_again_when_anything_is_another() {
        let document = |n: u32| Arc::new(Document::from_value(&json!({"n": n})));
        let (a, b) = (document(1), document(2));
        let first = Kept::new(vec![a.clone(), b.clone()], "x", None, |d, _| d.len());
        let check = |documents: Vec<Arc<Document>>, context: &'static str, is_kept: bool| {
            let next = Kept::new(documents, context, Some(&first), |_, _| 0);
            assert_eq!(*next.made(), if is_kept { 2 } else { 0 });
        };
        check(vec![a.clone(), b.clone()], "x", true);
        check(vec![a.clone(), b.clone()], "y", false);
        check(vec![a.clone(), document(2)], "x", false);
        check(vec![b, a.clone()], "x", false);
        check(vec![a], "x", false);
    }
}
