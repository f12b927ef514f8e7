//! Whether a ledger still says what it said. It reads lines and hashes; where checkpoints come from, and who may be
//! trusted with them, is its caller's.

use std::io::{self, BufRead, Read};

use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::entry::Record;
use crate::ledger::merkle::{Frontier, leaf_hash};

/// Bytes of a line. A record holds names that Kubernetes limits and messages of at most 5 KiB from each policy that
/// failed; a longer line is none of ours, and would be held in memory.
pub const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Records that a checkpoint vouches for.
    pub covered: u64,
    /// All records: those after the last checkpoint are well-formed, and no more is known of them.
    pub records: u64,
    /// Bytes of a last line that a crash has torn; they are no record.
    pub torn_bytes: u64,
    /// Bytes of all whole lines.
    pub bytes: u64,
    /// The tree over all records.
    pub tree: Frontier,
}

/// What is wrong with a ledger.
#[derive(Debug, thiserror::Error)]
pub enum Tampered {
    /// A line is not what was written as a record.
    #[error("record {index} is not readable: {reason}")]
    Unreadable {
        /// Its place, from 0.
        index: u64,
        /// Why.
        reason: String,
    },
    /// A record says that it is another: one before it was removed, added, or moved.
    #[error("record {found} is where record {index} should be")]
    Misplaced {
        /// The place, from 0.
        index: u64,
        /// What the record there says.
        found: u64,
    },
    /// Fewer records than a checkpoint vouches for.
    #[error("{records} records are left of the {expected} that the checkpoint covers")]
    Removed {
        /// How many there are.
        records: u64,
        /// How many there were.
        expected: u64,
    },
    /// Records that a checkpoint vouches for are not those that were written.
    #[error("records {from} to {to} are not what the checkpoint of {to} records covers")]
    Rewritten {
        /// The first that may be wrong, from 0: the one after the last good checkpoint.
        from: u64,
        /// One after the last.
        to: u64,
    },
    /// The file could not be read.
    #[error("the ledger can't be read: {0}")]
    Io(#[from] io::Error),
}

/// Reads all records and compares them with checkpoints of the same ledger, in any order. The more checkpoints, the
/// closer [`Tampered::Rewritten`] is to the place.
pub fn verify(records: impl BufRead, checkpoints: &[Checkpoint]) -> Result<Verified, Tampered> {
    let mut checkpoints: Vec<&Checkpoint> = checkpoints.iter().collect();
    checkpoints.sort_by_key(|checkpoint| checkpoint.size);
    let mut expected = checkpoints.into_iter().peekable();
    let mut verified =
        Verified { covered: 0, records: 0, torn_bytes: 0, bytes: 0, tree: Frontier::default() };
    let mut lines = Lines { records, line: Vec::new() };
    loop {
        while let Some(checkpoint) = expected.next_if(|next| next.size == verified.records) {
            if verified.tree.root() != checkpoint.root {
                return Err(Tampered::Rewritten { from: verified.covered, to: checkpoint.size });
            }
            verified.covered = checkpoint.size;
        }
        let index = verified.records;
        match lines.next()? {
            Line::Whole(line) => {
                check_record(index, line)?;
                verified.bytes += line.len() as u64 + 1;
                verified.tree.push(leaf_hash(line));
                verified.records += 1;
            }
            Line::Torn(bytes) if bytes <= LINE_BYTES_MAX => {
                verified.torn_bytes = bytes as u64;
                break;
            }
            Line::Torn(_) => {
                let reason = format!("longer than {LINE_BYTES_MAX} bytes");
                return Err(Tampered::Unreadable { index, reason });
            }
        }
    }
    match expected.next() {
        Some(checkpoint) => {
            Err(Tampered::Removed { records: verified.records, expected: checkpoint.size })
        }
        None => Ok(verified),
    }
}

fn check_record(index: u64, line: &[u8]) -> Result<(), Tampered> {
    let unreadable =
        |error: serde_json::Error| Tampered::Unreadable { index, reason: error.to_string() };
    let record: Record = serde_json::from_slice(line).map_err(unreadable)?;
    if record.index != index {
        return Err(Tampered::Misplaced { index, found: record.index });
    }
    Ok(())
}

struct Lines<R> {
    records: R,
    line: Vec<u8>,
}

enum Line<'l> {
    /// A line without its end.
    Whole(&'l [u8]),
    /// So many bytes without an end; none at the end of the file.
    Torn(usize),
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Line<'_>> {
        self.line.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        self.records.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
        Ok(match self.line.split_last() {
            Some((b'\n', line)) => Line::Whole(line),
            _ => Line::Torn(self.line.len()),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::ledger::checkpoint::Checkpoint;
    use crate::ledger::entry::{Body, Record, sample};
    use crate::ledger::merkle::{leaf_hash, root};
    use crate::ledger::verify::{LINE_BYTES_MAX, verify};

    fn lines(count: u64) -> Vec<String> {
        let body = |index| Body::Decision(Box::new(sample(index)));
        (0..count).map(|index| Record { index, body: body(index) }.line()).collect()
    }

    fn checkpoint(lines: &[String], size: usize) -> Checkpoint {
        let leaves: Vec<_> = lines[..size].iter().map(|line| leaf_hash(line.as_bytes())).collect();
        Checkpoint { origin: "test".into(), size: size as u64, root: root(&leaves) }
    }

    /// What is found in ten records of which seven, and earlier four, were vouched for.
    #[track_caller]
    fn check(change: impl Fn(&mut Vec<String>), expect: Result<(u64, u64), &str>) {
        let mut ledger = lines(10);
        let checkpoints = [checkpoint(&ledger, 7), checkpoint(&ledger, 0), checkpoint(&ledger, 4)];
        change(&mut ledger);
        let text: Vec<u8> =
            ledger.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        let found = verify(text.as_slice(), &checkpoints);
        let found = found.map(|v| (v.covered, v.records)).map_err(|error| error.to_string());
        assert_eq!(found, expect.map_err(str::to_owned));
    }

    fn renumber(ledger: &mut [String]) {
        for (index, line) in ledger.iter_mut().enumerate() {
            let mut record: Record = serde_json::from_str(line).unwrap();
            record.index = index as u64;
            *line = record.line();
        }
    }

    #[test]
    fn an_untouched_ledger_is_verified() {
        check(|_| {}, Ok((7, 10)));
        check(|ledger| ledger.truncate(7), Ok((7, 7)));
    }

    #[test]
    fn a_rewritten_record_is_found_between_its_checkpoints() {
        let rewrite = |line: &mut String| *line = line.replace("deny", "allow");
        let first = "records 0 to 4 are not what the checkpoint of 4 records covers";
        let second = "records 4 to 7 are not what the checkpoint of 7 records covers";
        check(|ledger| rewrite(&mut ledger[0]), Err(first));
        check(|ledger| rewrite(&mut ledger[3]), Err(first));
        check(|ledger| rewrite(&mut ledger[4]), Err(second));
        check(|ledger| rewrite(&mut ledger[6]), Err(second));
        // Nobody vouched for the last three.
        check(|ledger| rewrite(&mut ledger[7]), Ok((7, 10)));
        check(|ledger| ledger[5].insert(1, ' '), Err(second));
    }

    #[test]
    fn a_removed_record_is_found() {
        check(|ledger| drop(ledger.remove(2)), Err("record 3 is where record 2 should be"));
        check(
            |ledger| {
                ledger.remove(5);
                renumber(ledger);
            },
            Err("records 4 to 7 are not what the checkpoint of 7 records covers"),
        );
        check(
            |ledger| ledger.truncate(6),
            Err("6 records are left of the 7 that the checkpoint covers"),
        );
        check(Vec::clear, Err("0 records are left of the 4 that the checkpoint covers"));
    }

    #[test]
    fn an_added_or_moved_record_is_found() {
        check(|ledger| ledger.swap(1, 2), Err("record 2 is where record 1 should be"));
        check(
            |ledger| {
                ledger.swap(5, 6);
                renumber(ledger);
            },
            Err("records 4 to 7 are not what the checkpoint of 7 records covers"),
        );
        check(
            |ledger| {
                let copy = ledger[0].clone();
                ledger.insert(0, copy);
                renumber(ledger);
            },
            Err("records 0 to 4 are not what the checkpoint of 4 records covers"),
        );
    }

    #[test]
    fn what_is_no_record_is_found() {
        let found = |text: &[u8]| verify(text, &[]).unwrap_err().to_string();
        assert!(found(b"{}\n").starts_with("record 0 is not readable: "));
        assert!(found(b"\n").starts_with("record 0 is not readable: "));
        let long = vec![b' '; LINE_BYTES_MAX + 1];
        assert_eq!(found(&long), "record 0 is not readable: longer than 4194304 bytes");
    }

    #[test]
    fn a_torn_last_line_is_no_record() {
        let ledger = lines(2);
        let text = format!("{}\n{}", ledger[0], ledger[1]);
        let verified = verify(text.as_bytes(), &[checkpoint(&ledger, 1)]).unwrap();
        assert_eq!((verified.records, verified.covered), (1, 1));
        assert_eq!(verified.torn_bytes, ledger[1].len() as u64);
        assert_eq!(verified.bytes, ledger[0].len() as u64 + 1);
        // But not if a checkpoint covers it.
        assert_eq!(
            verify(text.as_bytes(), &[checkpoint(&ledger, 2)]).unwrap_err().to_string(),
            "1 records are left of the 2 that the checkpoint covers"
        );
    }
}
