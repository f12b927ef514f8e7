//! Audit: what policies say about objects that exist already. Objects and a snapshot in, findings and reports out. Where
//! objects come from, and where reports go, is not known here; nor are the clock and the network.
//!
//! # Flow
//! [`Existing`] (an object, and what it would be asked as) -> [`Auditor`] (the same `admission::review` that the webhook
//! uses) -> [`Examined`] -> [`Finding`]s -> [`report`].
//!
//! # Guarantees
//! - A policy that can't be asked about what exists is told once, with the reason, and is in no count.
//! - An error is a finding of its own kind, never a pass.

pub mod drift;
mod examine;
mod existing;
mod finding;
pub mod plan;
pub mod report;
pub mod store;

pub use examine::{Answer, Auditor, Chosen, Examined, Failed, References};
pub use existing::{Existing, NotAnObject, Served};
pub use finding::{Finding, ObjectRef, PolicyRef, Rule, Verdict};

#[cfg(test)]
mod tests;
