//! The audit at scale: thousands of objects in a real API server, the real binary, and how long it takes to know what is
//! wrong with them. Prints a table; that everything is found, and nothing else, is asserted.
//!
//! Without `SCALE=full` it is the short form, with fewer objects. There is a finding for every hundredth object;
//! `SCALE_FINDINGS=many` makes it eight. `PORTCULLIS_BINARY` names another `portcullis` than that of this build: one that
//! `cargo build --release` made, say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads the environment and the clock"
)]

#[path = "../cluster/control_plane.rs"]
#[allow(dead_code, reason = "the chaos tests start and stop more of it")]
mod control_plane;
#[path = "../cluster/kubectl.rs"]
#[allow(dead_code, reason = "the cluster tests say more with it")]
mod kubectl;
mod objects;
#[path = "../cluster/pki.rs"]
mod pki;
#[path = "../cluster/processes.rs"]
#[allow(dead_code, reason = "the chaos tests send signals")]
mod processes;
mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

use crate::control_plane::ControlPlane;
use crate::objects::{Objects, Share, kind_of, policies, policy};
use crate::processes::{Run, eventually};
use crate::server::{Server, Told};

/// How long anything may take to become so, on a machine that compiles at the same time.
const PATIENCE: Duration = Duration::from_mins(3);

/// Reports of a namespace are written once in ten seconds.
const REPORTED_AFTER: Duration = Duration::from_secs(15);

/// How much of everything there is.
struct Sizes {
    objects: Objects,
    /// How often an object is changed to see how soon that is found: an even number, so that it is as it was.
    changes: usize,
    /// ConfigMaps that come last, so that memory can be seen to grow.
    many: usize,
}

const SHORT: Sizes = Sizes {
    objects: Objects {
        share: Share::Few,
        policies: 20,
        namespaces: 4,
        pods: 300,
        deployments: 100,
        gadgets: 50,
    },
    changes: 6,
    many: 500,
};

const FULL: Sizes = Sizes {
    objects: Objects {
        share: Share::Few,
        policies: 100,
        namespaces: 50,
        pods: 10_000,
        deployments: 2_000,
        gadgets: 1_000,
    },
    changes: 100,
    many: 87_000,
};

struct World {
    run: Run,
    control_plane: ControlPlane,
    runtime: Runtime,
    client: Client,
}

#[test]
fn finds_all_that_is_wrong_and_nothing_else() {
    let says = |variable: &str, word: &str| std::env::var(variable).is_ok_and(|said| said == word);
    let mut sizes = if says("SCALE", "full") { FULL } else { SHORT };
    if says("SCALE_FINDINGS", "many") {
        sizes.objects.share = Share::Many;
    }
    let world = World::start();
    let mut rows = Rows::default();
    let Sizes { objects, many, .. } = sizes;

    let begun = Instant::now();
    world.runtime.block_on(objects.create(&world.client));
    println!("{} objects were created in {:?}", objects.total(), begun.elapsed());
    world.control_plane.kubectl.apply(&policies(objects.policies)).assert_accepted();

    let lists = world.lists();
    let mut server = Server::start(&world.run, &world.control_plane.kubectl);
    let expect = objects.expected();
    let told = await_audit(&server, expect);
    rows.add("the first audit is complete after", format!("{:?}", server.age()));
    rows.add("objects, of which policies are about", format!("{}, {}", told.objects, told.covered));
    rows.add("policies asked about objects", format!("{}", told.evaluations));
    rows.add(
        "lists and watches that the API server was asked for",
        format!("{}", world.lists() - lists),
    );
    rows.add("memory of the leader", server.memory());

    let (bytes, reports) = world.await_reports(expect.fail);
    rows.add("reports", format!("{reports}, {} KiB of JSON", bytes / 1024));
    let writes = server.told().report_writes;
    rows.add("reports written meanwhile", format!("{writes}"));

    let took = world.change(&server, &sizes, expect.fail);
    let p = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    rows.add(
        "from a change to its finding, p50, p99, slowest",
        format!("{:?}, {:?}, {:?}", p(0.5), p(0.99), p(1.0)),
    );

    world.edit_a_policy(&server, objects, &mut rows);
    world.lose_the_leader(&mut server, &mut rows);
    world.delete_a_namespace(&server, objects, &mut rows);

    let begun = Instant::now();
    let before = server.told();
    world.runtime.block_on(objects::create_config_maps(&world.client, many));
    println!("{many} ConfigMaps were created in {:?}", begun.elapsed());
    let told = eventually("all ConfigMaps are audited", PATIENCE, || {
        let told = server.told();
        let is_all = told.objects == before.objects + many && told.backlog == 0;
        let failing = told.fail == before.fail + objects::failing_config_maps(many);
        if is_all && failing { Ok(told) } else { Err(format!("{told:?}")) }
    });
    let share = 100.0 * told.fail as f64 / told.objects as f64;
    let text = format!("{}, {} findings: {share:.1} %", told.objects, told.fail);
    rows.add("objects at the end", text);
    rows.add("memory of the leader then", server.memory());
    server.stop();
    let mut server = Server::start(&world.run, &world.control_plane.kubectl);
    eventually("everything is known again", PATIENCE, || {
        let again = server.told();
        let is_all = (again.objects, again.fail) == (told.objects, told.fail);
        if is_all && again.backlog == 0 { Ok(()) } else { Err(format!("{again:?}")) }
    });
    rows.add("a new leader knows all of that after", format!("{:?}", server.age()));
    rows.add("its memory", server.memory());
    server.stop();
    rows.print();
}

/// Waits until the control plane's controllers have done what they do about new objects.
fn await_calm(server: &Server) -> Told {
    eventually("objects no longer change by themselves", PATIENCE, || {
        let before = server.told();
        std::thread::sleep(Duration::from_secs(2));
        let told = server.told();
        let asked = told.evaluations - before.evaluations;
        if asked == 0 { Ok(told) } else { Err(format!("{asked} policies were asked")) }
    })
}

/// Waits until the audit is complete and says this.
fn await_audit(server: &Server, expect: Told) -> Told {
    eventually("the audit is complete", PATIENCE, || {
        let told = server.told();
        let found = (told.backlog, told.fail, told.warn);
        if found == (0, expect.fail, expect.warn) && told.covered == expect.covered {
            Ok(told)
        } else {
            Err(format!("{told:?}, not {expect:?}"))
        }
    })
}

impl World {
    fn start() -> World {
        let run = Run::start();
        let control_plane = ControlPlane::start(&run);
        let kubectl = &control_plane.kubectl;
        for manifests in ["crds", "e2e/cluster/audit/reports.yaml"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(manifests);
            let path = path.to_str().unwrap();
            kubectl.run(&["apply", "--server-side", "-f", path]).assert_accepted();
            let wait = ["wait", "--for=condition=Established", "--timeout=60s", "-f", path];
            kubectl.run(&wait).assert_accepted();
        }
        kubectl.run(&["create", "namespace", "portcullis-system"]).assert_accepted();
        let runtime = Runtime::new().unwrap();
        let kubeconfig = Some(kubectl.kubeconfig().clone());
        let client = runtime.block_on(portcullis::controller::connect(kubeconfig, None)).unwrap();
        World { run, control_plane, runtime, client }
    }

    /// How many lists and watches the API server has begun.
    fn lists(&self) -> u64 {
        let said = self.control_plane.kubectl.run(&["get", "--raw", "/metrics"]);
        let is_one = |line: &&str| {
            line.starts_with("apiserver_request_total{")
                && (line.contains("verb=\"LIST\"") || line.contains("verb=\"WATCH\""))
        };
        let count = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        said.stdout.lines().filter(is_one).filter_map(count).sum::<f64>() as u64
    }

    /// The size and the number of all reports, once they list this many failures.
    fn await_reports(&self, failing: u64) -> (usize, usize) {
        eventually("all failures are reported", PATIENCE, || {
            let mut found = (0, 0, 0);
            for kind in ["reports.openreports.io", "clusterreports.openreports.io"] {
                let said = self.control_plane.kubectl.run(&["get", kind, "-A", "-o", "json"]);
                let list: Json = serde_json::from_str(&said.stdout).unwrap_or_default();
                for report in list["items"].as_array().into_iter().flatten() {
                    found.0 += report.to_string().len();
                    found.1 += 1;
                    found.2 += report["summary"]["fail"].as_u64().unwrap_or_default();
                }
            }
            if found.2 == failing { Ok((found.0, found.1)) } else { Err(format!("{found:?}")) }
        })
    }

    /// Changes one Pod after the other so that it fails, and back; how long each took to be counted, in order.
    fn change(&self, server: &Server, sizes: &Sizes, failing: u64) -> Vec<Duration> {
        let each = objects::about_pods(sizes.objects.policies) as u64;
        // It is in the first namespace.
        let pod = format!("pod-{}", sizes.objects.namespaces);
        let pods: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), "scale-0", &kind_of("v1", "Pod", "pods"));
        let mut took = Vec::new();
        for number in 0..sizes.changes {
            let is_back = number % 2 == 1;
            let tier = if is_back { json!("web") } else { json!(null) };
            let patch = Patch::Merge(json!({"metadata": {"labels": {"tier": tier}}}));
            let params = PatchParams::default();
            self.runtime.block_on(pods.patch(&pod, &params, &patch)).unwrap();
            let begun = Instant::now();
            let expect = if is_back { failing } else { failing + each };
            eventually("the change is found", PATIENCE, || {
                let told = server.told();
                if told.fail == expect { Ok(()) } else { Err(format!("{told:?}")) }
            });
            took.push(begun.elapsed());
        }
        took.sort();
        took
    }

    /// A policy is edited: it alone is asked again.
    fn edit_a_policy(&self, server: &Server, objects: Objects, rows: &mut Rows) {
        let before = await_calm(server);
        let edited = policy(0).replace("has a tier", "has a tier, says an edit");
        self.control_plane.kubectl.apply(&edited).assert_accepted();
        let begun = Instant::now();
        let asked = objects.pods as u64;
        let told = eventually("the edited policy is asked again", PATIENCE, || {
            let told = server.told();
            let again = told.evaluations - before.evaluations;
            if again >= asked && told.backlog == 0 && told.fail == before.fail {
                Ok(told)
            } else {
                Err(format!("{told:?}"))
            }
        });
        let again = told.evaluations - before.evaluations;
        // Now and then an object changes by itself.
        assert!(again < asked + asked / 10, "{again} policies were asked, not {asked}");
        let text = format!("{:?}, {again} policies asked", begun.elapsed());
        rows.add("a policy is edited: all is known again after", text);
    }

    /// `kill -9`: the next one finds the same, and writes nothing of what is there.
    fn lose_the_leader(&self, server: &mut Server, rows: &mut Rows) {
        // What was found last is reported.
        std::thread::sleep(REPORTED_AFTER);
        let before = server.told();
        server.kill();
        *server = Server::start(&self.run, &self.control_plane.kubectl);
        let told = await_audit(server, before);
        rows.add(
            "the leader is killed: its successor is complete after",
            format!("{:?}", server.age()),
        );
        assert_eq!((told.fail, told.covered), (before.fail, before.covered));
        std::thread::sleep(Duration::from_secs(3));
        let told = server.told();
        rows.add("reports that it wrote", format!("{}", told.report_writes));
        assert_eq!(told.report_writes, 0, "what is right is not written again");
    }

    fn delete_a_namespace(&self, server: &Server, objects: Objects, rows: &mut Rows) {
        let expect = objects.without_a_namespace().expected();
        let begun = Instant::now();
        let name = objects.last_namespace();
        let delete = ["delete", "namespace", &name, "--wait=false"];
        self.control_plane.kubectl.run(&delete).assert_accepted();
        await_audit(server, expect);
        rows.add(
            "a namespace is deleted: nothing of it is left after",
            format!("{:?}", begun.elapsed()),
        );
        let reports: Api<DynamicObject> = Api::namespaced_with(
            self.client.clone(),
            &name,
            &kind_of("openreports.io/v1alpha1", "Report", "reports"),
        );
        eventually("its report is gone", PATIENCE, || {
            let left = self.runtime.block_on(reports.list(&ListParams::default())).unwrap();
            if left.items.is_empty() { Ok(()) } else { Err(format!("{}", left.items.len())) }
        });
    }
}

/// What was seen.
#[derive(Default)]
struct Rows(Vec<(String, String)>);

impl Rows {
    fn add(&mut self, what: &str, seen: String) {
        println!("{what}: {seen}");
        self.0.push((what.to_owned(), seen));
    }

    fn print(&self) {
        println!("\n| | |\n|---|---|");
        for (what, seen) in &self.0 {
            println!("| {what} | {seen} |");
        }
    }
}
