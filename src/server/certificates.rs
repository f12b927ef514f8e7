//! The server's certificate: read from PEM, made for use without a cluster, and swapped while the server runs. Where it
//! is kept, and who decides that it is time for a new one, is not known here.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::server::clients::Clients;

/// How long a certificate that we make is good: longer than anybody serves from files without a restart, and within
/// what TLS clients accept (398 days).
const VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 397);

/// How long it was good already, for clients whose clocks are behind.
const BACKDATE: SignedDuration = SignedDuration::from_hours(24);

/// A certificate chain and its private key, which belong together.
#[derive(Clone, Debug)]
pub struct Certificate(Arc<CertifiedKey>);

/// A certificate that we made, with what clients need to trust it.
#[derive(Clone, Debug)]
pub struct SelfMade {
    /// The certificate of the authority, for clients.
    pub authority_pem: String,
    /// The certificate and its chain.
    pub chain_pem: String,
    /// The private key of the certificate.
    pub key_pem: String,
    /// The same, ready to serve.
    pub certificate: Certificate,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The text is no PEM of the kind.
    #[error("no {what} in the PEM text: {source}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Why it is none.
        source: rustls_pki_types::pem::Error,
    },
    /// There is no certificate in the chain.
    #[error("the PEM text has no certificate")]
    Empty,
    /// The key can't be used, or is not the certificate's.
    #[error("the private key does not fit the certificate: {0}")]
    Key(rustls::Error),
    /// It can't be made.
    #[error("the certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
}

impl Certificate {
    /// Reads a chain, leaf first, and the leaf's private key.
    pub fn from_pem(chain: &str, key: &str) -> Result<Certificate, CertificateError> {
        let pem = |what| move |source| CertificateError::Pem { what, source };
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem("certificate"))?;
        if chain.is_empty() {
            return Err(CertificateError::Empty);
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(pem("private key"))?;
        let pair =
            CertifiedKey::from_der(chain, key, &provider()).map_err(CertificateError::Key)?;
        Ok(Certificate(Arc::new(pair)))
    }
}

/// Makes an authority and a certificate by it that is good for `names` (DNS names and IP addresses). The
/// authority's key is forgotten, so that nothing else can be signed with it.
pub fn make(names: &[String], now: Timestamp) -> Result<SelfMade, CertificateError> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Portcullis authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit_validity(&mut authority, now);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut leaf = CertificateParams::new(names)?;
    let name = names.first().map_or("portcullis", String::as_str);
    leaf.distinguished_name.push(DnType::CommonName, name);
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    limit_validity(&mut leaf, now);
    let key = KeyPair::generate()?;
    let leaf = leaf.signed_by(&key, &authority)?;

    let (chain_pem, key_pem) = (leaf.pem(), key.serialize_pem());
    let certificate = Certificate::from_pem(&chain_pem, &key_pem)?;
    Ok(SelfMade { authority_pem: authority.pem(), chain_pem, key_pem, certificate })
}

fn limit_validity(params: &mut CertificateParams, now: Timestamp) {
    let day = |at: Timestamp| {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(now.saturating_sub(BACKDATE).unwrap_or(now));
    params.not_after = day(now.saturating_add(VALIDITY).unwrap_or(now));
}

/// What answers a handshake: the certificate of the moment.
#[derive(Debug, Default)]
pub(in crate::server) struct Resolver(ArcSwapOption<CertifiedKey>);

impl Resolver {
    pub(in crate::server) fn swap(&self, certificate: Option<&Certificate>) {
        self.0.store(certificate.map(|certificate| certificate.0.clone()));
    }

    pub(in crate::server) fn is_empty(&self) -> bool {
        self.0.load().is_none()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// TLS 1.2 and 1.3 with the certificate of the moment, for HTTP/1.1: the API server speaks nothing else to webhooks, as
/// it wants its connections spread over replicas.
pub(in crate::server) fn tls_config(
    resolver: Arc<Resolver>,
    clients: Option<&Clients>,
) -> Result<rustls::ServerConfig, rustls::Error> {
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?;
    let config = match clients {
        Some(clients) => config.with_client_cert_verifier(clients.verifier()?),
        None => config.with_no_client_auth(),
    };
    let mut config = config.with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

pub(in crate::server) fn provider() -> CryptoProvider {
    default_provider()
}

#[cfg(test)]
mod tests {
    use crate::server::certificates::{Certificate, CertificateError, make};

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let names = ["localhost".to_owned()];
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let (one, two) = (make(&names, now).unwrap(), make(&names, now).unwrap());
        Certificate::from_pem(&one.chain_pem, &one.key_pem).unwrap();
        let check = |chain: &str, key: &str, expect: &str| {
            let error = Certificate::from_pem(chain, key).unwrap_err().to_string();
            assert!(error.starts_with(expect), "{error}");
        };
        check(&one.chain_pem, &two.key_pem, "the private key does not fit the certificate: ");
        check("", &one.key_pem, "the PEM text has no certificate");
        check(&one.key_pem, &one.key_pem, "the PEM text has no certificate");
        check(&one.chain_pem, "", "no private key in the PEM text: ");
        check(&one.chain_pem.replace('M', "*"), &one.key_pem, "no certificate in the PEM text: ");
        assert!(matches!(
            make(&["not a name\u{1}é".into()], now).unwrap_err(),
            CertificateError::Make(_)
        ));
    }

    #[test]
    fn a_certificate_is_good_for_a_year_and_a_month() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let made = make(&["127.0.0.1".to_owned()], now).unwrap();
        let mut params = rcgen::CertificateParams::default();
        super::limit_validity(&mut params, now);
        assert_eq!(params.not_before.to_string(), "2026-11-19 0:00:00.0 +00:00:00");
        assert_eq!(params.not_after.to_string(), "2027-12-22 0:00:00.0 +00:00:00");
        assert_ne!(made.authority_pem, made.chain_pem);
    }
}
