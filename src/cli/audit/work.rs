//! The work: one thread reads pieces, all cores make objects of them and ask the policies, and whoever asked gets the
//! results in the order of the files.
//!
//! # Guarantees
//! What is on its way has at most [`FLIGHT_BYTES_MAX`] bytes of text, however long the files are and however slow whoever takes
//! the results is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::admission::{Facts, NamespaceObject, Need, ROUNDS_MAX};
use crate::audit::plan::Plan;
use crate::audit::report::Summary;
use crate::audit::{Auditor, Chosen, Examined, Existing, Finding, ObjectRef};
use crate::cel::Arena;
use crate::cli::Failure;
use crate::cli::audit::kinds::Plurals;
use crate::cli::audit::sources::Source;
use crate::cli::audit::survey::Survey;
use crate::cli::images::Verifier;
use crate::controller::now;
use crate::policy::compile::Policy;
use crate::policy::manifest::{ManifestError, Piece, Placed};
use crate::policy::request::Operation;
use crate::policy::snapshot::Snapshot;

/// Bytes of text that are read, worked on, or wait to be taken. One piece may be longer, and is then alone.
const FLIGHT_BYTES_MAX: usize = 24 << 20;

/// Bytes of text that one worker takes at a time: some fifty Pods, so that handing over costs nothing.
const BATCH_BYTES: usize = 256 << 10;

/// Batches that wait for a worker. The bytes are counted elsewhere; this only keeps small ones from piling up.
const BATCHES_MAX: usize = 64;

/// Facts that one worker remembers: namespaces, more than a cluster has, and images that it knows nothing of.
const FACTS_MAX: usize = 20_000;

/// The most threads: beyond it, reading is what takes the time.
const THREADS_MAX: usize = 64;

/// What came of a part of a file.
#[derive(Debug, Default)]
pub struct Done {
    /// The name of the file; empty for what came from a cluster.
    pub file: Arc<str>,
    /// Whether the objects are there already, in another version.
    pub is_again: bool,
    /// Bytes of text.
    pub bytes: u64,
    /// What was found in it, in order.
    pub objects: Vec<Object>,
    /// How many of the objects each policy says what about.
    pub policies: HashMap<PolicyId, Summary>,
    /// What could not be read.
    pub unreadable: Vec<ManifestError>,
}

/// A policy of the snapshot that is asked: its place in memory, which costs nothing to look up a million times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PolicyId(usize);

impl PolicyId {
    /// That of a policy.
    pub fn of(policy: &Policy) -> PolicyId {
        PolicyId(std::ptr::from_ref(policy).addr())
    }
}

/// An object, and what policies say about it.
#[derive(Debug)]
pub struct Object {
    /// What it is called.
    pub called: Arc<ObjectRef>,
    /// The line on which it begins.
    pub line: u64,
    /// How many policies say what.
    pub summary: Summary,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Why no policy could be asked, if so.
    pub trouble: Option<String>,
}

/// By what means objects are asked about.
#[derive(Clone, Copy, Debug)]
pub struct Means<'m> {
    /// How many threads work; as many as there are cores, if nothing is said.
    pub threads: Option<usize>,
    /// Who asks registries; nobody, if nothing is known of images.
    pub images: Option<&'m Verifier>,
}

/// Asks all policies about all objects: about those of a cluster as the plan has it.
///
/// # Errors
/// The first that `take` answers with.
pub fn audit<'s>(
    sources: &[Source],
    survey: &Survey,
    (snapshot, plan): (&'s Snapshot, &'s Plan),
    means: Means<'_>,
    mut take: impl FnMut(Done) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let auditor = Auditor::new(snapshot);
    let cores = || thread::available_parallelism().map_or(1, NonZero::get);
    let threads = means.threads.unwrap_or_else(cores).clamp(1, THREADS_MAX);
    let images = means.images;
    let flight = Flight::default();
    let (batches, waiting) = sync_channel::<Batch<'s>>(BATCHES_MAX);
    let (results, done) = sync_channel::<(usize, usize, Done)>(BATCHES_MAX);
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        let (flight, waiting, auditor) = (&flight, &waiting, &auditor);
        scope.spawn(move || read(sources, plan, flight, &batches));
        for _ in 0..threads {
            let results = results.clone();
            let worker = Worker { snapshot, survey, auditor, images };
            scope.spawn(move || work(waiting, &worker, &results));
        }
        drop(results);
        let mut next = 0;
        let mut early = BTreeMap::new();
        let mut taken = Ok(());
        for (number, bytes, result) in done {
            early.insert(number, (bytes, result));
            while let Some((bytes, result)) = early.remove(&next) {
                next += 1;
                if taken.is_ok() {
                    taken = take(result);
                }
                flight.land(bytes);
            }
        }
        taken
    })
}

/// Some pieces of a file.
struct Batch<'s> {
    number: usize,
    file: Arc<str>,
    /// The policies that are asked, if it is of a cluster.
    chosen: Option<&'s Chosen>,
    is_again: bool,
    pieces: Vec<Result<Piece, ManifestError>>,
    bytes: usize,
}

/// How many bytes are on their way.
#[derive(Default)]
struct Flight {
    bytes: Mutex<usize>,
    landed: Condvar,
}

impl Flight {
    /// Waits until there is room. What is too long for all the room waits until nothing else is on its way.
    fn start(&self, bytes: usize) {
        let full = |flying: &mut usize| *flying > 0 && *flying + bytes > FLIGHT_BYTES_MAX;
        let flying = self.landed.wait_while(lock(&self.bytes), full);
        *flying.unwrap_or_else(PoisonError::into_inner) += bytes;
    }

    fn land(&self, bytes: usize) {
        *lock(&self.bytes) -= bytes;
        self.landed.notify_all();
    }
}

/// A number can't be left half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads all files. Ends early if nobody takes the batches.
fn read<'s>(sources: &[Source], plan: &'s Plan, flight: &Flight, batches: &SyncSender<Batch<'s>>) {
    let mut number = 0;
    let mut listed = HashSet::new();
    for source in sources {
        let (mut chosen, mut is_again) = (None, false);
        if let Some(kind) = source.kind() {
            chosen = plan.get(kind);
            // It is there for another plan.
            if chosen.is_none() {
                continue;
            }
            is_again = !listed.insert((&kind.group, &kind.resource));
        }
        let mut send = |pieces: Vec<Result<Piece, ManifestError>>, bytes: usize| {
            flight.start(bytes);
            let file = Arc::clone(&source.name);
            let batch = Batch { number, file, chosen, is_again, pieces, bytes };
            number += 1;
            batches.send(batch).is_ok()
        };
        let pieces = match source.pieces() {
            Ok(pieces) => pieces,
            Err(error) => {
                let error = ManifestError::new(&source.name, (0, 0), error.to_string());
                if send(vec![Err(error)], 0) {
                    continue;
                }
                return;
            }
        };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for piece in pieces {
            bytes += piece.as_ref().map_or(0, |piece| piece.text.len());
            batch.push(piece);
            if bytes >= BATCH_BYTES && !send(std::mem::take(&mut batch), std::mem::take(&mut bytes))
            {
                return;
            }
        }
        if !batch.is_empty() && !send(batch, bytes) {
            return;
        }
    }
}

/// What a worker needs.
#[derive(Clone, Copy)]
struct Worker<'w, 's> {
    snapshot: &'s Snapshot,
    survey: &'w Survey,
    auditor: &'w Auditor<'s>,
    images: Option<&'w Verifier>,
}

/// What a worker keeps from one object to the next.
#[derive(Default)]
struct Kept {
    facts: Facts,
    known: usize,
    plurals: Plurals,
    arena: Arena,
}

fn work<'s>(
    waiting: &Mutex<Receiver<Batch<'s>>>,
    worker: &Worker<'_, 's>,
    results: &SyncSender<(usize, usize, Done)>,
) {
    let mut kept = Kept::default();
    loop {
        let Ok(batch) = lock(waiting).recv() else { return };
        let Batch { number, file, chosen, is_again, pieces, bytes } = batch;
        let mut done = Done { bytes: bytes as u64, is_again, ..Done::default() };
        let mut auditor = worker.auditor.clone();
        if let Some(chosen) = chosen {
            auditor = auditor.only(chosen);
        }
        let worker = Worker { auditor: &auditor, ..*worker };
        for piece in pieces {
            match piece.and_then(|piece| piece.objects(&file)) {
                Ok(objects) => {
                    for placed in &objects {
                        let object = worker.examine(placed, &mut kept, &mut done.policies);
                        done.objects.push(object);
                    }
                }
                Err(error) => done.unreadable.push(error),
            }
        }
        if chosen.is_none() {
            done.file = file;
        } else {
            // The pages of a cluster have lines that nobody can look at.
            done.objects.iter_mut().for_each(|object| object.line = 0);
        }
        if results.send((number, bytes, done)).is_err() {
            return;
        }
    }
}

impl<'s> Worker<'_, 's> {
    fn examine(
        &self,
        placed: &Placed,
        kept: &mut Kept,
        policies: &mut HashMap<PolicyId, Summary>,
    ) -> Object {
        let root = placed.document.root();
        let served = self.survey.kinds.served(root, &mut kept.plurals);
        let mut object = Object {
            called: Arc::default(),
            line: placed.line,
            summary: Summary::default(),
            findings: Vec::new(),
            trouble: None,
        };
        let existing = match Existing::new(root, served) {
            Ok(existing) => existing,
            Err(error) => {
                object.trouble = Some(error.to_string());
                return object;
            }
        };
        object.called = Arc::new(ObjectRef::of(&existing));
        match self.ask(&existing, &mut kept.facts, &mut kept.known, &mut kept.arena) {
            Ok(examined) => {
                object.findings = self.auditor.findings(&examined, &object.called);
                for answer in &examined.answers {
                    let summary = policies.entry(PolicyId::of(answer.policy)).or_default();
                    *summary.of(answer.verdict) += 1;
                    *object.summary.of(answer.verdict) += 1;
                }
                object.trouble = examined.trouble;
            }
            Err(need) => object.trouble = Some(format!("{need} is not known")),
        }
        object
    }

    fn ask(
        &self,
        existing: &Existing<'_>,
        facts: &mut Facts,
        kept: &mut usize,
        arena: &mut Arena,
    ) -> Result<Examined<'s>, Need> {
        if *kept > FACTS_MAX {
            *facts = Facts::new();
            *kept = 0;
        }
        for _ in 0..ROUNDS_MAX {
            match self.auditor.examine(existing, facts, arena) {
                Err(Need::Images(needed)) => {
                    *kept += 1 + needed.images.len();
                    match self.images {
                        Some(verifier) => {
                            let request = existing.request(Operation::Create);
                            verifier.verify(&request, &Need::Images(needed), facts);
                        }
                        None => {
                            facts.add_unknown(&needed, "no registry is asked here");
                            facts.add_now(now());
                        }
                    }
                }
                Err(Need::Namespace(name)) => {
                    *kept += 1;
                    let known = self.snapshot.namespace(&name).cloned();
                    let namespace = known.unwrap_or_else(|| NamespaceObject::named(&name));
                    facts.add_namespace(&name, Some(namespace));
                }
                answer => return answer,
            }
        }
        Err(Need::Namespace(existing.namespace().to_owned()))
    }
}
