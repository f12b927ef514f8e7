//! A Sigstore of our own, for tests: a certificate authority like Fulcio, a certificate log, and a transparency log like
//! Rekor, with keys that are made new for each run and worth nothing outside it. Everything it signs can be spoiled first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::images::{Digest, Layer, OwnKeys, TrustRoot};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, SanType, SigningKey, date_time_ymd,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// When everything here was signed: long ago, so that only what is attested can make a certificate good.
pub const SIGNED_AT: i64 = 1_700_000_000;

/// How long a certificate is good.
pub const VALID_SECONDS: i64 = 600;

/// The name by which the log signs checkpoints, and what a checkpoint of Rekor 1 begins with.
const NAME: &str = "log.test";
const ORIGIN: &str = "log.test - 1";

pub struct Sigstore {
    authority: CertifiedIssuer<'static, KeyPair>,
    certificate_log: KeyPair,
    log: KeyPair,
}

/// What a certificate says and how it is made.
#[derive(Clone)]
pub struct Wanted {
    pub issuer: &'static str,
    pub subject: &'static str,
    pub not_before: i64,
    pub for_signing: bool,
    pub logged: bool,
}

/// A certificate with its key.
pub struct Leaf {
    pub key: KeyPair,
    pub der: Vec<u8>,
    pub pem: String,
}

/// An entry of the log.
#[derive(Clone)]
pub struct Entry {
    pub kind: &'static str,
    /// The second is that of Rekor 2, which promises nothing and knows no time.
    pub version: &'static str,
    pub body: Vec<u8>,
    pub log_id: Vec<u8>,
    pub index: i64,
    pub time: i64,
    pub promise: Vec<u8>,
    pub root: [u8; 32],
    pub hashes: Vec<[u8; 32]>,
    pub checkpoint: String,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            issuer: "https://idp.test",
            subject: "https://ci.test/team/app/.ci/build.yaml@refs/heads/main",
            not_before: SIGNED_AT - 10,
            for_signing: true,
            logged: true,
        }
    }
}

impl Sigstore {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "fulcio.test");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2040, 1, 1);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = || KeyPair::generate().unwrap();
        Self { authority, certificate_log: key(), log: key() }
    }

    /// Everything that it takes to verify what it signed.
    pub fn root(&self) -> Arc<TrustRoot> {
        self.root_with(&[])
    }

    /// The same with timestamp authorities.
    pub fn root_with(&self, timestamp_authorities: &[&str]) -> Arc<TrustRoot> {
        let authority = self.authority.pem();
        let [log, certificate_log] =
            [&self.log, &self.certificate_log].map(KeyPair::public_key_pem);
        let keys = OwnKeys {
            certificate_authorities: vec![&authority],
            transparency_logs: vec![&log],
            certificate_logs: vec![&certificate_log],
            timestamp_authorities: timestamp_authorities.to_vec(),
        };
        Arc::new(TrustRoot::from_keys(&keys).unwrap())
    }

    /// The same as a `trusted_root.json`.
    pub fn trusted_root(&self) -> Value {
        let valid = json!({"start": "2020-01-01T00:00:00Z"});
        let log = |key: &KeyPair| {
            let der = spki(key);
            json!({
                "baseUrl": "https://log.test", "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(&der), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": valid,
                },
                "logId": {"keyId": STANDARD.encode(Sha256::digest(&der))},
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.log)],
            "ctlogs": [log(&self.certificate_log)],
            "certificateAuthorities": [{
                "subject": {"organization": "test", "commonName": "fulcio.test"},
                "uri": "https://fulcio.test",
                "certChain": {"certificates": [{"rawBytes": STANDARD.encode(self.authority.der())}]},
                "validFor": valid,
            }],
            "timestampAuthorities": [],
        })
    }

    /// Issues a certificate, and logs it.
    pub fn issue(&self, wanted: &Wanted) -> Leaf {
        let seconds = |seconds: i64| Duration::from_secs(seconds.try_into().unwrap());
        let epoch = date_time_ymd(1970, 1, 1);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serial_number = Some(7.into());
        params.not_before = epoch + seconds(wanted.not_before);
        params.not_after = epoch + seconds(wanted.not_before + VALID_SECONDS);
        params.subject_alt_names = vec![if wanted.subject.contains("://") {
            SanType::URI(wanted.subject.try_into().unwrap())
        } else {
            SanType::Rfc822Name(wanted.subject.try_into().unwrap())
        }];
        if wanted.for_signing {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        }
        let issuer = der(0x0c, wanted.issuer.as_bytes());
        let arc = |last| [1, 3, 6, 1, 4, 1, 57264, 1, last];
        // Fulcio writes the issuer twice: as it did at first, and as it should have.
        params.custom_extensions = vec![
            CustomExtension::from_oid_content(&arc(1), wanted.issuer.as_bytes().to_vec()),
            CustomExtension::from_oid_content(&arc(8), issuer),
        ];
        if wanted.logged {
            let before = params.signed_by(&key, &self.authority).unwrap();
            let promise = self.certificate_promise(before.der());
            params.custom_extensions.push(CustomExtension::from_oid_content(
                &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2],
                promise,
            ));
        }
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        Leaf { key, der: certificate.der().to_vec(), pem: certificate.pem() }
    }

    /// A list with one signed certificate timestamp (RFC 6962, 3.2 and 3.3).
    fn certificate_promise(&self, certificate: &[u8]) -> Vec<u8> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).unwrap();
        let tbs: &[u8] = parsed.tbs_certificate.as_ref();
        let time = u64::try_from(SIGNED_AT * 1000).unwrap().to_be_bytes();
        let authority = Sha256::digest(spki(self.authority.key()));
        let length = u32::try_from(tbs.len()).unwrap().to_be_bytes();
        let signed = [&[0, 0][..], &time, &[0, 1], &authority, &length[1..], tbs, &[0, 0]].concat();
        let signature = self.certificate_log.sign(&signed).unwrap();
        let id = Sha256::digest(spki(&self.certificate_log));
        let length = u16::try_from(signature.len()).unwrap().to_be_bytes();
        let timestamp = [&[0][..], &id, &time, &[0, 0], &[4, 3], &length, &signature].concat();
        let prefixed = |content: &[u8]| {
            [&u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
        };
        der(0x04, &prefixed(&prefixed(&timestamp)))
    }

    /// Logs the signature of an envelope.
    pub fn log_envelope(&self, payload: &[u8], signature: &[u8], verifier_pem: &str) -> Entry {
        let body = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": {"algorithm": "sha256", "value": hex(&Sha256::digest(b"any"))},
            "payloadHash": {"algorithm": "sha256", "value": hex(&Sha256::digest(payload))},
            "signatures": [{
                "signature": STANDARD.encode(signature), "verifier": STANDARD.encode(verifier_pem),
            }],
        }});
        self.entry("dsse", &body, SIGNED_AT)
    }

    /// Logs the signature of some content.
    pub fn log_content(&self, content: &[u8], signature: &[u8], verifier_pem: &str) -> Entry {
        let body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hex(&Sha256::digest(content))}},
            "signature": {
                "content": STANDARD.encode(signature),
                "publicKey": {"content": STANDARD.encode(verifier_pem)},
            },
        }});
        self.entry("hashedrekord", &body, SIGNED_AT)
    }

    pub fn entry(&self, kind: &'static str, body: &Value, time: i64) -> Entry {
        let body = body.to_string().into_bytes();
        let log_id = Sha256::digest(spki(&self.log)).to_vec();
        let index = 0;
        let promised = promised(&body, &log_id, index, time);
        let neighbour: [u8; 32] = Sha256::digest(b"neighbour").into();
        let root = parent(&leaf(&body), &neighbour);
        Entry {
            kind,
            version: "0.0.1",
            promise: self.log.sign(promised.as_bytes()).unwrap(),
            checkpoint: self.checkpoint(&root),
            body,
            log_id,
            index,
            time,
            root,
            hashes: vec![neighbour],
        }
    }

    /// A signed note about a tree of two entries.
    pub fn checkpoint(&self, root: &[u8; 32]) -> String {
        let text = format!("{ORIGIN}\n2\n{}\n", STANDARD.encode(root));
        let signature = self.log.sign(text.as_bytes()).unwrap();
        let hint = &Sha256::digest(spki(&self.log))[..4];
        format!("{text}\n\u{2014} {NAME} {}\n", STANDARD.encode([hint, &signature].concat()))
    }
}

impl Entry {
    /// As it is in bundles.
    pub fn to_json(&self) -> Value {
        let mut entry = self.proof();
        if self.version == "0.0.1" {
            entry["integratedTime"] = self.time.to_string().into();
            entry["inclusionPromise"] =
                json!({"signedEntryTimestamp": STANDARD.encode(&self.promise)});
        }
        entry
    }

    fn proof(&self) -> Value {
        let hashes: Vec<String> = self.hashes.iter().map(|hash| STANDARD.encode(hash)).collect();
        json!({
            "logIndex": self.index.to_string(),
            "logId": {"keyId": STANDARD.encode(&self.log_id)},
            "kindVersion": {"kind": self.kind, "version": self.version},
            "inclusionProof": {
                "logIndex": self.index.to_string(),
                "rootHash": STANDARD.encode(self.root),
                "treeSize": "2",
                "hashes": hashes,
                "checkpoint": {"envelope": self.checkpoint},
            },
            "canonicalizedBody": STANDARD.encode(&self.body),
        })
    }

    /// As cosign 2 kept it in an annotation.
    pub fn to_annotation(&self) -> String {
        json!({
            "SignedEntryTimestamp": STANDARD.encode(&self.promise),
            "Payload": {
                "body": STANDARD.encode(&self.body),
                "integratedTime": self.time,
                "logIndex": self.index,
                "logID": hex(&self.log_id),
            },
        })
        .to_string()
    }

    /// Changes a field of the body.
    pub fn with_body(mut self, pointer: &str, value: &str) -> Self {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap();
        *body.pointer_mut(pointer).unwrap() = value.into();
        self.body = body.to_string().into_bytes();
        self
    }
}

/// An in-toto statement about an image.
pub fn statement(image: &Digest, predicate_type: &str, predicate: &Value) -> Vec<u8> {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": image.hex()}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    })
    .to_string()
    .into_bytes()
}

/// What cosign 2 signed.
pub fn simple_signing(image: &Digest) -> Vec<u8> {
    json!({"critical": {
        "identity": {"docker-reference": "registry.test/app"},
        "image": {"docker-manifest-digest": image.to_string()},
        "type": "cosign container image signature",
    }, "optional": null})
    .to_string()
    .into_bytes()
}

/// What an envelope's signature is over.
pub fn pae(payload: &[u8]) -> Vec<u8> {
    let kind = "application/vnd.in-toto+json";
    [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), payload].concat()
}

pub fn envelope(payload: &[u8], signature: &[u8]) -> Value {
    json!({
        "payload": STANDARD.encode(payload),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": STANDARD.encode(signature)}],
    })
}

/// A bundle of an envelope.
pub fn bundle(signer: Value, entries: &[Entry], envelope: Value) -> Value {
    let mut material = signer;
    material["tlogEntries"] = entries.iter().map(Entry::to_json).collect();
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": material,
        "dsseEnvelope": envelope,
    })
}

pub fn by_certificate(der: &[u8]) -> Value {
    json!({"certificate": {"rawBytes": STANDARD.encode(der)}})
}

pub fn by_key() -> Value {
    json!({"publicKey": {"hint": ""}})
}

/// A layer as cosign 2 pushed it.
pub fn layer(
    content: &[u8],
    signature: &[u8],
    certificate: Option<&str>,
    entry: Option<&Entry>,
) -> Layer {
    Layer {
        content: content.to_vec(),
        signature: Some(STANDARD.encode(signature)),
        certificate: certificate.map(str::to_owned),
        log_entry: entry.map(Entry::to_annotation),
        ..Layer::default()
    }
}

pub fn spki(key: &KeyPair) -> Vec<u8> {
    rcgen::PublicKeyData::subject_public_key_info(key)
}

fn promised(body: &[u8], log_id: &[u8], index: i64, time: i64) -> String {
    let (body, log_id) = (STANDARD.encode(body), hex(log_id));
    format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{log_id}","logIndex":{index}}}"#)
}

pub fn leaf(body: &[u8]) -> [u8; 32] {
    Sha256::digest([&[0][..], body].concat()).into()
}

pub fn parent(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::digest([&[1][..], left, right].concat()).into()
}

/// DER of content up to 64 KiB.
pub fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header: &[u8] = match content.len() {
        0..=127 => &[tag, length[1]],
        128..=255 => &[tag, 0x81, length[1]],
        _ => &[tag, 0x82, length[0], length[1]],
    };
    [header, content].concat()
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
