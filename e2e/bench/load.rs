//! Requests over loopback TLS, on connections that stay open: as fast as they are answered, or at a rate that does not
//! wait for answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How requests follow one another.
#[derive(Clone, Copy)]
pub enum Loop {
    /// Each connection asks again as soon as it has its answer: how much there is to be had.
    Closed,
    /// So many requests a second, whether or not the earlier ones are answered. The latency of a request counts from the
    /// instant that it was due, so that a server that stalls cannot hide it by being asked less.
    Open(f64),
}

/// What is asked, and how often.
#[derive(Clone, Copy)]
pub struct Load<'l> {
    pub port: u16,
    pub path: &'l str,
    pub body: &'l [u8],
    pub connections: usize,
    pub requests: usize,
    pub pace: Loop,
}

impl Load<'_> {
    /// Asks; answers how long each request took, in order of length.
    pub async fn run(self) -> Vec<Duration> {
        let mut latencies = match self.pace {
            Loop::Closed => self.closed().await,
            Loop::Open(rate) => self.open(rate).await,
        };
        latencies.sort();
        latencies
    }

    async fn closed(self) -> Vec<Duration> {
        let share = self.requests / self.connections;
        let asking = (0..self.connections).map(|_| {
            let (port, path, body) = (self.port, self.path.to_owned(), self.body.to_vec());
            tokio::spawn(async move {
                let mut connection = connect(port).await.unwrap();
                let mut latencies = Vec::with_capacity(share);
                for _ in 0..share {
                    let asked = Instant::now();
                    assert_eq!(ask(&mut connection, "POST", &path, &body).await.unwrap(), 200);
                    latencies.push(asked.elapsed());
                }
                latencies
            })
        });
        gathered(asking.collect()).await
    }

    async fn open(self, rate: f64) -> Vec<Duration> {
        let (due, queue) = mpsc::unbounded_channel::<Instant>();
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        let asking = (0..self.connections).map(|_| {
            let (port, path, body) = (self.port, self.path.to_owned(), self.body.to_vec());
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                let mut connection = connect(port).await.unwrap();
                let mut latencies = Vec::new();
                while let Some(due) = next(&queue).await {
                    assert_eq!(ask(&mut connection, "POST", &path, &body).await.unwrap(), 200);
                    latencies.push(due.elapsed());
                }
                latencies
            })
        });
        let asking = asking.collect();
        // A sleep ends at the next millisecond; whatever is due by then is sent together.
        let begun = Instant::now();
        let at = |place: usize| begun + Duration::from_secs_f64(place as f64 / rate);
        let mut sent = 0;
        while sent < self.requests {
            while sent < self.requests && at(sent) <= Instant::now() {
                due.send(at(sent)).unwrap();
                sent += 1;
            }
            tokio::time::sleep_until(at(sent).into()).await;
        }
        drop(due);
        gathered(asking).await
    }
}

type Queue = tokio::sync::Mutex<mpsc::UnboundedReceiver<Instant>>;

async fn next(queue: &Queue) -> Option<Instant> {
    queue.lock().await.recv().await
}

async fn gathered(asking: Vec<tokio::task::JoinHandle<Vec<Duration>>>) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for asked in asking {
        latencies.extend(asked.await.unwrap());
    }
    latencies
}

/// One HTTP/1.1 request on a connection that stays open; answers the status.
pub async fn ask(
    connection: &mut TlsStream<TcpStream>,
    method: &str,
    path: &str,
    body: &[u8],
) -> std::io::Result<u16> {
    Ok(answer(connection, method, path, body).await?.0)
}

/// The same; answers the status and all that came.
pub async fn answer(
    connection: &mut TlsStream<TcpStream>,
    method: &str,
    path: &str,
    body: &[u8],
) -> std::io::Result<(u16, Vec<u8>)> {
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
                return Ok((head[9..12].parse().unwrap(), answer));
            }
        }
    }
}

pub async fn connect(port: u16) -> std::io::Result<TlsStream<TcpStream>> {
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
