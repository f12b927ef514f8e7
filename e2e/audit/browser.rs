//! The page in a real browser, if one is installed: it draws what it should, its filters work, and nothing hostile runs.
//! `SCREENSHOTS=1` writes the pictures of `docs/` again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::program::{Folder, audit};
use crate::{NO_LATEST, OWNED, pod};

/// Names of browsers that print what they show.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

fn browser() -> Option<&'static str> {
    let works = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    BROWSERS.into_iter().find(works)
}

/// Runs the browser on a page, with a profile that nobody else has.
fn browse(name: &str, folder: &Folder, page: &str, arguments: &[&str]) -> String {
    let profile = folder.0.join("profile");
    let _ = std::fs::remove_dir_all(&profile);
    let output = Command::new("timeout")
        .args([
            &PATIENCE.as_secs().to_string(),
            name,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
        ])
        .args(["--disable-quic", "--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .arg(format!("file://{}/{page}", folder.0.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A browser starts in a second or two on a quiet machine.
const PATIENCE: Duration = Duration::from_mins(2);

fn page(folder: &Folder, count: usize) {
    folder.write("policies/no-latest.yaml", NO_LATEST);
    folder.write("policies/owned.yaml", OWNED);
    let mut pods = String::new();
    for number in 0..count {
        let namespace = ["shop", "search", "mail"][number % 3];
        let one = pod(&format!("web-{number}"), namespace, "x:latest");
        pods += &if number % 5 == 0 { one.replace("{team: x}", "{}") } else { one };
    }
    pods += &pod("\"<script>document.title='owned'</script>\"", "evil", "x:latest");
    folder.write("pods.yaml", pods);
    let arguments = ["-p", "policies", "-o", "html", "--output-file", "page.html", "pods.yaml"];
    let ran = audit(folder, &arguments);
    assert_eq!(ran.code, 1, "{}", ran.err);
}

#[test]
fn the_page_works_in_a_browser() {
    let Some(name) = browser() else {
        println!("no browser here; the page was not looked at");
        return;
    };
    let folder = Folder::new("browser");
    page(&folder, 10_000);
    let check = |hash: &str, count: &str, shows: &[&str], hides: &[&str]| {
        let dom = browse(name, &folder, &format!("page.html{hash}"), &["--dump-dom"]);
        let said = dom.split("id=\"count\"").nth(1).unwrap().split('>').nth(1).unwrap();
        assert_eq!(said.split('<').next().unwrap(), count, "{hash}");
        let list = dom.split("id=\"findings\"").nth(1).unwrap();
        let list = list.split("id=\"data\"").next().unwrap();
        for text in shows {
            assert!(list.contains(text), "{hash} does not show {text}");
        }
        for text in hides {
            assert!(!list.contains(text), "{hash} shows {text}");
        }
        assert!(dom.contains("<title>Portcullis audit</title>"), "a script of an object ran");
        list.matches("<details").count()
    };
    // A page at a time, whatever there is.
    assert_eq!(
        check("", "12001 of 12001 findings", &["web-0", "Show 200 more"], &["<script>doc"]),
        200
    );
    check("#severity=low", "2000 of 12001 findings", &["no team"], &["is latest"]);
    check(
        "#policy=no-latest&namespace=shop",
        "3334 of 12001 findings",
        &["Pod in shop"],
        &["no team"],
    );
    check("#result=warn&text=web-9995", "1 of 12001 findings", &["web-9995"], &["web-9990"]);
    check("#text=no+such+thing", "0 of 12001 findings", &["Nothing to show."], &["<details"]);
    check("#namespace=evil", "1 of 12001 findings", &["&lt;script&gt;document"], &["<script>doc"]);
}

/// A cluster as clusters are: most of it is in order.
fn cluster() -> String {
    let apps = ["web", "cart", "search", "mailer", "ledger", "images", "checkout", "stock"];
    let mut cluster = String::new();
    for (place, namespace) in ["shop", "payments", "search", "internal-tools"].iter().enumerate() {
        for (number, app) in apps.iter().enumerate() {
            let turn = place * apps.len() + number;
            let image = match turn % 7 {
                3 => format!("ghcr.io/acme/{app}:latest"),
                5 => format!("docker.io/{app}/{app}:2.1"),
                _ => format!("ghcr.io/acme/{app}:1.{number}"),
            };
            let privileged = if turn % 11 == 4 { "true" } else { "false" };
            let host = if turn % 13 == 6 { "  hostNetwork: true\n" } else { "" };
            let limits = if turn % 3 == 1 {
                "{}"
            } else {
                "{limits: {memory: 256Mi}, requests: {cpu: 100m}}"
            };
            cluster += &format!(
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {app}-{turn}\n  namespace: {namespace}\n  labels: \
                 {{app.kubernetes.io/name: {app}}}\nspec:\n{host}  securityContext: {{runAsNonRoot: true, seccompProfile: \
                 {{type: RuntimeDefault}}}}\n  containers:\n  - name: {app}\n    image: {image}\n    resources: {limits}\n    \
                 securityContext: {{privileged: {privileged}, allowPrivilegeEscalation: false, capabilities: {{drop: \
                 [ALL]}}}}\n---\n"
            );
        }
    }
    cluster
}

/// Writes the pictures in the documentation when it is asked to.
#[test]
fn pictures_are_made_of_the_page() {
    if std::env::var_os("SCREENSHOTS").is_none() {
        println!("SCREENSHOTS is not set; the pictures of docs/ stay as they are");
        return;
    }
    let name = browser().expect("a browser is needed to make pictures");
    let folder = Folder::new("pictures");
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let policies = tree.join("policies");
    folder.write("cluster.yaml", cluster());
    let arguments = ["-p", policies.to_str().unwrap(), "-o", "html", "--output-file", "page.html"];
    let ran = audit(&folder, &[&arguments[..], &["cluster.yaml"]].concat());
    assert_eq!(ran.code, 1, "{}", ran.err);
    // Whoever looks at the picture has another machine.
    let page = folder.read("page.html").replace(&format!("{}/", tree.display()), "");
    let opened = page.replace(
        "  recall();\n})();",
        "  recall();\n  list.querySelector(\"details\").open = true;\n})();",
    );
    assert_ne!(page, opened);
    let open = opened.split("<meta http-equiv").next().unwrap().to_owned()
        + opened.split_once("form-action 'none'\">").unwrap().1;
    folder.write("open.html", open);
    for (file, dark) in [("page.png", false), ("page-dark.png", true)] {
        let picture = tree.join("docs/audit").join(file);
        let shot = format!("--screenshot={}", picture.display());
        let mut arguments = vec![shot.as_str(), "--window-size=1200,900"];
        if dark {
            arguments.push("--blink-settings=preferredColorScheme=0");
        }
        browse(name, &folder, "open.html", &arguments);
        let bytes = std::fs::metadata(&picture).unwrap().len();
        assert!((10_000..400_000).contains(&bytes), "{file} has {bytes} bytes");
    }
}
