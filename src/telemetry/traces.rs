//! Traces over OTLP: a span for each admission request that is sampled, and one in it for each policy that was slow. The
//! API server's own trace goes on in it. The verification of an image, which may outlast the request that it was begun for,
//! is a trace of its own, with a span for each question to a registry; both have the request's uid.
//!
//! # Guarantees
//! - A request waits for nothing: spans go to a queue of the exporter's own thread, and are dropped when it is full.
//! - No span says who asked, and nothing of what an object holds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

/// For sending a batch. A collector that is slower loses it.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where spans go.
#[derive(Clone, Debug)]
pub struct Traces {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
#[error("traces can't be sent to `{endpoint}`: {source}")]
pub struct TracesError {
    endpoint: String,
    source: ExporterBuildError,
}

/// The span of the API server that a request belongs to.
#[derive(Clone, Debug)]
pub struct Parent(SpanContext);

impl Parent {
    /// Reads the header `traceparent`; one that is none is passed over. Source: W3C Trace Context, section 3.2.
    ///
    /// ```
    /// use portcullis::telemetry::traces::Parent;
    ///
    /// assert!(Parent::read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").is_some());
    /// assert!(Parent::read("00-4bf92f3577b34da6a3ce929d0e0e4736-0-01").is_none());
    /// ```
    pub fn read(header: &str) -> Option<Parent> {
        let mut parts = header.split('-');
        let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
        let flags = parts.next()?;
        let lengths = [version, trace, span, flags].map(str::len) == [2, 32, 16, 2];
        // A later version may have more parts, this one has none.
        if !lengths || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
        context.is_valid().then_some(Parent(context))
    }
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Which webhook was asked: `validate` or `mutate`.
    pub webhook: &'a str,
    /// The operation.
    pub operation: &'a str,
    /// The resource, with its group and subresource.
    pub resource: &'a str,
    /// The namespace; empty if there is none.
    pub namespace: &'a str,
    /// The uid of the request, as it is in the audit log.
    pub uid: &'a str,
    /// The answer in a word.
    pub answer: &'a str,
    /// When the last byte of the request was there.
    pub begun: SystemTime,
    /// How long the answer took.
    pub took: Duration,
    /// The policies that were slow.
    pub slow: &'a [Slow<'a>],
}

/// A policy that was slow.
#[derive(Clone, Copy, Debug)]
pub struct Slow<'a> {
    /// Its name.
    pub policy: &'a str,
    /// When it was begun, from the beginning of the request.
    pub after: Duration,
    /// How long it took.
    pub took: Duration,
}

/// An image that was verified, or could not be.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedImage<'a> {
    /// The image.
    pub image: &'a str,
    /// What became of it in a word.
    pub verdict: &'a str,
    /// The uid of the request that it was begun for; empty if there is none.
    pub uid: &'a str,
    /// When it was begun.
    pub begun: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What registries were asked.
    pub questions: &'a [Step<'a>],
}

/// A part of something.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// What it is called.
    pub name: String,
    /// What it was about.
    pub what: &'a str,
    /// When it was begun.
    pub begun: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What came of it in a word.
    pub result: &'a str,
}

impl Traces {
    /// Sends spans to this collector, as `http://host:4318`. Of the requests that no sampled trace of the API server goes
    /// on in, this part is traced. Needs a runtime.
    ///
    /// # Errors
    /// If the address is none.
    pub fn start(endpoint: &str, ratio: f64) -> Result<Traces, TracesError> {
        let root = endpoint.trim_end_matches('/');
        let address =
            if root.ends_with("/v1/traces") { root.into() } else { format!("{root}/v1/traces") };
        let client = HyperClient::with_default_connector(EXPORT_TIMEOUT, None);
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(OnRuntime { client: Arc::new(client), runtime: Handle::current() })
            .with_endpoint(address)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|source| TracesError { endpoint: endpoint.to_owned(), source })?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
            .with_resource(Resource::builder().with_service_name("portcullis").build())
            .build();
        Ok(Traces { tracer: provider.tracer("portcullis"), provider })
    }

    /// Makes the spans of a request.
    pub fn record(&self, parent: Option<&Parent>, answered: Answered<'_>) {
        let Answered { begun, took, slow, .. } = answered;
        let outer = parent.map_or_else(Context::new, |Parent(parent)| {
            Context::new().with_remote_span_context(parent.clone())
        });
        let text = |key: &'static str, value: &str| KeyValue::new(key, value.to_owned());
        let span = self
            .tracer
            .span_builder(format!("{} {}", answered.webhook, answered.resource))
            .with_kind(SpanKind::Server)
            .with_start_time(begun)
            .with_attributes([
                text("portcullis.webhook", answered.webhook),
                text("portcullis.answer", answered.answer),
                text("k8s.operation", answered.operation),
                text("k8s.resource", answered.resource),
                text("k8s.namespace.name", answered.namespace),
                text("k8s.admission.uid", answered.uid),
            ])
            .start_with_context(&self.tracer, &outer);
        let inner = outer.with_span(span);
        for Slow { policy, after, took } in slow {
            let mut span = self
                .tracer
                .span_builder(format!("policy {policy}"))
                .with_start_time(begun + *after)
                .with_attributes([text("portcullis.policy", policy)])
                .start_with_context(&self.tracer, &inner);
            span.end_with_timestamp(begun + *after + *took);
        }
        inner.span().end_with_timestamp(begun + took);
    }

    /// Makes the spans of the verification of an image.
    pub fn verified(&self, image: &VerifiedImage<'_>) {
        let text = |key: &'static str, value: &str| KeyValue::new(key, value.to_owned());
        let span = self
            .tracer
            .span_builder("verify image")
            .with_start_time(image.begun)
            .with_attributes([
                text("portcullis.image", image.image),
                text("portcullis.answer", image.verdict),
                text("k8s.admission.uid", image.uid),
            ])
            .start_with_context(&self.tracer, &Context::new());
        let inner = Context::new().with_span(span);
        for Step { name, what, begun, took, result } in image.questions {
            let mut span = self
                .tracer
                .span_builder(name.clone())
                .with_kind(SpanKind::Client)
                .with_start_time(*begun)
                .with_attributes([text("portcullis.what", what), text("portcullis.answer", result)])
                .start_with_context(&self.tracer, &inner);
            span.end_with_timestamp(*begun + *took);
        }
        inner.span().end_with_timestamp(image.begun + image.took);
    }

    /// Sends what is left. It takes as long as a batch may take.
    pub fn stop(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The exporter's thread is not one of the runtime's; what it sends is sent there.
#[derive(Debug)]
struct OnRuntime {
    client: Arc<HyperClient>,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = Arc::clone(&self.client);
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use crate::telemetry::traces::{Answered, Parent, Slow, Step, Traces, VerifiedImage};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn answered<'a>(slow: &'a [Slow<'a>]) -> Answered<'a> {
        Answered {
            webhook: "validate",
            operation: "CREATE",
            resource: "v1/pods",
            namespace: "shop",
            uid: "u-1",
            answer: "deny",
            begun: UNIX_EPOCH + Duration::from_secs(1),
            took: Duration::from_millis(30),
            slow,
        }
    }

    /// What a collector is sent for one request.
    async fn sent(parent: Option<&str>, ratio: f64) -> Vec<u8> {
        let parent = parent.map(|text| Parent::read(text).unwrap());
        let took = Duration::from_millis(20);
        let record = |traces: &Traces| {
            let slow = [Slow { policy: "slow-one", after: Duration::from_millis(5), took }];
            traces.record(parent.as_ref(), answered(&slow));
        };
        sent_by(ratio, &["policy slow-one", "k8s.admission.uid"], record).await
    }

    /// What a collector is sent until all of this is there.
    async fn sent_by(
        ratio: f64,
        until: &'static [&'static str],
        record: impl FnOnce(&Traces),
    ) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collector = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            let has = |read: &[u8], text: &str| {
                read.windows(text.len()).any(|window| window == text.as_bytes())
            };
            while !until.iter().all(|text| has(&read, text)) {
                assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            read
        });
        let traces = Traces::start(&endpoint, ratio).unwrap();
        record(&traces);
        tokio::task::spawn_blocking(move || traces.stop()).await.unwrap();
        // What was sent has arrived by then, also on a machine that is busy.
        let read = tokio::time::timeout(Duration::from_millis(500), collector).await;
        read.map(Result::unwrap).unwrap_or_default()
    }

    fn has(sent: &[u8], bytes: &[u8]) -> bool {
        sent.windows(bytes.len()).any(|window| window == bytes)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sampled_request_is_sent_with_its_slow_policies_in_the_api_servers_trace() {
        let text = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let sent = sent(Some(&text), 0.0).await;
        for part in ["POST /v1/traces", "validate v1/pods", "policy slow-one", "shop", "deny"] {
            assert!(has(&sent, part.as_bytes()), "{part}");
        }
        assert!(has(&sent, &0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_verification_is_sent_with_its_questions() {
        let begun = UNIX_EPOCH + Duration::from_secs(1);
        let took = Duration::from_millis(30);
        let what = "the manifest of `app:1`";
        let name = "GET registry.example.com".to_owned();
        let questions = [Step { name, what, begun, took, result: "404" }];
        let (image, verdict, uid) = ("registry.example.com/app:1", "failed", "u-7");
        let image = VerifiedImage { image, verdict, uid, begun, took, questions: &questions };
        let parts = &["verify image", "GET registry", "app:1", "the manifest of", "404", "u-7"];
        let sent = sent_by(1.0, parts, |traces| traces.verified(&image)).await;
        for part in parts {
            assert!(has(&sent, part.as_bytes()), "{part}");
        }
        assert!(sent_by(0.0, parts, |traces| traces.verified(&image)).await.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_nobody_samples_is_not_sent() {
        let text = format!("00-{TRACE}-00f067aa0ba902b7-00");
        assert!(sent(Some(&text), 1.0).await.is_empty(), "the API server decided not to");
        assert!(sent(None, 0.0).await.is_empty());
        assert!(!sent(None, 1.0).await.is_empty());
    }

    #[test]
    fn what_is_no_traceparent_is_passed_over() {
        let check = |text: &str, expect: bool| assert_eq!(Parent::read(text).is_some(), expect);
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        check(&good, true);
        check(&good.replacen("00", "01", 1), true);
        check(&format!("{}-more", good.replacen("00", "01", 1)), true);
        check(&format!("{good}-more"), false);
        check(&good.replacen("00", "ff", 1), false);
        check(&good.replace("00f067aa0ba902b7", "0000000000000000"), false);
        check(&good.replace('4', "é"), false);
        check("", false);
    }
}
