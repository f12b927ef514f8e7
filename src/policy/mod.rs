//! Policies: what administrators write, compiled into an immutable snapshot that answers which of them match a request
//! and what each of them says to it. Nothing here knows the wire format of admission reviews, time, files or the network.

pub mod api;
pub mod crds;
pub mod matching;
pub mod request;

pub use crds::crds;
pub use request::Request;
