//! The controller: where policies come from, what the cluster is told about them, and how the API server finds the way
//! to the webhook. It knows files, the API server and the clock; what answers requests is not known here: snapshots go
//! there, and certificates, through channels.
//!
//! # Flow
//! [`files`] or [`cluster`] (what was written) -> [`publish`] (compiled, away from the workers) -> a snapshot in the channel
//! -> [`registration`] (once the server answers) -> [`status`]. [`certificates`] go the same way; [`access`] asks the API
//! server what a single request needs to know. [`audit`] watches what exists. [`start`] wires all of it.
//!
//! # Guarantees
//! - The last good set stays in force: a broken file, an unreadable object or a dropped watch changes nothing.
//! - Nothing is published before everything was read once.
//! - Whatever can't be read or compiled is told: in the log, in metrics, in the status of the policy.

pub mod access;
pub mod audit;
pub mod break_glass;
pub mod certificates;
pub mod cluster;
mod crds;
pub mod files;
pub mod freshness;
pub mod images;
pub mod leader;
pub mod limits;
pub mod publish;
pub mod registration;
mod run;
pub mod status;
pub mod survey;
pub mod trust;
pub mod uninstall;

use std::sync::Arc;

use tokio::sync::watch;

use crate::policy::snapshot::Snapshot;

pub use crate::controller::access::ClusterSource;
pub use crate::controller::cluster::connect;
pub use crate::controller::crds::{CrdsError, install_crds};
pub use crate::controller::run::{Channels, Options, Running, start};

/// The way of snapshots to whoever answers requests. There is none until everything was read once.
pub type Snapshots = watch::Sender<Option<Arc<Snapshot>>>;

/// The instant, as logs, certificates and conditions have it.
#[expect(clippy::disallowed_methods, reason = "the controller is a rim, and this is its one clock")]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
