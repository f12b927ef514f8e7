//! The metric families, in OpenMetrics text. Labels are words from closed sets, or names of policies: never names that
//! a request chooses, so the number of series is bounded by the policies.

mod audit;
mod images;
mod words;

use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::telemetry::metrics::audit::AuditFamilies;
pub use crate::telemetry::metrics::audit::{AuditTotals, FindingLabels, KindLabels, LeftOutLabels};
use crate::telemetry::metrics::images::ImageFamilies;
pub use crate::telemetry::metrics::words::{
    Answer, ImageAnswer, ImageResult, Operation, PolicyResult, Question, Refusal, ReloadResult,
    Webhook, Written,
};

/// Media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds. A Pod takes tens of microseconds; the API server gives up after at most 30 s.
const LATENCY_BUCKETS: [f64; 15] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.5, 2.5, 10.0,
];

/// Upper bounds in seconds for what the controller does: a small set compiles in milliseconds; two seconds is what a
/// change may take until it is in force.
const CHANGE_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    webhook: Webhook,
    operation: Operation,
    answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    policy: String,
    result: PolicyResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    kind: String,
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: ReloadResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    what: Written,
    result: ReloadResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuestionLabels {
    about: Question,
    result: ReloadResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabels {
    webhook: Webhook,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: Refusal,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    code: u16,
}

/// How many policies of a kind are in a state, such as `ValidatingPolicy` and `active`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyCount<'a> {
    /// Kubernetes kind.
    pub kind: &'a str,
    /// State in lower case.
    pub state: &'a str,
    /// How many.
    pub count: usize,
}

/// Totals of the ledger since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerTotals {
    /// Records in the file.
    pub written: u64,
    /// Decisions that found the queue full.
    pub lost: u64,
    /// Failed attempts to write.
    pub failed: u64,
}

/// Every metric of the process. Cheap to share behind an `Arc`; recording never blocks on reading for long.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<RequestLabels, Histogram>,
    outcomes: Family<PolicyLabels, Counter>,
    policies: Family<StateLabels, Gauge>,
    reloads: Family<ReloadLabels, Counter>,
    reloaded: Gauge,
    changes: Histogram,
    watch_failures: Counter,
    writes: Family<WriteLabels, Counter>,
    certificate_expiry: Gauge,
    cluster_reached: Gauge,
    suspensions: Gauge,
    leads: Gauge,
    http_errors: Family<StatusLabels, Counter>,
    connections: Gauge,
    in_flight: Gauge,
    questions: Family<QuestionLabels, Counter>,
    objects: Family<ObjectLabels, Gauge>,
    webhooks: Family<WebhookLabels, Gauge>,
    registered: Gauge,
    refused: Family<RefusalLabels, Counter>,
    ledger_written: Counter,
    ledger_lost: Counter,
    ledger_failed: Counter,
    audit: AuditFamilies,
    images: ImageFamilies,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// All families at zero.
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("portcullis"),
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            outcomes: Family::default(),
            policies: Family::default(),
            reloads: Family::default(),
            reloaded: Gauge::default(),
            changes: Histogram::new(CHANGE_BUCKETS),
            watch_failures: Counter::default(),
            writes: Family::default(),
            certificate_expiry: Gauge::default(),
            cluster_reached: Gauge::default(),
            suspensions: Gauge::default(),
            leads: Gauge::default(),
            http_errors: Family::default(),
            connections: Gauge::default(),
            in_flight: Gauge::default(),
            questions: Family::default(),
            objects: Family::default(),
            webhooks: Family::default(),
            registered: Gauge::default(),
            refused: Family::default(),
            ledger_written: Counter::default(),
            ledger_lost: Counter::default(),
            ledger_failed: Counter::default(),
            audit: AuditFamilies::default(),
            images: ImageFamilies::default(),
        };
        metrics.register_decisions();
        metrics.register_cluster();
        metrics
    }

    fn register_decisions(&mut self) {
        let r = &mut self.registry;
        r.register("requests", "Admission requests answered", self.requests.clone());
        r.register(
            "request_duration_seconds",
            "From the last byte of a request to its answer",
            self.latency.clone(),
        );
        r.register("policy_outcomes", "Policies that did not just pass", self.outcomes.clone());
        r.register("policies", "Policies by state", self.policies.clone());
        r.register("reloads", "Policy sets read", self.reloads.clone());
        r.register(
            "last_reload_timestamp_seconds",
            "When the policies in force were read",
            self.reloaded.clone(),
        );
        r.register(
            "policy_change_duration_seconds",
            "From a change that was seen to the policies being in force",
            self.changes.clone(),
        );
        r.register("http_errors", "HTTP requests that were refused", self.http_errors.clone());
        r.register("connections", "Open connections", self.connections.clone());
        r.register(
            "requests_in_flight",
            "Requests that wait for an answer",
            self.in_flight.clone(),
        );
        r.register(
            "questions",
            "What the API server was asked because a request needed it",
            self.questions.clone(),
        );
        r.register(
            "connections_refused",
            "Connections that ended before a request",
            self.refused.clone(),
        );
        r.register("ledger_records", "Records written to the ledger", self.ledger_written.clone());
        r.register(
            "ledger_lost",
            "Decisions that are not in the ledger because its queue was full",
            self.ledger_lost.clone(),
        );
        r.register(
            "ledger_write_failures",
            "Failed attempts to write to the ledger",
            self.ledger_failed.clone(),
        );
    }

    fn register_cluster(&mut self) {
        let r = &mut self.registry;
        r.register(
            "watch_failures",
            "Watches that broke off, or could not begin",
            self.watch_failures.clone(),
        );
        r.register("cluster_writes", "What was written to the cluster", self.writes.clone());
        r.register(
            "certificate_expiry_timestamp_seconds",
            "When the serving certificate expires",
            self.certificate_expiry.clone(),
        );
        r.register(
            "cluster_reached_timestamp_seconds",
            "When the API server was last reached",
            self.cluster_reached.clone(),
        );
        r.register(
            "break_glass_active",
            "BreakGlasses that suspend policies now",
            self.suspensions.clone(),
        );
        r.register("leader", "Whether this replica writes to the cluster", self.leads.clone());
        r.register("watched_objects", "Objects that are kept in memory", self.objects.clone());
        r.register(
            "registered_webhooks",
            "Entries of the webhook configurations, on the replica that writes them",
            self.webhooks.clone(),
        );
        r.register(
            "registration_timestamp_seconds",
            "When the webhook configurations were last seen to be as they should be",
            self.registered.clone(),
        );
        self.audit.register(&mut self.registry);
        self.images.register(&mut self.registry);
    }

    /// One admission request was answered.
    pub fn request(
        &self,
        webhook: Webhook,
        operation: Operation,
        answer: Answer,
        duration: Duration,
    ) {
        let labels = RequestLabels { webhook, operation, answer };
        self.requests.get_or_create(&labels).inc();
        self.latency.get_or_create(&labels).observe(duration.as_secs_f64());
    }

    /// A policy did something else than pass. `policy` must name a policy that exists.
    pub fn outcome(&self, policy: &str, result: PolicyResult) {
        self.outcomes.get_or_create(&PolicyLabels { policy: policy.to_owned(), result }).inc();
    }

    /// The policies in force changed. Series of policies that are gone go too.
    pub fn policies<'a>(
        &self,
        counts: impl IntoIterator<Item = PolicyCount<'a>>,
        now_seconds: i64,
    ) {
        self.policies.clear();
        for PolicyCount { kind, state, count } in counts {
            let labels = StateLabels { kind: kind.to_owned(), state: state.to_owned() };
            self.policies.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.reloaded.set(now_seconds);
    }

    /// Forgets the outcomes of policies that are gone.
    pub fn forget_outcomes(&self, gone: &[&str]) {
        use PolicyResult::{Audit, Deny, Error, Patch, Slow, Warn};
        for policy in gone {
            for result in [Deny, Warn, Audit, Error, Patch, Slow] {
                self.outcomes.remove(&PolicyLabels { policy: (*policy).to_owned(), result });
            }
        }
    }

    /// A policy set was read, or refused.
    pub fn reload(&self, ok: bool) {
        let result = if ok { ReloadResult::Ok } else { ReloadResult::Error };
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
    }

    /// A change of policies is in force, this long after it was seen.
    pub fn change(&self, duration: Duration) {
        self.changes.observe(duration.as_secs_f64());
    }

    /// A watch broke off, or could not begin.
    pub fn watch_failure(&self) {
        self.watch_failures.inc();
    }

    /// Something was written to the cluster, or could not be.
    pub fn written(&self, what: Written, ok: bool) {
        let result = if ok { ReloadResult::Ok } else { ReloadResult::Error };
        self.writes.get_or_create(&WriteLabels { what, result }).inc();
    }

    /// When the serving certificate expires.
    pub fn certificate_expires(&self, at_seconds: i64) {
        self.certificate_expiry.set(at_seconds);
    }

    /// The API server was reached.
    pub fn cluster_reached(&self, at_seconds: i64) {
        self.cluster_reached.set(at_seconds);
    }

    /// So many BreakGlasses suspend policies.
    pub fn suspended(&self, count: usize) {
        self.suspensions.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether this replica writes.
    pub fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    /// An HTTP request was refused with this status.
    pub fn http_error(&self, code: u16) {
        self.http_errors.get_or_create(&StatusLabels { code }).inc();
    }

    /// A connection was accepted; it counts until the guard is dropped.
    pub fn connection(&self) -> Guard {
        self.connections.inc();
        Guard(self.connections.clone())
    }

    /// A request came; it counts until the guard is dropped.
    pub fn in_flight(&self) -> Guard {
        self.in_flight.inc();
        Guard(self.in_flight.clone())
    }

    /// The API server was asked something for a request, or could not be.
    pub fn question(&self, about: Question, ok: bool) {
        let result = if ok { ReloadResult::Ok } else { ReloadResult::Error };
        self.questions.get_or_create(&QuestionLabels { about, result }).inc();
    }

    /// So many objects of this kind are kept.
    pub fn watched(&self, kind: &'static str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.objects.get_or_create(&ObjectLabels { kind }).set(count);
    }

    /// The configurations have so many entries, and are as they should be now.
    pub fn registered(&self, counts: [(Webhook, usize); 2], now_seconds: i64) {
        for (webhook, count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.webhooks.get_or_create(&WebhookLabels { webhook }).set(count);
        }
        self.registered.set(now_seconds);
    }

    /// Another replica registers now, and knows better.
    pub fn registers_no_more(&self) {
        self.webhooks.clear();
        self.registered.set(0);
    }

    /// A connection ended before its time.
    pub fn refuse(&self, reason: Refusal) {
        self.refused.get_or_create(&RefusalLabels { reason }).inc();
    }

    /// The ledger's totals as of now.
    pub fn ledger(&self, totals: LedgerTotals) {
        self.ledger_written.inner().store(totals.written, Ordering::Relaxed);
        self.ledger_lost.inner().store(totals.lost, Ordering::Relaxed);
        self.ledger_failed.inner().store(totals.failed, Ordering::Relaxed);
    }

    /// All metrics in OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a string does not fail.
            Err(std::fmt::Error) => String::new(),
        }
    }
}

/// Something that is counted while it is there.
#[derive(Debug)]
pub struct Guard(Gauge);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
