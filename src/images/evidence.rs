//! What a registry has that claims something of an image, as it was found: unverified, every part of it.

use serde::Deserialize;

use crate::images::digest::Digest;

/// A signature or attestation, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where, for people: the digest of a manifest, and which of its layers.
    pub place: String,
    /// What.
    pub evidence: Evidence,
}

/// A signature or attestation in one of the forms in which cosign has written them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A Sigstore bundle, in JSON: what cosign 3 writes.
    Bundle(Vec<u8>),
    /// A layer of the image that the tag `.sig` names: a payload, and its signature in the annotations.
    Signature(Layer),
    /// A layer of the image that the tag `.att` names: an envelope, signature included.
    Attestation(Layer),
}

/// A layer, and what its annotations say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// The content.
    pub content: Vec<u8>,
    /// The signature of the content, in base64.
    pub signature: Option<String>,
    /// The certificate of the key that signed, in PEM.
    pub certificate: Option<String>,
    /// What leads from the certificate to its root, in PEM.
    pub chain: Option<String>,
    /// What Rekor answered, in JSON.
    pub log_entry: Option<String>,
    /// What a timestamp authority answered, in JSON.
    pub timestamp: Option<String>,
}

/// The annotations of [`Layer`], in the order of its fields.
pub const ANNOTATIONS: [&str; 5] = [
    "dev.cosignproject.cosign/signature",
    "dev.sigstore.cosign/certificate",
    "dev.sigstore.cosign/chain",
    "dev.sigstore.cosign/bundle",
    "dev.sigstore.cosign/rfc3161timestamp",
];

/// The payload of a signature: which image it is of. Other fields are the signer's remarks.
#[derive(Debug, Deserialize)]
pub(in crate::images) struct SimpleSigning {
    critical: Critical,
}

#[derive(Debug, Deserialize)]
struct Critical {
    image: ImageClaim,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct ImageClaim {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// What `critical.type` must say. Source: `CosignSignatureType`.
const SIGNATURE_TYPE: &str = "cosign container image signature";

impl SimpleSigning {
    /// Reads a payload. A field that is there twice is an error.
    pub fn read(payload: &[u8]) -> Result<SimpleSigning, String> {
        let signing: SimpleSigning =
            serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        if signing.critical.kind == SIGNATURE_TYPE {
            Ok(signing)
        } else {
            Err(format!("its type is `{}`", signing.critical.kind))
        }
    }

    /// Which image the payload is about.
    pub fn image(&self) -> Result<Digest, String> {
        Digest::parse(&self.critical.image.digest).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read_strictly() {
        let digest = Digest::of(b"").to_string();
        let payload = |kind: &str, digest: &str| {
            format!(
                r#"{{"critical":{{"identity":{{"docker-reference":"a"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"{kind}"}},"optional":{{"a":1}}}}"#
            )
        };
        let check = |text: &str, expect: Result<&str, &str>| {
            let read = SimpleSigning::read(text.as_bytes()).and_then(|signing| signing.image());
            match (read, expect) {
                (Ok(image), Ok(expect)) => assert_eq!(image.to_string(), expect),
                (Err(error), Err(expect)) => assert!(error.contains(expect), "{text}: {error}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        };
        check(&payload(SIGNATURE_TYPE, &digest), Ok(&digest));
        check(&payload("atomic container signature", &digest), Err("its type is `atomic"));
        check(&payload(SIGNATURE_TYPE, "latest"), Err("no digest"));
        check("{}", Err("critical"));
        check("", Err("EOF"));
        let twice = payload(SIGNATURE_TYPE, &digest)
            .replace("\"type\"", "\"image\":{\"docker-manifest-digest\":\"b\"},\"type\"");
        check(&twice, Err("duplicate field"));
    }
}
