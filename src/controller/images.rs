//! Whether images pass, as a fact for admission: registries are asked once for many requests, answers are kept for a while,
//! and a registry that is down is left alone for a while.
//!
//! # Guarantees
//! - One verification for one image and policy at a time, however many requests wait for it.
//! - A request waits at most [`ANSWER_TIMEOUT`]. The verification goes on, and the next request finds its answer.
//! - What a registry could not say is unknown, and neither a permission nor a refusal: `failurePolicy` decides.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::admission::{Facts, Need, Source};
use crate::images::Reference;
use crate::images::registry::{Registry, RegistryError};
use crate::policy::Request;
use crate::policy::images::{ImageRules, Judgement, Verdict, judge};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{ImageAnswer, ImageResult};

/// How long a request waits for an answer: well below the 10 s that the API server gives a webhook.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a verification may take when nobody waits any more.
const VERIFICATION_TIMEOUT: Duration = Duration::from_secs(30);

/// How many verifications are under way at once. Others wait their turn.
const VERIFICATIONS_MAX: usize = 16;

/// How many answers are kept: more images than a large cluster runs, at some KiB each.
const ANSWERS_MAX: usize = 4096;

/// How long it counts that an image passes which is named by its digest. A signature stays good; a key that is revoked is
/// taken out of the policy, and with another policy nothing that is kept counts.
const PASSED_BY_DIGEST: Duration = Duration::from_mins(10);

/// How long it counts what became of an image that is named by a tag, which somebody can move.
const BY_TAG: Duration = Duration::from_secs(15);

/// How long it counts that an image does not pass. Somebody may be signing it just now.
const FAILED: Duration = Duration::from_secs(15);

/// How long it counts that nobody knows.
const UNKNOWN: Duration = Duration::from_secs(2);

/// After how many answers in a row that it did not give a registry is left alone.
const FAULTS_MAX: u32 = 3;

/// How long it is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// How many registries are watched for that.
const REGISTRIES_MAX: usize = 1024;

/// A source of facts that knows images, and asks another for everything else.
#[derive(Debug)]
pub struct WithImages<S> {
    inner: S,
    verifier: Arc<Verifier>,
}

impl<S> WithImages<S> {
    /// Asks registries through this client.
    pub fn new(inner: S, registry: Registry, metrics: Arc<Metrics>) -> WithImages<S> {
        let verifier = Verifier {
            registry,
            metrics,
            answers: Mutex::default(),
            faults: Mutex::default(),
            permits: Semaphore::new(VERIFICATIONS_MAX),
        };
        WithImages { inner, verifier: Arc::new(verifier) }
    }
}

impl<S: Source> Source for WithImages<S> {
    async fn fetch(&self, request: &Request<'_>, need: &Need, facts: &mut Facts) {
        let Need::Images(needed) = need else {
            return self.inner.fetch(request, need, facts).await;
        };
        let asked = needed.images.iter().map(|image| self.verifier.answer(&needed.rules, image));
        let answers = futures::future::join_all(asked).await;
        for (image, answer) in needed.images.iter().zip(answers) {
            facts.add_judgement(&needed.rules, image, answer);
        }
    }
}

type Key = (String, Reference);

/// An answer, or what will be one.
#[derive(Clone)]
struct Kept {
    answer: Shared<BoxFuture<'static, Option<Arc<Judgement>>>>,
    /// Set with the answer.
    until: Arc<OnceLock<Instant>>,
}

/// What a registry did lately.
#[derive(Clone, Copy)]
struct Faults {
    in_a_row: u32,
    last: Instant,
}

struct Verifier {
    registry: Registry,
    metrics: Arc<Metrics>,
    answers: Mutex<HashMap<Key, Kept>>,
    faults: Mutex<HashMap<String, Faults>>,
    permits: Semaphore,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    async fn answer(
        self: &Arc<Self>,
        rules: &Arc<ImageRules>,
        image: &Reference,
    ) -> Arc<Judgement> {
        let unknown = |why: &str| Arc::new(Judgement::unknown(image, why));
        let kept = self.kept(rules, image);
        match timeout(ANSWER_TIMEOUT, kept).await {
            Ok(Some(answer)) => answer,
            Ok(None) => unknown("its verification was cut off"),
            Err(_) => unknown("its verification is not done yet and goes on; try again"),
        }
    }

    /// The answer that is kept or on its way, or the beginning of one.
    fn kept(
        self: &Arc<Self>,
        rules: &Arc<ImageRules>,
        image: &Reference,
    ) -> Shared<BoxFuture<'static, Option<Arc<Judgement>>>> {
        let now = Instant::now();
        let counts = |kept: &Kept| match kept.until.get() {
            Some(until) => *until > now,
            // On its way, unless it was cut off.
            None => !matches!(kept.answer.peek(), Some(None)),
        };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (rules.fingerprint().to_owned(), image.clone());
        if let Some(kept) = answers.get(&key).filter(|kept| counts(kept)) {
            self.metrics.image_answer(ImageAnswer::Kept);
            return kept.answer.clone();
        }
        self.metrics.image_answer(ImageAnswer::Registry);
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, kept| counts(kept));
        }
        if answers.len() >= ANSWERS_MAX {
            // Whatever goes first is verified once more when it comes again.
            let first = answers.keys().next().cloned();
            first.and_then(|first| answers.remove(&first));
        }
        let until = Arc::new(OnceLock::new());
        let (verifier, ends) = (Arc::clone(self), Arc::clone(&until));
        let (rules, image) = (Arc::clone(rules), image.clone());
        // On its own, so that it goes on when nobody waits for it any more.
        let task = tokio::spawn(async move {
            let began = Instant::now();
            let judgement = verifier.verify(&rules, &image).await;
            let result = match judgement.verdict {
                Verdict::Passed => ImageResult::Passed,
                Verdict::Failed => ImageResult::Failed,
                Verdict::Unknown => ImageResult::Unknown,
            };
            verifier.metrics.image_verified(result, began.elapsed());
            let _ = ends.set(Instant::now() + lifetime(&image, judgement.verdict));
            Arc::new(judgement)
        });
        let answer = task.map(Result::ok).boxed().shared();
        answers.insert(key, Kept { answer: answer.clone(), until });
        answer
    }

    async fn verify(&self, rules: &ImageRules, image: &Reference) -> Judgement {
        let host = image.registry();
        if self.is_left_alone(host) {
            return Judgement::unknown(image, &format!("{host} has not answered lately"));
        }
        let Ok(_permit) = self.permits.acquire().await else {
            return Judgement::unknown(image, "the process stops");
        };
        let known = self.registry.find(image, VERIFICATION_TIMEOUT).await;
        let passes = RegistryError::is_passing;
        let is_fault = match &known {
            Ok(known) => known.iter().flat_map(|known| &known.gathered.problems).any(passes),
            Err(problem) => passes(problem),
        };
        self.heard(host, is_fault);
        #[expect(clippy::disallowed_methods, reason = "the rim owns the clock")]
        let now = Timestamp::now();
        let judgement = judge(rules, image, known.as_ref().map(Option::as_ref), now);
        if judgement.verdict != Verdict::Passed {
            tracing::info!(image = judgement.image, verdict = ?judgement.verdict, "{}", judgement.message);
        }
        judgement
    }

    fn is_left_alone(&self, host: &str) -> bool {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults
            .get(host)
            .is_some_and(|known| known.in_a_row >= FAULTS_MAX && known.last.elapsed() < LEFT_ALONE)
    }

    fn heard(&self, host: &str, is_fault: bool) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_fault {
            faults.remove(host);
            return;
        }
        if faults.len() >= REGISTRIES_MAX && !faults.contains_key(host) {
            faults.retain(|_, known| known.last.elapsed() < LEFT_ALONE);
        }
        if faults.len() < REGISTRIES_MAX || faults.contains_key(host) {
            let known = faults
                .entry(host.to_owned())
                .or_insert(Faults { in_a_row: 0, last: Instant::now() });
            known.in_a_row = known.in_a_row.saturating_add(1);
            known.last = Instant::now();
        }
    }
}

/// How long an answer counts.
fn lifetime(image: &Reference, verdict: Verdict) -> Duration {
    match verdict {
        Verdict::Passed if image.digest().is_some() => PASSED_BY_DIGEST,
        Verdict::Passed => BY_TAG,
        Verdict::Failed => FAILED,
        Verdict::Unknown => UNKNOWN,
    }
}
