//! Registration: the webhook configurations by which the API server finds us. What they should say is made in
//! [`webhooks`]; here is when they are written.
//!
//! # Guarantees
//! - Nothing is registered before the server answers, and only by the replica that [leads](crate::controller::leader).
//! - Nothing is withdrawn on stopping or starting, nor because a first list was empty: see [`EMPTY_FIRST_LIST_GRACE`].
//! - When the last policy is deleted while we run, nothing is asked of us any more.
//! - What somebody else edited or deleted comes back within [`REGISTRATION_INTERVAL`].
//! - With an owner, both configurations go when it goes: the cluster's garbage collector removes them, whether or not
//!   anything of ours still runs. Once it is gone, nothing is registered.

mod narrow;
mod rules;
#[cfg(test)]
mod tests;
pub mod webhooks;

use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::controller::certificates::authority::Material;
use crate::controller::limits::{
    EMPTY_FIRST_LIST_GRACE, REGISTRATION_INTERVAL, RETRY_INTERVAL_MAX,
};
use crate::controller::registration::webhooks::{Webhooks, Width};
use crate::policy::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Written;

/// What the API server knows us by in `managedFields`.
pub const FIELD_MANAGER: &str = "portcullis";

/// How the API server reaches us, and what is outside.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of both configurations.
    pub name: String,
    /// Where we are.
    pub endpoint: Endpoint,
    /// How long the API server waits for an answer: 1 to 30.
    pub timeout_seconds: u8,
    /// Namespaces whose objects no policy sees: by default, `kube-system` and our own.
    pub excluded_namespaces: Vec<String>,
    /// The ClusterRole that both configurations go with; none if they are to stay until somebody removes them.
    pub owner: Option<String>,
}

/// Where the API server reaches us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `https://..`, without a path.
    Url(String),
    /// A Service.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
}

impl Options {
    /// The name, timeout and exclusions that fit most clusters.
    pub fn new(endpoint: Endpoint, own_namespace: &str) -> Options {
        let mut excluded_namespaces = vec!["kube-system".to_owned(), own_namespace.to_owned()];
        excluded_namespaces.dedup();
        Options {
            name: "portcullis".into(),
            endpoint,
            timeout_seconds: 10,
            excluded_namespaces,
            owner: None,
        }
    }
}

impl Endpoint {
    /// The names that a certificate has to have.
    pub fn names(&self) -> Vec<String> {
        match self {
            Endpoint::Url(url) => host(url).into_iter().collect(),
            Endpoint::Service { namespace, name, .. } => {
                crate::controller::certificates::service_names(name, namespace)
            }
        }
    }
}

/// The host of a URL, without port and brackets.
fn host(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    Some(uri.host()?.trim_matches(['[', ']']).to_owned())
}

/// What registration needs to hear of.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The policies.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// The authorities to be trusted.
    pub certificates: watch::Receiver<Option<Arc<Material>>>,
    /// Whether the server answers.
    pub ready: watch::Receiver<bool>,
    /// Whether this replica writes.
    pub leads: watch::Receiver<bool>,
}

/// Keeps the registration as the policies need it. Sends each snapshot whose requests the API server sends here. Ends
/// when nobody tells anything any more.
pub async fn keep(
    client: Client,
    options: Options,
    metrics: Arc<Metrics>,
    mut inputs: Inputs,
    registered: watch::Sender<Option<Arc<Snapshot>>>,
) {
    let width = Width::Narrow;
    let mut keeper = Keeper { client, options, metrics, width, written: None, empty_since: None };
    let mut due = Instant::now();
    loop {
        let snapshot = inputs.snapshots.borrow_and_update().clone();
        let certificates = inputs.certificates.borrow_and_update().clone();
        let is_ready = *inputs.ready.borrow_and_update();
        let leads = *inputs.leads.borrow_and_update();
        if !leads {
            // Whoever writes now knows better what is there.
            keeper.written = None;
            keeper.metrics.registers_no_more();
        }
        let can = is_ready && leads;
        if let (Some(snapshot), Some(certificates), true) = (snapshot, certificates, can) {
            let authorities = &certificates.authorities_pem;
            let webhooks = Webhooks::new(&snapshot, &keeper.options, authorities, keeper.width);
            due = Instant::now() + keeper.write(webhooks, due).await;
            if keeper.is_written() {
                registered.send_if_modified(|last| {
                    let is_new = !last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &snapshot));
                    *last = Some(snapshot);
                    is_new
                });
            }
        } else {
            due = Instant::now() + REGISTRATION_INTERVAL;
        }
        let told = tokio::select! {
            told = inputs.snapshots.changed() => told,
            told = inputs.certificates.changed() => told,
            told = inputs.ready.changed() => told,
            told = inputs.leads.changed() => told,
            () = sleep_until(due) => Ok(()),
        };
        if told.is_err() {
            return;
        }
    }
}

struct Keeper {
    client: Client,
    options: Options,
    metrics: Arc<Metrics>,
    width: Width,
    /// What was written last; none if that failed.
    written: Option<Webhooks>,
    /// Since when the first list has been empty, while something is registered. Once policies were seen, an empty list
    /// is somebody's will.
    empty_since: Option<Instant>,
}

impl Keeper {
    fn is_written(&self) -> bool {
        self.written.is_some()
    }

    /// Writes what should be there, if it is not or if it is time to look. Answers when to look again.
    async fn write(&mut self, webhooks: Webhooks, due: Instant) -> std::time::Duration {
        let is_same = self.written.as_ref() == Some(&webhooks);
        let now = Instant::now();
        if is_same && now < due {
            return due - now;
        }
        let written = match self.may_empty(&webhooks).await {
            Ok(true) => self.apply(&webhooks).await,
            Ok(false) => return RETRY_INTERVAL_MAX,
            Err(error) => Err(error),
        };
        match written {
            Ok(changed) => {
                if changed || !is_same {
                    self.metrics.written(Written::Registration, true);
                    tracing::info!(restored = is_same, "registered with the API server");
                }
                self.metrics.registered(webhooks.counts(), crate::controller::now().as_second());
                self.written = Some(webhooks);
                REGISTRATION_INTERVAL
            }
            Err(Error::Api(status)) if status.code == 422 && self.width == Width::Narrow => {
                tracing::warn!(%status, "the API server takes no selectors and conditions of policies: it is asked without");
                self.width = Width::Wide;
                self.written = None;
                std::time::Duration::ZERO
            }
            Err(error) => {
                self.metrics.written(Written::Registration, false);
                tracing::error!(%error, "can't register with the API server; what is registered stays");
                self.written = None;
                RETRY_INTERVAL_MAX
            }
        }
    }

    /// Whether what is registered may become nothing.
    async fn may_empty(&mut self, webhooks: &Webhooks) -> Result<bool, Error> {
        if !webhooks.is_empty() || self.written.is_some() {
            return Ok(true);
        }
        let since = *self.empty_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= EMPTY_FIRST_LIST_GRACE || !self.is_anything_registered().await? {
            return Ok(true);
        }
        if since.elapsed() < RETRY_INTERVAL_MAX {
            let seconds = EMPTY_FIRST_LIST_GRACE.as_secs();
            tracing::warn!(
                "there is no policy, but something is registered: it stays for {seconds} s"
            );
        }
        Ok(false)
    }

    async fn is_anything_registered(&self) -> Result<bool, Error> {
        let name = &self.options.name;
        let validating: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let mutating: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let validating = validating.get_opt(name).await?.and_then(|found| found.webhooks);
        let mutating = mutating.get_opt(name).await?.and_then(|found| found.webhooks);
        Ok(validating.is_some_and(|w| !w.is_empty()) || mutating.is_some_and(|w| !w.is_empty()))
    }

    /// Writes both. Answers whether anything in the cluster became another.
    async fn apply(&self, webhooks: &Webhooks) -> Result<bool, Error> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let name = &self.options.name;
        let webhooks = &match &self.options.owner {
            Some(owner) => {
                // Read each time: one that was made again has the old name and another uid.
                let roles: Api<ClusterRole> = Api::all(self.client.clone());
                let role = roles.get_metadata(owner).await?;
                webhooks.owned_by(owner, &role.uid().unwrap_or_default())
            }
            None => webhooks.clone(),
        };
        let mutating: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let before = mutating.get_metadata_opt(name).await?.and_then(|m| m.resource_version());
        let after = mutating.patch(name, &params, &Patch::Apply(&webhooks.mutating)).await?;
        let mut changed = before != after.resource_version();
        let validating: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let before = validating.get_metadata_opt(name).await?.and_then(|m| m.resource_version());
        let after = validating.patch(name, &params, &Patch::Apply(&webhooks.validating)).await?;
        changed |= before != after.resource_version();
        Ok(changed)
    }
}
