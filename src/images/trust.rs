//! What signatures are verified against: public keys, certificate authorities, and Sigstore trust roots. Text in; nothing
//! here is fetched, and nothing is trusted because it came with a signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use sigstore_verify::Verifier;
use sigstore_verify::crypto::{KeyAlgorithm, SigningScheme, VerificationKey};
use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_verify::types::{DerCertificate, DerPublicKey, SignatureBytes};

use crate::images::digest::Digest;
use crate::images::pem::{self, PemError};

/// How large a `trusted_root.json` may be. Those of public instances have 5 to 20 KiB.
pub const TRUST_ROOT_BYTES_MAX: usize = 256 * 1024;

/// Why something can't be trusted in: it is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// It is no PEM of the right kind.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The key can't be used.
    #[error("the public key can't be used: {0}")]
    Key(String),
    /// The certificate can't be used.
    #[error("the certificate can't be used: {0}")]
    Certificate(String),
    /// None of the certificates is its own issuer.
    #[error("the certificate chain has no root: one of its certificates must be signed by itself")]
    NoRoot,
    /// The trust root is too large.
    #[error("the trust root is larger than {TRUST_ROOT_BYTES_MAX} bytes")]
    TooLarge,
    /// The trust root can't be read.
    #[error("the trust root can't be used: {0}")]
    Root(String),
    /// A keyless signature needs somebody who issued its certificate.
    #[error("the trust root has no certificate authority")]
    NoAuthority,
    /// A certificate of minutes needs somebody who says when it was used.
    #[error(
        "the trust root has neither a transparency log nor a timestamp authority: nothing could say when a signature was made"
    )]
    NoTime,
}

/// A public key that an admin trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    der: DerPublicKey,
    algorithm: KeyAlgorithm,
}

impl PublicKey {
    /// Reads one key in PEM: ECDSA on P-256 or P-384, RSA, or Ed25519.
    ///
    /// # Errors
    /// If it is malformed, of another kind, or too weak.
    pub fn from_pem(text: &str) -> Result<PublicKey, TrustError> {
        PublicKey::from_der(pem::one(text, "PUBLIC KEY")?)
    }

    pub(in crate::images) fn from_der(der: Vec<u8>) -> Result<PublicKey, TrustError> {
        let der = DerPublicKey::new(der);
        let refused = |error: sigstore_verify::crypto::Error| TrustError::Key(error.to_string());
        let algorithm = KeyAlgorithm::from_spki(&der).map_err(refused)?;
        let key = VerificationKey::from_spki(&der).map_err(refused)?;
        // Strength, which is otherwise looked at only when a signature comes.
        sigstore_verify::crypto::validate_raw_public_key(key.scheme(), key.as_bytes())
            .map_err(refused)?;
        Ok(PublicKey { der, algorithm })
    }

    /// The SHA-256 of the key, by which people and tools tell keys apart.
    pub fn fingerprint(&self) -> String {
        Digest::of(self.der.as_bytes()).to_string()
    }

    pub(in crate::images) fn der(&self) -> &DerPublicKey {
        &self.der
    }

    /// Whether the signature is this key's over the message.
    pub(in crate::images) fn signed(&self, message: &[u8], signature: &SignatureBytes) -> bool {
        self.schemes().iter().any(|scheme| {
            VerificationKey::from_spki_with_scheme(&self.der, *scheme)
                .is_ok_and(|key| key.verify(message, signature).is_ok())
        })
    }

    /// Whether the signature is this key's over a message of which only the SHA-256 is known.
    pub(in crate::images) fn signed_digest(
        &self,
        sha256: &[u8],
        signature: &SignatureBytes,
    ) -> bool {
        self.schemes().iter().any(|scheme| {
            VerificationKey::from_spki_with_scheme(&self.der, *scheme)
                .is_ok_and(|key| key.verify_prehashed(sha256, signature).is_ok())
        })
    }

    /// The key's usual scheme, and that of cosign 2, which hashed by SHA-256 whatever the curve.
    fn schemes(&self) -> Vec<SigningScheme> {
        let mut schemes = vec![self.algorithm.default_signing_scheme()];
        if self.algorithm == KeyAlgorithm::EcdsaP384 {
            schemes.push(SigningScheme::EcdsaP384Sha256);
        }
        schemes
    }
}

/// Certificate authorities of an admin's own, for certificates that are good for long.
#[derive(Clone, Debug)]
pub struct Authorities {
    roots: Vec<DerCertificate>,
    intermediates: Vec<DerCertificate>,
}

impl Authorities {
    /// Reads certificates in PEM. Those that are signed by themselves are roots, the others lead to them.
    ///
    /// # Errors
    /// If one is malformed, or there is no root.
    pub fn from_pem(text: &str) -> Result<Authorities, TrustError> {
        let mut authorities = Authorities { roots: Vec::new(), intermediates: Vec::new() };
        for der in pem::all(text, "CERTIFICATE")? {
            let (_, certificate) = x509_parser::parse_x509_certificate(&der)
                .map_err(|error| TrustError::Certificate(error.to_string()))?;
            let is_root = certificate.subject() == certificate.issuer();
            let list =
                if is_root { &mut authorities.roots } else { &mut authorities.intermediates };
            list.push(DerCertificate::new(der));
        }
        if authorities.roots.is_empty() {
            return Err(TrustError::NoRoot);
        }
        for root in &authorities.roots {
            let der = rustls_pki_types::CertificateDer::from(root.as_bytes());
            webpki::anchor_from_trusted_cert(&der)
                .map_err(|error| TrustError::Certificate(error.to_string()))?;
        }
        Ok(authorities)
    }

    pub(in crate::images) fn roots(&self) -> &[DerCertificate] {
        &self.roots
    }

    pub(in crate::images) fn intermediates(&self) -> &[DerCertificate] {
        &self.intermediates
    }
}

/// The keys of a Sigstore that an admin runs, each in PEM.
#[derive(Clone, Debug, Default)]
pub struct OwnKeys<'a> {
    /// Chains of certificate authorities, such as Fulcio's.
    pub certificate_authorities: Vec<&'a str>,
    /// Keys of transparency logs, such as Rekor's.
    pub transparency_logs: Vec<&'a str>,
    /// Keys of certificate transparency logs. Without one, certificates need no proof that they were logged.
    pub certificate_logs: Vec<&'a str>,
    /// Chains of timestamp authorities, the signing certificate first.
    pub timestamp_authorities: Vec<&'a str>,
}

/// Whom keyless signatures are traced back to: certificate authorities, logs, and timestamp authorities.
pub struct TrustRoot {
    verifier: Verifier,
    requires_log: bool,
    requires_certificate_log: bool,
    fingerprint: String,
}

impl TrustRoot {
    /// Reads a `trusted_root.json`.
    ///
    /// # Errors
    /// If it can't be read, or could never verify a signature.
    pub fn from_json(text: &str) -> Result<TrustRoot, TrustError> {
        if text.len() > TRUST_ROOT_BYTES_MAX {
            return Err(TrustError::TooLarge);
        }
        let root =
            TrustedRoot::from_json(text).map_err(|error| TrustError::Root(error.to_string()))?;
        if root.certificate_authorities.is_empty() {
            return Err(TrustError::NoAuthority);
        }
        if root.tlogs.is_empty() && root.timestamp_authorities.is_empty() {
            return Err(TrustError::NoTime);
        }
        let verifier = Verifier::new(&root).map_err(|error| TrustError::Root(error.to_string()))?;
        Ok(TrustRoot {
            verifier,
            requires_log: !root.tlogs.is_empty(),
            requires_certificate_log: !root.ctlogs.is_empty(),
            fingerprint: Digest::of(text.as_bytes()).to_string(),
        })
    }

    /// The public Sigstore instance, as it was when the library that verifies was released.
    ///
    /// # Errors
    /// None that a test would not have seen.
    pub fn public() -> Result<TrustRoot, TrustError> {
        TrustRoot::from_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT)
    }

    /// Makes a trust root of keys.
    ///
    /// # Errors
    /// If one is malformed, or they could never verify a signature.
    pub fn from_keys(keys: &OwnKeys<'_>) -> Result<TrustRoot, TrustError> {
        let logs =
            |texts: &[&str]| texts.iter().map(|text| log(text)).collect::<Result<Vec<_>, _>>();
        let chains = |texts: &[&str]| -> Result<Vec<Value>, TrustError> {
            texts.iter().map(|text| chain(text)).collect()
        };
        let root = json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": logs(&keys.transparency_logs)?,
            "ctlogs": logs(&keys.certificate_logs)?,
            "certificateAuthorities": chains(&keys.certificate_authorities)?,
            "timestampAuthorities": chains(&keys.timestamp_authorities)?,
        });
        TrustRoot::from_json(&root.to_string())
    }

    /// The SHA-256 of what it was made of.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(in crate::images) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Whether a signature must be in a transparency log.
    pub fn requires_log(&self) -> bool {
        self.requires_log
    }

    /// Whether a certificate must be in a certificate transparency log.
    pub fn requires_certificate_log(&self) -> bool {
        self.requires_certificate_log
    }
}

impl std::fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrustRoot").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// A log of any kind, as `trusted_root.json` has it. Its identifier is the hash of its key (RFC 6962, 3.2).
fn log(text: &str) -> Result<Value, TrustError> {
    use sha2::Digest as _;
    let key = PublicKey::from_pem(text)?;
    let der = key.der().as_bytes();
    let details = match key.algorithm {
        KeyAlgorithm::EcdsaP256 => "PKIX_ECDSA_P256_SHA_256",
        KeyAlgorithm::EcdsaP384 => "PKIX_ECDSA_P384_SHA_384",
        KeyAlgorithm::Ed25519 => "PKIX_ED25519",
        KeyAlgorithm::Rsa => "PKIX_RSA_PKCS1V15_2048_SHA256",
        _ => return Err(TrustError::Key("no log signs with such a key".to_owned())),
    };
    Ok(json!({
        "baseUrl": "",
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": STANDARD.encode(der),
            "keyDetails": details,
            "validFor": {"start": Timestamp::UNIX_EPOCH.to_string()},
        },
        "logId": {"keyId": STANDARD.encode(sha2::Sha256::digest(der))},
    }))
}

fn chain(text: &str) -> Result<Value, TrustError> {
    let certificates: Vec<Value> = pem::all(text, "CERTIFICATE")?
        .iter()
        .map(|der| json!({"rawBytes": STANDARD.encode(der)}))
        .collect();
    Ok(json!({
        "uri": "",
        "certChain": {"certificates": certificates},
        "validFor": {"start": Timestamp::UNIX_EPOCH.to_string()},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: &'static rcgen::SignatureAlgorithm) -> String {
        rcgen::KeyPair::generate_for(algorithm).unwrap().public_key_pem()
    }

    #[test]
    fn keys_of_the_usual_kinds_are_read() {
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        {
            let text = key(algorithm);
            let read = PublicKey::from_pem(&text).unwrap();
            assert!(read.fingerprint().starts_with("sha256:"));
            assert_eq!(PublicKey::from_pem(&format!("# a key\n{text}\n")).unwrap(), read);
        }
    }

    #[test]
    fn what_is_no_key_is_told() {
        let check = |text: &str, expect: &str| {
            let error = PublicKey::from_pem(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        };
        let good = key(&rcgen::PKCS_ECDSA_P256_SHA256);
        check("", "no `PUBLIC KEY`");
        check("ecdsa-sha2-nistp256 AAAA", "no `PUBLIC KEY`");
        check(&good.replace("PUBLIC KEY", "PRIVATE KEY"), "`PRIVATE KEY`");
        check(&good.repeat(2), "more than one `PUBLIC KEY`");
        check("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n", "can't be used");
        check("-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n", "no PEM");
    }

    #[test]
    fn trust_roots_that_could_verify_nothing_are_refused() {
        let authority = {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.self_signed(&key).unwrap().pem()
        };
        let log = key(&rcgen::PKCS_ECDSA_P256_SHA256);
        let check = |keys: OwnKeys<'_>, expect: &str| {
            let made = TrustRoot::from_keys(&keys).map(|_| "made".to_owned());
            let said = made.unwrap_or_else(|error| error.to_string());
            assert!(said.contains(expect), "{said}");
        };
        let of = |authority, log| OwnKeys {
            certificate_authorities: authority,
            transparency_logs: log,
            ..OwnKeys::default()
        };
        check(of(vec![&authority], vec![&log]), "made");
        check(of(vec![], vec![&log]), "no certificate authority");
        check(of(vec![&authority], vec![]), "when a signature was made");
        check(of(vec![&log], vec![&log]), "`PUBLIC KEY`");
        check(of(vec![&authority], vec![&authority]), "`CERTIFICATE`");
        check(of(vec![&authority], vec![&log, &log]), "duplicate");
        assert!(TrustRoot::public().unwrap().requires_certificate_log());
        assert!(TrustRoot::from_json("{}").is_err());
        assert_eq!(
            TrustRoot::from_json(&" ".repeat(TRUST_ROOT_BYTES_MAX + 1)).unwrap_err(),
            TrustError::TooLarge
        );
    }
}
