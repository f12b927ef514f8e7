//! Which files there are, and how they looked: name, size, time of the last change. Content is not read here.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::controller::files::problem;
use crate::controller::limits::{ENTRIES_MAX, FILES_MAX, FOLDER_DEPTH_MAX};
use crate::policy::manifest::ManifestError;

/// Names that end so are manifests. `spec.md`, `README.md` and all others are passed over.
const MANIFEST_EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// How the files of a set looked, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::controller::files) struct Fingerprint(BTreeMap<PathBuf, Look>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    bytes: u64,
    /// None where the file system has no such time.
    modified: Option<SystemTime>,
}

impl Fingerprint {
    /// The files, in the order of their names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Looks at every manifest below these files and folders. A file that is named itself is taken whatever its name.
///
/// # Errors
/// The first: a folder that can't be read could hide any policy.
pub(in crate::controller::files) fn look(paths: &[PathBuf]) -> Result<Fingerprint, ManifestError> {
    let mut walk = Walk::default();
    for path in paths {
        let metadata = fs::metadata(path).map_err(|error| problem(path, error))?;
        if metadata.is_dir() {
            walk.folder(path, 0)?;
        } else {
            walk.file(path, &metadata)?;
        }
    }
    Ok(walk.found)
}

#[derive(Default)]
struct Walk {
    found: Fingerprint,
    entries: usize,
    /// Folders by their real path, so that two links to one are read once.
    folders: HashSet<PathBuf>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), ManifestError> {
        if depth > FOLDER_DEPTH_MAX {
            return Err(problem(folder, format!("more than {FOLDER_DEPTH_MAX} folders deep")));
        }
        let real = fs::canonicalize(folder).map_err(|error| problem(folder, error))?;
        if !self.folders.insert(real) {
            return Ok(());
        }
        for path in self.entries(folder)? {
            // Of what a link leads to.
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                Err(_) if !is_manifest(&path) => continue,
                Err(error) => return Err(problem(&path, error)),
            };
            if metadata.is_dir() {
                self.folder(&path, depth + 1)?;
            } else if metadata.is_file() && is_manifest(&path) {
                self.file(&path, &metadata)?;
            }
        }
        Ok(())
    }

    /// What is in a folder and not hidden, in the order of the names.
    fn entries(&mut self, folder: &Path) -> Result<Vec<PathBuf>, ManifestError> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| problem(folder, error))? {
            let entry = entry.map_err(|error| problem(folder, error))?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(problem(folder, format!("more than {ENTRIES_MAX} files and folders")));
            }
            if !entry.file_name().to_string_lossy().starts_with('.') {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn file(&mut self, path: &Path, metadata: &fs::Metadata) -> Result<(), ManifestError> {
        let look = Look { bytes: metadata.len(), modified: metadata.modified().ok() };
        self.found.0.insert(path.to_path_buf(), look);
        if self.found.len() > FILES_MAX {
            return Err(problem(path, format!("more than {FILES_MAX} files")));
        }
        Ok(())
    }
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|own| MANIFEST_EXTENSIONS.iter().any(|e| own.eq_ignore_ascii_case(e)))
}
