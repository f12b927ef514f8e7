//! Reading from one repository: who we are is shown once, content is compared with its digest.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{HeaderValue, LINK, WWW_AUTHENTICATE};
use http::{StatusCode, Uri};
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::images::digest::Digest;
use crate::images::reference::Reference;
use crate::images::registry::Registry;
use crate::images::registry::challenge::{Challenge, encoded};
use crate::images::registry::discover::MANIFEST_BYTES_MAX;
use crate::images::registry::error::RegistryError;
use crate::images::registry::http::{Answer, Question};
use crate::images::registry::model::Descriptor;

/// Where the default registry really answers.
const DEFAULT_REGISTRY_HOST: &str = "registry-1.docker.io";

/// How large the answer of a token server may be.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// How large all signatures and attestations of one image may be together: what it costs in memory to look at them.
pub const IMAGE_BYTES_MAX: usize = 32 << 20;

/// One repository, asked about one image.
pub(in crate::images::registry) struct Session<'r> {
    registry: &'r Registry,
    image: &'r Reference,
    authorization: Mutex<Option<HeaderValue>>,
    /// How large what is read may still be.
    bytes_left: AtomicUsize,
}

/// A page of a list, and the path of the next.
pub(in crate::images::registry) struct Page {
    pub body: Bytes,
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'r> Session<'r> {
    pub fn new(registry: &'r Registry, image: &'r Reference) -> Session<'r> {
        Session {
            registry,
            image,
            authorization: Mutex::new(None),
            bytes_left: AtomicUsize::new(IMAGE_BYTES_MAX),
        }
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
        let body = self.body(answer, what)?;
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
            let what = format!("everything that is signed about `{}`", self.image);
            return Err(RegistryError::TooLarge { what, bytes_max: IMAGE_BYTES_MAX });
        }
        // A layer that is larger than it says has another digest.
        let answer = self.read(&format!("blobs/{digest}"), "*/*", &what, size).await?;
        same(&digest, self.body(answer, &what)?, &what).map(Into::into)
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
        Ok(Some(Page { next, body: self.body(answer, what)? }))
    }

    /// The path of an address below this repository; others are not followed.
    fn within(&self, address: &str) -> Option<String> {
        let uri: Uri = address.parse().ok()?;
        let path = uri.path_and_query()?.as_str();
        path.strip_prefix(&format!("/v2/{}/", self.image.repository())).map(str::to_owned)
    }

    async fn read(
        &self,
        path: &str,
        accept: &'static str,
        what: &str,
        bytes_max: usize,
    ) -> Result<Answer, RegistryError> {
        let host = match self.image.registry() {
            "docker.io" => DEFAULT_REGISTRY_HOST,
            host => host,
        };
        let path = format!("/v2/{}/{path}", self.image.repository());
        let uri = self.registry.http.uri(host, &path)?;
        let used = self.authorization.lock().await.clone();
        let question = Question { what, accept, authorization: used.as_ref(), bytes_max };
        let answer = self.registry.http.ask(uri.clone(), question).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let authorization = self.authorize(&uri, &answer, used.as_ref()).await?;
        let question = Question { authorization: Some(&authorization), ..question };
        self.registry.http.ask(uri, question).await
    }

    /// What shows who we are, as the registry asks for it. Whoever comes second uses what the first got.
    async fn authorize(
        &self,
        uri: &Uri,
        answer: &Answer,
        used: Option<&HeaderValue>,
    ) -> Result<HeaderValue, RegistryError> {
        let mut current = self.authorization.lock().await;
        if let Some(newer) = current.as_ref().filter(|newer| Some(*newer) != used) {
            return Ok(newer.clone());
        }
        let mut challenges = answer.headers.get_all(WWW_AUTHENTICATE).iter();
        let challenge = challenges
            .find_map(|header| Challenge::parse(header.to_str().ok()?))
            .ok_or_else(|| self.unauthorized())?;
        let basic = self.registry.credentials.of(self.image);
        let basic = basic.map(|basic| secret(&format!("Basic {basic}"))).transpose()?;
        let authorization = match challenge {
            Challenge::Basic => {
                // Where TLS is not used, somebody said that it need not be.
                let sent = basic.filter(|_| self.registry.http.is_safe(uri));
                sent.ok_or_else(|| self.unauthorized())?
            }
            Challenge::Bearer { realm, service } => {
                self.token(&realm, service.as_deref(), basic.as_ref()).await?
            }
        };
        *current = Some(authorization.clone());
        Ok(authorization)
    }

    /// A token for reading this repository and nothing else, whatever the registry says we should ask for.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        basic: Option<&HeaderValue>,
    ) -> Result<HeaderValue, RegistryError> {
        let refused = |why: &str| {
            RegistryError::Refused(format!("{} sends {why} for a token", self.image.registry()))
        };
        let scope = encoded(&format!("repository:{}:pull", self.image.repository()));
        let service = service.map(|service| format!("service={}&", encoded(service)));
        let joint = if realm.contains('?') { '&' } else { '?' };
        let address = format!("{realm}{joint}{}scope={scope}", service.unwrap_or_default());
        let uri: Uri = address.parse().map_err(|_| refused("to what is no address"))?;
        if uri.authority().is_none() || !self.registry.http.is_safe(&uri) {
            return Err(refused("somewhere without TLS"));
        }
        let question = Question {
            what: "the token",
            accept: "application/json",
            authorization: basic,
            bytes_max: TOKEN_BYTES_MAX,
        };
        let answer = self.registry.http.ask(uri, question).await?;
        if !answer.status.is_success() {
            return Err(self.unauthorized());
        }
        // What is in it is secret, also when it is malformed.
        let malformed = || RegistryError::Malformed {
            what: "the answer of the token server".to_owned(),
            why: "a JSON object with `token` is expected".to_owned(),
        };
        let token: Token = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
        let token = token.token.or(token.access_token).ok_or_else(malformed)?;
        secret(&format!("Bearer {token}"))
    }

    fn body(&self, answer: Answer, what: &str) -> Result<Bytes, RegistryError> {
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            StatusCode::NOT_FOUND => Err(RegistryError::NotFound(what.to_owned())),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.unauthorized()),
            status => Err(RegistryError::Status {
                host: self.image.registry().to_owned(),
                status: status.as_u16(),
            }),
        }
    }

    fn unauthorized(&self) -> RegistryError {
        RegistryError::Unauthorized {
            host: self.image.registry().to_owned(),
            repository: self.image.repository().to_owned(),
            credentials: self.registry.credentials.of(self.image).is_some(),
        }
    }
}

fn secret(text: &str) -> Result<HeaderValue, RegistryError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        RegistryError::Refused("a credential has letters that it can't have".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
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
