//! The handler of admission requests: review, facts, decision, answer; then metrics and the ledger. How a request is
//! decided is `admission`'s; what a fact is fetched from is the [`Source`]'s.
//!
//! # Flow
//! bytes -> [`wire::parse`] -> [`review`] on this thread, with memory that is used again -> [`wire::response`]. Only
//! where a fact is missing does a request wait for anything.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::admission::{
    Arena, Asked, Decision, Facts, Need, Phase, Snapshot, Source, Stopwatch, gather, review, wire,
};
use crate::ledger::{self, Entry, Ledger, Verdict};
use crate::policy::Request;
use crate::policy::api::ValidationAction;
use crate::policy::entry::{MOVE_GRACE, Moves};
use crate::policy::outcome::{Cause, Outcome};
use crate::policy::request::Operation;
use crate::server::http::{Call, Handler, HttpError};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{self, Answer, LedgerTotals, PolicyResult, Webhook};
use crate::telemetry::traces::{Answered, Parent, Slow, Traces};

/// When a policy is slow: a hundred of its kind would be felt by whoever waits at the command line.
const SLOW: Duration = Duration::from_millis(20);

/// Bytes that a thread keeps for its next request. An ordinary Pod takes a few KiB; what one large request took is
/// given back.
const ARENA_KEPT_BYTES: usize = 1024 * 1024;

thread_local! {
    static ARENA: RefCell<Arena> = RefCell::new(Arena::new());
}

/// What answers admission requests from the policies in force.
#[derive(Debug)]
pub struct Reviewer<S> {
    in_force: ArcSwapOption<InForce>,
    /// Whether the policies may no longer be those of the cluster.
    stale: AtomicBool,
    source: S,
    metrics: Arc<Metrics>,
    ledger: Option<Ledger>,
    traces: Option<Traces>,
}

/// The policies that decide now.
#[derive(Debug)]
struct InForce {
    snapshot: Arc<Snapshot>,
    /// The hash of the policies, for records.
    digest: String,
    /// What the API server may still ask for by another entry, and until when.
    moves: Moves,
    moves_until: Instant,
}

impl InForce {
    /// In place of what was in force until now.
    fn new(snapshot: Arc<Snapshot>, before: Option<&InForce>, now: Instant) -> InForce {
        let digest = hex(snapshot.digest());
        let mut moves = Moves::default();
        let mut moves_until = now;
        if let Some(before) = before {
            moves = Moves::between(&before.snapshot, &snapshot);
            if !moves.is_empty() {
                moves_until = now + MOVE_GRACE;
            }
            if let Some(earlier) = before.moves(now) {
                moves_until = moves_until.max(before.moves_until);
                moves = moves.and(earlier);
            }
        }
        InForce { snapshot, digest, moves, moves_until }
    }

    /// The moves, as long as they matter.
    fn moves(&self, now: Instant) -> Option<&Moves> {
        (!self.moves.is_empty() && now < self.moves_until).then_some(&self.moves)
    }
}

impl<S: Source> Reviewer<S> {
    /// A reviewer that is not ready before policies are [put in force](Reviewer::put_in_force).
    pub fn new(source: S, metrics: Arc<Metrics>, ledger: Option<Ledger>) -> Reviewer<S> {
        let (in_force, stale) = (ArcSwapOption::empty(), AtomicBool::new(false));
        Reviewer { in_force, stale, source, metrics, ledger, traces: None }
    }

    /// The same, with spans for what it decides.
    #[must_use]
    pub fn traced(self, traces: Option<Traces>) -> Reviewer<S> {
        Reviewer { traces, ..self }
    }

    /// Sends what is left of the traces.
    pub fn stop(&self) {
        if let Some(traces) = &self.traces {
            traces.stop();
        }
    }

    /// Decides by this snapshot from the next request on. Requests in flight are decided by the one they began with.
    pub fn put_in_force(&self, snapshot: Arc<Snapshot>) {
        self.put_in_force_at(snapshot, Instant::now());
    }

    fn put_in_force_at(&self, snapshot: Arc<Snapshot>, now: Instant) {
        let before = self.in_force.load_full();
        let in_force = InForce::new(snapshot, before.as_deref(), now);
        self.in_force.store(Some(Arc::new(in_force)));
    }

    /// Puts every snapshot in force that comes, until nobody can send one any more.
    pub async fn follow(&self, mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>) {
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            if let Some(snapshot) = snapshot {
                self.put_in_force(snapshot);
            }
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    /// Says from now on that it is not ready, or that it is again. Requests that come all the same are decided.
    pub fn set_stale(&self, stale: bool) {
        self.stale.store(stale, Ordering::Relaxed);
    }

    /// The decision, with what has to be fetched for it.
    async fn decide<'s>(
        &self,
        asked: Asked<'_>,
        request: &Request<'_>,
        snapshot: &'s Snapshot,
        deadline: Instant,
    ) -> Result<Decision<'s>, HttpError> {
        // Nearly every request ends here, without a wait and without new memory.
        let need = match review_here(asked, request, snapshot) {
            Ok(decision) => return Ok(decision),
            Err(need) => need,
        };
        let mut facts = Facts::new();
        let mut arena = Arena::new();
        let gathered = async {
            self.source.fetch(request, &need, &mut facts).await;
            gather(asked, request, snapshot, &mut facts, &mut arena, &self.source).await
        };
        let late = |message: String| HttpError::new(StatusCode::GATEWAY_TIMEOUT, message);
        match timeout_at(deadline, gathered).await {
            Ok(gathered) => gathered.map_err(|error| late(error.to_string())),
            Err(_) => Err(late(format!("{need}, or what it took to know more, took too long"))),
        }
    }

    fn record(&self, request: &Request<'_>, decision: &Decision<'_>, policies: &str) {
        if let Some(ledger) = &self.ledger {
            ledger.record(entry(request, decision, policies, now()));
        }
    }
}

/// Reviews with what is known, in this thread's arena.
fn review_here<'s>(
    asked: Asked<'_>,
    request: &Request<'_>,
    snapshot: &'s Snapshot,
) -> Result<Decision<'s>, Need> {
    ARENA.with_borrow_mut(|arena| {
        let decision = review(asked, request, snapshot, &Facts::new(), arena);
        if arena.allocated_bytes() > ARENA_KEPT_BYTES {
            *arena = Arena::new();
        } else {
            arena.reset();
        }
        decision
    })
}

impl<S: Source> Handler for Reviewer<S> {
    fn unready(&self) -> Option<&'static str> {
        self.in_force.load().is_none().then_some("waiting for policies")
    }

    fn should_rest(&self) -> Option<&'static str> {
        self.stale.load(Ordering::Relaxed).then_some("cut off from the API server")
    }

    async fn answer(&self, call: Call, body: Vec<u8>) -> Result<Vec<u8>, HttpError> {
        let Call { webhook, entry, deadline, trace } = call;
        let _counted = self.metrics.in_flight();
        let (begun, begun_at) = (Instant::now(), self.traces.as_ref().map(|_| now()));
        let failed = |error| {
            let unknown = metrics::Operation::Unknown;
            self.metrics.request(webhook, unknown, Answer::Error, begun.elapsed());
            error
        };
        let in_force = self.in_force.load_full().ok_or_else(|| {
            failed(HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "waiting for policies"))
        })?;
        let review = wire::parse(body)
            .map_err(|error| failed(HttpError::new(StatusCode::BAD_REQUEST, error.to_string())))?;
        let request = review.request();
        let phase = match webhook {
            Webhook::Validate => Phase::Validate,
            Webhook::Mutate => Phase::Mutate,
        };
        let watch = Watch { begun, limit: deadline - begun };
        let moves = in_force.moves(begun);
        let asked = Asked { entry, moves, stopwatch: Some(&watch), ..phase.into() };
        let decision =
            self.decide(asked, &request, &in_force.snapshot, deadline).await.map_err(failed)?;
        let answer = wire::response(request.uid, &decision);
        let operation = operation(request.operation);
        self.metrics.request(webhook, operation, label(&decision), begun.elapsed());
        for outcome in &decision.outcomes {
            if outcome.took >= SLOW {
                let (policy, took_ms) = (&outcome.policy.name, outcome.took.as_millis() as u64);
                tracing::warn!(policy, took_ms, uid = request.uid, "the policy is slow");
            }
            for result in results(outcome) {
                self.metrics.outcome(&outcome.policy.name, result);
            }
        }
        if let (Some(traces), Some(begun_at)) = (&self.traces, begun_at) {
            let took = begun.elapsed();
            tell(traces, trace.as_ref(), webhook, &request, &decision, (begun_at, took));
        }
        self.record(&request, &decision, &in_force.digest);
        Ok(answer)
    }

    fn metrics(&self) -> String {
        if let Some(ledger) = &self.ledger {
            let ledger::store::Totals { written, lost, failed } = ledger.totals();
            self.metrics.ledger(LedgerTotals { written, lost, failed });
        }
        self.metrics.text()
    }
}

/// Makes the spans of a request that began then and took so long.
fn tell(
    traces: &Traces,
    parent: Option<&Parent>,
    webhook: Webhook,
    request: &Request<'_>,
    decision: &Decision<'_>,
    (begun, took): (Timestamp, Duration),
) {
    // Policies go one after the other.
    let mut after = Duration::ZERO;
    let mut slow = Vec::new();
    for outcome in &decision.outcomes {
        if outcome.took >= SLOW {
            slow.push(Slow { policy: &outcome.policy.name, after, took: outcome.took });
        }
        after += outcome.took;
    }
    let answered = Answered {
        webhook: webhook.word(),
        operation: request.operation.as_str(),
        resource: &resource(request),
        namespace: request.namespace,
        uid: request.uid,
        answer: label(decision).word(),
        begun: begun.into(),
        took,
        slow: &slow,
    };
    traces.record(parent, answered);
}

/// `apps/v1/deployments/scale`.
fn resource(request: &Request<'_>) -> String {
    let resource = request.resource;
    let parts = [resource.group, resource.version, resource.resource, request.subresource];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

/// The clock of one request.
#[derive(Debug)]
struct Watch {
    begun: Instant,
    limit: Duration,
}

impl Stopwatch for Watch {
    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn limit(&self) -> Duration {
        self.limit
    }
}

fn operation(operation: Operation) -> metrics::Operation {
    match operation {
        Operation::Create => metrics::Operation::Create,
        Operation::Update => metrics::Operation::Update,
        Operation::Delete => metrics::Operation::Delete,
        Operation::Connect => metrics::Operation::Connect,
    }
}

fn label(decision: &Decision<'_>) -> Answer {
    match &decision.status {
        Some(status) if status.code >= 500 => Answer::Error,
        _ if !decision.allowed => Answer::Deny,
        _ if decision.patch.is_empty() => Answer::Allow,
        _ => Answer::Patch,
    }
}

/// What an outcome did besides passing.
fn results(outcome: &Outcome<'_>) -> impl Iterator<Item = PolicyResult> {
    let says = |action| outcome.actions().contains(&action);
    let counted = outcome.failures.iter().any(|failure| outcome.counts(failure));
    let failed = |failure: &crate::policy::outcome::Failure| failure.cause != Cause::Denied;
    [
        (PolicyResult::Deny, outcome.denials().next().is_some()),
        (PolicyResult::Warn, counted && says(ValidationAction::Warn)),
        (PolicyResult::Audit, counted && says(ValidationAction::Audit)),
        (PolicyResult::Error, outcome.failures.iter().any(failed)),
        (PolicyResult::Patch, outcome.changed),
        (PolicyResult::Slow, outcome.took >= SLOW),
    ]
    .into_iter()
    .filter_map(|(result, so)| so.then_some(result))
}

fn entry(request: &Request<'_>, decision: &Decision<'_>, policies: &str, time: Timestamp) -> Entry {
    let outcomes = decision.outcomes.iter().filter_map(|outcome| {
        Some(ledger::Outcome {
            policy: outcome.policy.name.clone(),
            binding: outcome.binding.and_then(|b| b.name.clone()).unwrap_or_default(),
            result: results(outcome).next()?.word().to_owned(),
            message: outcome.failures.first().map(|f| f.message.clone()).unwrap_or_default(),
        })
    });
    Entry {
        time,
        uid: request.uid.to_owned(),
        operation: request.operation.as_str().to_owned(),
        resource: resource(request),
        namespace: request.namespace.to_owned(),
        name: request.name.to_owned(),
        user: request.user.name.to_owned(),
        dry_run: request.dry_run,
        decision: match label(decision) {
            Answer::Allow => Verdict::Allow,
            Answer::Patch => Verdict::Patch,
            Answer::Deny | Answer::Error => Verdict::Deny,
        },
        evaluated: u32::try_from(decision.outcomes.len()).unwrap_or(u32::MAX),
        outcomes: outcomes.collect(),
        policies: policies.to_owned(),
    }
}

fn hex(hash: [u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[expect(clippy::disallowed_methods, reason = "the server is a rim")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests;
