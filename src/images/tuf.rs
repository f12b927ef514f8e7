//! Trust roots that are kept up to date by The Update Framework: who trusted a repository's first root learns safely of
//! every change of keys since. `sigstore-tuf` verifies; what it asks for is fetched by the client of registries, with its
//! limits.
//!
//! # Guarantees
//! - Nothing is believed that the keys of a root did not sign which leads back, one by one, to the root that was given.
//! - What was seen once is never taken back: an older version is refused as long as the process lives.
//! - What has expired is not taken for new.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use sigstore_tuf::transport::{FetchFuture, Repository, UpdaterConfig};
use sigstore_tuf::{MemoryStore, MetadataStore, Updater};

use crate::images::registry::Registry;
use crate::images::trust::{TRUST_ROOT_BYTES_MAX, TrustError, TrustRoot};

/// What Sigstore's repositories call the trust root.
const TARGET: &str = "trusted_root.json";

/// How long an update may take: a handful of small files, and one for each root since the one that was given.
const UPDATE_TIMEOUT: Duration = Duration::from_mins(1);

/// How large metadata may be. That of public instances has 1 to 10 KiB.
const METADATA_BYTES_MAX: u64 = 512 * 1024;

/// Why there is no update.
#[derive(Debug, thiserror::Error)]
pub enum TufError {
    /// Something can't be had or is not as it must be.
    #[error("{0}")]
    Repository(String),
    /// It takes too long.
    #[error("it took longer than {} s", UPDATE_TIMEOUT.as_secs())]
    Timeout,
    /// What is signed there is no trust root that can be used.
    #[error("`{TARGET}`: {0}")]
    Unusable(#[from] TrustError),
}

/// A repository that keeps a trust root.
pub struct Tuf {
    registry: Arc<Registry>,
    url: String,
    root: String,
    seen: Arc<MemoryStore>,
}

impl Tuf {
    /// A repository at an address, by a root that is trusted: a `root.json`.
    pub fn new(registry: Arc<Registry>, url: &str, root: &str) -> Tuf {
        let url = url.trim_end_matches('/').to_owned();
        Tuf { registry, url, root: root.to_owned(), seen: Arc::default() }
    }

    /// The trust root as it is there now.
    ///
    /// # Errors
    /// If it can't be had, can't be believed, or can't be used.
    pub async fn update(&self, now: Timestamp) -> Result<String, TufError> {
        let updated = async {
            let files = Files { registry: Arc::clone(&self.registry), url: self.url.clone() };
            let mut limits = UpdaterConfig::default();
            limits.root_max_length = METADATA_BYTES_MAX;
            limits.snapshot_max_length = METADATA_BYTES_MAX;
            limits.targets_max_length = METADATA_BYTES_MAX;
            limits.target_max_length = TRUST_ROOT_BYTES_MAX as u64;
            let updater = Updater::new(files, self.root.as_bytes())?.with_config(limits);
            let mut updater = updater.with_store(Seen(Arc::clone(&self.seen)));
            updater.refresh(now).await?;
            updater.get_target(TARGET, now).await
        };
        let updated = tokio::time::timeout(UPDATE_TIMEOUT, updated).await;
        let content = updated.map_err(|_| TufError::Timeout)?.map_err(|error| told(&error))?;
        let text = String::from_utf8(content).map_err(|error| told(&error))?;
        TrustRoot::from_json(&text)?;
        Ok(text)
    }
}

impl std::fmt::Debug for Tuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tuf").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The error with all its reasons.
fn told(error: &dyn std::error::Error) -> TufError {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(source) = inner {
        text = format!("{text}: {source}");
        inner = source.source();
    }
    TufError::Repository(text)
}

/// The files of a repository.
struct Files {
    registry: Arc<Registry>,
    url: String,
}

impl Files {
    fn fetch(&self, path: String, bytes_max: u64) -> FetchFuture<'_> {
        async move {
            let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
            let fetched = self.registry.fetch(&format!("{}/{path}", self.url), bytes_max).await;
            fetched.map_err(|error| sigstore_tuf::Error::transport(error.to_string()))
        }
        .boxed()
    }
}

impl Repository for Files {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        self.fetch(name.to_owned(), max_length)
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        self.fetch(format!("targets/{path}"), max_length)
    }
}

/// What was seen and verified; it is verified again when it is used.
struct Seen(Arc<MemoryStore>);

impl MetadataStore for Seen {
    fn load(&self, name: &str) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        self.0.load(name)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> sigstore_tuf::Result<()> {
        self.0.store(name, bytes)
    }
}
