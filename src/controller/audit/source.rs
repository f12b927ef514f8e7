//! Where objects come from: a watch for each kind that is audited, and lists that are read again because a policy or a
//! namespace changed. What is done with objects is not known here.
//!
//! # Guarantees
//! - Lists are read page by page, no more than [`LISTS_AT_ONCE_MAX`] at a time.
//! - Who takes objects sets the pace: no more than [`OBJECTS_WAITING_MAX`] wait, and a page for each list.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use kube::api::{Api, ApiResource, ListParams};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Client, Error};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use crate::audit::plan::ServedKind;
use crate::controller::audit::unreadable::Reason;
use crate::controller::cluster::{Backoff, Item, Task, resource};
use crate::controller::limits::{
    AUDIT_PAGE_OBJECTS, AUDIT_RETRY_INTERVAL_MAX, KIND_INTERVAL, LISTS_AT_ONCE_MAX,
    OBJECTS_WAITING_MAX, RETRY_INTERVAL_MAX, WATCH_SECONDS_MAX,
};
use crate::telemetry::Metrics;

/// What is heard of objects of a kind.
#[derive(Debug)]
pub(in crate::controller::audit) enum Heard {
    /// A list of all of them begins.
    Listing,
    /// One is there, or changed. When it arrived.
    Object(Box<Item>, Instant),
    /// One is gone.
    Gone(Box<Item>),
    /// The list is complete.
    Listed,
    /// They can't be listed or watched now, because the API server says so.
    Unreadable(Reason),
    /// Nobody serves them, at least not at the moment.
    Unserved,
}

/// Who hears of it: a watch, or a list that is read again.
pub(in crate::controller::audit) type SourceId = u64;

pub(in crate::controller::audit) type Heards = mpsc::Sender<(SourceId, Heard)>;

/// Where objects are asked for.
#[derive(Clone)]
pub(in crate::controller::audit) struct Sources {
    client: Client,
    metrics: Arc<Metrics>,
    heards: Heards,
    lists: Arc<Semaphore>,
}

impl Sources {
    /// Sources that tell what they hear to the receiver.
    pub fn new(
        client: Client,
        metrics: Arc<Metrics>,
    ) -> (Sources, mpsc::Receiver<(SourceId, Heard)>) {
        let (heards, receiver) = mpsc::channel(OBJECTS_WAITING_MAX);
        let lists = Arc::new(Semaphore::new(LISTS_AT_ONCE_MAX));
        (Sources { client, metrics, heards, lists }, receiver)
    }

    /// Watches all objects of a kind, again and again, until it is dropped.
    pub fn watch(&self, id: SourceId, kind: &ServedKind) -> Task {
        let (sources, resource) = (self.clone(), resource(kind));
        Task::spawn(async move {
            // It ends when the kind is gone; whether it is still audited is found out elsewhere.
            while sources.watch_once(id, &resource).await.is_some() {
                sleep(KIND_INTERVAL).await;
            }
        })
    }

    /// None if nobody listens any more.
    async fn watch_once(&self, id: SourceId, resource: &ApiResource) -> Option<()> {
        let api: Api<Item> = Api::all_with(self.client.clone(), resource);
        let config = watcher::Config::default().timeout(WATCH_SECONDS_MAX);
        let config = config.page_size(AUDIT_PAGE_OBJECTS);
        let backoff = Backoff::up_to(AUDIT_RETRY_INTERVAL_MAX);
        let events = watch_objects(api, config).backoff(backoff);
        let mut events = pin!(events);
        let mut turn = None;
        while let Some(event) = events.next().await {
            let heard = match event {
                Ok(Event::Init) => {
                    // The first page is asked for when the stream is looked at again.
                    turn = Some(self.lists.acquire().await.ok()?);
                    Heard::Listing
                }
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    Heard::Object(Box::new(object), Instant::now())
                }
                Ok(Event::Delete(object)) => Heard::Gone(Box::new(object)),
                Ok(Event::InitDone) => {
                    turn = None;
                    Heard::Listed
                }
                Err(error) => {
                    turn = None;
                    match told(&error) {
                        Some(heard) => heard,
                        None => {
                            // It goes on where it was, and how long the API server is away is told elsewhere.
                            self.metrics.watch_failure();
                            let (kind, group) = (&resource.kind, &resource.group);
                            tracing::debug!(kind, group, %error, "a watch of what is audited broke off");
                            continue;
                        }
                    }
                }
            };
            self.heards.send((id, heard)).await.ok()?;
        }
        drop(turn);
        Some(())
    }

    /// Reads all objects of a kind once more, or those in a namespace.
    pub fn list(&self, id: SourceId, kind: &ServedKind, namespace: Option<&str>) -> Task {
        let (sources, resource) = (self.clone(), resource(kind));
        let api: Api<Item> = match namespace.filter(|_| kind.is_namespaced) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        Task::spawn(async move {
            let mut ended = Heard::Listed;
            while let Some(Err(error)) = sources.list_once(id, &api).await {
                if let Error::Api(status) = &error
                    && matches!(status.code, 403..=405)
                {
                    ended = refusal(status, false);
                    break;
                }
                sources.metrics.watch_failure();
                let (kind, group) = (&resource.kind, &resource.group);
                tracing::warn!(kind, group, %error, "objects can't be audited again now");
                sleep(RETRY_INTERVAL_MAX).await;
            }
            let _ = sources.heards.send((id, ended)).await;
        })
    }

    /// None if nobody listens any more.
    async fn list_once(&self, id: SourceId, api: &Api<Item>) -> Option<Result<(), Error>> {
        let mut params = ListParams::default().limit(AUDIT_PAGE_OBJECTS);
        loop {
            let page = {
                let _turn = self.lists.acquire().await.ok()?;
                match api.list(&params).await {
                    Ok(page) => page,
                    Err(error) => return Some(Err(error)),
                }
            };
            let arrived = Instant::now();
            for object in page.items {
                let heard = Heard::Object(Box::new(object), arrived);
                self.heards.send((id, heard)).await.ok()?;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Some(Ok(())),
            }
        }
    }
}

/// What a failure says of a kind; nothing if only the connection failed, or the watch was too slow.
fn told(error: &watcher::Error) -> Option<Heard> {
    let is_of_list = matches!(error, watcher::Error::InitialListFailed(_));
    let text = match error {
        watcher::Error::InitialListFailed(Error::Api(status))
        | watcher::Error::WatchStartFailed(Error::Api(status))
        | watcher::Error::WatchError(status) => {
            return (status.code != 410).then(|| refusal(status, is_of_list));
        }
        watcher::Error::InitialListFailed(error) => error.to_string(),
        watcher::Error::NoResourceVersion => error.to_string(),
        _ => return None,
    };
    Some(Heard::Unreadable(Reason { text, is_of_list }))
}

fn refusal(status: &kube::core::Status, is_of_list: bool) -> Heard {
    let text = match status.code {
        404 => return Heard::Unserved,
        code if status.message.is_empty() => format!("the API server answers {code}"),
        _ => status.message.clone(),
    };
    Heard::Unreadable(Reason { text, is_of_list })
}
