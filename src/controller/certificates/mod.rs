//! The serving certificate and its authority, in a Secret that all replicas share. What is made when is decided in
//! [`authority`]; here is what is read and written.
//!
//! # Flow
//! Secret -> [`authority::next`] -> Secret (if anything changed) -> the channel to whoever serves and registers. It is
//! looked at when it changes, and now and then by the clock.
//!
//! # Guarantees
//! - Replicas agree: a Secret is created once and replaced only as it was read; who loses reads what the winner wrote.
//! - A Secret without `ca.key` is somebody else's (cert-manager's, say): it is read and never written.
//! - A Secret that was deleted is written again as it was: the API server goes on trusting what is served.
//! - Who starts without a Secret, while the API server trusts what another serves, waits for the other to write it again.
//! - While the Secret can't be read, the certificate that is served stays.

pub mod authority;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::{FutureExt, Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::controller::certificates::authority::{AuthorityError, Material, Next, expiry, next};
use crate::controller::cluster::Backoff;
use crate::controller::limits::{
    CERTIFICATE_ATTEMPTS_MAX, CERTIFICATE_INTERVAL, RESTORE_PATIENCE, RETRY_INTERVAL_MAX,
    WATCH_SECONDS_MAX,
};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Written;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";

/// Where the certificate is kept, and for whom it is good.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace of the Secret. It is made if it is missing.
    pub namespace: String,
    /// The name of the Secret.
    pub secret: String,
    /// DNS names and addresses of the webhook.
    pub names: Vec<String>,
    /// The webhook configurations that say whom the API server trusts.
    pub webhooks: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The API server refused.
    #[error("secret `{name}`: {source}")]
    Cluster {
        /// The Secret.
        name: String,
        /// Why.
        source: Box<Error>,
    },
    /// It can't be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Others wrote the Secret each time that we wanted to.
    #[error("secret `{0}` changes all the time")]
    Contended(String),
}

/// The names by which the API server reaches a Service.
pub fn service_names(service: &str, namespace: &str) -> Vec<String> {
    // Only the second is asked for. The others are for people and other clients.
    ["", ".svc", ".svc.cluster.local"]
        .iter()
        .map(|end| format!("{service}.{namespace}{end}"))
        .collect()
}

/// Keeps the certificate good, and sends each that is. Returns when nobody listens any more.
pub async fn keep(
    client: Client,
    options: Options,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
    certificates: watch::Sender<Option<Arc<Material>>>,
) {
    let begun = Instant::now();
    let mut changes = pin!(changes(&client, &options));
    while !certificates.is_closed() {
        let kept = certificates.borrow().clone();
        let may_wait = kept.is_none() && begun.elapsed() < RESTORE_PATIENCE;
        if may_wait && is_to_be_restored(&client, &options).await {
            tracing::warn!(
                "the Secret is not there, and the API server trusts what was in it: waiting for it"
            );
            tokio::select! {
                () = sleep(RETRY_INTERVAL_MAX) => {}
                () = changes.next().map(drop) => {}
                () = certificates.closed() => {}
            }
            continue;
        }
        let wait = match ensure(&client, &options, &metrics, clock, kept.as_deref()).await {
            Ok(material) => {
                if let Some(at) = expiry(&material) {
                    metrics.certificate_expires(at.as_second());
                }
                certificates.send_if_modified(|current| {
                    let is_new = current.as_deref() != Some(&material);
                    if is_new {
                        *current = Some(Arc::new(material));
                    }
                    is_new
                });
                CERTIFICATE_INTERVAL
            }
            Err(error) => {
                metrics.written(Written::Certificate, false);
                tracing::error!(%error, "the certificate that is served stays, if there is one");
                RETRY_INTERVAL_MAX
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = changes.next().map(drop) => {}
            () = certificates.closed() => {}
        }
    }
}

/// An item whenever the Secret may have become another, without an end. What can't be watched is looked at by the clock.
fn changes(client: &Client, options: &Options) -> impl Stream<Item = ()> + use<> {
    let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), &options.namespace);
    let one = format!("metadata.name={}", options.secret);
    let config = watcher::Config::default().fields(&one).timeout(WATCH_SECONDS_MAX);
    // Whoever starts without a certificate waits no longer than [`RESTORE_PATIENCE`] for this one to be written again.
    let events = watcher::watcher(api, config).backoff(Backoff::default());
    let changes = events.filter_map(|event| async {
        match event {
            Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone) => Some(()),
            Ok(Event::Init | Event::InitApply(_)) => None,
            Err(error) => {
                tracing::debug!(%error, "can't watch the Secret of the certificate");
                None
            }
        }
    });
    changes.chain(stream::pending())
}

/// Whether there is no certificate, although the API server trusts one.
async fn is_to_be_restored(client: &Client, options: &Options) -> bool {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &options.namespace);
    let Ok(secret) = secrets.get_opt(&options.secret).await else { return false };
    if secret.is_some_and(|secret| !is_blank(&material(&secret))) {
        return false;
    }
    let trusts = |config: &WebhookClientConfig| config.ca_bundle.is_some();
    let name = &options.webhooks;
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let validating = validating.get_opt(name).await.ok().flatten().and_then(|w| w.webhooks);
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let mutating = mutating.get_opt(name).await.ok().flatten().and_then(|w| w.webhooks);
    validating.into_iter().flatten().any(|w| trusts(&w.client_config))
        || mutating.into_iter().flatten().any(|w| trusts(&w.client_config))
}

/// The certificate in the Secret, made or renewed if it has to be.
///
/// # Errors
/// If the cluster refuses, or it can't be made.
pub async fn ensure(
    client: &Client,
    options: &Options,
    metrics: &Metrics,
    clock: fn() -> Timestamp,
    kept: Option<&Material>,
) -> Result<Material, CertificateError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &options.namespace);
    let name = format!("{}/{}", options.namespace, options.secret);
    let failed =
        |source| CertificateError::Cluster { name: name.clone(), source: Box::new(source) };
    for _ in 0..CERTIFICATE_ATTEMPTS_MAX {
        let secret = api.get_opt(&options.secret).await.map_err(failed)?;
        let material = secret.as_ref().map(material);
        let material = material.filter(|material| !is_blank(material));
        let lost = kept.filter(|kept| material.is_none() && kept.authority_key_pem.is_some());
        let (material, why) = match (lost, next(material.as_ref(), &options.names, clock())?) {
            (Some(kept), _) => (kept.clone(), "it was lost"),
            (None, Next::Replace(material, why)) => (material, why),
            // There is some, or there would be nothing to keep.
            (None, Next::Keep) => return Ok(material.unwrap_or_else(blank)),
        };
        let written = write(client, &api, options, secret, &material).await;
        match written {
            Ok(()) => {
                metrics.written(Written::Certificate, true);
                tracing::info!(secret = name, "wrote a certificate: {why}");
                return Ok(material);
            }
            // Another replica was faster: what it wrote is read next.
            Err(Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(CertificateError::Contended(name))
}

async fn write(
    client: &Client,
    api: &Api<Secret>,
    options: &Options,
    secret: Option<Secret>,
    material: &Material,
) -> Result<(), Error> {
    let params = PostParams { field_manager: Some("portcullis".into()), ..PostParams::default() };
    if let Some(mut secret) = secret {
        // Its resourceVersion goes with it, so that nothing is overwritten unseen.
        secret.data = Some(data(material));
        return api.replace(&options.secret, &params, &secret).await.map(drop);
    }
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(options.secret.clone()),
            labels: Some(labels()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".into()),
        data: Some(data(material)),
        ..Secret::default()
    };
    match api.create(&params, &secret).await {
        Err(Error::Api(status)) if status.code == 404 => {
            let namespace = Namespace {
                metadata: ObjectMeta {
                    name: Some(options.namespace.clone()),
                    labels: Some(labels()),
                    ..ObjectMeta::default()
                },
                ..Namespace::default()
            };
            let namespaces: Api<Namespace> = Api::all(client.clone());
            match namespaces.create(&params, &namespace).await {
                Err(Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(error),
                Ok(_) => tracing::info!(namespace = options.namespace, "made the namespace"),
            }
            api.create(&params, &secret).await.map(drop)
        }
        created => created.map(drop),
    }
}

/// The labels of everything that the controller makes.
/// The selector of everything that we made in a cluster.
pub(in crate::controller) const MANAGED: &str = "app.kubernetes.io/managed-by=portcullis";

pub(in crate::controller) fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("app.kubernetes.io/managed-by".into(), "portcullis".into())])
}

fn material(secret: &Secret) -> Material {
    let text = |key: &str| {
        let bytes = &secret.data.as_ref()?.get(key)?.0;
        Some(String::from_utf8_lossy(bytes).into_owned()).filter(|text| !text.is_empty())
    };
    Material {
        authorities_pem: text(AUTHORITIES).unwrap_or_default(),
        authority_key_pem: text(AUTHORITY_KEY),
        chain_pem: text(CERTIFICATE).unwrap_or_default(),
        key_pem: text(KEY).unwrap_or_default(),
    }
}

fn blank() -> Material {
    material(&Secret::default())
}

/// A Secret that a chart made without anything in it is ours to fill.
fn is_blank(material: &Material) -> bool {
    material.chain_pem.is_empty() && material.key_pem.is_empty()
}

fn data(material: &Material) -> BTreeMap<String, ByteString> {
    let mut data = BTreeMap::new();
    let mut add = |key: &str, text: &str| {
        data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
    };
    add(AUTHORITIES, &material.authorities_pem);
    add(CERTIFICATE, &material.chain_pem);
    add(KEY, &material.key_pem);
    if let Some(key) = &material.authority_key_pem {
        add(AUTHORITY_KEY, key);
    }
    data
}
