//! Status: what the cluster is told about its policies and bindings. What it says is made in [`conditions`]; here it is
//! written, and only when it says something new.
//!
//! # Guarantees
//! - Nothing but `status` is ever written to a policy: its spec is the user's.
//! - At most [`STATUS_WRITES_MAX`] writes are under way. One that fails is tried again.

pub mod conditions;
pub(in crate::controller) mod text;
mod types;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Client, Error};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::cel::Version;
use crate::controller::cluster::state::{Observed, ObservedObject, Watched};
use crate::controller::limits::{RETRY_INTERVAL_MAX, STATUS_INTERVAL, STATUS_WRITES_MAX};
use crate::controller::registration::FIELD_MANAGER;
use crate::controller::status::conditions::{Known, says_the_same};
use crate::controller::status::types::TypeWarnings;
use crate::policy::api::{
    ImagePolicy, MutatingPolicy, PolicyBinding, PolicyStatus, ValidatingPolicy,
};
use crate::policy::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Written;

/// What identifies an object for as long as it lives.
type Key = (Watched, String, String);

/// What status needs to hear of.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The policies and bindings, and what became of them.
    pub observed: watch::Receiver<Option<Arc<Observed>>>,
    /// The snapshot whose requests the API server sends.
    pub registered: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Whether this replica writes.
    pub leads: watch::Receiver<bool>,
}

/// Keeps the status of all policies and bindings. Ends when nothing is observed any more.
pub async fn keep(
    client: Client,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
    version: Version,
    inputs: Inputs,
) {
    let Inputs { mut observed, mut registered, mut leads } = inputs;
    // What we wrote: it may not have been observed yet.
    let mut written: HashMap<Key, PolicyStatus> = HashMap::new();
    let mut types = TypeWarnings::default();
    loop {
        sleep(STATUS_INTERVAL).await;
        let seen = observed.borrow_and_update().clone();
        let asked = registered.borrow_and_update().clone();
        let mut failed = 0;
        let is_leader = *leads.borrow_and_update();
        if !is_leader {
            written.clear();
        }
        if let Some(seen) = seen.filter(|_| is_leader) {
            types.refresh(&seen, version).await;
            let known = Known::new(&seen, asked.as_deref(), &types);
            let writes = pending(&seen, &known, &mut written, clock());
            let client = &client;
            let writing = futures::stream::iter(writes).map(async |(object, status)| {
                let result = write(client, &object, &status).await;
                (object, status, result)
            });
            let mut writing = std::pin::pin!(writing.buffer_unordered(STATUS_WRITES_MAX));
            while let Some((object, status, result)) = writing.next().await {
                metrics.written(Written::Status, result.is_ok());
                match result {
                    Ok(()) => drop(written.insert(key(&object), status)),
                    Err(error) => {
                        failed += 1;
                        tracing::warn!(name = object.name, %error, "can't write the status");
                    }
                }
            }
        }
        let again = async {
            if failed > 0 {
                sleep(RETRY_INTERVAL_MAX).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let told = tokio::select! {
            told = observed.changed() => told,
            told = registered.changed() => told,
            told = leads.changed() => told,
            () = again => Ok(()),
        };
        if told.is_err() {
            return;
        }
    }
}

/// The statuses that are not yet as they should be. What is gone is forgotten.
fn pending(
    seen: &Observed,
    known: &Known<'_>,
    written: &mut HashMap<Key, PolicyStatus>,
    now: Timestamp,
) -> Vec<(ObservedObject, PolicyStatus)> {
    let here: HashSet<Key> = seen.objects.iter().map(key).collect();
    written.retain(|key, _| here.contains(key));
    let mut writes = Vec::new();
    for object in &seen.objects {
        let last = written.get(&key(object)).or(object.status.as_ref()).cloned();
        let object = ObservedObject { status: last, ..object.clone() };
        let Some(status) = known.status(&object, now) else { continue };
        if !object.status.as_ref().is_some_and(|last| says_the_same(last, &status)) {
            writes.push((object, status));
        }
    }
    writes
}

fn key(object: &ObservedObject) -> Key {
    (object.watched.clone(), object.name.clone(), object.uid.clone())
}

async fn write(
    client: &Client,
    object: &ObservedObject,
    status: &PolicyStatus,
) -> Result<(), Error> {
    let resource = match object.watched {
        Watched::Validating => ApiResource::erase::<ValidatingPolicy>(&()),
        Watched::Mutating => ApiResource::erase::<MutatingPolicy>(&()),
        Watched::Images => ApiResource::erase::<ImagePolicy>(&()),
        _ => ApiResource::erase::<PolicyBinding>(&()),
    };
    let patch = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        // The identity is part of it, so that no other object of this name is created or changed.
        "metadata": {"name": object.name, "uid": object.uid},
        "status": status,
    });
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(&object.name, &params, &Patch::Apply(&patch)).await {
        // It is gone, or another by now: the watch will tell.
        Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        written => written.map(drop),
    }
}
