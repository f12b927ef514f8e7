//! What a registry has about an image: which digest its tag names, and every signature and attestation of it, in both
//! forms in which cosign keeps them. Bounded in number and size; unverified.
//!
//! # Flow
//! [`Registry::find`]: the digest first, then referrers, `.sig` and `.att` at a time. Each is asked of a mirror first, where
//! there is one, and of the registry if the mirror has nothing.
//!
//! # Guarantees
//! - What can't be read is told in [`Gathered::problems`]: nothing looks unsigned because a registry was down.
//! - What is more than the limits is told in [`Gathered::left_out`].

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures::StreamExt as _;
use serde::de::DeserializeOwned;

use crate::images::digest::Digest;
use crate::images::evidence::{ANNOTATIONS, Evidence, Found, Layer};
use crate::images::reference::Reference;
use crate::images::registry::Registry;
use crate::images::registry::error::RegistryError;
use crate::images::registry::keyring::Keyring;
use crate::images::registry::model::{
    BUNDLE, Descriptor, ENVELOPE, INDEX, Index, MANIFESTS, Manifest, SIMPLE_SIGNING,
};
use crate::images::registry::session::{IMAGE_BYTES_MAX, Session};
use crate::images::registry::trail::Trail;

/// How large a manifest may be. Source: the distribution specification asks registries to take 4 MiB.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// How large a signature may be: a payload or bundle has some KiB.
pub const SIGNATURE_BYTES_MAX: usize = 256 << 10;

/// How large an attestation may be: lists of packages have some MiB.
pub const ATTESTATION_BYTES_MAX: usize = 8 << 20;

/// How many signatures and attestations of one image are looked at, of each form. An image has a handful.
pub const EVIDENCE_MAX: usize = 32;

/// How many pages a list of referrers may have.
const PAGES_MAX: usize = 4;

/// How many are read at a time.
const PARALLEL_MAX: usize = 4;

/// An image's digest, and what a registry has about it.
#[derive(Clone, Debug)]
pub struct Known {
    /// What the reference names.
    pub digest: Digest,
    /// What there is.
    pub gathered: Gathered,
}

/// What a registry has about an image.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Signatures and attestations.
    pub found: Vec<Found>,
    /// What could not be read, and why.
    pub problems: Vec<RegistryError>,
    /// How many signatures and attestations were not looked at because there are too many.
    pub left_out: usize,
}

impl Gathered {
    fn add(&mut self, other: Gathered) {
        self.found.extend(other.found);
        self.problems.extend(other.problems);
        self.left_out += other.left_out;
    }

    fn problem(error: RegistryError) -> Gathered {
        Gathered { problems: vec![error], ..Gathered::default() }
    }
}

/// How an image is asked about: as whom, for how long, and where it is noted what was asked.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    /// Who came with the credentials for it.
    pub keyring: &'a Keyring,
    /// The time there is.
    pub limit: Duration,
    /// Where every question is noted.
    pub trail: &'a Trail,
}

impl Registry {
    /// Everything about what the reference names, in the time there is.
    ///
    /// # Errors
    /// If the registry does not say what it names, or not in time.
    pub async fn find(
        &self,
        image: &Reference,
        inquiry: Inquiry<'_>,
    ) -> Result<Option<Known>, RegistryError> {
        let Inquiry { keyring, limit, trail } = inquiry;
        let bytes_left = AtomicUsize::new(IMAGE_BYTES_MAX);
        let session = |at| Session::new(self, at, keyring, trail, &bytes_left);
        let places = Places(self.mirrors.of(image).into_iter().map(session).collect());
        let found = async {
            let digest = places.resolve(image).await?;
            let gathered = places.gather(&digest).await;
            Ok(Some(Known { digest, gathered }))
        };
        match tokio::time::timeout(limit, found).await {
            Ok(known) => known,
            Err(_) => Err(RegistryError::Timeout { host: image.registry().to_owned(), limit }),
        }
    }
}

/// Where something is known of an image: mirrors of its registry, and the registry.
struct Places<'r>(Vec<Session<'r>>);

/// A list of what is said of an image.
#[derive(Clone, Copy)]
enum List {
    Referrers,
    Signatures,
    Attestations,
}

impl Places<'_> {
    /// The digest that a reference names: its own, or that of the manifest that its tag names now, computed from it.
    async fn resolve(&self, image: &Reference) -> Result<Digest, RegistryError> {
        if let Some(digest) = image.digest() {
            return Ok(digest.clone());
        }
        let tag = image.tag().unwrap_or_default();
        let what = format!("the manifest of `{image}`");
        let mut last = Err(RegistryError::NotFound(what.clone()));
        for session in &self.0 {
            last = session.manifest(tag, MANIFESTS, &what).await;
            match &last {
                Ok(manifest) => return Ok(Digest::of(manifest)),
                Err(error) => session.told(error),
            }
        }
        last.map(|manifest| Digest::of(&manifest))
    }

    /// Every signature and attestation of the image.
    async fn gather(&self, digest: &Digest) -> Gathered {
        let (mut all, signatures, attestations) = tokio::join!(
            self.list(List::Referrers, digest),
            self.list(List::Signatures, digest),
            self.list(List::Attestations, digest),
        );
        all.add(signatures);
        all.add(attestations);
        all
    }

    /// What the first has that has something and could say all of it.
    async fn list(&self, list: List, digest: &Digest) -> Gathered {
        let mut kept = Gathered::default();
        for session in &self.0 {
            let answered = session.list(list, digest).await;
            answered.problems.iter().for_each(|problem| session.told(problem));
            if kept.found.is_empty() || !answered.found.is_empty() {
                kept = answered;
            } else {
                kept.problems = answered.problems;
            }
            if kept.problems.is_empty() && !kept.found.is_empty() {
                break;
            }
        }
        kept
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Signature,
    Attestation,
}

impl Session<'_> {
    /// A mirror that does not answer is passed over for a while.
    fn told(&self, problem: &RegistryError) {
        if self.at.is_mirror && problem.is_fault() {
            self.registry.mirrors.fell_silent(&self.at.host);
        }
    }

    async fn list(&self, list: List, digest: &Digest) -> Gathered {
        let name = format!("{}-{}", digest.algorithm().as_str(), digest.hex());
        match list {
            List::Referrers => self.referrers(digest, &name).await,
            List::Signatures => self.legacy(&format!("{name}.sig"), Kind::Signature).await,
            List::Attestations => self.legacy(&format!("{name}.att"), Kind::Attestation).await,
        }
    }

    /// Bundles that refer to the image.
    async fn referrers(&self, digest: &Digest, tag: &str) -> Gathered {
        let (listed, mut gathered) = match self.listed(digest, tag).await {
            Ok(listed) => listed,
            Err(error) => return Gathered::problem(error),
        };
        gathered.left_out += listed.len().saturating_sub(EVIDENCE_MAX);
        let fetched: Vec<_> = futures::stream::iter(listed.into_iter().take(EVIDENCE_MAX))
            .map(|descriptor| self.referrer(descriptor, digest))
            .buffered(PARALLEL_MAX)
            .collect()
            .await;
        for result in fetched {
            match result {
                Ok(found) => gathered.found.extend(found),
                Err(error) => gathered.problems.push(error),
            }
        }
        gathered
    }

    /// What refers to the image and may be a bundle: as the registry says, or, where it can't, as the tag lists it that
    /// stands for that.
    async fn listed(
        &self,
        digest: &Digest,
        tag: &str,
    ) -> Result<(Vec<Descriptor>, Gathered), RegistryError> {
        let what = format!("the list of what refers to {digest}");
        let mut all = Vec::new();
        let mut gathered = Gathered::default();
        let mut path = Some(format!("referrers/{digest}"));
        for _ in 0..PAGES_MAX {
            let Some(asked) = path.take() else { break };
            let Some(page) = self.page(&asked, INDEX, &what).await? else { break };
            all.extend(read::<Index>(&page.body, &what)?.manifests);
            path = page.next;
        }
        if path.is_some() {
            // How many more is not known.
            gathered.left_out += 1;
        }
        if all.is_empty() {
            match self.manifest(tag, INDEX, &what).await {
                Ok(body) => all.extend(read::<Index>(&body, &what)?.manifests),
                Err(RegistryError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // An entry of such a tag may not say what it is.
        all.retain(|one| one.artifact_type.is_empty() || one.artifact_type.starts_with(BUNDLE));
        Ok((all, gathered))
    }

    /// The bundle of one that refers to the image, if it has one.
    async fn referrer(
        &self,
        descriptor: Descriptor,
        image: &Digest,
    ) -> Result<Option<Found>, RegistryError> {
        let what = format!("the manifest `{}`", descriptor.digest);
        let digest = descriptor.digest(&what)?;
        let body = self.manifest(&digest.to_string(), MANIFESTS, &what).await?;
        let manifest: Manifest = read(&body, &what)?;
        let of_image = |subject: &Descriptor| subject.digest == image.to_string();
        if !manifest.subject.as_ref().is_some_and(of_image) {
            return Ok(None);
        }
        let is_bundle = |layer: &&Descriptor| layer.media_type.starts_with(BUNDLE);
        let Some(layer) = manifest.layers.iter().find(is_bundle) else { return Ok(None) };
        let content = self.blob(layer, ATTESTATION_BYTES_MAX).await?;
        let place = format!("bundle {digest}");
        Ok(Some(Found { place, evidence: Evidence::Bundle(content) }))
    }

    /// The layers of the manifest by which cosign 2 kept signatures or attestations.
    async fn legacy(&self, tag: &str, kind: Kind) -> Gathered {
        let what = format!("the manifest `{tag}`");
        let manifest = match self.manifest(tag, MANIFESTS, &what).await {
            Ok(body) => read::<Manifest>(&body, &what),
            Err(RegistryError::NotFound(_)) => return Gathered::default(),
            Err(error) => Err(error),
        };
        let mut layers = match manifest {
            Ok(manifest) => manifest.layers,
            Err(error) => return Gathered::problem(error),
        };
        let media_type = match kind {
            Kind::Signature => SIMPLE_SIGNING,
            Kind::Attestation => ENVELOPE,
        };
        layers.retain(|layer| layer.media_type == media_type);
        let mut gathered =
            Gathered { left_out: layers.len().saturating_sub(EVIDENCE_MAX), ..Gathered::default() };
        let fetched: Vec<_> =
            futures::stream::iter(layers.into_iter().take(EVIDENCE_MAX).enumerate())
                .map(|(place, layer)| self.layer(format!("{tag}, layer {place}"), layer, kind))
                .buffered(PARALLEL_MAX)
                .collect()
                .await;
        for result in fetched {
            match result {
                Ok(found) => gathered.found.push(found),
                Err(error) => gathered.problems.push(error),
            }
        }
        gathered
    }

    async fn layer(
        &self,
        place: String,
        layer: Descriptor,
        kind: Kind,
    ) -> Result<Found, RegistryError> {
        let bytes_max = match kind {
            Kind::Signature => SIGNATURE_BYTES_MAX,
            Kind::Attestation => ATTESTATION_BYTES_MAX,
        };
        let content = self.blob(&layer, bytes_max).await?;
        let [signature, certificate, chain, log_entry, timestamp] =
            ANNOTATIONS.map(|name| layer.annotation(name));
        let layer = Layer { content, signature, certificate, chain, log_entry, timestamp };
        let evidence = match kind {
            Kind::Signature => Evidence::Signature(layer),
            Kind::Attestation => Evidence::Attestation(layer),
        };
        Ok(Found { place, evidence })
    }
}

fn read<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, RegistryError> {
    serde_json::from_slice(body)
        .map_err(|why| RegistryError::Malformed { what: what.to_owned(), why: why.to_string() })
}
