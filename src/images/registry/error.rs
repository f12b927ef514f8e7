//! Why a registry gave no answer, and what that means: some reasons pass by themselves, others don't.

use std::time::Duration;

/// Why a registry gave no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// There is no such thing.
    #[error("{0} is not there")]
    NotFound(String),
    /// It wants credentials, or other ones.
    #[error("{host} does not let us read `{repository}`{}", with_credentials(*.credentials, .unread))]
    Unauthorized {
        /// The registry.
        host: String,
        /// What was to be read.
        repository: String,
        /// Whether there were credentials for it.
        credentials: bool,
        /// Why there may be others that are not known.
        unread: Vec<Unread>,
    },
    /// It asks for something that no client should do.
    #[error("{0}")]
    Refused(String),
    /// More than anything of this kind should have.
    #[error("{what} is larger than {bytes_max} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// How large it may be.
        bytes_max: usize,
    },
    /// The content is not what its digest says.
    #[error("{what} is not what its digest says: the content has {found}")]
    Digest {
        /// What was asked for.
        what: String,
        /// What came.
        found: String,
    },
    /// The content can't be read.
    #[error("{what} can't be read: {why}")]
    Malformed {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// It has enough of us.
    #[error("{host} has had too many requests{}", after(*.retry_after))]
    RateLimited {
        /// The registry.
        host: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It answers that it can't answer.
    #[error("{host} answers with status {status}")]
    Status {
        /// The registry.
        host: String,
        /// What it says.
        status: u16,
    },
    /// It does not answer in time.
    #[error("{host} did not answer in {} s", .limit.as_secs())]
    Timeout {
        /// The registry.
        host: String,
        /// How long was waited.
        limit: Duration,
    },
    /// It can't be reached.
    #[error("{host} can't be reached: {why}")]
    Unreachable {
        /// The registry.
        host: String,
        /// Why.
        why: String,
    },
}

/// Credentials that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unread {
    /// Which, and why.
    pub why: String,
    /// Whether it is likely to pass.
    pub is_passing: bool,
}

impl RegistryError {
    /// Whether it is likely to pass: the same question may have an answer later.
    pub fn is_passing(&self) -> bool {
        match self {
            RegistryError::Unauthorized { unread, .. } => unread.iter().any(|one| one.is_passing),
            error => error.is_fault(),
        }
    }

    /// Whether the registry did not answer as one that is up does.
    pub fn is_fault(&self) -> bool {
        match self {
            RegistryError::RateLimited { .. }
            | RegistryError::Timeout { .. }
            | RegistryError::Unreachable { .. } => true,
            RegistryError::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// What it is, in a word.
    pub(in crate::images::registry) fn word(&self) -> &'static str {
        match self {
            RegistryError::NotFound(_) => "not_found",
            RegistryError::Unauthorized { .. } => "unauthorized",
            RegistryError::Refused(_) => "refused",
            RegistryError::TooLarge { .. } => "too_large",
            RegistryError::Digest { .. } => "digest",
            RegistryError::Malformed { .. } => "malformed",
            RegistryError::RateLimited { .. } => "rate_limited",
            RegistryError::Status { .. } => "status",
            RegistryError::Timeout { .. } => "timeout",
            RegistryError::Unreachable { .. } => "unreachable",
        }
    }
}

fn with_credentials(had: bool, unread: &[Unread]) -> String {
    let mut text =
        if had { ": it does not accept the credentials" } else { " without credentials" }
            .to_owned();
    for one in unread {
        text.extend([if had { "; " } else { ": " }, &one.why]);
    }
    text
}

fn after(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(wait) => format!(", and asks to wait {} s", wait.as_secs()),
        None => String::new(),
    }
}
