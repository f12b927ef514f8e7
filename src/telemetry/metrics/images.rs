//! The families of images: what became of verifications, how long registries took, how often an answer was there already.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::telemetry::metrics::{CHANGE_BUCKETS, ImageAnswer, ImageResult, Metrics};

/// How many hosts have a series of their own: whoever creates Pods names registries.
const HOSTS_MAX: usize = 32;

/// The label of the others.
const OTHER_HOSTS: &str = "other";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: ImageResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    from: ImageAnswer,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostLabels {
    host: String,
    result: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrustLabels {
    state: &'static str,
}

#[derive(Debug)]
pub(in crate::telemetry::metrics) struct ImageFamilies {
    verifications: Family<ResultLabels, Counter>,
    answers: Family<AnswerLabels, Counter>,
    duration: Option<Histogram>,
    questions: Family<HostLabels, Histogram, fn() -> Histogram>,
    hosts: Mutex<HashSet<String>>,
    left_alone: Gauge,
    trust_roots: Family<TrustLabels, Gauge>,
    trust_updated: Gauge,
}

impl Default for ImageFamilies {
    fn default() -> ImageFamilies {
        let questions = || Histogram::new(CHANGE_BUCKETS);
        ImageFamilies {
            verifications: Family::default(),
            answers: Family::default(),
            duration: None,
            questions: Family::new_with_constructor(questions),
            hosts: Mutex::default(),
            left_alone: Gauge::default(),
            trust_roots: Family::default(),
            trust_updated: Gauge::default(),
        }
    }
}

impl ImageFamilies {
    pub fn register(&mut self, registry: &mut Registry) {
        let duration = Histogram::new(CHANGE_BUCKETS);
        registry.register(
            "image_verifications",
            "Images that were verified by a policy, a registry asked",
            self.verifications.clone(),
        );
        registry.register(
            "image_answers",
            "Requests that had to know whether an image passes",
            self.answers.clone(),
        );
        registry.register(
            "image_verification_duration_seconds",
            "How long one verification took, most of it the registry",
            duration.clone(),
        );
        self.duration = Some(duration);
        registry.register(
            "image_registry_duration_seconds",
            "How long registries and token servers took to answer, by host",
            self.questions.clone(),
        );
        registry.register(
            "image_registries_left_alone",
            "Registries that are not asked now, because they did not answer or asked for it",
            self.left_alone.clone(),
        );
        registry.register(
            "trust_roots",
            "Trust roots that are to be kept up to date, by what came of the last update",
            self.trust_roots.clone(),
        );
        registry.register(
            "trust_roots_updated_timestamp_seconds",
            "When all trust roots that are to be kept up to date were last found to be so",
            self.trust_updated.clone(),
        );
    }
}

impl Metrics {
    /// An image was verified, or could not be, in this time.
    pub fn image_verified(&self, result: ImageResult, took: Duration) {
        self.images.verifications.get_or_create(&ResultLabels { result }).inc();
        if let Some(histogram) = &self.images.duration {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A registry was asked something.
    pub fn registry_asked(&self, host: &str, result: &str, took: Duration) {
        let host = {
            let mut hosts = self.images.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            let known = hosts.contains(host);
            if !known && hosts.len() < HOSTS_MAX {
                hosts.insert(host.to_owned());
            }
            if known || hosts.contains(host) { host } else { OTHER_HOSTS }.to_owned()
        };
        let result = if result.starts_with(|c: char| c.is_ascii_digit()) {
            format!("{}xx", result.get(..1).unwrap_or_default())
        } else {
            "none".to_owned()
        };
        let labels = HostLabels { host, result };
        self.images.questions.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// So many registries are not asked now.
    pub fn registries_left_alone(&self, count: usize) {
        self.images.left_alone.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Trust roots were to be brought up to date.
    pub fn trust_roots(&self, current: usize, failed: usize, now: Timestamp) {
        for (state, count) in [("current", current), ("failed", failed)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.images.trust_roots.get_or_create(&TrustLabels { state }).set(count);
        }
        if failed == 0 && current > 0 {
            self.images.trust_updated.set(now.as_second());
        }
    }

    /// A request had to know whether an image passes.
    pub fn image_answer(&self, from: ImageAnswer) {
        self.images.answers.get_or_create(&AnswerLabels { from }).inc();
    }
}
