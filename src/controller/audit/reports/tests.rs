//! That reports say all there is, spread so that each fits.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use crate::audit::report::Flavor;
use crate::audit::store::{GroupResource, Seen, Store};
use crate::audit::{Answer, Failed, ObjectRef, PolicyRef, Rule, Verdict};
use crate::cel::Version;
use crate::controller::audit::reports::reports_of;
use crate::controller::limits::{REPORT_MESSAGE_CHARS_MAX, REPORT_RESULTS, REPORT_RESULTS_MAX};
use crate::policy::snapshot::Snapshot;
use crate::policy::{Definitions, manifest};

/// A store with so many Pods in the namespace `x` that fail a policy, and so many that meet it.
fn store(failing: usize, passing: usize) -> Store {
    let text = "{apiVersion: portcullis.dev/v1alpha1, kind: ValidatingPolicy, metadata: {name: a}, spec: {\
                validationActions: [Deny], validations: [{expression: 'true'}], matchConstraints: {resourceRules: [{\
                apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}}}";
    let mut definitions = Definitions::default();
    manifest::read("", text).unwrap().into_iter().for_each(|m| definitions.add(m));
    let snapshot = Snapshot::build(definitions, Version::default(), None);
    let bound = snapshot.policies().next().unwrap();
    let reference = Arc::new(PolicyRef::of(bound));
    let mut store = Store::default();
    let pods = GroupResource { group: "".into(), resource: "pods".into() };
    for number in 0..failing + passing {
        let object = ObjectRef {
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: "x".into(),
            name: format!("pod-{number}"),
            uid: String::new(),
        };
        let is_failing = number < failing;
        let failed = Failed {
            rule: Rule::Validation(0),
            verdict: Verdict::Fail,
            message: "é".repeat(5_000),
            binding: None,
            param: None,
        };
        let verdict = if is_failing { Verdict::Fail } else { Verdict::Pass };
        let failures = is_failing.then_some(failed).into_iter().collect();
        let answer = Answer { policy: &bound.policy, verdict, failures };
        let seen = Seen { kind: &pods, object: &object, version: 1, list: 0 };
        store.record(seen, None, &[(&answer, reference.clone())], Timestamp::UNIX_EPOCH);
    }
    store
}

#[test]
fn everything_is_listed_or_counted_and_each_report_fits() {
    let check = |failing: usize,
                 passing: usize,
                 lists_passes: bool,
                 reports: usize,
                 unlisted: Option<&str>| {
        let made = reports_of(&store(failing, passing), "x", Flavor::OpenReports, lists_passes);
        assert_eq!(made.len(), reports, "{failing} {passing}");
        let mut listed = 0;
        let (mut fail, mut pass) = (0, 0);
        for (place, report) in made.iter().enumerate() {
            let body = report.body();
            assert!(body.to_string().len() < 1 << 20, "it fits into etcd");
            let name = if place == 0 { "portcullis".into() } else { format!("portcullis-{place}") };
            assert_eq!(body["metadata"]["name"], name);
            assert_eq!(body["metadata"]["namespace"], "x");
            let annotation = &body["metadata"]["annotations"]["portcullis.dev/results-not-listed"];
            assert_eq!(annotation.as_str(), unlisted);
            let results = body["results"].as_array().unwrap();
            listed += results.len();
            fail += body["summary"]["fail"].as_u64().unwrap();
            pass += body["summary"]["pass"].as_u64().unwrap();
            for message in results.iter().filter_map(|result| result["message"].as_str()) {
                assert!(message.chars().count() <= REPORT_MESSAGE_CHARS_MAX);
            }
        }
        assert_eq!((fail, pass), (failing as u64, passing as u64), "all are counted");
        let all = if lists_passes { failing + passing } else { failing };
        assert_eq!(listed, all.min(REPORT_RESULTS_MAX));
    };
    check(1, 2, false, 1, None);
    check(1, 2, true, 1, None);
    check(0, 2, false, 1, None);
    check(REPORT_RESULTS + 1, 0, false, 2, None);
    check(REPORT_RESULTS_MAX + 5, 3, false, 32, Some("5"));
    check(REPORT_RESULTS_MAX - 1, 3, true, 32, None);
}

#[test]
fn of_nothing_there_is_no_report() {
    assert!(reports_of(&store(0, 0), "x", Flavor::OpenReports, true).is_empty());
    assert!(reports_of(&store(1, 0), "y", Flavor::OpenReports, true).is_empty());
}

#[test]
fn an_object_stays_in_its_report_when_others_come() {
    let names = |failing: usize| {
        let made = reports_of(&store(failing, 0), "x", Flavor::PolicyReport, false);
        let results = |body: &serde_json::Value| {
            body["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r["resources"].clone())
                .collect::<Vec<_>>()
        };
        made.iter().map(|report| results(report.body())).collect::<Vec<_>>()
    };
    let (before, after) = (names(REPORT_RESULTS + 1), names(REPORT_RESULTS + 20));
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert!(before.iter().all(|object| after.contains(object)));
    }
    assert_eq!(
        names(1),
        [vec![json!([{"apiVersion": "v1", "kind": "Pod", "name": "pod-0", "namespace": "x"}])]]
    );
}
