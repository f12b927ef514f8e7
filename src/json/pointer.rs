//! JSON pointers (RFC 6901): text that names a place. What they point into is someone else's.

use std::borrow::Cow;
use std::fmt;

/// A well-formed pointer: empty, or tokens that each begin with `/`.
///
/// ```
/// use portcullis::json::Pointer;
///
/// let pointer = Pointer::parse("/metadata/annotations/a~1b").unwrap();
/// assert_eq!(pointer.tokens().last().as_deref(), Some("a/b"));
/// ```
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer(String);

/// Why a text is no pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// Neither empty nor begun with `/`.
    #[error("pointer `{0}` does not begin with `/`")]
    Start(String),
    /// A `~` that is neither `~0` nor `~1`.
    #[error("pointer `{0}` has a `~` that is neither `~0` nor `~1`")]
    Escape(String),
}

impl Pointer {
    /// The pointer to the whole document.
    pub fn root() -> Pointer {
        Pointer(String::new())
    }

    /// Reads a pointer.
    pub fn parse(text: &str) -> Result<Pointer, PointerError> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(PointerError::Start(text.to_owned()));
        }
        let escapes = text.split('~').skip(1);
        if escapes.into_iter().any(|after| !after.starts_with(['0', '1'])) {
            return Err(PointerError::Escape(text.to_owned()));
        }
        Ok(Pointer(text.to_owned()))
    }

    /// The pointer to the member or element `token` of what this one names.
    #[must_use]
    pub fn child(&self, token: impl fmt::Display) -> Pointer {
        Pointer(format!("{}/{}", self.0, escape(&token.to_string())))
    }

    /// The tokens, unescaped.
    pub fn tokens(&self) -> impl Iterator<Item = Cow<'_, str>> {
        tokens(&self.0).into_iter().flatten()
    }

    /// The pointer to the parent, and the last token, unescaped; `None` for the root.
    pub fn split_last(&self) -> Option<(&str, Cow<'_, str>)> {
        let (parent, token) = self.0.rsplit_once('/')?;
        Some((parent, unescape(token)))
    }

    /// Whether `other` is this pointer or below it.
    pub fn contains(&self, other: &Pointer) -> bool {
        other.0.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The number of tokens.
    pub fn depth(&self) -> usize {
        self.0.bytes().filter(|byte| *byte == b'/').count()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A token as a pointer writes it: `~` is `~0` and `/` is `~1`.
pub fn escape(token: &str) -> Cow<'_, str> {
    if token.contains(['~', '/']) {
        Cow::Owned(token.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(token)
    }
}

fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

/// The unescaped tokens of a pointer's text; `None` if it is no pointer.
pub(in crate::json) fn tokens(pointer: &str) -> Option<impl Iterator<Item = Cow<'_, str>>> {
    let rest = match pointer.strip_prefix('/') {
        Some(rest) => Some(rest),
        None if pointer.is_empty() => None,
        None => return None,
    };
    Some(rest.into_iter().flat_map(|rest| rest.split('/')).map(unescape))
}

/// An index as RFC 6901 writes it: digits without a leading zero.
pub(in crate::json) fn array_index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = token.len() > 1 && token.starts_with('0');
    if plain && !leading_zero { token.parse().ok() } else { None }
}

impl AsRef<str> for Pointer {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Pointer {
    type Error = PointerError;

    fn try_from(text: String) -> Result<Pointer, PointerError> {
        Pointer::parse(&text)
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> String {
        pointer.0
    }
}

impl std::str::FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Pointer, PointerError> {
        Pointer::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use crate::json::Pointer;

    #[test]
    fn tokens_are_unescaped() {
        let check = |text: &str, expect: &[&str]| {
            let pointer = Pointer::parse(text).unwrap();
            assert_eq!(pointer.tokens().collect::<Vec<_>>(), expect, "{text}");
            assert_eq!(pointer.depth(), expect.len());
            let again = expect.iter().fold(Pointer::root(), |at, token| at.child(token));
            assert_eq!(again, pointer);
        };
        check("", &[]);
        check("/", &[""]);
        check("/a/b", &["a", "b"]);
        check("/a~1b/~0/~01", &["a/b", "~", "~1"]);
        check("//é ", &["", "é "]);
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        let check = |text: &str, expect: &str| {
            assert_eq!(Pointer::parse(text).unwrap_err().to_string(), expect);
        };
        check("a", "pointer `a` does not begin with `/`");
        check("/a~", "pointer `/a~` has a `~` that is neither `~0` nor `~1`");
        check("/~2", "pointer `/~2` has a `~` that is neither `~0` nor `~1`");
    }

    #[test]
    fn a_pointer_contains_what_is_below_it() {
        let check = |a: &str, b: &str, expect: bool| {
            let contains = Pointer::parse(a).unwrap().contains(&Pointer::parse(b).unwrap());
            assert_eq!(contains, expect, "{a} {b}");
        };
        check("", "/a", true);
        check("/a", "/a", true);
        check("/a", "/a/b", true);
        check("/a", "/ab", false);
        check("/a/b", "/a", false);
    }
}
