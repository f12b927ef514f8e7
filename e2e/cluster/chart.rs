//! The chart as text: it lints, renders what it rendered before, refuses wrong values, and says the same as its README and
//! the documents. No cluster is needed for any of it.

use crate::helm::{documents, helm, rendered};
use crate::tree;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Sets of values in `e2e/cluster/chart/NAME.values.yaml`; what they make is beside them in `NAME.yaml`.
const SETS: [&str; 3] = ["default", "everything", "foreign"];

fn read(path: &str) -> String {
    std::fs::read_to_string(tree(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Compares a file with what it should be; with `UPDATE_CHART=1` it is written instead.
fn assert_file(path: &str, text: &str) {
    if std::env::var_os("UPDATE_CHART").is_some() {
        std::fs::write(tree(path), text).unwrap();
    }
    let found = std::fs::read_to_string(tree(path)).unwrap_or_default();
    let pairs = found.lines().zip(text.lines());
    let first = pairs.clone().enumerate().find(|(_, (was, is))| was != is);
    let first = first.map(|(line, (was, is))| format!("line {}:\n-{was}\n+{is}", line + 1));
    assert!(
        found == text,
        "{path} is out of date; `make chart` writes it, and git shows what changed\n{}",
        first.unwrap_or_default()
    );
}

fn values_file(set: &str) -> String {
    tree(&format!("e2e/cluster/chart/{set}.values.yaml"))
}

#[test]
fn it_lints() {
    for set in SETS {
        let values = values_file(set);
        let said = helm(&["lint", "--strict", &tree("charts/portcullis"), "--values", &values]);
        said.assert_accepted();
    }
}

#[test]
fn it_renders_what_it_rendered_before() {
    for set in SETS {
        let said = rendered(
            "portcullis-system",
            &["--values", &values_file(set), "--set=crds.install=false"],
        );
        said.assert_accepted();
        let text = said.stdout.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_file(&format!("e2e/cluster/chart/{set}.yaml"), &(text + "\n"));
    }
}

#[test]
fn its_crds_are_those_of_the_project() {
    let specs = |text: &str| -> BTreeMap<String, Value> {
        let crds = documents(text).into_iter().filter(|d| d["kind"] == "CustomResourceDefinition");
        crds.map(|crd| (crd["metadata"]["name"].to_string(), crd["spec"].clone())).collect()
    };
    let expect: String = std::fs::read_dir(tree("crds"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap() + "\n---\n")
        .collect();
    let assert_same = |rendered: &str| {
        // Not printed: they are long.
        assert!(specs(rendered) == specs(&expect), "`make crds` writes those of the chart too");
    };
    let kept = rendered("portcullis-system", &[]).stdout;
    assert_same(&kept);
    assert_eq!(kept.matches("helm.sh/resource-policy: keep").count(), specs(&expect).len());
    let free = rendered("portcullis-system", &["--set=crds.keep=false"]).stdout;
    assert_same(&free);
    assert!(!free.contains("helm.sh/resource-policy"));
}

#[test]
fn it_refuses_values_that_it_does_not_know() {
    let rows = [
        ("replica=3", "'replica' not allowed"),
        ("replicas=0", "at '/replicas'"),
        ("image.tga=1", "'tga' not allowed"),
        ("image.digest=sha256:1", "at '/image/digest'"),
        ("log.format=xml", "at '/log/format'"),
        ("webhook.timeoutSeconds=31", "at '/webhook/timeoutSeconds'"),
        ("webhook.url=http://portcullis", "at '/webhook/url'"),
        ("webhook.excludedNamespaces={A}", "at '/webhook/excludedNamespaces/0'"),
        ("terminationGracePeriodSeconds=30", "at '/terminationGracePeriodSeconds'"),
        ("podDisruptionBudget.maxUnavailable=half", "at '/podDisruptionBudget/maxUnavailable'"),
        ("rbac.params[0].resources={pods}", "missing property 'apiGroups'"),
        ("audit.reports=kyverno", "at '/audit/reports'"),
        ("registries.mirrors={docker.io}", "at '/registries/mirrors/0'"),
        ("rbac.audit[0].resources={pods}", "missing property 'apiGroups'"),
        ("serviceAccount.create=false", "serviceAccount.name is needed"),
    ];
    for (value, says) in rows {
        rendered("ns", &["--set", value]).assert_rejected(&[says]);
    }
    rendered("ns", &["--kube-version", "1.29.0"]).assert_rejected(&["chart requires kubeVersion"]);
}

#[test]
fn secrets_of_pods_are_read_only_where_somebody_said_so() {
    let bindings = |values: &[&str]| -> Vec<(String, String)> {
        let rendered = rendered("ns", &[&["--set=crds.install=false"], values].concat()).stdout;
        let ours = documents(&rendered).into_iter().filter(|document| {
            document["roleRef"]["name"].as_str().is_some_and(|name| name.ends_with("-pull-secrets"))
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        ours.map(|one| (text(&one["kind"]), text(&one["metadata"]["namespace"]))).collect()
    };
    let some = |kind: &str, namespace: &str| (kind.to_owned(), namespace.to_owned());
    assert_eq!(bindings(&[]), []);
    let on = "--set=registries.pullSecrets.enabled=true";
    assert_eq!(bindings(&[on]), [some("ClusterRoleBinding", "")]);
    let two = "--set=registries.pullSecrets.namespaces={bank,shop}";
    assert_eq!(bindings(&[on, two]), ["bank", "shop"].map(|name| some("RoleBinding", name)));
    assert_eq!(bindings(&[two]), []);
}

// ---- documents

/// Path, description and default of every value that has no properties of its own.
fn values() -> Vec<(String, String, Value)> {
    let schema: Value =
        serde_json::from_str(&read("charts/portcullis/values.schema.json")).unwrap();
    let defaults: Value = serde_saphyr::from_str(&read("charts/portcullis/values.yaml")).unwrap();
    let mut found = Vec::new();
    describe("", &schema, Some(&defaults), &mut found);
    found
}

fn describe(
    path: &str,
    schema: &Value,
    default: Option<&Value>,
    found: &mut Vec<(String, String, Value)>,
) {
    let Some(properties) = schema["properties"].as_object() else {
        let default = default.unwrap_or_else(|| panic!("values.yaml has no `{path}`")).clone();
        found.push((path.to_owned(), schema["description"].as_str().unwrap().to_owned(), default));
        return;
    };
    let known: BTreeSet<&String> = properties.keys().collect();
    let given: BTreeSet<&String> =
        default.and_then(Value::as_object).into_iter().flat_map(|d| d.keys()).collect();
    assert!(given.is_subset(&known), "values.yaml has what the schema does not: {path}: {given:?}");
    assert_eq!(schema["additionalProperties"], Value::Bool(false), "{path} is not strict");
    for (name, schema) in properties {
        assert!(
            schema["description"].as_str().is_some_and(|d| !d.is_empty()),
            "{path}.{name} has no description"
        );
        if path.is_empty() && name == "global" {
            continue;
        }
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        // An item of a list is described where the list is.
        describe(&path, schema, default.and_then(|d| d.get(name)), found);
    }
}

#[test]
fn its_readme_names_every_value() {
    let mut table = String::from("| value | default | |\n|---|---|---|\n");
    for (path, description, default) in values() {
        let default = if default == "" { String::new() } else { format!("`{default}`") };
        let _ = writeln!(table, "| `{path}` | {default} | {description} |");
    }
    let path = "charts/portcullis/README.md";
    let readme = read(path);
    let (before, rest) = readme.split_once("<!-- values -->\n").expect("where the table begins");
    let (_, after) = rest.split_once("<!-- end -->").expect("where it ends");
    assert_file(path, &format!("{before}<!-- values -->\n{table}<!-- end -->{after}"));
}

#[test]
fn its_alerts_are_those_of_the_documents_and_ask_for_metrics_that_exist() {
    let alerts: Value =
        serde_saphyr::from_str(&read("charts/portcullis/files/alerts.yaml")).unwrap();
    let alerts = alerts["alerts"].as_array().unwrap();
    let text = |alert: &Value, field: &str| alert[field].as_str().unwrap().to_owned();
    let names: BTreeSet<String> = alerts.iter().map(|alert| text(alert, "alert")).collect();
    let operations = read("docs/operations.md");
    let registry =
        ["", "/audit"].map(|part| read(&format!("src/telemetry/metrics{part}.rs"))).concat();
    let rows = operations.lines().filter(|line| line.starts_with("| `Portcullis"));
    let told: BTreeSet<String> =
        rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect();
    assert_eq!(names, told, "the alerts of docs/operations.md");
    let runbook = |name: &String| operations.contains(&format!("\n### {name}\n\n"));
    assert!(names.iter().all(runbook), "each alert has a runbook in docs/operations.md");
    for alert in alerts {
        let expression = text(alert, "expr");
        for metric in metrics(&expression) {
            let registered = metric.trim_start_matches("portcullis_").trim_end_matches("_total");
            assert!(registry.contains(&format!("\"{registered}\"")), "{metric} is not registered");
            assert!(
                operations.contains(&format!("| `{metric}` |")),
                "{expression}: no such metric: {metric}"
            );
        }
        assert!(expression.contains("{OURS"), "{expression}: is about everybody's metrics");
        assert!(
            text(alert, "summary").ends_with('.')
                && text(alert, "description").ends_with(['.', '`'])
        );
    }
}

/// The names of our metrics in an expression.
fn metrics(expression: &str) -> Vec<String> {
    let words = expression.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("portcullis_")).map(str::to_owned).collect()
}
