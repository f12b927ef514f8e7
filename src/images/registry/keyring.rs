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
