//! Verifying what runs already, so that the first admission after a start or a change of policies finds its answer there.
//!
//! # Guarantees
//! - It is done for images that are named by their digest: the answer about a tag does not last.
//! - It takes a small part of the verifications that may be under way, and ends by itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::controller::images::pull_secrets::PullSecrets;
use crate::controller::images::{Asker, Verifier};
use crate::images::Reference;
use crate::images::registry::Keyring;
use crate::policy::images::{ImageRules, PullSecrets as Named};
use crate::policy::snapshot::Snapshot;

/// How many images are verified beforehand: a part of the answers that are kept.
const IMAGES_MAX: usize = 1000;

/// How many are verified at a time: requests have the rest.
const PARALLEL_MAX: usize = 2;

/// How many Pods are asked for at a time, and looked at altogether.
const PAGE: u32 = 250;
const PODS_MAX: usize = 20_000;

/// How long is waited before it is done once more for other policies.
const PAUSE: Duration = Duration::from_secs(30);

/// Verifies beforehand.
#[derive(Debug)]
pub struct Warmer {
    pub(in crate::controller::images) verifier: Arc<Verifier>,
    pub(in crate::controller::images) pull_secrets: Option<Arc<PullSecrets>>,
}

/// As whom Pods pull: namespace, Secrets, ServiceAccount.
type Puller = (String, Vec<String>, String);

impl Warmer {
    /// Does so for each set of policies, until there are no more.
    pub async fn keep(self, client: Client, mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>) {
        let mut done: HashSet<String> = HashSet::new();
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let all: Vec<Arc<ImageRules>> = snapshot.iter().flat_map(|one| rules(one)).collect();
            let is_new = |rules: &&Arc<ImageRules>| !done.contains(rules.fingerprint());
            let new: Vec<Arc<ImageRules>> = all.iter().filter(is_new).cloned().collect();
            if !new.is_empty() {
                let images = match self.images(&client).await {
                    Ok(images) => images,
                    Err(error) => {
                        tracing::warn!(%error, "what runs is not verified beforehand: Pods can't be listed");
                        HashMap::new()
                    }
                };
                self.verify(&new, images).await;
                sleep(PAUSE).await;
            }
            done = all.iter().map(|rules| rules.fingerprint().to_owned()).collect();
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    /// The images of all Pods, each with who pulls it.
    async fn images(
        &self,
        client: &Client,
    ) -> Result<HashMap<Reference, HashSet<Puller>>, kube::Error> {
        let api: Api<Pod> = Api::all(client.clone());
        let mut found: HashMap<Reference, HashSet<Puller>> = HashMap::new();
        let (mut page, mut pods) = (ListParams::default().limit(PAGE), 0);
        loop {
            let list = api.list(&page).await?;
            pods += list.items.len();
            for pod in &list.items {
                let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
                let Some(spec) = &pod.spec else { continue };
                let puller = self.puller(namespace, spec);
                for image in images(spec).filter(|image| image.digest().is_some()) {
                    found.entry(image).or_default().insert(puller.clone());
                }
            }
            let token = list.metadata.continue_.filter(|token| !token.is_empty());
            match token {
                Some(token) if pods < PODS_MAX => page = page.continue_token(&token),
                _ => return Ok(found),
            }
        }
    }

    /// Everybody is the same where nobody's credentials are shown.
    fn puller(&self, namespace: &str, spec: &PodSpec) -> Puller {
        if self.pull_secrets.is_none() {
            return Puller::default();
        }
        let secrets = spec.image_pull_secrets.iter().flatten();
        let account = spec.service_account_name.clone().unwrap_or_default();
        (namespace.to_owned(), secrets.map(|secret| secret.name.clone()).collect(), account)
    }

    async fn verify(&self, all: &[Arc<ImageRules>], images: HashMap<Reference, HashSet<Puller>>) {
        let asked = images.into_iter().flat_map(|(image, pullers)| {
            pullers.into_iter().map(move |puller| (image.clone(), puller))
        });
        let asked = asked.flat_map(|(image, puller)| {
            let about = all.iter().filter(|rules| rules.fixed().is_none());
            let about: Vec<_> = about.filter(|rules| rules.is_about(&image)).cloned().collect();
            about.into_iter().map(move |rules| (rules, image.clone(), puller.clone()))
        });
        let verified = futures::stream::iter(asked.take(IMAGES_MAX))
            .map(|(rules, image, puller)| async move {
                let keyring = self.keyring(&puller).await;
                let asker = Asker { keyring, ..Asker::default() };
                self.verifier.kept(&rules, &image, &asker).await;
            })
            .buffer_unordered(PARALLEL_MAX)
            .count()
            .await;
        tracing::info!(verified, "images that run were verified beforehand");
    }

    async fn keyring(&self, (namespace, secrets, account): &Puller) -> Keyring {
        let Some(reader) = &self.pull_secrets else { return Keyring::default() };
        let secrets = secrets.iter().map(String::as_str).collect();
        reader.keyring(namespace, &Named { secrets, account }).await
    }
}

/// The rules of every image policy.
fn rules(snapshot: &Snapshot) -> Vec<Arc<ImageRules>> {
    snapshot.policies().filter_map(|bound| bound.policy.image_rules()).cloned().collect()
}

/// The images of a Pod.
fn images(spec: &PodSpec) -> impl Iterator<Item = Reference> {
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let named = containers.filter_map(|container| container.image.as_deref());
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref());
    let mounted = volumes.filter_map(|image| image.reference.as_deref());
    named.chain(mounted).filter_map(|text| Reference::parse(text).ok())
}
