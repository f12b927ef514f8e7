//! The writer: reports as they should be, into the cluster, and an eye on whoever else writes them.
//!
//! # Guarantees
//! - What is there already as it should be is not written.
//! - Only reports with our label are touched.
//! - A report that somebody else edited or deleted is told, so that it is written again.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::select;
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Client, Error, ResourceExt};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::audit::report::Flavor;
use crate::audit::store::Remembered;
use crate::controller::certificates::MANAGED;
use crate::controller::cluster::Backoff;
use crate::controller::limits::{REPORT_WRITES_MAX, REPORTS_PAGE, WATCH_SECONDS_MAX};
use crate::controller::registration::FIELD_MANAGER;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Written;

/// A report as it should be.
#[derive(Debug)]
pub(in crate::controller::audit) struct Wanted {
    name: String,
    digest: [u8; 32],
    body: Json,
}

impl Wanted {
    pub fn new(name: String, body: Json) -> Wanted {
        Wanted { name, digest: digest(&body), body }
    }

    #[cfg(test)]
    pub fn body(&self) -> &Json {
        &self.body
    }
}

/// All reports of a namespace; any other of ours in it is to go.
#[derive(Debug)]
pub(in crate::controller::audit) struct Reported {
    pub namespace: Arc<str>,
    pub reports: Vec<Wanted>,
}

/// A report that is there.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Of its content; none if it is not what we wrote.
    digest: Option<[u8; 32]>,
    /// `metadata.resourceVersion` as a number.
    version: u64,
}

pub(in crate::controller::audit) struct Writer {
    client: Client,
    metrics: Arc<Metrics>,
    flavor: Flavor,
    foreign: mpsc::Sender<Arc<str>>,
    /// By namespace and name.
    known: HashMap<(Arc<str>, String), Known>,
}

impl Writer {
    pub fn new(
        client: Client,
        metrics: Arc<Metrics>,
        flavor: Flavor,
        foreign: mpsc::Sender<Arc<str>>,
    ) -> Writer {
        Writer { client, metrics, flavor, foreign, known: HashMap::new() }
    }

    /// The namespaces with reports that are there.
    pub fn namespaces(&self) -> impl Iterator<Item = Arc<str>> {
        self.known.keys().map(|(namespace, _)| Arc::clone(namespace))
    }

    /// Reads the reports that are there, and since when what is in them was found.
    ///
    /// # Errors
    /// If they can't be listed.
    pub async fn read(&mut self) -> Result<Remembered, Error> {
        let mut remembered = Remembered::new();
        for is_namespaced in [true, false] {
            let api = self.everywhere(is_namespaced);
            let mut params = ListParams::default().labels(MANAGED).limit(REPORTS_PAGE);
            loop {
                let page = api.list(&params).await?;
                for report in &page.items {
                    let known =
                        Known { digest: Some(digest(&report.data)), version: version(report) };
                    self.known.insert(key(report), known);
                    remember(&report.data, &mut remembered);
                }
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params = params.continue_token(&token),
                    None => break,
                }
            }
        }
        Ok(remembered)
    }

    /// Writes what is wanted, until nobody wants anything any more.
    pub async fn write_all(mut self, mut wanted: mpsc::Receiver<Vec<Reported>>) {
        let config = watcher::Config::default().labels(MANAGED).timeout(WATCH_SECONDS_MAX);
        let events = |is_namespaced| {
            let (client, resource) = (self.client.clone(), resource(self.flavor, is_namespaced));
            let reports: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, &resource);
            let events = watch_objects(reports, config.clone());
            events.backoff(Backoff::default()).boxed()
        };
        let mut events = pin!(select(events(true), events(false)));
        loop {
            tokio::select! {
                reported = wanted.recv() => match reported {
                    Some(reported) => self.write(reported).await,
                    None => return,
                },
                Some(event) = events.next() => match event {
                    Ok(Event::Apply(report) | Event::InitApply(report)) => self.see(&report),
                    Ok(Event::Delete(report)) => self.miss(&report),
                    Ok(Event::Init | Event::InitDone) => {}
                    Err(error) => {
                        self.metrics.watch_failure();
                        tracing::warn!(%error, "whether somebody edits reports is not seen now");
                    }
                },
            }
        }
    }

    async fn write(&mut self, reported: Vec<Reported>) {
        let mut stale = Vec::new();
        let mut fresh = Vec::new();
        for Reported { namespace, reports } in reported {
            let is_wanted = |name: &String| reports.iter().any(|report| report.name == *name);
            let here = self.known.keys().filter(|(place, _)| *place == namespace);
            stale.extend(here.filter(|(_, name)| !is_wanted(name)).cloned());
            let is_there = |report: &Wanted| {
                let known = self.known.get(&(Arc::clone(&namespace), report.name.clone()));
                known.is_some_and(|known| known.digest == Some(report.digest))
            };
            let missing = reports.into_iter().filter(|report| !is_there(report));
            fresh.extend(missing.map(|report| (Arc::clone(&namespace), report)));
        }
        let this = &*self;
        let deleting = stale.into_iter().map(async |key| {
            let result = this.api(&key.0).delete(&key.1, &DeleteParams::default()).await;
            (key, None, result.map(|_| 0))
        });
        let applying = fresh.into_iter().map(async |(namespace, Wanted { name, digest, body })| {
            let params = PatchParams::apply(FIELD_MANAGER).force();
            let result = this.api(&namespace).patch(&name, &params, &Patch::Apply(&body)).await;
            ((namespace, name), Some(digest), result.map(|report| version(&report)))
        });
        let deleted: Vec<_> =
            futures::stream::iter(deleting).buffer_unordered(REPORT_WRITES_MAX).collect().await;
        let applied: Vec<_> =
            futures::stream::iter(applying).buffer_unordered(REPORT_WRITES_MAX).collect().await;
        for (key, digest, result) in deleted.into_iter().chain(applied) {
            self.written(key, digest, result);
        }
    }

    fn written(
        &mut self,
        key: (Arc<str>, String),
        digest: Option<[u8; 32]>,
        result: Result<u64, Error>,
    ) {
        match result {
            Ok(version) => {
                self.metrics.written(Written::Report, true);
                match digest {
                    Some(_) => drop(self.known.insert(key, Known { digest, version })),
                    None => drop(self.known.remove(&key)),
                }
            }
            // Its namespace is going, or gone, and takes it along; or it was gone already.
            Err(Error::Api(status)) if is_going(&status) => drop(self.known.remove(&key)),
            Err(error) => {
                self.metrics.written(Written::Report, false);
                let (namespace, name) = (&*key.0, &key.1);
                tracing::warn!(namespace, name, %error, "can't write the report");
                // It comes again when the namespace may be reported again.
                self.tell(&key.0);
            }
        }
    }

    /// A report was written by somebody.
    fn see(&mut self, report: &PartialObjectMeta<DynamicObject>) {
        let (key, version) = (key(report), version(report));
        match self.known.get_mut(&key) {
            // That was us, or whatever we have written over since.
            Some(known) if version <= known.version => {}
            Some(known) => {
                *known = Known { digest: None, version };
                self.foreign(&key);
            }
            None => {
                self.known.insert(key.clone(), Known { digest: None, version });
                self.foreign(&key);
            }
        }
    }

    /// A report was deleted by somebody. If it was us, it is not known any more.
    fn miss(&mut self, report: &PartialObjectMeta<DynamicObject>) {
        let key = key(report);
        if self.known.remove(&key).is_some() {
            self.foreign(&key);
        }
    }

    fn foreign(&self, key: &(Arc<str>, String)) {
        self.metrics.report_edited();
        let (namespace, name) = (&*key.0, &key.1);
        tracing::warn!(namespace, name, "somebody else wrote the report: it is written again");
        self.tell(&key.0);
    }

    fn tell(&self, namespace: &Arc<str>) {
        // If too many wait, what changes next in the namespace brings it about.
        let _ = self.foreign.try_send(Arc::clone(namespace));
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        if namespace.is_empty() {
            return self.everywhere(false);
        }
        let resource = resource(self.flavor, true);
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    fn everywhere(&self, is_namespaced: bool) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource(self.flavor, is_namespaced))
    }
}

fn resource(flavor: Flavor, is_namespaced: bool) -> ApiResource {
    let (kind, plural) = flavor.kind(is_namespaced);
    ApiResource {
        group: flavor.group().to_owned(),
        version: flavor.version().to_owned(),
        api_version: format!("{}/{}", flavor.group(), flavor.version()),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

fn key(report: &impl ResourceExt) -> (Arc<str>, String) {
    (report.namespace().unwrap_or_default().into(), report.name_any())
}

fn version(report: &impl ResourceExt) -> u64 {
    report.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}

fn is_going(status: &kube::core::Status) -> bool {
    status.code == 404
        || (status.code == 403 && status.message.contains("because it is being terminated"))
}

/// The hash of what a report says, in whatever order its fields are.
fn digest(body: &Json) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in ["summary", "results"] {
        let mut text = String::new();
        in_order(body.get(part).unwrap_or(&Json::Null), &mut text);
        hasher.update(text);
    }
    hasher.finalize().into()
}

fn in_order(value: &Json, text: &mut String) {
    match value {
        Json::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            for (name, value) in fields {
                text.push_str(name);
                text.push('=');
                in_order(value, text);
            }
            text.push('}');
        }
        Json::Array(elements) => {
            for element in elements {
                in_order(element, text);
            }
            text.push(']');
        }
        plain => {
            text.push_str(&plain.to_string());
            text.push(',');
        }
    }
}

/// Since when the results of a report are what they are.
fn remember(report: &Json, remembered: &mut Remembered) {
    let results = report.get("results").and_then(Json::as_array).into_iter().flatten();
    for result in results {
        let text = |pointer: &str| {
            result.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned()
        };
        let number = |pointer: &str| result.pointer(pointer).and_then(Json::as_i64);
        let since = number("/timestamp/seconds").and_then(|seconds| {
            let nanos = number("/timestamp/nanos").unwrap_or_default() as i32;
            Timestamp::new(seconds, nanos).ok()
        });
        let key = (
            text("/properties/policyKind"),
            text("/policy"),
            text("/rule"),
            text("/resources/0/uid"),
        );
        if let Some(since) = since {
            remembered.insert(key, since);
        }
    }
}
