//! Files as they lie in folders, as editors write them and as Kubernetes mounts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::cel::Version;
use crate::controller::files::{follow, read};
use crate::controller::publish::{Publisher, Purpose};
use crate::policy::snapshot::Snapshot;
use crate::telemetry::Metrics;

/// A folder of its own, which goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("portcullis-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> &Folder {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn link(&self, name: &str, to: &str) -> &Folder {
        std::os::unix::fs::symlink(to, self.0.join(name)).unwrap();
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn policy(name: &str, expression: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: ValidatingPolicy\nmetadata: {{name: {name}}}\nspec:\n  \
         validationActions: [Deny]\n  matchConstraints:\n    resourceRules:\n    - {{apiGroups: [\"\"], \
         apiVersions: [v1], operations: [CREATE], resources: [pods]}}\n  validations:\n  - expression: {expression}\n"
    )
}

/// The names of the policies, or what is wrong, without the folder's own name.
fn outcome(folder: &Path) -> String {
    match read(&[folder.to_path_buf()]) {
        Ok(set) => {
            let names = set.definitions.validating.iter().map(|policy| policy.name.as_str());
            names.collect::<Vec<_>>().join(" ")
        }
        Err(error) => error.to_string().replace(&format!("{}/", folder.display()), ""),
    }
}

#[test]
fn folders_are_read_as_they_are_found() {
    let check = |name: &str, fill: fn(&Folder), expect: &str| {
        let folder = Folder::new(name);
        fill(&folder);
        assert_eq!(outcome(&folder.0), expect, "{name}");
    };
    check("empty", |_| {}, "");
    check(
        "deep",
        |f| {
            f.write("b/c/x.yml", &policy("one", "'true'"));
            f.write("a.yaml", &policy("two", "'true'")).write("spec.md", "# ---\n{");
        },
        "two one",
    );
    check(
        "hidden",
        |f| {
            f.write(".git/x.yaml", "{").write(".swp.yaml", "{").write("a.yaml~", "{");
        },
        "",
    );
    check(
        "config-map",
        |f| {
            f.write("..2026_11_20/p.yaml", &policy("mounted", "'true'"));
            f.link("..data", "..2026_11_20").link("p.yaml", "..data/p.yaml");
        },
        "mounted",
    );
    check(
        "circle",
        |f| {
            f.write("a/p.yaml", &policy("once", "'true'")).link("a/up", "..").link("z", "a");
        },
        "once",
    );
    check(
        "broken",
        |f| {
            f.write(
                "a.yaml",
                "kind: PolicyBinding\napiVersion: portcullis.dev/v1alpha1\nspek: {}\n",
            );
            f.write("b.yaml", &policy("fine", "'true'")).write("c.yaml", "a: b\n  c: d");
        },
        "a.yaml:3:1: unknown field `spek`, expected one of apiVersion, kind, metadata, spec, status\n\
         c.yaml:2:4: mapping values are not allowed in this context",
    );
    check(
        "twice",
        |f| {
            let both = format!("{}---\n{}", policy("p", "'true'"), policy("p", "'false'"));
            f.write("a.yaml", &both);
        },
        "a.yaml:12:1: ValidatingPolicy `p` is already in a.yaml:1",
    );
    check(
        "nothing",
        |f| {
            f.write(
                "a.yaml", "a: 1
",
            );
        },
        "a.yaml: an object without `kind` and `apiVersion`",
    );
}

#[test]
fn what_is_no_text_is_told_with_its_place() {
    let folder = Folder::new("latin");
    fs::write(folder.0.join("a.yaml"), b"a: b\nc: \xe4\n").unwrap();
    assert_eq!(outcome(&folder.0), "a.yaml:2:4: no UTF-8 text");
    let missing = folder.0.join("missing");
    assert!(read(&[missing]).unwrap_err().to_string().contains("No such file"));
}

/// Publishes what is in the folder; the receiver sees it.
fn following(folder: &Folder) -> (watch::Receiver<Option<Arc<Snapshot>>>, Arc<Metrics>) {
    let (sender, receiver) = watch::channel(None);
    let metrics = Arc::new(Metrics::new());
    let publisher =
        Publisher::new(Version::default(), Arc::clone(&metrics), sender, Purpose::Enforce);
    tokio::spawn(follow(vec![folder.0.clone()], publisher));
    (receiver, metrics)
}

async fn names(receiver: &mut watch::Receiver<Option<Arc<Snapshot>>>) -> Vec<String> {
    timeout(Duration::from_secs(20), receiver.changed()).await.expect("in time").unwrap();
    let snapshot = receiver.borrow_and_update().clone().unwrap();
    snapshot.policies().map(|bound| bound.policy.name.clone()).collect()
}

#[tokio::test]
async fn a_change_is_noticed_and_a_broken_file_changes_nothing() {
    let folder = Folder::new("follow");
    folder.write("a.yaml", &policy("a", "'true'"));
    let (mut receiver, metrics) = following(&folder);
    assert_eq!(names(&mut receiver).await, ["a"]);
    folder.write("b.yaml", &policy("b", "no.such.thing"));
    assert_eq!(names(&mut receiver).await, ["a", "b"]);
    folder.write("b.yaml", "{").write("c.yaml", &policy("c", "'true'"));
    let broken = async {
        while !metrics.text().contains(r#"portcullis_reloads_total{result="error"} 1"#) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), broken).await.unwrap();
    assert!(!receiver.has_changed().unwrap());
    folder.write("b.yaml", &policy("b", "'true'"));
    assert_eq!(names(&mut receiver).await, ["a", "b", "c"]);
    fs::remove_file(folder.0.join("a.yaml")).unwrap();
    assert_eq!(names(&mut receiver).await, ["b", "c"]);
}

#[tokio::test]
async fn a_file_that_is_only_touched_is_not_compiled_again() {
    let folder = Folder::new("touch");
    folder.write("a.yaml", &policy("a", "'true'"));
    let (mut receiver, _) = following(&folder);
    assert_eq!(names(&mut receiver).await, ["a"]);
    folder.write("a.yaml", &policy("a", "'true'"));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(!receiver.has_changed().unwrap());
}
