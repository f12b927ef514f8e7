//! Regular expressions as RE2 has them, in the syntax of Go: read here, and matched by the `regex` crate,
//! which is of the same family. Nothing here knows of values.

mod class;
mod groups;
mod parser;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::cel::regexp::parser::translate;

/// How large a compiled pattern of a policy may get: far above what one needs, and far below what
/// would hurt.
const COMPILED_BYTES_MAX: usize = 10 << 20;
/// How large a pattern may get that an evaluation computed.
const COMPUTED_BYTES_MAX: usize = 1 << 20;
/// Up to which size such a pattern counts as a small one: it compiles in microseconds.
const SMALL_BYTES_MAX: usize = 64 << 10;
/// How many patterns the evaluations of one request may compute. Kubernetes charges no more for compiling
/// one than for going through a text, so that the cost limits allow for hundreds of thousands.
const COMPUTED_MAX: u32 = 20_000;
/// How many of them may be larger than a small one.
const LARGE_MAX: u32 = 200;
/// How many of them are kept, in case they are computed again.
const KEPT_MAX: usize = 16;
/// How deep the groups and repetitions of a translated pattern nest at most: twice what the parser lets
/// through, because a repetition puts a group around what it repeats.
const NEST_MAX: u32 = 2 * parser::DEPTH_MAX + 16;

/// What is said of a pattern that would get too large.
const TOO_LARGE: &str = "expression too large";

/// A compiled pattern.
#[derive(Clone)]
pub(crate) struct Pattern {
    regex: Regex,
    /// Code points of the text it was compiled from, for the cost.
    size: u64,
}

/// Why a text is no pattern: what is wrong, and the part where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PatternError<'t> {
    what: &'static str,
    part: &'t str,
}

/// Go's words.
impl fmt::Display for PatternError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.what, self.part)
    }
}

impl Pattern {
    /// Compiles a pattern of a policy, or says what is wrong with it.
    pub fn compile(text: &str) -> Result<Pattern, PatternError<'_>> {
        Pattern::within(text, COMPILED_BYTES_MAX)
    }

    fn within(text: &str, bytes_max: usize) -> Result<Pattern, PatternError<'_>> {
        let translated = translate(text)?;
        let regex = RegexBuilder::new(&translated)
            .size_limit(bytes_max)
            .nest_limit(NEST_MAX)
            .build()
            .map_err(|_| PatternError { what: TOO_LARGE, part: text })?;
        Ok(Pattern { regex, size: text.chars().count() as u64 })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The first part that matches.
    pub fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.regex.find(text).map(|found| found.as_str())
    }

    /// Every part that matches, none of them overlapping.
    pub fn find_all<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        self.regex.find_iter(text).map(|found| found.as_str())
    }
}

/// The patterns that the evaluations of one request computed.
#[derive(Default)]
pub(crate) struct Computed {
    kept: HashMap<Box<str>, Arc<Pattern>>,
    compiled: u32,
    large: u32,
}

impl Computed {
    /// Compiles a pattern, unless it is known.
    pub fn pattern<'t>(&mut self, text: &'t str) -> Result<Arc<Pattern>, PatternError<'t>> {
        if let Some(known) = self.kept.get(text) {
            return Ok(Arc::clone(known));
        }
        self.compiled += 1;
        if self.compiled > COMPUTED_MAX {
            return Err(PatternError { what: "too many patterns", part: text });
        }
        let pattern = Arc::new(match Pattern::within(text, SMALL_BYTES_MAX) {
            Err(error) if error.what == TOO_LARGE && self.large < LARGE_MAX => {
                self.large += 1;
                Pattern::within(text, COMPUTED_BYTES_MAX)?
            }
            small => small?,
        });
        if self.kept.len() == KEPT_MAX {
            self.kept.clear();
        }
        self.kept.insert(text.into(), Arc::clone(&pattern));
        Ok(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expect: &str) {
        let seen = match Pattern::compile(pattern) {
            Ok(pattern) => pattern.find(text).unwrap_or("nothing").to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(seen, expect, "{pattern} {text}");
    }

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        for (pattern, text, expect) in [
            (r"\d+", "٣3", "3"),
            (r"\bé", "é", "nothing"),
            (r"[[:alpha:]&&x]+", "a&x", "a&x"),
            ("[[]", "[", "["),
            ("a{,2}", "a{,2}", "a{,2}"),
            (r"\Q.*\E+", ".**", ".**"),
            (r"\x{1F600}\101", "\u{1F600}A", "\u{1F600}A"),
            ("(?i)k", "\u{212a}", "\u{212a}"),
            (r"a.c$", "a\nc abc", "abc"),
            ("(?P<n>a)(?<m>b)", "ab", "ab"),
            ("(?U)a+", "aa", "a"),
            (r"\pN", "x٣", "٣"),
        ] {
            check(pattern, text, expect);
        }
    }

    #[test]
    fn what_go_refuses_is_refused_in_its_words() {
        for (pattern, what) in [
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("(a{100}){11}", "invalid repeat count: `{11}`"),
            ("[b-a]", "invalid character class range: `b-a`"),
            ("[a", "missing closing ]: `[a`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            ("\\", "trailing backslash at end of expression: ``"),
            ("(?P<1-2>a)", "invalid named capture: `(?P<1-2>`"),
            (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        ] {
            check(pattern, "", &format!("error parsing regexp: {what}"));
        }
    }
}
