//! Who may ask: anybody who reaches the port, or only who proves to be the API server with a certificate. Probes and
//! metrics are for everybody.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::server::certificates::provider;

/// The clients that may ask for decisions: those with a certificate of this authority.
#[derive(Clone, Debug)]
pub struct Clients {
    roots: Arc<RootCertStore>,
    names: Vec<String>,
}

/// Why an authority can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// It is no PEM text.
    #[error("no certificate in the PEM text: {0}")]
    Pem(rustls::pki_types::pem::Error),
    /// It is no authority's certificate.
    #[error("the certificate is none of an authority: {0}")]
    Authority(#[from] rustls::Error),
    /// There is no certificate in it.
    #[error("the PEM text has no certificate")]
    Empty,
}

impl Clients {
    /// Takes the certificates of authorities, and the common names of the clients that are meant; no name means all.
    ///
    /// # Errors
    /// If the text has no certificate of an authority.
    pub fn new(authorities_pem: &str, names: Vec<String>) -> Result<Clients, ClientsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities_pem.as_bytes()) {
            roots.add(certificate.map_err(ClientsError::Pem)?)?;
        }
        if roots.is_empty() {
            return Err(ClientsError::Empty);
        }
        Ok(Clients { roots: Arc::new(roots), names })
    }

    /// What looks at certificates in a handshake. A client without one gets as far as being told what it lacks.
    pub(in crate::server) fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
        WebPkiClientVerifier::builder_with_provider(self.roots.clone(), Arc::new(provider()))
            .allow_unauthenticated()
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))
    }

    /// Whether a client with these certificates, which were verified, is one that is meant.
    pub(in crate::server) fn includes(&self, certificates: Option<&[CertificateDer<'_>]>) -> bool {
        let Some(leaf) = certificates.and_then(<[_]>::first) else { return false };
        self.names.is_empty() || common_name(leaf).is_some_and(|name| self.names.contains(&name))
    }
}

fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use crate::server::certificates::make;
    use crate::server::clients::Clients;

    #[test]
    fn a_client_is_meant_by_its_name_or_by_its_authority_alone() {
        let made = make(&["kube-apiserver".into()], "2026-11-20T12:00:00Z".parse().unwrap());
        let made = made.unwrap();
        let leaf = CertificateDer::from_pem_slice(made.chain_pem.as_bytes()).unwrap();
        let check = |names: &[&str], certificates: Option<&[CertificateDer<'_>]>, expect: bool| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let clients = Clients::new(&made.authority_pem, names).unwrap();
            clients.verifier().unwrap();
            assert_eq!(clients.includes(certificates), expect);
        };
        let leaf = [leaf];
        check(&[], Some(&leaf), true);
        check(&["kube-apiserver"], Some(&leaf), true);
        check(&["other", "kube-apiserver"], Some(&leaf), true);
        check(&["other"], Some(&leaf), false);
        check(&[], None, false);
        check(&[], Some(&[]), false);
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        for (pem, expect) in [("", "the PEM text has no certificate"), ("nonsense", "the PEM text")]
        {
            let error = Clients::new(pem, Vec::new()).unwrap_err().to_string();
            assert!(error.starts_with(expect), "{error}");
        }
    }
}
