//! Verification: what was found, an image and an authority in; [`Verified`] or why not out. Nothing here reaches a
//! registry or knows of policies.
//!
//! # Guarantees
//! [`Verified`] can be made here only, and says that all of this is one thing:
//! - the image's digest is the one that was signed: in the payload, or among the subjects of the statement;
//! - the payload is what the key signed;
//! - the key is the authority's, or in a certificate that leads to the authority, for the identity that it asks for;
//! - where the authority asks for a log, the log's entry is of this payload, signature and key, and is in the log;
//! - the certificate was good at every time that log and timestamp authorities attest, or is good now.
//!
//! # Assumptions
//! `sigstore-verify` does what its documentation says, and looks at the clock itself to refuse times in the future.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use sigstore_verify::crypto::{CertificateInfo, parse_certificate_info};
use sigstore_verify::types::{
    Artifact, ArtifactDigest, Bundle, DerCertificate, HashAlgorithm, SignatureContent,
};
use sigstore_verify::{PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult};

use crate::images::authority::{Authority, TextMatch};
use crate::images::certificate;
use crate::images::claims::claims;
use crate::images::digest::{Algorithm, Digest};
use crate::images::evidence::{Evidence, Found, SimpleSigning};
use crate::images::legacy;
use crate::images::statement::{PAYLOAD_TYPE, SIGNATURE_PREDICATE, Statement};
use crate::images::trust::{PublicKey, TrustRoot};

/// How many log entries, and how many timestamps, one bundle may have. One is usual; each costs a tenth of a millisecond.
const TIMES_MAX: usize = 8;

/// A signature or attestation of an image that an authority made.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    image: Digest,
    place: String,
    claim: Claim,
    signer: Signer,
    signed_at: Option<Timestamp>,
    logged: bool,
}

/// What is said of the image.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// That it is signed.
    Signature,
    /// More than that.
    Attestation {
        /// What kind of thing is said.
        predicate_type: String,
        /// What is said.
        predicate: Value,
    },
}

/// Who says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The owner of a key.
    Key {
        /// The SHA-256 of the public key.
        fingerprint: String,
    },
    /// Somebody whom an identity provider knows.
    Identity {
        /// The identity provider.
        issuer: String,
        /// The address or URI.
        subject: String,
        /// What else the certificate says of them, such as the repository of a build.
        claims: BTreeMap<&'static str, String>,
    },
    /// The owner of a certificate.
    Certificate {
        /// The address or URI in it, if there is one.
        subject: Option<String>,
    },
}

/// Why a signature or attestation does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Malformed(String),
    /// It is about something else.
    #[error("it is about another image: {0}")]
    OtherImage(String),
    /// It is signed in another way than the authority signs.
    #[error("it is signed with a {found}, and the authority signs with a {expected}")]
    Material {
        /// What there is.
        found: &'static str,
        /// What there should be.
        expected: &'static str,
    },
    /// Somebody else signed, or the content was changed.
    #[error("the signature is not the authority's, or what it signed was changed")]
    Signature,
    /// The certificate does not lead to the authority, or was not good when it was used.
    #[error("its certificate is not trusted: {0}")]
    Certificate(String),
    /// Somebody else is named in the certificate.
    #[error("the {what} is `{found}`, and {expected} is required")]
    Identity {
        /// `issuer` or `subject`.
        what: &'static str,
        /// What the certificate says.
        found: String,
        /// What the authority asks for.
        expected: String,
    },
    /// The transparency log does not confirm it.
    #[error("the transparency log does not confirm it: {0}")]
    Log(String),
    /// Nothing says when it was made, or something wrong does.
    #[error("nothing confirms when it was signed: {0}")]
    Time(String),
    /// Nothing here can verify it.
    #[error("it can't be verified: {0}")]
    Unsupported(String),
}

impl Verified {
    /// The image that it is about.
    pub fn image(&self) -> &Digest {
        &self.image
    }

    /// Where it was found.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What it says.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Who says it.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// When, if that is attested.
    pub fn signed_at(&self) -> Option<Timestamp> {
        self.signed_at
    }

    /// Whether a transparency log confirms it.
    pub fn logged(&self) -> bool {
        self.logged
    }
}

/// Verifies what was found, as the authority's and about the image.
///
/// # Errors
/// Why it does not count.
pub fn verify(
    found: &Found,
    image: &Digest,
    authority: &Authority,
    now: Timestamp,
) -> Result<Verified, Rejected> {
    let signed = Signed::read(&found.evidence)?;
    let claim = signed.claim(image)?;
    let verified = |signer, signed_at, logged| Verified {
        image: image.clone(),
        place: found.place.clone(),
        claim,
        signer,
        signed_at,
        logged,
    };
    match authority {
        Authority::Key { key, log } => {
            signed.expect_key()?;
            let signer = Signer::Key { fingerprint: key.fingerprint() };
            let Some(root) = log else {
                signed.by_key(key, image)?;
                return Ok(verified(signer, None, false));
            };
            let policy = PublicKeyVerificationPolicy::new(key.der().clone());
            let result = root.verifier().verify(signed.artifact(image)?, &signed.bundle, &policy);
            let result = result.map_err(rejected)?;
            if !result.tlog_verified() {
                return Err(Rejected::Log("it was not looked at".to_owned()));
            }
            Ok(verified(signer, earliest(&result), true))
        }
        Authority::Keyless { issuer, subject, root } => {
            signed.expect_certificate("short-lived certificate")?;
            let result = keyless(&signed, image, root)?;
            let signer = identified(result.certificate(), issuer, subject)?;
            Ok(verified(signer, earliest(&result), result.tlog_verified()))
        }
        Authority::Certificate { authorities, subject } => {
            let leaf = signed.expect_certificate("certificate")?;
            let key = certificate::verify(authorities, leaf, signed.intermediates(), now)
                .map_err(Rejected::Certificate)?;
            signed.by_key(&key, image)?;
            let info = parse_certificate_info(leaf)
                .map_err(|error| Rejected::Certificate(error.to_string()))?;
            let named = info.identity.map(|identity| identity.as_str().to_owned());
            if let Some(expected) = subject {
                matched("subject", named.as_deref(), expected)?;
            }
            Ok(verified(Signer::Certificate { subject: named }, None, false))
        }
    }
}

/// What was found, read.
struct Signed<'f> {
    bundle: Bundle,
    /// The payload that stands for the image in a legacy signature; otherwise the image itself was signed, or a statement.
    payload: Option<&'f [u8]>,
}

impl<'f> Signed<'f> {
    fn read(evidence: &'f Evidence) -> Result<Signed<'f>, Rejected> {
        let (bundle, payload) = match evidence {
            Evidence::Bundle(json) => {
                let text = std::str::from_utf8(json)
                    .map_err(|error| Rejected::Malformed(error.to_string()))?;
                (Bundle::from_json(text).map_err(|error| error.to_string()), None)
            }
            Evidence::Signature(layer) => (legacy::signature(layer), Some(&*layer.content)),
            Evidence::Attestation(layer) => (legacy::attestation(layer), None),
        };
        let bundle = bundle.map_err(Rejected::Malformed)?;
        let material = &bundle.verification_material;
        let stamps = material.timestamp_verification_data.rfc3161_timestamps.len();
        if material.tlog_entries.len() > TIMES_MAX || stamps > TIMES_MAX {
            let why = format!("it has more than {TIMES_MAX} log entries or timestamps");
            return Err(Rejected::Malformed(why));
        }
        Ok(Signed { bundle, payload })
    }

    /// What is said, and that it is said of this image.
    fn claim(&self, image: &Digest) -> Result<Claim, Rejected> {
        match (&self.bundle.content, self.payload) {
            (SignatureContent::MessageSignature(_), Some(payload)) => {
                let signing = SimpleSigning::read(payload).map_err(Rejected::Malformed)?;
                let claimed = signing.image().map_err(Rejected::Malformed)?;
                if claimed == *image {
                    Ok(Claim::Signature)
                } else {
                    Err(Rejected::OtherImage(claimed.to_string()))
                }
            }
            (SignatureContent::MessageSignature(message), None) => {
                let claimed = message.message_digest.as_ref();
                let is_of = |claimed: &sigstore_verify::types::MessageDigest| {
                    claimed.digest.to_hex() == image.hex()
                };
                if claimed.is_none_or(is_of) {
                    Ok(Claim::Signature)
                } else {
                    Err(Rejected::OtherImage(
                        claimed.map(|claimed| claimed.digest.to_hex()).unwrap_or_default(),
                    ))
                }
            }
            (SignatureContent::DsseEnvelope(envelope), _) => {
                if envelope.payload_type != PAYLOAD_TYPE {
                    let why = format!("its payload is `{}`", envelope.payload_type);
                    return Err(Rejected::Unsupported(why));
                }
                let statement = Statement::read(envelope.payload.as_bytes())
                    .map_err(|why| Rejected::Malformed(format!("the statement: {why}")))?;
                if !statement.is_about(image) {
                    return Err(Rejected::OtherImage(statement.subjects()));
                }
                let Statement { predicate_type, predicate, .. } = statement;
                Ok(if predicate_type == SIGNATURE_PREDICATE {
                    Claim::Signature
                } else {
                    Claim::Attestation { predicate_type, predicate }
                })
            }
            _ => Err(Rejected::Unsupported("its content is of an unknown kind".to_owned())),
        }
    }

    fn expect_key(&self) -> Result<(), Rejected> {
        match self.bundle.signing_certificate() {
            None => Ok(()),
            Some(_) => Err(Rejected::Material { found: "certificate", expected: "key" }),
        }
    }

    fn expect_certificate(&self, expected: &'static str) -> Result<&DerCertificate, Rejected> {
        self.bundle.signing_certificate().ok_or(Rejected::Material { found: "key", expected })
    }

    /// What came along to lead from the certificate to its root.
    fn intermediates(&self) -> impl Iterator<Item = &DerCertificate> {
        use sigstore_verify::types::VerificationMaterialContent::X509CertificateChain;
        let chain = match &self.bundle.verification_material.content {
            X509CertificateChain { certificates } => certificates.get(1..).unwrap_or_default(),
            _ => &[],
        };
        chain.iter().map(|certificate| &certificate.raw_bytes)
    }

    /// What the signature is over, for who hashes it.
    fn artifact(&self, image: &Digest) -> Result<Artifact<'_>, Rejected> {
        if let Some(payload) = self.payload {
            return Ok(Artifact::from(payload));
        }
        let algorithm = match image.algorithm() {
            Algorithm::Sha256 => HashAlgorithm::Sha2256,
            Algorithm::Sha512 => HashAlgorithm::Sha2512,
        };
        let malformed =
            |error: sigstore_verify::types::Error| Rejected::Malformed(error.to_string());
        let bytes =
            sigstore_verify::types::DigestBytes::from_hex(image.hex()).map_err(malformed)?;
        Ok(Artifact::Digest(ArtifactDigest::new(algorithm, bytes).map_err(malformed)?))
    }

    /// That the key signed it. Logs and timestamps are not looked at.
    fn by_key(&self, key: &PublicKey, image: &Digest) -> Result<(), Rejected> {
        let signed = match (&self.bundle.content, self.payload) {
            (SignatureContent::MessageSignature(message), Some(payload)) => {
                key.signed(payload, &message.signature)
            }
            (SignatureContent::MessageSignature(message), None) => {
                let Artifact::Digest(digest) = self.artifact(image)? else {
                    return Err(Rejected::Signature);
                };
                key.signed_digest(digest.as_bytes(), &message.signature)
            }
            (SignatureContent::DsseEnvelope(envelope), _) => {
                key.signed(&envelope.pae(), &envelope.signature.sig)
            }
            _ => false,
        };
        if signed { Ok(()) } else { Err(Rejected::Signature) }
    }
}

/// Everything that Sigstore verifies of a signature with a short-lived certificate, but for who it is.
fn keyless(
    signed: &Signed<'_>,
    image: &Digest,
    root: &TrustRoot,
) -> Result<VerificationResult, Rejected> {
    let mut policy = VerificationPolicy::any_identity();
    if !root.requires_log() {
        policy = policy.skip_tlog_unsafe();
    }
    if !root.requires_certificate_log() {
        policy = policy.skip_sct();
    }
    let result = root
        .verifier()
        .verify(signed.artifact(image)?, &signed.bundle, &policy)
        .map_err(rejected)?;
    let complete = result.certificate_verified()
        && result.sct_verified() == root.requires_certificate_log()
        && result.tlog_verified() == root.requires_log()
        && !result.verified_timestamps().is_empty();
    if complete {
        Ok(result)
    } else {
        Err(Rejected::Unsupported("not everything was verified".to_owned()))
    }
}

/// Who the certificate names, if that is whom the authority asks for.
fn identified(
    certificate: Option<&CertificateInfo>,
    issuer: &TextMatch,
    subject: &TextMatch,
) -> Result<Signer, Rejected> {
    let named = certificate.and_then(|info| info.identity.as_ref());
    let named = named.map(sigstore_verify::SubjectAltName::as_str);
    let issued = certificate.and_then(|info| info.issuer.as_deref());
    Ok(Signer::Identity {
        issuer: matched("issuer", issued, issuer)?.to_owned(),
        subject: matched("subject", named, subject)?.to_owned(),
        claims: certificate.map(|info| claims(&info.ci_claims)).unwrap_or_default(),
    })
}

fn matched<'t>(
    what: &'static str,
    found: Option<&'t str>,
    expected: &TextMatch,
) -> Result<&'t str, Rejected> {
    // A pattern that matches nothing at all must not accept a certificate without a name.
    found.filter(|found| expected.matches(found)).ok_or_else(|| Rejected::Identity {
        what,
        found: found.unwrap_or_default().to_owned(),
        expected: expected.to_string(),
    })
}

fn earliest(result: &VerificationResult) -> Option<Timestamp> {
    result.verified_timestamps().iter().min().copied()
}

/// What the library says, in our words.
fn rejected(error: sigstore_verify::Error) -> Rejected {
    use sigstore_verify::Error;
    use sigstore_verify::bundle::Error as Shape;
    match error {
        Error::SignatureInvalid(_) => Rejected::Signature,
        // That what was signed is about the image was seen before: it is the log's entry that is about something else.
        Error::ArtifactMismatch(why) => Rejected::Log(why),
        Error::Certificate(why) => Rejected::Certificate(why.to_string()),
        Error::TransparencyLog(why) => Rejected::Log(why.to_string()),
        Error::Timestamp(why) => Rejected::Time(why.to_string()),
        Error::Bundle(
            why @ (Shape::MissingInclusionPromise(_)
            | Shape::MissingInclusionProof(_)
            | Shape::MissingCheckpoint
            | Shape::CheckpointRootMismatch
            | Shape::LogIndexOutOfRange { .. }),
        ) => Rejected::Log(why.to_string()),
        Error::Bundle(why @ Shape::MissingSigningTimeEvidence) => Rejected::Time(why.to_string()),
        Error::UnsupportedBundle(why) | Error::UnsupportedArtifact(why) => {
            Rejected::Unsupported(why)
        }
        other => Rejected::Malformed(other.to_string()),
    }
}
