//! Manifests and indexes as registries have them, as far as signatures need them. Unknown fields are somebody else's.

use serde::Deserialize;

use crate::images::digest::Digest;
use crate::images::registry::error::RegistryError;

/// What kinds of manifest an image can have.
pub(in crate::images::registry) const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// The list of what refers to an image.
pub(in crate::images::registry) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The artifact type of Sigstore bundles, of whatever version.
pub(in crate::images::registry) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// The layer of a legacy signature.
pub(in crate::images::registry) const SIMPLE_SIGNING: &str =
    "application/vnd.dev.cosign.simplesigning.v1+json";

/// The layer of a legacy attestation.
pub(in crate::images::registry) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// A list of manifests.
#[derive(Debug, Default, Deserialize)]
pub(in crate::images::registry) struct Index {
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// A manifest with layers.
#[derive(Debug, Default, Deserialize)]
pub(in crate::images::registry) struct Manifest {
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
}

/// Where content is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::images::registry) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    #[serde(default)]
    pub artifact_type: String,
    pub digest: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub annotations: serde_json::Map<String, serde_json::Value>,
}

impl Descriptor {
    /// The digest of the content.
    pub fn digest(&self, what: &str) -> Result<Digest, RegistryError> {
        Digest::parse(&self.digest)
            .map_err(|why| RegistryError::Malformed { what: what.to_owned(), why: why.to_string() })
    }

    /// An annotation, if it is there and a text.
    pub fn annotation(&self, name: &str) -> Option<String> {
        self.annotations.get(name)?.as_str().map(str::to_owned)
    }
}
