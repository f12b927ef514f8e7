//! What operators see of the process: metric families and log set-up. Nothing here knows what is measured: rooms above
//! report plain words and numbers.

pub mod log;
pub mod metrics;
pub mod traces;

pub use crate::telemetry::metrics::Metrics;
