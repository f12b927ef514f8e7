//! Whether images pass, as a fact for admission: registries are asked once for many requests, answers are kept for a while,
//! and a registry that is down is left alone for a while.
//!
//! # Guarantees
//! - One verification for one image and policy at a time, however many requests wait for it.
//! - A request waits at most [`ANSWER_TIMEOUT`]. The verification goes on, and the next request finds its answer.
//! - What a registry could not say is unknown, and neither a permission nor a refusal: `failurePolicy` decides, but for what
//!   the policy trusts for a while because it was verified before.
//! - What was found out with the credentials of one namespace is told to those who have the same credentials only.

mod breaker;
mod memory;
pub mod pull_secrets;
pub mod warm;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::admission::{Facts, Need, NoCluster, Source};
use crate::controller::images::breaker::Breaker;
use crate::controller::images::memory::Memory;
use crate::controller::images::pull_secrets::PullSecrets;
use crate::controller::images::warm::Warmer;
use crate::controller::now;
use crate::images::registry::{Asked, Inquiry, Keyring, Registry, Trail};
use crate::images::{Digest, Reference};
use crate::policy::Request;
use crate::policy::images::{ImageRules, Judgement, PullSecrets as Named, Verdict, judge};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{ImageAnswer, ImageResult};
use crate::telemetry::traces::{Step, Traces, VerifiedImage};

/// How long a request waits for an answer: well below the 10 s that the API server gives a webhook.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a verification may take when nobody waits any more.
const VERIFICATION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the audit waits for an image. It looks at everything, one after the other: what takes longer is looked at again.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a command waits: for as long as a verification may take, and for its turn.
const PATIENT_TIMEOUT: Duration = Duration::from_mins(2);

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

/// How often it is told how many registries are left alone.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// A source of facts that knows images, and asks another for everything else.
#[derive(Debug)]
pub struct WithImages<S> {
    inner: S,
    verifier: Arc<Verifier>,
    pull_secrets: Option<Arc<PullSecrets>>,
    /// How long a request waits.
    patience: Duration,
}

impl<S> WithImages<S> {
    /// Asks registries through this client, by tasks of the runtime that it is made in.
    pub fn new(inner: S, registry: Arc<Registry>, metrics: Arc<Metrics>) -> WithImages<S> {
        let verifier = Verifier {
            registry,
            metrics,
            answers: Mutex::default(),
            breaker: Mutex::default(),
            memory: Memory::default(),
            tasks: Handle::current(),
            permits: Semaphore::new(VERIFICATIONS_MAX),
            traces: OnceLock::new(),
        };
        let verifier = Arc::new(verifier);
        tokio::spawn(tell(Arc::downgrade(&verifier)));
        WithImages { inner, verifier, pull_secrets: None, patience: ANSWER_TIMEOUT }
    }

    /// Makes spans of verifications.
    #[must_use]
    pub fn traced(self, traces: Option<Traces>) -> WithImages<S> {
        if let Some(traces) = traces {
            // Nobody else does, and the first stays.
            let _ = self.verifier.traces.set(traces);
        }
        self
    }

    /// For who waits as long as it takes, because nobody else waits for the answer.
    #[must_use]
    pub fn patient(self) -> WithImages<S> {
        WithImages { patience: PATIENT_TIMEOUT, ..self }
    }

    /// The same answers, for who looks at what exists: it waits only as long as others can wait for it.
    pub fn for_audit(&self) -> WithImages<NoCluster> {
        WithImages {
            inner: NoCluster,
            verifier: Arc::clone(&self.verifier),
            pull_secrets: self.pull_secrets.clone(),
            patience: AUDIT_TIMEOUT,
        }
    }

    /// What verifies beforehand, with the same answers.
    pub fn warmer(&self) -> Warmer {
        let (verifier, pull_secrets) = (Arc::clone(&self.verifier), self.pull_secrets.clone());
        Warmer { verifier, pull_secrets }
    }

    /// Shows registries the credentials of the Pods that the images are for.
    #[must_use]
    pub fn with_pull_secrets(self, pull_secrets: Option<PullSecrets>) -> WithImages<S> {
        WithImages { pull_secrets: pull_secrets.map(Arc::new), ..self }
    }

    /// The credentials of the Pods of a request.
    async fn keyring(&self, request: &Request<'_>) -> Keyring {
        match (&self.pull_secrets, Named::of(request.object)) {
            (Some(secrets), Some(named)) if !request.namespace.is_empty() => {
                secrets.keyring(request.namespace, &named).await
            }
            _ => Keyring::default(),
        }
    }
}

impl<S: Source> Source for WithImages<S> {
    async fn fetch(&self, request: &Request<'_>, need: &Need, facts: &mut Facts) {
        let Need::Images(needed) = need else {
            return self.inner.fetch(request, need, facts).await;
        };
        let keyring = self.keyring(request).await;
        let verifier = &self.verifier;
        let asker = Asker { keyring, uid: request.uid.to_owned() };
        let asked = needed
            .images
            .iter()
            .map(|image| verifier.answer(&needed.rules, image, &asker, self.patience));
        let answers = futures::future::join_all(asked).await;
        for (image, answer) in needed.images.iter().zip(answers) {
            facts.add_judgement(&needed.rules, image, answer);
        }
        facts.add_now(now());
    }
}

/// As whom, and for which request, an image is asked about.
#[derive(Clone, Debug, Default)]
struct Asker {
    keyring: Keyring,
    uid: String,
}

/// Rules, image, and as whom it is asked about.
type Key = (String, Reference, [u8; 32]);

/// An answer, or what will be one.
#[derive(Clone)]
struct Kept {
    answer: Shared<BoxFuture<'static, Option<Arc<Judgement>>>>,
    /// Set with the answer.
    until: Arc<OnceLock<Instant>>,
}

struct Verifier {
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    answers: Mutex<HashMap<Key, Kept>>,
    breaker: Mutex<Breaker>,
    memory: Memory,
    /// Where verifications go on when whoever asked is gone.
    tasks: Handle,
    permits: Semaphore,
    traces: OnceLock<Traces>,
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
        asker: &Asker,
        patience: Duration,
    ) -> Arc<Judgement> {
        let unknown = |why: &str| {
            let unknown = Judgement::unknown(image, why);
            Arc::new(self.recalled(rules, &self.key(rules, image, asker), unknown))
        };
        let kept = self.kept(rules, image, asker);
        match timeout(patience, kept).await {
            Ok(Some(answer)) => answer,
            Ok(None) => unknown("its verification was cut off"),
            Err(_) => unknown("its verification is not done yet and goes on; try again"),
        }
    }

    fn key(&self, rules: &ImageRules, image: &Reference, asker: &Asker) -> Key {
        let mark = self.registry.mark(&asker.keyring, image);
        (rules.fingerprint().to_owned(), image.clone(), mark)
    }

    /// What nobody knows, unless it was verified before and the policy trusts that.
    fn recalled(&self, rules: &ImageRules, key: &Key, said: Judgement) -> Judgement {
        match self.memory.recall(rules, key, &said, Instant::now()) {
            Some(recalled) if said.verdict == Verdict::Unknown => {
                self.metrics.image_answer(ImageAnswer::VerifiedBefore);
                recalled
            }
            _ => said,
        }
    }

    /// The answer that is kept or on its way, or the beginning of one.
    fn kept(
        self: &Arc<Self>,
        rules: &Arc<ImageRules>,
        image: &Reference,
        asker: &Asker,
    ) -> Shared<BoxFuture<'static, Option<Arc<Judgement>>>> {
        let key = self.key(rules, image, asker);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = answers.get(&key).filter(|kept| kept.counts()) {
            self.metrics.image_answer(ImageAnswer::Kept);
            return kept.answer.clone();
        }
        self.metrics.image_answer(ImageAnswer::Registry);
        make_room(&mut answers);
        let until = Arc::new(OnceLock::new());
        let (verifier, ends) = (Arc::clone(self), Arc::clone(&until));
        let (rules, image, asker) = (Arc::clone(rules), image.clone(), asker.clone());
        let known_as = key.clone();
        // On its own, so that it goes on when nobody waits for it any more.
        let task = self.tasks.spawn(async move {
            let began = Instant::now();
            let judgement = verifier.verify(&rules, &image, &asker).await;
            let result = match judgement.verdict {
                Verdict::Passed => ImageResult::Passed,
                Verdict::Failed => ImageResult::Failed,
                Verdict::Unknown => ImageResult::Unknown,
            };
            verifier.metrics.image_verified(result, began.elapsed());
            let _ = ends.set(Instant::now() + lifetime(&image, judgement.verdict));
            if judgement.verdict == Verdict::Unknown {
                return Arc::new(verifier.recalled(&rules, &known_as, judgement));
            }
            let judgement = Arc::new(judgement);
            verifier.memory.take_in(&rules, &known_as, &judgement, (now(), Instant::now()));
            verifier.keep_pinned(&rules, &known_as, &judgement);
            judgement
        });
        let answer = task.map(Result::ok).boxed().shared();
        answers.insert(key, Kept { answer: answer.clone(), until });
        answer
    }

    /// Keeps what was said of a tag for the digest too that it is pinned to, which is asked for next.
    fn keep_pinned(&self, rules: &ImageRules, (by, image, mark): &Key, said: &Judgement) {
        let digest = said.digest.as_deref().map(Digest::parse);
        let (Verdict::Passed, None, true, Some(Ok(digest))) =
            (said.verdict, image.digest(), rules.pins_digests(), digest)
        else {
            return;
        };
        let image = image.at(&digest);
        let said = Arc::new(Judgement { image: image.to_string(), ..said.clone() });
        let until = OnceLock::from(Instant::now() + lifetime(&image, said.verdict));
        let key = (by.clone(), image, *mark);
        self.memory.take_in(rules, &key, &said, (now(), Instant::now()));
        let answer = futures::future::ready(Some(said)).boxed().shared();
        let kept = Kept { answer, until: Arc::new(until) };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut answers);
        answers.insert(key, kept);
    }

    async fn verify(&self, rules: &ImageRules, image: &Reference, asker: &Asker) -> Judgement {
        let begun = now();
        let host = image.registry();
        if self.breaker().is_left_alone(host, Instant::now()) {
            return Judgement::unknown(image, &format!("{host} has not answered lately"));
        }
        let Ok(_permit) = self.permits.acquire().await else {
            return Judgement::unknown(image, "the process stops");
        };
        let trail = Trail::default();
        let keyring = &asker.keyring;
        let inquiry = Inquiry { keyring, limit: VERIFICATION_TIMEOUT, trail: &trail };
        let known = self.registry.find(image, inquiry).await;
        let problems = match &known {
            Ok(known) => known.iter().flat_map(|known| &known.gathered.problems).collect(),
            Err(problem) => vec![problem],
        };
        self.breaker().heard(host, problems.into_iter(), Instant::now());
        let judgement = judge(rules, image, known.as_ref().map(Option::as_ref), now());
        if judgement.verdict != Verdict::Passed {
            tracing::info!(image = judgement.image, verdict = ?judgement.verdict, "{}", judgement.message);
        }
        self.tell(&judgement, begun, asker, &trail.take());
        judgement
    }

    /// How long everything took.
    fn tell(&self, judgement: &Judgement, begun: Timestamp, asker: &Asker, asked: &[Asked]) {
        for Asked { host, result, took, .. } in asked {
            self.metrics.registry_asked(host, result, *took);
        }
        let Some(traces) = self.traces.get() else { return };
        let questions: Vec<Step<'_>> = asked
            .iter()
            .map(|Asked { host, what, begun, took, result }| Step {
                name: format!("GET {host}"),
                what,
                begun: (*begun).into(),
                took: *took,
                result,
            })
            .collect();
        let took = now().duration_since(begun).unsigned_abs();
        traces.verified(&VerifiedImage {
            image: &judgement.image,
            verdict: judgement.verdict.word(),
            uid: &asker.uid,
            begun: begun.into(),
            took,
            questions: &questions,
        });
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells how many registries are left alone: that ends without a question.
async fn tell(verifier: Weak<Verifier>) {
    while let Some(verifier) = verifier.upgrade() {
        let left_alone = verifier.breaker().left_alone(Instant::now());
        verifier.metrics.registries_left_alone(left_alone);
        drop(verifier);
        sleep(TELL_INTERVAL).await;
    }
}

impl Kept {
    fn counts(&self) -> bool {
        match self.until.get() {
            Some(until) => *until > Instant::now(),
            // On its way, unless it was cut off.
            None => !matches!(self.answer.peek(), Some(None)),
        }
    }
}

/// Makes room for one answer more.
fn make_room(answers: &mut HashMap<Key, Kept>) {
    if answers.len() >= ANSWERS_MAX {
        answers.retain(|_, kept| kept.counts());
    }
    if answers.len() >= ANSWERS_MAX {
        // Whatever goes first is verified once more when it comes again.
        let first = answers.keys().next().cloned();
        first.and_then(|first| answers.remove(&first));
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
