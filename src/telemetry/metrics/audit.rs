//! The families of the audit. Only the replica that audits has anything to tell in them; what it found is gone from here
//! when another one takes over.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::telemetry::metrics::{CHANGE_BUCKETS, Metrics};

/// What one policy found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FindingLabels {
    /// The word for the kind of the policy.
    pub kind: &'static str,
    /// The policy: it must exist.
    pub policy: String,
    /// In lower case; empty if the policy does not say.
    pub severity: &'static str,
    /// `fail`, `warn` or `error`.
    pub result: &'static str,
}

/// A kind of objects: it must be served.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource, in lower-case plural.
    pub resource: String,
}

/// A policy that can't be asked about what exists: it must exist.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LeftOutLabels {
    /// The word for the kind of the policy.
    pub kind: &'static str,
    /// The policy.
    pub policy: String,
    /// Why, in a word.
    pub reason: &'static str,
}

/// What became of an Event about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    result: &'static str,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditTotals {
    /// Objects of the kinds that are audited.
    pub objects: usize,
    /// Those that at least one policy is about.
    pub covered: usize,
    /// Lists that are still to be read.
    pub backlog: usize,
}

#[derive(Debug, Default)]
pub(in crate::telemetry::metrics) struct AuditFamilies {
    objects: Gauge,
    covered: Gauge,
    backlog: Gauge,
    findings: Family<FindingLabels, Gauge>,
    evaluations: Counter<u64, AtomicU64>,
    delay: Option<Histogram>,
    edited: Counter,
    unreadable: Family<KindLabels, Gauge>,
    left_out: Family<LeftOutLabels, Gauge>,
    events: Family<EventLabels, Counter>,
}

impl AuditFamilies {
    pub fn register(&mut self, registry: &mut Registry) {
        let delay = Histogram::new(CHANGE_BUCKETS);
        let r = registry;
        r.register("audit_objects", "Objects that are audited", self.objects.clone());
        r.register(
            "audit_objects_covered",
            "Objects that at least one policy is about",
            self.covered.clone(),
        );
        r.register(
            "audit_backlog",
            "Lists of objects that are still to be read",
            self.backlog.clone(),
        );
        r.register("audit_findings", "What policies have against objects", self.findings.clone());
        r.register(
            "audit_evaluations",
            "Policies that were asked about an object",
            self.evaluations.clone(),
        );
        r.register(
            "audit_delay_seconds",
            "From an object's arrival to the findings about it",
            delay.clone(),
        );
        r.register("reports_edited", "Reports that somebody else edited", self.edited.clone());
        r.register(
            "audit_unreadable_kinds",
            "Kinds of objects that policies are about and that can't be read",
            self.unreadable.clone(),
        );
        r.register(
            "audit_policies_left_out",
            "Policies of the API server in force that can't be asked about what exists",
            self.left_out.clone(),
        );
        r.register(
            "audit_events",
            "Events about objects that newly fail a policy",
            self.events.clone(),
        );
        self.delay = Some(delay);
    }
}

impl Metrics {
    /// An object was looked at, so long after it arrived, and this many policies were asked about it.
    pub fn audited(&self, policies: usize, delay: Duration) {
        self.audit.evaluations.inc_by(policies as u64);
        if let Some(histogram) = &self.audit.delay {
            histogram.observe(delay.as_secs_f64());
        }
    }

    /// How much is known.
    pub fn audit(&self, totals: AuditTotals) {
        self.audit.objects.set(totals.objects as i64);
        self.audit.covered.set(totals.covered as i64);
        self.audit.backlog.set(totals.backlog as i64);
    }

    /// What policies found. What is not among it stays as it was.
    pub fn findings(&self, findings: impl IntoIterator<Item = (FindingLabels, u64)>) {
        for (labels, count) in findings {
            // A policy that finds nothing is told by a zero, so that whoever watches it sees that.
            if count == 0 && labels.result != "fail" {
                self.audit.findings.remove(&labels);
            } else {
                self.audit.findings.get_or_create(&labels).set(count as i64);
            }
        }
    }

    /// Nothing is known of what policies found.
    pub fn no_findings(&self) {
        self.audit.findings.clear();
    }

    /// Another replica audits from now on.
    pub fn audit_ended(&self) {
        self.audit(AuditTotals::default());
        self.no_findings();
        self.unreadable([]);
        self.left_out([]);
    }

    /// All policies that can't be asked about what exists. Who calls bounds how many.
    pub fn left_out(&self, policies: impl IntoIterator<Item = (LeftOutLabels, usize)>) {
        self.audit.left_out.clear();
        for (labels, count) in policies {
            self.audit.left_out.get_or_create(&labels).set(count as i64);
        }
    }

    /// Events about objects were `written`, `failed` to be, or were `left_out` because there were too many.
    pub fn events(&self, result: &'static str, count: u64) {
        self.audit.events.get_or_create(&EventLabels { result }).inc_by(count);
    }

    /// All kinds that can't be audited because they can't be read. Who calls bounds how many.
    pub fn unreadable(&self, kinds: impl IntoIterator<Item = (KindLabels, usize)>) {
        self.audit.unreadable.clear();
        for (labels, count) in kinds {
            self.audit.unreadable.get_or_create(&labels).set(count as i64);
        }
    }

    /// Somebody else edited a report.
    pub fn report_edited(&self) {
        self.audit.edited.inc();
    }
}
