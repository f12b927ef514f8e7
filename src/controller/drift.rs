//! Policy drift: whether the policies of the cluster are the ones that were reviewed, looked at again and again by the
//! replica that leads. What counts as a difference is said in `audit::drift`; nothing is put right here.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use kube::api::{Api, ApiResource, DynamicObject, ListParams, TypeMeta};
use kube::{Client, Error, ResourceExt};
use thiserror::Error as ThisError;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::audit::drift::{Drift, drift};
use crate::controller::files::{self, FilesError};
use crate::controller::limits::DRIFT_INTERVAL;
use crate::controller::publish::{BuildError, on_a_thread};
use crate::policy::api::{MutatingPolicy, PolicyBinding, ValidatingPolicy};
use crate::policy::definitions::Origin;
use crate::policy::{Definitions, manifest};
use crate::telemetry::Metrics;

/// Why it is not known whether there is a difference.
#[derive(Debug, ThisError)]
enum DriftError {
    #[error("{0}")]
    Files(#[from] FilesError),
    #[error("{0}")]
    Thread(#[from] BuildError),
    #[error("{0}")]
    Cluster(#[from] Error),
    #[error("{kind} `{name}`: {why}")]
    Unreadable { kind: String, name: String, why: String },
}

/// Compares, counts and tells what is new, until nobody says any more whether this replica leads.
pub async fn keep(
    client: Client,
    declared: Vec<PathBuf>,
    metrics: Arc<Metrics>,
    mut leads: watch::Receiver<bool>,
) {
    let mut told = BTreeSet::new();
    loop {
        if *leads.borrow_and_update() {
            match compare(&client, declared.clone()).await {
                Ok(found) => {
                    metrics.drift(found.iter().map(|drift| drift.change.as_str()));
                    told = tell(&found, &told);
                }
                Err(error) => {
                    tracing::warn!(%error, "can't compare the policies with those that were reviewed");
                }
            }
        } else {
            metrics.drift([]);
            told.clear();
        }
        tokio::select! {
            () = sleep(DRIFT_INTERVAL) => {}
            changed = leads.changed() => if changed.is_err() { return },
        }
    }
}

/// Tells what was not told before; gives what was.
fn tell(found: &[Drift], told: &BTreeSet<String>) -> BTreeSet<String> {
    let told_now = found.iter().map(|drift| {
        let change = drift.change.as_str();
        let text = format!("{change} {drift}");
        if !told.contains(&text) {
            let (kind, name, source) = (drift.kind, &drift.name, &drift.source);
            tracing::warn!(
                kind,
                name,
                source,
                change,
                "the policy is not the one that was reviewed"
            );
        }
        text
    });
    told_now.collect()
}

async fn compare(client: &Client, paths: Vec<PathBuf>) -> Result<Vec<Drift>, DriftError> {
    let declared = on_a_thread(move || files::read(&paths)).await??;
    let mut declared = declared.definitions;
    declared.validating.retain(|policy| policy.origin == Origin::Portcullis);
    declared.mutating.retain(|policy| policy.origin == Origin::Portcullis);
    declared.bindings.retain(|binding| binding.origin == Origin::Portcullis);
    let mut present = Definitions::default();
    for resource in [
        ApiResource::erase::<ValidatingPolicy>(&()),
        ApiResource::erase::<MutatingPolicy>(&()),
        ApiResource::erase::<PolicyBinding>(&()),
    ] {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        // From the API server's memory: who looks each minute need not see the last second.
        for mut object in api.list(&ListParams::default().match_any()).await?.items {
            object.types.get_or_insert_with(|| TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
            let name = object.name_any();
            let value = serde_json::to_value(&object).map_err(Error::SerdeError)?;
            let read = manifest::from_value(value);
            present.add(read.map_err(|why| DriftError::Unreadable {
                kind: resource.kind.clone(),
                name,
                why,
            })?);
        }
    }
    Ok(drift(&declared, &present))
}
