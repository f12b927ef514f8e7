//! What the API server serves: asked in one place and again and again, and told to everybody who needs to know when it
//! changes.

use std::sync::Arc;
use std::time::Duration;

use kube::api::ApiResource;
use kube::discovery::{ApiGroup, Discovery, Scope, verbs};
use kube::{Client, Error};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::audit::plan::ServedKind;
use crate::controller::cluster::Task;
use crate::controller::limits::{
    AUDIT_DISCOVERY_INTERVAL, DISCOVERY_INTERVAL, KIND_INTERVAL, RETRY_INTERVAL_MAX,
};
use crate::policy::matching::Equivalent;

/// What is served.
#[derive(Debug, Default, PartialEq)]
pub struct Inventory {
    /// Every kind of which objects can be listed and watched, the versions of a resource next to each other and the
    /// preferred one first.
    pub kinds: Vec<ServedKind>,
    /// Every resource in every version, with its subresources, in a fixed order.
    pub resources: Vec<Equivalent>,
}

/// Asks once.
///
/// # Errors
/// If the API server can't be asked.
pub async fn discover(client: &Client) -> Result<Inventory, Error> {
    let asked = Discovery::new(client.clone()).run_aggregated().await;
    let discovery = match asked {
        Ok(found) if found.has_group(ApiGroup::CORE_GROUP) => found,
        // An API server older than 1.27 answers otherwise. No answer has to look as if nothing were served.
        Ok(_) | Err(Error::SerdeError(_) | Error::Discovery(_)) => {
            Discovery::new(client.clone()).run().await?
        }
        Err(error) => return Err(error),
    };
    let (mut kinds, mut resources) = (Vec::new(), Vec::new());
    for group in discovery.groups() {
        let preferred = group.preferred_version_or_latest();
        for version in group.versions() {
            for (resource, capabilities) in group.versioned_resources(version) {
                resources.push(row(&resource, &resource, ""));
                for (subresource, _) in &capabilities.subresources {
                    resources.push(row(&resource, subresource, &subresource.plural));
                }
                if !capabilities.supports_operation(verbs::LIST)
                    || !capabilities.supports_operation(verbs::WATCH)
                {
                    continue;
                }
                let ApiResource { group, version, plural, kind, .. } = resource;
                let is_preferred = version == preferred;
                let is_namespaced = capabilities.scope == Scope::Namespaced;
                let kind = ServedKind { group, resource: plural, version, kind, is_namespaced };
                kinds.push((kind, is_preferred));
            }
        }
    }
    let place = |(kind, is_preferred): &(ServedKind, bool)| {
        (kind.group.clone(), kind.resource.clone(), !is_preferred, kind.version.clone())
    };
    kinds.sort_by_key(place);
    resources.sort_by(|a, b| fields(a).cmp(&fields(b)));
    resources.dedup();
    Ok(Inventory { kinds: kinds.into_iter().map(|(kind, _)| kind).collect(), resources })
}

/// What the API server calls a kind.
pub fn resource(kind: &ServedKind) -> ApiResource {
    let ServedKind { group, resource, version, kind, .. } = kind;
    let slash = if group.is_empty() { "" } else { "/" };
    ApiResource {
        group: group.clone(),
        version: version.clone(),
        api_version: format!("{group}{slash}{version}"),
        kind: kind.clone(),
        plural: resource.clone(),
    }
}

fn row(resource: &ApiResource, kind: &ApiResource, subresource: &str) -> Equivalent {
    let ApiResource { group, version, plural, .. } = resource;
    Equivalent {
        group: group.clone(),
        version: version.clone(),
        resource: plural.clone(),
        subresource: subresource.to_owned(),
        kind: (kind.group.clone(), kind.version.clone(), kind.kind.clone()),
    }
}

fn fields(row: &Equivalent) -> (&str, &str, &str, &str) {
    (&row.resource, &row.group, &row.version, &row.subresource)
}

/// How others hear of what is served.
#[derive(Clone, Debug)]
pub struct Discovered {
    served: watch::Receiver<Option<Arc<Inventory>>>,
    doubts: Arc<Notify>,
}

impl Discovered {
    /// Asks as often as somebody needs it, until the task is dropped. `audits` says whether this replica audits, which has
    /// to hear of new kinds soon.
    pub(in crate::controller) fn start(
        client: Client,
        audits: watch::Receiver<bool>,
    ) -> (Discovered, Task) {
        let (sender, served) = watch::channel(None);
        let discovered = Discovered { served, doubts: Arc::new(Notify::new()) };
        let task = Task::spawn(keep(client, audits, sender, Arc::clone(&discovered.doubts)));
        (discovered, task)
    }

    /// Waits until something else is served than when this was called last; nothing if nobody asks any more.
    pub async fn changed(&mut self) -> Option<Arc<Inventory>> {
        loop {
            self.served.changed().await.ok()?;
            if let Some(served) = self.served.borrow_and_update().clone() {
                return Some(served);
            }
        }
    }

    /// Something that was served seems to be gone: it is found out soon.
    pub fn doubt(&self) {
        self.doubts.notify_one();
    }
}

async fn keep(
    client: Client,
    mut audits: watch::Receiver<bool>,
    served: watch::Sender<Option<Arc<Inventory>>>,
    doubts: Arc<Notify>,
) {
    loop {
        let wait = match discover(&client).await {
            Ok(found) => {
                served.send_if_modified(|served| {
                    let is_other = served.as_deref() != Some(&found);
                    if is_other {
                        *served = Some(Arc::new(found));
                    }
                    is_other
                });
                interval(*audits.borrow_and_update())
            }
            Err(error) => {
                tracing::warn!(%error, "can't find out what the API server serves");
                RETRY_INTERVAL_MAX
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = doubts.notified() => sleep(KIND_INTERVAL).await,
            Ok(()) = audits.changed() => {}
        }
    }
}

fn interval(audits: bool) -> Duration {
    if audits { AUDIT_DISCOVERY_INTERVAL } else { DISCOVERY_INTERVAL }
}
