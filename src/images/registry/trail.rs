//! What was asked of registries for one image, and how long each answer took: for metrics and traces, which are made elsewhere.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// How many questions are noted for one image. One needs a dozen, unless it has many signatures.
const NOTED_MAX: usize = 128;

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whom: a host, maybe with a port.
    pub host: String,
    /// For what.
    pub what: String,
    /// When.
    pub begun: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The status of the answer, or a word for why there was none.
    pub result: String,
}

/// Everything that was asked for one image.
#[derive(Debug, Default)]
pub struct Trail(Mutex<Vec<Asked>>);

impl Trail {
    pub(in crate::images::registry) fn note(&self, asked: Asked) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < NOTED_MAX {
            all.push(asked);
        }
    }

    /// What was asked so far.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
