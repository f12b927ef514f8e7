//! The faults, in the order in which they happen. Each is done to the world while the client writes, and says what of it
//! clients may notice.

mod api_server;
mod certificates;
mod load;
mod policies;
mod replicas;

use std::time::{Duration, Instant};

use crate::World;
use crate::network::{ENDPOINTS_DELAY, PROBE_INTERVAL};

/// What a fault excuses, and what else was seen.
#[derive(Default)]
pub struct Seen {
    /// When requests may find nobody.
    pub unanswered: Vec<Window>,
    /// When the API server can't be asked for facts, so that policies that need some can't be evaluated.
    pub without_facts: Vec<Window>,
    /// When the API server itself does not answer.
    pub api_down: Vec<Window>,
    /// From when recovery counts, if not from the beginning of the window that an answer is missing in.
    pub since: Option<Instant>,
    pub notes: String,
    pub complaints: Vec<String>,
}

/// From when to when a request may have been in flight.
#[derive(Clone, Copy)]
pub struct Window {
    pub from: Instant,
    pub to: Instant,
}

impl Window {
    /// From `from` until now.
    pub fn since(from: Instant) -> Window {
        Window { from, to: Instant::now() }
    }

    /// From now, when a replica dies, until nobody is sent to it any more.
    pub fn of_death() -> Window {
        let from = Instant::now();
        Window { from, to: from + endpoints_follow() }
    }
}

pub type Fault = fn(&mut World) -> Seen;

pub const FAULTS: &[(&str, Fault)] = &[
    ("kill -9 a replica, each in turn", replicas::kill_each),
    ("kill -9 the leader; a policy meanwhile", replicas::kill_the_leader),
    ("kill -9 all, start again", replicas::kill_all),
    ("rolling restart of all three", replicas::restart_each),
    ("roll to three new replicas", replicas::roll),
    ("a replica hangs (SIGSTOP)", replicas::hang),
    ("one replica is cut off from the API server", api_server::cut_one),
    ("all replicas are cut off, connections refused", api_server::cut_all),
    ("all replicas are cut off, in silence", api_server::silence_all),
    ("the API server hangs", api_server::hang_the_api_server),
    ("the API server is killed and started", api_server::restart_the_api_server),
    ("etcd is killed and started", api_server::restart_etcd),
    ("a replica starts without an API server", api_server::start_without_an_api_server),
    ("the authority is renewed", certificates::renew),
    ("the Secret of the certificate is deleted", certificates::lose_the_secret),
    ("requests of 3 MiB", load::large_requests),
    ("idle and slow connections", load::slow_clients),
    ("policies that do not compile", policies::break_policies),
    ("break-glass, and its end", policies::break_the_glass),
    ("very many policies and params", policies::many_policies),
    ("all of them deleted at once", policies::remove_many_policies),
    ("nothing happens", load::soak),
];

/// How long the balancer goes on sending connections to a replica that has died: it looks, hears at once that nobody
/// listens, and its endpoints follow. Doubled, as the machine is busy.
fn endpoints_follow() -> Duration {
    (PROBE_INTERVAL + ENDPOINTS_DELAY) * 2
}
