//! Uninstalling: what we made in a cluster goes, what would block requests first.
//!
//! # Guarantees
//! - Webhook configurations go before anything else, so that nothing fails closed in between.
//! - Nothing is waited for: no object of ours has a finalizer.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, Error, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::controller::certificates::{MANAGED, labels};
use crate::policy::api::GROUP;

/// Where what we made is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Our own namespace.
    pub namespace: String,
    /// The Lease.
    pub lease: String,
}

/// Who holds the Lease, if somebody does who renewed it in time: a server that runs would register again.
///
/// # Errors
/// If the API server refuses.
pub async fn holder(
    client: &Client,
    place: &Place,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let api: Api<Lease> = Api::namespaced(client.clone(), &place.namespace);
    let Some(spec) = api.get_opt(&place.lease).await?.and_then(|lease| lease.spec) else {
        return Ok(None);
    };
    let seconds = i64::from(spec.lease_duration_seconds.unwrap_or_default());
    let renewed = spec.renew_time.map_or(Timestamp::UNIX_EPOCH, |renewed| renewed.0);
    let is_live = now.duration_since(renewed).as_secs() <= seconds;
    Ok(spec.holder_identity.filter(|holder| is_live && !holder.is_empty()))
}

/// Removes the webhook configurations: from then on nothing of ours stands in anybody's way. Answers what went.
///
/// # Errors
/// If the API server refuses.
pub async fn remove_webhooks(client: &Client) -> Result<Vec<String>, Error> {
    let mut gone = remove_all::<ValidatingWebhookConfiguration>(client).await?;
    gone.extend(remove_all::<MutatingWebhookConfiguration>(client).await?);
    Ok(gone)
}

/// Removes the Lease and, if we made it, the Secret. Answers what went.
///
/// # Errors
/// If the API server refuses.
pub async fn remove_state(
    client: &Client,
    place: &Place,
    secret: &str,
) -> Result<Vec<String>, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &place.namespace);
    let is_ours =
        |secret: &Secret| labels().iter().all(|(key, by)| secret.labels().get(key) == Some(by));
    let mut gone = Vec::new();
    if secrets.get_opt(secret).await?.is_some_and(|secret| is_ours(&secret)) {
        gone.extend(remove(&secrets, secret).await?);
    }
    let leases: Api<Lease> = Api::namespaced(client.clone(), &place.namespace);
    gone.extend(remove(&leases, &place.lease).await?);
    Ok(gone)
}

/// Removes the CRDs, and with them every policy. Answers what went.
///
/// # Errors
/// If the API server refuses.
pub async fn remove_crds(client: &Client) -> Result<Vec<String>, Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut gone = Vec::new();
    for crd in api.list(&ListParams::default()).await?.items {
        if crd.spec.group == GROUP {
            gone.extend(remove(&api, &crd.name_any()).await?);
        }
    }
    Ok(gone)
}

async fn remove_all<K>(client: &Client) -> Result<Vec<String>, Error>
where
    K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let mut gone = Vec::new();
    for found in api.list(&ListParams::default().labels(MANAGED)).await?.items {
        gone.extend(remove(&api, &found.name_any()).await?);
    }
    Ok(gone)
}

/// `kind/name`, if it was there.
async fn remove<K>(api: &Api<K>, name: &str) -> Result<Option<String>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(Some(format!("{}/{name}", K::plural(&())))),
        Err(Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
