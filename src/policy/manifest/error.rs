//! Why a text is no manifest.

use std::fmt::{self, Write};

use thiserror::Error;

use crate::policy::api::PolicyDiagnostic;

/// Why a text is no manifest, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct ManifestError {
    /// The name that the text was given.
    pub file: String,
    /// The line, from 1; 0 if it is not known.
    pub line: u64,
    /// The column, from 1; 0 if it is not known.
    pub column: u64,
    /// What is wrong. Of a policy that the API server would refuse, everything, each on a line of its own.
    pub message: String,
    /// The policies and bindings that the API server would refuse, if that is what is wrong.
    pub refused: Vec<Refused>,
}

/// A policy or a binding that the API server would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why. There is at least one reason.
    pub refusals: Vec<Refusal>,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The line and column, from 1; 0 if they are not known.
    pub place: (u64, u64),
    /// What is wrong there.
    pub diagnostic: PolicyDiagnostic,
}

impl ManifestError {
    /// Something is wrong at this line and column.
    pub fn new(file: &str, (line, column): (u64, u64), message: impl Into<String>) -> Self {
        let message = message.into();
        ManifestError { file: file.to_owned(), line, column, message, refused: Vec::new() }
    }

    /// Policies and bindings that the API server would refuse.
    pub(in crate::policy::manifest) fn refused(file: &str, refused: Vec<Refused>) -> ManifestError {
        let mut refusals =
            refused.iter().flat_map(|one| one.refusals.iter().map(move |r| (one, r)));
        let text = |(refused, refusal): (&Refused, &Refusal)| {
            let PolicyDiagnostic { field, message, .. } = &refusal.diagnostic;
            format!("{refused}: {field}: {message}")
        };
        let first = refusals.next();
        let (line, column) = first.map_or((0, 0), |(_, refusal)| refusal.place);
        let mut message = first.map(text).unwrap_or_default();
        for (refused, refusal) in refusals {
            let (line, column) = refusal.place;
            // Writing to a String does not fail.
            let _ = write!(message, "\n{file}:{line}:{column}: {}", text((refused, refusal)));
        }
        ManifestError { file: file.to_owned(), line, column, message, refused }
    }
}

/// Its kind and its name.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, " `{}`", self.name) }
    }
}

/// What is wrong with a document.
#[derive(Debug)]
pub(in crate::policy::manifest) enum Problem {
    /// It is not what its kind calls for.
    Unreadable(Unreadable),
    /// The API server would refuse it.
    Refused(Refused),
}

/// Why a document can't be read.
#[derive(Debug)]
pub(in crate::policy::manifest) struct Unreadable {
    pub message: String,
    /// The line and column in the document, if they are known better than its beginning.
    pub place: Option<(u64, u64)>,
}

impl From<String> for Unreadable {
    fn from(message: String) -> Unreadable {
        Unreadable { message, place: None }
    }
}

impl From<Unreadable> for Problem {
    fn from(unreadable: Unreadable) -> Problem {
        Problem::Unreadable(unreadable)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unreadable(unreadable) => f.write_str(&unreadable.message),
            Problem::Refused(Refused { refusals, .. }) => {
                for (place, Refusal { diagnostic, .. }) in refusals.iter().enumerate() {
                    let line_break = if place == 0 { "" } else { "\n" };
                    write!(f, "{line_break}{}: {}", diagnostic.field, diagnostic.message)?;
                }
                Ok(())
            }
        }
    }
}
