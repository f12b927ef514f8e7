//! A registry in memory, on loopback, that answers after a while as one that is far away does, and counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::images::Digest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The repository of every image.
const REPOSITORY: &str = "shop/web";

#[derive(Default)]
struct Content {
    /// By path: the media type and the content.
    files: Mutex<HashMap<String, (&'static str, Vec<u8>)>>,
    asked: AtomicUsize,
}

/// The registry; it listens as long as the process lives.
pub struct Registry {
    pub host: String,
    content: Arc<Content>,
}

impl Registry {
    pub async fn start(latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let content = Arc::new(Content::default());
        let served = Arc::clone(&content);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&served), latency));
            }
        });
        Self { host, content }
    }

    /// How often it was asked since it was last asked for that.
    pub fn take_asked(&self) -> usize {
        self.content.asked.swap(0, Ordering::SeqCst)
    }

    /// An image, by its tag and by its digest.
    pub fn reference(&self, tag: &str) -> String {
        format!("{}/{REPOSITORY}:{tag}", self.host)
    }

    pub fn by_digest(&self, digest: &Digest) -> String {
        format!("{}/{REPOSITORY}@{digest}", self.host)
    }

    fn put(&self, path: &str, kind: &'static str, content: Vec<u8>) {
        let path = format!("/v2/{REPOSITORY}/{path}");
        self.content.files.lock().unwrap().insert(path, (kind, content));
    }

    fn blob(&self, kind: &str, content: &[u8]) -> Value {
        let digest = Digest::of(content);
        self.put(&format!("blobs/{digest}"), "application/octet-stream", content.to_vec());
        json!({"mediaType": kind, "digest": digest.to_string(), "size": content.len()})
    }

    /// An image that nobody signed yet.
    pub fn image(&self, tag: &str) -> Digest {
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "tag": tag});
        let content = manifest.to_string().into_bytes();
        let digest = Digest::of(&content);
        self.put(&format!("manifests/{digest}"), MANIFEST, content.clone());
        self.put(&format!("manifests/{tag}"), MANIFEST, content);
        digest
    }

    /// A bundle that refers to an image, as cosign 3 pushes it.
    pub fn bundle(&self, image: &Digest, bundle: &[u8]) {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
            "layers": [self.blob(BUNDLE, bundle)],
            "subject": {"mediaType": MANIFEST, "digest": image.to_string(), "size": 1},
        });
        let content = manifest.to_string().into_bytes();
        let referrer = Digest::of(&content);
        self.put(&format!("manifests/{referrer}"), MANIFEST, content);
        let listed = json!({
            "mediaType": MANIFEST, "artifactType": BUNDLE, "digest": referrer.to_string(), "size": 1,
        });
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]});
        self.put(&format!("referrers/{image}"), INDEX, index.to_string().into_bytes());
    }

    /// A signature, as cosign 2 pushed it.
    pub fn signature(&self, image: &Digest, payload: &[u8], signature: &str) {
        let mut layer = self.blob(SIMPLE_SIGNING, payload);
        layer["annotations"] = json!({"dev.cosignproject.cosign/signature": signature});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer]});
        let tag = format!("manifests/sha256-{}.sig", image.hex());
        self.put(&tag, MANIFEST, manifest.to_string().into_bytes());
    }
}

async fn serve(mut stream: TcpStream, content: Arc<Content>, latency: Duration) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut read).await.ok()? == 0 {
                return None;
            }
        };
        let head: Vec<u8> = read.drain(..end).collect();
        let path = String::from_utf8(head).ok()?.split(' ').nth(1)?.to_owned();
        content.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(latency).await;
        let found = content.files.lock().unwrap().get(&path).cloned();
        let (status, (kind, body)) = match found {
            Some(found) => ("200 OK", found),
            None => ("404 Not Found", ("application/json", b"{}".to_vec())),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
    }
}
