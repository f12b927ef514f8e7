//! What lies between the parties on loopback: a proxy that can be cut, and a balancer that sends connections to whoever
//! is ready, as a Service does with its endpoints.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::load::{ask, connect};

/// How often the balancer looks whether a replica is ready. Kubernetes looks every 10 s if nobody says otherwise; here it is less, so that a run takes minutes.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(200);

/// How long a replica may take to say that it is ready: Kubernetes' default.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// From a change of readiness to the nodes knowing it: endpoints are written, watched and put into rules.
pub const ENDPOINTS_DELAY: Duration = Duration::from_millis(300);

/// What a gate does with connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Open,
    /// Those that are open break, and new ones are refused.
    Cut,
    /// Nothing goes through, and nobody is told.
    Silent,
}

/// A TCP proxy to one port that can be cut.
pub struct Gate {
    pub port: u16,
    way: watch::Sender<Way>,
}

impl Gate {
    pub async fn to(target: u16) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (way, told) = watch::channel(Way::Open);
        tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { continue };
                let mut told = told.clone();
                tokio::spawn(async move {
                    if *told.borrow_and_update() == Way::Open {
                        tokio::select! {
                            () = relay(&mut stream, target) => return,
                            _ = told.wait_for(|way| *way != Way::Open) => {}
                        }
                    }
                    // A silent connection is held open until something is said again; then it is broken.
                    let _ = told.wait_for(|way| *way != Way::Silent).await;
                });
            }
        });
        Gate { port, way }
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// A port behind which stand those replicas that are ready.
pub struct Balancer {
    pub port: u16,
    endpoints: Endpoints,
    probes: Mutex<Vec<(u16, JoinHandle<()>)>>,
}

/// The ports that connections go to.
type Endpoints = Arc<Mutex<BTreeSet<u16>>>;

impl Balancer {
    pub async fn start() -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoints = Endpoints::default();
        let known = Arc::clone(&endpoints);
        tokio::spawn(async move {
            let turn = AtomicUsize::new(0);
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { continue };
                let target = {
                    let endpoints = known.lock().unwrap();
                    let turn = turn.fetch_add(1, Ordering::Relaxed) % endpoints.len().max(1);
                    endpoints.iter().nth(turn).copied()
                };
                // Without endpoints a connection is refused; so it is if the one that was chosen has just died.
                if let Some(target) = target {
                    tokio::spawn(async move { relay(&mut stream, target).await });
                }
            }
        });
        Balancer { port, endpoints, probes: Mutex::default() }
    }

    /// Sends connections to this port too, while it is ready.
    pub fn add(&self, port: u16) {
        let probe = tokio::spawn(probe(port, Arc::clone(&self.endpoints)));
        self.probes.lock().unwrap().push((port, probe));
    }

    /// Forgets a port. Connections that are open stay.
    pub fn remove(&self, port: u16) {
        self.probes.lock().unwrap().retain(|(probed, probe)| {
            if *probed == port {
                probe.abort();
            }
            *probed != port
        });
        self.endpoints.lock().unwrap().remove(&port);
    }

    pub fn endpoints(&self) -> BTreeSet<u16> {
        self.endpoints.lock().unwrap().clone()
    }
}

async fn probe(port: u16, endpoints: Endpoints) {
    let mut known = false;
    loop {
        let ready = is_ready(port).await;
        if ready != known {
            known = ready;
            sleep(ENDPOINTS_DELAY).await;
            let mut endpoints = endpoints.lock().unwrap();
            if ready {
                endpoints.insert(port)
            } else {
                endpoints.remove(&port)
            };
        }
        sleep(PROBE_INTERVAL).await;
    }
}

/// What a readiness probe hears, on a connection of its own.
pub async fn is_ready(port: u16) -> bool {
    let asked = async { ask(&mut connect(port).await?, "GET", "/readyz", b"").await };
    matches!(timeout(PROBE_TIMEOUT, asked).await, Ok(Ok(200)))
}

/// Carries bytes both ways until both ends have said goodbye or one breaks.
async fn relay(from: &mut TcpStream, target: u16) {
    let Ok(mut to) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    let _ = copy_bidirectional(from, &mut to).await;
}
