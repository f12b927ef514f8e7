//! Events on objects that newly fail a policy, for whoever asks `kubectl describe` about them. What is new is found out by
//! `audit::store`.
//!
//! # Guarantees
//! - There are never more than the limits say ([`EVENTS_BURST`], [`NAMESPACE_EVENTS_BURST`]). What is left out is counted, and an
//!   Event on the policy says how much it was.
//! - Nobody waits for an Event to be written.

mod pace;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::audit::{Finding, PolicyRef, Verdict};
use crate::controller::audit::events::pace::Pace;
use crate::controller::audit::events::writer::{Told, write_all};
use crate::controller::cluster::Task;
use crate::controller::limits::{EVENTS_SUMMED_INTERVAL, EVENTS_WAITING_MAX};
use crate::telemetry::Metrics;

/// What is told of objects, and what is left out.
pub(in crate::controller::audit) struct Events {
    metrics: Arc<Metrics>,
    pace: Pace,
    left_out: BTreeMap<(&'static str, String), LeftOut>,
    told: mpsc::Sender<Told>,
    #[expect(dead_code, reason = "held until it is dropped")]
    task: Task,
}

/// Findings of one policy of which no Event tells.
struct LeftOut {
    policy: Arc<PolicyRef>,
    since: Instant,
    count: u64,
    /// One of the objects.
    example: String,
}

impl Events {
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Events {
        let (told, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
        let task = Task::spawn(write_all(client, Arc::clone(&metrics), receiver));
        Events { metrics, pace: Pace::default(), left_out: BTreeMap::new(), told, task }
    }

    /// Tells of objects that newly fail policies, or counts them.
    pub fn tell(&mut self, news: Vec<Finding>, now: Instant) {
        for finding in news {
            // One about an Event would be an Event that fails.
            if finding.object.kind == "Event" {
                continue;
            }
            if self.pace.admits(&finding.policy, &finding.object.namespace, now) {
                if let Err(refused) = self.told.try_send(Told::Finding(finding))
                    && let Told::Finding(finding) = refused.into_inner()
                {
                    self.leave_out(&finding, now);
                }
            } else {
                self.leave_out(&finding, now);
            }
        }
    }

    fn leave_out(&mut self, finding: &Finding, now: Instant) {
        self.metrics.events("left_out", 1);
        let policy = &finding.policy;
        let key = (policy.kind, policy.name.clone());
        let left_out = self.left_out.entry(key).or_insert_with(|| LeftOut {
            policy: Arc::clone(policy),
            since: now,
            count: 0,
            example: finding.object.to_string(),
        });
        left_out.count += 1;
    }

    /// Says of each policy how many findings were left out, some time after the first.
    pub fn sum_up(&mut self, now: Instant) {
        let is_due = |left_out: &LeftOut| now >= left_out.since + EVENTS_SUMMED_INTERVAL;
        let due = self.left_out.iter().filter(|(_, left_out)| is_due(left_out));
        for key in due.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            // What has no room now has some later.
            let Ok(free) = self.told.try_reserve() else { return };
            if !self.pace.admits_any(now) {
                return;
            }
            let Some(LeftOut { policy, count, example, .. }) = self.left_out.remove(&key) else {
                continue;
            };
            let (kind, name) = (policy.kind, &policy.name);
            tracing::warn!(
                kind,
                policy = name,
                count,
                example,
                "objects newly fail a policy, of which no Events tell: there are too many"
            );
            free.send(Told::LeftOut { policy, count, example });
        }
    }
}

/// Why there is an Event, in a word.
fn reason(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Warn => "PolicyWarning",
        Verdict::Error => "PolicyError",
        _ => "PolicyViolation",
    }
}
