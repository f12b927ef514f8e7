//! A dry run of a change: the policies of today and those of tomorrow over the same objects, and what differs.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::audit::plan::Plan;
use crate::audit::{Finding, Verdict};
use crate::cli::audit::baseline::Baseline;
use crate::cli::audit::output::{Format, table};
use crate::cli::audit::places::Places;
use crate::cli::audit::sources::Source;
use crate::cli::audit::survey::Survey;
use crate::cli::audit::tally::{FINDINGS_MAX, Found, Grave, Report, Tally};
use crate::cli::audit::work::{self, Means};
use crate::cli::{Exit, Failure};
use crate::policy::manifest::ManifestError;
use crate::policy::snapshot::Snapshot;

/// What differs.
#[derive(Debug, Default)]
pub struct Compared {
    /// Objects that fail a policy, and do not today.
    pub newly_fail: Vec<Found>,
    /// Objects that fail a policy today, and no more.
    pub newly_pass: Vec<Found>,
    /// Objects that fail a policy in both.
    pub still_fail: u64,
    objects: u64,
    unreadable: Vec<ManifestError>,
}

/// How many differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    newly_fail: u64,
    newly_pass: u64,
}

/// An object and a policy: which rule of it fails does not matter, nor in which API it is written.
type Key = (Arc<str>, u64, String, String);

/// Audits by both sets of policies.
///
/// # Errors
/// If there are more findings than can be compared.
pub fn compare(
    sources: &[Source],
    survey: &Survey,
    [old, new]: [(&Snapshot, &Plan); 2],
    means: Means<'_>,
) -> Result<Compared, Failure> {
    let audit = |(snapshot, plan): (&Snapshot, &Plan)| -> Result<Report, Failure> {
        let mut tally = Tally::new(snapshot, Baseline::default(), Grave::Nothing, false);
        work::audit(sources, survey, (snapshot, plan), means, |done| tally.add(done))?;
        let report = tally.finish(Places::default());
        if report.more > 0 {
            return Err(Failure::new(format!(
                "more than {FINDINGS_MAX} findings can't be compared"
            )));
        }
        Ok(report)
    };
    let (old, new) = (audit(old)?, audit(new)?);
    let mut compared =
        Compared { objects: new.objects, unreadable: new.unreadable, ..Compared::default() };
    let mut before = failing(old.found);
    let mut order: Vec<(Key, Found)> = failing(new.found).into_iter().collect();
    order.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (key, found) in order {
        match before.remove(&key) {
            Some(_) => compared.still_fail += 1,
            None => compared.newly_fail.push(found),
        }
    }
    let mut gone: Vec<(Key, Found)> = before.into_iter().collect();
    gone.sort_by(|(a, _), (b, _)| a.cmp(b));
    compared.newly_pass = gone.into_iter().map(|(_, found)| found).collect();
    Ok(compared)
}

/// The first finding of each policy about each object, warnings left out: they fail nobody.
fn failing(found: Vec<Found>) -> HashMap<Key, Found> {
    let mut failing = HashMap::new();
    for found in found {
        let finding = &found.finding;
        if finding.verdict > Verdict::Warn {
            let object = format!("{} {}", finding.object.api_version, finding.object);
            let key = (Arc::clone(&found.file), found.line, object, finding.policy.name.clone());
            failing.entry(key).or_insert(found);
        }
    }
    failing
}

impl Compared {
    /// How the command ends: with 1 if something newly fails.
    pub fn exit(&self) -> Exit {
        match (self.unreadable.is_empty(), self.newly_fail.is_empty()) {
            (false, _) => Exit::Usage,
            (true, false) => Exit::Findings,
            (true, true) => Exit::Ok,
        }
    }

    fn counts<'c>(&'c self, of: impl Fn(&'c Finding) -> &'c str) -> BTreeMap<&'c str, Counts> {
        let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
        for found in &self.newly_fail {
            counts.entry(of(&found.finding)).or_default().newly_fail += 1;
        }
        for found in &self.newly_pass {
            counts.entry(of(&found.finding)).or_default().newly_pass += 1;
        }
        counts
    }
}

/// The namespace of the object.
fn namespace(finding: &Finding) -> &str {
    &finding.object.namespace
}

/// Who answers questions about the policy.
fn owner(finding: &Finding) -> &str {
    finding.policy.owner.as_deref().unwrap_or_default()
}

/// Writes what differs.
///
/// # Errors
/// If it can't be written, or not in this form.
pub fn write(
    out: &mut dyn Write,
    format: Format,
    compared: &Compared,
    is_terminal: bool,
) -> io::Result<()> {
    match format {
        Format::Table => write_table(out, compared, is_terminal),
        Format::Json => write_json(out, compared),
        _ => Err(io::Error::other("what differs is written as table or json")),
    }
}

fn write_json(out: &mut dyn Write, compared: &Compared) -> io::Result<()> {
    let line = |found: &Found| {
        let Found { finding, file, line, .. } = found;
        json!({"object": finding.object, "policy": finding.policy, "rule": finding.rule,
            "message": finding.message, "file": file, "line": line})
    };
    let all = json!({
        "objects": compared.objects,
        "stillFail": compared.still_fail,
        "newlyFail": compared.newly_fail.iter().map(line).collect::<Vec<_>>(),
        "newlyPass": compared.newly_pass.iter().map(line).collect::<Vec<_>>(),
        "namespaces": compared.counts(namespace),
        "owners": compared.counts(owner),
        "unreadable": compared.unreadable.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)
}

fn write_table(out: &mut dyn Write, compared: &Compared, is_terminal: bool) -> io::Result<()> {
    for (found, what) in
        [(&compared.newly_fail, "newly fails"), (&compared.newly_pass, "newly passes")]
    {
        if found.is_empty() {
            continue;
        }
        let mut rows = table(&["OBJECT", "WHERE", "", "POLICY", "WHY"], is_terminal);
        for Found { finding, file, line, .. } in found {
            rows.add_row([
                finding.object.to_string(),
                format!("{file}:{line}"),
                what.to_owned(),
                finding.policy.name.clone(),
                finding.message.to_string(),
            ]);
        }
        writeln!(out, "{}\n", rows.trim_fmt())?;
    }
    for (title, counts) in
        [("NAMESPACE", compared.counts(namespace)), ("OWNER", compared.counts(owner))]
    {
        if counts.keys().all(|name| name.is_empty()) {
            continue;
        }
        let mut rows = table(&[title, "NEWLY FAIL", "NEWLY PASS"], is_terminal);
        for (name, counts) in counts {
            let name = if name.is_empty() { "-" } else { name };
            rows.add_row([
                name.to_owned(),
                counts.newly_fail.to_string(),
                counts.newly_pass.to_string(),
            ]);
        }
        writeln!(out, "{}\n", rows.trim_fmt())?;
    }
    for error in &compared.unreadable {
        writeln!(out, "error: {error}\n")?;
    }
    writeln!(
        out,
        "{} objects: {} newly fail, {} newly pass, {} fail as before",
        compared.objects,
        compared.newly_fail.len(),
        compared.newly_pass.len(),
        compared.still_fail
    )
}
