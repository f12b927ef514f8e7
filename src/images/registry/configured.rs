//! Credentials that an admin configured in a file. It is read again while the process runs, because what keeps them changes
//! them: a Secret that is mounted, a job that renews a token.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::images::registry::credentials::{
    CREDENTIALS_BYTES_MAX, Credentials, CredentialsError, Login,
};
use crate::images::registry::error::Unread;
use crate::images::registry::helper::{Chosen, Helpers};

/// How old what was read may be. A Secret that is mounted follows its object within a minute or so.
const READ_AGAIN: Duration = Duration::from_secs(10);

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfiguredError {
    /// It can't be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// It is not what it should be.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// A Docker configuration file, and the helpers that it may name.
pub struct Configured {
    path: PathBuf,
    helpers: Option<Helpers>,
    /// How old what was read may be.
    again: Duration,
    state: Mutex<State>,
}

struct State {
    file: Arc<File>,
    read_at: Instant,
    /// What was wrong with the file when it was read last.
    problem: Option<String>,
}

struct File {
    credentials: Credentials,
    chosen: Chosen,
}

impl Configured {
    /// Reads the file. Helpers that it names are run if there is a folder for them, and passed over otherwise.
    ///
    /// # Errors
    /// If it can't be read. Later what was read last stays.
    pub fn open(path: PathBuf, helpers: Option<PathBuf>) -> Result<Configured, ConfiguredError> {
        let file = Arc::new(File::read(&std::fs::read(&path)?)?);
        let state = State { file, read_at: Instant::now(), problem: None };
        let helpers = helpers.map(Helpers::new);
        Ok(Configured { path, helpers, again: READ_AGAIN, state: Mutex::new(state) })
    }

    /// How to log in at a registry for a repository, if the file or a helper says so.
    pub(in crate::images::registry) async fn login(
        &self,
        host: &str,
        repository: &str,
    ) -> Result<Option<Login>, Unread> {
        let file = self.current().await;
        if let Some(login) = file.credentials.of(host, repository) {
            return Ok(Some(login.clone()));
        }
        match &self.helpers {
            Some(helpers) => helpers.login(&file.chosen, host, repository).await,
            None => Ok(None),
        }
    }

    async fn current(&self) -> Arc<File> {
        let mut state = self.state.lock().await;
        if state.read_at.elapsed() >= self.again {
            state.read_at = Instant::now();
            let read = tokio::fs::read(&self.path).await.map_err(ConfiguredError::from);
            let problem = match read.and_then(|content| File::read(&content)) {
                Ok(file) => {
                    state.file = Arc::new(file);
                    None
                }
                Err(why) => Some(why.to_string()),
            };
            if state.problem != problem
                && let Some(why) = &problem
            {
                let file = self.path.display();
                tracing::warn!(%file, "the credentials for registries that were read last stay: {why}");
            }
            state.problem = problem;
        }
        Arc::clone(&state.file)
    }
}

impl File {
    fn read(content: &[u8]) -> Result<File, ConfiguredError> {
        if content.len() > CREDENTIALS_BYTES_MAX {
            return Err(CredentialsError::TooLarge.into());
        }
        let text = String::from_utf8_lossy(content);
        let credentials = Credentials::from_docker_config(&text)?;
        Ok(File { credentials, chosen: Chosen::from_docker_config(&text)? })
    }
}

impl std::fmt::Debug for Configured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configured").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn user(configured: &Configured) -> Option<Login> {
        configured.login("a.b", "c").await.unwrap()
    }

    #[tokio::test]
    async fn a_file_that_changes_is_read_again_and_a_broken_one_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let of = |user: &str| {
            format!(r#"{{"auths": {{"a.b": {{"username": "{user}", "password": "p"}}}}}}"#)
        };
        write(&of("one"));
        let mut configured = Configured::open(path.clone(), None).unwrap();
        write(&of("two"));
        assert!(user(&configured).await == Some(Login::of("one", "p")), "too soon");
        configured.again = Duration::ZERO;
        assert!(user(&configured).await == Some(Login::of("two", "p")));
        for broken in ["{", ""] {
            write(broken);
            assert!(user(&configured).await == Some(Login::of("two", "p")));
        }
        std::fs::remove_file(&path).unwrap();
        assert!(user(&configured).await == Some(Login::of("two", "p")));
        assert!(Configured::open(path, None).is_err());
    }
}
