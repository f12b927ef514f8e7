//! One audit, from the moment this replica leads: what is watched, who is asked about what, and when that is reported.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::ApiResource;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::admission::Facts;
use crate::audit::plan::{Plan, ServedKind, plan};
use crate::audit::report::{Summary, word};
use crate::audit::store::{GroupResource, Remembered, Seen, Store, Totals};
use crate::audit::{Auditor, Chosen, Existing, ObjectRef, PolicyRef, Served};
use crate::cel::Arena;
use crate::controller::audit::Tools;
use crate::controller::audit::again::{Again, Waiting, join};
use crate::controller::audit::events::Events;
use crate::controller::audit::fetch::{self, Doubtful};
use crate::controller::audit::judge::{Changes, Judge, common, is_outside};
use crate::controller::audit::left_out::LeftOut;
use crate::controller::audit::reports::Reports;
use crate::controller::audit::source::{Heard, SourceId, Sources};
use crate::controller::audit::unreadable::Unreadable;
use crate::controller::cluster::{Discovered, Inventory, Item, Task, resource};
use crate::controller::limits::{AUDIT_TICK, AUDIT_TOLD_INTERVAL, NATIVES_PATIENCE, WORK_SLICE};
use crate::policy::snapshot::Snapshot;
use crate::telemetry::metrics::{AuditTotals, FindingLabels};

type Published = watch::Receiver<Option<Arc<Snapshot>>>;

pub(in crate::controller::audit) struct Run {
    tools: Tools,
    snapshots: Published,
    natives: Published,
    /// Whether reports and Events are ours to write.
    leads: watch::Receiver<bool>,
    ours: Judge,
    native: Judge,
    sources: Sources,
    heard: mpsc::Receiver<(SourceId, Heard)>,
    discovered: Discovered,
    served: Arc<Inventory>,
    /// Whether it is known what has to be watched.
    is_planned: bool,
    watches: BTreeMap<ServedKind, Watching>,
    /// The kinds of all watches.
    kinds: HashMap<SourceId, ServedKind>,
    /// What is to be looked at once more, and what is being looked at.
    waiting: Waiting,
    again: Option<(SourceId, Again, Task)>,
    sources_begun: SourceId,
    lists_begun: u32,
    store: Store,
    reports: Reports,
    unreadable: Unreadable,
    left_out: LeftOut,
    events: Option<Events>,
    /// Whether everything was looked at once: before, what is found may have been so for long.
    is_settled: bool,
    /// When metrics are told next what was found.
    told_next: Instant,
    /// What could not be looked at once more.
    refused: Plan,
    doubtful: Doubtful,
    arena: Arena,
    /// What was worked since the last rest.
    worked: Duration,
}

/// A kind that is watched.
struct Watching {
    resource: GroupResource,
    api: ApiResource,
    chosen: Chosen,
    source: SourceId,
    /// The number of its last list.
    list: u32,
    is_listed: bool,
    #[expect(dead_code, reason = "held until it is dropped")]
    task: Task,
}

impl Run {
    pub fn new(
        tools: Tools,
        [snapshots, natives]: [Published; 2],
        leads: watch::Receiver<bool>,
        discovered: Discovered,
    ) -> Run {
        let (client, metrics) = (&tools.client, &tools.metrics);
        let (sources, heard) = Sources::new(client.clone(), Arc::clone(metrics));
        let reports = Reports::new(&tools);
        let unreadable = Unreadable::new(Arc::clone(metrics));
        let left_out = LeftOut::new(Arc::clone(metrics));
        let events = || Events::new(client.clone(), Arc::clone(metrics));
        let events = tools.options.events.then(events);
        let store = if events.is_some() { Store::telling_news() } else { Store::default() };
        Run {
            tools,
            snapshots,
            natives,
            leads,
            ours: Judge::default(),
            native: Judge::default(),
            sources,
            heard,
            discovered,
            served: Arc::default(),
            is_planned: false,
            watches: BTreeMap::new(),
            kinds: HashMap::new(),
            waiting: Waiting::default(),
            again: None,
            sources_begun: 0,
            lists_begun: 0,
            store,
            reports,
            unreadable,
            left_out,
            events,
            is_settled: false,
            told_next: Instant::now(),
            refused: Plan::new(),
            doubtful: Doubtful::new(Instant::now()),
            arena: Arena::new(),
            worked: Duration::ZERO,
        }
    }

    /// Audits until nobody publishes policies any more.
    pub async fn run(mut self) {
        // Without policies everything would look as if nothing were wrong with it.
        if self.snapshots.wait_for(Option::is_some).await.is_err() {
            return;
        }
        // Otherwise everything would be looked at twice.
        let first = self.natives.wait_for(Option::is_some);
        let _ = timeout(NATIVES_PATIENCE, first).await;
        self.natives.mark_changed();
        self.snapshots.mark_changed();
        let mut tick = interval(AUDIT_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let snapshot = self.snapshots.borrow_and_update().clone();
                    self.take(snapshot, |run| &mut run.ours);
                }
                changed = self.natives.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let snapshot = self.natives.borrow_and_update().clone();
                    if let Some(snapshot) = &snapshot {
                        self.left_out.take(snapshot);
                    }
                    self.take(snapshot, |run| &mut run.native);
                }
                served = self.discovered.changed() => {
                    let Some(served) = served else { return };
                    self.served = served;
                    // What was found before has to be known before anything is looked at.
                    self.reports.serve(&self.served.kinds, &mut self.store).await;
                    self.replan(&Changes { are_policies_new: true, ..Changes::default() });
                }
                _ = tick.tick() => self.tell().await,
                () = sleep_until(self.told_next), if self.store.is_changed() => self.count(),
                heard = self.heard.recv() => {
                    if let Some((source, heard)) = heard {
                        self.hear(source, heard).await;
                    }
                }
            }
        }
    }

    /// Takes a snapshot, if there is one, in the place of the last of its kind.
    fn take(&mut self, snapshot: Option<Arc<Snapshot>>, judge: fn(&mut Run) -> &mut Judge) {
        let Some(snapshot) = snapshot else { return };
        let begun = Instant::now();
        let changes = judge(self).take(snapshot);
        self.store.forget_policies(|policy| changes.outdates(policy));
        self.replan(&changes);
        self.worked += begun.elapsed();
    }

    /// Begins and ends watches, and looks again at what policies or namespaces changed for.
    fn replan(&mut self, changes: &Changes) {
        if self.served.kinds.is_empty() {
            return;
        }
        if !changes.are_policies_new && self.is_planned {
            self.look_again_in(&changes.namespaces);
            self.next();
            return;
        }
        self.is_planned = true;
        let policies = self.ours.snapshot.policies().chain(self.native.snapshot.policies());
        let plan: Plan = plan(policies, &self.served.kinds, is_outside);
        let mut changed = changes.changed.clone();
        let mut moved = Chosen::new();
        for (kind, watching) in &self.watches {
            let stay = plan.get(kind);
            for (policy_kind, names) in &watching.chosen {
                let is_left = |name: &&String| {
                    !stay.and_then(|s| s.get(policy_kind)).is_some_and(|s| s.contains(*name))
                };
                let left = names.iter().filter(is_left).cloned();
                moved.entry(policy_kind).or_default().extend(left);
            }
        }
        // Another version is served now, or the kind is gone.
        let is_moved = |p: &PolicyRef| moved.get(p.kind).is_some_and(|n| n.contains(&p.name));
        self.store.forget_policies(is_moved);
        join(&mut changed, moved);
        let gone = self.watches.extract_if(.., |kind, _| !plan.contains_key(kind));
        let gone: Vec<SourceId> = gone.map(|(_, watching)| watching.source).collect();
        for source in gone {
            self.kinds.remove(&source);
        }
        for (kind, chosen) in plan {
            let Some(watching) = self.watches.get_mut(&kind) else {
                self.begin(kind, chosen);
                continue;
            };
            watching.chosen = chosen;
            let chosen = common(&changed, &watching.chosen);
            if !chosen.is_empty() {
                self.waiting.add(Again { kind, namespace: None, chosen });
            }
        }
        let is_watched = |resource: &GroupResource| {
            self.watches.values().any(|watching| watching.resource == *resource)
        };
        self.store.retain_kinds(is_watched);
        self.look_again_in(&changes.namespaces);
        self.next();
    }

    /// The labels of a namespace decide about what is in it.
    fn look_again_in(&mut self, namespaces: &[String]) {
        let kinds = self.watches.iter().filter(|(kind, _)| kind.is_namespaced);
        let all =
            |(kind, watching): (&ServedKind, &Watching)| (kind.clone(), watching.chosen.clone());
        for (kind, chosen) in kinds.map(all).collect::<Vec<_>>() {
            let again = |namespace| Again { kind: kind.clone(), namespace, chosen: chosen.clone() };
            for namespace in namespaces {
                self.waiting.add(again(Some(namespace.clone())));
            }
        }
    }

    fn begin(&mut self, kind: ServedKind, chosen: Chosen) {
        self.sources_begun += 1;
        let source = self.sources_begun;
        let task = self.sources.watch(source, &kind);
        let resource = GroupResource {
            group: kind.group.as_str().into(),
            resource: kind.resource.as_str().into(),
        };
        self.kinds.insert(source, kind.clone());
        let (api, list, is_listed) = (self::resource(&kind), 0, false);
        let watching = Watching { resource, api, chosen, source, list, is_listed, task };
        self.watches.insert(kind, watching);
    }

    /// Looks at the next that waits.
    fn next(&mut self) {
        while self.again.is_none() {
            let Some(again) = self.waiting.next() else { return };
            // What waited for it may be gone by now.
            if !self.watches.contains_key(&again.kind) {
                continue;
            }
            if self.unreadable.contains(&again.kind) {
                self.put_off(again);
                continue;
            }
            self.sources_begun += 1;
            let source = self.sources_begun;
            let task = self.sources.list(source, &again.kind, again.namespace.as_deref());
            self.again = Some((source, again, task));
        }
    }

    /// What can't be read now is looked at when it can, all of the kind at once.
    fn put_off(&mut self, again: Again) {
        let chosen = self.refused.entry(again.kind).or_default();
        for (kind, names) in again.chosen {
            chosen.entry(kind).or_default().extend(names);
        }
    }

    async fn hear(&mut self, source: SourceId, heard: Heard) {
        if self.again.as_ref().is_some_and(|(again, ..)| *again == source) {
            match heard {
                Heard::Object(item, arrived) => self.look(source, *item, arrived).await,
                Heard::Unreadable(reason) => {
                    if let Some((_, again, _)) = self.again.take() {
                        self.unreadable.failed(&again.kind, reason, Instant::now());
                        self.put_off(again);
                    }
                    self.next();
                }
                Heard::Listed | Heard::Unserved => {
                    self.again = None;
                    self.next();
                }
                _ => {}
            }
            return;
        }
        // A watch that was ended may have had something under way.
        let Some(kind) = self.kinds.get(&source) else { return };
        let Some(watching) = self.watches.get_mut(kind) else { return };
        match heard {
            Heard::Listing => {
                self.lists_begun += 1;
                watching.list = self.lists_begun;
            }
            Heard::Listed => {
                watching.is_listed = true;
                self.unreadable.listed(kind);
                self.store.sweep(&watching.resource, watching.list);
            }
            Heard::Unreadable(reason) => {
                // Others are reported all the same.
                watching.is_listed = true;
                self.unreadable.failed(kind, reason, Instant::now());
            }
            Heard::Unserved => {
                watching.is_listed = true;
                // It may be gone.
                self.discovered.doubt();
            }
            Heard::Gone(item) => {
                let namespace = item.namespace().unwrap_or_default();
                self.store.forget(&watching.resource, &namespace, &item.name_any());
            }
            Heard::Object(item, arrived) => self.look(source, *item, arrived).await,
        }
    }

    /// Asks all policies that have to be asked about an object.
    async fn look(&mut self, source: SourceId, item: Item, arrived: Instant) {
        let begun = Instant::now();
        let again = self.again.as_ref().filter(|(again, ..)| *again == source);
        let kind = again.map_or_else(|| self.kinds.get(&source), |(_, again, _)| Some(&again.kind));
        let Some((kind, watching)) = kind.and_then(|kind| self.watches.get_key_value(kind)) else {
            return;
        };
        let chosen = again.map_or(&watching.chosen, |(_, again, _)| &again.chosen);
        let version = item.resource_version().and_then(|version| version.parse().ok());
        let document = item.document(&watching.api);
        let served = Served { resource: &kind.resource, namespaced: kind.is_namespaced };
        let Ok(existing) = Existing::new(document.root(), served) else { return };
        let reference = ObjectRef::of(&existing);
        let (version, list) = (version.unwrap_or(0), watching.list);
        let seen = Seen { kind: &watching.resource, object: &reference, version, list };
        // An object that is listed again may be gone, or another, by what its watch has said since.
        let is_known = match again {
            Some(_) => !self.store.is_current(seen),
            None => self.store.knows(seen),
        };
        if is_known {
            return;
        }
        let mut facts = Facts::new();
        let is_excluded =
            self.tools.options.excluded_namespaces.iter().any(|n| n == existing.namespace());
        let judges = [(&self.ours, is_excluded), (&self.native, false)];
        let mut examined = Vec::new();
        for (judge, _) in judges.into_iter().filter(|(_, is_excluded)| !is_excluded) {
            let references = Arc::clone(&judge.references);
            let auditor = Auditor::with(&judge.snapshot, references).only(chosen);
            let (tools, known) = (&self.tools, &self.ours.snapshot);
            let asked = fetch::ask(tools, known, &auditor, &existing, &mut facts, &mut self.arena);
            let answer = match asked.await {
                Ok(examined) => Some(examined),
                Err(need) => {
                    tracing::warn!(object = %reference, "can't be audited: {need} is not known");
                    None
                }
            };
            examined.extend(answer.map(|answer| (answer, judge)));
        }
        self.doubtful.add(kind, &facts);
        let answers = examined.iter().flat_map(|(examined, judge)| {
            let reference = |policy| judge.references.get(policy).map(Arc::clone);
            examined.answers.iter().filter_map(move |a| Some((a, reference(a.policy)?)))
        });
        let answers: Vec<_> = answers.collect();
        self.tools.metrics.audited(answers.len(), arrived.elapsed());
        let asked = |policy: &PolicyRef| {
            chosen.get(policy.kind).is_some_and(|names| names.contains(&policy.name))
        };
        let news = self.store.record(seen, Some(&asked), &answers, (self.tools.clock)());
        let tells = self.is_settled && *self.leads.borrow();
        if let Some(events) = self.events.as_mut().filter(|_| tells) {
            events.tell(news, Instant::now());
        }
        self.worked += begun.elapsed();
        if self.worked >= WORK_SLICE {
            sleep(std::mem::take(&mut self.worked)).await;
        }
    }

    /// How many lists are still to be read.
    fn backlog(&self) -> usize {
        let unlisted = self.watches.values().filter(|watching| !watching.is_listed).count();
        unlisted + self.waiting.len() + usize::from(self.again.is_some())
    }

    /// Tells metrics what there is, as far as that changed.
    fn count(&mut self) {
        self.told_next = Instant::now() + AUDIT_TOLD_INTERVAL;
        let Totals { objects, covered, .. } = self.store.totals();
        let totals = AuditTotals { objects, covered, backlog: self.backlog() };
        if self.store.is_changed() {
            let (is_all, found) = self.store.take_found();
            if is_all {
                self.tools.metrics.no_findings();
            }
            self.tools.metrics.findings(found.iter().flat_map(counted));
        }
        self.tools.metrics.audit(totals);
    }

    /// Says what there is, to who counts and to who reads reports.
    async fn tell(&mut self) {
        self.unreadable.look(|kind| self.watches.contains_key(kind), Instant::now());
        let is_back = |kind: &ServedKind, _: &mut Chosen| !self.unreadable.contains(kind);
        let back = self.refused.extract_if(.., is_back);
        for (kind, chosen) in back.collect::<Vec<_>>() {
            self.waiting.add(Again { kind, namespace: None, chosen });
        }
        let chosen = |kind: &ServedKind| self.watches.get(kind).map(|watching| &watching.chosen);
        for (kind, chosen) in self.doubtful.due(Instant::now(), chosen) {
            self.waiting.add(Again { kind, namespace: None, chosen });
        }
        self.next();
        self.count();
        self.reports.serve(&self.served.kinds, &mut self.store).await;
        let is_complete = self.is_planned && self.backlog() == 0;
        let leads = *self.leads.borrow();
        self.reports.write(&mut self.store, is_complete && leads);
        if let Some(events) = &mut self.events {
            events.sum_up(Instant::now());
        }
        if is_complete {
            self.store.remember(Remembered::new());
            self.is_settled = true;
        }
    }
}

/// What a policy found, as it is counted.
fn counted((policy, summary): &(Arc<PolicyRef>, Summary)) -> [(FindingLabels, u64); 3] {
    let Summary { fail, warn, error, .. } = *summary;
    let labelled = |(result, count): (&'static str, u64)| {
        let labels = FindingLabels {
            kind: policy.kind,
            policy: policy.name.clone(),
            severity: policy.severity.map_or("", word),
            result,
        };
        (labels, count)
    };
    [("fail", fail), ("warn", warn), ("error", error)].map(labelled)
}
