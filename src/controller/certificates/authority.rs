//! Authorities and the serving certificate: what is made when, by the clock that is handed in. Where they are kept is not
//! known here.
//!
//! # Flow
//! [`next`] looks at what there is. Too old an authority gets a successor, and both are trusted; only when everybody had
//! the time to learn of the successor does it sign the certificate.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// How long an authority is good. Its key can sign for the webhook only, and its successor needs nobody's help.
const AUTHORITY_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 365 * 2);

/// An authority with less left than this gets a successor: far longer than a certificate is good, so that none outlives
/// its authority.
const AUTHORITY_RENEWAL: SignedDuration = SignedDuration::from_hours(24 * 200);

/// How long a certificate is good. A stolen key is of no use after that.
const LEAF_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 90);

/// A certificate with less left than this is renewed: time enough to notice that it can't be, and to repair that.
const LEAF_RENEWAL: SignedDuration = SignedDuration::from_hours(24 * 30);

/// How long an authority is trusted before it signs: API servers and other replicas learn of it within minutes.
const OVERLAP: SignedDuration = SignedDuration::from_hours(1);

/// Certificates begin at midnight here, and end there.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How long a certificate was good already when it is made, for clocks that are behind.
const BACKDATE: SignedDuration = SignedDuration::from_hours(24);

/// Authorities that are trusted at once: the one of the day, its predecessor, and one that a restored backup brought.
const AUTHORITIES_MAX: usize = 4;

/// What there is: authorities, the key of the first, and a certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    /// The authorities to be trusted, the newest first.
    pub authorities_pem: String,
    /// The key of the newest; none if the authority is somebody else's, such as cert-manager.
    pub authority_key_pem: Option<String>,
    /// The certificate and its chain.
    pub chain_pem: String,
    /// The key of the certificate.
    pub key_pem: String,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys are for nobody's eyes.
        f.debug_struct("Material").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

/// What was decided about what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is good as it is.
    Keep,
    /// It is to be replaced by this, because of that.
    Replace(Material, &'static str),
}

/// Why nothing can be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The library can't make it.
    #[error("the certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The certificate is not ours to renew, and it is no longer good.
    #[error("the certificate is not ours to renew, and it is not good: {0}")]
    Foreign(&'static str),
}

/// What is to be done about what there is, for a server of these names.
///
/// # Errors
/// If nothing can be made, or may be.
pub fn next(
    material: Option<&Material>,
    names: &[String],
    now: Timestamp,
) -> Result<Next, AuthorityError> {
    let Some(material) = material else {
        return Ok(Next::Replace(make(names, now)?, "there was none"));
    };
    let Some(key) = &material.authority_key_pem else {
        return match leaf_problem(material, names, now) {
            Some(problem @ ("it can't be read" | "it has expired")) => {
                Err(AuthorityError::Foreign(problem))
            }
            _ => Ok(Next::Keep),
        };
    };
    let authorities = good_authorities(&material.authorities_pem, now);
    let Some(newest) = authorities.first() else {
        return Ok(Next::Replace(make(names, now)?, "the authority can't be read or has expired"));
    };
    let Ok(issuer_key) = KeyPair::from_pem(key) else {
        return Ok(Next::Replace(make(names, now)?, "the authority's key can't be read"));
    };
    if newest.expires.duration_since(now) < AUTHORITY_RENEWAL {
        return Ok(Next::Replace(succeed(material, &authorities, now)?, "the authority is old"));
    }
    let leaf = Leaf::read(&material.chain_pem);
    let is_trusted_long_enough = now.duration_since(newest.begins) >= OVERLAP + BACKDATE + DAY;
    let is_by_newest = leaf.as_ref().is_some_and(|leaf| leaf.issuer == newest.subject);
    let reason = match leaf_problem(material, names, now) {
        Some(problem) => problem,
        None if !is_by_newest && is_trusted_long_enough => "its authority has a successor",
        None => return Ok(Next::Keep),
    };
    let issuer = Issuer::from_ca_cert_pem(&newest.pem, issuer_key)?;
    let (chain_pem, key_pem) = sign(names, &issuer, now)?;
    let authorities_pem = authorities.iter().map(|authority| authority.pem.as_str()).collect();
    let renewed = Material { authorities_pem, chain_pem, key_pem, ..material.clone() };
    Ok(Next::Replace(renewed, reason))
}

/// When the certificate expires.
pub fn expiry(material: &Material) -> Option<Timestamp> {
    Leaf::read(&material.chain_pem).map(|leaf| leaf.expires)
}

/// What is wrong with the certificate.
fn leaf_problem(material: &Material, names: &[String], now: Timestamp) -> Option<&'static str> {
    let Some(leaf) = Leaf::read(&material.chain_pem) else { return Some("it can't be read") };
    let left = leaf.expires.duration_since(now);
    if left <= SignedDuration::ZERO {
        Some("it has expired")
    } else if left < LEAF_RENEWAL {
        Some("it expires soon")
    } else if KeyPair::from_pem(&material.key_pem).is_err() {
        Some("its key can't be read")
    } else if !names.iter().all(|name| leaf.names.contains(name)) {
        Some("it lacks a name of the webhook")
    } else {
        None
    }
}

/// Everything anew.
fn make(names: &[String], now: Timestamp) -> Result<Material, AuthorityError> {
    let authority = authority(now)?;
    let (chain_pem, key_pem) = sign(names, &authority, now)?;
    Ok(Material {
        authorities_pem: authority.pem(),
        authority_key_pem: Some(authority.key().serialize_pem()),
        chain_pem,
        key_pem,
    })
}

/// A new authority besides those that are trusted; the certificate stays.
fn succeed(
    material: &Material,
    trusted: &[Authority],
    now: Timestamp,
) -> Result<Material, AuthorityError> {
    let authority = authority(now)?;
    let trusted = trusted.iter().map(|authority| authority.pem.as_str());
    let newest = authority.pem();
    let authorities_pem =
        std::iter::once(newest.as_str()).chain(trusted).take(AUTHORITIES_MAX).collect();
    let authority_key_pem = Some(authority.key().serialize_pem());
    Ok(Material { authorities_pem, authority_key_pem, ..material.clone() })
}

fn authority(now: Timestamp) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::default();
    // The instant sets successors apart.
    params.distinguished_name.push(DnType::CommonName, format!("Portcullis authority {now}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit_validity(&mut params, now, AUTHORITY_VALIDITY);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn sign(
    names: &[String],
    issuer: &Issuer<'_, KeyPair>,
    now: Timestamp,
) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let name = names.first().map_or("portcullis", String::as_str);
    // A common name is at most 64 characters long; clients read the other names.
    let short: String = name.chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, short);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    limit_validity(&mut params, now, LEAF_VALIDITY);
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, issuer)?;
    Ok((leaf.pem(), key.serialize_pem()))
}

fn limit_validity(params: &mut CertificateParams, now: Timestamp, validity: SignedDuration) {
    let day = |at: Timestamp| {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(now.saturating_sub(BACKDATE).unwrap_or(now));
    params.not_after = day(now.saturating_add(validity).unwrap_or(now));
}

/// A certificate that signs.
struct Authority {
    pem: String,
    subject: String,
    begins: Timestamp,
    expires: Timestamp,
}

/// The authorities of a bundle that can be read and have not expired.
fn good_authorities(bundle: &str, now: Timestamp) -> Vec<Authority> {
    let certificates = CertificateDer::pem_slice_iter(bundle.as_bytes());
    let read = certificates.take(AUTHORITIES_MAX).filter_map(|der| {
        let der = der.ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let validity = certificate.validity();
        Some(Authority {
            pem: pem(&der),
            subject: certificate.subject().to_string(),
            begins: timestamp(validity.not_before.timestamp())?,
            expires: timestamp(validity.not_after.timestamp())?,
        })
    });
    read.filter(|authority| authority.expires > now).collect()
}

/// What matters of a serving certificate.
struct Leaf {
    issuer: String,
    expires: Timestamp,
    names: Vec<String>,
}

impl Leaf {
    fn read(chain: &str) -> Option<Leaf> {
        let der = CertificateDer::pem_slice_iter(chain.as_bytes()).next()?.ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let named = certificate.subject_alternative_name().ok()??;
        let names = named.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        });
        Some(Leaf {
            issuer: certificate.issuer().to_string(),
            expires: timestamp(certificate.validity().not_after.timestamp())?,
            names: names.collect(),
        })
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
    let all = || <[u8; 16]>::try_from(bytes).map(|b| std::net::Ipv6Addr::from(b).to_string());
    four.or_else(|_| all()).ok()
}

fn timestamp(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned());
    let lines: Vec<String> = lines.collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use crate::controller::certificates::authority::{
        AuthorityError, Material, Next, expiry, good_authorities, next,
    };

    const START: &str = "2026-11-20T12:00:00Z";

    fn at(days: i64, hours: i64) -> Timestamp {
        let start: Timestamp = START.parse().unwrap();
        start + SignedDuration::from_hours(24 * days + hours)
    }

    fn names() -> Vec<String> {
        vec!["portcullis.portcullis-system.svc".into(), "127.0.0.1".into(), "::1".into()]
    }

    /// What becomes of the material, and why.
    fn step(material: &mut Option<Material>, now: Timestamp) -> &'static str {
        match next(material.as_ref(), &names(), now).unwrap() {
            Next::Keep => "keep",
            Next::Replace(replaced, why) => {
                *material = Some(replaced);
                why
            }
        }
    }

    #[test]
    fn the_clock_moves_and_there_is_always_a_good_certificate() {
        let mut material = None;
        let mut check = |days, hours, expect: &str, trusted: usize| {
            let now = at(days, hours);
            assert_eq!(step(&mut material, now), expect, "day {days}, hour {hours}");
            let material = material.as_ref().unwrap();
            assert!(expiry(material).unwrap() > now);
            assert_eq!(good_authorities(&material.authorities_pem, now).len(), trusted);
        };
        check(0, 0, "there was none", 1);
        check(0, 1, "keep", 1);
        check(59, 0, "keep", 1);
        check(60, 0, "it expires soon", 1);
        check(60, 1, "keep", 1);
        check(200, 0, "it has expired", 1);
        check(529, 0, "it has expired", 1);
        check(530, 0, "the authority is old", 2);
        check(530, 0, "keep", 2);
        check(530, 12, "keep", 2);
        check(531, 13, "its authority has a successor", 2);
        check(531, 14, "keep", 2);
        check(800, 0, "it has expired", 1);
        check(5_000, 0, "the authority can't be read or has expired", 1);
    }

    #[test]
    fn what_is_not_in_order_is_made_anew() {
        let now = at(0, 0);
        let mut made = None;
        step(&mut made, now);
        let good = made.unwrap();
        let check = |material: Material, expect: &str| {
            let mut material = Some(material);
            assert_eq!(step(&mut material, now), expect);
        };
        check(good.clone(), "keep");
        check(
            Material { authorities_pem: String::new(), ..good.clone() },
            "the authority can't be read or has expired",
        );
        check(
            Material { authority_key_pem: Some("x".into()), ..good.clone() },
            "the authority's key can't be read",
        );
        check(Material { chain_pem: "x".into(), ..good.clone() }, "it can't be read");
        check(Material { key_pem: "x".into(), ..good.clone() }, "its key can't be read");
        let more = [names(), vec!["hook.example.com".into()]].concat();
        assert!(matches!(
            next(Some(&good), &more, now).unwrap(),
            Next::Replace(_, "it lacks a name of the webhook")
        ));
        let foreign = Material { authority_key_pem: None, ..good };
        assert_eq!(next(Some(&foreign), &more, now).unwrap(), Next::Keep);
        assert!(matches!(
            next(Some(&foreign), &more, at(91, 0)).unwrap_err(),
            AuthorityError::Foreign("it has expired")
        ));
    }
}
