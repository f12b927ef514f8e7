//! Image policies that pin tags to digests on a real API server, with the controllers that compare what they made.

use crate::audited::portcullis;
use crate::images::{key_pair, policy_with, sign};
use crate::processes::eventually;
use crate::push::Repository;
use crate::{PATIENCE, PEACE, Space, WORLD, pod};
use portcullis::images::Digest;
use serde_json::{Value, json};

/// A repository of the registry of the run.
fn repository(name: &str) -> Repository {
    Repository { host: WORLD.registry.host.clone(), name: name.to_owned() }
}

/// The policy of the namespace, pinning, for Pods and what makes Pods.
fn pinning(space: &Space, public_key: &str) -> String {
    let authority = json!({"name": "release", "key": {"publicKey": public_key}});
    let mut policy: Value = serde_json::from_str(&policy_with(space, &authority)).unwrap();
    policy["spec"]["mutateDigest"] = json!(true);
    let rule = |group: &str, resources: &[&str]| json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": resources});
    policy["spec"]["matchConstraints"]["resourceRules"] = json!([
        rule("", &["pods", "pods/ephemeralcontainers"]),
        rule("apps", &["deployments", "replicasets"]),
        rule("batch", &["jobs"]),
    ]);
    policy.to_string()
}

fn image_of(space: &Space, kind: &str, name: &str, pointer: &str) -> String {
    let object = space.kubectl.get(kind, name);
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn template(kind: &str, image: &str) -> String {
    let labels = json!({"app": "app"});
    let mut spec = json!({"template": {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "app", "image": image}]},
    }});
    match kind {
        "Job" => spec["template"]["spec"]["restartPolicy"] = json!("Never"),
        _ => spec["selector"] = json!({"matchLabels": labels}),
    }
    let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": "app"}, "spec": spec})
        .to_string()
}

/// The names of objects of a kind.
fn names(space: &Space, kind: &str) -> Vec<String> {
    let said = space.kubectl.run(&["get", kind, "-o", "name"]);
    said.stdout.lines().map(str::to_owned).collect()
}

const POD: &str = "/spec/containers/0/image";
const TEMPLATE: &str = "/spec/template/spec/containers/0/image";

#[test]
fn the_tag_that_was_verified_is_the_digest_that_runs() {
    let _peace = PEACE.read();
    let space = Space::open("pinned");
    let (folder, public) = key_pair("pinned");
    let app = repository("pinned/app");
    let good = app.image("v1", "good");
    sign(&folder, &format!("{}/{}@{good}", app.host, app.name));
    let image = format!("{}/{}:v1", app.host, app.name);
    let pinned = format!("{image}@{good}");

    // What was there before the policy: a controller that goes on making what it made before.
    space.kubectl.apply(&template("Deployment", &image)).assert_accepted();
    eventually("the Deployment has its Pod", PATIENCE, || match names(&space, "pods").len() {
        1 => Ok(()),
        n => Err(format!("{n} Pods")),
    });
    let unsigned = repository("pinned/unsigned");
    unsigned.image("v1", "unsigned");
    let bad = pod("bad", &format!("{}/{}:v1", unsigned.host, unsigned.name));
    space.apply_until(&pinning(&space, &public), &bad, "no signature was found");
    let first = pod("first", &image);
    eventually("the mutating webhook is asked", PATIENCE, || {
        let said =
            space.kubectl.run_with(&["apply", "--dry-run=server", "-o", "json", "-f", "-"], &first);
        if said.stdout.contains(&pinned) { Ok(()) } else { Err(said.stderr + &said.stdout) }
    });

    space.kubectl.apply(&first).assert_accepted();
    assert_eq!(image_of(&space, "pod", "first", POD), pinned);
    let run = &["scale", "deployment/app", "--replicas=3"];
    space.kubectl.run(run).assert_accepted();
    eventually("the Deployment has all of its Pods", PATIENCE, || {
        match names(&space, "pods").len() {
            4 => Ok(()),
            n => Err(format!("{n} Pods")),
        }
    });
    assert_eq!(names(&space, "replicasets").len(), 1, "its ReplicaSet is what it made");
    let pods = space.kubectl.run(&[
        "get",
        "pods",
        "-l",
        "app=app",
        "-o",
        "jsonpath={.items[*].spec.containers[0].image}",
    ]);
    assert_eq!(
        pods.stdout.split_whitespace().filter(|image| *image == pinned).count(),
        2,
        "{pods:?}"
    );

    // The tag is moved after it was verified, before a node pulls.
    let evil = app.image("v1", "evil");
    let named = image_of(&space, "pod", "first", POD);
    let digest = named.split_once('@').unwrap().1;
    let pulled = app.read(&format!("manifests/{digest}")).unwrap();
    assert_eq!(Digest::of(&pulled), good, "a node pulls what was verified");
    assert_ne!(Digest::of(&app.read("manifests/v1").unwrap()), good, "the tag is another now");
    space
        .kubectl
        .apply(&pod("other", &format!("{image}@{evil}")))
        .assert_rejected(&["no signature was found"]);
    eventually("what the tag names now is not admitted", PATIENCE, || {
        let said = space.kubectl.try_apply(&pod("second", &image));
        let is_denied = said.stderr.contains("no signature was found");
        if is_denied { Ok(()) } else { Err(said.stderr + &said.stdout) }
    });
    // And what runs goes on: it can be changed and scaled.
    space.kubectl.run(&["label", "pod/first", "a=b"]).assert_accepted();
    space.kubectl.run(&["scale", "deployment/app", "--replicas=2"]).assert_accepted();
}

#[test]
fn what_is_applied_again_is_accepted_and_what_is_added_is_pinned() {
    let _peace = PEACE.read();
    let space = Space::open("pinned-again");
    let (folder, public) = key_pair("pinned-again");
    let app = repository("pinned-again/app");
    let good = app.image("v1", "good");
    sign(&folder, &format!("{}/{}@{good}", app.host, app.name));
    let image = format!("{}/{}:v1", app.host, app.name);
    let pinned = format!("{image}@{good}");
    space.apply(&pinning(&space, &public));
    let job = template("Job", &image);
    eventually("the mutating webhook is asked", PATIENCE, || {
        let said =
            space.kubectl.run_with(&["apply", "--dry-run=server", "-o", "json", "-f", "-"], &job);
        if said.stdout.contains(&pinned) { Ok(()) } else { Err(said.stderr + &said.stdout) }
    });
    let deployment = template("Deployment", &image);
    for object in [&job, &deployment, &pod("app", &image)] {
        // The second time the manifest says the tag again, and what is there has the digest.
        space.kubectl.apply(object).assert_accepted();
        space.kubectl.apply(object).assert_accepted();
        let said = space
            .kubectl
            .run_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], object);
        said.assert_accepted();
    }
    assert_eq!(image_of(&space, "job", "app", TEMPLATE), pinned);
    assert_eq!(image_of(&space, "deployment", "app", TEMPLATE), pinned);
    assert_eq!(image_of(&space, "pod", "app", POD), pinned);
    let debug = &["debug", "app", "--image", &image, "--container", "look", "--attach=false"];
    space.kubectl.run(debug).assert_accepted();
    assert_eq!(image_of(&space, "pod", "app", "/spec/ephemeralContainers/0/image"), pinned);
    // Another tag of an image that is the same.
    let manifest = app.read("manifests/v1").unwrap();
    app.manifest("v2", crate::push::MANIFEST, &manifest);
    let other = image.replace(":v1", ":v2");
    let set = &["set", "image", "pod/app", &format!("app={other}")];
    space.kubectl.run(set).assert_accepted();
    assert_eq!(image_of(&space, "pod", "app", POD), format!("{other}@{good}"));
}

#[test]
fn a_policy_waits_for_the_secret_of_its_key_and_follows_it() {
    let _peace = PEACE.read();
    let space = Space::open("secret-key");
    let (folder, public) = key_pair("secret-key");
    let (_, other) = key_pair("secret-key-other");
    let app = repository("secret-key/app");
    let good = app.image("v1", "good");
    sign(&folder, &format!("{}/{}@{good}", app.host, app.name));
    let image = format!("{}/{}@{good}", app.host, app.name);
    let authority = json!({"name": "release", "key": {
        "secretRef": {"namespace": space.name, "name": "signer"},
    }});
    let probe = pod("app", &image);
    let missing = format!("there is no Secret `{}/signer`", space.name);
    space.apply_until(&policy_with(&space, &authority), &probe, &missing);
    let says = |expect: &str| {
        eventually(expect, PATIENCE, || {
            let status = WORLD.kubectl.get("imagepolicy", &space.name)["status"].to_string();
            if status.contains(expect) { Ok(()) } else { Err(status) }
        });
    };
    says(&missing);
    let secret = |key: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signer"},
            "stringData": {"cosign.pub": key, "cosign.key": "secret"},
        })
        .to_string()
    };
    let passes = |key: &str| {
        space.kubectl.apply(&secret(key)).assert_accepted();
        eventually("the image passes", PATIENCE, || space.kubectl.try_apply(&probe).ok());
    };
    passes(&public);
    says("\"reason\":\"InForce\"");
    space.kubectl.apply(&secret(&other)).assert_accepted();
    space.await_answer(&probe, "the signature is not the authority's");
    passes(&public);
    // The command line reads the Secret, too.
    let unsigned = app.image("v2", "nobody signed it");
    for (digest, is_told) in [(&good, false), (&unsigned, true)] {
        let image = format!("{}/{}@{digest}", app.host, app.name);
        let spec = json!({"containers": [{"name": "app", "image": image}]});
        let metadata = json!({"name": "app", "namespace": space.name});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        let file = folder.join("pod.json");
        std::fs::write(&file, pod.to_string()).unwrap();
        let images = ["--verify-images", "--plain-http", &app.host];
        let from_cluster = ["audit", "--policies-from-cluster", "-o", "json"];
        let file = [file.to_str().unwrap()];
        let (said, _) = portcullis(&[&from_cluster[..], &images, &file].concat());
        let why = "authority `release`: no signature was found";
        assert_eq!(said.contains(why), is_told, "{said}");
        assert!(said.contains(&space.name) && !said.contains("there is no Secret"), "{said}");
    }
    space.kubectl.run(&["delete", "secret", "signer"]).assert_accepted();
    space.await_answer(&probe, &missing);
    says(&missing);
}

#[test]
fn what_runs_is_reported_when_a_key_is_revoked() {
    let _peace = PEACE.read();
    let space = Space::open("revoked");
    let (folder, public) = key_pair("revoked");
    let (_, other) = key_pair("revoked-other");
    let app = repository("revoked/app");
    let good = app.image("v1", "good");
    sign(&folder, &format!("{}/{}@{good}", app.host, app.name));
    let image = format!("{}/{}:v1", app.host, app.name);
    let policy = |key: &str| {
        let authority = json!({"name": "release", "key": {"publicKey": key}});
        policy_with(&space, &authority)
    };
    let bad = pod("bad", &image.replace("/app:", "/missing:"));
    space.apply_until(&policy(&public), &bad, "is not there");
    space.kubectl.apply(&pod("app", &image)).assert_accepted();
    let results = || -> Vec<String> {
        let found = space.kubectl.run(&["get", "reports.openreports.io", "-o", "json"]);
        let list: Value = serde_json::from_str(&found.stdout).unwrap_or_default();
        let reports = list["items"].as_array().into_iter().flatten();
        let results = reports.flat_map(|report| report["results"].as_array().into_iter().flatten());
        let ours = results.filter(|result| result["policy"] == space.name.as_str());
        ours.map(Value::to_string).collect()
    };
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(results(), Vec::<String>::new(), "it passes");
    space.apply(&policy(&other));
    let why = "the signature is not the authority's";
    eventually("the Pod is reported", PATIENCE, || {
        let results = results();
        let is_told = results.iter().any(|result| result.contains(why));
        if is_told { Ok(()) } else { Err(format!("{results:?}")) }
    });
    // The Pod goes on, as what was there before does.
    space.kubectl.run(&["label", "pod/app", "a=b"]).assert_accepted();
    space.apply(&policy(&public));
    eventually("nothing is reported any more", PATIENCE, || {
        let results = results();
        if results.is_empty() { Ok(()) } else { Err(format!("{results:?}")) }
    });
}
