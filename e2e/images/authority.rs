//! A timestamp authority of our own, for tests (RFC 3161), and a log like Rekor 2. Everything they sign can be spoiled first.

use crate::sigstore::{Entry, Leaf, der, leaf, parent, spki};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::images::Digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SigningKey, date_time_ymd,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The serial number of the certificate by which timestamps are signed.
const SERIAL: u8 = 9;

/// Object identifiers, in DER: `sha256`, `ecdsa-with-SHA256`, `signedData`, `id-ct-TSTInfo`, `contentType`, `messageDigest`,
/// and a policy of nobody.
const SHA256: &[u8] = &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const ECDSA: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const SIGNED_DATA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const TST_INFO: &[u8] = &[6, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 0x10, 1, 4];
const CONTENT_TYPE: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
const POLICY: &[u8] = &[6, 3, 0x2a, 3, 4];

/// A timestamp authority.
pub struct Tsa {
    root: CertifiedIssuer<'static, KeyPair>,
    leaf: Leaf,
}

/// A timestamp, before it is put together.
pub struct Stamp {
    /// What was stamped.
    pub imprint: Vec<u8>,
    /// When, in the form `YYYYMMDDHHMMSSZ`.
    pub time: &'static str,
    /// What is signed instead of what is sent, if it is spoiled.
    pub signed_time: Option<&'static str>,
    /// Whether it was granted.
    pub status: u8,
    /// Who signs it in the authority's name.
    pub impostor: Option<KeyPair>,
}

impl Tsa {
    /// An authority whose certificate is good from 2020 to 2030, for timestamps or for something else.
    pub fn new(for_timestamps: bool) -> Self {
        let named = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2030, 1, 1);
            params
        };
        let mut params = named("tsa-root.test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut params = named("tsa.test");
        params.serial_number = Some(u64::from(SERIAL).into());
        params.extended_key_usages = vec![if for_timestamps {
            ExtendedKeyUsagePurpose::TimeStamping
        } else {
            ExtendedKeyUsagePurpose::CodeSigning
        }];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &root).unwrap();
        let leaf = Leaf { key, der: certificate.der().to_vec(), pem: certificate.pem() };
        Self { root, leaf }
    }

    /// Its certificates, the signing one first.
    pub fn chain(&self) -> String {
        format!("{}{}", self.leaf.pem, self.root.pem())
    }

    /// A timestamp (RFC 3161, 2.4.2; RFC 5652, 5).
    pub fn stamp(&self, stamp: &Stamp) -> Vec<u8> {
        let sequence = |parts: &[&[u8]]| der(0x30, &parts.concat());
        let set = |parts: &[&[u8]]| der(0x31, &parts.concat());
        let info = |time: &str| {
            let hash = Sha256::digest(&stamp.imprint);
            let imprint = sequence(&[&sequence(&[SHA256]), &der(4, &hash)]);
            let (version, serial) = (der(2, &[1]), der(2, &[1]));
            sequence(&[&version, POLICY, &imprint, &serial, &der(0x18, time.as_bytes())])
        };
        let (sent, signed) = (info(stamp.time), info(stamp.signed_time.unwrap_or(stamp.time)));
        let kind = sequence(&[CONTENT_TYPE, &set(&[TST_INFO])]);
        let digest = sequence(&[MESSAGE_DIGEST, &set(&[&der(4, &Sha256::digest(&signed))])]);
        let attributes = [kind, digest].concat();
        let key = stamp.impostor.as_ref().unwrap_or(&self.leaf.key);
        let signature = key.sign(&der(0x31, &attributes)).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.leaf.der).unwrap();
        let signer = sequence(&[
            &der(2, &[1]),
            &sequence(&[parsed.issuer().as_raw(), &der(2, &[SERIAL])]),
            &sequence(&[SHA256]),
            &der(0xa0, &attributes),
            &sequence(&[ECDSA]),
            &der(4, &signature),
        ]);
        let content = sequence(&[TST_INFO, &der(0xa0, &der(4, &sent))]);
        let data =
            sequence(&[&der(2, &[3]), &set(&[&sequence(&[SHA256])]), &content, &set(&[&signer])]);
        let token = sequence(&[SIGNED_DATA, &der(0xa0, &data)]);
        sequence(&[&sequence(&[&der(2, &[stamp.status])]), &token])
    }
}

impl Stamp {
    /// A good timestamp of a signature, of when everything here was signed.
    pub fn of(signature: &[u8]) -> Self {
        Self {
            imprint: signature.to_vec(),
            // 1,700,000,000 seconds after 1970.
            time: "20231114221320Z",
            signed_time: None,
            status: 0,
            impostor: None,
        }
    }
}

/// A log like Rekor 2: tiles and checkpoints, and no promises.
pub struct Log {
    pub key: KeyPair,
    pub name: &'static str,
}

impl Log {
    pub fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        Self { key: KeyPair::generate_for(algorithm).unwrap(), name: "log2.test" }
    }

    /// By which checkpoints name its key (C2SP signed-note): the hash of the key itself for ECDSA, with the log's name for
    /// Ed25519.
    pub fn id(&self) -> Vec<u8> {
        let key = spki(&self.key);
        if self.key.algorithm() == &rcgen::PKCS_ED25519 {
            let raw = &key[key.len() - 32..];
            return Sha256::digest([self.name.as_bytes(), b"\n\x01", raw].concat()).to_vec();
        }
        Sha256::digest(key).to_vec()
    }

    /// As a `trusted_root.json` has it.
    pub fn to_json(&self) -> Value {
        let details = match self.key.algorithm() {
            algorithm if algorithm == &rcgen::PKCS_ED25519 => "PKIX_ED25519",
            _ => "PKIX_ECDSA_P256_SHA_256",
        };
        json!({
            "baseUrl": "https://log2.test", "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(spki(&self.key)), "keyDetails": details,
                "validFor": {"start": "2020-01-01T00:00:00Z"},
            },
            "logId": {"keyId": STANDARD.encode(self.id())},
        })
    }

    /// An entry about a signature of this content, the left of two.
    pub fn entry(&self, content: &[u8], signature: &[u8], certificate: &[u8]) -> Entry {
        let body = json!({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {
            "hashedRekordV002": {
                "data": {
                    "algorithm": "SHA2_256",
                    "digest": STANDARD.encode(Sha256::digest(content)),
                },
                "signature": {
                    "content": STANDARD.encode(signature),
                    "verifier": {
                        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                        "x509Certificate": {"rawBytes": STANDARD.encode(certificate)},
                    },
                },
            },
        }});
        self.logged(body.to_string().into_bytes())
    }

    /// An entry with this body, whatever it says.
    pub fn logged(&self, body: Vec<u8>) -> Entry {
        let neighbour: [u8; 32] = Sha256::digest(b"neighbour").into();
        let root = parent(&leaf(&body), &neighbour);
        Entry {
            kind: "hashedrekord",
            version: "0.0.2",
            log_id: self.id(),
            index: 0,
            time: 0,
            promise: Vec::new(),
            checkpoint: self.checkpoint(&root, 2),
            root,
            hashes: vec![neighbour],
            body,
        }
    }

    /// A signed note about a tree of so many entries.
    pub fn checkpoint(&self, root: &[u8; 32], size: u64) -> String {
        let name = self.name;
        let text = format!("{name}\n{size}\n{}\n", STANDARD.encode(root));
        let signature = self.key.sign(text.as_bytes()).unwrap();
        let signed = STANDARD.encode([&self.id()[..4], &signature].concat());
        format!("{text}\n\u{2014} {name} {signed}\n")
    }
}

/// A message signature over the digest of an image, as it is in bundles that hold no envelope.
pub fn message(image: &Digest, signature: &[u8]) -> Value {
    let digest: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&image.hex()[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    json!({
        "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(digest)},
        "signature": STANDARD.encode(signature),
    })
}
