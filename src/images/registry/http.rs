//! One question to a registry over HTTP, with its limits: time, size, redirects, repetitions. What is asked and what the
//! answer means is not known here.

use std::collections::BTreeSet;
use std::time::Duration;

use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT,
};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::images::registry::address::{AddressRefused, Reach, Resolver};
use crate::images::registry::error::RegistryError;
use crate::images::registry::trail::{Asked, Trail};

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

type Connections = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

pub(in crate::images::registry) struct Http {
    /// To hosts that anybody may have named.
    guarded: Connections,
    /// To hosts that an admin named.
    named: Connections,
    hosts: Hosts,
}

/// What an admin said of hosts, each with its port.
#[derive(Debug, Default)]
pub(in crate::images::registry) struct Hosts {
    /// Those that are asked without TLS, wherever they are.
    pub plain: BTreeSet<String>,
    /// Those that may be at any address.
    pub anywhere: BTreeSet<String>,
    /// Whether all others must be on the internet.
    pub refuse_private: bool,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(in crate::images::registry) struct Question<'a> {
    /// What it is called in errors.
    pub what: &'a str,
    pub accept: &'static str,
    pub authorization: Option<&'a HeaderValue>,
    /// A form that is posted; without one it is only read.
    pub form: Option<&'a str>,
    pub bytes_max: usize,
    pub trail: &'a Trail,
}

pub(in crate::images::registry) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Http {
    pub fn new(
        authorities: Vec<CertificateDer<'static>>,
        hosts: Hosts,
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
        let connections = |reach| -> Connections {
            let mut tcp = HttpConnector::new_with_resolver(Resolver::new(reach));
            tcp.enforce_http(false);
            tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(config.clone())
                .https_or_http()
                .enable_http1()
                .wrap_connector(tcp);
            Client::builder(TokioExecutor::new()).build(connector)
        };
        let (guarded, named) = (connections(hosts.reach()), connections(Reach::Any));
        Ok(Http { guarded, named, hosts })
    }

    /// The address of a path on a host: with TLS, unless the host is named as one without.
    pub fn uri(&self, host: &str, path_and_query: &str) -> Result<Uri, RegistryError> {
        let scheme = if self.hosts.plain.contains(host) { "http" } else { "https" };
        let uri = format!("{scheme}://{host}{path_and_query}");
        uri.parse().map_err(|_| RegistryError::Refused(format!("`{uri}` is no address")))
    }

    /// Whether something secret may be sent there.
    pub fn is_safe(&self, uri: &Uri) -> bool {
        let host = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        uri.scheme_str() == Some("https") || self.hosts.plain.contains(&host.to_ascii_lowercase())
    }

    /// Asks, again if that may help, and follows to where the registry sends.
    pub async fn ask(&self, uri: Uri, question: Question<'_>) -> Result<Answer, RegistryError> {
        let mut attempt = 0;
        loop {
            let result = self.follow(uri.clone(), question).await;
            let pause = match &result {
                // What is posted may have had its effect.
                Err(_) if question.form.is_some() => return result,
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
                if question.form.is_some() {
                    let why = format!("{host} sends elsewhere what is posted to it");
                    return Err(RegistryError::Refused(why));
                }
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
        #[expect(clippy::disallowed_methods, reason = "the rim owns the clock")]
        let begun = Timestamp::now();
        let started = std::time::Instant::now();
        let answer = self.exchange(uri, question).await;
        let result = match &answer {
            Ok(answer) => answer.status.as_str().to_owned(),
            Err(error) => error.word().to_owned(),
        };
        let (host, what) = (host_of(uri), question.what.to_owned());
        question.trail.note(Asked { host, what, begun, took: started.elapsed(), result });
        answer
    }

    async fn exchange(&self, uri: &Uri, question: Question<'_>) -> Result<Answer, RegistryError> {
        let host = host_of(uri);
        let connections = self.connections(uri)?;
        let method = if question.form.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder().method(method).uri(uri.clone());
        request = request.header(ACCEPT, question.accept).header(USER_AGENT, AGENT);
        if let Some(authorization) = question.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if question.form.is_some() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let body = question.form.map(|form| Bytes::copy_from_slice(form.as_bytes()));
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| RegistryError::Refused(format!("`{uri}`: {error}")))?;
        let answered = async {
            let response = connections.request(request).await.map_err(|error| {
                let why = innermost(&error);
                match why.downcast_ref::<AddressRefused>() {
                    Some(refused) => RegistryError::Refused(refused.to_string()),
                    None => RegistryError::Unreachable { host: host.clone(), why: why.to_string() },
                }
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

    /// The connections by which a host may be asked. An address that is written as one is looked at here, and what a name
    /// leads to when it is connected to.
    fn connections(&self, uri: &Uri) -> Result<&Connections, RegistryError> {
        if self.hosts.may_be_anywhere(&host_of(uri)) {
            return Ok(&self.named);
        }
        let host = uri.host().unwrap_or_default();
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            let checked = self.hosts.reach().check(host, address);
            checked.map_err(|refused| RegistryError::Refused(refused.to_string()))?;
        }
        Ok(&self.guarded)
    }
}

impl Hosts {
    fn reach(&self) -> Reach {
        if self.refuse_private { Reach::Public } else { Reach::Networks }
    }

    fn may_be_anywhere(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.plain.contains(&host) || self.anywhere.contains(&host)
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
            why: innermost(&error).to_string(),
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

/// How long a registry asks to be left alone: so many seconds, or until then (RFC 9110, 10.2.3).
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    #[expect(clippy::disallowed_methods, reason = "the rim owns the clock")]
    let seconds = until.as_second() - Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

pub(in crate::images::registry) fn host_of(uri: &Uri) -> String {
    uri.authority().map_or_else(String::new, |authority| authority.as_str().to_owned())
}

/// The innermost reason, which says what really happened.
fn innermost<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> &'e (dyn std::error::Error + 'static) {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_so_many_seconds_or_until_then() {
        let check = |text: &str, expect: std::ops::RangeInclusive<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let seconds = wait(&headers).map(|wait| wait.as_secs());
            assert!(
                seconds.is_some_and(|seconds| expect.contains(&seconds)),
                "{text}: {seconds:?}"
            );
        };
        check("7", 7..=7);
        check(" 0 ", 0..=0);
        check("Sun, 06 Nov 1994 08:49:37 GMT", 0..=0);
        check("Tue, 31 Dec 2999 23:59:59 GMT", 1_000_000_000..=u64::MAX);
        for text in ["soon", "-1", "", "7 s"] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(wait(&headers), None, "{text}");
        }
        assert_eq!(wait(&HeaderMap::new()), None);
    }
}
