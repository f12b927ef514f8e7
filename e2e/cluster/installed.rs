//! The chart in a real cluster: installed, enforcing with the rights that it gives and no other, upgraded, uninstalled.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::control_plane::free_ports;
use crate::helm::{documents, helm_in, rendered};
use crate::kubectl::Said;
use crate::processes::eventually;
use crate::release::{Release, Replica};
use crate::{PATIENCE, PEACE, Space, WORLD, pod, tree};

/// The kinds of operators that the test cluster does not have.
const OPERATORS: [&str; 2] = ["cert-manager.io/v1", "monitoring.coreos.com/v1"];

/// Looks up everything that there is to look up: params, the requesting user's rights, a namespace's labels, the schema that
/// a merge goes by.
const POLICIES: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-params}
spec:
  validationActions: [Deny]
  paramKind: {apiVersion: v1, kind: ConfigMap}
  paramRef: {name: rules, namespace: SPACE, parameterNotFoundAction: Deny}
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - {expression: object.metadata.name != params.data.bad, message: not this one}
  - expression: authorizer.group('').resource('pods').namespace('SPACE').check('create').allowed()
    message: may not create Pods
---
apiVersion: portcullis.dev/v1alpha1
kind: MutatingPolicy
metadata: {name: SPACE-label}
spec:
  selfBinding: true
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: \"Object{metadata: Object.metadata{labels: {'seen': 'yes'}}}\"}
";

const OLD_SECRET: &str = "{apiVersion: v1, kind: Secret, metadata: {name: old}}";

const RULES: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: rules}, data: {bad: bad}}";

/// Params of a kind that the chart gives no right to.
const FOREIGN_PARAMS: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-foreign}
spec:
  validationActions: [Deny]
  paramKind: {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice}
  paramRef: {name: limits, namespace: SPACE, parameterNotFoundAction: Deny}
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [secrets]}
  validations:
  - {expression: params.metadata.name == 'other', message: the limits are known}
";

/// A key in a Secret.
const KEY_POLICY: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: {name: SPACE-NAME}
spec:
  images: [registry.example.com/**]
  authorities:
  - name: release
    key: {secretRef: {namespace: SPACE, name: NAME}}
";

const MORE_RIGHTS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: SPACE-params, labels: {portcullis.dev/aggregate-to-params: 'true'}}
rules:
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
";

/// What is there is looked at, as far as the chart lets it: Pods, and no Secrets.
const AUDITED: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE-audited}
spec:
  validationActions: [Audit]
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods, secrets]}
  validations:
  - {expression: object.metadata.name != 'old', message: it is old}
";

const RIGHT_TO_AUDIT: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: SPACE-audit, labels: {portcullis.dev/aggregate-to-audit: 'true'}}
rules:
- {apiGroups: [''], resources: [secrets], verbs: [list, watch]}
";

#[test]
fn accepts_everything_that_the_chart_makes() {
    let _peace = PEACE.read();
    let space = Space::without_server("chart-dry");
    for set in ["default", "everything", "foreign"] {
        let values = tree(&format!("e2e/cluster/chart/{set}.values.yaml"));
        let mut made = documents(&rendered(&space.name, &["--values", &values]).stdout);
        // A dry run leaves no service account for it.
        for pod in made.iter_mut().filter(|object| object["kind"] == "Pod") {
            pod["spec"]["serviceAccountName"] = "default".into();
        }
        // Rights are given where somebody else's objects are.
        for namespace in made.iter().filter_map(|object| object["metadata"]["namespace"].as_str()) {
            WORLD.kubectl.run(&["create", "namespace", namespace]);
        }
        let known =
            made.iter().filter(|object| !OPERATORS.iter().any(|o| object["apiVersion"] == *o));
        let text: Vec<String> = known.map(ToString::to_string).collect();
        let apply = ["apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-"];
        let said = WORLD.kubectl.run_with(&apply, &text.join("\n---\n"));
        said.assert_accepted();
        assert_eq!(said.stdout.lines().count(), text.len(), "{}", said.stdout);
        assert_eq!(said.stderr, "", "{set}: no warnings");
    }
}

#[test]
fn accepts_and_rejects_as_installed_upgraded_and_uninstalled() {
    let _peace = PEACE.write();
    WORLD.server.lock().unwrap().kill();
    let home = Space::without_server("chart");
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    WORLD.kubectl.run(&["label", "namespace", &home.name, restricted]).assert_accepted();
    let guarded = Space::without_server("chart-guarded");
    let [first_port, second_port] = free_ports();
    let release = Release::install(&home, &values(first_port, 10));
    its_pods_are_admitted(&home);
    release.lead_here(first_port);
    let first = release.replica("portcullis-first");
    guarded.kubectl.apply(RULES).assert_accepted();
    guarded.kubectl.apply(&pod("old", "nginx:1")).assert_accepted();
    guarded.kubectl.apply(OLD_SECRET).assert_accepted();
    guarded.apply_until(POLICIES, &pod("bad", "nginx:1"), "denied request: not this one");
    it_changes_what_it_admits(&guarded);
    it_says_that_it_works(&release);
    keys_are_read_by_the_names_of_their_secrets(&guarded);
    more_params_take_a_label(&guarded);
    it_reports_what_it_may_read(&guarded, &first, first_port);
    whoever_is_on_call_breaks_the_glass(&release, &guarded);
    let second = it_is_upgraded(&release, &guarded, first, second_port);
    assert_no_right_is_missing(&second);
    assert_everything_was_written(second_port);

    it_is_uninstalled(&release, &guarded, second);
}

fn values(port: u16, timeout_seconds: u8) -> Vec<String> {
    vec![
        "--set=server.address=127.0.0.1".to_owned(),
        format!("--set=server.port={port},service.port={port}"),
        format!("--set=webhook.timeoutSeconds={timeout_seconds}"),
        "--set=rbac.keySecrets[0].namespace=e2e-chart-guarded".to_owned(),
        "--set=rbac.keySecrets[0].names={signer}".to_owned(),
    ]
}

/// Nobody runs them, but the API server takes them: their priority class, in a namespace of the restricted standard.
fn its_pods_are_admitted(home: &Space) {
    eventually("there are three Pods", PATIENCE, || {
        let pods = home.kubectl.run(&["get", "pods", "-o", "name"]).ok()?;
        if pods.lines().count() == 3 { Ok(()) } else { Err(pods) }
    });
    home.kubectl.get("poddisruptionbudget", "portcullis");
}

fn it_changes_what_it_admits(guarded: &Space) {
    eventually("the label is there", PATIENCE, || {
        let made =
            ["apply", "--dry-run=server", "-o", "jsonpath={.metadata.labels.seen}", "-f", "-"];
        let seen = guarded.kubectl.run_with(&made, &pod("good", "nginx:1")).ok()?;
        if seen == "yes" { Ok(()) } else { Err(seen) }
    });
}

/// What `helm test` runs, as it runs it, and what a person sees.
fn it_says_that_it_works(release: &Release) {
    let hooks = helm_in(&WORLD.kubectl, &release.space.name, &["get", "hooks", "portcullis"]);
    let test = &documents(&hooks.assert_accepted().stdout)[0];
    let arguments = &test["spec"]["containers"][0]["args"];
    let said = said(&mut release.command(arguments, "portcullis"));
    said.assert_accepted();
    assert!(said.stdout.contains("held by portcullis-first"), "{}", said.stdout);
    assert!(said.stdout.contains("mutating webhooks: 1 registered"), "{}", said.stdout);
}

/// Kinds of params that the chart does not know can be read as soon as somebody allows it.
fn more_params_take_a_label(guarded: &Space) {
    let limits = "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: limits}, \
                  addressType: IPv4, endpoints: []}";
    guarded.kubectl.apply(limits).assert_accepted();
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: any}}";
    guarded.apply(FOREIGN_PARAMS);
    guarded.await_answer(secret, "SPACE-foreign".replace("SPACE", &guarded.name).as_str());
    let said = guarded.kubectl.try_apply(secret);
    assert!(!said.stderr.contains("the limits are known"), "{}", said.stderr);
    guarded.apply(MORE_RIGHTS);
    guarded.await_answer(secret, "the limits are known");
    WORLD.kubectl.delete(&guarded.fill(FOREIGN_PARAMS));
}

/// The chart gives the right to one Secret; another can't be read, and the policy says so.
fn keys_are_read_by_the_names_of_their_secrets(guarded: &Space) {
    let says = |secret: &str, expect: &str| {
        let policy = KEY_POLICY.replace("NAME", secret);
        guarded.apply(&policy);
        let name = format!("{}-{secret}", guarded.name);
        eventually(expect, PATIENCE, || {
            let status = WORLD.kubectl.get("imagepolicy", &name)["status"].to_string();
            if status.contains(expect) { Ok(()) } else { Err(status) }
        });
        WORLD.kubectl.delete(&guarded.fill(&policy));
    };
    says("signer", "there is no Secret");
    says("other", "can't be read: secrets");
}

/// What it may not read is said once, and shown as long as it lasts; the rest is reported all the same.
fn it_reports_what_it_may_read(guarded: &Space, server: &Replica, port: u16) {
    let await_reported = |expect: &[&str]| {
        eventually(&format!("{expect:?} are reported"), PATIENCE, || {
            let found =
                guarded.kubectl.run(&["get", "reports.openreports.io", "-o", "json"]).ok()?;
            let list: serde_json::Value = serde_json::from_str(&found).unwrap();
            let reports = list["items"].as_array().unwrap().iter();
            let results = reports.flat_map(|report| report["results"].as_array().unwrap());
            let resource = |result: &serde_json::Value| {
                let resource = &result["resources"][0];
                format!(
                    "{}/{}",
                    resource["kind"].as_str().unwrap(),
                    resource["name"].as_str().unwrap()
                )
            };
            let mut reported: Vec<_> = results.map(resource).collect();
            reported.sort();
            if reported == expect { Ok(()) } else { Err(format!("{reported:?}")) }
        });
    };
    let unreadable = || {
        let metrics = metrics(port);
        let lines = metrics.lines().filter(|line| line.contains("audit_unreadable_kinds{"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // Another policy about Secrets may have been there before, so that it was said already.
    let told = || {
        let log = server.log();
        let told = log.lines().filter(|line| line.contains("these can't be audited"));
        told.filter(|line| line.contains("cannot list resource \\\"secrets")).count()
    };
    guarded.apply(AUDITED);
    await_reported(&["Pod/old"]);
    let expect = ["portcullis_audit_unreadable_kinds{group=\"\",resource=\"secrets\"} 1"];
    assert_eq!(unreadable(), expect);
    let before = told();
    assert!(before > 0, "it is not told");
    // It is tried again all the time.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(told(), before, "it is told once");
    guarded.apply(RIGHT_TO_AUDIT);
    await_reported(&["Pod/old", "Secret/old"]);
    assert_eq!(unreadable(), Vec::<String>::new());
    let written = metrics(port);
    assert!(written.contains("what=\"report\",result=\"ok\""), "{written}");
    assert!(!written.contains("what=\"report\",result=\"error\""), "{written}");
}

/// With the ClusterRole for it, and no other right.
fn whoever_is_on_call_breaks_the_glass(release: &Release, guarded: &Space) {
    let home = release.space;
    home.kubectl.run(&["create", "serviceaccount", "on-call"]).assert_accepted();
    home.apply(
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: SPACE-on-call}, \
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: portcullis-break-glass}, \
         subjects: [{kind: ServiceAccount, name: on-call, namespace: SPACE}]}",
    );
    let run =
        |arguments: &[&str]| said(&mut release.command(&serde_json::json!(arguments), "on-call"));
    let reason = ["break-glass", "--reason", "the chart is tried"];
    eventually("the glass is broken", PATIENCE, || run(&reason).ok());
    guarded.await_answer(&pod("bad", "nginx:1"), "Break-glass until");
    let events = ["get", "events", "-n", "default", "--field-selector=reason=EnforcementSuspended"];
    eventually("there is an Event", PATIENCE, || {
        let said = WORLD.kubectl.run(&events).ok()?;
        if said.contains("the chart is tried") { Ok(()) } else { Err(said) }
    });
    run(&["break-glass", "--end"]).assert_accepted();
    guarded.await_answer(&pod("bad", "nginx:1"), "denied request: not this one");
}

/// The new release's server waits for the Lease, gets it when the old one has ended, and registers where it is. Nothing
/// that the policies are against is admitted meanwhile. (It may be denied because nobody answers: no Service here leads to
/// both.)
fn it_is_upgraded(release: &Release, guarded: &Space, first: Replica, port: u16) -> Replica {
    let denied = |by: &str| {
        let said = guarded.kubectl.try_apply(&pod("bad", "nginx:1"));
        said.assert_rejected(&[by]);
    };
    let by_policy = "denied request: not this one";
    // Nothing that the server wrote is in Helm's way; the Service that leads here would be.
    release.space.kubectl.run(&["delete", "service", "portcullis"]).assert_accepted();
    let mut values = values(port, 7);
    values.push("--set=labels.release=second".to_owned());
    release.helm("upgrade", &[], &values).assert_accepted();
    denied("");
    release.lead_here(port);
    denied(by_policy);
    // The CRDs are upgraded with the rest.
    let crd = WORLD.kubectl.get("crd", "validatingpolicies.portcullis.dev");
    assert_eq!(crd["metadata"]["labels"]["release"], "second");
    let second = release.replica("portcullis-second");
    eventually("the second one answers", PATIENCE, || {
        let log = second.log();
        if log.contains("listening") { Ok(()) } else { Err(log) }
    });
    first.tell_to_stop();
    eventually("the second one has registered", PATIENCE, || {
        denied("");
        let found = WORLD.kubectl.get("validatingwebhookconfiguration", "portcullis");
        let webhook = &found["webhooks"][0];
        let is_second = webhook["clientConfig"]["service"]["port"] == port;
        if is_second && webhook["timeoutSeconds"] == 7 { Ok(()) } else { Err(webhook.to_string()) }
    });
    assert_no_right_is_missing(&first);
    guarded.await_answer(&pod("bad", "nginx:1"), by_policy);
    second
}

fn it_is_uninstalled(release: &Release, guarded: &Space, mut server: Replica) {
    let bad = pod("bad", "nginx:1");
    release.uninstall().assert_accepted();
    let began = Instant::now();
    for kind in ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
        eventually("the webhooks go by themselves", PATIENCE, || gone(kind, "portcullis"));
    }
    println!("the webhooks went {} ms after the uninstallation", began.elapsed().as_millis());
    guarded.kubectl.try_apply(&bad).assert_accepted();
    // A server in its grace period hears of a change, and must not register again.
    guarded.apply(&POLICIES.replace("not this one", "nor this one"));
    std::thread::sleep(Duration::from_secs(2));
    gone("validatingwebhookconfiguration", "portcullis").unwrap();
    guarded.kubectl.try_apply(&bad).assert_accepted();
    server.process.assert_alive();

    let home = &release.space.kubectl;
    let left = "deployment,service,secret,lease,serviceaccount,role,rolebinding,networkpolicy,poddisruptionbudget";
    let of_release = "app.kubernetes.io/instance=portcullis";
    for kinds in [left, "clusterrole,clusterrolebinding"] {
        let said = home.run(&["get", kinds, "-l", of_release, "-o", "name"]);
        assert_eq!(said.assert_accepted().stdout, "", "left in the cluster");
    }
    // The policies stay, for the next installation.
    WORLD.kubectl.get("crd", "validatingpolicies.portcullis.dev");
    WORLD.kubectl.get("validatingpolicy", &guarded.fill("SPACE-params"));
}

fn gone(kind: &str, name: &str) -> Result<(), String> {
    let said = WORLD.kubectl.run(&["get", kind, name]);
    if said.stderr.contains("not found") { Ok(()) } else { Err(said.stdout + &said.stderr) }
}

/// Everything that the server wanted to read or write it could: what it could not, it logs.
fn assert_no_right_is_missing(replica: &Replica) {
    let log = replica.log();
    let wanted: Vec<&str> = log.lines().filter(|line| line.contains("orbidden")).collect();
    // Those that the chart does not give, and that a test asks for on purpose.
    let meant = |line: &&&str| line.contains("endpointslices") || line.contains("secrets");
    let wanted: Vec<_> = wanted.iter().filter(|line| !meant(line)).collect();
    assert!(wanted.is_empty(), "{wanted:#?}");
}

/// Its own count of what it could not write.
fn assert_everything_was_written(port: u16) {
    let told = metrics(port);
    let writes = told.lines().filter(|line| line.contains("cluster_writes_total{"));
    let failed: Vec<&str> = writes.filter(|line| line.contains("result=\"error\"")).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(told.contains("what=\"registration\",result=\"ok\""), "{told}");
}

fn metrics(port: u16) -> String {
    let url = format!("https://127.0.0.1:{port}/metrics");
    let mut curl = Command::new("curl");
    let output = curl.args(["--silent", "--fail", "--insecure", &url]).output().unwrap();
    assert!(output.status.success(), "{url}");
    String::from_utf8(output.stdout).unwrap()
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = Said {
        success: output.status.success(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    };
    println!("{}{}", said.stdout, said.stderr);
    said
}
