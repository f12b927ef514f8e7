//! The ledger's files and the one thread that writes them. It is a rim: here are the disk and the clock. What records
//! mean, and whether they are true, is `entry` and `verify`.
//!
//! A ledger is a folder: `records.jsonl`, a record on a line, and `checkpoint`, which covers what is on the disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::ledger::checkpoint::{Checkpoint, CheckpointError};
use crate::ledger::entry::{Body, Entry, Record};
use crate::ledger::merkle::{Frontier, leaf_hash};
use crate::ledger::verify::{Tampered, Verified, verify};

/// Entries that wait for the disk: some seconds of a busy cluster's requests, and about 8 MiB.
pub const QUEUE_MAX: usize = 8_192;

/// Entries that are written and synced together, so that a slow disk costs one wait for many.
const BATCH_MAX: usize = 1_024;

/// How often a new checkpoint is written: what was written since is the most that can be taken away unseen.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait after a failed write. The queue goes on filling.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// The file of the records, one JSON line each.
pub const RECORDS_FILE: &str = "records.jsonl";
/// The file of the newest checkpoint.
pub const CHECKPOINT_FILE: &str = "checkpoint";

/// An open ledger. Dropping it writes what waits.
#[derive(Debug)]
pub struct Ledger {
    queue: Option<SyncSender<Entry>>,
    counts: Arc<Counts>,
    writer: Option<JoinHandle<()>>,
}

/// What was found when a ledger was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Records that were there.
    pub records: u64,
    /// Bytes of a line that a crash had torn; they were cut off.
    pub torn_bytes: u64,
}

/// What happened since the ledger was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records on the disk.
    pub written: u64,
    /// Entries that found the queue full, or that the disk refused to the end.
    pub lost: u64,
    /// Failed attempts to write.
    pub failed: u64,
}

/// Why a ledger can't be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("`{0}` is in use by another process")]
    InUse(PathBuf),
    /// It does not say what it said.
    #[error("`{path}`: {source}")]
    Tampered {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: Tampered,
    },
    /// The checkpoint is none.
    #[error("`{path}`: {source}")]
    Checkpoint {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: CheckpointError,
    },
    /// The checkpoint is of another ledger.
    #[error("`{path}` is of `{found}`, not of `{expected}`")]
    Origin {
        /// Which file.
        path: PathBuf,
        /// Its origin.
        found: String,
        /// Ours.
        expected: String,
    },
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
    failed: AtomicU64,
    /// Lost entries that no gap in the ledger speaks of yet.
    unsaid: AtomicU64,
    closing: AtomicBool,
}

impl Counts {
    fn lose(&self, entries: u64) {
        self.lost.fetch_add(entries, Ordering::Relaxed);
        self.unsaid.fetch_add(entries, Ordering::Relaxed);
    }
}

impl Ledger {
    /// Opens the ledger in `folder`, which is made if it is not there, checks it against its checkpoint, and cuts off
    /// a torn last line. It reads the whole ledger, so open it off the path to readiness.
    pub fn open(folder: &Path, origin: &str) -> Result<(Ledger, Opened), OpenError> {
        let (files, tree, opened) = Files::open(folder, origin)?;
        Ok((Ledger::start(files, tree, origin), opened))
    }

    fn start(storage: impl Storage, tree: Frontier, origin: &str) -> Ledger {
        let (queue, entries) = sync_channel(QUEUE_MAX);
        let counts = Arc::new(Counts::default());
        let covered = tree.size();
        let origin = origin.to_owned();
        let writer = Writer { storage, entries, tree, covered, origin, counts: counts.clone() };
        let writer = thread::Builder::new().name("ledger".into()).spawn(move || writer.run());
        if let Err(error) = &writer {
            tracing::error!(%error, "the ledger has no thread: every entry will be lost");
        }
        Ledger { queue: Some(queue), counts, writer: writer.ok() }
    }

    /// Records a decision, later: false if the queue is full and the entry is lost. Never waits.
    pub fn record(&self, entry: Entry) -> bool {
        let sent = match &self.queue {
            Some(queue) => queue.try_send(entry),
            None => Err(TrySendError::Disconnected(entry)),
        };
        if sent.is_err() {
            self.counts.lose(1);
        }
        sent.is_ok()
    }

    /// What happened so far.
    pub fn totals(&self) -> Totals {
        Totals {
            written: self.counts.written.load(Ordering::Relaxed),
            lost: self.counts.lost.load(Ordering::Relaxed),
            failed: self.counts.failed.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.counts.closing.store(true, Ordering::Relaxed);
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the ledger's thread ended early");
        }
    }
}

/// Verifies the ledger in `folder` against its own checkpoint and others that were kept elsewhere. It may be in use.
pub fn verify_folder(
    folder: &Path,
    origin: &str,
    kept: &[Checkpoint],
) -> Result<Verified, OpenError> {
    // The checkpoint first: records that are written meanwhile come after it.
    let own = read_checkpoint(&folder.join(CHECKPOINT_FILE), origin)?;
    let path = folder.join(RECORDS_FILE);
    let io = |source| OpenError::Io { path: path.clone(), source };
    let records = BufReader::new(File::open(&path).map_err(io)?);
    let checkpoints: Vec<Checkpoint> = own.into_iter().chain(kept.iter().cloned()).collect();
    verify(records, &checkpoints)
        .map_err(|source| OpenError::Tampered { path: path.clone(), source })
}

/// Where lines go. All or nothing: after an error, nothing of `lines` is there.
trait Storage: Send + 'static {
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> io::Result<()>;
}

struct Writer<S> {
    storage: S,
    entries: Receiver<Entry>,
    tree: Frontier,
    /// Records that the checkpoint on the disk covers.
    covered: u64,
    origin: String,
    counts: Arc<Counts>,
}

impl<S: Storage> Writer<S> {
    fn run(mut self) {
        let mut checkpoint_due = Instant::now() + CHECKPOINT_INTERVAL;
        loop {
            let wait = checkpoint_due.saturating_duration_since(Instant::now());
            let open = match self.entries.recv_timeout(wait) {
                Ok(first) => {
                    self.write(first);
                    true
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            if Instant::now() >= checkpoint_due || !open {
                self.say_lost();
                self.checkpoint();
                checkpoint_due = Instant::now() + CHECKPOINT_INTERVAL;
            }
            if !open {
                return;
            }
        }
    }

    /// Writes `first` and what else waits.
    fn write(&mut self, first: Entry) {
        self.say_lost();
        let waiting = std::iter::from_fn(|| self.entries.try_recv().ok());
        let batch: Vec<Entry> = std::iter::once(first).chain(waiting.take(BATCH_MAX - 1)).collect();
        let entries = batch.len() as u64;
        let bodies = batch.into_iter().map(|entry| Body::Decision(Box::new(entry)));
        if !self.append(bodies) {
            self.counts.lose(entries);
        }
    }

    /// Says in the ledger what is not in it.
    fn say_lost(&mut self) {
        let lost = self.counts.unsaid.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "the ledger's queue was full: decisions are not recorded");
            if !self.append([Body::Gap { lost }]) {
                self.counts.unsaid.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }

    /// Appends records, however often it takes; false if the ledger was closed before it succeeded.
    fn append(&mut self, bodies: impl IntoIterator<Item = Body>) -> bool {
        let mut tree = self.tree.clone();
        let mut lines = Vec::new();
        for body in bodies {
            let line = Record { index: tree.size(), body }.line();
            tree.push(leaf_hash(line.as_bytes()));
            lines.extend_from_slice(line.as_bytes());
            lines.push(b'\n');
        }
        while let Err(error) = self.storage.append(&lines) {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "the ledger can't be written");
            if self.counts.closing.load(Ordering::Relaxed) {
                return false;
            }
            thread::sleep(RETRY_INTERVAL);
        }
        self.counts.written.fetch_add(tree.size() - self.tree.size(), Ordering::Relaxed);
        self.tree = tree;
        true
    }

    fn checkpoint(&mut self) {
        if self.covered == self.tree.size() {
            return;
        }
        let (origin, size, root) = (self.origin.clone(), self.tree.size(), self.tree.root());
        match self.storage.checkpoint(&Checkpoint { origin, size, root }) {
            Ok(()) => self.covered = size,
            Err(error) => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "the ledger's checkpoint can't be written");
            }
        }
    }
}

/// The folder of a ledger.
struct Files {
    folder: PathBuf,
    /// Locked as long as it is open.
    records: File,
    /// Bytes of whole records; what is beyond was torn.
    bytes: u64,
}

impl Files {
    fn open(folder: &Path, origin: &str) -> Result<(Files, Frontier, Opened), OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            |source| OpenError::Io { path, source }
        };
        fs::create_dir_all(folder).map_err(at(folder))?;
        let path = folder.join(RECORDS_FILE);
        let mut options = OpenOptions::new();
        let records =
            options.create(true).read(true).append(true).open(&path).map_err(at(&path))?;
        match records.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path)),
            Err(TryLockError::Error(source)) => return Err(at(&path)(source)),
        }
        let checkpoint = read_checkpoint(&folder.join(CHECKPOINT_FILE), origin)?;
        let verified = verify(BufReader::new(&records), checkpoint.as_slice())
            .map_err(|source| OpenError::Tampered { path: path.clone(), source })?;
        records.set_len(verified.bytes).map_err(at(&path))?;
        let opened = Opened { records: verified.records, torn_bytes: verified.torn_bytes };
        let files = Files { folder: folder.to_owned(), records, bytes: verified.bytes };
        Ok((files, verified.tree, opened))
    }
}

/// The checkpoint of the ledger `origin`; none if it was never written.
fn read_checkpoint(path: &Path, origin: &str) -> Result<Option<Checkpoint>, OpenError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::Io { path: path.to_owned(), source }),
    };
    let checkpoint = Checkpoint::parse(&text)
        .map_err(|source| OpenError::Checkpoint { path: path.to_owned(), source })?;
    if checkpoint.origin != origin {
        let (found, expected) = (checkpoint.origin, origin.to_owned());
        return Err(OpenError::Origin { path: path.to_owned(), found, expected });
    }
    Ok(Some(checkpoint))
}

impl Storage for Files {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        // A failed attempt may have left a part behind.
        self.records.set_len(self.bytes)?;
        self.records.write_all(lines)?;
        self.records.sync_data()?;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        // Renamed whole, so that a crash leaves the old one or the new one.
        let new = self.folder.join("checkpoint.new");
        let mut file = File::create(&new)?;
        file.write_all(checkpoint.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.folder.join(CHECKPOINT_FILE))?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests;
