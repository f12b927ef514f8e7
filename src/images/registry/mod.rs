//! Registries, as the OCI distribution specification has them: manifests, layers and what refers to an image. The only
//! part of this room that uses the network.
//!
//! # Guarantees
//! - TLS, but for hosts that an admin named; a redirect or a token server can't lead away from it.
//! - No host leads to where no registry is, such as this machine or a cloud's metadata service, unless an admin named it.
//! - Credentials go to the registry that they are for and to the token server that it names, and to nobody else.
//! - Every answer is bounded in size and time, everything that is followed in number.

mod address;
mod authorization;
mod challenge;
mod configured;
mod credentials;
mod discover;
mod error;
mod helper;
mod http;
mod keyring;
mod mirrors;
mod model;
mod session;
mod trail;

use std::collections::BTreeSet;

use ::http::StatusCode;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

use crate::images::pem;
use crate::images::reference::{Reference, normal};
use crate::images::registry::http::{Hosts, Http, Question};
use crate::images::registry::mirrors::Mirrors;

pub use configured::{Configured, ConfiguredError};
pub use credentials::{CREDENTIALS_BYTES_MAX, Credentials, CredentialsError};
pub use discover::{
    ATTESTATION_BYTES_MAX, EVIDENCE_MAX, Gathered, Inquiry, Known, MANIFEST_BYTES_MAX,
    SIGNATURE_BYTES_MAX,
};
pub use error::{RegistryError, Unread};
pub use keyring::Keyring;
pub use trail::{Asked, Trail};

/// How registries are to be reached.
#[derive(Debug, Default)]
pub struct Options {
    /// Who we are where nothing came with a request.
    pub configured: Option<Configured>,
    /// Certificate authorities of registries, in PEM, beside those of the system.
    pub authorities_pem: Vec<String>,
    /// Hosts, with ports, that are asked without TLS, wherever they are.
    pub plain_http: Vec<String>,
    /// Hosts, with ports, that may be at any address.
    pub any_address: Vec<String>,
    /// Whether all other hosts must be on the internet.
    pub refuse_private: bool,
    /// Mirrors, each as `registry=host/folder`.
    pub mirrors: Vec<String>,
    /// Whether a registry that has a mirror is never asked itself.
    pub mirrors_only: bool,
}

/// A client of registries.
pub struct Registry {
    http: Http,
    mirrors: Mirrors,
    configured: Option<Configured>,
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
        let named = |hosts: &[String]| -> Result<BTreeSet<String>, RegistryError> {
            hosts.iter().map(|host| normal(host).map_err(|error| refused(&error))).collect()
        };
        let mirrors = Mirrors::new(&options.mirrors, options.mirrors_only)?;
        let hosts = Hosts {
            plain: named(&options.plain_http)?,
            anywhere: named(&options.any_address)?.into_iter().chain(mirrors.hosts()).collect(),
            refuse_private: options.refuse_private,
        };
        let http = Http::new(authorities, hosts)?;
        Ok(Registry { http, mirrors, configured: options.configured })
    }

    /// A file that is no part of a registry, with the limits and rules that hold for registries; none if it is not there.
    pub(in crate::images) async fn fetch(
        &self,
        address: &str,
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let refused = |why: &str| RegistryError::Refused(format!("`{address}` {why}"));
        let uri: ::http::Uri = address.parse().map_err(|_| refused("is no address"))?;
        if uri.authority().is_none() || !self.http.is_safe(&uri) {
            return Err(refused("is without TLS, which is not allowed there"));
        }
        let (trail, accept) = (Trail::default(), "*/*");
        let question = Question {
            what: address,
            accept,
            authorization: None,
            form: None,
            bytes_max,
            trail: &trail,
        };
        let answer = self.http.ask(uri, question).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body.into())),
            // Some stores say so of what is not there.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(None),
            status => Err(refused(&format!("answers with status {}", status.as_u16()))),
        }
    }

    /// The same for keyrings as whom an image is asked about in the same way, so that what is known by one is known by the
    /// other, and by nobody else.
    pub fn mark(&self, keyring: &Keyring, image: &Reference) -> [u8; 32] {
        if keyring.is_empty() {
            return [0; 32];
        }
        let mut hash = Sha256::new();
        for at in self.mirrors.all(image) {
            keyring.mark(&mut hash, &at.registry, &at.name);
        }
        hash.finalize().into()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}
