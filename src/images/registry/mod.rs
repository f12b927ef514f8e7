//! Registries, as the OCI distribution specification has them: manifests, layers and what refers to an image. The only
//! part of this room that uses the network.
//!
//! # Guarantees
//! - TLS, but for hosts that an admin named; a redirect or a token server can't lead away from it.
//! - Credentials go to the registry that they are for and to the token server that it names, and to nobody else.
//! - Every answer is bounded in size and time, everything that is followed in number.

mod challenge;
mod credentials;
mod discover;
mod error;
mod http;
mod model;
mod session;

use std::collections::BTreeSet;

use rustls::pki_types::CertificateDer;

use crate::images::pem;
use crate::images::reference::normal;
use crate::images::registry::http::Http;

pub use credentials::{CREDENTIALS_BYTES_MAX, Credentials, CredentialsError};
pub use discover::{
    ATTESTATION_BYTES_MAX, EVIDENCE_MAX, Gathered, Known, MANIFEST_BYTES_MAX, SIGNATURE_BYTES_MAX,
};
pub use error::RegistryError;

/// How registries are to be reached.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Who we are, to whom.
    pub credentials: Credentials,
    /// Certificate authorities of registries, in PEM, beside those of the system.
    pub authorities_pem: Vec<String>,
    /// Hosts, with ports, that are asked without TLS.
    pub plain_http: BTreeSet<String>,
}

/// A client of registries.
pub struct Registry {
    http: Http,
    credentials: Credentials,
}

impl Registry {
    /// A client that keeps its connections.
    ///
    /// # Errors
    /// If a certificate or host is malformed.
    pub fn new(options: Options) -> Result<Registry, RegistryError> {
        let refused = |why: &dyn std::fmt::Display| RegistryError::Refused(why.to_string());
        let mut authorities = Vec::new();
        for text in &options.authorities_pem {
            let blocks = pem::all(text, "CERTIFICATE").map_err(|error| refused(&error))?;
            authorities.extend(blocks.into_iter().map(CertificateDer::from));
        }
        let plain = options
            .plain_http
            .iter()
            .map(|host| normal(host).map_err(|error| refused(&error)))
            .collect::<Result<_, _>>()?;
        Ok(Registry { http: Http::new(authorities, plain)?, credentials: options.credentials })
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}
