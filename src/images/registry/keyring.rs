//! Who we are for one request: the credentials that came with it, before those that an admin configured. Whatever is in a
//! keyring is shown for that keyring's requests only.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::images::registry::credentials::{Credentials, Login};
use crate::images::registry::error::Unread;

/// How many logins are tried at one registry. Whoever has more than a few there has one that is good among them.
pub(in crate::images::registry) const LOGINS_MAX: usize = 8;

/// The credentials of one request, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// What could be read.
    pub credentials: Vec<Arc<Credentials>>,
    /// What could not.
    pub unread: Vec<Unread>,
}

impl Keyring {
    /// Whether there is nothing in it that could make a difference.
    pub(in crate::images::registry) fn is_empty(&self) -> bool {
        self.credentials.is_empty() && self.unread.is_empty()
    }

    /// The logins for a repository, the first to be tried first.
    pub(in crate::images::registry) fn logins<'k>(
        &'k self,
        host: &'k str,
        repository: &'k str,
    ) -> impl Iterator<Item = &'k Login> {
        self.credentials.iter().filter_map(move |one| one.of(host, repository))
    }

    /// The same for keyrings that say the same of a repository. It can't be turned back into what is secret.
    pub(in crate::images::registry) fn mark(
        &self,
        hash: &mut Sha256,
        host: &str,
        repository: &str,
    ) {
        for login in self.logins(host, repository) {
            let (kind, secret) = match login {
                Login::Basic(secret) => ("basic", secret),
                Login::Identity(secret) => ("identity", secret),
                Login::Bearer(secret) => ("bearer", secret),
            };
            for part in [host, kind, secret] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        for unread in &self.unread {
            hash.update(&unread.why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::Reference;
    use crate::images::registry::{Options, Registry};

    #[test]
    fn who_shows_the_same_is_told_the_same() {
        let registry = Registry::new(Options::default()).unwrap();
        let image = Reference::parse("a.test/team/app:1").unwrap();
        let keyring = |entries: &[(&str, &str)], unread: &[&str]| Keyring {
            credentials: entries
                .iter()
                .map(|(place, password)| {
                    let login = serde_json::json!({"username": "u", "password": password});
                    let text = serde_json::json!({"auths": {*place: login}}).to_string();
                    Arc::new(Credentials::from_docker_config(&text).unwrap())
                })
                .collect(),
            unread: unread
                .iter()
                .map(|why| Unread { why: (*why).to_owned(), is_passing: false })
                .collect(),
        };
        let mark = |entries: &[_], unread: &[_]| registry.mark(&keyring(entries, unread), &image);
        let nobody = mark(&[("b.test", "p")], &[]);
        assert_eq!(nobody, mark(&[("b.test", "q"), ("a.test/other", "p")], &[]));
        let ours = mark(&[("a.test", "p")], &[]);
        assert_eq!(ours, mark(&[("a.test/team", "p"), ("b.test", "q")], &[]));
        assert_ne!(ours, nobody);
        assert_ne!(ours, mark(&[("a.test", "q")], &[]));
        assert_ne!(ours, mark(&[("a.test", "p"), ("a.test", "q")], &[]));
        assert_ne!(nobody, mark(&[], &["the pull secret `x/y` is not there"]));
        assert_ne!(mark(&[], &["x"]), mark(&[], &["y"]));
    }
}
