//! From definitions to a published snapshot: compiled on a thread of its own, compared with the one before, told in log
//! and metrics. Where definitions come from is not known here.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::cel::Version;
use crate::controller::Snapshots;
use crate::controller::limits::BUILD_STACK_BYTES;
use crate::controller::trust::Trust;
use crate::policy::api::PolicyDiagnostic;
use crate::policy::compile::State;
use crate::policy::snapshot::{Binding, Bound, Snapshot};
use crate::policy::{Definitions, Origin};
use crate::telemetry::Metrics;

/// Compiles and publishes.
#[derive(Clone, Debug)]
pub struct Publisher {
    version: Version,
    metrics: Arc<Metrics>,
    snapshots: Snapshots,
    purpose: Purpose,
    trust: Trust,
    audits_images: bool,
}

/// What policies are published for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To decide requests.
    Enforce,
    /// To audit what exists: the API server enforces them, and says itself what is wrong with them.
    Audit,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no thread to compile on.
    #[error("no thread to compile on: {0}")]
    Thread(#[from] io::Error),
    /// Compiling ended without a result, which it never should.
    #[error("compiling ended without a result; this is a defect of Portcullis")]
    Lost,
}

/// What a policy became from one snapshot to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'s> {
    /// It is new, or it is edited, and in order.
    Compiled,
    /// It does not compile. `was_active`: the one before did.
    Broken {
        /// Where it was read, if it came from a file.
        source: &'s str,
        /// Why.
        diagnostics: &'s [PolicyDiagnostic],
        /// Whether the policy of this name was in order before.
        was_active: bool,
    },
    /// It is no longer there.
    Gone,
}

/// What identifies a policy among all: whose API, which kind, which name.
type Key<'s> = (Origin, &'static str, &'s str);

impl Publisher {
    /// Publishes what is compiled for this version of Kubernetes.
    pub fn new(
        version: Version,
        metrics: Arc<Metrics>,
        snapshots: Snapshots,
        purpose: Purpose,
    ) -> Publisher {
        let trust = Trust::new(None);
        Publisher { version, metrics, snapshots, purpose, trust, audits_images: false }
    }

    /// Puts trust roots that are kept up to date in the place of those that were written.
    #[must_use]
    pub fn with_trust(self, trust: Trust) -> Publisher {
        Publisher { trust, ..self }
    }

    /// Says whether image policies are asked about what exists.
    #[must_use]
    pub fn auditing_images(self, audits_images: bool) -> Publisher {
        Publisher { audits_images, ..self }
    }

    /// What is known of such trust roots.
    pub fn trust(&self) -> Trust {
        self.trust.clone()
    }

    /// The metrics that it tells.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Whether nobody listens any more.
    pub fn is_closed(&self) -> bool {
        self.snapshots.is_closed()
    }

    /// Waits until nobody listens any more.
    pub async fn closed(&self) {
        self.snapshots.closed().await;
    }

    /// Compiles definitions and puts them in force. `since` is when the change was seen that led here.
    ///
    /// # Errors
    /// If it could not be compiled; the last snapshot stays in force.
    pub async fn publish(
        &self,
        mut definitions: Definitions,
        since: Instant,
    ) -> Result<Arc<Snapshot>, BuildError> {
        self.trust.apply(&mut definitions);
        definitions.audits_images = self.audits_images;
        let previous = self.snapshots.borrow().clone();
        let begun = Instant::now();
        let built = build(definitions, self.version, previous.clone()).await;
        let snapshot = match built {
            Ok(snapshot) => Arc::new(snapshot),
            Err(error) => {
                if self.purpose == Purpose::Enforce {
                    self.metrics.reload(false);
                }
                tracing::error!(%error, "the last policies stay in force");
                return Err(error);
            }
        };
        let build = begun.elapsed();
        self.snapshots.send_replace(Some(Arc::clone(&snapshot)));
        if self.purpose == Purpose::Audit {
            let policies = snapshot.policies().count();
            tracing::debug!(policies, "policies of the API server that are audited");
            return Ok(snapshot);
        }
        self.tell(previous.as_deref(), &snapshot, build, since.elapsed());
        Ok(snapshot)
    }

    fn tell(&self, previous: Option<&Snapshot>, next: &Snapshot, build: Duration, lag: Duration) {
        for ((_, kind, name), change) in changes(previous, next) {
            match change {
                Change::Compiled => tracing::debug!(kind, policy = name, "compiled"),
                Change::Gone => tracing::info!(kind, policy = name, "gone"),
                Change::Broken { source, diagnostics, was_active } => {
                    tell_broken(kind, name, source, diagnostics, was_active);
                }
            }
        }
        let told = |binding: &&Binding| {
            let names = |other: &Binding| {
                other.name == binding.name && other.policy_name == binding.policy_name
            };
            previous.is_some_and(|previous| previous.orphans().iter().any(names))
        };
        for binding in next.orphans().iter().filter(|binding| !told(binding)) {
            let (binding, policy) = (binding.name.as_deref(), &binding.policy_name);
            tracing::warn!(binding, policy, "the binding names a policy that does not exist");
        }
        let (policies, broken) = count(next);
        self.metrics.reload(true);
        self.metrics.change(lag);
        let (build_ms, lag_ms) = (build.as_millis() as u64, lag.as_millis() as u64);
        tracing::info!(policies, broken, build_ms, lag_ms, "policies in force");
    }
}

/// Compiles on a thread with a stack that is large enough, so that no worker waits and none overflows.
///
/// # Errors
/// If there is no such thread.
pub async fn build(
    definitions: Definitions,
    version: Version,
    previous: Option<Arc<Snapshot>>,
) -> Result<Snapshot, BuildError> {
    on_a_thread(move || Snapshot::build(definitions, version, previous.as_deref())).await
}

/// Does what needs time and stack on a thread of its own.
///
/// # Errors
/// If there is no such thread.
pub(in crate::controller) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BuildError> {
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        // Nobody listens any more if the process stops.
        let _ = sender.send(work());
    };
    std::thread::Builder::new().name("compile".into()).stack_size(BUILD_STACK_BYTES).spawn(work)?;
    receiver.await.map_err(|_| BuildError::Lost)
}

/// What became of every policy that is new, edited, broken or gone. One that did not change is not told again.
pub fn changes<'s>(
    previous: Option<&'s Snapshot>,
    next: &'s Snapshot,
) -> Vec<(Key<'s>, Change<'s>)> {
    let before: HashMap<Key<'_>, &Bound> =
        previous.into_iter().flat_map(Snapshot::policies).map(|b| (key(b), b)).collect();
    let mut seen = HashSet::new();
    let mut changes = Vec::new();
    for bound in next.policies() {
        let key = key(bound);
        seen.insert(key);
        let earlier = before.get(&key);
        if earlier.is_some_and(|earlier| earlier.digest == bound.digest) {
            continue;
        }
        let was_active = earlier.is_some_and(|earlier| earlier.state() == State::Active);
        let change = match bound.state() {
            State::Active => Change::Compiled,
            State::Broken(diagnostics) => {
                Change::Broken { source: &bound.policy.source, diagnostics, was_active }
            }
        };
        changes.push((key, change));
    }
    let gone = before.into_keys().filter(|key| !seen.contains(key)).map(|key| (key, Change::Gone));
    changes.extend(gone);
    changes.sort_by_key(|(key, _)| *key);
    changes
}

fn key(bound: &Bound) -> Key<'_> {
    (bound.policy.origin, bound.policy.kind_name(), &bound.policy.name)
}

fn tell_broken(
    kind: &str,
    policy: &str,
    source: &str,
    diagnostics: &[PolicyDiagnostic],
    was_active: bool,
) {
    let before = if was_active { "; the one before did" } else { "" };
    for PolicyDiagnostic { field, message, excerpt } in diagnostics {
        // The excerpt begins with the message.
        let message = excerpt.as_ref().unwrap_or(message).trim_end();
        tracing::error!(
            kind,
            policy,
            source,
            field,
            "the policy does not compile{before}, and its failure policy decides: {message}"
        );
    }
}

/// How many policies there are, and how many of them are broken.
fn count(snapshot: &Snapshot) -> (usize, usize) {
    let is_broken = |bound: &&Bound| bound.state() != State::Active;
    (snapshot.policies().count(), snapshot.policies().filter(is_broken).count())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::cel::Version;
    use crate::controller::publish::{Change, build, changes};
    use crate::policy::Definitions;
    use crate::policy::manifest;

    fn definitions(policies: &[(&str, &str)]) -> Definitions {
        let mut definitions = Definitions::default();
        for (name, expression) in policies {
            let text = format!(
                "{{apiVersion: portcullis.dev/v1alpha1, kind: ValidatingPolicy, metadata: {{name: {name}}}, spec: \
                 {{matchConstraints: {{resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE], \
                 resources: [pods]}}]}}, validations: [{{expression: '{expression}'}}]}}}}"
            );
            for manifest in manifest::read("a.yaml", &text).unwrap() {
                definitions.add(manifest);
            }
        }
        definitions
    }

    #[tokio::test]
    async fn what_changed_is_told_and_nothing_else() {
        let check = async |before: &[(&str, &str)], after: &[(&str, &str)], expect: &[&str]| {
            let version = Version::default();
            let before = Arc::new(build(definitions(before), version, None).await.unwrap());
            let after =
                build(definitions(after), version, Some(Arc::clone(&before))).await.unwrap();
            let told: Vec<String> = changes(Some(&before), &after)
                .into_iter()
                .map(|((_, _, name), change)| match change {
                    Change::Compiled => format!("{name} compiled"),
                    Change::Broken { was_active, .. } => format!("{name} broken {was_active}"),
                    Change::Gone => format!("{name} gone"),
                })
                .collect();
            assert_eq!(told, expect);
        };
        check(&[], &[("a", "true"), ("b", "x")], &["a compiled", "b broken false"]).await;
        check(&[("a", "true")], &[("a", "true")], &[]).await;
        check(&[("a", "true")], &[("a", "1")], &["a broken true"]).await;
        check(&[("a", "x")], &[("a", "x"), ("b", "y")], &["b broken false"]).await;
        check(&[("a", "true"), ("b", "x")], &[], &["a gone", "b gone"]).await;
    }
}
