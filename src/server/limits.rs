//! Every limit of the server, with its reason. What is done when one is reached is said where that is done.

use std::time::Duration;

/// Bytes of a request's body. The API server takes objects of at most 3 MiB and stores at most 1.5 MiB (etcd); it
/// encodes `<`, `>` and `&` as six bytes each, so the object can be 18 MiB and the old object 9 MiB. A smaller limit
/// would let a padded object pass under a failure policy of `Ignore`.
pub const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of bodies that are held at once, beyond [`BODY_FREE_BYTES`] for each: the largest one, or a hundred of 300 KiB.
/// Anybody who reaches the port can send bodies, and the worst text (`[[],[],..`) takes ten times its size as nodes.
pub const BUFFERED_BYTES_MAX: usize = BODY_BYTES_MAX;

/// Bytes of a body that count against nothing but [`CONNECTIONS_MAX`]: nearly all requests are smaller.
pub const BODY_FREE_BYTES: usize = 64 * 1024;

/// Open connections. An API server opens one for each of its requests in flight (600 by default) and keeps them; more
/// than this are the business of another replica.
pub const CONNECTIONS_MAX: usize = 2_048;

/// Connections that may wait for one of those to close, each for [`ROOM_TIMEOUT`]. The rest is refused at once.
pub const WAITING_MAX: usize = 64;

/// Bytes that are read ahead on a connection, which is also the most that a request's headers may be. The API server
/// sends a few hundred bytes of headers.
pub const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// For the TLS handshake: two round trips.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// From the handshake to the first request's headers. A client that connects has a request to send.
pub const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// From an answer to the headers of the next request. Go's client, which the API server is, closes idle connections
/// after 90 s: if we closed first, it could be just as a request is sent. A client that sends headers slowly does no
/// more harm than an idle one: when there is no room, idle and slow connections are closed first.
pub const IDLE_TIMEOUT: Duration = Duration::from_mins(2);

/// From a request's headers to its answer, if the client does not say: the default `timeoutSeconds` of a webhook.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a client may ask for: the greatest `timeoutSeconds` of a webhook.
pub const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// For what is left of a body that was refused, so that the client reads why instead of a reset.
pub const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// For a connection to become free when all are taken.
pub const ROOM_TIMEOUT: Duration = Duration::from_secs(2);

/// For requests in flight when the server stops: as long as a request may take.
pub const DRAIN_TIMEOUT: Duration = REQUEST_TIMEOUT_MAX;

/// Bytes of stack of a worker. Evaluation recurses over expressions (250 levels) and values (1,000 levels): a debug build
/// overflows 2 MiB, which is tokio's default, and needs less than 4. Memory is taken only for what is used.
pub const WORKER_STACK_BYTES: usize = 16 * 1024 * 1024;

/// The limits that a server keeps: the constants above, unless a test asks for less.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is a constant above")]
pub struct Limits {
    pub body_bytes: usize,
    pub buffered_bytes: usize,
    pub connections: usize,
    pub handshake: Duration,
    pub first_request: Duration,
    pub idle: Duration,
    pub request: Duration,
    pub discard: Duration,
    pub room: Duration,
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: BODY_BYTES_MAX,
            buffered_bytes: BUFFERED_BYTES_MAX,
            connections: CONNECTIONS_MAX,
            handshake: HANDSHAKE_TIMEOUT,
            first_request: FIRST_REQUEST_TIMEOUT,
            idle: IDLE_TIMEOUT,
            request: REQUEST_TIMEOUT,
            discard: DISCARD_TIMEOUT,
            room: ROOM_TIMEOUT,
            drain: DRAIN_TIMEOUT,
        }
    }
}
