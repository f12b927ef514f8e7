//! What has to be fetched before policies can say something of an object: its namespace, and whether its images pass. And
//! which kinds have to be looked at again because that was not known.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use tokio::time::Instant;

use crate::admission::{Facts, NamespaceObject, Need, Source};
use crate::audit::plan::ServedKind;
use crate::audit::{Chosen, Existing};
use crate::controller::audit::Tools;
use crate::controller::limits::DOUBTFUL_INTERVAL;
use crate::json::Document;
use crate::policy::request::Operation;

/// The kind of the policies that ask registries.
const IMAGE_POLICY: &str = "ImagePolicy";

/// A namespace that the policies have not heard of.
pub(in crate::controller::audit) async fn namespace(
    tools: &Tools,
    name: &str,
) -> Option<NamespaceObject> {
    let api: Api<Namespace> = Api::all(tools.client.clone());
    let found = api.get_opt(name).await.ok()??;
    let value = serde_json::to_value(&found).ok()?;
    Some(NamespaceObject::new(&Document::from_value(&value)))
}

/// Whether images pass. Answers whether somebody was asked.
pub(in crate::controller::audit) async fn images(
    tools: &Tools,
    existing: &Existing<'_>,
    need: &Need,
    facts: &mut Facts,
) -> bool {
    let Some(images) = &tools.options.images else { return false };
    images.fetch(&existing.request(Operation::Create), need, facts).await;
    true
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
