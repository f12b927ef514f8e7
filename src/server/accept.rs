//! Connections: accepting, TLS, their limits, and how they end. What is asked over them is `http`'s.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::server::certificates::{Certificate, Resolver, tls_config};
use crate::server::clients::Clients;
use crate::server::http::{Handler, Shared, respond};
use crate::server::limits::{Limits, READ_BUFFER_BYTES_MAX, WAITING_MAX};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Refusal;

/// After a failed accept: the usual reason, no file descriptors, does not pass at once.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// What a server is made of.
#[derive(Debug)]
pub struct Server<H> {
    /// Where connections come in.
    pub listener: TcpListener,
    /// The certificate, and each that follows. Until there is one, handshakes fail.
    pub certificates: watch::Receiver<Option<Certificate>>,
    /// Who may ask for decisions; none means anybody.
    pub clients: Option<Clients>,
    /// What answers.
    pub handler: Arc<H>,
    /// Where connections and refusals are counted.
    pub metrics: Arc<Metrics>,
    /// Its limits.
    pub limits: Limits,
    /// How long to go on answering, unready, after it was told to stop: until clients have heard of it. In a cluster
    /// that is some seconds, as Services are updated with a delay.
    pub linger: Duration,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that did not finish in time.
    pub cut_off: usize,
}

/// Why a server can't start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The TLS parameters are refused.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Serves until `stop`, then lingers, closes idle connections, and waits for requests in flight.
pub async fn serve<H: Handler>(
    server: Server<H>,
    stop: impl Future<Output = ()>,
) -> Result<Stopped, ServeError> {
    let Server { listener, mut certificates, clients, handler, metrics, limits, linger } = server;
    let resolver = Arc::new(Resolver::default());
    resolver.swap(certificates.borrow_and_update().as_ref());
    let acceptor = TlsAcceptor::from(Arc::new(tls_config(resolver.clone(), clients.as_ref())?));
    let (close, closing) = watch::channel(false);
    let place = Arc::new(Place {
        shared: Arc::new(Shared::new(handler, metrics, limits)),
        acceptor,
        clients,
        resolver: resolver.clone(),
        permits: Arc::new(Semaphore::new(limits.connections)),
        room: Notify::new(),
        closing,
    });
    let mut connections = JoinSet::new();
    let mut stop = pin!(async {
        stop.await;
        place.shared.stopping.store(true, Ordering::Relaxed);
        sleep(linger).await;
    });
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(_) if connections.len() >= limits.connections + WAITING_MAX => place.refuse(),
                Ok((stream, _)) => {
                    connections.spawn(connection(place.clone(), stream));
                }
                Err(error) => pause_after(&error).await,
            },
            Ok(()) = certificates.changed() => {
                resolver.swap(certificates.borrow_and_update().as_ref());
                tracing::info!("serving a new certificate");
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection ended in a defect");
                }
            }
        }
    }
    drop(listener);
    // Nobody is left to hear it if there are no connections.
    let _ = close.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(limits.drain, all).await;
    let cut_off = connections.len();
    connections.shutdown().await;
    Ok(Stopped { cut_off })
}

/// What a connection finds around it.
struct Place<H> {
    shared: Arc<Shared<H>>,
    acceptor: TlsAcceptor,
    clients: Option<Clients>,
    resolver: Arc<Resolver>,
    /// One for each connection that may be open.
    permits: Arc<Semaphore>,
    /// Asks the oldest connection to close.
    room: Notify,
    closing: watch::Receiver<bool>,
}

impl<H> Place<H> {
    /// Room for one more connection. When there is none, the oldest is asked to leave.
    async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if self.permits.available_permits() == 0 {
            self.room.notify_one();
        }
        let permit = self.permits.clone().acquire_owned();
        timeout(self.shared.limits.room, permit).await.ok()?.ok()
    }

    fn refuse(&self) {
        self.shared.metrics.refuse(Refusal::Limit);
        tracing::warn!("connection refused: all {} are busy", self.shared.limits.connections);
    }

    /// Told that the server closes, or that another connection needs the room.
    async fn told_to_leave(&self) {
        let mut closing = self.closing.clone();
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => {}
            () = self.room.notified() => {}
        }
    }
}

/// Errors of one connection are over at once; others, such as no file descriptors, are not.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "connections can't be accepted");
        sleep(ACCEPT_RETRY).await;
    }
}

async fn connection<H: Handler>(place: Arc<Place<H>>, stream: TcpStream) {
    let Some(_permit) = place.enter().await else { return place.refuse() };
    let _open = place.shared.metrics.connection();
    let Some(stream) = handshake(&place, stream).await else { return };
    let limits = &place.shared.limits;
    let asked = AtomicBool::new(false);
    let shown = stream.get_ref().1.peer_certificates();
    let is_known = place.clients.as_ref().is_none_or(|clients| clients.includes(shown));
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        respond(place.shared.clone(), is_known, request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(READ_BUFFER_BYTES_MAX);
    let mut conversation = pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut leave = pin!(place.told_to_leave());
    let mut first_due = pin!(sleep(limits.first_request));
    let (mut leaving, mut first_came) = (false, false);
    let ended = loop {
        tokio::select! {
            ended = conversation.as_mut() => break ended,
            // Whoever has not asked anything is not owed an answer.
            () = leave.as_mut(), if !leaving => {
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
                conversation.as_mut().graceful_shutdown();
                leaving = true;
            }
            () = first_due.as_mut(), if !first_came => {
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
                first_came = true;
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

async fn handshake<H>(place: &Place<H>, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    // Answers are small, and are waited for.
    let _ = stream.set_nodelay(true);
    let error = match timeout(place.shared.limits.handshake, place.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => error,
        Err(_) => io::Error::from(io::ErrorKind::TimedOut),
    };
    let no_certificate = place.resolver.is_empty();
    let reason = if no_certificate { Refusal::NoCertificate } else { Refusal::Handshake };
    place.shared.metrics.refuse(reason);
    tracing::debug!(%error, no_certificate, "TLS handshake failed");
    None
}
