//! The tamper-evident log of every decision: entries, the Merkle tree over them, their file, and its verification.
//! Nothing here knows how a decision is made.
//!
//! # Flow
//! [`Ledger::record`] puts an [`Entry`] in a bounded queue and returns at once; one thread writes records as JSON lines,
//! in batches, then a [`Checkpoint`] over them.
//!
//! # Guarantees
//! - A request never waits for the disk. When the queue is full the entry is lost, which is counted, and said in the
//!   ledger itself: the next record is a [`Body::Gap`] with the number of lost entries.
//! - Whoever kept a checkpoint finds any record before it that was rewritten, removed, added or moved ([`verify()`]).
//! - A record torn by a crash is cut off when the ledger is opened; a record that a checkpoint covers never is.
//!
//! # Assumptions
//! One process writes a ledger. The tree is RFC 6962's (C2SP tlog-tiles', too); the leaf is the line without its end.

pub mod checkpoint;
pub mod entry;
pub mod merkle;
pub mod store;
pub mod verify;

pub use crate::ledger::checkpoint::Checkpoint;
pub use crate::ledger::entry::{Body, Entry, Outcome, Record, Verdict};
pub use crate::ledger::store::{Ledger, OpenError, Opened, verify_folder};
pub use crate::ledger::verify::{Tampered, Verified, verify};
