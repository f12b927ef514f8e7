//! Trust roots that are kept up to date: what their repositories have now takes the place of what was written, before
//! policies are compiled.
//!
//! # Guarantees
//! - Without an update the last good trust root stays: what was fetched last or, before that, what was written.
//! - An update that fails is told in the log, by metrics and in the status of the TrustRoot, and is tried again.
//! - Nothing waits for a repository: policies are compiled with what there is, and again when there is something else.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::images::Tuf;
use crate::images::registry::Registry;
use crate::policy::Definitions;
use crate::policy::api::{TrustRoot, TrustRootSpec, TrustRootStatus, TufRepository};
use crate::policy::definitions::{Named, Origin};
use crate::policy::images::PUBLIC_TRUST_ROOT;
use crate::telemetry::Metrics;

/// How often repositories are asked. Keys change once in months, and what says that nothing changed is signed anew each day
/// or week.
const UPDATE_INTERVAL: Duration = Duration::from_hours(1);

/// How soon one is asked again that gave no update.
const RETRY_INTERVAL: Duration = Duration::from_mins(5);

/// How many repositories are asked. A cluster trusts one or two Sigstores.
const REPOSITORIES_MAX: usize = 16;

/// What is known of trust roots that are kept up to date. Clones share it.
#[derive(Clone, Debug)]
pub struct Trust {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
}

#[derive(Debug)]
struct Shared {
    /// That of the public instance, if it is kept up to date.
    public: Option<TufRepository>,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// How often all were asked.
    asked: watch::Sender<u64>,
    wanted_others: Notify,
}

#[derive(Debug, Default)]
struct State {
    wanted: HashSet<TufRepository>,
    /// The trust root that each has, as text.
    found: HashMap<TufRepository, String>,
    /// The TrustRoots of the cluster that each keeps up to date.
    names: BTreeMap<String, TufRepository>,
    /// What came of the last update of each.
    told: HashMap<TufRepository, TrustRootStatus>,
}

/// What came of asking a repository.
#[derive(Debug)]
pub struct Asked {
    /// Its address.
    pub url: String,
    /// Why there is no update.
    pub problem: Option<String>,
}

impl Trust {
    /// Nothing is known yet. The public instance has this repository, if it is to be kept up to date.
    pub fn new(public: Option<TufRepository>) -> Trust {
        let (changed, changes) = watch::channel(0);
        let wanted = public.iter().cloned().collect();
        let state = Mutex::new(State { wanted, ..State::default() });
        let asked = watch::channel(0).0;
        let shared = Shared { public, state, changed, asked, wanted_others: Notify::new() };
        Trust { shared: Arc::new(shared), changes }
    }

    /// Puts what was fetched last in the place of what was written, and remembers what is to be fetched.
    pub fn apply(&self, definitions: &mut Definitions) {
        let mut state = self.shared.state();
        let mut wanted: HashSet<TufRepository> = self.shared.public.iter().cloned().collect();
        state.names.clear();
        for root in &mut definitions.trust_roots {
            let Some(repository) = root.spec.tuf.clone() else { continue };
            if let Some(found) = state.found.get(&repository) {
                Arc::make_mut(&mut root.spec).trusted_root = Some(found.clone());
            }
            if wanted.len() < REPOSITORIES_MAX {
                state.names.insert(root.name.clone(), repository.clone());
                wanted.insert(repository);
            } else {
                let name = &root.name;
                tracing::error!(
                    name,
                    "more than {REPOSITORIES_MAX} trust roots to keep up to date"
                );
            }
        }
        let public = self.shared.public.as_ref().and_then(|public| state.found.get(public));
        if let Some(found) = public {
            let spec =
                TrustRootSpec { trusted_root: Some(found.clone()), ..TrustRootSpec::default() };
            definitions.trust_roots.push(Named {
                origin: Origin::Portcullis,
                name: PUBLIC_TRUST_ROOT.to_owned(),
                generation: None,
                source: String::new(),
                refusals: Vec::new(),
                spec: Arc::new(spec),
                last_good: None,
            });
        }
        state.found.retain(|repository, _| wanted.contains(repository));
        state.told.retain(|repository, _| wanted.contains(repository));
        if state.wanted != wanted {
            state.wanted = wanted;
            self.shared.wanted_others.notify_one();
        }
    }

    /// Waits until something else is known than when it was last waited for.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether something else is known than when that was last asked or waited for.
    pub fn has_changed(&mut self) -> bool {
        let changed = self.changes.has_changed().unwrap_or(false);
        self.changes.mark_unchanged();
        changed
    }

    /// Asks every repository that is wanted once.
    pub async fn update(&self, repositories: &mut Repositories, now: Timestamp) -> Vec<Asked> {
        let wanted: Vec<TufRepository> = self.shared.state().wanted.iter().cloned().collect();
        repositories.known.retain(|repository, _| wanted.contains(repository));
        let mut asked = Vec::new();
        for repository in wanted {
            let client = Arc::clone(&repositories.client);
            let tuf = repositories
                .known
                .entry(repository.clone())
                .or_insert_with(|| Tuf::new(client, &repository.url, &repository.root));
            let updated = tuf.update(now).await.map_err(|error| error.to_string());
            let problem = updated.as_ref().err().cloned();
            asked.push(Asked { url: repository.url.clone(), problem });
            self.shared.heard(repository, updated, now);
        }
        asked
    }

    /// Keeps trust roots up to date until nobody is interested any more.
    pub async fn keep(
        self,
        client: Arc<Registry>,
        metrics: Arc<Metrics>,
        clock: fn() -> Timestamp,
    ) {
        let mut repositories = Repositories::new(client);
        let mut told: Vec<String> = Vec::new();
        loop {
            let asked = self.update(&mut repositories, clock()).await;
            let said = |one: &Asked| Some(format!("{}: {}", one.url, one.problem.as_ref()?));
            let problems: Vec<String> = asked.iter().filter_map(said).collect();
            metrics.trust_roots(asked.len() - problems.len(), problems.len(), clock());
            for problem in problems.iter().filter(|problem| !told.contains(*problem)) {
                tracing::warn!("the trust root that is known stays, there is no update: {problem}");
            }
            let interval = if problems.is_empty() { UPDATE_INTERVAL } else { RETRY_INTERVAL };
            told = problems;
            self.shared.asked.send_modify(|count| *count = count.wrapping_add(1));
            tokio::select! {
                () = sleep(interval) => {}
                () = self.shared.wanted_others.notified() => {}
            }
        }
    }

    /// Writes to the status of TrustRoots how that goes, as long as this replica writes.
    pub async fn tell(self, client: Client, mut leads: watch::Receiver<bool>) {
        let api: Api<TrustRoot> = Api::all(client);
        let mut asked = self.shared.asked.subscribe();
        let mut written: BTreeMap<String, TrustRootStatus> = BTreeMap::new();
        loop {
            if *leads.borrow_and_update() {
                for (name, status) in self.shared.statuses(&written) {
                    if let Err(error) = write(&api, &name, &status).await {
                        tracing::warn!(name, %error, "can't write the status of the TrustRoot");
                    } else if status == TrustRootStatus::default() {
                        written.remove(&name);
                    } else {
                        written.insert(name, status);
                    }
                }
            }
            let told = tokio::select! {
                told = asked.changed() => told,
                told = leads.changed() => told,
            };
            if told.is_err() {
                return;
            }
        }
    }
}

async fn write(
    api: &Api<TrustRoot>,
    name: &str,
    status: &TrustRootStatus,
) -> Result<(), kube::Error> {
    let TrustRootStatus { updated, problem } = status;
    let patch = Patch::Merge(json!({"status": {"updated": updated, "problem": problem}}));
    match api.patch_status(name, &PatchParams::default(), &patch).await {
        // It is gone.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        written => written.map(drop),
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self, repository: TufRepository, updated: Result<String, String>, now: Timestamp) {
        let mut state = self.state();
        let told = state.told.entry(repository.clone()).or_default();
        told.problem = updated.as_ref().err().cloned();
        let Ok(text) = updated else { return };
        told.updated = Some(now);
        if state.found.get(&repository) == Some(&text) {
            return;
        }
        tracing::info!(url = repository.url, "the trust root was updated");
        state.found.insert(repository, text);
        drop(state);
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What TrustRoots should say and do not; those that are no longer kept up to date say nothing.
    fn statuses(
        &self,
        written: &BTreeMap<String, TrustRootStatus>,
    ) -> Vec<(String, TrustRootStatus)> {
        let state = self.state();
        let known = |repository| state.told.get(repository).cloned();
        let now = state.names.iter().filter_map(|(name, of)| Some((name.clone(), known(of)?)));
        let past = written.keys().filter(|name| !state.names.contains_key(*name));
        now.filter(|(name, status)| written.get(name) != Some(status))
            .chain(past.map(|name| (name.clone(), TrustRootStatus::default())))
            .collect()
    }
}

/// The repositories that were asked, with what was seen of each.
#[derive(Debug)]
pub struct Repositories {
    client: Arc<Registry>,
    known: HashMap<TufRepository, Tuf>,
}

impl Repositories {
    /// They are asked through this client.
    pub fn new(client: Arc<Registry>) -> Repositories {
        Repositories { client, known: HashMap::new() }
    }
}
