//! One thing that is wrong with one field, in the words of the API server.
//!
//! Source: `k8s.io/apimachinery/pkg/util/validation/field`.

use std::fmt;

use crate::policy::api::PolicyDiagnostic;

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field, such as `spec.validations[0].expression`.
    pub field: String,
    /// How it is wrong.
    pub kind: ErrorKind,
    /// The value as it is shown, if it is.
    value: Option<String>,
    detail: String,
}

/// How a field can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says it in its text")]
pub enum ErrorKind {
    Required,
    Invalid,
    Unsupported,
    Duplicate,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
}

impl FieldError {
    /// Something is wrong with a field whatever its value.
    pub fn new(field: &str, kind: ErrorKind, detail: impl Into<String>) -> FieldError {
        FieldError { field: field.to_owned(), kind, value: None, detail: detail.into() }
    }

    /// The same with the value, as it is to be shown.
    #[must_use]
    pub fn shown(self, value: impl Into<String>) -> FieldError {
        FieldError { value: Some(value.into()), ..self }
    }

    /// What is wrong, without the field.
    pub fn message(&self) -> String {
        let mut text = self.kind.as_str().to_owned();
        let value = self.value.as_deref().into_iter();
        let detail = Some(self.detail.as_str()).filter(|detail| !detail.is_empty());
        for part in value.chain(detail) {
            text.push_str(": ");
            text.push_str(part);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}

impl std::error::Error for FieldError {}

impl From<FieldError> for PolicyDiagnostic {
    fn from(error: FieldError) -> PolicyDiagnostic {
        PolicyDiagnostic { message: error.message(), field: error.field, excerpt: None }
    }
}

impl ErrorKind {
    fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Required => "Required value",
            ErrorKind::Invalid => "Invalid value",
            ErrorKind::Unsupported => "Unsupported value",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::TooLong => "Too long",
            ErrorKind::TooMany => "Too many",
            ErrorKind::Internal => "Internal error",
        }
    }
}
