//! What has to be fetched before policies can say something of an object: its namespace, and whether its images pass. And
//! which kinds have to be looked at again because that was not known.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use tokio::time::Instant;

use crate::admission::{Facts, NamespaceObject, Need, Source};
use crate::audit::plan::ServedKind;
use crate::audit::{Auditor, Chosen, Examined, Existing};
use crate::cel::Arena;
use crate::controller::audit::Tools;
use crate::controller::limits::DOUBTFUL_INTERVAL;
use crate::json::Document;
use crate::policy::request::Operation;
use crate::policy::snapshot::Snapshot;

/// The kind of the policies that ask registries.
const IMAGE_POLICY: &str = "ImagePolicy";

/// Asks policies about an object, and fetches what they need for that.
///
/// # Errors
/// What can't be found out.
pub(in crate::controller::audit) async fn ask<'s>(
    tools: &Tools,
    known: &Snapshot,
    auditor: &Auditor<'s>,
    existing: &Existing<'_>,
    facts: &mut Facts,
    arena: &mut Arena,
) -> Result<Examined<'s>, Need> {
    let mut last = None;
    loop {
        let need = match auditor.examine(existing, facts, arena) {
            Ok(examined) => return Ok(examined),
            Err(need) => need,
        };
        if last.as_ref() == Some(&need) {
            return Err(need);
        }
        match (&need, &tools.options.images) {
            (Need::Namespace(name), _) => {
                let found = match known.namespace(name) {
                    Some(known) => Some(known.clone()),
                    // It is newer than the policies.
                    None => namespace(tools, name).await,
                };
                facts.add_namespace(name, found);
            }
            (Need::Images(_), Some(images)) => {
                images.fetch(&existing.request(Operation::Create), &need, facts).await;
            }
            _ => return Err(need),
        }
        last = Some(need);
    }
}

async fn namespace(tools: &Tools, name: &str) -> Option<NamespaceObject> {
    let api: Api<Namespace> = Api::all(tools.client.clone());
    let found = api.get_opt(name).await.ok()??;
    let value = serde_json::to_value(&found).ok()?;
    Some(NamespaceObject::new(&Document::from_value(&value)))
}

/// Kinds with images of which nobody knew whether they pass.
#[derive(Debug)]
pub(in crate::controller::audit) struct Doubtful {
    kinds: BTreeSet<ServedKind>,
    /// When they are looked at again.
    next: Instant,
}

impl Doubtful {
    pub fn new(now: Instant) -> Doubtful {
        Doubtful { kinds: BTreeSet::new(), next: now + DOUBTFUL_INTERVAL }
    }

    /// Takes note of a kind, if images of one of its objects are not known.
    pub fn add(&mut self, kind: &ServedKind, facts: &Facts) {
        if facts.doubts_images() {
            self.kinds.insert(kind.clone());
        }
    }

    /// What is to be looked at again now, by the policies that ask registries.
    pub fn due<'c>(
        &mut self,
        now: Instant,
        chosen: impl Fn(&ServedKind) -> Option<&'c Chosen>,
    ) -> Vec<(ServedKind, Chosen)> {
        if now < self.next {
            return Vec::new();
        }
        self.next = now + DOUBTFUL_INTERVAL;
        let again = |kind: ServedKind| {
            let names = chosen(&kind)?.get(IMAGE_POLICY)?.clone();
            Some((kind, Chosen::from([(IMAGE_POLICY, names)])))
        };
        std::mem::take(&mut self.kinds).into_iter().filter_map(again).collect()
    }
}
