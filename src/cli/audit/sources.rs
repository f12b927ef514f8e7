//! Where objects are read: files that can be read more than once, in the order of their names. Standard input is put into a
//! file first.

use std::fs::{self, File};
use std::io::{self, BufReader, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::{Failure, files};
use crate::policy::manifest::Pieces;

/// Bytes that are read from a file at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// A file of objects.
#[derive(Debug)]
pub struct Source {
    /// Its name, as it is told.
    pub name: Arc<str>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Path(PathBuf),
    Spooled(File),
}

impl Source {
    /// Its pieces, from the beginning.
    pub fn pieces(&self) -> io::Result<Pieces<BufReader<File>>> {
        let file = match &self.place {
            Place::Path(path) => File::open(path)?,
            Place::Spooled(file) => {
                let mut file = file.try_clone()?;
                file.rewind()?;
                file
            }
        };
        Ok(Pieces::new(&self.name, BufReader::with_capacity(BUFFER_BYTES, file)))
    }
}

/// The files themselves, and all manifests of the folders.
///
/// # Errors
/// If one is not there, or is nothing that can be read to its end.
pub fn open(paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for path in files::manifests(paths)? {
        sources.push(if path == Path::new("-") {
            Source { name: "stdin".into(), place: Place::Spooled(spool()?) }
        } else {
            let metadata = fs::metadata(&path).map_err(|error| Failure::file(&path, &error))?;
            if !metadata.is_file() {
                return Err(Failure::file(&path, &"no file, and no folder"));
            }
            Source { name: path.to_string_lossy().into(), place: Place::Path(path) }
        });
    }
    Ok(sources)
}

/// Standard input in a file that nobody else sees: it is read twice.
fn spool() -> Result<File, Failure> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    Ok(file)
}
