//! Reports in the cluster: what the store knows of a namespace as a few objects in it, made when it changed, and not often.
//! How they are written is the business of [`writer`].
//!
//! # Guarantees
//! - A namespace is reported once in [`REPORT_INTERVAL`], however often it changes, and only if reports are served.
//! - No report grows beyond what etcd takes: [`REPORT_RESULTS`], [`REPORT_MESSAGE_CHARS_MAX`]. What is not listed is counted,
//!   and says so.

mod writer;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::audit::plan::ServedKind;
use crate::audit::report::{Flavor, Summary, failure, pass, report};
use crate::audit::store::{Lasting, Store};
use crate::audit::{Finding, Verdict};
use crate::controller::audit::Tools;
use crate::controller::audit::reports::writer::{Reported, Wanted, Writer};
use crate::controller::certificates::labels;
use crate::controller::cluster::Task;
use crate::controller::limits::{
    NAMESPACES_WRITTEN_MAX, REPORT_INTERVAL, REPORT_MESSAGE_CHARS_MAX, REPORT_RESULTS,
    REPORT_RESULTS_MAX, RETRY_INTERVAL_MAX,
};
use crate::controller::status::text::cut;

/// How many results of a namespace are in no report, for whoever reads one.
const UNLISTED: &str = "portcullis.dev/results-not-listed";

/// What is reported, and when.
pub(in crate::controller::audit) struct Reports {
    tools: Tools,
    writing: Option<Writing>,
    /// Namespaces that have to be reported, each from when on.
    due: BTreeMap<Arc<str>, Instant>,
    /// When each was reported last.
    written: HashMap<Arc<str>, Instant>,
    /// Whether it was said that nobody serves them.
    is_unserved: bool,
    /// When to try again to read those that there are.
    retried: Instant,
}

struct Writing {
    wanted: mpsc::Sender<Vec<Reported>>,
    /// Namespaces whose reports are not what was written.
    foreign: mpsc::Receiver<Arc<str>>,
    #[expect(dead_code, reason = "held until it is dropped")]
    task: Task,
}

impl Reports {
    pub fn new(tools: &Tools) -> Reports {
        Reports {
            tools: tools.clone(),
            writing: None,
            due: BTreeMap::new(),
            written: HashMap::new(),
            is_unserved: false,
            retried: Instant::now(),
        }
    }

    /// Begins to write once reports are served, from what is there already.
    pub async fn serve(&mut self, served: &[ServedKind], store: &mut Store) {
        let Some(flavor) = self.tools.options.reports else { return };
        let is_served = |is_namespaced: bool| {
            let (_, resource) = flavor.kind(is_namespaced);
            let is_it = |kind: &ServedKind| {
                (kind.group.as_str(), kind.version.as_str(), kind.resource.as_str())
                    == (flavor.group(), flavor.version(), resource)
            };
            served.iter().any(is_it)
        };
        if !(is_served(true) && is_served(false)) {
            self.writing = None;
            if !served.is_empty() && !std::mem::replace(&mut self.is_unserved, true) {
                let (group, version) = (flavor.group(), flavor.version());
                tracing::warn!(
                    "nobody serves {group}/{version}: findings are in no report, only counted"
                );
            }
            return;
        }
        self.is_unserved = false;
        if self.writing.is_some() || Instant::now() < self.retried {
            return;
        }
        let (wanted, wanted_receiver) = mpsc::channel(1);
        let (foreign_sender, foreign) = mpsc::channel(NAMESPACES_WRITTEN_MAX);
        let Tools { client, metrics, .. } = &self.tools;
        let mut writer = Writer::new(client.clone(), Arc::clone(metrics), flavor, foreign_sender);
        match writer.read().await {
            Ok(remembered) => store.remember(remembered),
            Err(error) => {
                tracing::warn!(%error, "can't read the reports that there are");
                self.retried = Instant::now() + RETRY_INTERVAL_MAX;
                return;
            }
        }
        let now = Instant::now();
        self.due.extend(writer.namespaces().map(|namespace| (namespace, now)));
        self.due.extend(store.namespaces().map(|namespace| (Arc::clone(namespace), now)));
        let task = Task::spawn(writer.write_all(wanted_receiver));
        self.writing = Some(Writing { wanted, foreign, task });
    }

    /// Hands over what has to be written, unless something is being written still.
    pub fn write(&mut self, store: &mut Store, is_complete: bool) {
        let (Some(writing), Some(flavor)) = (&mut self.writing, self.tools.options.reports) else {
            return;
        };
        let now = Instant::now();
        let mut changed = store.take_dirty();
        // Somebody who writes them all the time, or a right that is missing, is no reason to write more often.
        while let Ok(namespace) = writing.foreign.try_recv() {
            changed.push(namespace);
        }
        for namespace in changed {
            let last = self.written.get(&namespace);
            let from = last.map_or(now, |last| now.max(*last + REPORT_INTERVAL));
            self.due.entry(namespace).or_insert(from);
        }
        // What is not complete would take back what was found before.
        if !is_complete {
            return;
        }
        let Ok(free) = writing.wanted.try_reserve() else { return };
        let is_due = |_: &Arc<str>, from: &mut Instant| *from <= now;
        let due = self.due.extract_if(.., is_due).take(NAMESPACES_WRITTEN_MAX);
        let due: Vec<Arc<str>> = due.map(|(namespace, _)| namespace).collect();
        if due.is_empty() {
            return;
        }
        let lists_passes = self.tools.options.lists_passes;
        let reported = due.iter().map(|namespace| {
            let reports = reports_of(store, namespace, flavor, lists_passes);
            Reported { namespace: Arc::clone(namespace), reports }
        });
        free.send(reported.collect());
        self.written.retain(|_, last| *last + REPORT_INTERVAL > now);
        self.written.extend(due.into_iter().map(|namespace| (namespace, now)));
    }
}

/// The reports of a namespace as they should be; none if there is nothing to say of it.
fn reports_of(store: &Store, namespace: &str, flavor: Flavor, lists_passes: bool) -> Vec<Wanted> {
    let summary = store.summary(namespace);
    if summary == Summary::default() {
        return Vec::new();
    }
    let findings = store.findings(namespace).map(|Lasting { finding, since }| {
        let message = cut(&finding.message, REPORT_MESSAGE_CHARS_MAX).into();
        let finding = Finding { message, ..finding };
        (finding.object.name.clone(), finding.verdict, failure(&finding, Some(since)))
    });
    let mut results: Vec<_> = findings.take(REPORT_RESULTS_MAX).collect();
    if lists_passes {
        let all = store.passing(namespace).into_iter().flat_map(|(object, policies)| {
            policies.into_iter().map(move |policy| {
                let result = pass(&object, &policy.name, policy.kind);
                (object.name.clone(), Verdict::Pass, result)
            })
        });
        results.extend(all.take(REPORT_RESULTS_MAX.saturating_sub(results.len())));
    }
    // An object stays in its report when others come and go; only when there get to be twice as many do they move.
    let shards = results.len().div_ceil(REPORT_RESULTS).next_power_of_two().max(1);
    let mut spread: Vec<(Summary, Vec<Json>)> = vec![Default::default(); shards];
    let mut rest = summary;
    for (name, verdict, result) in results {
        let shard = spread.get_mut((place(&name) % shards as u64) as usize);
        let Some((summary, results)) = shard else { continue };
        *summary.of(verdict) += 1;
        *rest.of(verdict) -= 1;
        results.push(result);
    }
    // What is in no list is counted in the first.
    if let Some((first, _)) = spread.first_mut() {
        *first += rest;
    }
    let unlisted = rest.fail + rest.warn + rest.error;
    let named = spread.into_iter().enumerate().map(|(shard, (summary, results))| {
        let name = if shard == 0 { "portcullis".to_owned() } else { format!("portcullis-{shard}") };
        let mut metadata = json!({"name": name, "labels": labels()});
        if let Some(fields) = metadata.as_object_mut() {
            if !namespace.is_empty() {
                fields.insert("namespace".to_owned(), namespace.into());
            }
            if unlisted > 0 {
                let annotations = json!({UNLISTED: unlisted.to_string()});
                fields.insert("annotations".to_owned(), annotations);
            }
        }
        Wanted::new(name, report(flavor, metadata, summary, results))
    });
    named.collect()
}

/// Where an object is put, by its name: the same in every process.
fn place(name: &str) -> u64 {
    let hash = Sha256::digest(name.as_bytes());
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
