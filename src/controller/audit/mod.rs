//! The continuous audit: the leader watches every kind of object that policies are about, asks them about each object as it
//! changes, and reports what it finds. Ours and the API server's own policies are asked alike; by which rules an object is
//! judged is not known here.
//!
//! # Flow
//! snapshots and discovery -> [`plan`](crate::audit::plan) -> [`source`] (a watch for each kind, and lists where a policy
//! changed) -> [`run`] (each object is asked about, by `audit::Auditor`) -> `audit::store` -> [`reports`] and metrics.
//!
//! # Guarantees
//! - No object is kept: what is kept of each is its name, a version, and what failed.
//! - A policy that changed is asked again about what it matches, and no other; the same if its binding or a param did.
//! - What a newer state of an object was found to be is never replaced by what an older one was.
//! - Admission comes first: the audit has a thread of its own, and rests as long as it works (see [`WORK_SLICE`]).
//! - Nothing is reported before everything was looked at once, so that a new leader takes nothing back.
//! - Who loses the Lease for a moment reports nothing meanwhile, and begins nothing anew (see [`AUDIT_GRACE`]).
//!
//! # Errors
//! A kind that can't be read is told in the log once, and by a metric as long as it lasts ([`unreadable`]); the others go on.
//!
//! [`WORK_SLICE`]: crate::controller::limits::WORK_SLICE

mod again;
mod events;
mod fetch;
mod judge;
mod left_out;
mod reports;
mod run;
mod source;
mod unreadable;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::admission::NoCluster;
use crate::audit::report::Flavor;
use crate::cel::Version;
use crate::controller::audit::run::Run;
use crate::controller::cluster::state::Watched;
use crate::controller::cluster::{self, Discovered, Task};
use crate::controller::images::WithImages;
use crate::controller::limits::AUDIT_GRACE;
use crate::controller::publish::{Publisher, Purpose};
use crate::policy::snapshot::Snapshot;
use crate::telemetry::Metrics;

pub use crate::controller::audit::judge::is_outside;

/// How to audit.
#[derive(Clone, Debug)]
pub struct Options {
    /// In which shape reports are written; none if they are not to be.
    pub reports: Option<Flavor>,
    /// Whether reports list what passes too.
    pub lists_passes: bool,
    /// Whether objects that newly fail a policy get an Event.
    pub events: bool,
    /// Who asks registries about images; none if image policies are not asked about what exists.
    pub images: Option<Arc<WithImages<NoCluster>>>,
    /// Namespaces that our own policies are not about.
    pub excluded_namespaces: Vec<String>,
}

/// What the audit needs to hear of.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Our own policies, and everything they need.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Whether this replica is the one that audits.
    pub leads: watch::Receiver<bool>,
    /// What is served.
    pub(in crate::controller) discovered: Discovered,
}

/// What it takes to audit.
#[derive(Clone)]
struct Tools {
    client: Client,
    options: Options,
    version: Version,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
}

/// Audits on a thread of its own, whenever this replica leads, until nobody publishes policies any more.
pub fn start(
    client: Client,
    options: Options,
    version: Version,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
    inputs: Inputs,
) {
    let tools = Tools { client, options, version, metrics, clock };
    let work = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(async {
            let snapshots = inputs.snapshots.clone();
            // Whatever it waits for then: a replica that stops gives its Lease back when nobody asks who leads.
            tokio::select! {
                () = keep(tools, inputs) => {}
                () = closed(snapshots) => {}
            }
        }),
        Err(error) => tracing::error!(%error, "what exists is not audited"),
    };
    let thread = std::thread::Builder::new().name("audit".into());
    let thread = thread.stack_size(crate::controller::limits::BUILD_STACK_BYTES);
    if let Err(error) = thread.spawn(work) {
        tracing::error!(%error, "there is no thread to audit on");
    }
}

async fn closed(mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>) {
    while snapshots.changed().await.is_ok() {}
}

async fn keep(tools: Tools, mut inputs: Inputs) {
    while inputs.leads.wait_for(|leads| *leads).await.is_ok() {
        tracing::info!("this replica audits what exists");
        tokio::select! {
            () = audit(&tools, &inputs) => return,
            () = lost(inputs.leads.clone(), AUDIT_GRACE) => {}
        }
        tools.metrics.audit_ended();
    }
}

/// Waits until this replica has not led for so long that another does. Until then its audit goes on and tells nobody: an
/// API server that was away must not be asked for everything when it comes back.
async fn lost(mut leads: watch::Receiver<bool>, grace: Duration) {
    while leads.wait_for(|leads| !leads).await.is_ok() {
        if !matches!(timeout(grace, leads.wait_for(|leads| *leads)).await, Ok(Ok(_))) {
            return;
        }
    }
}

/// What a metric names: each with a 1, up to a limit, and how many more there are.
fn shown<L>(
    mut all: impl ExactSizeIterator<Item = L>,
    names_max: usize,
    rest: impl FnOnce() -> L,
) -> Vec<(L, usize)> {
    let mut shown: Vec<_> = all.by_ref().take(names_max).map(|labels| (labels, 1)).collect();
    let more = all.len();
    shown.extend((more > 0).then(|| (rest(), more)));
    shown
}

/// Audits until nobody publishes policies any more.
async fn audit(tools: &Tools, inputs: &Inputs) {
    let Inputs { snapshots, leads, discovered } = inputs.clone();
    let (native_sender, natives) = watch::channel(None);
    let (observed, _) = watch::channel(None);
    let Tools { client, version, metrics, clock, .. } = tools;
    let publisher = Publisher::new(*version, Arc::clone(metrics), native_sender, Purpose::Audit);
    let following = cluster::follow(
        client.clone(),
        &Watched::NATIVE,
        publisher,
        observed,
        discovered.clone(),
        *clock,
    );
    let _following = Task::spawn(following);
    Run::new(tools.clone(), [snapshots, natives], leads, discovered).run().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard, after which an audit that may be silent for so long is over or not.
    fn check(heard: &[bool], grace: Duration, expect: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (sender, leads) = watch::channel(true);
            let lost = tokio::spawn(lost(leads, grace));
            for leads in heard {
                tokio::task::yield_now().await;
                sender.send_replace(*leads);
            }
            let is_over = timeout(Duration::from_millis(50), lost).await.is_ok();
            assert_eq!(is_over, expect, "{heard:?}, {grace:?}");
        });
    }

    #[test]
    fn an_audit_outlives_a_moment_without_the_lease() {
        let (long, none) = (Duration::from_mins(1), Duration::ZERO);
        check(&[], none, false);
        check(&[false], long, false);
        check(&[false, true], long, false);
        check(&[false, true, false], long, false);
        check(&[false], none, true);
        check(&[false, true, false], none, true);
    }
}
