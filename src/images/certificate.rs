//! Certificates of an admin's own authorities, which are good for long: whether one is good now, and whose key is in it.

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sigstore_verify::crypto::{WEBPKI_VERIFICATION_ALGS, parse_certificate_info};
use sigstore_verify::types::DerCertificate;
use webpki::{EndEntityCert, KeyUsage};

use crate::images::trust::{Authorities, PublicKey};

/// `id-kp-codeSigning`, in DER without tag and length. Source: RFC 5280, 4.2.1.12.
const CODE_SIGNING: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 3];

/// The key of a certificate that leads to one of the authorities, is for signing code, and is good now.
pub(in crate::images) fn verify<'c>(
    authorities: &Authorities,
    leaf: &DerCertificate,
    brought: impl Iterator<Item = &'c DerCertificate>,
    now: Timestamp,
) -> Result<PublicKey, String> {
    let told = |error: webpki::Error| error.to_string();
    let der = |certificate: &DerCertificate| CertificateDer::from(certificate.as_bytes().to_vec());
    let roots: Vec<CertificateDer<'_>> = authorities.roots().iter().map(der).collect();
    let anchors: Vec<TrustAnchor<'_>> = roots
        .iter()
        .map(webpki::anchor_from_trusted_cert)
        .collect::<Result<_, _>>()
        .map_err(told)?;
    let intermediates: Vec<CertificateDer<'_>> =
        authorities.intermediates().iter().map(der).chain(brought.map(der)).collect();
    let leaf_der = der(leaf);
    let end = EndEntityCert::try_from(&leaf_der).map_err(told)?;
    let seconds = u64::try_from(now.as_second()).map_err(|_| "it is before 1970".to_owned())?;
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    // Authorities rarely say what their certificates are for, and must not say something else; the leaf must say it.
    let usage = KeyUsage::required_if_present(CODE_SIGNING);
    end.verify_for_usage(
        WEBPKI_VERIFICATION_ALGS,
        &anchors,
        &intermediates,
        time,
        usage,
        None,
        None,
    )
    .map_err(told)?;
    if !is_for_signing_code(leaf) {
        return Err("it is not for signing code".to_owned());
    }
    let info = parse_certificate_info(leaf).map_err(|error| error.to_string())?;
    PublicKey::from_der(info.public_key.as_bytes().to_vec()).map_err(|error| error.to_string())
}

fn is_for_signing_code(leaf: &DerCertificate) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(leaf.as_bytes()) else {
        return false;
    };
    matches!(certificate.extended_key_usage(), Ok(Some(usage)) if usage.value.code_signing)
}
