//! What is kept of an audit: counts of everything, and findings up to a limit. What is written of it is not known here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::audit::report::Summary;
use crate::audit::{Auditor, Finding, PolicyRef, Verdict};
use crate::cli::audit::baseline::{self, Baseline, Identity};
use crate::cli::audit::places::Places;
use crate::cli::audit::work::{Done, PolicyId};
use crate::cli::{Exit, Failure};
use crate::policy::api::Severity;
use crate::policy::compile::Policy;
use crate::policy::manifest::ManifestError;
use crate::policy::snapshot::Snapshot;

/// Findings that are kept to be written: as many as a person or a code scanner takes in, in some 100 MiB. More are counted.
pub const FINDINGS_MAX: usize = 200_000;

/// Identities that a baseline may have, each of which takes 32 bytes.
pub const IDENTITIES_MAX: usize = 2_000_000;

/// Things that can't be read, which are told. More are counted.
const UNREADABLE_MAX: usize = 100;

/// What makes the command end with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grave {
    /// Failures and errors of any severity; warnings don't.
    Failures,
    /// Those of this severity and worse.
    From(Severity),
    /// Nothing.
    Nothing,
}

/// A finding, and where its object stands.
#[derive(Debug)]
pub struct Found {
    /// The finding.
    pub finding: Finding,
    /// The file; empty for what came from a cluster.
    pub file: Arc<str>,
    /// The line on which the object begins; 0 if there is none.
    pub line: u64,
    /// Whether the baseline knows it.
    pub known: bool,
}

/// What one policy says, in counts.
#[derive(Debug)]
pub struct PolicyTally {
    /// The policy.
    pub policy: Arc<PolicyRef>,
    /// How many objects it says what about.
    pub summary: Summary,
}

/// An audit that goes on.
#[derive(Debug)]
pub struct Tally {
    report: Report,
    /// Where each policy is in the report.
    policies: HashMap<PolicyId, usize>,
    baseline: Baseline,
    grave: Grave,
    wants_identities: bool,
}

/// What came of an audit.
#[derive(Debug, Default)]
pub struct Report {
    /// The findings, in the order of the files, as many as are kept.
    pub found: Vec<Found>,
    /// How many more there are.
    pub more: u64,
    /// The answers of all policies about all objects.
    pub summary: Summary,
    /// The same by namespace; what is in none is in the empty one.
    pub namespaces: BTreeMap<String, Summary>,
    /// The same by policy, by name.
    pub policies: Vec<PolicyTally>,
    /// How many objects there were, and how many at least one policy is about.
    pub objects: u64,
    /// See above.
    pub covered: u64,
    /// Findings that the baseline knows.
    pub known: u64,
    /// Findings that make the command fail.
    pub grave: u64,
    /// The policies that can't be asked about what exists, with the reason.
    pub left_out: Vec<(String, String)>,
    /// What could not be read, and objects about which nobody could be asked.
    pub unreadable: Vec<ManifestError>,
    /// How many more there are.
    pub more_unreadable: u64,
    /// What a baseline would have.
    pub identities: BTreeSet<Identity>,
    /// Where policies stand.
    pub places: Places,
}

impl Tally {
    /// Nothing yet. `wants_identities`: whether a baseline is written.
    pub fn new(
        snapshot: &Snapshot,
        baseline: Baseline,
        grave: Grave,
        wants_identities: bool,
    ) -> Tally {
        let auditor = Auditor::new(snapshot);
        let mut refs: Vec<Arc<PolicyRef>> = auditor.policies().cloned().collect();
        refs.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
        let place = |policy: &Policy| {
            refs.iter().position(|r| r.name == policy.name && r.kind == policy.kind_name())
        };
        let places = snapshot.policies().map(|bound| &*bound.policy);
        let places = places.filter_map(|policy| Some((PolicyId::of(policy), place(policy)?)));
        let policies = places.collect();
        let empty = |policy| PolicyTally { policy, summary: Summary::default() };
        let left_out = auditor.left_out().into_iter();
        let left_out = left_out.map(|(bound, why)| {
            (format!("{} {}", bound.policy.kind_name(), bound.policy.name), why.to_string())
        });
        let report = Report {
            policies: refs.into_iter().map(empty).collect(),
            left_out: left_out.collect(),
            ..Report::default()
        };
        Tally { report, policies, baseline, grave, wants_identities }
    }

    /// Adds what came of a part of a file.
    ///
    /// # Errors
    /// If a baseline would be longer than it may be.
    pub fn add(&mut self, done: Done) -> Result<(), Failure> {
        for error in done.unreadable {
            self.unreadable(error);
        }
        for (policy, summary) in done.policies {
            let place = self.policies.get(&policy).and_then(|at| self.report.policies.get_mut(*at));
            if let Some(tally) = place {
                tally.summary += summary;
            }
        }
        for object in done.objects {
            let report = &mut self.report;
            report.objects += u64::from(!done.is_again);
            let is_covered = object.summary.total() > 0;
            report.covered += u64::from(is_covered && !done.is_again);
            report.summary += object.summary;
            match report.namespaces.get_mut(&object.called.namespace) {
                Some(known) => *known += object.summary,
                None => {
                    report.namespaces.insert(object.called.namespace.clone(), object.summary);
                }
            }
            for finding in object.findings {
                self.found(finding, &done.file, object.line)?;
            }
            if let Some(trouble) = object.trouble {
                let message = format!("{}: {trouble}", object.called);
                self.unreadable(ManifestError::new(&done.file, (object.line, 1), message));
            }
        }
        Ok(())
    }

    fn found(&mut self, finding: Finding, file: &Arc<str>, line: u64) -> Result<(), Failure> {
        let is_grave = self.grave.includes(&finding);
        let needs_identity = self.wants_identities || !self.baseline.is_empty();
        let identity = needs_identity.then(|| baseline::identity(&finding));
        let known = identity.is_some_and(|identity| self.baseline.knows(&identity));
        let report = &mut self.report;
        if let Some(identity) = identity.filter(|_| self.wants_identities) {
            report.identities.insert(identity);
            if report.identities.len() > IDENTITIES_MAX {
                return Err(Failure::new(format!(
                    "more than {IDENTITIES_MAX} findings: too many for a baseline"
                )));
            }
        }
        report.known += u64::from(known);
        report.grave += u64::from(is_grave && !known);
        if report.found.len() < FINDINGS_MAX {
            report.found.push(Found { finding, file: Arc::clone(file), line, known });
        } else {
            report.more += 1;
        }
        Ok(())
    }

    fn unreadable(&mut self, error: ManifestError) {
        if self.report.unreadable.len() < UNREADABLE_MAX {
            self.report.unreadable.push(error);
        } else {
            self.report.more_unreadable += 1;
        }
    }

    /// All of it.
    pub fn finish(self, places: Places) -> Report {
        Report { places, ..self.report }
    }
}

impl Grave {
    fn includes(self, finding: &Finding) -> bool {
        match self {
            Grave::Failures => finding.verdict > Verdict::Warn,
            Grave::From(least) => finding.policy.severity.unwrap_or(Severity::Medium) >= least,
            Grave::Nothing => false,
        }
    }
}

impl Report {
    /// The findings that the baseline does not know.
    pub fn new_ones(&self) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(|found| !found.known)
    }

    /// How the command ends.
    pub fn exit(&self) -> Exit {
        match (self.unreadable.is_empty(), self.grave) {
            (false, _) => Exit::Usage,
            (true, 0) => Exit::Ok,
            (true, _) => Exit::Findings,
        }
    }

    /// Writes everything that was found to be a baseline.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write_baseline(&self, file: &Path) -> Result<(), Failure> {
        baseline::write(file, &self.identities)
    }
}
