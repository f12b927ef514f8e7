//! What running Portcullis costs, measured from outside on the release binary: its size, the time until it is ready, idle
//! memory, and the latency and CPU of Pods admitted over HTTPS by the starter set. `make bench` prints a table.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be made fails by panicking"
)]

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Requests before the clock runs: caches, branch predictors and the allocator settle.
const WARM_UP: usize = 2_000;
/// Enough for a steady 99th percentile.
const REQUESTS: usize = 20_000;
/// Connections that ask at the same time in the second measurement.
const CONNECTIONS: usize = 16;
/// The server is ready in well under a second.
const READY_PATIENCE: Duration = Duration::from_secs(20);
/// Linux counts CPU time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let binary = Path::new(env!("CARGO_BIN_EXE_portcullis"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let started = Instant::now();
    let server = Server::start(binary, port);
    server.ready(port).await;
    let ready = started.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    row("binary", format!("{:.1} MB", std::fs::metadata(binary).unwrap().len() as f64 / 1e6));
    row("from start to ready", format!("{} ms", ready.as_millis()));
    row("idle memory (RSS)", server.memory());

    let body = std::fs::read(tree("docs/samples/admitted.json")).unwrap();
    row("request", format!("{} bytes, eight policies of which seven match", body.len()));
    for (path, connections) in [("/validate", 1), ("/validate", CONNECTIONS), ("/mutate", 1)] {
        load(port, path, &body, connections, WARM_UP).await;
        let (cpu, from) = (server.cpu(), Instant::now());
        let mut latencies = load(port, path, &body, connections, REQUESTS).await;
        let (cpu, took) = (server.cpu().saturating_sub(cpu), from.elapsed());
        latencies.sort();
        row(
            &format!("{path}, {connections} at a time"),
            format!(
                "p50 {} µs, p99 {} µs, {:.0} requests/s, {} µs of the server's CPU each",
                latencies[latencies.len() / 2].as_micros(),
                latencies[latencies.len() * 99 / 100].as_micros(),
                latencies.len() as f64 / took.as_secs_f64(),
                cpu.as_micros() / latencies.len() as u128,
            ),
        );
    }
    row("memory after that (RSS)", server.memory());
}

fn row(what: &str, value: impl std::fmt::Display) {
    println!("{what:<28}{value}");
}

fn tree(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Asks over so many connections at once; answers how long each request took.
async fn load(
    port: u16,
    path: &str,
    body: &[u8],
    connections: usize,
    requests: usize,
) -> Vec<Duration> {
    let asking = (0..connections).map(|_| {
        let (path, body) = (path.to_owned(), body.to_vec());
        tokio::spawn(async move {
            let mut connection = connect(port).await.unwrap();
            let mut latencies = Vec::with_capacity(requests / connections);
            for _ in 0..requests / connections {
                let asked = Instant::now();
                let status = ask(&mut connection, "POST", &path, &body).await.unwrap();
                latencies.push(asked.elapsed());
                assert_eq!(status, 200);
            }
            latencies
        })
    });
    let mut latencies = Vec::with_capacity(requests);
    for asked in asking.collect::<Vec<_>>() {
        latencies.extend(asked.await.unwrap());
    }
    latencies
}

/// One HTTP/1.1 request on a connection that stays open; answers the status.
async fn ask(
    connection: &mut TlsStream<TcpStream>,
    method: &str,
    path: &str,
    body: &[u8],
) -> std::io::Result<u16> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(&[head.as_bytes(), body].concat()).await?;
    let mut answer = Vec::new();
    loop {
        if connection.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if answer.len() >= end + 4 + length {
                return Ok(head[9..12].parse().unwrap());
            }
        }
    }
}

async fn connect(port: u16) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The server, stopped when this goes.
struct Server(Child);

impl Server {
    fn start(binary: &Path, port: u16) -> Self {
        let mut command = Command::new(binary);
        command.args(["serve", "--policies"]).arg(tree("policies"));
        command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    async fn ready(&self, port: u16) {
        let from = Instant::now();
        while from.elapsed() < READY_PATIENCE {
            if let Ok(mut connection) = connect(port).await
                && ask(&mut connection, "GET", "/readyz", b"")
                    .await
                    .is_ok_and(|status| status == 200)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the server is not ready after {} s", READY_PATIENCE.as_secs());
    }

    fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = kib.trim_end_matches("kB").trim().parse().unwrap();
        format!("{:.1} MiB", kib / 1024.0)
    }

    /// User and system time so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u32 = [fields[11], fields[12]].map(|f| f.parse::<u32>().unwrap()).iter().sum();
        TICK * ticks
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The certificate was made a moment ago by the process we started, on loopback; there is nothing to check it against.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}
