//! The credentials by which the Pods of a request pull their images: Secrets of their own namespace, read when they are
//! needed.
//!
//! # Guarantees
//! - Only Secrets of the request's namespace are read, and only those that its Pods or their ServiceAccount name. Whoever may
//!   create a Pod there may use them anyway.
//! - What is read goes into a keyring of that request. Nothing that is found out with it is told to another namespace.
//! - A Secret that can't be read is told in the message, if the registry then asks for credentials.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, Client, Error};
use tokio::time::timeout;

use crate::images::memo::Memo;
use crate::images::registry::{Credentials, Keyring, Unread};
use crate::policy::images::PullSecrets as Named;

/// How long a Secret or ServiceAccount may take: the API server has them in memory.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// How long what was read counts. A password that was changed is known after that.
const KEPT: Duration = Duration::from_mins(1);

/// How long it counts that something could not be read. Somebody may be making it just now.
const MISSING_KEPT: Duration = Duration::from_secs(5);

/// How many Secrets and ServiceAccounts are kept, of all namespaces.
const KEPT_MAX: usize = 1024;

/// How many Secrets of one Pod are read. Pods have one or two.
const SECRETS_MAX: usize = 8;

/// Namespace and name.
type Key = (String, String);

/// Reads pull secrets.
pub struct PullSecrets {
    client: Client,
    secrets: Memo<Key, Result<Arc<Credentials>, Unread>>,
    accounts: Memo<Key, Result<Arc<[String]>, Unread>>,
}

impl PullSecrets {
    /// Reads them through this client.
    pub fn new(client: Client) -> PullSecrets {
        PullSecrets { client, secrets: Memo::new(KEPT_MAX), accounts: Memo::new(KEPT_MAX) }
    }

    /// The credentials of Pods in a namespace.
    pub async fn keyring(&self, namespace: &str, named: &Named<'_>) -> Keyring {
        let mut keyring = Keyring::default();
        let mut names: Vec<String> = named.secrets.iter().map(|name| (*name).to_owned()).collect();
        if names.is_empty() {
            match self.of_account(namespace, named.account).await {
                Ok(of_account) => names = of_account.to_vec(),
                Err(unread) => keyring.unread.push(unread),
            }
        }
        if names.len() > SECRETS_MAX {
            let why = format!("only the first {SECRETS_MAX} pull secrets are read");
            keyring.unread.push(Unread { why, is_passing: false });
            names.truncate(SECRETS_MAX);
        }
        let read = names.iter().map(|name| self.secret(namespace, name));
        for secret in futures::future::join_all(read).await {
            match secret {
                Ok(credentials) => keyring.credentials.push(credentials),
                Err(unread) => keyring.unread.push(unread),
            }
        }
        keyring
    }

    async fn of_account(&self, namespace: &str, name: &str) -> Result<Arc<[String]>, Unread> {
        let find = async {
            let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
            let what = format!("the ServiceAccount `{namespace}/{name}`");
            let account = read(&what, api.get_opt(name)).await;
            kept(account.map(|account| {
                let named = account.into_iter().filter_map(|account| account.image_pull_secrets);
                named.flatten().map(|one| one.name).collect()
            }))
        };
        self.accounts.get(&(namespace.to_owned(), name.to_owned()), find).await
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Arc<Credentials>, Unread> {
        let find = async {
            let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
            let what = format!("the pull secret `{namespace}/{name}`");
            let secret = read(&what, api.get_opt(name)).await.and_then(|secret| {
                let told = |why: &str| Unread { why: format!("{what} {why}"), is_passing: false };
                let secret = secret.ok_or_else(|| told("is not there"))?;
                credentials(&secret).map_err(|why| told(&why))
            });
            kept(secret.map(Arc::new))
        };
        self.secrets.get(&(namespace.to_owned(), name.to_owned()), find).await
    }
}

impl std::fmt::Debug for PullSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PullSecrets")
    }
}

/// What was read, with how long it counts.
fn kept<T>(read: Result<T, Unread>) -> (Result<T, Unread>, Duration) {
    let lifetime = if read.is_ok() { KEPT } else { MISSING_KEPT };
    (read, lifetime)
}

async fn read<T>(
    what: &str,
    asked: impl Future<Output = Result<Option<T>, Error>>,
) -> Result<Option<T>, Unread> {
    let why = match timeout(READ_TIMEOUT, asked).await {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(Error::Api(status))) if status.code == 403 => {
            "may not be read here: the rights are missing".to_owned()
        }
        Ok(Err(error)) => format!("can't be read: {error}"),
        Err(_) => format!("could not be read in {} s", READ_TIMEOUT.as_secs()),
    };
    Err(Unread { why: format!("{what} {why}"), is_passing: true })
}

/// The credentials that a Secret has, as the kubelet finds them.
fn credentials(secret: &Secret) -> Result<Credentials, String> {
    let kind = secret.type_.as_deref().unwrap_or("Opaque");
    let (key, read): (_, fn(&str) -> _) = match kind {
        "kubernetes.io/dockerconfigjson" => (".dockerconfigjson", Credentials::from_docker_config),
        "kubernetes.io/dockercfg" => (".dockercfg", Credentials::from_docker_cfg),
        _ => return Err(format!("is of type `{kind}`, and no pull secret")),
    };
    let content = secret.data.as_ref().and_then(|data| data.get(key));
    let content = content.ok_or_else(|| format!("has no `{key}`"))?;
    read(&String::from_utf8_lossy(&content.0)).map_err(|why| format!("can't be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn what_can_not_be_read_is_told_and_may_pass() {
        let check = async |answer: Result<Option<Secret>, Error>, expect: &str| {
            let unread = read("the pull secret `a/b`", async { answer }).await.unwrap_err();
            assert_eq!(unread.why, format!("the pull secret `a/b` {expect}"));
            assert!(unread.is_passing, "it is not the image's fault");
        };
        let refused = |code, message: &str| {
            let status = kube::core::Status::failure(message, "").with_code(code);
            Err(Error::Api(status.boxed()))
        };
        let forbidden = refused(403, "secrets \"b\" is forbidden");
        check(forbidden, "may not be read here: the rights are missing").await;
        let down = read::<Secret>("x", async { refused(500, "etcd is down") }).await.unwrap_err();
        assert!(down.why.starts_with("x can't be read: ") && down.is_passing, "{down}");
        let missing = read::<Secret>("x", async { Ok(None) }).await;
        assert!(missing.unwrap().is_none());
    }

    #[test]
    fn secrets_are_read_as_the_kubelet_reads_them() {
        use base64::Engine as _;
        let check = |kind: &str, key: &str, content: &str, expect: &str| {
            let content = base64::engine::general_purpose::STANDARD.encode(content);
            let secret = json!({"type": kind, "data": {key: content}});
            let secret: Secret = serde_json::from_value(secret).unwrap();
            let said = match credentials(&secret) {
                Ok(credentials) => format!("{credentials:?}"),
                Err(why) => why,
            };
            assert!(said.contains(expect) && !said.contains("hunter2"), "{said}");
        };
        let (new, old) = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg");
        let auths = r#"{"auths": {"a.b": {"username": "u", "password": "hunter2"}}}"#;
        let bare = r#"{"a.b": {"username": "u", "password": "hunter2"}}"#;
        check(new, ".dockerconfigjson", auths, r#"["a.b"]"#);
        check(old, ".dockercfg", bare, r#"["a.b"]"#);
        check(new, ".dockercfg", bare, "has no `.dockerconfigjson`");
        check("Opaque", ".dockerconfigjson", auths, "is of type `Opaque`, and no pull secret");
        check(new, ".dockerconfigjson", "hunter2", "can't be used: the credentials can't be read");
    }
}
