//! Reviews through the handler, as the server calls it: real policies, counted and recorded.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::admission::{Facts, Need, NoCluster, Snapshot, Source, Version};
use crate::ledger::{Body, Ledger, Record, Verdict};
use crate::policy::entry::{Entry, MOVE_GRACE};
use crate::policy::facts::NamespaceObject;
use crate::policy::manifest::{Manifest, read};
use crate::policy::{Definitions, Request};
use crate::server::review::Reviewer;
use crate::server::{Call, Handler, HttpError};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Webhook;

const NO_LATEST: &str = r"
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: no-latest}
spec:
  validationActions: [Deny]
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - expression: object.spec.containers.all(c, !c.image.endsWith(':latest'))
    message: name a tag that stays
";

const ENV_LABEL: &str = r"
apiVersion: portcullis.dev/v1alpha1
kind: MutatingPolicy
metadata: {name: env-label}
spec:
  selfBinding: true
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: >-
        [JSONPatch{op: 'add', path: '/metadata/labels', value: {'env': 'test'}}]
";

const SHOP_ONLY: &str = r"
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: shop-only}
spec:
  validationActions: [Warn]
  matchConstraints:
    namespaceSelector: {matchLabels: {team: shop}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: ['*'], resources: [pods]}
  validations:
  - {expression: 'false', message: no pods in the shop}
";

fn snapshot(manifests: &[&str]) -> Arc<Snapshot> {
    let mut definitions = Definitions::default();
    for manifest in read("test.yaml", &manifests.join("\n---\n")).unwrap() {
        definitions.add(manifest);
    }
    let snapshot = Snapshot::build(definitions, Version::default(), None);
    for bound in snapshot.policies() {
        assert_eq!(format!("{:?}", bound.policy.state()), "Active");
    }
    Arc::new(snapshot)
}

fn pod(image: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE",
            "name": "web",
            "namespace": "shop",
            "userInfo": {"username": "alice"},
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    })
}

async fn ask<S: Source>(
    reviewer: &Reviewer<S>,
    webhook: Webhook,
    body: impl ToString,
) -> Result<Value, HttpError> {
    ask_entry(reviewer, webhook, None, body).await
}

async fn ask_entry<S: Source>(
    reviewer: &Reviewer<S>,
    webhook: Webhook,
    entry: Option<&str>,
    body: impl ToString,
) -> Result<Value, HttpError> {
    let deadline = Instant::now() + Duration::from_millis(300);
    let entry = entry.map(|entry| Entry::parse(entry).unwrap());
    let call = Call { webhook, entry, deadline, trace: None };
    let answer = reviewer.answer(call, body.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], "u-1");
    Ok(answer["response"].clone())
}

fn reviewer<S: Source>(source: S, manifests: &[&str]) -> Reviewer<S> {
    let reviewer = Reviewer::new(source, Arc::new(Metrics::new()), None);
    reviewer.put_in_force(snapshot(manifests));
    reviewer
}

/// The values of metrics with this name, sorted.
fn metric<S: Source>(reviewer: &Reviewer<S>, name: &str) -> Vec<String> {
    let text = reviewer.metrics();
    let mut lines: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix(name)).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The API server asks by the entry that it knows, for a while after the policy has another.
#[tokio::test]
async fn an_edit_of_how_a_policy_is_asked_leaves_no_gap() {
    let edited = |line: &str| NO_LATEST.replace("spec:\n", &format!("spec:\n  {line}\n"));
    let (ignore, slow) = (edited("failurePolicy: Ignore"), edited("timeoutSeconds: 20"));
    let reviewer = reviewer(NoCluster, &[&ignore]);
    let check = async |entries: &[(&str, bool)]| {
        for (entry, asked) in entries {
            let body = pod("nginx:latest");
            let said = ask_entry(&reviewer, Webhook::Validate, Some(entry), body).await.unwrap();
            assert_eq!(said["allowed"], !asked, "{entry}");
        }
    };
    check(&[("ignore", true), ("fail", false), ("fail/20", false)]).await;
    let now = Instant::now();
    reviewer.put_in_force_at(snapshot(&[NO_LATEST]), now);
    check(&[("ignore", true), ("fail", true), ("fail/20", false)]).await;
    reviewer.put_in_force_at(snapshot(&[&slow]), now);
    check(&[("ignore", true), ("fail", true), ("fail/20", true), ("fail/9-20", true)]).await;
    // Another change does not make it longer.
    reviewer.put_in_force_at(snapshot(&[&slow, SHOP_ONLY]), now + MOVE_GRACE);
    let settled = [("ignore", false), ("fail", false), ("fail/20", true), ("fail/21", false)];
    check(&settled).await;
    // Nor does it need one to end.
    let long_ago = now.checked_sub(2 * MOVE_GRACE).unwrap();
    reviewer.put_in_force_at(snapshot(&[NO_LATEST]), long_ago);
    check(&[("ignore", false), ("fail", true), ("fail/20", false)]).await;
}

#[tokio::test]
async fn pods_are_denied_admitted_and_patched() {
    let reviewer = reviewer(NoCluster, &[NO_LATEST, ENV_LABEL]);
    let denied = ask(&reviewer, Webhook::Validate, pod("nginx:latest")).await.unwrap();
    assert_eq!(denied["allowed"], false);
    assert_eq!(denied["status"]["code"], 422);
    let message = "ValidatingPolicy 'no-latest' denied request: name a tag that stays";
    assert_eq!(denied["status"]["message"], message);

    let allowed = ask(&reviewer, Webhook::Validate, pod("nginx:1.29")).await.unwrap();
    assert_eq!(allowed, json!({"uid": "u-1", "allowed": true}));

    let patched = ask(&reviewer, Webhook::Mutate, pod("nginx:1.29")).await.unwrap();
    assert_eq!((&patched["allowed"], &patched["patchType"]), (&json!(true), &json!("JSONPatch")));
    assert!(patched["patch"].is_string());

    let labels = |webhook, answer| {
        format!(r#"{{webhook="{webhook}",operation="CREATE",answer="{answer}"}} 1"#)
    };
    let expect =
        [labels("mutate", "patch"), labels("validate", "allow"), labels("validate", "deny")];
    assert_eq!(metric(&reviewer, "portcullis_requests_total"), expect);
    let expect =
        [r#"{policy="env-label",result="patch"} 1"#, r#"{policy="no-latest",result="deny"} 1"#];
    assert_eq!(metric(&reviewer, "portcullis_policy_outcomes_total"), expect);
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_its_reason() {
    let reviewer = reviewer(NoCluster, &[]);
    let check = async |body: Value, expect: &str| {
        let error = ask(&reviewer, Webhook::Validate, body).await.unwrap_err();
        assert_eq!(error, HttpError::new(StatusCode::BAD_REQUEST, expect));
    };
    let text = pod("a").to_string();
    let error = ask(&reviewer, Webhook::Validate, &text[..text.len() - 1]).await.unwrap_err();
    assert_eq!(error.status, StatusCode::BAD_REQUEST);
    assert!(error.message.ends_with("found the end of the text"), "{}", error.message);
    let mut other = pod("a");
    other["apiVersion"] = "admission.k8s.io/v1beta1".into();
    check(
        other,
        "not an AdmissionReview of `admission.k8s.io/v1` but `AdmissionReview` of \
         `admission.k8s.io/v1beta1`",
    )
    .await;
    let mut other = pod("a");
    other["request"].take();
    check(other, "`request` is not an object").await;
    let mut other = pod("a");
    other["request"]["operation"] = "PATCH".into();
    check(other, "`request.operation` is not CREATE, UPDATE, DELETE or CONNECT").await;
    let expect = [r#"{webhook="validate",operation="unknown",answer="error"} 4"#];
    assert_eq!(metric(&reviewer, "portcullis_requests_total"), expect);
}

#[tokio::test]
async fn a_new_snapshot_decides_from_the_next_request_on() {
    let reviewer = Arc::new(Reviewer::new(NoCluster, Arc::new(Metrics::new()), None));
    let error = ask(&reviewer, Webhook::Validate, pod("a:latest")).await.unwrap_err();
    assert_eq!(error, HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "waiting for policies"));
    assert_eq!(reviewer.unready(), Some("waiting for policies"));

    let (publish, snapshots) = watch::channel(None);
    let following = tokio::spawn({
        let reviewer = reviewer.clone();
        async move { reviewer.follow(snapshots).await }
    });
    let allowed = async |expect: bool| {
        sleep(Duration::from_millis(50)).await;
        assert_eq!(reviewer.unready(), None);
        let answer = ask(&reviewer, Webhook::Validate, pod("a:latest")).await.unwrap();
        assert_eq!(answer["allowed"], expect);
    };
    publish.send(Some(snapshot(&[NO_LATEST]))).unwrap();
    allowed(false).await;
    publish.send(Some(snapshot(&[ENV_LABEL]))).unwrap();
    allowed(true).await;
    drop(publish);
    following.await.unwrap();
    assert_eq!(reviewer.unready(), None, "the last snapshot stays in force");
}

/// Knows the labels of one namespace; is slow for `slow`, and knows nothing of others.
struct Labels;

impl Source for Labels {
    async fn fetch(&self, _: &Request<'_>, need: &Need, facts: &mut Facts) {
        let Need::Namespace(name) = need else { return };
        match name.as_str() {
            "shop" => {
                let text = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: shop}}}";
                let manifests = read("", text).unwrap();
                let [Manifest::Namespace(document)] = manifests.as_slice() else {
                    panic!("a namespace");
                };
                facts.add_namespace(name, Some(NamespaceObject::new(document)));
            }
            "slow" => sleep(Duration::from_mins(1)).await,
            _ => {}
        }
    }
}

#[tokio::test]
async fn who_is_cut_off_rests_and_answers_what_is_asked_all_the_same() {
    let reviewer = reviewer(NoCluster, &[NO_LATEST]);
    reviewer.set_stale(true);
    assert_eq!((reviewer.unready(), reviewer.should_rest().is_some()), (None, true));
    let answer = ask(&reviewer, Webhook::Validate, &pod("app:latest")).await.unwrap();
    assert_eq!(answer["allowed"], false, "{answer}");
    reviewer.set_stale(false);
    assert_eq!(reviewer.should_rest(), None);
}

#[tokio::test]
async fn a_missing_fact_is_fetched() {
    let reviewer = reviewer(Labels, &[SHOP_ONLY]);
    let answer = ask(&reviewer, Webhook::Validate, pod("a:1")).await.unwrap();
    assert_eq!(answer["allowed"], true);
    let warning = "Validation failed for ValidatingPolicy 'shop-only': no pods in the shop";
    assert_eq!(answer["warnings"], json!([warning]));
    let outcomes = "portcullis_policy_outcomes_total";
    assert_eq!(metric(&reviewer, outcomes), [r#"{policy="shop-only",result="warn"} 1"#]);

    let mut other = pod("a:1");
    other["request"]["namespace"] = "unknown".into();
    let error = ask(&reviewer, Webhook::Validate, other.clone()).await.unwrap_err();
    let expect = "namespace `unknown` could not be found out";
    assert_eq!((error.status, error.message.as_str()), (StatusCode::GATEWAY_TIMEOUT, expect));

    other["request"]["namespace"] = "slow".into();
    let error = ask(&reviewer, Webhook::Validate, other).await.unwrap_err();
    let message = "namespace `slow`, or what it took to know more, took too long";
    assert_eq!(error, HttpError::new(StatusCode::GATEWAY_TIMEOUT, message));
}

/// Evaluation recurses over values and expressions: both as deep as they may be, on a worker of the server's runtime.
#[test]
fn the_deepest_request_fits_the_stack_of_a_worker() {
    let within = |name: &str| format!("{}{name}{}", "[".repeat(200), "]".repeat(200));
    let policy = NO_LATEST.replace("[CREATE]", "[UPDATE]").replace(
        "object.spec.containers.all(c, !c.image.endsWith(':latest'))",
        &format!("\"{} != {}\"", within("object"), within("oldObject")),
    );
    // An array and an object at a time; the review, its request, the object and its spec are around them.
    let half = (1_000 - 4) / 2;
    let deep = format!("{}1{}", "[{\"a\":".repeat(half), "}]".repeat(half));
    let mut body = pod("a:1");
    body["request"]["operation"] = "UPDATE".into();
    body["request"]["object"]["spec"] = json!({"deep": "here"});
    body["request"]["oldObject"] = body["request"]["object"].clone();
    let body = body.to_string().replace("\"here\"", &deep);
    let answered = crate::server::runtime().unwrap().block_on(async move {
        let reviewer = reviewer(NoCluster, &[&policy]);
        tokio::spawn(async move { ask(&reviewer, Webhook::Validate, body).await }).await
    });
    let answer = answered.unwrap().unwrap();
    assert_eq!(
        answer["status"]["message"],
        "ValidatingPolicy 'no-latest' denied request: name a tag that stays"
    );
}

#[tokio::test]
async fn every_decision_is_in_the_ledger() {
    let folder = std::env::temp_dir().join(format!("portcullis-review-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let (ledger, _) = Ledger::open(&folder, "test").unwrap();
    let reviewer = Reviewer::new(NoCluster, Arc::new(Metrics::new()), Some(ledger));
    let policies = snapshot(&[NO_LATEST, ENV_LABEL]);
    let digest = super::hex(policies.digest());
    reviewer.put_in_force(policies);
    let mut scaled = pod("a:latest");
    scaled["request"]["subResource"] = "status".into();
    scaled["request"]["dryRun"] = true.into();
    for (webhook, body) in [
        (Webhook::Validate, pod("a:latest")),
        (Webhook::Mutate, pod("a:1")),
        (Webhook::Validate, scaled),
    ] {
        ask(&reviewer, webhook, body).await.unwrap();
    }
    drop(reviewer);
    let text = fs::read_to_string(folder.join("records.jsonl")).unwrap();
    let entries: Vec<_> = text
        .lines()
        .map(|line| match serde_json::from_str::<Record>(line).unwrap().body {
            Body::Decision(entry) => entry,
            Body::Gap { lost } => panic!("{lost} lost"),
        })
        .collect();
    fs::remove_dir_all(&folder).unwrap();
    let [denied, patched, scaled] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(denied.decision, Verdict::Deny);
    assert_eq!((denied.user.as_str(), denied.resource.as_str()), ("alice", "v1/pods"));
    assert_eq!((denied.namespace.as_str(), denied.name.as_str()), ("shop", "web"));
    assert_eq!((denied.policies.as_str(), denied.evaluated), (digest.as_str(), 1));
    assert_eq!(denied.outcomes[0].policy, "no-latest");
    assert_eq!(denied.outcomes[0].message, "name a tag that stays");
    assert_eq!((patched.decision, patched.outcomes[0].result.as_str()), (Verdict::Patch, "patch"));
    assert_eq!((scaled.decision, scaled.dry_run), (Verdict::Allow, true));
    assert_eq!((scaled.resource.as_str(), scaled.evaluated), ("v1/pods/status", 0));
}
