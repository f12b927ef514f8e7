//! The ledger on a real disk and on one that fails.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::entry::{Body, Record, sample};
use crate::ledger::merkle::Frontier;
use crate::ledger::store::{Ledger, OpenError, Opened, QUEUE_MAX, Storage, Totals, verify_folder};
use crate::ledger::verify::verify;

const ORIGIN: &str = "portcullis.dev/ledger/test";

/// A folder that is gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("portcullis-ledger-{name}-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        let _ = fs::remove_dir_all(&folder.0);
        folder
    }

    fn records(&self) -> String {
        fs::read_to_string(self.0.join("records.jsonl")).unwrap()
    }

    fn write(&self, records: &str) {
        fs::write(self.0.join("records.jsonl"), records).unwrap();
    }

    fn checkpoint(&self) -> Checkpoint {
        let text = fs::read_to_string(self.0.join("checkpoint")).unwrap();
        Checkpoint::parse(&text).unwrap()
    }

    fn open(&self) -> Result<(Ledger, Opened), OpenError> {
        Ledger::open(&self.0, ORIGIN)
    }

    /// Records so many decisions, and closes the ledger.
    fn fill(&self, entries: u32) -> Opened {
        let (ledger, opened) = self.open().unwrap();
        for uid in 0..entries {
            assert!(ledger.record(sample(uid)));
        }
        opened
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_ledger_goes_on_where_it_ended() {
    let folder = Folder::new("goes-on");
    assert_eq!(folder.fill(5), Opened { records: 0, torn_bytes: 0 });
    let first = folder.checkpoint();
    assert_eq!(folder.fill(3_000), Opened { records: 5, torn_bytes: 0 });
    let second = folder.checkpoint();
    assert_eq!((first.size, second.size), (5, 3_005));
    let verified = verify(folder.records().as_bytes(), &[first, second]).unwrap();
    assert_eq!((verified.covered, verified.records), (3_005, 3_005));
}

#[test]
fn a_ledger_in_use_can_be_verified() {
    let folder = Folder::new("in-use");
    folder.fill(5);
    let kept = folder.checkpoint();
    let in_use = folder.open().unwrap();
    let check = |kept: &[Checkpoint]| verify_folder(&folder.0, ORIGIN, kept).map(|v| v.covered);
    assert_eq!(check(&[]).unwrap(), 5);
    assert_eq!(check(std::slice::from_ref(&kept)).unwrap(), 5);
    // Somebody wrote both files again, and forgot that a checkpoint was kept.
    drop(in_use);
    fs::remove_dir_all(&folder.0).unwrap();
    folder.fill(6);
    folder.write(&folder.records().replace("alice", "mallory"));
    fs::remove_file(folder.0.join("checkpoint")).unwrap();
    assert_eq!(check(&[]).unwrap(), 0);
    let error = check(&[kept]).unwrap_err().to_string();
    assert!(error.ends_with("records 0 to 5 are not what the checkpoint of 5 records covers"));
}

#[test]
fn a_torn_last_line_is_cut_off() {
    let folder = Folder::new("torn");
    folder.fill(3);
    let whole = folder.records();
    let next = Record { index: 3, body: Body::Decision(Box::new(sample(3))) }.line();
    for torn in [1, 40, next.len()] {
        folder.write(&format!("{whole}{}", &next[..torn]));
        assert_eq!(folder.fill(0), Opened { records: 3, torn_bytes: torn as u64 });
        assert_eq!(folder.records(), whole);
    }
    folder.write(&format!("{whole}{}", &next[..40]));
    folder.fill(1);
    assert_eq!(verify(folder.records().as_bytes(), &[folder.checkpoint()]).unwrap().covered, 4);
}

#[test]
fn a_ledger_that_was_changed_is_not_opened_and_not_touched() {
    let folder = Folder::new("changed");
    folder.fill(4);
    let whole = folder.records();
    let checkpoint = fs::read(folder.0.join("checkpoint")).unwrap();
    let check = |records: &str, expect: &str| {
        folder.write(records);
        let error = folder.open().unwrap_err();
        assert!(matches!(&error, OpenError::Tampered { .. }), "{error:?}");
        assert!(error.to_string().ends_with(expect), "{error}");
        assert_eq!(folder.records(), records);
        assert_eq!(fs::read(folder.0.join("checkpoint")).unwrap(), checkpoint);
    };
    check(
        &whole.replacen("alice", "mallory", 1),
        "records 0 to 4 are not what the checkpoint of 4 records covers",
    );
    let torn = &whole[..whole.len() - 1];
    check(torn, "3 records are left of the 4 that the checkpoint covers");
    check("", "0 records are left of the 4 that the checkpoint covers");
}

#[test]
fn a_ledger_of_another_or_in_use_is_not_opened() {
    let folder = Folder::new("other");
    folder.fill(1);
    let error = Ledger::open(&folder.0, "else").unwrap_err();
    assert!(error.to_string().ends_with(&format!("is of `{ORIGIN}`, not of `else`")), "{error}");
    let open = folder.open().unwrap();
    assert!(matches!(folder.open(), Err(OpenError::InUse(_))));
    drop(open);
    folder.open().unwrap();
    fs::write(folder.0.join("checkpoint"), "x").unwrap();
    assert!(matches!(folder.open(), Err(OpenError::Checkpoint { .. })));
}

/// A disk that does what it is told: each append takes the next answer, and waits for it.
struct Told {
    asked: Sender<()>,
    answers: Receiver<bool>,
    appended: Sender<String>,
}

impl Storage for Told {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let _ = self.asked.send(());
        if self.answers.recv().unwrap_or(false) {
            self.appended.send(String::from_utf8(lines.to_vec()).unwrap()).unwrap();
            Ok(())
        } else {
            Err(io::Error::other("disk full"))
        }
    }

    fn checkpoint(&mut self, _: &Checkpoint) -> io::Result<()> {
        Ok(())
    }
}

struct Teller {
    asked: Receiver<()>,
    answer: Sender<bool>,
    lines: Receiver<String>,
}

fn told() -> (Ledger, Teller) {
    let (ask, asked) = channel();
    let (answer, answers) = channel();
    let (appended, lines) = channel();
    let disk = Told { asked: ask, answers, appended };
    let ledger = Ledger::start(disk, Frontier::default(), ORIGIN);
    (ledger, Teller { asked, answer, lines })
}

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_full_queue_loses_entries_and_the_ledger_says_so() {
    let (ledger, Teller { asked, answer, lines }) = told();
    assert!(ledger.record(sample("waits for the disk")));
    asked.recv_timeout(SOON).unwrap();
    for uid in 0..QUEUE_MAX {
        assert!(ledger.record(sample(uid)));
    }
    assert!(!ledger.record(sample("lost")) && !ledger.record(sample("lost too")));
    assert_eq!(ledger.totals(), Totals { written: 0, lost: 2, failed: 0 });
    for _ in 0..100 {
        answer.send(true).unwrap();
    }
    drop(ledger);
    let records: Vec<Record> = lines
        .iter()
        .flat_map(|lines| lines.lines().map(str::to_owned).collect::<Vec<_>>())
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    let gaps = records.iter().filter_map(|record| match record.body {
        Body::Gap { lost } => Some(lost),
        Body::Decision(_) => None,
    });
    assert_eq!(gaps.sum::<u64>(), 2);
    assert!(records.iter().enumerate().all(|(at, record)| record.index == at as u64));
    let decisions = records.iter().filter(|record| matches!(record.body, Body::Decision(_)));
    assert_eq!(decisions.count(), QUEUE_MAX + 1);
}

#[test]
fn a_failed_write_is_tried_again() {
    let (ledger, Teller { answer, lines, .. }) = told();
    answer.send(false).unwrap();
    answer.send(true).unwrap();
    assert!(ledger.record(sample("a")));
    assert_eq!(lines.recv_timeout(SOON).unwrap().lines().count(), 1);
    answer.send(true).unwrap();
    assert!(ledger.record(sample("b")));
    assert!(lines.recv_timeout(SOON).unwrap().starts_with(r#"{"index":1,"#));
    assert_eq!(ledger.totals().failed, 1);
    assert_eq!(ledger.totals().lost, 0);
}

#[test]
fn a_closed_ledger_gives_up_on_a_disk_that_fails() {
    let (ledger, Teller { answer, lines, .. }) = told();
    assert!(ledger.record(sample("a")));
    let counts = ledger.counts.clone();
    drop(answer);
    drop(ledger);
    assert_eq!(counts.lost.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(lines.try_recv().is_err());
}
