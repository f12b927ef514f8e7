//! Secrets that image policies have public keys in: which are needed, and what they say. Each is watched by its name, so that
//! the right to read a namespace's other Secrets is not needed; and of each only public keys are kept.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::controller::cluster::object::Content;
use crate::controller::cluster::state::{State, Watched};
use crate::policy::api::SecretKeyRef;
use crate::policy::images::{missing, public_key, unreadable};
use crate::policy::manifest::Manifest;

/// What is in the PEM of every public key.
const PUBLIC: &str = "PUBLIC KEY-----";

/// A Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl From<&SecretKeyRef> for SecretName {
    fn from(key: &SecretKeyRef) -> SecretName {
        SecretName { namespace: key.namespace.clone(), name: key.name.clone() }
    }
}

impl State {
    /// The keys in Secrets that policies name.
    fn named_keys(&self) -> BTreeSet<SecretKeyRef> {
        let written = self.manifests().filter_map(|manifest| match manifest {
            Manifest::Images(policy) => Some(policy.spec.secret_keys()),
            _ => None,
        });
        // A policy may be in force in an earlier form.
        let enforced = self.snapshot.iter().flat_map(|snapshot| snapshot.policies());
        let enforced = enforced.map(|bound| bound.secret_keys());
        written.chain(enforced).flatten().cloned().collect()
    }

    /// The Secrets that policies name.
    pub(in crate::controller::cluster) fn named_secrets(&self) -> BTreeSet<SecretName> {
        self.named_keys().iter().map(SecretName::from).collect()
    }

    /// Forgets Secrets that no policy names any more.
    pub(in crate::controller::cluster) fn retain_secrets(&mut self, needed: &BTreeSet<SecretName>) {
        self.unreadable.retain(|name, _| needed.contains(name));
        self.objects.retain(|watched, _| match watched {
            Watched::Secret(name) => needed.contains(name),
            _ => true,
        });
    }

    /// Whether a Secret was read, or can't be.
    pub(in crate::controller::cluster) fn knows_secret(&self, name: &SecretName) -> bool {
        let store = self.objects.get(&Watched::Secret(name.clone()));
        self.unreadable.contains_key(name) || store.is_some_and(|store| store.is_complete)
    }

    /// The keys that policies name, or why they are not known.
    pub(in crate::controller::cluster) fn keys(
        &self,
    ) -> BTreeMap<SecretKeyRef, Result<String, String>> {
        let found = |key: &SecretKeyRef| {
            let name = SecretName::from(key);
            if let Some(why) = self.unreadable.get(&name) {
                return Err(unreadable(key, why));
            }
            let store = self.objects.get(&Watched::Secret(name.clone()));
            let Some(store) = store.filter(|store| store.is_complete) else {
                let SecretName { namespace, name } = &name;
                return Err(format!("the Secret `{namespace}/{name}` is not read yet"));
            };
            match store.objects.values().next().and_then(|object| object.content.as_ref()) {
                Some(Content::Document(document)) => public_key(document.root(), key),
                _ => Err(missing(key)),
            }
        };
        self.named_keys().into_iter().map(|key| (key.clone(), found(&key))).collect()
    }
}

/// A Secret without everything in it that is no public key: what is not kept can't leak.
pub(in crate::controller::cluster) fn public_part(mut secret: Value) -> Value {
    let is_public = |value: &Value| {
        let bytes = value.as_str().and_then(|text| STANDARD.decode(text).ok());
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.is_some_and(|text| text.contains(PUBLIC))
    };
    if let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut) {
        data.retain(|_, value| is_public(value));
    }
    if let Some(fields) = secret.as_object_mut() {
        fields.retain(|name, _| ["apiVersion", "kind", "data"].contains(&name.as_str()));
    }
    secret
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use crate::controller::cluster::secrets::public_part;

    #[test]
    fn only_public_keys_are_kept() {
        let public = STANDARD.encode("-----BEGIN PUBLIC KEY-----\na\n-----END PUBLIC KEY-----");
        let secret = json!({
            "kind": "Secret", "apiVersion": "v1", "type": "Opaque",
            "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "all of it"}},
            "data": {
                "cosign.pub": public,
                "cosign.key": STANDARD.encode("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"),
                "cosign.password": STANDARD.encode("password"),
                "other": "?",
            },
        });
        let expect = json!({"kind": "Secret", "apiVersion": "v1", "data": {"cosign.pub": public}});
        assert_eq!(public_part(secret), expect);
    }
}
