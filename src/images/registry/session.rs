//! Reading from one repository: who we are is shown once, content is compared with its digest.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::LINK;
use http::{StatusCode, Uri};
use hyper::body::Bytes;
use tokio::sync::Mutex;

use crate::images::digest::Digest;
use crate::images::registry::Registry;
use crate::images::registry::authorization::Shown;
use crate::images::registry::discover::MANIFEST_BYTES_MAX;
use crate::images::registry::error::RegistryError;
use crate::images::registry::http::{Answer, Question};
use crate::images::registry::keyring::Keyring;
use crate::images::registry::mirrors::Repository;
use crate::images::registry::model::Descriptor;
use crate::images::registry::trail::Trail;

/// How large all signatures and attestations of one image may be together: what it costs in memory to look at them.
pub const IMAGE_BYTES_MAX: usize = 32 << 20;

/// One repository, asked about one image.
pub(in crate::images::registry) struct Session<'r> {
    pub registry: &'r Registry,
    pub at: Repository,
    pub keyring: &'r Keyring,
    pub trail: &'r Trail,
    pub shown: Mutex<Shown>,
    /// How large what is read of the image may still be, here and elsewhere.
    bytes_left: &'r AtomicUsize,
}

/// A page of a list, and the path of the next.
pub(in crate::images::registry) struct Page {
    pub body: Bytes,
    pub next: Option<String>,
}

impl<'r> Session<'r> {
    pub fn new(
        registry: &'r Registry,
        at: Repository,
        keyring: &'r Keyring,
        trail: &'r Trail,
        bytes_left: &'r AtomicUsize,
    ) -> Session<'r> {
        Session { registry, at, keyring, trail, shown: Mutex::default(), bytes_left }
    }

    /// A manifest by tag or digest.
    pub async fn manifest(
        &self,
        name: &str,
        accept: &'static str,
        what: &str,
    ) -> Result<Bytes, RegistryError> {
        let answer =
            self.read(&format!("manifests/{name}"), accept, what, MANIFEST_BYTES_MAX).await?;
        let body = self.body(answer, what).await?;
        match Digest::parse(name) {
            Ok(digest) => same(&digest, body, what),
            Err(_) => Ok(body),
        }
    }

    /// The content of a layer.
    pub async fn blob(
        &self,
        layer: &Descriptor,
        bytes_max: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        let what = format!("the layer `{}`", layer.digest);
        let digest = layer.digest(&what)?;
        let size = usize::try_from(layer.size).unwrap_or(usize::MAX);
        if size > bytes_max {
            return Err(RegistryError::TooLarge { what, bytes_max });
        }
        let take = |left: usize| left.checked_sub(size);
        if self.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            let what = format!("everything that is signed about an image of `{}`", self.at.name);
            return Err(RegistryError::TooLarge { what, bytes_max: IMAGE_BYTES_MAX });
        }
        // A layer that is larger than it says has another digest.
        let answer = self.read(&format!("blobs/{digest}"), "*/*", &what, size).await?;
        same(&digest, self.body(answer, &what).await?, &what).map(Into::into)
    }

    /// A page of a list, if the registry has such lists.
    pub async fn page(
        &self,
        path: &str,
        accept: &'static str,
        what: &str,
    ) -> Result<Option<Page>, RegistryError> {
        let answer = self.read(path, accept, what, MANIFEST_BYTES_MAX).await?;
        // Registries without the list say so in different ways.
        let has_none = matches!(
            answer.status,
            StatusCode::NOT_FOUND
                | StatusCode::BAD_REQUEST
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_IMPLEMENTED
        );
        if has_none {
            return Ok(None);
        }
        let next = answer.headers.get(LINK).and_then(|link| next(link.to_str().ok()?));
        let next = next.and_then(|next| self.within(&next));
        Ok(Some(Page { next, body: self.body(answer, what).await? }))
    }

    /// The path of an address below this repository; others are not followed.
    fn within(&self, address: &str) -> Option<String> {
        let uri: Uri = address.parse().ok()?;
        let path = uri.path_and_query()?.as_str();
        path.strip_prefix(&format!("/v2/{}/", self.at.name)).map(str::to_owned)
    }

    async fn read(
        &self,
        path: &str,
        accept: &'static str,
        what: &str,
        bytes_max: usize,
    ) -> Result<Answer, RegistryError> {
        let path = format!("/v2/{}/{path}", self.at.name);
        let uri: Uri = self.registry.http.uri(&self.at.host, &path)?;
        let (authorization, form, trail) = (None, None, self.trail);
        let question = Question { what, accept, authorization, form, bytes_max, trail };
        self.ask(uri, question).await
    }

    async fn body(&self, answer: Answer, what: &str) -> Result<Bytes, RegistryError> {
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            StatusCode::NOT_FOUND => Err(RegistryError::NotFound(what.to_owned())),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let shown = self.shown.lock().await;
                Err(RegistryError::Unauthorized {
                    host: self.at.registry.clone(),
                    repository: self.at.name.clone(),
                    credentials: shown.has_login,
                    unread: shown.unread.clone(),
                })
            }
            status => Err(RegistryError::Status {
                host: self.at.registry.clone(),
                status: status.as_u16(),
            }),
        }
    }
}

fn same(digest: &Digest, body: Bytes, what: &str) -> Result<Bytes, RegistryError> {
    if digest.is_of(&body) {
        return Ok(body);
    }
    Err(RegistryError::Digest { what: what.to_owned(), found: Digest::of(&body).to_string() })
}

/// The address of the next page, of a `Link` header (RFC 8288).
fn next(link: &str) -> Option<String> {
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains("rel=\"next\"").then(|| address.to_owned())
}
