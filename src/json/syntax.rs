//! Why a text is not a document, and where. Nothing here reads JSON.

use std::fmt;

use crate::json::parse::{DEPTH_MAX, TEXT_MAX};

/// Why a text is not a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct SyntaxError {
    /// Bytes before the place.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: SyntaxErrorKind,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxErrorKind {
    /// A character where another was due.
    #[error("expected {expected}, found `{}`", Shown(*found))]
    Unexpected {
        /// What was due.
        expected: &'static str,
        /// What was there.
        found: char,
    },
    /// The text ended early.
    #[error("expected {expected}, found the end of the text")]
    End {
        /// What was due.
        expected: &'static str,
    },
    /// Bytes that are not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// A control character within a string.
    #[error("control character in a string, write it as an escape")]
    Control,
    /// An unknown escape, or half of a surrogate pair.
    #[error("invalid escape in a string")]
    Escape,
    /// A number that no double can hold.
    #[error("number out of range")]
    Range,
    /// The same key twice in an object.
    #[error("duplicate key `{0}`")]
    DuplicateKey(String),
    /// More than [`DEPTH_MAX`] levels.
    #[error("nested deeper than {DEPTH_MAX} levels")]
    Depth,
    /// More than [`TEXT_MAX`] bytes.
    #[error("the text is longer than {TEXT_MAX} bytes")]
    Length,
}

/// A character that can be printed, or its code point.
struct Shown(char);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_control() || self.0 == '\u{feff}' {
            write!(f, "{}", self.0.escape_unicode())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

impl SyntaxError {
    pub(in crate::json) fn at(text: &[u8], offset: usize, kind: SyntaxErrorKind) -> SyntaxError {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.split(|byte| *byte == b'\n').count();
        let since = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let starts = before.iter().skip(since).filter(|byte| (**byte & 0xc0) != 0x80);
        SyntaxError { offset, line, column: starts.count() + 1, kind }
    }

    pub(in crate::json) fn utf8(error: &std::string::FromUtf8Error) -> SyntaxError {
        let offset = error.utf8_error().valid_up_to();
        SyntaxError::at(error.as_bytes(), offset, SyntaxErrorKind::Utf8)
    }
}
