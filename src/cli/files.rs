//! Files as the commands read them. Policies are read as the server reads them.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::controller::files::{list, read};
use crate::policy::Definitions;
use crate::policy::manifest::{self, Refused};

/// What stands for standard input.
const STDIN: &str = "-";

/// Everything that files and folders define, as it is written.
pub fn definitions(paths: &[PathBuf]) -> Result<Definitions, Failure> {
    let (stdin, files): (Vec<PathBuf>, Vec<PathBuf>) =
        paths.iter().cloned().partition(|path| path == Path::new(STDIN));
    let mut definitions = read(&files).map_err(Failure::new)?.definitions;
    if let Some(stdin) = stdin.first() {
        for manifest in manifest::read(STDIN, &text(stdin)?).map_err(Failure::new)? {
            definitions.add(manifest);
        }
    }
    Ok(definitions)
}

/// Everything that can be read, and why the API server would refuse the rest, with the names of the files.
///
/// # Errors
/// If something is wrong with a file that has nothing to do with what the API server would say.
pub fn readable(paths: &[PathBuf]) -> Result<(Definitions, Vec<(String, Refused)>), Failure> {
    let (stdin, files): (Vec<PathBuf>, Vec<PathBuf>) =
        paths.iter().cloned().partition(|path| path == Path::new(STDIN));
    let (mut definitions, mut refused) = (Definitions::default(), Vec::new());
    let mut one_by_one: Vec<PathBuf> = stdin.into_iter().take(1).collect();
    match read(&files) {
        Ok(set) => definitions = set.definitions,
        Err(error) if error.errors.iter().any(|error| error.refused.is_empty()) => {
            return Err(Failure::new(error));
        }
        // What is refused hides nothing else.
        Err(_) => one_by_one.extend(list(&files).map_err(Failure::new)?),
    }
    for path in one_by_one {
        let file = path.to_string_lossy();
        let (manifests, found) = manifest::read_all(&file, &text(&path)?).map_err(Failure::new)?;
        for manifest in manifests {
            definitions.add(manifest);
        }
        refused.extend(found.into_iter().map(|one| (file.to_string(), one)));
    }
    Ok((definitions, refused))
}

/// The files themselves, and all YAML and JSON files of the folders; `-` stays what it is.
pub fn manifests(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path == Path::new(STDIN) {
            files.push(path.clone());
        } else {
            files.extend(list(std::slice::from_ref(path)).map_err(Failure::new)?);
        }
    }
    Ok(files)
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
