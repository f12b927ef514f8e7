//! Policies from a cluster: they are watched, with their bindings, params and the namespaces, compiled when something
//! changed, and published. What the cluster is told about them is `status` and `registration`.
//!
//! # Flow
//! [`watches`] (one task for each kind) -> a queue of changes -> [`state`] (what there is) -> debounce ->
//! [`Publisher::publish`] -> [`Observed`] for those who write status.
//!
//! # Guarantees
//! - Nothing is published before every first list is complete and everything is compiled.
//! - A watch that breaks off is begun again; what was seen stays in force meanwhile.
//! - A policy that can't be read keeps the form in which it was last read, and is told.
//! - A param kind that nobody serves, or that can't be listed, is an error of the policies that name it, never an empty
//!   list.

mod discovery;
mod equivalents;
mod item;
pub mod object;
mod schemas;
mod secrets;
pub mod state;
mod watches;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::OptionFuture;
use jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

pub use crate::controller::cluster::discovery::{Discovered, Inventory, discover, resource};
pub use crate::controller::cluster::item::Item;
use crate::controller::cluster::schemas::watch_schemas;
use crate::controller::cluster::secrets::SecretName;
use crate::controller::cluster::state::{KindKey, Observed, State, Versions, Watched};
pub(in crate::controller) use crate::controller::cluster::watches::{Backoff, Task};
use crate::controller::cluster::watches::{
    watch_base, watch_equivalents, watch_params, watch_secret,
};
use crate::controller::limits::{
    CHANGES_MAX, CONNECT_TIMEOUT, DEBOUNCE_INTERVAL, KEY_SECRETS_MAX, KIND_INTERVAL,
    PARAM_KINDS_MAX, PARAMS_PATIENCE, PARAMS_PATIENCE_FIRST, READ_TIMEOUT,
};
use crate::controller::publish::Publisher;

/// Why there is no way to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig can't be read or used.
    #[error("kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// There is neither a kubeconfig nor a cluster around us.
    #[error("no cluster: {0}")]
    Infer(#[from] kube::config::InferConfigError),
    /// The configuration makes no client.
    #[error("no client: {0}")]
    Client(Box<kube::Error>),
}

/// A client by a kubeconfig, or by what `kubectl` or a Pod would find.
pub async fn connect(
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
) -> Result<Client, ConnectError> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let mut config = match kubeconfig {
        Some(path) => {
            Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?
        }
        None if options.context.is_some() => Config::from_kubeconfig(&options).await?,
        None => Config::infer().await?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
}

/// Watches the policies of these kinds and what they need, and publishes what it finds, until nobody listens any more.
pub async fn follow(
    client: Client,
    base: &'static [Watched],
    publisher: Publisher,
    observed: watch::Sender<Option<Arc<Observed>>>,
    discovered: Discovered,
    clock: fn() -> Timestamp,
) {
    let (sender, receiver) = mpsc::channel(CHANGES_MAX);
    let metrics = publisher.metrics();
    let mut tasks: Vec<Task> = base
        .iter()
        .map(|watched| watch_base(client.clone(), watched.clone(), sender.clone(), metrics.clone()))
        .collect();
    tasks.push(watch_equivalents(discovered, sender.clone()));
    let follower = Follower {
        client,
        publisher,
        observed,
        clock,
        suspended_until: None,
        sender,
        receiver,
        state: State::new(base),
        params: BTreeMap::new(),
        secrets: BTreeMap::new(),
        schemas: None,
        dirty: None,
        told_at: None,
    };
    follower.run().await;
    // The tasks end when they are dropped.
    drop(tasks);
}

struct Follower {
    client: Client,
    publisher: Publisher,
    observed: watch::Sender<Option<Arc<Observed>>>,
    clock: fn() -> Timestamp,
    /// When a BreakGlass ends that is in what was published.
    suspended_until: Option<Instant>,
    sender: mpsc::Sender<state::Change>,
    receiver: mpsc::Receiver<state::Change>,
    state: State,
    /// The watches of params, each with when it was begun.
    params: BTreeMap<KindKey, (Task, Instant)>,
    /// The watches of Secrets, each with when it was begun.
    secrets: BTreeMap<SecretName, (Task, Instant)>,
    /// The watch of the schemas by which objects are merged and types are checked.
    schemas: Option<SchemasWatch>,
    /// Since when something waits to be compiled.
    dirty: Option<Instant>,
    /// Since when a status waits to be told.
    told_at: Option<Instant>,
}

/// A watch of schemas.
struct SchemasWatch {
    /// What it asks for.
    wanted: Versions,
    /// What of that is waited for before anything is compiled: who only checks types can do so later.
    merged: Versions,
    begun: Instant,
    #[expect(dead_code, reason = "held until it is dropped")]
    task: Task,
}

impl Follower {
    async fn run(mut self) {
        let mut trust = self.publisher.trust();
        loop {
            let due = self.due();
            let wait = OptionFuture::from(due.map(sleep_until));
            tokio::select! {
                change = self.receiver.recv() => match change {
                    Some(change) => self.take_all(change),
                    // We hold a sender, so that this does not happen.
                    None => return,
                },
                Some(()) = wait => self.act().await,
                () = trust.changed() => {
                    self.dirty.get_or_insert_with(Instant::now);
                }
                () = self.publisher.closed() => return,
            }
        }
    }

    fn take_all(&mut self, first: state::Change) {
        let effect = apply_all(&mut self.state, first, &mut self.receiver);
        let now = Instant::now();
        if effect.compile {
            self.dirty.get_or_insert(now);
        }
        if effect.tell {
            self.told_at.get_or_insert(now);
        }
        if effect.compile && self.state.is_listed() {
            self.watch_param_kinds(now);
            self.watch_secrets(now);
            self.watch_schemas(now);
        }
    }

    /// Asks for the schemas of the objects that policies merge or check.
    fn watch_schemas(&mut self, now: Instant) {
        let merged = self.state.merged_versions();
        let wanted = self.state.wanted_versions(&merged);
        if let Some(watch) = self.schemas.as_mut().filter(|watch| watch.wanted == wanted) {
            watch.merged = merged;
            return;
        }
        self.schemas = (!wanted.is_empty()).then(|| {
            let task = watch_schemas(self.client.clone(), wanted.clone(), self.sender.clone());
            SchemasWatch { wanted, merged, begun: now, task }
        });
    }

    /// Begins a watch for each param kind that a policy names, and ends those that no policy names any more.
    fn watch_param_kinds(&mut self, now: Instant) {
        let mut needed = self.state.param_kinds();
        if needed.len() > PARAM_KINDS_MAX {
            let kinds = needed.len();
            tracing::error!(
                kinds,
                "more than {PARAM_KINDS_MAX} kinds of params; the rest is unknown"
            );
            needed = needed.into_iter().take(PARAM_KINDS_MAX).collect();
        }
        self.params.retain(|kind, _| needed.contains(kind));
        self.state.retain_params(&needed);
        for kind in needed {
            self.params.entry(kind).or_insert_with_key(|kind| {
                let metrics = self.publisher.metrics().clone();
                let (client, sender) = (self.client.clone(), self.sender.clone());
                (watch_params(client, kind.clone(), sender, metrics), now)
            });
        }
    }

    /// Begins a watch for each Secret that a policy names, and ends those that no policy names any more.
    fn watch_secrets(&mut self, now: Instant) {
        let mut needed = self.state.named_secrets();
        if needed.len() > KEY_SECRETS_MAX {
            let secrets = needed.len();
            tracing::error!(secrets, "more than {KEY_SECRETS_MAX} Secrets; the rest is not read");
            needed = needed.into_iter().take(KEY_SECRETS_MAX).collect();
        }
        self.secrets.retain(|name, _| needed.contains(name));
        self.state.retain_secrets(&needed);
        for name in needed {
            self.secrets.entry(name).or_insert_with_key(|name| {
                let metrics = self.publisher.metrics().clone();
                let (client, sender) = (self.client.clone(), self.sender.clone());
                (watch_secret(client, name.clone(), sender, metrics), now)
            });
        }
    }

    /// When there is something to do, if there is.
    fn due(&self) -> Option<Instant> {
        if !self.state.is_listed() {
            return None;
        }
        let told = self.told_at.map(|at| at + DEBOUNCE_INTERVAL);
        let Some(dirty) = self.dirty else {
            return told.into_iter().chain(self.suspended_until).min();
        };
        let is_first = self.observed.borrow().is_none();
        let patience = if is_first { PARAMS_PATIENCE_FIRST } else { PARAMS_PATIENCE };
        let waits = self.params.iter().filter(|(kind, _)| !self.state.knows_params(kind));
        let schemas = self.schemas.iter().filter(|watch| !self.state.knows_schemas(&watch.merged));
        let begun = schemas.map(|watch| watch.begun);
        let secrets = self.secrets.iter().filter(|(name, _)| !self.state.knows_secret(name));
        let begun = begun.into_iter().chain(secrets.map(|(_, (_, begun))| *begun));
        let begun = waits.map(|(_, (_, begun))| *begun).chain(begun);
        let until = begun.map(|begun| begun + patience).max();
        Some((dirty + DEBOUNCE_INTERVAL).max(until.unwrap_or(dirty)))
    }

    async fn act(&mut self) {
        if self.suspended_until.is_some_and(|until| until <= Instant::now()) {
            self.dirty.get_or_insert_with(Instant::now);
        }
        if let Some(since) = self.dirty.take() {
            let now = (self.clock)();
            for (kind, count) in self.state.counts() {
                self.publisher.metrics().watched(kind, count);
            }
            let definitions = self.state.definitions(now);
            self.suspended_until = self.state.suspended_until(now).map(|until| {
                let left = until.duration_since(now).unsigned_abs();
                Instant::now() + left
            });
            match self.publisher.publish(definitions, since).await {
                Ok(snapshot) => self.state.snapshot = Some(snapshot),
                Err(_) => {
                    // Told already; to be tried again.
                    self.dirty = Some(Instant::now() + KIND_INTERVAL);
                    return;
                }
            }
        }
        self.told_at = None;
        self.observed.send_replace(self.state.observed().map(Arc::new));
    }
}

/// Applies a change and all that wait behind it: compiling costs more than hundreds of them, and would be begun anew for
/// every few.
fn apply_all(
    state: &mut State,
    first: state::Change,
    waiting: &mut mpsc::Receiver<state::Change>,
) -> state::Effect {
    let mut effect = state.apply(first);
    // No more than may wait, so that somebody who writes all the time does not keep what is written out.
    for _ in 0..CHANGES_MAX {
        let Ok(change) = waiting.try_recv() else { break };
        let more = state.apply(change);
        effect.compile |= more.compile;
        effect.tell |= more.tell;
    }
    effect
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use crate::controller::cluster::apply_all;
    use crate::controller::cluster::state::{Change, Effect, KindKey, State};
    use crate::policy::definitions::ParamScope;

    #[test]
    fn what_waits_is_taken_together() {
        let (sender, mut waiting) = mpsc::channel(100);
        let found = |n: usize| {
            let kind = KindKey { api_version: "v1".into(), kind: format!("Kind{n}") };
            Change::Found(kind, ParamScope::Unknown)
        };
        for n in 1..=100 {
            sender.try_send(found(n)).unwrap();
        }
        let mut state = State::default();
        let effect = apply_all(&mut state, found(0), &mut waiting);
        assert_eq!(effect, Effect { compile: true, tell: true });
        assert!(waiting.try_recv().is_err(), "nothing is left");
        // Each was taken: to hear of it again changes nothing.
        for n in 0..=100 {
            assert_eq!(state.apply(found(n)), Effect::default(), "{n}");
        }
    }
}
