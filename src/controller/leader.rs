//! Which replica writes. All of them serve, watch and compile; registration and status are told to the cluster by the
//! one that holds a Lease, so that two versions of us never write against each other. Knows nothing of what is written.
//!
//! # Guarantees
//! - Nothing that decides requests waits for the Lease: a cluster in which it can't be had keeps being guarded by what
//!   is registered.
//! - Two never hold it at once: each write names the version of the Lease that it follows, so that the API server refuses
//!   all but the first, and a holder that can't renew it says so before another may take it.
//! - Clocks of nodes are not compared: a Lease is over when it was seen unchanged for as long as it lasts.
//! - A replica that stops in order gives the Lease back; one that dies loses it after [`LEASE_DURATION`].
//! - A container that is restarted in its Pod takes its own Lease up again at once: it goes by the name of the Pod.
//!
//! This is how `client-go` elects its leaders (`tools/leaderelection`).

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::controller::limits::{
    LEASE_ATTEMPTS_MAX, LEASE_DURATION, LEASE_DURATION_MAX, LEASE_INTERVAL, LEASE_RELEASE_TIMEOUT,
    LEASE_RENEW_DEADLINE,
};
use crate::controller::registration::FIELD_MANAGER;
use crate::telemetry::Metrics;

/// The Lease, and who we are.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub lease: String,
    /// What this replica is called in it: no two that run may have the same. Without it, something random.
    pub identity: Option<String>,
}

/// Says whether this replica is the one that writes, until nobody listens; then it gives the Lease back.
pub async fn keep(
    client: Client,
    options: Options,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
    leads: watch::Sender<bool>,
) {
    let mut candidate = Candidate::new(client, &options, clock);
    let mut trouble = None;
    // Until when we lead, if nothing is heard.
    let mut until: Option<Instant> = None;
    loop {
        let asked = Instant::now();
        let patience = until.unwrap_or(asked + LEASE_DURATION);
        let answer = tokio::select! {
            () = leads.closed() => break,
            answer = timeout_at(patience, candidate.claim(asked)) => answer,
        };
        match answer {
            Ok(Ok(holds)) => {
                until = holds.then_some(asked + LEASE_RENEW_DEADLINE);
                trouble = None;
            }
            Ok(Err(error)) => warn(&mut trouble, &options, error.to_string()),
            Err(_elapsed) => warn(&mut trouble, &options, "no answer in time".to_owned()),
        }
        until = until.filter(|until| Instant::now() < *until);
        tell(&leads, &metrics, until.is_some());
        let usual = asked + LEASE_INTERVAL;
        let next = until.or(candidate.free_at()).map_or(usual, |sooner| sooner.min(usual));
        tokio::select! {
            () = leads.closed() => break,
            () = sleep_until(next) => {}
        }
    }
    // Whoever doesn't get it back sees that it isn't renewed.
    let _ = timeout(LEASE_RELEASE_TIMEOUT, candidate.release()).await;
    tell(&leads, &metrics, false);
}

/// Says it, unless that is what was said last.
fn warn(trouble: &mut Option<String>, options: &Options, error: String) {
    if trouble.as_ref() != Some(&error) {
        let lease = &options.lease;
        tracing::warn!(
            error,
            lease,
            "the Lease can't be read or written: another replica has to write"
        );
        *trouble = Some(error);
    }
}

fn tell(leads: &watch::Sender<bool>, metrics: &Metrics, is_leader: bool) {
    metrics.leads(is_leader);
    if leads.send_if_modified(|leads| std::mem::replace(leads, is_leader) != is_leader) {
        let who = if is_leader { "this replica" } else { "another replica" };
        tracing::info!("{who} writes registration and status");
    }
}

/// Somebody who would write.
struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    params: PostParams,
    clock: fn() -> Timestamp,
    /// The Lease as we wrote it last, if it was ours then.
    held: Option<Lease>,
    /// What another wrote, and when we saw it first.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Candidate {
    fn new(client: Client, options: &Options, clock: fn() -> Timestamp) -> Candidate {
        Candidate {
            api: Api::namespaced(client, &options.namespace),
            name: options.lease.clone(),
            identity: options.identity.clone().unwrap_or_else(random_name),
            params: PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run: false },
            clock,
            held: None,
            seen: None,
        }
    }

    /// Takes or renews the Lease if that may be. Answers whether it is ours, as of `now`.
    async fn claim(&mut self, now: Instant) -> Result<bool, Error> {
        for _ in 0..LEASE_ATTEMPTS_MAX {
            let found = self.found().await?;
            let written = match found {
                Some(found) if !self.may_take(found.spec.as_ref(), now) => return Ok(false),
                Some(found) => self.api.replace(&self.name, &self.params, &self.ours(found)).await,
                None => self.api.create(&self.params, &self.ours(self.nobodys())).await,
            };
            if self.wrote(written)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lets another have it at once.
    async fn release(&mut self) -> Result<(), Error> {
        for _ in 0..LEASE_ATTEMPTS_MAX {
            let found = self.found().await?;
            let Some(found) = found.filter(|found| self.is_ours(found)) else { return Ok(()) };
            let spec = found.spec.map(|spec| LeaseSpec {
                holder_identity: None,
                acquire_time: None,
                renew_time: None,
                ..spec
            });
            let released = Lease { spec, ..found };
            let written = self.api.replace(&self.name, &self.params, &released).await;
            if self.wrote(written)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The Lease as it is, as far as we know: what we wrote last, or else what is there.
    async fn found(&self) -> Result<Option<Lease>, Error> {
        match self.held.clone() {
            None => self.api.get_opt(&self.name).await,
            held => Ok(held),
        }
    }

    /// Remembers what was written. `false` if somebody wrote, made or removed it in the meantime, and it has to be looked
    /// at again.
    fn wrote(&mut self, written: Result<Lease, Error>) -> Result<bool, Error> {
        self.held = None;
        match written {
            Ok(lease) => {
                self.seen = None;
                self.held = Some(lease);
                Ok(true)
            }
            Err(Error::Api(status)) if [404, 409].contains(&status.code) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether nobody holds it, or we do, or who does has been silent for as long as it lasts.
    fn may_take(&mut self, spec: Option<&LeaseSpec>, now: Instant) -> bool {
        let Some(spec) = spec else { return true };
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.identity {
            return true;
        }
        if self.seen.as_ref().is_none_or(|(seen, _)| seen != spec) {
            self.seen = Some((spec.clone(), now));
        }
        self.free_at().is_some_and(|free| free <= now)
    }

    /// When what another holds is free if it isn't renewed.
    fn free_at(&self) -> Option<Instant> {
        self.seen.as_ref().map(|(spec, since)| *since + lasts(spec))
    }

    /// The Lease with us as its holder.
    fn ours(&self, mut lease: Lease) -> Lease {
        let now = MicroTime((self.clock)());
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() != Some(&self.identity) {
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        spec.renew_time = Some(now);
        spec.lease_duration_seconds = i32::try_from(LEASE_DURATION.as_secs()).ok();
        lease
    }

    /// A Lease that nobody holds.
    fn nobodys(&self) -> Lease {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        Lease { metadata, spec: None }
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        let spec = lease.spec.as_ref();
        spec.and_then(|spec| spec.holder_identity.as_ref()) == Some(&self.identity)
    }
}

fn random_name() -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("portcullis-{random:016x}")
}

/// How long it is good for after it was renewed.
fn lasts(spec: &LeaseSpec) -> Duration {
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(LEASE_DURATION, Duration::from_secs).min(LEASE_DURATION_MAX)
}

#[cfg(test)]
mod tests;
