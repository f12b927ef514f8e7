//! One question to a registry over HTTP, with its limits: time, size, redirects, repetitions. What is asked and what the
//! answer means is not known here.

use std::collections::BTreeSet;
use std::time::Duration;

use http::header::{
    ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT,
};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::images::registry::error::RegistryError;

/// How long a connection may take: a registry that is up accepts within milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one answer may take, its body included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a question is repeated that met a reset, a 429 or a 5xx.
const RETRIES_MAX: u32 = 2;

/// How long is waited before the first repetition; twice as long before the second.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// The longest wait that a registry may ask for while somebody waits for us. One that asks for more is left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);

/// How many redirects are followed. Registries send to their storage with one.
const REDIRECTS_MAX: usize = 3;

/// Who asks.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION")));

pub(in crate::images::registry) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// Hosts, with ports, that are asked without TLS.
    plain: BTreeSet<String>,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(in crate::images::registry) struct Question<'a> {
    /// What it is called in errors.
    pub what: &'a str,
    pub accept: &'static str,
    pub authorization: Option<&'a HeaderValue>,
    pub bytes_max: usize,
}

pub(in crate::images::registry) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Http {
    pub fn new(
        authorities: Vec<CertificateDer<'static>>,
        plain: BTreeSet<String>,
    ) -> Result<Http, RegistryError> {
        let refused = |error: rustls::Error| RegistryError::Refused(error.to_string());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for authority in authorities {
            roots.add(authority).map_err(refused)?;
        }
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Http { client: Client::builder(TokioExecutor::new()).build(connector), plain })
    }

    /// The address of a path on a host: with TLS, unless the host is named as one without.
    pub fn uri(&self, host: &str, path_and_query: &str) -> Result<Uri, RegistryError> {
        let scheme = if self.plain.contains(host) { "http" } else { "https" };
        let uri = format!("{scheme}://{host}{path_and_query}");
        uri.parse().map_err(|_| RegistryError::Refused(format!("`{uri}` is no address")))
    }

    /// Whether something secret may be sent there.
    pub fn is_safe(&self, uri: &Uri) -> bool {
        let host = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        uri.scheme_str() == Some("https") || self.plain.contains(&host.to_ascii_lowercase())
    }

    /// Asks, again if that may help, and follows to where the registry sends.
    pub async fn ask(&self, uri: Uri, question: Question<'_>) -> Result<Answer, RegistryError> {
        let mut attempt = 0;
        loop {
            let result = self.follow(uri.clone(), question).await;
            let pause = match &result {
                Err(RegistryError::RateLimited { retry_after: Some(wait), .. }) => *wait,
                Err(error) if error.is_passing() => RETRY_PAUSE * 2_u32.pow(attempt),
                _ => return result,
            };
            // Somebody who took all the time once will take it again.
            let is_slow = matches!(result, Err(RegistryError::Timeout { .. }));
            if attempt == RETRIES_MAX || pause > RETRY_AFTER_MAX || is_slow {
                return result;
            }
            attempt += 1;
            tokio::time::sleep(pause).await;
        }
    }

    async fn follow(
        &self,
        mut uri: Uri,
        mut question: Question<'_>,
    ) -> Result<Answer, RegistryError> {
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.once(&uri, question).await?;
            let host = host_of(&uri);
            let status = answer.status;
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                let next = self.redirected(&uri, &answer.headers)?;
                // Whoever it is, the credentials are not for them.
                if next.authority() != uri.authority() || next.scheme() != uri.scheme() {
                    question.authorization = None;
                }
                uri = next;
                continue;
            }
            if status == StatusCode::TOO_MANY_REQUESTS {
                return Err(RegistryError::RateLimited {
                    host,
                    retry_after: wait(&answer.headers),
                });
            }
            if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
                return Err(RegistryError::Status { host, status: status.as_u16() });
            }
            return Ok(answer);
        }
        let why = format!(
            "{} sends from one address to another, more than {REDIRECTS_MAX} times",
            host_of(&uri)
        );
        Err(RegistryError::Refused(why))
    }

    fn redirected(&self, from: &Uri, headers: &HeaderMap) -> Result<Uri, RegistryError> {
        let host = host_of(from);
        let refused = |why: &str| RegistryError::Refused(format!("{host} {why}"));
        let location = headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| refused("sends to no address"))?;
        let next = match (location.starts_with("//"), location.starts_with('/')) {
            (false, true) => self.uri(&host, location)?,
            _ => location.parse().map_err(|_| refused("sends to what is no address"))?,
        };
        if next.authority().is_none() {
            return Err(refused("sends to what is no address"));
        }
        if !self.is_safe(&next) {
            let to = host_of(&next);
            return Err(refused(&format!("sends to {to} without TLS, which is not allowed there")));
        }
        Ok(next)
    }

    async fn once(&self, uri: &Uri, question: Question<'_>) -> Result<Answer, RegistryError> {
        let host = host_of(uri);
        let mut request = Request::get(uri.clone()).header(ACCEPT, question.accept);
        request = request.header(USER_AGENT, AGENT);
        if let Some(authorization) = question.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| RegistryError::Refused(format!("`{uri}`: {error}")))?;
        let answered = async {
            let response = self.client.request(request).await.map_err(|error| {
                RegistryError::Unreachable { host: host.clone(), why: reason(&error) }
            })?;
            let (parts, body) = response.into_parts();
            let body = bounded(body, &parts.headers, question, &host).await?;
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, answered).await {
            Ok(answer) => answer,
            Err(_) => Err(RegistryError::Timeout { host, limit: REQUEST_TIMEOUT }),
        }
    }
}

/// Reads a body, and stops where it becomes too large.
async fn bounded(
    mut body: Incoming,
    headers: &HeaderMap,
    question: Question<'_>,
    host: &str,
) -> Result<Bytes, RegistryError> {
    let bytes_max = question.bytes_max;
    let too_large = || RegistryError::TooLarge { what: question.what.to_owned(), bytes_max };
    let stated = headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if stated.and_then(|text| text.parse::<usize>().ok()).is_some_and(|stated| stated > bytes_max) {
        return Err(too_large());
    }
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| RegistryError::Unreachable {
            host: host.to_owned(),
            why: reason(&error),
        })?;
        if let Some(data) = frame.data_ref() {
            if read.len() + data.len() > bytes_max {
                return Err(too_large());
            }
            read.extend_from_slice(data);
        }
    }
    Ok(read.into())
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

pub(in crate::images::registry) fn host_of(uri: &Uri) -> String {
    uri.authority().map_or_else(String::new, |authority| authority.as_str().to_owned())
}

/// The innermost reason, which says what really happened.
fn reason(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
