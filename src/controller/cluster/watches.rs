//! The watches: one task for each kind, which tells the changes it sees. What is done with them is not known here.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, GroupVersionKind};
use kube::core::gvk::GroupVersion;
use kube::discovery::{Scope, pinned_kind};
use kube::error::DiscoveryError;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Client, Resource, ResourceExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::controller::cluster::discovery::{Discovered, Inventory};
use crate::controller::cluster::equivalents;
use crate::controller::cluster::item::Item;
use crate::controller::cluster::object::{BreakGlassObject, Content, Object, ObjectKey};
use crate::controller::cluster::secrets::{SecretName, public_part};
use crate::controller::cluster::state::{Change, KindKey, Watched};
use crate::controller::limits::{
    DISCOVERY_INTERVAL, KIND_INTERVAL, PARAMS_MAX, RETRY_INTERVAL, RETRY_INTERVAL_MAX,
    WATCH_SECONDS_MAX,
};
use crate::json::{Document, Node};
use crate::policy::api::{
    BreakGlass, ImagePolicy, MutatingPolicy, PolicyBinding, TrustRoot, ValidatingPolicy,
};
use crate::policy::definitions::ParamScope;
use crate::policy::manifest;
use crate::telemetry::Metrics;

/// A task that ends when it is dropped.
#[derive(Debug)]
pub(in crate::controller) struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Task {
    pub(in crate::controller) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(tokio::spawn(work))
    }

    /// Waits until it ends by itself.
    pub(in crate::controller) async fn ended(mut self) {
        // That it was cut off is no concern of whoever waits for its end.
        let _ = (&mut self.0).await;
    }
}

type Changes = mpsc::Sender<Change>;

/// Nobody takes changes any more.
struct Closed;

/// Why a watch ended by itself.
enum Ended {
    /// Nobody serves the kind any more.
    Unserved,
    /// There are more objects than we keep.
    TooMany,
}

/// Watches what is watched always.
pub(in crate::controller::cluster) fn watch_base(
    client: Client,
    watched: Watched,
    changes: Changes,
    metrics: Arc<Metrics>,
) -> Task {
    let resource = match &watched {
        Watched::Validating => ApiResource::erase::<ValidatingPolicy>(&()),
        Watched::Mutating => ApiResource::erase::<MutatingPolicy>(&()),
        Watched::Images => ApiResource::erase::<ImagePolicy>(&()),
        Watched::TrustRoots => ApiResource::erase::<TrustRoot>(&()),
        Watched::Bindings => ApiResource::erase::<PolicyBinding>(&()),
        Watched::BreakGlasses => ApiResource::erase::<BreakGlass>(&()),
        Watched::NativeValidating => ApiResource::erase::<ValidatingAdmissionPolicy>(&()),
        Watched::NativeBindings => ApiResource::erase::<ValidatingAdmissionPolicyBinding>(&()),
        Watched::Namespaces | Watched::Params(_) | Watched::Secret(_) => {
            ApiResource::erase::<k8s_openapi::api::core::v1::Namespace>(&())
        }
    };
    // Without their CRDs there are no BreakGlasses and no image policies: that must not keep us from being ready. Old API
    // servers have no policies.
    let is_optional = matches!(
        watched,
        Watched::BreakGlasses
            | Watched::Images
            | Watched::TrustRoots
            | Watched::NativeValidating
            | Watched::NativeBindings
    );
    let watch = Watch { client, watched, resource, changes, metrics };
    Task::spawn(async move {
        // An `Unserved` of ours is a CRD that is yet to come.
        while let Ok(_ended) = watch.run(is_optional).await {
            if is_optional && watch.none().await.is_err() {
                return;
            }
            sleep(KIND_INTERVAL).await;
        }
    })
}

/// Finds out where objects of a kind live, and watches them; again and again while nobody serves it.
pub(in crate::controller::cluster) fn watch_params(
    client: Client,
    kind: KindKey,
    changes: Changes,
    metrics: Arc<Metrics>,
) -> Task {
    Task::spawn(async move {
        while let Ok(wait) = watch_params_once(&client, &kind, &changes, &metrics).await {
            sleep(wait).await;
        }
    })
}

async fn watch_params_once(
    client: &Client,
    kind: &KindKey,
    changes: &Changes,
    metrics: &Arc<Metrics>,
) -> Result<Duration, Closed> {
    let KindKey { api_version, kind: name } = kind;
    let missing = async || send(changes, Change::Missing(kind.clone())).await;
    let (resource, scope) = match find(client, kind).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            missing().await?;
            return Ok(KIND_INTERVAL);
        }
        Err(error) => {
            metrics.watch_failure();
            tracing::warn!(api_version, kind = name, %error, "can't find out who serves the params");
            return Ok(KIND_INTERVAL);
        }
    };
    send(changes, Change::Found(kind.clone(), scope)).await?;
    let watch = Watch {
        client: client.clone(),
        watched: Watched::Params(kind.clone()),
        resource,
        changes: changes.clone(),
        metrics: Arc::clone(metrics),
    };
    match watch.run(true).await? {
        Ended::Unserved => Ok(RETRY_INTERVAL),
        Ended::TooMany => {
            tracing::error!(
                api_version,
                kind = name,
                "more than {PARAMS_MAX} objects: they can't be params"
            );
            missing().await?;
            Ok(DISCOVERY_INTERVAL)
        }
    }
}

/// Watches one Secret. Who may not read it is told.
pub(in crate::controller::cluster) fn watch_secret(
    client: Client,
    name: SecretName,
    changes: Changes,
    metrics: Arc<Metrics>,
) -> Task {
    let resource = ApiResource::erase::<Secret>(&());
    let watch = Watch { client, watched: Watched::Secret(name), resource, changes, metrics };
    Task::spawn(async move { while let Ok(_ended) = watch.run(false).await {} })
}

/// Tells which resources serve the same objects, whenever that changes.
pub(in crate::controller::cluster) fn watch_equivalents(
    mut discovered: Discovered,
    changes: Changes,
) -> Task {
    Task::spawn(async move {
        let mut last: Option<Arc<Inventory>> = None;
        while let Some(served) = discovered.changed().await {
            if last.is_none_or(|last| last.resources != served.resources) {
                let change = Change::Equivalents(equivalents::table(&served.resources));
                if send(&changes, change).await.is_err() {
                    return;
                }
            }
            last = Some(served);
        }
    })
}

/// Who serves a kind, if anybody does.
async fn find(
    client: &Client,
    kind: &KindKey,
) -> Result<Option<(ApiResource, ParamScope)>, kube::Error> {
    let Ok(version) = kind.api_version.parse::<GroupVersion>() else { return Ok(None) };
    let kind = GroupVersionKind::gvk(&version.group, &version.version, &kind.kind);
    match pinned_kind(client, &kind).await {
        Ok((resource, capabilities)) => {
            let scope = match capabilities.scope {
                Scope::Cluster => ParamScope::Cluster,
                Scope::Namespaced => ParamScope::Namespaced,
            };
            Ok(Some((resource, scope)))
        }
        Err(kube::Error::Discovery(DiscoveryError::MissingKind(_))) => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

async fn send(changes: &Changes, change: Change) -> Result<(), Closed> {
    changes.send(change).await.map_err(|_| Closed)
}

struct Watch {
    client: Client,
    watched: Watched,
    resource: ApiResource,
    changes: Changes,
    metrics: Arc<Metrics>,
}

impl Watch {
    /// Tells every change. Ends when the kind is gone, if that is of interest.
    async fn run(&self, ends_when_unserved: bool) -> Result<Ended, Closed> {
        let client = self.client.clone();
        let mut config = watcher::Config::default().timeout(WATCH_SECONDS_MAX);
        let api: Api<Item> = match &self.watched {
            Watched::Secret(SecretName { namespace, name }) => {
                config = config.fields(&format!("metadata.name={name}"));
                Api::namespaced_with(client, namespace, &self.resource)
            }
            _ => Api::all_with(client, &self.resource),
        };
        let events = watch_objects(api, config).backoff(Backoff::default());
        pin_mut!(events);
        let mut listed = 0_usize;
        while let Some(event) = events.next().await {
            let change = match event {
                Ok(Event::Init) => {
                    listed = 0;
                    Change::Restarted(self.watched.clone())
                }
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    listed += 1;
                    // Edits count too, so that this is not exact; it is begun anew at every list.
                    if ends_when_unserved && listed > 2 * PARAMS_MAX {
                        return Ok(Ended::TooMany);
                    }
                    Change::Seen(self.watched.clone(), Box::new(self.object(object)))
                }
                Ok(Event::Delete(object)) => Change::Gone(self.watched.clone(), key(&object)),
                Ok(Event::InitDone) => {
                    if ends_when_unserved && listed > PARAMS_MAX {
                        return Ok(Ended::TooMany);
                    }
                    Change::Complete(self.watched.clone())
                }
                Err(error) => {
                    self.metrics.watch_failure();
                    if let (Watched::Secret(name), Some(why)) = (&self.watched, refusal(&error)) {
                        // Told in the status of the policy; it is tried again, and may be allowed then.
                        let change = Change::Unreadable(name.clone(), why);
                        send(&self.changes, change).await?;
                        continue;
                    }
                    let kind = &self.resource.kind;
                    tracing::warn!(kind, %error, "watch broke off; what was seen stays in force");
                    if ends_when_unserved && is_unserved(&error) {
                        return Ok(Ended::Unserved);
                    }
                    continue;
                }
            };
            send(&self.changes, change).await?;
        }
        Ok(Ended::Unserved)
    }

    /// Tells that there are no objects.
    async fn none(&self) -> Result<(), Closed> {
        send(&self.changes, Change::Restarted(self.watched.clone())).await?;
        send(&self.changes, Change::Complete(self.watched.clone())).await
    }

    fn object(&self, item: Item) -> Object {
        let is_ours = matches!(
            self.watched,
            Watched::Validating | Watched::Mutating | Watched::Images | Watched::Bindings
        );
        let is_policy = is_ours
            || matches!(
                self.watched,
                Watched::TrustRoots | Watched::NativeValidating | Watched::NativeBindings
            );
        let (key, uid) = (key(&item), item.uid().unwrap_or_default());
        let generation = item.meta().generation;
        let resource_version = item.resource_version().unwrap_or_default();
        let document = item.document(&self.resource);
        // A status that we would not write is as good as none.
        let status = document.root().get("status").filter(|_| is_ours).map(Node::to_value);
        let status = status.and_then(|status| serde_json::from_value(status).ok());
        let content = if is_policy {
            let manifest = manifest::from_value(document.root().to_value());
            manifest.map(|manifest| Content::Manifest(Box::new(manifest)))
        } else if self.watched == Watched::BreakGlasses {
            break_glass(document.root().to_value())
                .map(|glass| Content::BreakGlass(Arc::new(glass)))
        } else if matches!(self.watched, Watched::Secret(_)) {
            let public = public_part(document.root().to_value());
            Ok(Content::Document(Arc::new(Document::from_value(&public))))
        } else {
            Ok(Content::Document(Arc::new(document)))
        };
        if let Err(error) = &content {
            let (kind, name) = (&self.resource.kind, &key.name);
            tracing::error!(
                kind,
                name,
                "can't be read; its last form stays, if it had one: {error}"
            );
        }
        let (content, problem) = match content {
            Ok(content) => (Some(content), None),
            Err(problem) => (None, Some(problem)),
        };
        Object { key, uid, generation, resource_version, content, problem, status }
    }
}

fn break_glass(value: serde_json::Value) -> Result<BreakGlassObject, String> {
    let glass: BreakGlass = serde_json::from_value(value).map_err(|error| error.to_string())?;
    Ok(BreakGlassObject {
        name: glass.name_any(),
        uid: glass.uid().unwrap_or_default(),
        created: glass.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |created| created.0),
        told_active: glass.status.map(|status| status.active),
        spec: glass.spec,
    })
}

/// Waits that double from [`RETRY_INTERVAL`] to a longest, and begin anew when nothing failed for twice as long as that.
/// (A watch says that its list begins before it asks for it, so that a success says nothing.)
#[derive(Debug)]
pub(in crate::controller) struct Backoff {
    next: Duration,
    max: Duration,
    /// When the last wait ended.
    ended: Option<Instant>,
}

impl Backoff {
    /// With this as the longest wait.
    pub fn up_to(max: Duration) -> Backoff {
        Backoff { next: RETRY_INTERVAL, max, ended: None }
    }

    /// How long to wait after a failure.
    fn wait(&mut self, now: Instant) -> Duration {
        if self.ended.is_some_and(|ended| now.duration_since(ended) > 2 * self.max) {
            self.next = RETRY_INTERVAL;
        }
        let wait = self.next;
        self.next = (wait * 2).min(self.max);
        self.ended = Some(now + wait);
        wait
    }
}

/// With [`RETRY_INTERVAL_MAX`].
impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::up_to(RETRY_INTERVAL_MAX)
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.wait(Instant::now()))
    }
}

impl kube::runtime::utils::Backoff for Backoff {
    fn reset(&mut self) {}
}

fn key(item: &Item) -> ObjectKey {
    ObjectKey { namespace: item.namespace().unwrap_or_default(), name: item.name_any() }
}

/// What the API server says of a right that is missing.
fn refusal(error: &watcher::Error) -> Option<String> {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) =
        error
    else {
        return None;
    };
    match error {
        kube::Error::Api(status) if [401, 403].contains(&status.code) => {
            Some(status.message.clone())
        }
        _ => None,
    }
}

fn is_unserved(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) =
        error
    else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::runtime::utils::Backoff as _;
    use tokio::time::Instant;

    use crate::controller::cluster::Backoff;

    #[test]
    fn waits_double_until_nothing_fails_for_long() {
        let mut backoff = Backoff::up_to(Duration::from_secs(1));
        let mut now = Instant::now();
        // Milliseconds from the end of one wait to the next failure, and how long it is waited then.
        let rows = [(0, 200), (0, 400), (900, 800), (0, 1_000), (2_000, 1_000), (2_001, 200)];
        for (after, expect) in rows {
            now += Duration::from_millis(after);
            let wait = backoff.wait(now);
            assert_eq!(wait, Duration::from_millis(expect));
            now += wait;
            // The beginning of a list that fails again.
            backoff.reset();
        }
    }
}
