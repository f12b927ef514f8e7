//! The real binary without a cluster: `portcullis serve --policies` asked over HTTPS, and `portcullis review` asked with
//! files. What policies answer is the specs' business; here it is what the program does around them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod program;
mod reviews;

use crate::program::{Program, eventually, folder, tree};
use serde_json::{Value, json};

#[test]
fn decides_the_samples_over_https() {
    let program = Program::serve(&tree("policies"));
    let ask = |path, sample: &str| {
        let body = std::fs::read_to_string(tree(&format!("docs/samples/{sample}.json"))).unwrap();
        let answer = program.post(path, &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let review: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(review["kind"], "AdmissionReview");
        let sent: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(review["response"]["uid"], sent["request"]["uid"]);
        review["response"].clone()
    };
    let denied = ask("/validate", "denied");
    assert_eq!(denied["allowed"], false);
    assert_eq!(denied["status"]["code"], 403);
    let message = denied["status"]["message"].as_str().unwrap();
    assert!(message.contains("containers are privileged: builder"), "{message}");

    let admitted = ask("/validate", "admitted");
    assert_eq!(admitted["allowed"], true);
    assert_eq!(ask("/mutate", "admitted")["patch"], Value::Null);

    let patched = ask("/mutate", "patched");
    assert_eq!(patched["allowed"], true);
    assert_eq!(patched["patchType"], "JSONPatch");
    assert!(patched["patch"].as_str().is_some_and(|patch| patch.len() > 20), "{patched}");
}

#[test]
fn answers_what_is_no_review_with_the_status_that_fits() {
    let program = Program::serve(&tree("policies"));
    let good = std::fs::read_to_string(tree("docs/samples/admitted.json")).unwrap();
    let json = "content-type: application/json";
    // Refused by its stated length, before it is sent.
    let huge = "content-length: 50000000";
    let text = "content-type: text/plain";
    let wrong_kind = good.replace("AdmissionReview", "TokenReview");
    let rows: [(&str, &str, &[&str], &str, u16); 9] = [
        ("POST", "/validate", &[json], &good, 200),
        ("POST", "/validate", &[text], &good, 415),
        ("POST", "/validate", &[json], &good[..good.len() / 2], 400),
        ("POST", "/validate", &[json], "<xml/>", 400),
        ("POST", "/validate", &[json], "", 400),
        ("POST", "/validate", &[json], &wrong_kind, 400),
        ("POST", "/mutate", &[json, huge], "{", 413),
        ("POST", "/elsewhere", &[json], &good, 404),
        ("PUT", "/validate", &[json], &good, 405),
    ];
    for (method, path, headers, body, status) in rows {
        let answer = program.ask(method, path, headers, body);
        let shown = &body[..body.len().min(40)];
        assert_eq!(answer.status, status, "{method} {path} {headers:?} {shown}: {}", answer.body);
        if status != 200 {
            assert!(!answer.body.trim().is_empty(), "no explanation for {method} {path} {shown}");
        }
    }
    // It is none the worse for it.
    assert_eq!(program.post("/validate", &good).status, 200);
}

#[test]
fn tells_its_health_and_what_it_measured() {
    let program = Program::serve(&tree("policies"));
    assert_eq!(program.get("/healthz").status, 200);
    assert_eq!(program.get("/readyz").status, 200);
    let sample = std::fs::read_to_string(tree("docs/samples/admitted.json")).unwrap();
    program.post("/validate", &sample);
    let metrics = program.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("portcullis_"), "{}", metrics.body);
    assert!(metrics.body.contains("# TYPE"), "{}", metrics.body);
}

const NAMES: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: names}
spec:
  validationActions: [Deny]
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - {expression: object.metadata.name != 'TABOO', message: no Pod is named TABOO}
";

#[test]
fn follows_the_files_and_keeps_the_last_good_set() {
    let folder = folder("follow");
    let file = folder.join("names.yaml");
    std::fs::write(&file, NAMES.replace("TABOO", "one")).unwrap();
    let program = Program::serve(&folder);
    let message = |name: &str| program.validate(&pod(name))["status"]["message"].to_string();
    assert!(message("one").contains("no Pod is named one"), "{}", message("one"));

    std::fs::write(&file, NAMES.replace("TABOO", "two")).unwrap();
    eventually("the new answer", || message("two").contains("no Pod is named two"));

    // A misspelt field on line 6: the set of before goes on deciding, and the log says where.
    std::fs::write(&file, NAMES.replace("validationActions", "validationAction")).unwrap();
    eventually("the line in the log", || {
        program.log().lines().any(|line| line.contains("names.yaml") && line.contains("line=6"))
    });
    assert!(message("two").contains("no Pod is named two"), "{}", message("two"));
    assert_eq!(program.get("/readyz").status, 200);

    // A second file, and the first one repaired.
    std::fs::write(
        folder.join("more.yaml"),
        NAMES.replace("names}", "more}").replace("TABOO", "four"),
    )
    .unwrap();
    std::fs::write(&file, NAMES.replace("TABOO", "three")).unwrap();
    eventually("both new answers", || {
        message("three").contains("named three") && message("four").contains("named four")
    });
    std::fs::remove_file(&file).unwrap();
    eventually("the policy is gone", || program.validate(&pod("three"))["allowed"] == true);
}

#[test]
fn goes_on_with_the_policies_that_compile() {
    let folder = folder("broken");
    std::fs::write(folder.join("names.yaml"), NAMES.replace("TABOO", "one")).unwrap();
    let broken = NAMES.replace("name: names", "name: broken").replace("object.", "objet.");
    let elsewhere = broken.replace("resources: [pods]", "resources: [services]");
    std::fs::write(folder.join("broken.yaml"), elsewhere).unwrap();
    let program = Program::serve(&folder);
    let answer = program.validate(&pod("one"));
    assert!(answer["status"]["message"].to_string().contains("no Pod is named one"), "{answer}");
    assert_eq!(program.validate(&pod("two"))["allowed"], true);
    assert!(program.log().contains("objet"), "{}", program.log());
}

/// A review of a Pod of this name.
fn pod(name: &str) -> Value {
    let sample = std::fs::read_to_string(tree("docs/samples/admitted.json")).unwrap();
    let mut review: Value = serde_json::from_str(&sample).unwrap();
    review["request"]["name"] = json!(name);
    review["request"]["object"]["metadata"]["name"] = json!(name);
    review
}
