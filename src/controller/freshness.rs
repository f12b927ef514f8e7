//! Freshness: whether what decides requests is what the cluster says. A watch that is cut off without a word looks like
//! one that has nothing to tell, so the API server is asked something small now and then.
//!
//! # Guarantees
//! - Requests are decided by the last that was seen, however old: stale policies are better than none, and
//!   `failurePolicy` is not for the failures of our own watch.
//! - A replica that has been cut off for [`STALE_AFTER`] says so and is not ready, so that others are asked.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::controller::limits::{FRESHNESS_INTERVAL, FRESHNESS_TIMEOUT, STALE_AFTER};
use crate::policy::api::ValidatingPolicy;
use crate::telemetry::Metrics;

/// Says whether the cluster was reached lately. Ends when nobody listens.
pub async fn keep(
    client: Client,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
    fresh: watch::Sender<bool>,
) {
    let mut reached = Instant::now();
    while !fresh.is_closed() {
        let problem = match timeout(FRESHNESS_TIMEOUT, ask(&client)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        if problem.is_none() {
            reached = Instant::now();
            metrics.cluster_reached(clock().as_second());
        }
        let is_fresh = reached.elapsed() < STALE_AFTER;
        let changed =
            fresh.send_if_modified(|fresh| std::mem::replace(fresh, is_fresh) != is_fresh);
        match problem {
            Some(problem) if changed => {
                let seconds = reached.elapsed().as_secs();
                tracing::error!(
                    seconds,
                    problem,
                    "cut off from the API server: policies may be stale"
                );
            }
            Some(problem) => tracing::warn!(problem, "the API server can't be reached"),
            None if changed => tracing::info!("the API server can be reached again"),
            None => {}
        }
        tokio::select! {
            () = sleep(FRESHNESS_INTERVAL) => {}
            () = fresh.closed() => {}
        }
    }
}

/// A list of one, from the memory of the API server.
async fn ask(client: &Client) -> Result<(), Error> {
    let api: Api<ValidatingPolicy> = Api::all(client.clone());
    let params = ListParams::default().limit(1).match_any();
    let _: kube::core::ObjectList<PartialObjectMeta<ValidatingPolicy>> =
        api.list_metadata(&params).await?;
    Ok(())
}
