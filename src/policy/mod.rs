//! Policies: what administrators write, compiled into an immutable snapshot that answers which of them match a request
//! and what each of them says to it. Nothing here knows the wire format of admission reviews, time, files or the network.

pub mod api;
mod apply;
pub mod background;
mod bound;
pub mod budget;
pub mod compile;
pub mod crds;
pub mod definitions;
pub mod entry;
pub mod evaluate;
pub mod facts;
pub mod images;
pub mod invocation;
mod kept;
pub mod manifest;
pub mod matching;
pub mod mutate;
pub mod outcome;
pub mod pace;
pub mod params;
mod patch;
pub mod request;
pub mod scope;
pub mod snapshot;
mod type_names;
pub mod types;
pub mod validation;

pub use crds::crds;
pub use definitions::{Definitions, Named, Origin};
pub use request::Request;
