//! All of the controller's tasks for a cluster, wired to each other. What each of them does is said where it is.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;

use crate::cel::Version;
use crate::controller::certificates::authority::Material;
use crate::controller::cluster::state::Watched;
use crate::controller::cluster::{Discovered, Task};
use crate::controller::publish::{Publisher, Purpose};
use crate::controller::registration::{Endpoint, Inputs};
use crate::controller::trust::Trust;
use crate::controller::{
    Snapshots, audit, break_glass, certificates, cluster, freshness, leader, registration, status,
};
use crate::telemetry::Metrics;

/// What the controller is told when it begins.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose dialect policies are written in.
    pub version: Version,
    /// Where the certificate is kept, and for whom it is good.
    pub certificates: certificates::Options,
    /// How the API server finds us; none if it is not to.
    pub registration: Option<registration::Options>,
    /// How replicas agree on which of them writes.
    pub leader: leader::Options,
    /// How what exists is audited; none if it is not.
    pub audit: Option<audit::Options>,
    /// What is known of trust roots that are kept up to date.
    pub trust: Trust,
}

impl Options {
    /// What fits most clusters: everything of ours in `namespace`.
    pub fn new(version: Version, endpoint: Endpoint, namespace: &str) -> Options {
        Options {
            version,
            certificates: certificates::Options {
                namespace: namespace.to_owned(),
                secret: "portcullis-tls".to_owned(),
                names: endpoint.names(),
                webhooks: "portcullis".to_owned(),
            },
            registration: Some(registration::Options::new(endpoint, namespace)),
            leader: leader::Options {
                namespace: namespace.to_owned(),
                lease: "portcullis".to_owned(),
                identity: None,
            },
            audit: None,
            trust: Trust::new(None),
        }
    }
}

/// The ways to and from whoever answers requests.
#[derive(Debug)]
pub struct Channels {
    /// Takes each snapshot.
    pub snapshots: Snapshots,
    /// Takes each certificate.
    pub certificates: watch::Sender<Option<Arc<Material>>>,
    /// Says whether requests are answered.
    pub ready: watch::Receiver<bool>,
    /// Takes whether the cluster was reached lately.
    pub fresh: watch::Sender<bool>,
}

/// The tasks; they end when this is dropped. What is registered stays.
#[must_use = "the tasks end when this is dropped"]
#[derive(Debug)]
pub struct Running {
    tasks: Vec<Task>,
    leader: Task,
}

impl Running {
    /// Ends the tasks and lets another replica write at once.
    pub async fn stop(self) {
        let Running { tasks, leader } = self;
        // Whoever writes listens; when nobody does, the Lease is given back.
        drop(tasks);
        leader.ended().await;
    }
}

/// Begins to watch, compile, certify, register and tell.
pub fn start(
    client: Client,
    options: Options,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
    channels: Channels,
) -> Running {
    let Channels { snapshots, certificates, ready, fresh } = channels;
    let (observed_sender, observed) = watch::channel(None);
    let (registered_sender, registered) = watch::channel(None);
    let (leads_sender, leads) = watch::channel(false);
    let published = snapshots.subscribe();
    let certified = certificates.subscribe();
    let trust = options.trust;
    let publisher = Publisher::new(options.version, metrics.clone(), snapshots, Purpose::Enforce)
        .with_trust(trust.clone())
        .auditing_images(options.audit.as_ref().is_some_and(|audit| audit.images.is_some()));
    // Nobody leads for whoever does not audit.
    let (_, never) = watch::channel(false);
    let audits = if options.audit.is_some() { leads.clone() } else { never };
    let (discovered, discovery) = Discovered::start(client.clone(), audits);
    let mut tasks = vec![
        discovery,
        Task::spawn(cluster::follow(
            client.clone(),
            &Watched::BASE,
            publisher,
            observed_sender,
            discovered.clone(),
            clock,
        )),
        Task::spawn(certificates::keep(
            client.clone(),
            options.certificates,
            metrics.clone(),
            clock,
            certificates,
        )),
    ];
    let freshness = freshness::keep(client.clone(), metrics.clone(), clock, fresh);
    tasks.push(Task::spawn(freshness));
    if let Some(audited) = options.audit {
        let (snapshots, leads) = (published.clone(), leads.clone());
        let inputs = audit::Inputs { snapshots, leads, discovered };
        audit::start(client.clone(), audited, options.version, metrics.clone(), clock, inputs);
    }
    // Who registers elsewhere knows when policies are in force as soon as they are compiled.
    let registered = if options.registration.is_some() { registered } else { published.clone() };
    if let Some(options) = options.registration {
        let inputs =
            Inputs { snapshots: published, certificates: certified, ready, leads: leads.clone() };
        let client = client.clone();
        let keep = registration::keep(client, options, metrics.clone(), inputs, registered_sender);
        tasks.push(Task::spawn(keep));
    }
    let leading =
        leader::keep(client.clone(), options.leader, metrics.clone(), clock, leads_sender);
    let leader = Task::spawn(leading);
    tasks.push(Task::spawn(trust.tell(client.clone(), leads.clone())));
    let told = break_glass::Inputs { observed: observed.clone(), leads: leads.clone() };
    let telling = break_glass::tell(client.clone(), metrics.clone(), clock, told);
    tasks.push(Task::spawn(telling));
    let told = status::Inputs { observed, registered, leads };
    tasks.push(Task::spawn(status::keep(client, metrics, clock, options.version, told)));
    Running { tasks, leader }
}
