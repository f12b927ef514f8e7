//! The server as clients see it: real sockets and TLS on loopback, well-behaved and not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::http::StatusCode;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::server::certificates::{SelfMade, make};
use crate::server::{
    Call, Certificate, Clients, Handler, HttpError, Limits, Server, Stopped, serve,
};
use crate::telemetry::Metrics;

/// Says what it was asked; `slow` bodies take a while, `large` answers are large.
#[derive(Default)]
struct Echo {
    ready: AtomicBool,
    metrics: Arc<Metrics>,
}

const SLOW: Duration = Duration::from_millis(400);

impl Handler for Echo {
    fn unready(&self) -> Option<&'static str> {
        (!self.ready.load(Ordering::Relaxed)).then_some("waiting for policies")
    }

    async fn answer(&self, call: Call, body: Vec<u8>) -> Result<Vec<u8>, HttpError> {
        match body.as_slice() {
            b"slow" => sleep(SLOW).await,
            b"large" => return Ok(vec![b'x'; 1_000_000]),
            b"bad" => return Err(HttpError::new(StatusCode::BAD_REQUEST, "no request")),
            _ => {}
        }
        Ok(format!("{} {}", call.webhook.word(), body.len()).into_bytes())
    }

    fn metrics(&self) -> String {
        self.metrics.text()
    }
}

struct Running {
    address: std::net::SocketAddr,
    authority: String,
    certificates: watch::Sender<Option<Certificate>>,
    handler: Arc<Echo>,
    metrics: Arc<Metrics>,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Stopped>,
}

fn certificate() -> SelfMade {
    make(&["localhost".into(), "127.0.0.1".into()], jiff_now()).unwrap()
}

/// Validity is compared with the real clock by the client.
fn jiff_now() -> jiff::Timestamp {
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap();
    jiff::Timestamp::from_second(since_epoch.as_secs().try_into().unwrap()).unwrap()
}

async fn start(limits: Limits, linger: Duration) -> Running {
    start_for(None, limits, linger).await
}

async fn start_for(clients: Option<Clients>, limits: Limits, linger: Duration) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let made = certificate();
    let (certificates, receiver) = watch::channel(Some(made.certificate));
    let metrics = Arc::new(Metrics::new());
    let handler = Arc::new(Echo { ready: AtomicBool::new(true), metrics: metrics.clone() });
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server {
        listener,
        certificates: receiver,
        clients,
        handler: handler.clone(),
        metrics: metrics.clone(),
        limits,
        linger,
    };
    let ended =
        tokio::spawn(async move { serve(server, async { drop(stopped.await) }).await.unwrap() });
    let (authority, stop) = (made.authority_pem, Some(stop));
    Running { address, authority, certificates, handler, metrics, stop, ended }
}

async fn started() -> Running {
    start(Limits::default(), Duration::ZERO).await
}

impl Running {
    async fn try_connect(&self) -> std::io::Result<Client> {
        self.connect_as(None).await
    }

    /// Connects with this chain and key.
    async fn connect_as(&self, identity: Option<(&str, &str)>) -> std::io::Result<Client> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            Some((chain, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        Ok(Client(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }

    async fn connect(&self) -> Client {
        self.try_connect().await.unwrap()
    }

    /// The status, headers and body of the answer to these bytes, on a connection of their own.
    async fn ask(&self, request: impl AsRef<[u8]>) -> (u16, String, String) {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await.expect("an answer")
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.text().lines().any(|found| found == line)
    }

    async fn stop(mut self) -> Stopped {
        self.stop.take();
        timeout(Duration::from_secs(20), self.ended).await.unwrap().unwrap()
    }
}

struct Client(TlsStream<TcpStream>);

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next answer; `None` if the connection ended.
    async fn answer(&mut self) -> Option<(u16, String, String)> {
        let mut text = Vec::new();
        let head = loop {
            let end = text.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                break end;
            }
            let mut buffer = [0; 4096];
            let read = timeout(Duration::from_secs(20), self.0.read(&mut buffer)).await.unwrap();
            match read {
                Ok(0) | Err(_) => return None,
                Ok(read) => text.extend_from_slice(&buffer[..read]),
            }
        };
        let mut body = text.split_off(head + 4);
        let head = String::from_utf8(text).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        let had = body.len();
        body.resize(length, 0);
        self.0.read_exact(&mut body[had.min(length)..]).await.ok()?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some((status, head, String::from_utf8(body).unwrap()))
    }

    /// How long until the server closes the connection.
    async fn closed_after(&mut self) -> Duration {
        let start = Instant::now();
        assert_eq!(self.answer().await, None);
        start.elapsed()
    }
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// All of a request but the end of its body.
fn unfinished() -> String {
    let mut request = post("/validate", "0123456789");
    request.truncate(request.len() - 3);
    request
}

#[tokio::test]
async fn requests_are_answered() {
    let server = started().await;
    let check = async |request: &str, expect: (u16, &str)| {
        let (status, _, body) = server.ask(request).await;
        assert_eq!((status, body.as_str()), expect, "{request}");
    };
    check(&post("/validate", "{}"), (200, "validate 2")).await;
    check(&post("/mutate?timeout=10s", "123"), (200, "mutate 3")).await;
    check("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", (200, "ok\n")).await;
    check("GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n", (200, "ok\n")).await;
    let chunked = "POST /validate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
                   Content-Type: application/json; charset=utf-8\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    check(chunked, (200, "validate 7")).await;
    let (status, head, body) = server.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.contains("portcullis_connections 1\n"), "{body}");
    assert_eq!(server.stop().await, Stopped { cut_off: 0 });
}

#[tokio::test]
async fn wrong_requests_have_their_status_and_reason() {
    let server = started().await;
    let check = async |request: &str, status: u16, expect: &str| {
        let (found, head, body) = server.ask(request).await;
        assert_eq!((found, body.trim_end()), (status, expect), "{request}");
        assert!(head.contains("content-type: text/plain; charset=utf-8"), "{head}");
        assert!(server.metric(&format!("portcullis_http_errors_total{{code=\"{status}\"}} 1")));
    };
    let elsewhere = "not found; there are /validate, /mutate, /healthz, /readyz and /metrics";
    check("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404, elsewhere).await;
    check("GET /validate HTTP/1.1\r\nHost: x\r\n\r\n", 405, "use POST").await;
    let plain = post("/validate", "{}").replace("application/json", "text/yaml");
    let expect = "content type `text/yaml` is not supported, use `application/json`";
    check(&plain, 415, expect).await;
    check(&post("/validate", "bad"), 400, "no request").await;
    let none = post("/validate", "{}").replace("Content-Type", "X");
    let (status, _, body) = server.ask(none).await;
    assert_eq!(status, 415);
    assert!(body.starts_with("content type `` is not supported"), "{body}");
    let (status, head, _) = server.ask(post("/metrics", "{}")).await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, head\r\n"), "{head}");
    let (status, ..) = server.ask("what is this\r\n\r\n").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn bodies_are_limited() {
    let limits = Limits { body_bytes: 300_000, buffered_bytes: 400_000, ..Limits::default() };
    let server = start(limits, Duration::ZERO).await;
    let (status, _, body) = server.ask(post("/validate", &"x".repeat(300_000))).await;
    assert_eq!((status, body.as_str()), (200, "validate 300000"));
    let too_large = (413, "the body is larger than 300000 bytes\n");
    let (status, _, body) = server.ask(post("/validate", &"x".repeat(300_001))).await;
    assert_eq!((status, body.as_str()), too_large);
    let chunk = format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000));
    let chunked = format!(
        "POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(4)
    );
    let (status, _, body) = server.ask(chunked).await;
    assert_eq!((status, body.as_str()), too_large);

    // Three halves of a body fill the buffer; a fourth is refused, and small ones are not.
    let head = post("/validate", &"x".repeat(300_000));
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.send(&head[..200_000]).await;
        held.push(client);
    }
    sleep(Duration::from_millis(200)).await;
    let (status, _, body) = server.ask(post("/validate", &"x".repeat(200_000))).await;
    assert_eq!((status, body.as_str()), (503, "too many large requests at once, try again\n"));
    assert_eq!(server.ask(post("/validate", &"x".repeat(60_000))).await.0, 200);
    drop(held);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(server.ask(post("/validate", &"x".repeat(200_000))).await.0, 200);
}

#[tokio::test]
async fn a_truncated_body_is_no_request() {
    let server = started().await;
    let mut client = server.connect().await;
    client.send(unfinished()).await;
    client.0.shutdown().await.unwrap();
    if let Some((status, _, body)) = client.answer().await {
        assert_eq!(status, 400, "{body}");
    }
    assert!(server.metric(r#"portcullis_http_errors_total{code="400"} 1"#));
    assert_eq!(server.ask(post("/validate", "{}")).await.0, 200);
}

#[tokio::test]
async fn slow_clients_are_not_waited_for() {
    let soon = Duration::from_millis(300);
    let limits = Limits { handshake: soon, first_request: soon, idle: soon, ..Limits::default() };
    let server = start(Limits { request: soon, ..limits }, Duration::ZERO).await;
    let check = |closed: Duration| {
        assert!(closed >= soon / 2 && closed < soon * 10, "{closed:?}");
    };
    // No handshake.
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let start = Instant::now();
    let _ = timeout(Duration::from_secs(20), silent.read(&mut [0; 16])).await.unwrap();
    check(start.elapsed());
    // No request, half a head, and nothing after the first request.
    check(server.connect().await.closed_after().await);
    let mut half = server.connect().await;
    half.send("POST /validate HTTP/1.1\r\nHost").await;
    check(half.closed_after().await);
    let mut idle = server.connect().await;
    for _ in 0..2 {
        idle.send(post("/validate", "{}")).await;
        assert_eq!(idle.answer().await.unwrap().0, 200);
    }
    check(idle.closed_after().await);
    // Half a body.
    let mut half = server.connect().await;
    half.send(unfinished()).await;
    let (status, _, body) = half.answer().await.unwrap();
    assert_eq!((status, body.as_str()), (408, "the body took too long to arrive\n"));
    // A slow answer is ours to give.
    assert_eq!(server.ask(post("/validate", "slow")).await.0, 200);
}

#[tokio::test]
async fn the_oldest_connection_makes_room() {
    let limits = Limits { connections: 2, room: Duration::from_millis(300), ..Limits::default() };
    let server = start(limits, Duration::ZERO).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.send(post("/validate", "{}")).await;
        assert_eq!(client.answer().await.unwrap().0, 200);
        clients.push(client);
    }
    assert_eq!(server.ask(post("/validate", "{}")).await.0, 200);
    clients[0].closed_after().await;
    // When all are busy for longer than one waits, it is refused.
    drop(clients);
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.send(unfinished()).await;
        busy.push(client);
    }
    sleep(Duration::from_millis(100)).await;
    assert!(server.try_connect().await.is_err());
    assert!(server.metric(r#"portcullis_connections_refused_total{reason="limit"} 1"#));
}

/// An authority, and the chain and key of a client of it.
fn client_of_an_authority(name: &str) -> (String, String, String) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority =
        rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &authority).unwrap();
    (authority.pem(), leaf.pem(), key.serialize_pem())
}

#[tokio::test]
async fn only_a_client_that_proves_who_it_is_is_answered() {
    let (authority, chain, key) = client_of_an_authority("kube-apiserver");
    let (_, strange_chain, strange_key) = client_of_an_authority("kube-apiserver");
    let names = vec!["kube-apiserver".to_owned()];
    let clients = Clients::new(&authority, names).unwrap();
    let server = start_for(Some(clients), Limits::default(), Duration::ZERO).await;

    let (status, _, body) = server.ask(post("/validate", "x")).await;
    assert_eq!((status, body.contains("certificate")), (401, true), "{body}");
    assert_eq!(server.ask("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await.0, 200);
    let mut client = server.connect_as(Some((&chain, &key))).await.unwrap();
    client.send(post("/validate", "x")).await;
    assert_eq!(client.answer().await.unwrap().0, 200);
    // A certificate of somebody else's authority does not get through the handshake.
    let strange = server.connect_as(Some((&strange_chain, &strange_key))).await;
    let answered = match strange {
        Ok(mut client) => client.answer().await,
        Err(_) => None,
    };
    assert_eq!(answered, None);
}

#[tokio::test]
async fn it_is_ready_when_there_are_policies() {
    let server = started().await;
    let readyz = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";
    server.handler.ready.store(false, Ordering::Relaxed);
    for request in [readyz, &post("/validate", "{}")] {
        let (status, _, body) = server.ask(request).await;
        assert_eq!((status, body.as_str()), (503, "waiting for policies\n"));
    }
    assert_eq!(server.ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.0, 200);
    server.handler.ready.store(true, Ordering::Relaxed);
    assert_eq!(server.ask(readyz).await.0, 200);
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_break() {
    let mut server = started().await;
    let mut old = server.connect().await;
    let made = certificate();
    server.certificates.send(Some(made.certificate)).unwrap();
    sleep(Duration::from_millis(100)).await;
    assert!(server.try_connect().await.is_err(), "the old authority is no longer good");
    server.authority = made.authority_pem;
    assert_eq!(server.ask(post("/validate", "{}")).await.0, 200);
    old.send(post("/validate", "{}")).await;
    assert_eq!(old.answer().await.unwrap().0, 200);

    server.certificates.send(None).unwrap();
    sleep(Duration::from_millis(100)).await;
    assert!(server.try_connect().await.is_err());
    assert!(server.metric(r#"portcullis_connections_refused_total{reason="no_certificate"} 1"#));
}

#[tokio::test]
async fn requests_in_flight_are_answered_when_it_stops() {
    let server = started().await;
    let (mut busy, mut idle, mut fresh) =
        (server.connect().await, server.connect().await, server.connect().await);
    idle.send(post("/validate", "{}")).await;
    assert_eq!(idle.answer().await.unwrap().0, 200);
    busy.send(post("/validate", "slow")).await;
    sleep(Duration::from_millis(100)).await;
    let stopping = tokio::spawn(server.stop());
    let (status, _, body) = busy.answer().await.unwrap();
    assert_eq!((status, body.as_str()), (200, "validate 4"));
    for client in [&mut busy, &mut idle, &mut fresh] {
        assert!(client.closed_after().await < SLOW);
    }
    assert_eq!(stopping.await.unwrap(), Stopped { cut_off: 0 });
}

#[tokio::test]
async fn while_it_lingers_it_answers_but_is_not_ready() {
    let linger = Duration::from_millis(500);
    let mut server = start(Limits::default(), linger).await;
    let mut kept = server.connect().await;
    kept.send(post("/validate", "{}")).await;
    let (_, head, _) = kept.answer().await.unwrap();
    assert!(!head.to_lowercase().contains("connection: close"), "{head}");
    let stopping = Instant::now();
    server.stop.take();
    sleep(Duration::from_millis(100)).await;
    // The client hears not to ask again on a connection that will go, before it goes.
    kept.send(post("/validate", "{}")).await;
    let (status, head, _) = kept.answer().await.unwrap();
    assert!(status == 200 && head.to_lowercase().contains("connection: close"), "{head}");
    assert!(kept.closed_after().await < linger);
    let (status, _, body) = server.ask("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((status, body.as_str()), (503, "stopping\n"));
    assert_eq!(server.ask(post("/validate", "{}")).await.0, 200);
    assert_eq!(server.stop().await, Stopped { cut_off: 0 });
    assert!(stopping.elapsed() >= linger);
}

#[tokio::test]
async fn what_does_not_end_is_cut_off() {
    let limits = Limits { drain: Duration::from_millis(200), ..Limits::default() };
    let server = start(limits, Duration::ZERO).await;
    let mut stuck = server.connect().await;
    stuck.send(unfinished()).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(server.stop().await, Stopped { cut_off: 1 });
    assert_eq!(stuck.answer().await, None);
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_a_large_answer() {
    let server = started().await;
    let mut client = server.connect().await;
    client.send(post("/validate", "large")).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(client.answer().await.unwrap().2.len(), 1_000_000);
}
