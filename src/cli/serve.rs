//! `portcullis serve`: the webhook, with policies from files or from a cluster. Everything here is wiring: channels from
//! whoever finds policies and certificates to whoever answers.

mod audit;
mod cluster;
mod samples;

use std::fs;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::admission::{NoCluster, Source};
use crate::cel::Version;
use crate::cli::images::RegistryArgs;
use crate::cli::ledger::ORIGIN;
use crate::cli::{Exit, Failure};
use crate::controller::files::follow;
use crate::controller::images::WithImages;
use crate::controller::now;
use crate::controller::publish::{Publisher, Purpose};
use crate::ledger::Ledger;
use crate::server::review::Reviewer;
use crate::server::{Certificate, Clients, Limits, Server, certificates, runtime, serve};
use crate::telemetry::Metrics;
use crate::telemetry::log::{self, Format};
use crate::telemetry::traces::Traces;

/// The port that is listened on if none is given.
const PORT: u16 = 8443;

/// Serves admission requests over HTTPS.
///
/// With --policies, policies come from files, and no cluster is needed. Without, they come from the cluster of the
/// kubeconfig or, in a Pod, from the one it runs in.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis serve --policies policies/
  portcullis serve --kubeconfig ~/.kube/config --webhook-url https://127.0.0.1:8443")]
pub struct ServeArgs {
    /// Policies, bindings, params and namespaces: files or folders. They are read again when they change
    #[arg(long, short, value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// Where to listen; port 0 takes a free one. By default port 8443: of the loopback address with --policies, of every
    /// address in a cluster
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Reviews the samples of this folder once, over HTTPS, and shows what was decided
    #[arg(long, value_name = "FOLDER", requires = "policies")]
    samples: Option<PathBuf>,
    /// Writes the certificate of the authority that signed the server's, for clients
    #[arg(long, value_name = "FILE", requires = "policies")]
    authority_out: Option<PathBuf>,
    /// Answers reviews only of clients with a certificate of these authorities; probes and metrics are for everybody
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Answers reviews only of clients whose certificate has this common name; may be repeated
    #[arg(long, value_name = "NAME", requires = "client_ca")]
    client_name: Vec<String>,
    /// Records every decision in this folder
    #[arg(long, value_name = "FOLDER")]
    ledger: Option<PathBuf>,
    /// The Kubernetes release whose CEL policies are written in
    #[arg(long, default_value = "1.37")]
    version: Version,
    /// What is logged: `info`, or `portcullis=debug`
    #[arg(
        long,
        default_value = "info,kube=warn,kube_runtime::watcher=error",
        env = "PORTCULLIS_LOG"
    )]
    log: String,
    /// How it is logged
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Sends traces to this OpenTelemetry collector, over HTTP: `http://collector:4318`
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    /// The part of the requests to trace that belong to no trace yet, from 0 to 1
    #[arg(long, default_value_t = 0.01)]
    trace_ratio: f64,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    cluster: cluster::ClusterArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// JSON lines
    Json,
}

impl ServeArgs {
    fn listen(&self) -> SocketAddr {
        let ip = if self.policies.is_empty() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        self.listen.unwrap_or(SocketAddr::from((ip, PORT)))
    }
}

/// Runs the command, until SIGTERM or SIGINT.
pub fn run(args: &ServeArgs) -> Result<Exit, Failure> {
    let format = match args.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    log::init(format, &args.log).map_err(Failure::new)?;
    let serving = async {
        if args.policies.is_empty() { cluster::run(args).await } else { from_files(args).await }
    };
    runtime()?.block_on(serving)
}

async fn from_files(args: &ServeArgs) -> Result<Exit, Failure> {
    let names = ["localhost".to_owned(), args.listen().ip().to_string()];
    let made = certificates::make(&names, now()).map_err(Failure::new)?;
    if let Some(path) = &args.authority_out {
        write(path, &made.authority_pem)?;
    }
    let (certificate_sender, certificates) = watch::channel(Some(made.certificate.clone()));
    let (snapshot_sender, snapshots) = watch::channel(None);
    let metrics = Arc::new(Metrics::new());
    let (registry, trust) = (Arc::new(args.registry.client()?), args.registry.trust()?);
    let publisher =
        Publisher::new(args.version, metrics.clone(), snapshot_sender, Purpose::Enforce)
            .with_trust(trust.clone());
    let updated = tokio::spawn(trust.keep(registry.clone(), metrics.clone(), now));
    let followed = tokio::spawn(follow(args.policies.clone(), publisher));
    let listener = bind(args.listen()).await?;
    let address = listener.local_addr()?;
    let traces = traces(args)?;
    let source = WithImages::new(NoCluster, registry, metrics.clone()).traced(traces.clone());
    let reviewer = Arc::new(Reviewer::new(source, metrics.clone(), ledger(args)?).traced(traces));
    let kept = reviewer.clone();
    let answered = tokio::spawn(async move { kept.follow(snapshots).await });
    let shown = args.samples.clone().map(|folder| {
        let authority = made.authority_pem.clone();
        let out = args.authority_out.clone();
        tokio::spawn(
            async move { samples::show(address, &authority, &folder, out.as_deref()).await },
        )
    });
    let (clients, linger) = (clients(args)?, Duration::ZERO);
    let place = Place { listener, certificates, clients, reviewer, metrics, linger };
    let ended = place.serve().await;
    drop(certificate_sender);
    for task in [Some(followed), Some(updated), Some(answered), shown].into_iter().flatten() {
        task.abort();
    }
    ended
}

/// A server with everything around it.
struct Place<S> {
    listener: TcpListener,
    certificates: watch::Receiver<Option<Certificate>>,
    clients: Option<Clients>,
    reviewer: Arc<Reviewer<S>>,
    metrics: Arc<Metrics>,
    linger: Duration,
}

impl<S: Source> Place<S> {
    async fn serve(self) -> Result<Exit, Failure> {
        let Place { listener, certificates, clients, reviewer, metrics, linger } = self;
        let handler = reviewer.clone();
        let address = listener.local_addr()?;
        tracing::info!("listening on https://{address}");
        let limits = Limits::default();
        let server = Server { listener, certificates, clients, handler, metrics, limits, linger };
        let stopped = serve(server, told_to_stop()?).await.map_err(Failure::new)?;
        // It blocks, on the way out.
        let _ = tokio::task::spawn_blocking(move || reviewer.stop()).await;
        tracing::info!(cut_off = stopped.cut_off, "stopped");
        Ok(Exit::Ok)
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Failure::new(format!("can't listen on {address}: {error}")))
}

/// Ends when the process is told to stop.
fn told_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

fn traces(args: &ServeArgs) -> Result<Option<Traces>, Failure> {
    if !(0.0..=1.0).contains(&args.trace_ratio) {
        return Err(Failure::new("--trace-ratio is between 0 and 1"));
    }
    let start = |endpoint: &String| Traces::start(endpoint, args.trace_ratio);
    args.otlp_endpoint.as_ref().map(start).transpose().map_err(Failure::new)
}

fn clients(args: &ServeArgs) -> Result<Option<Clients>, Failure> {
    let Some(path) = &args.client_ca else { return Ok(None) };
    let text = fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    let clients = Clients::new(&text, args.client_name.clone());
    clients.map(Some).map_err(|error| Failure::file(path, &error))
}

fn ledger(args: &ServeArgs) -> Result<Option<Ledger>, Failure> {
    let Some(folder) = &args.ledger else { return Ok(None) };
    let (ledger, opened) = Ledger::open(folder, ORIGIN).map_err(Failure::new)?;
    tracing::info!(?opened, "the ledger is open");
    Ok(Some(ledger))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::file(path, &error))
}
