//! What image policies cost an admission, on the release binary: a Pod with three images that were verified, beside the same
//! Pod without image policies; an image that nobody asked about yet, whose registry is 50 ms away; and many Pods of one image
//! at once. `make bench` prints tables.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be made fails by panicking"
)]

#[allow(dead_code, reason = "only the benchmark of the server asks at a rate")]
mod load;
#[allow(dead_code, reason = "the benchmark of the server measures more")]
mod process;
mod registry;
#[path = "../images/sigstore.rs"]
#[allow(dead_code, reason = "shared with the tests of images")]
mod sigstore;
#[allow(dead_code, reason = "the Pods are the same as those of the language's benchmark")]
mod workload;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::images::{Digest, SIGNATURE_PREDICATE};
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};

use crate::load::{Load, Loop, answer, connect};
use crate::process::Server;
use crate::registry::Registry;

/// How far away the registry is for an image that is not known.
const LATENCY: Duration = Duration::from_millis(50);
/// How often the two servers are asked in turn.
const PAIRS: usize = 20;
/// How many requests each gets in a turn.
const REQUESTS: usize = 1_000;
/// How many unknown images of each kind are admitted.
const COLD: usize = 10;
/// How many Pods of one image come at once.
const CROWD: usize = 200;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        warm().await;
        cold().await;
        crowd().await;
    });
}

/// Folders of policies: without image policies, and with one.
struct Policies {
    folder: PathBuf,
    key: KeyPair,
}

impl Policies {
    fn write(name: &str, registry: &Registry) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-images-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        let key = KeyPair::generate().unwrap();
        let labels = json!({
            "apiVersion": "portcullis.dev/v1alpha1", "kind": "ValidatingPolicy",
            "metadata": {"name": "labels"}, "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                    "resources": ["pods"],
                }]},
                "validations": [{"expression": "has(object.metadata.labels)"}],
            },
        });
        let images = json!({
            "apiVersion": "portcullis.dev/v1alpha1", "kind": "ImagePolicy",
            "metadata": {"name": "signed"}, "spec": {
                "images": [format!("{}/**", registry.host)],
                "authorities": [{"name": "release", "key": {"publicKey": key.public_key_pem()}}],
            },
        });
        for (part, policies) in [("without", vec![&labels]), ("with", vec![&labels, &images])] {
            let folder = folder.join(part);
            std::fs::create_dir_all(&folder).unwrap();
            for (place, policy) in policies.iter().enumerate() {
                std::fs::write(folder.join(format!("{place}.json")), policy.to_string()).unwrap();
            }
        }
        Self { folder, key }
    }

    /// Signs an image, in the form of cosign 3 or of cosign 2.
    fn sign(&self, registry: &Registry, image: &Digest, as_bundle: bool) {
        if as_bundle {
            let payload = sigstore::statement(image, SIGNATURE_PREDICATE, &json!({}));
            let signature = self.key.sign(&sigstore::pae(&payload)).unwrap();
            let envelope = sigstore::envelope(&payload, &signature);
            let bundle = sigstore::bundle(sigstore::by_key(), &[], envelope);
            registry.bundle(image, bundle.to_string().as_bytes());
        } else {
            let payload = sigstore::simple_signing(image);
            let signature = STANDARD.encode(self.key.sign(&payload).unwrap());
            registry.signature(image, &payload, &signature);
        }
    }
}

fn review(images: &[String]) -> Vec<u8> {
    let mut pod = workload::pod(images.len());
    for (container, image) in
        pod["spec"]["containers"].as_array_mut().unwrap().iter_mut().zip(images)
    {
        container["image"] = json!(image);
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "operation": "CREATE", "namespace": "shop", "name": "web",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "userInfo": {"username": "dev"}, "object": pod, "oldObject": Value::Null, "dryRun": false,
    }})
    .to_string()
    .into_bytes()
}

/// The median and the 99th percentile of a turn.
type Turn = (Duration, Duration);

/// How long it takes until a Pod is admitted.
async fn admitted(server: &Server, body: &[u8]) -> Duration {
    let mut connection = connect(server.port).await.unwrap();
    let asked = Instant::now();
    let (status, answer) = answer(&mut connection, "POST", "/validate", body).await.unwrap();
    let took = asked.elapsed();
    let answer = String::from_utf8_lossy(&answer);
    assert!(status == 200 && answer.contains(r#""allowed":true"#), "{answer}");
    took
}

/// A Pod of three images that are known to pass, beside one without image policies, in turn.
async fn warm() {
    let registry = Registry::start(Duration::ZERO).await;
    let policies = Policies::write("warm", &registry);
    let images: Vec<String> = (0..3)
        .map(|place| {
            let digest = registry.image(&format!("warm-{place}"));
            policies.sign(&registry, &digest, place != 1);
            registry.by_digest(&digest)
        })
        .collect();
    let body = review(&images);
    let without = Server::start(&policies.folder.join("without")).await;
    let plain = ["--plain-http", registry.host.as_str()];
    let with = Server::start_with(&policies.folder.join("with"), &plain).await;
    let turn = async |server: &Server| {
        let load = Load {
            port: server.port,
            path: "/validate",
            body: &body,
            connections: 1,
            requests: REQUESTS,
            pace: Loop::Closed,
        };
        let latencies = load.run().await;
        (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100])
    };
    admitted(&without, &body).await;
    admitted(&with, &body).await;
    // Everything settles.
    turn(&without).await;
    turn(&with).await;
    assert!(registry.take_asked() > 0, "no image was verified");
    let (mut medians, mut tails) = (Vec::new(), Vec::new());
    let mut pairs = Vec::new();
    for place in 0..PAIRS {
        // Whoever goes first has the colder machine.
        let (a, b) = if place % 2 == 0 {
            let a = turn(&without).await;
            (a, turn(&with).await)
        } else {
            let b = turn(&with).await;
            (turn(&without).await, b)
        };
        let more = |with: Duration, without: Duration| {
            with.as_secs_f64().mul_add(1e6, -without.as_secs_f64() * 1e6)
        };
        medians.push(more(b.0, a.0));
        tails.push(more(b.1, a.1));
        pairs.push((a, b));
    }
    assert_eq!(registry.take_asked(), 0, "what is known was asked again");
    let middle = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        format!("{:.0} (from {:.0} to {:.0})", all[all.len() / 2], all[0], all[all.len() - 1])
    };
    let of = |pick: &dyn Fn(&(Turn, Turn)) -> Duration| {
        middle(pairs.iter().map(|pair| pick(pair).as_secs_f64() * 1e6).collect())
    };
    println!("A Pod with 3 images, {PAIRS} pairs of {REQUESTS} requests, one at a time, in µs:");
    println!("{:<34}p50 {}, p99 {}", "without image policies", of(&|p| p.0.0), of(&|p| p.0.1));
    println!(
        "{:<34}p50 {}, p99 {}",
        "with 3 images that were verified",
        of(&|p| p.1.0),
        of(&|p| p.1.1)
    );
    println!("{:<34}p50 {}, p99 {}", "more, in pairs", middle(medians), middle(tails));
}

/// An image that nobody asked about yet.
async fn cold() {
    println!("\nAn image that is not known, its registry {} ms away:", LATENCY.as_millis());
    println!("{:<12}{:<12}{:>10}{:>10}{:>10}", "named by", "signed as", "questions", "steps", "ms");
    for by_digest in [true, false] {
        for as_bundle in [true, false] {
            let registry = Registry::start(LATENCY).await;
            let policies = Policies::write("cold", &registry);
            let plain = ["--plain-http", registry.host.as_str()];
            let server = Server::start_with(&policies.folder.join("with"), &plain).await;
            let (mut asked, mut took) = (Vec::new(), Vec::new());
            for place in 0..COLD {
                let tag = format!("cold-{place}");
                let digest = registry.image(&tag);
                policies.sign(&registry, &digest, as_bundle);
                let image =
                    if by_digest { registry.by_digest(&digest) } else { registry.reference(&tag) };
                let body = review(&[image]);
                took.push(admitted(&server, &body).await);
                asked.push(registry.take_asked());
            }
            took.sort();
            asked.sort_unstable();
            let (questions, took) = (asked[COLD / 2], took[COLD / 2]);
            println!(
                "{:<12}{:<12}{questions:>10}{:>10.1}{:>10.0}",
                if by_digest { "digest" } else { "tag" },
                if as_bundle { "bundle" } else { "signature" },
                took.as_secs_f64() / LATENCY.as_secs_f64(),
                took.as_secs_f64() * 1e3,
            );
        }
    }
}

/// Many Pods of one image at once.
async fn crowd() {
    let registry = Registry::start(LATENCY).await;
    let policies = Policies::write("crowd", &registry);
    let plain = ["--plain-http", registry.host.as_str()];
    let server = Server::start_with(&policies.folder.join("with"), &plain).await;
    let digest = registry.image("crowd");
    policies.sign(&registry, &digest, true);
    let body = review(&[registry.by_digest(&digest)]);
    let one = {
        let other = registry.image("one");
        policies.sign(&registry, &other, true);
        let body = review(&[registry.by_digest(&other)]);
        admitted(&server, &body).await;
        registry.take_asked()
    };
    let started = Instant::now();
    let load = Load {
        port: server.port,
        path: "/validate",
        body: &body,
        connections: CROWD,
        requests: CROWD,
        pace: Loop::Closed,
    };
    let latencies = load.run().await;
    let asked = registry.take_asked();
    println!(
        "\n{CROWD} Pods of one image at once: {asked} questions ({one} for one Pod), the last answer after {} ms",
        started.elapsed().as_millis()
    );
    assert_eq!(latencies.len(), CROWD);
    assert_eq!(asked, one, "one verification is enough for all");
    admitted(&server, &body).await;
}
