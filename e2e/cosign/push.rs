//! Putting things into a registry: images, and what somebody else would put there in the name of a signer.

use crate::http::ask;
use portcullis::images::Digest;
use serde_json::{Value, json};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A repository of a registry.
#[derive(Clone)]
pub struct Repository {
    pub host: String,
    pub name: String,
}

impl Repository {
    pub fn blob(&self, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let path = format!("/v2/{}/blobs/uploads/?digest={digest}", self.name);
        let answer = ask(&self.host, "POST", &path, &[], content);
        assert_eq!(answer.status, 201, "{}", answer.head);
        digest
    }

    pub fn manifest(&self, tag: &str, kind: &str, content: &[u8]) -> Digest {
        let path = format!("/v2/{}/manifests/{tag}", self.name);
        let answer = ask(&self.host, "PUT", &path, &[("Content-Type", kind)], content);
        assert_eq!(answer.status, 201, "{}", answer.head);
        Digest::of(content)
    }

    /// An image with this content.
    pub fn image(&self, tag: &str, content: &str) -> Digest {
        self.artifact(
            tag,
            &[self.layer("application/vnd.oci.image.layer.v1.tar", content.as_bytes())],
            None,
        )
    }

    /// A manifest with these layers, about an image or about nothing.
    pub fn artifact(&self, tag: &str, layers: &[Value], subject: Option<&Digest>) -> Digest {
        let config = self.layer("application/vnd.oci.image.config.v1+json", b"{}");
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        if let Some(subject) = subject {
            manifest["artifactType"] = json!(BUNDLE);
            manifest["subject"] =
                json!({"mediaType": MANIFEST, "digest": subject.to_string(), "size": 1});
        }
        self.manifest(tag, MANIFEST, manifest.to_string().as_bytes())
    }

    /// Pushes a layer, and describes it.
    pub fn layer(&self, kind: &str, content: &[u8]) -> Value {
        let digest = self.blob(content);
        json!({"mediaType": kind, "digest": digest.to_string(), "size": content.len()})
    }

    /// Lets a bundle refer to an image, listed under the tag that stands for what refers to it.
    pub fn bundle(&self, image: &Digest, bundle: &[u8]) {
        let layer = self.layer(BUNDLE, bundle);
        let content = Digest::of(bundle);
        let referrer = self.artifact(&format!("r-{}", &content.hex()[..8]), &[layer], Some(image));
        self.list(
            image,
            &[json!({"mediaType": MANIFEST, "digest": referrer.to_string(), "size": 1})],
        );
    }

    /// Says what refers to an image.
    pub fn list(&self, image: &Digest, referrers: &[Value]) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": referrers});
        self.manifest(&tag_of(image, ""), INDEX, index.to_string().as_bytes());
    }

    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let path = format!("/v2/{}/{path}", self.name);
        let answer = ask(&self.host, "GET", &path, &[], b"");
        (answer.status == 200).then_some(answer.body)
    }

    pub fn read_json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.read(path).unwrap_or_else(|| panic!("no {path}"))).unwrap()
    }
}

/// The tag under which something about an image is kept.
pub fn tag_of(image: &Digest, suffix: &str) -> String {
    format!("sha256-{}{suffix}", image.hex())
}
