//! Tags and the digests that were verified: what was verified is what is asked for, whatever becomes of the tag and of the
//! registry meanwhile.

use crate::admission::{created, message, pod, policy, review, serve};
use crate::front::{Answer, Front};
use crate::program::Program;
use crate::push::Repository;
use crate::tools::verify;
use crate::world::{FORMATS, Format, WORLD};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longer than it counts what became of a tag.
const TAG_IS_OLD: Duration = Duration::from_secs(16);

/// A policy that pins, with this rest of its spec.
fn pinning(name: &str, more: Value) -> std::path::PathBuf {
    let mut spec = json!({"mutateDigest": true});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    policy(name, spec)
}

/// The image of a Pod's container after the mutating webhook.
fn mutated(program: &Program, review: &Value) -> String {
    let answer = program.post("/mutate", &review.to_string());
    let response = serde_json::from_str::<Value>(&answer.body).unwrap()["response"].clone();
    assert_eq!(response["allowed"], true, "{response}");
    let mut object = review["request"]["object"].clone();
    if let Some(patch) = response["patch"].as_str() {
        let patch: Value = serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
        for operation in patch.as_array().unwrap() {
            assert_eq!(operation["op"], "replace", "{operation}");
            *object.pointer_mut(operation["path"].as_str().unwrap()).unwrap() =
                operation["value"].clone();
        }
    }
    object["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

/// A front that can be told that the registry is down.
fn switched() -> (Front, Arc<AtomicBool>) {
    let is_down = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&is_down);
    let front = Front::start(&WORLD.registry.host, move |_| {
        if state.load(Ordering::SeqCst) { Answer::Status(503, vec![]) } else { Answer::Honest }
    });
    (front, is_down)
}

fn behind(front: &Front, image: &str) -> String {
    image.replace(&WORLD.registry.host, &front.host)
}

#[test]
fn a_tag_becomes_the_digest_that_was_verified_by_one_verification() {
    for format in FORMATS {
        let front = Front::start(&WORLD.registry.host, |_| Answer::Honest);
        let program = serve(&pinning(&format!("pins-{format:?}"), json!({})), &[&front.host]);
        let image = behind(&front, &WORLD.image(format, "signed"));
        let pinned = format!("{image}@{}", WORLD.digest(format, "signed"));
        assert_eq!(mutated(&program, &created(&image)), pinned);
        assert_eq!(program.validate(&created(&pinned))["allowed"], true);
        let metrics = program.get("/metrics").body;
        let once = "portcullis_image_verifications_total{result=\"passed\"} 1";
        assert!(metrics.contains(once), "{metrics}");
        // Nothing is pinned that does not pass, and the verdict says why.
        for bad in ["unsigned", "by-others"] {
            let bad = behind(&front, &WORLD.image(format, bad));
            assert_eq!(mutated(&program, &created(&bad)), bad);
            let denied = program.validate(&created(&bad));
            assert!(message(&denied).contains("authority `release`: "), "{denied}");
        }
        // Whoever gets around the mutating webhook is told.
        let around = program.validate(&created(&image));
        assert!(message(&around).contains("is not pinned to the digest"), "{around}");
    }
}

#[test]
fn a_tag_that_is_moved_after_it_was_verified_changes_nothing() {
    for format in FORMATS {
        let repository = Repository {
            host: WORLD.registry.host.clone(),
            name: format!("moved-{format:?}").to_lowercase(),
        };
        let good = repository.image("v1", "good");
        let reference = format!("{}/{}@{good}", repository.host, repository.name);
        WORLD.cosign(format, &["sign", "--key", "release.key", &reference]);
        let program = serve(&pinning(&format!("moved-{format:?}"), json!({})), &[&repository.host]);
        let image = format!("{}/{}:v1", repository.host, repository.name);
        let pinned = mutated(&program, &created(&image));
        assert_eq!(pinned, format!("{image}@{good}"));
        let evil = repository.image("v1", "evil");
        assert_ne!(good, evil);
        // What is admitted names what was verified, and not what the tag names now.
        assert_eq!(program.validate(&created(&pinned))["allowed"], true);
        let other = format!("{image}@{evil}");
        let denied = program.validate(&created(&other));
        assert!(message(&denied).contains("no signature was found"), "{denied}");
    }
}

#[test]
fn what_was_verified_goes_on_while_the_registry_is_down_if_the_policy_says_so() {
    let (front, is_down) = switched();
    let trusts = json!({"onUnavailable": "AllowVerified"});
    let program = serve(&pinning("trusts", trusts), &[&front.host]);
    let strict = serve(&pinning("strict", json!({})), &[&front.host]);
    let (format, set) = (Format::Legacy, "ReplicaSet");
    let image = behind(&front, &WORLD.image(format, "signed"));
    let pinned = format!("{image}@{}", WORLD.digest(format, "signed"));
    for program in [&program, &strict] {
        assert_eq!(mutated(program, &created(&image)), pinned);
    }
    is_down.store(true, Ordering::SeqCst);
    std::thread::sleep(TAG_IS_OLD);
    assert_eq!(mutated(&program, &created(&image)), pinned);
    assert_eq!(mutated(&strict, &created(&image)), image);
    // What a template names is pinned in its Pods: here the user is told.
    let template = json!({
        "apiVersion": "apps/v1", "kind": set, "metadata": {"name": "app", "ownerReferences": [{"controller": true}]},
        "spec": {"template": pod(&image)},
    });
    let question = review(("apps", "replicasets"), set, Value::Null, template);
    let allowed = program.validate(&question);
    assert_eq!(allowed["allowed"], true, "{allowed}");
    let warning = allowed["warnings"][0].as_str().unwrap();
    assert!(warning.contains("its registry does not answer (onUnavailable: AllowVerified)"));
    assert!(allowed["auditAnnotations"]["trusts.verified-before"].is_string(), "{allowed}");
    let denied = strict.validate(&question);
    assert!(message(&denied).contains("answers with status 503"), "{denied}");
    let metrics = program.get("/metrics").body;
    assert!(
        metrics.contains("portcullis_image_answers_total{from=\"verified_before\"} "),
        "{metrics}"
    );
    // What was never verified is not known, whatever the policy trusts.
    let never = behind(&front, &WORLD.image(format, "unsigned"));
    assert_eq!(program.validate(&created(&never))["allowed"], false);
}

#[test]
fn a_bad_answer_ends_what_was_trusted() {
    let (front, is_down) = switched();
    let repository = Repository { host: WORLD.registry.host.clone(), name: "ends".to_owned() };
    let good = repository.image("v1", "good");
    let reference = format!("{}/ends@{good}", repository.host);
    WORLD.cosign(Format::Bundle, &["sign", "--key", "release.key", &reference]);
    let trusts = json!({"onUnavailable": "AllowVerified"});
    let program = serve(&pinning("ends", trusts), &[&front.host]);
    let image = format!("{}/ends:v1", front.host);
    assert_eq!(mutated(&program, &created(&image)), format!("{image}@{good}"));
    repository.image("v1", "evil");
    std::thread::sleep(TAG_IS_OLD);
    assert_eq!(mutated(&program, &created(&image)), image);
    is_down.store(true, Ordering::SeqCst);
    std::thread::sleep(TAG_IS_OLD);
    assert_eq!(mutated(&program, &created(&image)), image);
    assert_eq!(program.validate(&created(&image))["allowed"], false);
}

#[test]
fn review_shows_the_patch_where_the_answer_is_known() {
    let file = pinning("reviewed", json!({}));
    let image = WORLD.image(Format::Bundle, "signed");
    let object = WORLD.folder.join("pod.yaml");
    std::fs::write(&object, pod(&image).to_string()).unwrap();
    let run = |more: &[&str]| {
        let mut command = crate::program::portcullis(&["review", "-o", "json", "--policies"]);
        let output = command.arg(&file).arg(&object).args(more).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), said[0].clone())
    };
    let (code, said) = run(&["--verify-images", "--plain-http", &WORLD.registry.host]);
    let digest = WORLD.digest(Format::Bundle, "signed");
    assert_eq!(code, 0, "{said}");
    assert_eq!(said["patch"][0]["path"], "/spec/containers/0/image", "{said}");
    assert_eq!(said["patch"][0]["value"], format!("{image}@{digest}"), "{said}");
    let (code, said) = run(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said["status"]["message"].as_str().unwrap().contains("no registry is asked here"));
    assert!(said["patch"].is_null(), "{said}");
}

#[test]
fn audit_asks_registries_if_it_is_told_to() {
    let file = policy("audited", json!({}));
    for format in FORMATS {
        let run = |image: &str, more: &[&str]| {
            let object = WORLD.folder.join(format!("{format:?}-{image}.yaml"));
            std::fs::write(&object, pod(&WORLD.image(format, image)).to_string()).unwrap();
            let mut command = crate::program::portcullis(&["audit", "-o", "json", "--policies"]);
            let output = command.arg(&file).arg(&object).args(more).output().unwrap();
            (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
        };
        let asks = ["--verify-images", "--plain-http", &WORLD.registry.host];
        let (code, said) = run("signed", &asks);
        assert_eq!(code, 0, "{said}");
        for (image, why) in
            [("unsigned", "no signature was found"), ("by-others", "is not the authority's")]
        {
            let (code, said) = run(image, &asks);
            assert!(code == 1 && said.contains(why), "{code}: {said}");
            let (code, said) = run(image, &[]);
            assert!(code == 0 && said.contains("no registry is asked here"), "{code}: {said}");
        }
    }
}

#[test]
fn a_key_may_be_in_a_secret_among_the_files() {
    let public = std::fs::read_to_string(WORLD.folder.join("release.pub")).unwrap();
    let key = json!({"secretRef": {"namespace": "signing", "name": "release"}});
    let authority = json!({"name": "release", "key": key});
    let file = WORLD.write_policy("in-a-secret", "**", json!({"authorities": [authority]}));
    let image = WORLD.image(Format::Bundle, "signed");
    verify(&image, &file, &[]).expect(2, "there is no Secret `signing/release`");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "signing", "name": "release"},
        "data": {"cosign.pub": STANDARD.encode(public)},
    });
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n---\n{secret}")).unwrap();
    verify(&image, &file, &[]).expect(0, "passed");
    verify(&WORLD.image(Format::Bundle, "by-others"), &file, &[])
        .expect(1, "is not the authority's");
}
