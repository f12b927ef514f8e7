//! Public keys that policies keep in Secrets: which are named, and what the Secrets that were read say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json::Node;
use crate::policy::api::{ImagePolicySpec, SecretKeyRef};
use crate::policy::bound::Bound;
use crate::policy::definitions::Definitions;

/// Public keys by where they are, or why they are not known.
pub(in crate::policy) type Keys = BTreeMap<SecretKeyRef, Result<String, String>>;

impl ImagePolicySpec {
    /// The keys that the policy has in Secrets.
    pub fn secret_keys(&self) -> BTreeSet<&SecretKeyRef> {
        let keys = self.authorities.iter().filter_map(|authority| authority.key.as_ref());
        keys.filter_map(|key| key.secret_ref.as_ref()).collect()
    }
}

impl Bound {
    /// The keys that the policy has in Secrets, in the form in which it is enforced.
    pub fn secret_keys(&self) -> BTreeSet<&SecretKeyRef> {
        self.image_spec().map(|spec| spec.policy.secret_keys()).unwrap_or_default()
    }
}

impl Definitions {
    /// The keys that are known in Secrets, and those of a policy, by whoever knows Secrets or by those among the objects.
    pub fn keys_for(
        &self,
        policy: &ImagePolicySpec,
    ) -> BTreeMap<SecretKeyRef, Result<String, String>> {
        let mut keys = self.keys.clone();
        for wanted in policy.secret_keys() {
            let found = || self.key_among_objects(wanted);
            keys.entry(wanted.clone()).or_insert_with(found);
        }
        keys
    }

    fn key_among_objects(&self, wanted: &SecretKeyRef) -> Result<String, String> {
        let says = |node: Option<Node<'_>>, text: &str| node.and_then(Node::as_str) == Some(text);
        let is_it = |object: &Node<'_>| {
            let metadata = |field: &str| object.get("metadata").and_then(|m| m.get(field));
            says(object.get("kind"), "Secret")
                && says(object.get("apiVersion"), "v1")
                && says(metadata("name"), &wanted.name)
                // A file that leaves the namespace to whoever applies it can't be told from another.
                && says(metadata("namespace"), &wanted.namespace)
        };
        let mut objects = self.params.iter().map(|object| object.root());
        match objects.find(is_it) {
            Some(secret) => public_key(secret, wanted),
            None => Err(missing(wanted)),
        }
    }
}

/// What is said of a Secret that is not there.
pub fn missing(wanted: &SecretKeyRef) -> String {
    format!("there is no Secret `{}/{}`", wanted.namespace, wanted.name)
}

/// What is said of a Secret that can't be read.
pub fn unreadable(wanted: &SecretKeyRef, why: impl Display) -> String {
    format!("the Secret `{}/{}` can't be read: {why}", wanted.namespace, wanted.name)
}

/// The public key that a Secret has under this name.
///
/// # Errors
/// If there is nothing of the kind, in words for whoever wrote the policy.
pub fn public_key(secret: Node<'_>, wanted: &SecretKeyRef) -> Result<String, String> {
    let SecretKeyRef { namespace, name, key } = wanted;
    let entry = |field: &str| secret.get(field)?.get(key)?.as_str();
    if let Some(text) = entry("stringData") {
        return Ok(text.to_owned());
    }
    let text =
        entry("data").ok_or_else(|| format!("the Secret `{namespace}/{name}` has no `{key}`"))?;
    let bytes = STANDARD.decode(text).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| format!("`{key}` of the Secret `{namespace}/{name}` is no text in base64"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::json::Document;
    use crate::policy::api::SecretKeyRef;
    use crate::policy::images::keys::public_key;

    #[test]
    fn a_secret_has_the_key_or_is_told_why_not() {
        let check = |secret: Value, expect: Result<&str, &str>| {
            let document = Document::from_value(&secret);
            let wanted =
                SecretKeyRef { namespace: "a".into(), name: "b".into(), key: "cosign.pub".into() };
            let found = public_key(document.root(), &wanted);
            assert_eq!(found, expect.map(str::to_owned).map_err(str::to_owned), "{secret}");
        };
        check(json!({"data": {"cosign.pub": "a2V5"}}), Ok("key"));
        check(json!({"stringData": {"cosign.pub": "key"}}), Ok("key"));
        check(json!({"data": {"cosign.key": "a2V5"}}), Err("the Secret `a/b` has no `cosign.pub`"));
        check(json!({}), Err("the Secret `a/b` has no `cosign.pub`"));
        let no_text = Err("`cosign.pub` of the Secret `a/b` is no text in base64");
        check(json!({"data": {"cosign.pub": "?"}}), no_text);
        check(json!({"data": {"cosign.pub": "//8="}}), no_text);
    }
}
