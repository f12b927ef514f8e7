//! Policies from files: a folder is read into definitions, and read again when a file changes. Nothing here compiles or
//! decides; [`publish`](crate::controller::publish) does the former.
//!
//! # Flow
//! [`walk::look`] (names, sizes, times) -> changed? -> [`read`] (content, parsed) -> [`Publisher::publish`].
//!
//! # Guarantees
//! - A set is taken whole or not at all: while any file is broken, the last good set stays in force.
//! - Every error says file, line and column; a set that stays broken is told once.
//! - A policy that is there twice is an error: which of them would be in force?
//!
//! # Assumptions
//! A change of a file changes its size or the time of its last change. Files whose names begin with a full stop are not
//! ours: Kubernetes mounts a ConfigMap as links into such a folder.

mod identity;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use crate::controller::files::identity::Identities;
use crate::controller::files::walk::{Fingerprint, look};
use crate::controller::limits::{
    FILE_BYTES_MAX, FILE_ERRORS_MAX, FILES_BYTES_MAX, FILES_POLL_INTERVAL, FILES_SETTLE_INTERVAL,
    FILES_SETTLE_ROUNDS_MAX,
};
use crate::controller::publish::Publisher;
use crate::policy::Definitions;
use crate::policy::manifest::{self, ManifestError};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct FileSet {
    /// What the files say.
    pub definitions: Definitions,
    /// How many files there were.
    pub files: usize,
    /// The hash of names and content.
    pub digest: [u8; 32],
}

/// Why files are not a set of policies. There is at least one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesError {
    /// The first [`FILE_ERRORS_MAX`] of them.
    pub errors: Vec<ManifestError>,
    /// How many more there are.
    pub more: usize,
}

impl std::error::Error for FilesError {}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.errors.iter().enumerate() {
            let line_break = if place == 0 { "" } else { "\n" };
            match error {
                // About the whole file.
                ManifestError { file, line: 0, message, .. } => {
                    write!(f, "{line_break}{file}: {message}")?;
                }
                error => write!(f, "{line_break}{error}")?,
            }
        }
        if self.more > 0 {
            write!(f, "\nand {} more errors", self.more)?;
        }
        Ok(())
    }
}

/// Reads every manifest below these files and folders.
///
/// # Errors
/// If anything can't be read, with all that is wrong.
pub fn read(paths: &[PathBuf]) -> Result<FileSet, FilesError> {
    read_seen(&look(paths).map_err(FilesError::from)?)
}

/// The manifests below these files and folders, in the order of their names.
///
/// # Errors
/// The first: a folder that can't be read.
pub fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>, FilesError> {
    let found = look(paths).map_err(FilesError::from)?;
    Ok(found.files().map(Path::to_owned).collect())
}

/// Reads the files, publishes them, and does so again whenever they change. Returns when nobody listens any more.
///
/// While the first set is broken nothing is published, so nobody becomes ready.
pub async fn follow(paths: Vec<PathBuf>, publisher: Publisher) {
    let mut follower = Follower::default();
    let mut trust = publisher.trust();
    while !publisher.is_closed() {
        if trust.has_changed() {
            // To be read and compiled once more, with other trust roots.
            follower = Follower { told: follower.told, ..Follower::default() };
        }
        if let Some((set, since)) = follower.next_set(&paths, &publisher).await {
            follower.publish(set, since, &publisher).await;
        }
        tokio::select! {
            () = sleep(FILES_POLL_INTERVAL) => {}
            () = publisher.closed() => {}
        }
    }
}

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
struct Follower {
    /// What was there when the files were last read; none if that has to be done again.
    seen: Option<Fingerprint>,
    /// What was told last, so that it is told once.
    told: Option<FilesError>,
    /// What is in force.
    digest: Option<[u8; 32]>,
}

impl Follower {
    /// The files, if they changed and are in order, and when the change was seen.
    async fn next_set(
        &mut self,
        paths: &[PathBuf],
        publisher: &Publisher,
    ) -> Option<(FileSet, Instant)> {
        let since = Instant::now();
        let read = match self.look_until_settled(paths).await {
            Ok(None) => return None,
            Ok(Some(seen)) => {
                let read = on_blocking_thread(move || (read_seen(&seen), seen)).await?;
                let (read, seen) = read;
                self.seen = Some(seen);
                read
            }
            Err(error) => Err(FilesError::from(error)),
        };
        match read {
            Ok(set) => {
                if self.told.take().is_some() {
                    tracing::info!(files = set.files, "all files can be read again");
                }
                (self.digest != Some(set.digest)).then_some((set, since))
            }
            Err(error) => {
                self.complain(error, publisher);
                None
            }
        }
    }

    /// What is there, if it is not what was read last; once it has stayed the same for a moment.
    async fn look_until_settled(
        &self,
        paths: &[PathBuf],
    ) -> Result<Option<Fingerprint>, ManifestError> {
        let mut now = look_away(paths).await?;
        if self.seen.as_ref() == Some(&now) {
            return Ok(None);
        }
        for _ in 0..FILES_SETTLE_ROUNDS_MAX {
            sleep(FILES_SETTLE_INTERVAL).await;
            let next = look_away(paths).await?;
            let is_settled = next == now;
            now = next;
            if is_settled {
                break;
            }
        }
        Ok(Some(now))
    }

    async fn publish(&mut self, set: FileSet, since: Instant, publisher: &Publisher) {
        let FileSet { definitions, files, digest } = set;
        if definitions.validating.is_empty()
            && definitions.mutating.is_empty()
            && definitions.images.is_empty()
        {
            tracing::warn!(files, "there is no policy in these files: every request will pass");
        }
        match publisher.publish(definitions, since).await {
            Ok(_) => self.digest = Some(digest),
            // To be read and compiled once more at the next look.
            Err(_) => self.seen = None,
        }
    }

    fn complain(&mut self, error: FilesError, publisher: &Publisher) {
        // What can't be opened now may be later, without a change that could be seen.
        if error.errors.iter().any(|error| error.line == 0) {
            self.seen = None;
        }
        if self.told.as_ref() == Some(&error) {
            return;
        }
        publisher.metrics().reload(false);
        let state = match self.digest {
            Some(_) => "the last good set stays in force",
            None => "nothing is in force yet",
        };
        for ManifestError { file, line, column, message, .. } in &error.errors {
            tracing::error!(file, line, column, "{message}; {state}");
        }
        if error.more > 0 {
            tracing::error!(more = error.more, "there are more errors; {state}");
        }
        self.told = Some(error);
    }
}

/// Disks can be slow, and workers have requests to answer.
async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    // It ends without a result only when the process stops.
    tokio::task::spawn_blocking(work).await.ok()
}

async fn look_away(paths: &[PathBuf]) -> Result<Fingerprint, ManifestError> {
    let paths = paths.to_vec();
    let stopping = || Err(problem(Path::new(""), "the process stops"));
    on_blocking_thread(move || look(&paths)).await.unwrap_or_else(stopping)
}

/// Reads the files that were seen.
fn read_seen(seen: &Fingerprint) -> Result<FileSet, FilesError> {
    let mut definitions = Definitions::default();
    let mut identities = Identities::default();
    let mut errors = Vec::new();
    let mut hasher = Sha256::new();
    let mut bytes = 0_usize;
    for path in seen.files() {
        let file = path.to_string_lossy();
        let text = match read_text(path) {
            Ok(text) => text,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        bytes = bytes.saturating_add(text.len());
        if bytes > FILES_BYTES_MAX {
            errors.push(problem(path, format!("all files have more than {FILES_BYTES_MAX} bytes")));
            break;
        }
        hasher.update((file.len() as u64).to_le_bytes());
        hasher.update(file.as_bytes());
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
        match manifest::read(&file, &text) {
            Err(error) => errors.push(error),
            Ok(manifests) => {
                for manifest in manifests {
                    match identities.add(&manifest, &file) {
                        Ok(true) => definitions.add(manifest),
                        Ok(false) => {}
                        Err(error) => errors.push(error),
                    }
                }
            }
        }
    }
    if errors.is_empty() {
        return Ok(FileSet { definitions, files: seen.len(), digest: hasher.finalize().into() });
    }
    let more = errors.len().saturating_sub(FILE_ERRORS_MAX);
    errors.truncate(FILE_ERRORS_MAX);
    Err(FilesError { errors, more })
}

fn read_text(path: &Path) -> Result<String, ManifestError> {
    let file = File::open(path).map_err(|error| problem(path, error))?;
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| problem(path, error))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(problem(path, format!("more than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..valid).unwrap_or_default();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let on_line = before.get(line_start..).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count() as u64;
        let column = String::from_utf8_lossy(on_line).chars().count() as u64 + 1;
        ManifestError::new(&path.to_string_lossy(), (line, column), "no UTF-8 text")
    })
}

/// An error about a whole file: it has no line.
fn problem(path: &Path, message: impl fmt::Display) -> ManifestError {
    ManifestError::new(&path.to_string_lossy(), (0, 0), message.to_string())
}

impl From<ManifestError> for FilesError {
    fn from(error: ManifestError) -> FilesError {
        FilesError { errors: vec![error], more: 0 }
    }
}
