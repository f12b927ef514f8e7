//! Log set-up: lines for people or JSON for machines, on standard error. What is logged is said where it happens.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// An object on a line.
    Json,
}

/// Why logging can't start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter has directives that say nothing.
    #[error("log filter `{filter}`: {source}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong.
        source: ParseError,
    },
    /// Logging was started before.
    #[error("logging was already set up")]
    Again,
}

/// Starts logging for the process, once. `filter` is as in `RUST_LOG`: `info`, or `portcullis=debug,kube=warn`.
pub fn init(format: Format, filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match format {
        Format::Text => lines.with_target(false).finish().try_init(),
        Format::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    started.map_err(|_| LogError::Again)
}

#[cfg(test)]
mod tests {
    use crate::telemetry::log::{Format, LogError, init};

    #[test]
    fn a_filter_that_says_nothing_is_refused() {
        let error = init(Format::Text, "portcullis=loud").unwrap_err();
        assert!(matches!(&error, LogError::Filter { filter, .. } if filter == "portcullis=loud"));
        assert!(error.to_string().starts_with("log filter `portcullis=loud`: "), "{error}");
    }
}
