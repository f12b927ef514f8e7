//! A repository of The Update Framework on loopback, with keys of its own. Everything it signs can be spoiled first.

use crate::front::{Answer, Front};
use portcullis::images::Digest;
use rcgen::{KeyPair, SigningKey};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Long after every run.
pub const FAR: &str = "2999-01-01T00:00:00Z";

pub struct TufRepository {
    pub front: Front,
    pub files: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    /// Signs roots.
    pub root_key: KeyPair,
    /// Signs everything else.
    pub online_key: KeyPair,
    /// The first root.
    pub root: String,
}

impl TufRepository {
    pub fn start() -> Self {
        let files: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
        let served = Arc::clone(&files);
        let front = Front::start("", move |asked| match served.lock().unwrap().get(&asked.path) {
            Some(content) if content == b"500" => Answer::Status(500, vec![]),
            Some(content) => Answer::Body("application/json", content.clone()),
            None => Answer::Status(404, vec![]),
        });
        let key = || KeyPair::generate().unwrap();
        let (root_key, online_key) = (key(), key());
        let root = root(1, &root_key, &online_key, &[&root_key]);
        Self { front, files, root_key, online_key, root }
    }

    pub fn host(&self) -> &str {
        &self.front.host
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.front.host)
    }

    pub fn put(&self, name: &str, content: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(format!("/{name}"), content.into());
    }

    pub fn file(&self, name: &str) -> Vec<u8> {
        self.files.lock().unwrap()[&format!("/{name}")].clone()
    }

    /// Publishes a trust root as this version of everything.
    pub fn publish(&self, version: u64, trust_root: &str) {
        self.publish_until(version, trust_root, FAR);
    }

    /// The same; the promise that it is the newest ends then.
    pub fn publish_until(&self, version: u64, trust_root: &str, until: &str) {
        let digest = Digest::of(trust_root.as_bytes());
        let of = |kind: &str, until: &str, more: Value| {
            let mut signed = json!({
                "_type": kind, "spec_version": "1.0.31", "version": version, "expires": until,
            });
            signed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            envelope(&signed, &[&self.online_key])
        };
        let target = json!({"length": trust_root.len(), "hashes": {"sha256": digest.hex()}});
        let targets = json!({"targets": {"trusted_root.json": target}});
        self.put(&format!("{version}.targets.json"), of("targets", FAR, targets));
        let meta = |name: &str| json!({"meta": {name: {"version": version}}});
        self.put(&format!("{version}.snapshot.json"), of("snapshot", FAR, meta("targets.json")));
        self.put("timestamp.json", of("timestamp", until, meta("snapshot.json")));
        self.put(&format!("targets/{}.trusted_root.json", digest.hex()), trust_root);
    }
}

/// A root with these keys, signed by whomever.
pub fn root(version: u64, root: &KeyPair, online: &KeyPair, signers: &[&KeyPair]) -> String {
    let key = |key: &KeyPair| {
        json!({
            "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256",
            "keyval": {"public": key.public_key_pem()},
        })
    };
    let role = |key: &KeyPair| json!({"keyids": [id(key)], "threshold": 1});
    let keys: Map<String, Value> =
        [root, online].into_iter().map(|one| (id(one), key(one))).collect();
    let signed = json!({
        "_type": "root", "spec_version": "1.0.31", "version": version, "expires": FAR,
        "consistent_snapshot": true, "keys": keys,
        "roles": {
            "root": role(root), "timestamp": role(online), "snapshot": role(online),
            "targets": role(online),
        },
    });
    envelope(&signed, signers)
}

fn id(key: &KeyPair) -> String {
    Digest::of(key.public_key_pem().as_bytes()).hex().to_owned()
}

pub fn envelope(signed: &Value, signers: &[&KeyPair]) -> String {
    let mut text = String::new();
    canonical(signed, &mut text);
    let signatures: Vec<Value> = signers
        .iter()
        .map(|key| {
            let signature = key.sign(text.as_bytes()).unwrap();
            json!({"keyid": id(key), "sig": crate::sigstore::hex(&signature)})
        })
        .collect();
    json!({"signed": signed, "signatures": signatures}).to_string()
}

/// What is signed: members in the order of their names, no spaces, and nothing escaped but quotation marks and backslashes.
fn canonical(value: &Value, text: &mut String) {
    let quoted =
        |content: &str| format!("\"{}\"", content.replace('\\', "\\\\").replace('"', "\\\""));
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            for (place, name) in names.into_iter().enumerate() {
                text.push_str(if place == 0 { "{" } else { "," });
                text.push_str(&quoted(name));
                text.push(':');
                canonical(&members[name], text);
            }
            text.push_str(if members.is_empty() { "{}" } else { "}" });
        }
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                canonical(item, text);
            }
            text.push(']');
        }
        Value::String(content) => text.push_str(&quoted(content)),
        other => text.push_str(&other.to_string()),
    }
}
