//! HTTP: which path is what, how a body is read within its limits, and which status an error has. Connections are
//! `accept`'s; what is decided is the [`Handler`]'s.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::policy::entry::Entry;
use crate::server::limits::{BODY_FREE_BYTES, Limits, REQUEST_TIMEOUT_MAX};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{self, Webhook};
use crate::telemetry::traces::Parent;

/// Bytes that one permit of the buffer stands for.
const PERMIT_BYTES: usize = 1024;

/// What answers admission requests.
pub trait Handler: Send + Sync + 'static {
    /// Why requests can't be answered yet, if so.
    fn unready(&self) -> Option<&'static str>;

    /// Why others should be asked instead, if so. What is asked here all the same is answered.
    fn should_rest(&self) -> Option<&'static str> {
        None
    }

    /// The answer to the body of a request, as JSON.
    fn answer(
        &self,
        call: Call,
        body: Vec<u8>,
    ) -> impl Future<Output = Result<Vec<u8>, HttpError>> + Send;

    /// All metrics, in OpenMetrics text.
    fn metrics(&self) -> String;
}

/// How a decision is asked for.
#[derive(Clone, Debug)]
pub struct Call {
    /// By which webhook.
    pub webhook: Webhook,
    /// Only the policies of this entry are asked.
    pub entry: Option<Entry>,
    /// When the answer should be there.
    pub deadline: Instant,
    /// The trace that it is part of.
    pub trace: Option<Parent>,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct HttpError {
    /// The HTTP status.
    pub status: StatusCode,
    /// For the one who sent the request.
    pub message: String,
}

impl HttpError {
    /// An error with this status and text.
    pub fn new(status: StatusCode, message: impl Into<String>) -> HttpError {
        HttpError { status, message: message.into() }
    }
}

/// What all connections share.
pub(in crate::server) struct Shared<H> {
    pub handler: Arc<H>,
    pub metrics: Arc<Metrics>,
    pub limits: Limits,
    /// What is left of the bytes that may be held.
    pub buffer: Arc<Semaphore>,
    /// Whether the server is about to stop, so that no more requests should be sent here.
    pub stopping: AtomicBool,
}

impl<H> Shared<H> {
    pub(in crate::server) fn new(handler: Arc<H>, metrics: Arc<Metrics>, limits: Limits) -> Self {
        let buffer = Arc::new(Semaphore::new(limits.buffered_bytes / PERMIT_BYTES));
        Shared { handler, metrics, limits, buffer, stopping: AtomicBool::new(false) }
    }
}

type Answer = Response<Full<Bytes>>;

/// `is_known`: whether the client may ask for decisions.
pub(in crate::server) async fn respond<H: Handler>(
    shared: Arc<Shared<H>>,
    is_known: bool,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    let answer = match path {
        _ if let Some((hook, entry)) = asked(path) => {
            webhook(&shared, is_known, hook, entry, request).await
        }
        "/healthz" => read(&request, || Ok(text("ok\n"))),
        "/readyz" => read(&request, || match unready(&shared) {
            Some(why) => Err(HttpError::new(StatusCode::SERVICE_UNAVAILABLE, why)),
            None => Ok(text("ok\n")),
        }),
        "/metrics" => read(&request, || {
            Ok(response(StatusCode::OK, metrics::CONTENT_TYPE, shared.handler.metrics()))
        }),
        _ => Err(HttpError::new(
            StatusCode::NOT_FOUND,
            "not found; there are /validate, /mutate, /healthz, /readyz and /metrics",
        )),
    };
    let mut answer = answer.unwrap_or_else(|error| {
        // A probe that finds the server unready is no error.
        if error.status != StatusCode::SERVICE_UNAVAILABLE {
            tracing::debug!(%error, "HTTP request refused");
        }
        shared.metrics.http_error(error.status.as_u16());
        refusal(&error)
    });
    if shared.stopping.load(Ordering::Relaxed) {
        // A connection that is in use when it is closed may lose a request that is on its way; one that the client was
        // told not to use again can't.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

/// By which webhook a path asks, and for which of its policies: all, or those of an entry. Policies of an entry are asked
/// alone: a request that several entries match is not decided about twice.
fn asked(path: &str) -> Option<(Webhook, Option<Entry>)> {
    let (hook, rest) = [("/validate", Webhook::Validate), ("/mutate", Webhook::Mutate)]
        .into_iter()
        .find_map(|(start, hook)| Some((hook, path.strip_prefix(start)?)))?;
    match rest.strip_prefix('/') {
        Some(entry) => Some((hook, Some(Entry::parse(entry)?))),
        None => rest.is_empty().then_some((hook, None)),
    }
}

fn unready<H: Handler>(shared: &Shared<H>) -> Option<&'static str> {
    if shared.stopping.load(Ordering::Relaxed) {
        return Some("stopping");
    }
    shared.handler.unready().or_else(|| shared.handler.should_rest())
}

fn read(
    request: &Request<Incoming>,
    answer: impl FnOnce() -> Result<Answer, HttpError>,
) -> Result<Answer, HttpError> {
    match *request.method() {
        Method::GET | Method::HEAD => answer(),
        _ => Err(HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "use GET")),
    }
}

async fn webhook<H: Handler>(
    shared: &Shared<H>,
    is_known: bool,
    webhook: Webhook,
    entry: Option<Entry>,
    request: Request<Incoming>,
) -> Result<Answer, HttpError> {
    let deadline = Instant::now() + time_allowed(request.uri().query(), shared.limits.request);
    let (parts, mut body) = request.into_parts();
    let checked = check_head(&parts.method, &parts.headers).and_then(|()| {
        if !is_known {
            let message = "only the API server is answered, and it has to show its certificate";
            return Err(HttpError::new(StatusCode::UNAUTHORIZED, message));
        }
        // While it stops the server still answers: it takes a while until nobody asks it any more.
        match shared.handler.unready() {
            Some(why) => Err(HttpError::new(StatusCode::SERVICE_UNAVAILABLE, why)),
            None => Ok(()),
        }
    });
    let read = match checked {
        Ok(()) => read_body(shared, &parts.headers, &mut body, deadline).await,
        Err(error) => Err(error),
    };
    let (body, _held) = match read {
        Ok(read) => read,
        Err(error) => {
            discard(shared, body).await;
            return Err(error);
        }
    };
    let trace = parts.headers.get("traceparent").and_then(|header| header.to_str().ok());
    let call = Call { webhook, entry, deadline, trace: trace.and_then(Parent::read) };
    let answer = shared.handler.answer(call, body).await?;
    Ok(response(StatusCode::OK, "application/json", answer))
}

/// The time from a request's head to its answer: a tenth less than the client waits, so that it hears from us.
fn time_allowed(query: Option<&str>, default: Duration) -> Duration {
    // The API server says `?timeout=10s`; it never waits longer than 30 s, so there are no minutes.
    let said = query
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("timeout=")))
        .and_then(|value| value.strip_suffix('s')?.parse().ok())
        .map(Duration::from_secs);
    said.unwrap_or(default).min(REQUEST_TIMEOUT_MAX) * 9 / 10
}

fn check_head(method: &Method, headers: &HeaderMap) -> Result<(), HttpError> {
    if method != Method::POST {
        return Err(HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "use POST"));
    }
    let found = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let media_type = found.split(|byte| *byte == b';').next().unwrap_or(found).trim_ascii();
    if media_type.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    let found = String::from_utf8_lossy(found);
    Err(HttpError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("content type `{found}` is not supported, use `application/json`"),
    ))
}

/// The whole body, and what it takes of the buffer.
async fn read_body<H>(
    shared: &Shared<H>,
    headers: &HeaderMap,
    body: &mut Incoming,
    deadline: Instant,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), HttpError> {
    let max = shared.limits.body_bytes;
    let too_large = || {
        let message = format!("the body is larger than {max} bytes");
        HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > max) {
        return Err(too_large());
    }
    // No more at once than is free, whatever the client announces.
    let mut text = Vec::with_capacity(length.unwrap_or(0).min(BODY_FREE_BYTES));
    let mut held = None;
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| {
            HttpError::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")
        })?;
        let Some(frame) = frame else { return Ok((text, held)) };
        let frame = frame.map_err(|error| {
            HttpError::new(StatusCode::BAD_REQUEST, format!("the body ended early: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if text.len() + data.len() > max {
            return Err(too_large());
        }
        hold(&shared.buffer, &mut held, text.len() + data.len())?;
        text.extend_from_slice(&data);
    }
}

/// Takes as much of the buffer as a body of `bytes` needs.
fn hold(
    buffer: &Arc<Semaphore>,
    held: &mut Option<OwnedSemaphorePermit>,
    bytes: usize,
) -> Result<(), HttpError> {
    let needed = bytes.saturating_sub(BODY_FREE_BYTES).div_ceil(PERMIT_BYTES);
    let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let more = u32::try_from(needed.saturating_sub(has)).unwrap_or(u32::MAX);
    if more == 0 {
        return Ok(());
    }
    let permit = buffer.clone().try_acquire_many_owned(more).map_err(|_| {
        let message = "too many large requests at once, try again";
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, message)
    })?;
    match held {
        Some(held) => held.merge(permit),
        None => *held = Some(permit),
    }
    Ok(())
}

/// Reads what is left of a body that was refused, within limits: a client that still writes would otherwise see a
/// reset connection instead of the answer.
async fn discard<H>(shared: &Shared<H>, mut body: Incoming) {
    let all = async {
        let mut left = shared.limits.body_bytes;
        while !body.is_end_stream()
            && let Some(Ok(frame)) = body.frame().await
        {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    // If it takes too long, the connection is closed.
    let _ = timeout(shared.limits.discard, all).await;
}

fn text(body: &'static str) -> Answer {
    response(StatusCode::OK, "text/plain; charset=utf-8", body)
}

fn refusal(error: &HttpError) -> Answer {
    let body = format!("{}\n", error.message);
    let mut answer = response(error.status, "text/plain; charset=utf-8", body);
    if error.status == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = if error.message == "use POST" { "POST" } else { "GET, HEAD" };
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    answer
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::server::http::{asked, time_allowed};
    use crate::telemetry::metrics::Webhook;

    #[test]
    fn a_path_says_which_policies_are_asked() {
        let check = |path: &str, expect: Option<(Webhook, Option<&str>)>| {
            let found = asked(path);
            let told = found.map(|(hook, entry)| (hook, entry.map(|entry| entry.to_string())));
            assert_eq!(
                told,
                expect.map(|(hook, entry)| (hook, entry.map(str::to_owned))),
                "{path}"
            );
        };
        check("/validate", Some((Webhook::Validate, None)));
        check("/validate/fail", Some((Webhook::Validate, Some("fail"))));
        check("/mutate/ignore/5", Some((Webhook::Mutate, Some("ignore/5"))));
        check("/mutate/fail/9-14", Some((Webhook::Mutate, Some("fail/9-14"))));
        check("/validate/", None);
        check("/validatefail", None);
        check("/validate/fail/", None);
        check("/", None);
    }

    #[test]
    fn the_client_hears_from_us_before_it_gives_up() {
        let check = |query: Option<&str>, expect_ms: u64| {
            let allowed = time_allowed(query, Duration::from_secs(10));
            assert_eq!(allowed.as_millis(), u128::from(expect_ms), "{query:?}");
        };
        check(None, 9_000);
        check(Some("timeout=5s"), 4_500);
        check(Some("a=b&timeout=1s"), 900);
        check(Some("timeout=3600s"), 27_000);
        check(Some("timeout=soon"), 9_000);
        check(Some("timeout=-1s"), 9_000);
    }
}
