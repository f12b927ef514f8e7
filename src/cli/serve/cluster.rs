//! Serving the policies of a cluster: watches, the certificate in a Secret, status and registration, each a task of its
//! own, wired by channels.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::admission::{NoCluster, Source};
use crate::cel::Version;
use crate::cli::serve::audit::AuditArgs;
use crate::cli::serve::{Place, ServeArgs, bind, clients, ledger, traces};
use crate::cli::{Exit, Failure};
use crate::controller::certificates::authority::Material;
use crate::controller::images::WithImages;
use crate::controller::images::pull_secrets::PullSecrets;
use crate::controller::registration::Endpoint;
use crate::controller::{Channels, ClusterSource, Options, connect, install_crds, now, start};
use crate::server::review::Reviewer;
use crate::server::{Certificate, Handler};
use crate::telemetry::Metrics;

/// How long to go on answering after being told to stop: until Services have heard of it.
const LINGER: Duration = Duration::from_secs(5);

/// How often to look whether everything is ready. It is a matter of milliseconds, once.
const READY_INTERVAL: Duration = Duration::from_millis(5);

/// How the cluster is reached, and how it reaches the webhook.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// The kubeconfig of the cluster; in a Pod, the cluster it runs in
    #[arg(long, value_name = "FILE", conflicts_with = "policies")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, conflicts_with = "policies")]
    context: Option<String>,
    /// Our own namespace, with the Secret of the certificate; no policy sees what is in it
    #[arg(long, default_value = "portcullis-system", env = "POD_NAMESPACE")]
    namespace: String,
    /// The Secret that keeps the certificate and its authority
    #[arg(long, default_value = "portcullis-tls")]
    certificate_secret: String,
    /// The Lease that the replica holds that writes registration and status
    #[arg(long, default_value = "portcullis")]
    lease: String,
    /// What this replica is called in the Lease; by default something random
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: Option<String>,
    /// The Service by which the API server reaches us
    #[arg(long, default_value = "portcullis")]
    service: String,
    /// The port of the Service
    #[arg(long, default_value_t = 443)]
    service_port: u16,
    /// The URL by which the API server reaches us, instead of a Service: `https://host:port`
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// How long the API server waits for an answer
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=30))]
    webhook_timeout_seconds: u8,
    /// A namespace that no policy sees, beside our own; may be repeated
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    exclude_namespace: Vec<String>,
    /// A ClusterRole that the webhook configurations go with: who deletes it, as `helm uninstall` does, removes them
    #[arg(long, value_name = "NAME")]
    owner_cluster_role: Option<String>,
    /// Applies the CustomResourceDefinitions first
    #[arg(long)]
    install_crds: bool,
    #[command(flatten)]
    audit: AuditArgs,
    #[command(flatten)]
    images: RunningArgs,
}

/// What Pods of the cluster have to do with the verification of images.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries of images")]
struct RunningArgs {
    /// Shows registries the pull secrets of the Pods whose images are verified, and of their ServiceAccounts. Needs the right
    /// to read them
    #[arg(long, conflicts_with = "policies")]
    pull_secrets: bool,
    /// Verifies the images of Pods that run, where they are named by digests, at the start and when image policies change
    #[arg(long, conflicts_with = "policies")]
    warm_images: bool,
}

impl ClusterArgs {
    fn endpoint(&self) -> Endpoint {
        match &self.webhook_url {
            Some(url) => Endpoint::Url(url.clone()),
            None => Endpoint::Service {
                namespace: self.namespace.clone(),
                name: self.service.clone(),
                port: self.service_port,
            },
        }
    }

    fn controller(
        &self,
        version: Version,
        images: impl FnOnce() -> WithImages<NoCluster>,
    ) -> Options {
        let mut options = Options::new(version, self.endpoint(), &self.namespace);
        options.certificates.secret.clone_from(&self.certificate_secret);
        options.leader.lease.clone_from(&self.lease);
        options.leader.identity.clone_from(&self.identity);
        let mut excluded = self.exclude_namespace.clone();
        excluded.push(self.namespace.clone());
        excluded.sort();
        excluded.dedup();
        options.audit = self.audit.options(&excluded, images);
        if let Some(registration) = &mut options.registration {
            registration.timeout_seconds = self.webhook_timeout_seconds;
            registration.excluded_namespaces = excluded;
            registration.owner.clone_from(&self.owner_cluster_role);
        }
        options
    }
}

/// Serves until told to stop.
pub async fn run(args: &ServeArgs) -> Result<Exit, Failure> {
    let options = &args.cluster;
    let client =
        connect(options.kubeconfig.clone(), options.context.clone()).await.map_err(Failure::new)?;
    if options.install_crds {
        install_crds(&client).await.map_err(Failure::new)?;
    }
    let listener = bind(args.listen()).await?;
    let metrics = Arc::new(Metrics::new());
    let source = ClusterSource::new(client.clone(), metrics.clone());
    let pull_secrets = options.images.pull_secrets.then(|| PullSecrets::new(client.clone()));
    let (registry, trust) = (Arc::new(args.registry.client()?), args.registry.trust()?);
    let traces = traces(args)?;
    let source = WithImages::new(source, registry.clone(), metrics.clone())
        .traced(traces.clone())
        .with_pull_secrets(pull_secrets);
    let warmer = options.images.warm_images.then(|| source.warmer());
    let mut controlled = options.controller(args.version, || source.for_audit());
    let reviewer = Reviewer::new(source, metrics.clone(), ledger(args)?).traced(traces);
    let reviewer = Arc::new(reviewer);
    let (snapshot_sender, snapshots) = watch::channel(None);
    let mut tasks = JoinSet::new();
    if let Some(warmer) = warmer {
        tasks.spawn(warmer.keep(client.clone(), snapshot_sender.subscribe()));
    }
    let (material_sender, material) = watch::channel(None);
    let (certificate_sender, certificates) = watch::channel(None);
    let (ready_sender, ready) = watch::channel(false);
    let (fresh_sender, fresh) = watch::channel(true);
    let channels = Channels {
        snapshots: snapshot_sender,
        certificates: material_sender,
        ready,
        fresh: fresh_sender,
    };
    controlled.trust = trust.clone();
    let running = start(client, controlled, metrics.clone(), now, channels);
    tasks.spawn(trust.keep(registry, metrics.clone(), now));
    let kept = reviewer.clone();
    tasks.spawn(async move { kept.follow(snapshots).await });
    tasks.spawn(tell_stale(reviewer.clone(), fresh));
    tasks.spawn(serve_material(material, certificate_sender));
    tasks.spawn(tell_ready(reviewer.clone(), certificates.clone(), ready_sender));
    let (clients, linger) = (clients(args)?, LINGER);
    let place = Place { listener, certificates, clients, reviewer, metrics, linger };
    let ended = place.serve().await;
    // The tasks end when they are dropped; what is registered stays.
    drop(tasks);
    running.stop().await;
    ended
}

/// Keeps others asked instead while the cluster is out of reach.
async fn tell_stale<S: Source>(reviewer: Arc<Reviewer<S>>, mut fresh: watch::Receiver<bool>) {
    loop {
        reviewer.set_stale(!*fresh.borrow_and_update());
        if fresh.changed().await.is_err() {
            return;
        }
    }
}

/// Makes certificates that can be served of the PEM that the Secret has.
async fn serve_material(
    mut material: watch::Receiver<Option<Arc<Material>>>,
    certificates: watch::Sender<Option<Certificate>>,
) {
    loop {
        let current = material.borrow_and_update().clone();
        if let Some(current) = current {
            match Certificate::from_pem(&current.chain_pem, &current.key_pem) {
                Ok(certificate) => {
                    certificates.send_replace(Some(certificate));
                }
                Err(error) => tracing::error!(%error, "the certificate that is served stays"),
            }
        }
        if material.changed().await.is_err() {
            return;
        }
    }
}

/// Says when requests can be answered: there are policies and a certificate.
async fn tell_ready<S: Source>(
    reviewer: Arc<Reviewer<S>>,
    certificates: watch::Receiver<Option<Certificate>>,
    ready: watch::Sender<bool>,
) {
    while reviewer.unready().is_some() || certificates.borrow().is_none() {
        sleep(READY_INTERVAL).await;
    }
    ready.send_replace(true);
    ready.closed().await;
}
