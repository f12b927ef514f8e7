//! The families of images: what became of verifications, how long registries took, how often an answer was there already.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::telemetry::metrics::{CHANGE_BUCKETS, ImageAnswer, ImageResult, Metrics};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: ImageResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    from: ImageAnswer,
}

#[derive(Debug, Default)]
pub(in crate::telemetry::metrics) struct ImageFamilies {
    verifications: Family<ResultLabels, Counter>,
    answers: Family<AnswerLabels, Counter>,
    duration: Option<Histogram>,
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

    /// A request had to know whether an image passes.
    pub fn image_answer(&self, from: ImageAnswer) {
        self.images.answers.get_or_create(&AnswerLabels { from }).inc();
    }
}
