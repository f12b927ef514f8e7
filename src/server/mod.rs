//! HTTPS: admission requests in, answers out, within limits. How a request is decided is `admission`'s; where policies
//! and certificates come from is not known here: both arrive through channels.
//!
//! # Flow
//! `accept` (connection, TLS) -> `http` (path, body) -> [`Handler`], which is [`review::Reviewer`] -> answer.
//!
//! # Guarantees
//! - Every input, queue and wait has a limit in [`limits`].
//! - A request that was begun is answered, also while the server stops.
//! - A new certificate is served from the next handshake on; no connection is cut for it.
//!
//! # Errors
//! What is wrong with a request is said with the HTTP status that fits it and a line of text. The API server then
//! applies the webhook's failure policy.

pub mod accept;
pub mod certificates;
pub mod clients;
pub mod http;
pub mod limits;
pub mod review;

use std::io;

pub use crate::server::accept::{ServeError, Server, Stopped, serve};
pub use crate::server::certificates::{Certificate, CertificateError, SelfMade};
pub use crate::server::clients::{Clients, ClientsError};
pub use crate::server::http::{Call, Handler, HttpError};
pub use crate::server::limits::Limits;
pub use crate::server::review::Reviewer;

/// The runtime that a server needs: workers with a stack that evaluation fits in.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("portcullis")
        .thread_stack_size(limits::WORKER_STACK_BYTES)
        .build()
}

#[cfg(test)]
mod tests;
