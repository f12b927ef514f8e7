//! Portcullis in front of a real API server, asked with the real `kubectl`. One control plane and one server are shared
//! by all tests of a run; each test has a namespace of its own and policies that match only there.
//!
//! `KUBECONFIG` names another cluster to test against. Its API server must reach this machine on loopback, and it should
//! be one that nobody needs: the tests install CRDs and webhooks, and kill the server behind them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads the environment it is started in"
)]

mod answers;
mod audit;
mod audit_told;
mod audited;
mod break_glass;
mod changes;
mod chart;
mod clients;
#[allow(dead_code, reason = "only the chaos tests stop it in parts")]
mod control_plane;
mod entries;
#[path = "../cosign/front.rs"]
#[allow(dead_code, reason = "only the tests of cosign misbehave")]
mod front;
mod helm;
#[path = "../cosign/http.rs"]
#[allow(dead_code, reason = "only the tests of cosign read headers")]
mod http;
mod images;
mod installed;
mod kubectl;
mod lessons;
mod natively;
mod outages;
mod pinned;
mod pki;
#[allow(dead_code, reason = "only the chaos tests send signals")]
mod processes;
mod pull_secrets;
#[path = "../cosign/push.rs"]
#[allow(dead_code, reason = "only the tests of cosign forge signatures")]
mod push;
mod release;
mod schemas;
mod server;
#[path = "../images/sigstore.rs"]
#[allow(dead_code, reason = "shared with the tests of images")]
mod sigstore;
mod starter_set;
#[path = "../cosign/tools.rs"]
#[allow(dead_code, reason = "only the tests of cosign verify by the command line")]
mod tools;
#[path = "../images/tuf_repository.rs"]
#[allow(dead_code, reason = "shared with the tests of images")]
mod tuf_repository;

use crate::control_plane::ControlPlane;
use crate::front::Front;
use crate::kubectl::Kubectl;
use crate::processes::{Run, eventually};
use crate::server::Server;
use crate::tuf_repository::TufRepository;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long a policy may take until the API server's answers show it: tenths of a second, on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(30);

static WORLD: LazyLock<World> = LazyLock::new(World::start);

/// Taken for reading by tests that need a running server, for writing by those that stop it or speak to all namespaces.
static PEACE: RwLock<()> = RwLock::new(());

/// What all tests of a run share.
struct World {
    run: Run,
    kubectl: Kubectl,
    server: Mutex<Server>,
    /// Where images are. It ends with the run.
    registry: tools::Registry,
    /// The same for who has a login.
    guard: Front,
    /// Where a trust root is kept up to date.
    updates: TufRepository,
    /// That of this run, unless another was named. Its processes live as long as it does.
    control_plane: Option<ControlPlane>,
}

impl World {
    fn start() -> Self {
        let run = Run::start();
        let control_plane = match std::env::var_os("KUBECONFIG") {
            Some(_) => None,
            None => Some(ControlPlane::start(&run)),
        };
        let kubectl = match &control_plane {
            Some(control_plane) => control_plane.kubectl.clone(),
            None => Kubectl::new("kubectl".into(), std::env::var_os("KUBECONFIG").unwrap().into()),
        };
        kubectl.run(&["apply", "--server-side", "-f", &tree("crds")]).assert_accepted();
        kubectl
            .run(&["wait", "--for=condition=Established", "--timeout=30s", "-f", &tree("crds")])
            .assert_accepted();
        let reports = tree("e2e/cluster/audit/reports.yaml");
        kubectl.run(&["apply", "--server-side", "-f", &reports]).assert_accepted();
        // Where its certificate and the params of the starter set live.
        kubectl.run(&["create", "namespace", "portcullis-system"]);
        let registry = tools::Registry::start();
        // Of another cluster it is not known whether it shows webhooks a certificate.
        let clients = control_plane.as_ref().map(|ours| ours.pki.path("webhooks-ca.crt"));
        let guard = Front::start(&registry.host, |asked| match asked.authorization.as_deref() {
            // `u:p`.
            Some("Basic dTpw") => front::Answer::Honest,
            _ => {
                let asks = ("WWW-Authenticate", "Basic realm=\"r\"".to_owned());
                front::Answer::Status(401, vec![asks])
            }
        });
        let updates = TufRepository::start();
        // At the last nobody is.
        let hosts = [&*registry.host, &guard.host, updates.host(), "127.0.0.1:1"];
        let server = Mutex::new(Server::new(&hosts, clients));
        Self { run, kubectl, server, registry, guard, updates, control_plane }
    }

    /// The server, running.
    fn server(&self) -> MutexGuard<'_, Server> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if !server.is_running() {
            let took = server.start(&self.run, &self.kubectl);
            println!("portcullis ready {} ms after its start", took.as_millis());
        }
        server
    }
}

/// A path of this repository, as an argument.
fn tree(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_str().unwrap().to_owned()
}

/// A test's own namespace. What the test applies in it or for it goes when the test ends.
struct Space {
    name: String,
    kubectl: Kubectl,
    applied: Mutex<Vec<String>>,
}

impl Space {
    fn open(name: &str) -> Self {
        drop(WORLD.server());
        Self::without_server(name)
    }

    fn without_server(name: &str) -> Self {
        let name = format!("e2e-{name}");
        let kubectl = WORLD.kubectl.within(&name);
        WORLD.kubectl.run(&["create", "namespace", &name]).assert_accepted();
        eventually("the namespace's service account exists", PATIENCE, || {
            kubectl.run(&["get", "serviceaccount", "default"]).ok()
        });
        Self { name, kubectl, applied: Mutex::default() }
    }

    /// `text` with `SPACE` replaced by the namespace's name.
    fn fill(&self, text: &str) -> String {
        text.replace("SPACE", &self.name)
    }

    /// Applies a policy, binding or whatever isn't in the namespace.
    fn apply(&self, manifest: &str) {
        let manifest = self.fill(manifest);
        WORLD.kubectl.apply(&manifest).assert_accepted();
        self.applied.lock().unwrap().push(manifest);
    }

    /// Applies a policy and waits until `probe` is answered with `text`. Answers how long that took.
    fn apply_until(&self, manifest: &str, probe: &str, text: &str) -> Duration {
        self.apply(manifest);
        let applied = Instant::now();
        self.await_answer(probe, text);
        applied.elapsed()
    }

    /// Waits until the API server answers a dry run of `probe` with `text`, be it a warning or a denial. (The text
    /// matters: a webhook that nobody serves denies too.)
    fn await_answer(&self, probe: &str, text: &str) {
        eventually(&format!("an answer with `{text}`"), PATIENCE, || {
            let said = self.kubectl.try_apply(probe);
            if said.stderr.contains(text) { Ok(()) } else { Err(said.stderr + &said.stdout) }
        });
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // In order of need: policies before what they guard. Best effort, a failed test has said why already.
        for manifest in self.applied.lock().unwrap_or_else(PoisonError::into_inner).iter().rev() {
            WORLD.kubectl.delete(manifest);
        }
        self.kubectl.run(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

/// A Pod of one container.
fn pod(name: &str, image: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, \
         spec: {{containers: [{{name: app, image: '{image}'}}]}}}}"
    )
}

/// The starter set: params first, policies then.
fn starter_manifests() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(tree("policies")).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<_> = folders.collect();
    let files = ["params.yaml", "policy.yaml"];
    let manifests = files.iter().flat_map(|file| folders.iter().map(move |f| f.join(file)));
    let manifests: Vec<_> = manifests.filter(|manifest| manifest.exists()).collect();
    assert!(!manifests.is_empty(), "there are no policies in policies/");
    manifests
}
