//! That the store counts right, whatever happens in whatever order.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use crate::audit::report::Summary;
use crate::audit::store::{GroupResource, Remembered, Seen, Store};
use crate::audit::{Answer, Failed, ObjectRef, PolicyRef, Rule, Verdict};
use crate::cel::Version;
use crate::policy::snapshot::Snapshot;
use crate::policy::{Definitions, manifest};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Policies to be named in answers; they are never asked.
fn snapshot() -> Snapshot {
    let mut definitions = Definitions::default();
    for name in NAMES {
        let text = format!(
            "{{apiVersion: portcullis.dev/v1alpha1, kind: ValidatingPolicy, metadata: {{name: {name}}}, spec: {{\
             validationActions: [Deny], validations: [{{expression: 'true'}}], matchConstraints: {{resourceRules: [{{\
             apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}}]}}}}}}"
        );
        manifest::read("", &text).unwrap().into_iter().for_each(|m| definitions.add(m));
    }
    Snapshot::build(definitions, Version::default(), None)
}

fn kind(resource: &str) -> GroupResource {
    GroupResource { group: "".into(), resource: resource.into() }
}

fn object(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: namespace.into(),
        name: name.into(),
        uid: "0a1b2c3d-0000-4fff-8123-00000000000f".into(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::new(second, 0).unwrap()
}

/// What happens: an object is recorded, with the verdicts of some policies; or something is forgotten.
#[derive(Clone, Debug)]
enum Happening {
    Recorded { place: usize, version: u64, verdicts: Vec<(usize, Verdict)>, all: bool },
    Forgotten(usize),
    PolicyGone(usize),
    Listed(Vec<usize>),
}

const PLACES: [(&str, &str, &str); 4] =
    [("pods", "x", "1"), ("pods", "x", "2"), ("pods", "y", "1"), ("nodes", "", "1")];

fn happening() -> impl Strategy<Value = Happening> {
    let verdict = prop_oneof![
        Just(Verdict::Pass),
        Just(Verdict::Fail),
        Just(Verdict::Warn),
        Just(Verdict::Error),
        Just(Verdict::Skip),
    ];
    let verdicts = prop::collection::btree_map(0..NAMES.len(), verdict, 0..=NAMES.len());
    let recorded = (0..PLACES.len(), 1..9_u64, verdicts, any::<bool>());
    prop_oneof![
        6 => recorded.prop_map(|(place, version, verdicts, all)| Happening::Recorded {
            place, version, verdicts: verdicts.into_iter().collect(), all,
        }),
        1 => (0..PLACES.len()).prop_map(Happening::Forgotten),
        1 => (0..NAMES.len()).prop_map(Happening::PolicyGone),
        1 => prop::collection::vec(0..3_usize, 0..3).prop_map(Happening::Listed),
    ]
}

proptest! {
    #[test]
    fn counts_agree_with_what_was_recorded(happenings in prop::collection::vec(happening(), 0..40)) {
        let snapshot = snapshot();
        let policies: Vec<_> = snapshot.policies().collect();
        let references: Vec<Arc<PolicyRef>> =
            policies.iter().map(|bound| Arc::new(PolicyRef::of(bound))).collect();
        let mut store = Store::default();
        // What should be known: of each object, what each policy said last.
        let mut model: BTreeMap<usize, BTreeMap<usize, Verdict>> = BTreeMap::new();
        let mut list = 0;
        for happening in happenings {
            match happening {
                Happening::Recorded { place, version, verdicts, all } => {
                    let (resource, namespace, name) = PLACES[place];
                    let answers: Vec<Answer<'_>> = verdicts
                        .iter()
                        .map(|(policy, verdict)| Answer {
                            policy: &policies[*policy].policy,
                            verdict: *verdict,
                            failures: (*verdict > Verdict::Pass)
                                .then(|| Failed {
                                    rule: Rule::Validation(0),
                                    verdict: *verdict,
                                    message: "no".into(),
                                    binding: None,
                                    param: None,
                                })
                                .into_iter()
                                .collect(),
                        })
                        .collect();
                    let answers: Vec<_> = answers
                        .iter()
                        .zip(&verdicts)
                        .map(|(answer, (policy, _))| (answer, references[*policy].clone()))
                        .collect();
                    let names: Vec<&str> = verdicts.iter().map(|(p, _)| NAMES[*p]).collect();
                    let asked = |policy: &PolicyRef| names.contains(&policy.name.as_str());
                    let asked = (!all).then_some(&asked as &dyn Fn(&PolicyRef) -> bool);
                    let (kind, object) = (kind(resource), object(namespace, name));
                    store.record(Seen { kind: &kind, object: &object, version, list }, asked, &answers, at(1));
                    let known = model.entry(place).or_default();
                    if all {
                        known.clear();
                    }
                    known.extend(verdicts.iter().copied());
                }
                Happening::Forgotten(place) => {
                    let (resource, namespace, name) = PLACES[place];
                    store.forget(&kind(resource), namespace, name);
                    model.remove(&place);
                }
                Happening::PolicyGone(gone) => {
                    store.forget_policies(|policy| policy.name == NAMES[gone]);
                    for known in model.values_mut() {
                        known.retain(|policy, _| *policy != gone);
                    }
                }
                Happening::Listed(places) => {
                    list += 1;
                    for place in &places {
                        let (resource, namespace, name) = PLACES[*place];
                        let (kind, object) = (kind(resource), object(namespace, name));
                        store.knows(Seen { kind: &kind, object: &object, version: 0, list });
                    }
                    store.sweep(&kind("pods"), list);
                    model.retain(|place, _| PLACES[*place].0 != "pods" || places.contains(place));
                }
            }
        }
        let mut total = Summary::default();
        let mut by_namespace: BTreeMap<&str, Summary> = BTreeMap::new();
        let mut by_policy: BTreeMap<&str, Summary> = BTreeMap::new();
        for (place, known) in &model {
            for (policy, verdict) in known.iter().filter(|(_, verdict)| **verdict != Verdict::Skip) {
                *total.of(*verdict) += 1;
                *by_namespace.entry(PLACES[*place].1).or_default().of(*verdict) += 1;
                *by_policy.entry(NAMES[*policy]).or_default().of(*verdict) += 1;
            }
        }
        prop_assert_eq!(store.totals().objects, model.len());
        prop_assert_eq!(store.totals().summary, total);
        let covered = model.values().filter(|known| known.values().any(|v| *v != Verdict::Skip));
        prop_assert_eq!(store.totals().covered, covered.count());
        for (_, namespace, _) in PLACES {
            let expect = by_namespace.get(namespace).copied().unwrap_or_default();
            prop_assert_eq!(store.summary(namespace), expect);
            let failing = expect.fail + expect.warn + expect.error;
            prop_assert_eq!(store.findings(namespace).count() as u64, failing);
            let passing: usize = store.passing(namespace).iter().map(|(_, passed)| passed.len()).sum();
            prop_assert_eq!(passing as u64, expect.pass);
        }
        for (policy, summary) in store.by_policy() {
            prop_assert_eq!(summary, by_policy.get(policy.name.as_str()).copied().unwrap_or_default());
        }
    }
}

#[test]
fn only_what_reports_would_say_otherwise_is_dirty_and_findings_last() {
    let snapshot = snapshot();
    let bound = snapshot.policies().next().unwrap();
    let reference = Arc::new(PolicyRef::of(bound));
    let mut store = Store::default();
    let (pods, web) = (kind("pods"), object("x", "1"));
    let mut check =
        |version: u64, message: &str, second: i64, dirty: &[&str], since: Option<i64>| {
            let failed = Failed {
                rule: Rule::Validation(0),
                verdict: Verdict::Fail,
                message: message.into(),
                binding: None,
                param: None,
            };
            let failures: Vec<Failed<'_>> =
                (!message.is_empty()).then_some(failed).into_iter().collect();
            let verdict = if failures.is_empty() { Verdict::Pass } else { Verdict::Fail };
            let answer = Answer { policy: &bound.policy, verdict, failures };
            let seen = Seen { kind: &pods, object: &web, version, list: 0 };
            store.record(seen, None, &[(&answer, reference.clone())], at(second));
            assert!(store.knows(seen));
            assert!(!store.knows(Seen { version: version + 1, ..seen }));
            assert!(!store.is_current(Seen { version: version - 1, ..seen }));
            let told: Vec<_> = store.take_dirty().iter().map(ToString::to_string).collect();
            assert_eq!(told, dirty, "{version}");
            let found = store.findings("x").next().map(|lasting| lasting.since);
            assert_eq!(found, since.map(at), "{version}");
        };
    check(1, "no", 10, &["x"], Some(10));
    check(2, "no", 20, &[], Some(10));
    check(3, "other", 30, &["x"], Some(10));
    check(4, "", 40, &["x"], None);
    check(5, "", 50, &[], None);
    check(6, "no", 60, &["x"], Some(60));
    store.forget(&pods, "x", "1");
    assert_eq!(store.take_dirty().len(), 1);
    assert_eq!(store.namespaces().count(), 0, "nothing is left of it");
}

#[test]
fn a_finding_is_new_once() {
    let snapshot = snapshot();
    let bound = snapshot.policies().next().unwrap();
    let reference = Arc::new(PolicyRef::of(bound));
    let mut store = Store::telling_news();
    let pods = kind("pods");
    let record = |store: &mut Store, uid: &str, verdicts: &[Verdict]| {
        let failed = |verdict: &Verdict| Failed {
            rule: Rule::Validation(0),
            verdict: *verdict,
            message: format!("says {}", verdict.as_str()),
            binding: None,
            param: None,
        };
        let verdict = *verdicts.iter().max().unwrap();
        let failures = verdicts.iter().filter(|verdict| **verdict > Verdict::Pass).map(failed);
        let answer = Answer { policy: &bound.policy, verdict, failures: failures.collect() };
        let object = ObjectRef { uid: uid.into(), ..object("x", "1") };
        let seen = Seen { kind: &pods, object: &object, version: 1, list: 0 };
        let news = store.record(seen, None, &[(&answer, reference.clone())], at(1));
        news.iter().map(|finding| finding.message.to_string()).collect::<Vec<_>>()
    };
    const NONE: [&str; 0] = [];
    let (one, other) =
        ("0a1b2c3d-0000-4fff-8123-000000000001", "0a1b2c3d-0000-4fff-8123-000000000002");
    assert_eq!(record(&mut store, one, &[Verdict::Pass]), NONE);
    assert_eq!(record(&mut store, one, &[Verdict::Warn, Verdict::Fail]), ["says fail"]);
    assert_eq!(record(&mut store, one, &[Verdict::Fail]), NONE);
    assert_eq!(record(&mut store, one, &[Verdict::Pass]), NONE);
    assert_eq!(record(&mut store, one, &[Verdict::Error]), ["says error"]);
    // Another object of the same name.
    assert_eq!(record(&mut store, other, &[Verdict::Fail]), ["says fail"]);
    // The policy is edited: what failed before is no news, until all was looked at.
    store.forget_policies(|_| true);
    assert_eq!(record(&mut store, other, &[Verdict::Fail]), NONE);
    store.forget_policies(|_| true);
    store.remember(Remembered::new());
    assert_eq!(record(&mut store, other, &[Verdict::Fail]), ["says fail"]);
    // Another replica had found it.
    store.forget(&pods, "x", "1");
    let key = (reference.kind.into(), reference.name.clone(), "validations[0]".into(), one.into());
    store.remember(Remembered::from([(key, at(1))]));
    assert_eq!(record(&mut store, one, &[Verdict::Fail]), NONE);
    // Nobody asks for news.
    assert_eq!(record(&mut Store::default(), one, &[Verdict::Fail]), NONE);
}
