//! Where objects are read: files that can be read more than once, in the order of their names, or the pages of a cluster.
//! Standard input is put into a file first.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::audit::plan::ServedKind;
use crate::cli::cluster::Cluster;
use crate::cli::{Failure, files};
use crate::policy::manifest::Pieces;

/// Bytes that are read from a file at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// A file of objects, or all objects of a kind in a cluster.
pub struct Source {
    /// Its name, as it is told.
    pub name: Arc<str>,
    place: Place,
}

enum Place {
    Path(PathBuf),
    Spooled(File),
    Cluster(Arc<Cluster>, ServedKind),
}

impl Source {
    /// Its pieces, from the beginning.
    pub fn pieces(&self) -> io::Result<Pieces<BufReader<Box<dyn Read + '_>>>> {
        let input: Box<dyn Read + '_> = match &self.place {
            Place::Path(path) => Box::new(File::open(path)?),
            Place::Spooled(file) => {
                let mut file = file.try_clone()?;
                file.rewind()?;
                Box::new(file)
            }
            Place::Cluster(cluster, kind) => Box::new(cluster.pages(kind)),
        };
        Ok(Pieces::new(&self.name, BufReader::with_capacity(BUFFER_BYTES, input)))
    }

    /// All objects of these kinds in a cluster.
    pub fn of_cluster(
        cluster: &Arc<Cluster>,
        kinds: impl IntoIterator<Item = ServedKind>,
    ) -> Vec<Source> {
        let source = |kind: ServedKind| Source {
            name: format!("{}.{}", kind.resource, kind.group).trim_end_matches('.').into(),
            place: Place::Cluster(Arc::clone(cluster), kind),
        };
        kinds.into_iter().map(source).collect()
    }

    /// The kind of which it has all objects, if it is a cluster.
    pub fn kind(&self) -> Option<&ServedKind> {
        match &self.place {
            Place::Cluster(_, kind) => Some(kind),
            Place::Path(_) | Place::Spooled(_) => None,
        }
    }

    /// Whether it is a file, with lines.
    pub fn is_file(&self) -> bool {
        self.kind().is_none()
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
