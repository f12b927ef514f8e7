//! Authorities: whose signature counts. What an admin wrote, ready to verify with.

use std::fmt;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::images::trust::{Authorities, PublicKey, TrustRoot};

/// How large a compiled pattern may be: identities are URLs and addresses, and patterns over them short.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Whose signature counts.
#[derive(Clone, Debug)]
pub enum Authority {
    /// Whoever has the private half of this key.
    Key {
        /// The public half.
        key: PublicKey,
        /// Where the signature must be logged; none if it need not be.
        log: Option<Arc<TrustRoot>>,
    },
    /// Whoever an identity provider says they are.
    Keyless {
        /// Who said so.
        issuer: TextMatch,
        /// Who they are: an address or a URI.
        subject: TextMatch,
        /// Who is believed about that.
        root: Arc<TrustRoot>,
    },
    /// Whoever has a certificate of an authority, good now.
    Certificate {
        /// The authorities.
        authorities: Authorities,
        /// Whom the certificate must be for; none if that does not matter.
        subject: Option<TextMatch>,
    },
}

/// How a text must look.
#[derive(Clone, Debug)]
pub enum TextMatch {
    /// Just so.
    Exact(String),
    /// All of it must match.
    Pattern(Regex, String),
}

/// Why a pattern can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is no regular expression: {why}")]
pub struct PatternError {
    pattern: String,
    why: String,
}

impl TextMatch {
    /// A pattern, which must match the whole text: `.*@example.com` must not accept `a@example.com.evil.org`.
    ///
    /// # Errors
    /// If it is malformed or too large.
    pub fn pattern(text: &str) -> Result<TextMatch, PatternError> {
        let refused = |why: &dyn fmt::Display| PatternError {
            pattern: text.to_owned(),
            why: why.to_string().lines().last().unwrap_or_default().trim().to_owned(),
        };
        // On its own first: a stray parenthesis must not find its match in what is put around it.
        RegexBuilder::new(text)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| refused(&error))?;
        let whole = RegexBuilder::new(&format!(r"\A(?:{text})\z"))
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| refused(&error))?;
        Ok(TextMatch::Pattern(whole, text.to_owned()))
    }

    /// Whether the text looks like that.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            TextMatch::Exact(exact) => exact == text,
            TextMatch::Pattern(pattern, _) => pattern.is_match(text),
        }
    }
}

impl fmt::Display for TextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextMatch::Exact(exact) => write!(f, "`{exact}`"),
            TextMatch::Pattern(_, text) => write!(f, "a match of `{text}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_all_or_nothing() {
        let check = |pattern: &str, text: &str, expect: bool| {
            let compiled = TextMatch::pattern(pattern).unwrap();
            assert_eq!(compiled.matches(text), expect, "{pattern} of {text}");
        };
        check(r".*@example\.com", "a@example.com", true);
        check(r".*@example\.com", "a@example.com.evil.org", false);
        check(r".*@example\.com", "a@example.com\n", false);
        check("a|b", "b", true);
        check("a|b", "bc", false);
        check("a|b", "ca", false);
        check("^a$", "a", true);
        check("", "", true);
        check("", "a", false);
        assert!(TextMatch::Exact("a.c".into()).matches("a.c"));
        assert!(!TextMatch::Exact("a.c".into()).matches("abc"));
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let check = |pattern: &str, expect: &str| {
            let error = TextMatch::pattern(pattern).unwrap_err().to_string();
            assert!(error.contains(expect), "{pattern}: {error}");
        };
        check("(", "unclosed group");
        check("a)|(b", "unopened group");
        check("(a{1000}){1000}", "size limit");
    }
}
