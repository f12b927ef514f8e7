//! Regular expressions as RE2 has them. Nothing here knows of values.

use regex::{Regex, RegexBuilder};

/// How large a compiled pattern may get: far above what a policy needs, and far below what would hurt.
const COMPILED_BYTES_MAX: usize = 2 << 20;

/// A compiled pattern.
pub(crate) struct Pattern {
    regex: Regex,
    /// Code points of the text it was compiled from, for the cost.
    size: u64,
}

impl Pattern {
    /// Compiles a pattern, or says what is wrong with it.
    pub fn compile(text: &str) -> Result<Pattern, String> {
        let regex = RegexBuilder::new(text)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|error| format!("error parsing regexp: {error}"))?;
        Ok(Pattern { regex, size: text.chars().count() as u64 })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}
