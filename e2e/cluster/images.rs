//! Image policies on a real API server: what a person at `kubectl` is told of images that cosign signed, and of those that
//! it did not.

use crate::processes::eventually;
use crate::push::Repository;
use crate::sigstore::Sigstore;
use crate::tools::cosign;
use crate::tuf_repository::TufRepository;
use crate::{PATIENCE, PEACE, Space, WORLD, pod};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A policy over the registry of the run, for Pods of the namespace.
pub fn policy_with(space: &Space, authority: &Value) -> String {
    json!({
        "apiVersion": "portcullis.dev/v1alpha1", "kind": "ImagePolicy",
        "metadata": {"name": space.name},
        "spec": {
            "images": [format!("{}/**", WORLD.registry.host), "127.0.0.1:1/**"],
            "authorities": [authority],
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space.name}},
                "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"], "resources": ["pods"],
                }],
            },
        },
    })
    .to_string()
}

/// A key pair in a folder of its own, and its public half.
pub fn key_pair(name: &str) -> (PathBuf, String) {
    let folder = WORLD.run.folder.join("cosign").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    assert_eq!(cosign(&folder, &["generate-key-pair"]).code, 0);
    let public = std::fs::read_to_string(folder.join("cosign.pub")).unwrap();
    (folder, public)
}

/// Has cosign sign an image with the key of a folder.
pub fn sign(folder: &Path, reference: &str) {
    let arguments = [
        "sign",
        "--key",
        "cosign.key",
        "--tlog-upload=false",
        "--use-signing-config=false",
        "--yes",
        reference,
    ];
    assert_eq!(cosign(folder, &arguments).code, 0);
}

#[test]
fn rejects_a_pod_with_an_unsigned_image() {
    let _peace = PEACE.read();
    let space = Space::open("unsigned");
    let host = WORLD.registry.host.clone();
    let image = |name: &str| Repository { host: host.clone(), name: name.to_owned() };
    let (folder, public) = key_pair("unsigned");
    let signed = image("signed").image("v1", "signed");
    image("unsigned").image("v1", "unsigned");
    let reference = format!("{host}/signed@{signed}");
    sign(&folder, &reference);
    let bad = pod("bad", &format!("{host}/unsigned:v1"));
    let why = format!("image `{host}/unsigned:v1`: authority `release`: no signature was found");
    let authority = json!({"name": "release", "key": {"publicKey": public}});
    space.apply_until(&policy_with(&space, &authority), &bad, &why);

    let said = space.kubectl.apply(&bad);
    println!("$ kubectl apply -f bad.yaml\n{}", said.stderr);
    said.assert_rejected(&["ImagePolicy 'e2e-unsigned'", &why]);
    space.kubectl.apply(&pod("good", &format!("{host}/signed:v1"))).assert_accepted();
    let down = pod("down", "127.0.0.1:1/app:v1");
    space.kubectl.apply(&down).assert_rejected(&["127.0.0.1:1 can't be reached"]);
    // Of no policy's registry.
    space.kubectl.apply(&pod("other", "registry.example.com/app:v1")).assert_accepted();
    eventually("the policy says that it is ready", PATIENCE, || {
        let policy = WORLD.kubectl.get("imagepolicy", &space.name);
        let is_ready = |one: &Value| one["type"] == "Ready" && one["status"] == "True";
        let conditions = policy["status"]["conditions"].as_array();
        let ready = conditions.is_some_and(|conditions| conditions.iter().any(is_ready));
        if ready { Ok(()) } else { Err(policy["status"].to_string()) }
    });
}

#[test]
fn a_policy_waits_for_its_trust_root() {
    let _peace = PEACE.read();
    let space = Space::open("trust-root");
    let key = KeyPair::generate().unwrap().public_key_pem();
    let authority = json!({"name": "logged", "key": {
        "publicKey": key, "transparencyLog": {"name": space.name},
    }});
    space.apply(&policy_with(&space, &authority));
    let says = |expect: &str| {
        eventually(expect, PATIENCE, || {
            let status = WORLD.kubectl.get("imagepolicy", &space.name)["status"].to_string();
            if status.contains(expect) { Ok(()) } else { Err(status) }
        });
    };
    says("there is no TrustRoot `e2e-trust-root`");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let root = json!({
        "apiVersion": "portcullis.dev/v1alpha1", "kind": "TrustRoot",
        "metadata": {"name": space.name},
        "spec": {"keys": {"certificateAuthorities": [authority], "transparencyLogs": [key]}},
    });
    space.apply(&root.to_string());
    says("\"reason\":\"InForce\"");
}

#[test]
fn the_api_server_refuses_what_makes_no_sense() {
    let _peace = PEACE.read();
    let space = Space::open("nonsense");
    let good = json!({"name": "a", "static": "Fail"});
    let spoiled = |spoil: &dyn Fn(&mut Value)| {
        let mut policy: Value = serde_json::from_str(&policy_with(&space, &good)).unwrap();
        spoil(&mut policy["spec"]);
        policy.to_string()
    };
    type Spoil<'a> = &'a dyn Fn(&mut Value);
    let rows: [(Spoil<'_>, &str); 9] = [
        (
            &|spec| spec["required"] = json!(2),
            "required must not be more than there are authorities",
        ),
        (
            &|spec| spec["required"] = json!(0),
            "without a required authority there must be an attestation",
        ),
        (
            &|spec| spec["authorities"][0]["static"] = Value::Null,
            "exactly one of key, keyless, certificate and static",
        ),
        (&|spec| spec["authorities"] = json!([]), "should have at least 1 items"),
        (
            &|spec| {
                spec["attestations"] =
                    json!([{"name": "a", "predicateType": "p", "authorities": ["b"]}]);
            },
            "names an authority that the policy does not have",
        ),
        (
            &|spec| spec["authorities"][0] = json!({"name": "a", "keyless": {"issuer": "i"}}),
            "exactly one of subject and subjectPattern is required",
        ),
        (
            &|spec| spec["authorities"][0] = json!({"name": "a", "key": {"kms": "awskms:///a"}}),
            "keys of key management systems are not supported",
        ),
        (
            &|spec| {
                let secret = json!({"namespace": "a", "name": "b"});
                spec["authorities"][0] =
                    json!({"name": "a", "key": {"publicKey": "a", "secretRef": secret}});
            },
            "exactly one of publicKey and secretRef is required",
        ),
        (
            &|spec| {
                spec["mutateDigest"] = json!(true);
                spec["extractors"] = json!([{"name": "a", "expression": "object.spec.image"}]);
            },
            "mutateDigest can't be combined with extractors",
        ),
    ];
    for (spoil, expect) in rows {
        WORLD.kubectl.try_apply(&spoiled(spoil)).assert_rejected(&[expect]);
    }
    WORLD.kubectl.try_apply(&spoiled(&|_| ())).assert_accepted();
}

#[test]
fn a_trust_root_says_how_it_is_kept_up_to_date() {
    let _peace = PEACE.read();
    let space = Space::open("followed");
    let trust_root = Sigstore::new().trusted_root().to_string();
    // Signed by somebody else than the root that is trusted.
    let (good, bad) = (&WORLD.updates, TufRepository::start());
    good.publish(1, &trust_root);
    let root = |name: &str, trusted: &str| {
        json!({
            "apiVersion": "portcullis.dev/v1alpha1", "kind": "TrustRoot",
            "metadata": {"name": name},
            "spec": {"trustedRoot": trust_root, "tuf": {"url": good.url(), "root": trusted}},
        })
        .to_string()
    };
    let status = |name: &str| WORLD.kubectl.get("trustroot", name)["status"].clone();
    space.apply(&root("e2e-followed", &good.root));
    space.apply(&root("e2e-followed-badly", &bad.root));
    eventually("one is current", PATIENCE, || match status("e2e-followed") {
        status if status["updated"].is_string() && status["problem"].is_null() => Ok(()),
        status => Err(status.to_string()),
    });
    eventually("one is not", PATIENCE, || match status("e2e-followed-badly") {
        status if status["problem"].as_str().is_some_and(|why| why.contains("threshold")) => Ok(()),
        status => Err(status.to_string()),
    });
    let nonsense = root("e2e-nonsense", &good.root).replace("\"trustedRoot\"", "\"other\"");
    WORLD.kubectl.try_apply(&nonsense).assert_rejected(&["unknown field"]);
    let mut without: Value = serde_json::from_str(&root("e2e-nonsense", &good.root)).unwrap();
    let spec = without["spec"].as_object_mut().unwrap();
    spec.remove("trustedRoot");
    spec.insert("keys".to_owned(), json!({"certificateAuthorities": ["a"]}));
    let why = "tuf needs a trustedRoot, which counts until the first update";
    WORLD.kubectl.try_apply(&without.to_string()).assert_rejected(&[why]);
}
