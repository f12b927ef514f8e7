//! The real `helm`, and the chart as it renders. Where the binary comes from is the business of `e2e/tools/build.sh`.

use crate::kubectl::{Kubectl, Said};
use crate::tools::built;
use crate::tree;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The release of Kubernetes that rendering takes itself to be for; a cluster is asked.
const KUBE_VERSION: &str = "1.36.0";

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| built("helm").join("helm"));

/// Runs helm, with nothing of the person whose machine this is.
pub fn helm(arguments: &[&str]) -> Said {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
    let output = Command::new(&*PROGRAM)
        .args(arguments)
        .env("HELM_CACHE_HOME", own.join("cache"))
        .env("HELM_CONFIG_HOME", own.join("config"))
        .env("HELM_DATA_HOME", own.join("data"))
        .output()
        .unwrap_or_else(|e| panic!("{} does not start: {e}", PROGRAM.display()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = Said {
        success: output.status.success(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    };
    if !said.success {
        println!("$ helm {}\n{}{}", arguments.join(" "), said.stdout, said.stderr);
    }
    said
}

/// Runs helm against the cluster, on releases of the namespace.
pub fn helm_in(kubectl: &Kubectl, namespace: &str, arguments: &[&str]) -> Said {
    let kubeconfig = kubectl.kubeconfig().to_str().unwrap();
    helm(&[&["--kubeconfig", kubeconfig, "--namespace", namespace], arguments].concat())
}

/// What the chart makes with these arguments.
pub fn rendered(namespace: &str, arguments: &[&str]) -> Said {
    let chart = tree("charts/portcullis");
    let fixed = ["template", "portcullis", &chart, "--namespace", namespace];
    helm(&[&fixed[..], &["--kube-version", KUBE_VERSION], arguments].concat())
}

/// The documents of a text of many.
pub fn documents(text: &str) -> Vec<serde_json::Value> {
    let parts = text.split("\n---").map(|part| part.trim_start_matches("---"));
    let values =
        parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{e}: {part}")));
    values.filter(|value: &serde_json::Value| !value.is_null()).collect()
}
