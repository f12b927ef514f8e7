//! Files as the commands read them: policies and what belongs to them, from files, folders and standard input.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cel::Version;
use crate::cli::Failure;
use crate::policy::definitions::Definitions;
use crate::policy::manifest;
use crate::policy::snapshot::Snapshot;

/// What `-` stands for.
pub const STDIN: &str = "-";

/// How deep folders are searched; a loop of links ends there.
const FOLDER_DEPTH_MAX: usize = 16;

/// Everything that files and folders define, compiled. A policy that does not compile is in it as broken; a file that
/// can't be read is a failure.
pub fn snapshot(paths: &[PathBuf], version: Version) -> Result<Arc<Snapshot>, Failure> {
    let mut definitions = Definitions::default();
    for file in manifests(paths)? {
        let text = text(&file)?;
        let read = manifest::read(&file.display().to_string(), &text).map_err(Failure::new)?;
        for manifest in read {
            definitions.add(manifest);
        }
    }
    Ok(Arc::new(Snapshot::build(definitions, version, None)))
}

/// The text of a file, or of standard input for `-`.
pub fn text(path: &Path) -> Result<String, Failure> {
    let read = if path == Path::new(STDIN) {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    read.map_err(|error| Failure::file(path, &error))
}

/// The files themselves, and all YAML and JSON files of the folders, in the order of their names.
pub fn manifests(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            search(path, FOLDER_DEPTH_MAX, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn search(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Failure::file(
            folder,
            &format!("folders are nested deeper than {FOLDER_DEPTH_MAX}"),
        ));
    };
    let entries = fs::read_dir(folder).map_err(|error| Failure::file(folder, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|error| Failure::file(folder, &error))?.path());
    }
    paths.sort();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let is_manifest = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            search(&path, depth, files)?;
        } else if is_manifest {
            files.push(path);
        }
    }
    Ok(())
}
