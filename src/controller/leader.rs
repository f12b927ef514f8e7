//! Which replica writes. All of them serve, watch and compile; registration and status are told to the cluster by the
//! one that holds a Lease, so that two versions of us never write against each other.
//!
//! # Guarantees
//! - Nothing that decides requests waits for the Lease: a cluster in which it can't be had keeps being guarded by what
//!   is registered.
//! - A replica that stops in order gives the Lease back; one that dies loses it after [`LEASE_SECONDS`].
//! - A container that is restarted in its Pod takes its own Lease up again at once: it goes by the name of the Pod.

use std::sync::Arc;

use kube::Client;
use kube_lease_manager::{LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::controller::limits::{
    LEASE_GRACE_SECONDS, LEASE_RELEASE_TIMEOUT, LEASE_SECONDS, RETRY_INTERVAL_MAX,
};
use crate::controller::registration::FIELD_MANAGER;
use crate::telemetry::Metrics;

/// The Lease, and who we are.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub lease: String,
    /// What this replica is called in it: no two that run may have the same. Without it, something random.
    pub identity: Option<String>,
}

/// Says whether this replica is the one that writes, until nobody listens; then it gives the Lease back.
pub async fn keep(
    client: Client,
    options: Options,
    metrics: Arc<Metrics>,
    leads: watch::Sender<bool>,
) {
    while !leads.is_closed() {
        if let Err(error) = hold(&client, &options, &metrics, &leads).await {
            tracing::error!(%error, lease = options.lease, "the Lease can't be had: another replica has to write");
        }
        tell(&leads, &metrics, false);
        let closed = leads.closed();
        // Whichever comes first.
        let _ = timeout(RETRY_INTERVAL_MAX, closed).await;
    }
}

/// Holds the Lease as long as it can be had and somebody listens.
async fn hold(
    client: &Client,
    options: &Options,
    metrics: &Metrics,
    leads: &watch::Sender<bool>,
) -> Result<(), LeaseManagerError> {
    let mut manager = LeaseManagerBuilder::new(client.clone(), &options.lease)
        .with_namespace(&options.namespace)
        .with_duration(LEASE_SECONDS)
        .with_grace(LEASE_GRACE_SECONDS);
    if let Some(identity) = &options.identity {
        let field_manager = format!("{FIELD_MANAGER}-{identity}");
        manager = manager.with_identity(identity).with_field_manager(field_manager);
    }
    let manager = manager.build().await?;
    let (mut state, mut task) = manager.watch().await;
    loop {
        let is_leader = *state.borrow_and_update();
        tell(leads, metrics, is_leader);
        tokio::select! {
            changed = state.changed() => if changed.is_err() { break },
            () = leads.closed() => break,
        }
    }
    // The task gives the Lease back when nobody listens to it.
    drop(state);
    match timeout(LEASE_RELEASE_TIMEOUT, &mut task).await {
        Ok(Ok(ended)) => ended.map(drop),
        _ => {
            task.abort();
            Ok(())
        }
    }
}

fn tell(leads: &watch::Sender<bool>, metrics: &Metrics, is_leader: bool) {
    metrics.leads(is_leader);
    if leads.send_if_modified(|leads| std::mem::replace(leads, is_leader) != is_leader) {
        let who = if is_leader { "this replica" } else { "another replica" };
        tracing::info!("{who} writes registration and status");
    }
}
