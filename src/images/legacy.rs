//! What cosign 2 wrote, rebuilt as Sigstore bundles of the first version, so that there is one verification and not two.
//! Nothing is believed here: a bundle that is put together wrong does not verify.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sigstore_verify::types::bundle::{CertificateContent, VerificationMaterialContent};
use sigstore_verify::types::{
    Bundle, CanonicalizedBody, DerCertificate, DigestBytes, DsseEnvelope, HashAlgorithm,
    InclusionPromise, KindVersion, LogId, LogIndex, LogKeyId, MediaType, MessageDigest,
    MessageSignature, PublicKeyIdentifier, Rfc3161Timestamp, SignatureBytes, SignatureContent,
    SignedTimestamp, TimestampToken, TimestampVerificationData, TransparencyLogEntry,
    VerificationMaterial, X509Certificate,
};

use crate::images::evidence::Layer;
use crate::images::pem;

/// What Rekor answered, as cosign kept it in an annotation.
#[derive(Deserialize)]
struct LogAnnotation {
    #[serde(rename = "SignedEntryTimestamp")]
    promise: String,
    #[serde(rename = "Payload")]
    payload: LogPayload,
}

#[derive(Deserialize)]
struct LogPayload {
    body: String,
    #[serde(rename = "integratedTime")]
    integrated_time: i64,
    #[serde(rename = "logIndex")]
    log_index: u64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
struct TimestampAnnotation {
    #[serde(rename = "SignedRFC3161Timestamp")]
    token: String,
}

/// The bundle of a `.sig` layer: a signature over the payload.
pub(in crate::images) fn signature(layer: &Layer) -> Result<Bundle, String> {
    use sha2::Digest as _;
    let text = layer.signature.as_deref().ok_or("the layer has no signature annotation")?;
    let signature = SignatureBytes::new(base64("signature", text)?);
    let sha256 = sha2::Sha256::digest(&layer.content).to_vec();
    let digest = MessageDigest::new(HashAlgorithm::Sha2256, DigestBytes::new(sha256));
    let signature = MessageSignature::new(signature).with_message_digest(digest);
    bundle(layer, SignatureContent::MessageSignature(signature))
}

/// The bundle of an `.att` layer: an envelope with its signature inside.
pub(in crate::images) fn attestation(layer: &Layer) -> Result<Bundle, String> {
    let envelope: DsseEnvelope = serde_json::from_slice(&layer.content)
        .map_err(|error| format!("the envelope can't be read: {error}"))?;
    bundle(layer, SignatureContent::DsseEnvelope(envelope))
}

fn bundle(layer: &Layer, content: SignatureContent) -> Result<Bundle, String> {
    let mut material = VerificationMaterial::new(signer(layer)?);
    if let Some(text) = &layer.log_entry {
        material = material.with_tlog_entries(vec![log_entry(text)?]);
    }
    if let Some(text) = &layer.timestamp {
        material = material.with_timestamp_verification_data(timestamp(text)?);
    }
    // The first version needs a promise of the log; the second lets timestamps do.
    let version = match layer.log_entry {
        Some(_) => MediaType::Bundle0_1,
        None => MediaType::Bundle0_2,
    };
    Ok(Bundle::new(version, material, content))
}

fn signer(layer: &Layer) -> Result<VerificationMaterialContent, String> {
    let Some(text) = layer.certificate.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new("")));
    };
    let told = |error: pem::PemError| format!("the certificate can't be read: {error}");
    let leaf = DerCertificate::new(pem::one(text, "CERTIFICATE").map_err(told)?);
    let chain = match layer.chain.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => pem::all(text, "CERTIFICATE").map_err(told)?,
        None => return Ok(VerificationMaterialContent::Certificate(CertificateContent::new(leaf))),
    };
    let certificates = std::iter::once(leaf).chain(chain.into_iter().map(DerCertificate::new));
    Ok(VerificationMaterialContent::X509CertificateChain {
        certificates: certificates.map(X509Certificate::new).collect(),
    })
}

fn log_entry(text: &str) -> Result<TransparencyLogEntry, String> {
    let told = |error: &dyn std::fmt::Display| format!("the log entry can't be read: {error}");
    let annotation: LogAnnotation = serde_json::from_str(text).map_err(|error| told(&error))?;
    let LogPayload { body, integrated_time, log_index, log_id } = annotation.payload;
    let body = base64("body of the log entry", &body)?;
    let kind: Value = serde_json::from_slice(&body).map_err(|error| told(&error))?;
    let word = |field: &str| kind.get(field).and_then(Value::as_str).unwrap_or_default();
    let version = match (word("kind"), word("apiVersion")) {
        ("hashedrekord", "0.0.1") => KindVersion::HashedRekordV001,
        ("dsse", "0.0.1") => KindVersion::DsseV001,
        ("intoto", "0.0.2") => KindVersion::IntotoV002,
        (kind, version) => {
            return Err(format!("log entries of kind `{kind}` {version} can't be verified"));
        }
    };
    let id = from_hex(&log_id).ok_or_else(|| told(&"the identifier of the log is no hash"))?;
    let index = LogIndex::new(log_index).map_err(|error| told(&error))?;
    let time = Timestamp::from_second(integrated_time).map_err(|error| told(&error))?;
    let promise = SignedTimestamp::new(base64("promise of the log", &annotation.promise)?);
    Ok(TransparencyLogEntry::new(
        index,
        LogId::new(LogKeyId::new(id)),
        version,
        CanonicalizedBody::new(body),
    )
    .with_integrated_time(time)
    .with_inclusion_promise(InclusionPromise::new(promise)))
}

fn timestamp(text: &str) -> Result<TimestampVerificationData, String> {
    let annotation: TimestampAnnotation = serde_json::from_str(text)
        .map_err(|error| format!("the timestamp can't be read: {error}"))?;
    let token = TimestampToken::new(base64("timestamp", &annotation.token)?);
    Ok(TimestampVerificationData::new(vec![Rfc3161Timestamp::new(token)]))
}

fn base64(what: &str, text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("the {what} is no base64: {error}"))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(high)? * 16 + digit(low)?) as u8),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_rebuilt_is_told() {
        let check = |layer: Layer, expect: &str| {
            let error = signature(&layer).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        let layer = || Layer { signature: Some("AAAA".to_owned()), ..Layer::default() };
        let some = |text: &str| Some(text.to_owned());
        assert!(signature(&layer()).is_ok());
        check(Layer { signature: None, ..layer() }, "no signature annotation");
        check(Layer { signature: some("!"), ..layer() }, "signature is no base64");
        check(Layer { certificate: some("x"), ..layer() }, "certificate can't be read");
        check(Layer { timestamp: some("{}"), ..layer() }, "timestamp can't be read");
        check(Layer { log_entry: some("{}"), ..layer() }, "log entry can't be read");
        let entry = |body: &str, id: &str| {
            let body = STANDARD.encode(body);
            some(&format!(
                r#"{{"SignedEntryTimestamp":"AAAA","Payload":{{"body":"{body}","integratedTime":1,"logIndex":1,"logID":"{id}"}}}}"#
            ))
        };
        let body = r#"{"kind":"hashedrekord","apiVersion":"0.0.1"}"#;
        assert!(signature(&Layer { log_entry: entry(body, "00ff"), ..layer() }).is_ok());
        check(Layer { log_entry: entry(body, "0"), ..layer() }, "no hash");
        check(Layer { log_entry: entry(body, "zz"), ..layer() }, "no hash");
        let old = r#"{"kind":"intoto","apiVersion":"0.0.1"}"#;
        check(Layer { log_entry: entry(old, ""), ..layer() }, "kind `intoto` 0.0.1");
        let error = attestation(&Layer { content: b"{}".to_vec(), ..Layer::default() });
        assert!(error.unwrap_err().contains("envelope can't be read"));
    }
}
