//! What a person at `kubectl` is told: admitted, admitted with a warning, denied with a reason, or changed.

use crate::processes::eventually;
use crate::{PATIENCE, PEACE, Space, pod};

/// Pods of the namespace must not run an image tagged `latest`.
const NO_LATEST: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE}
spec:
  validationActions: [Deny]
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods]}
  validations:
  - expression: object.spec.containers.all(c, !c.image.endsWith(':latest'))
    messageExpression: >-
      'container ' + object.spec.containers.filter(c, c.image.endsWith(':latest'))[0].name
      + ' runs a moving tag; name a version'
";

const NO_LATEST_SAYS: &str = "container app runs a moving tag; name a version";

#[test]
fn rejects_a_bad_pod_with_the_policys_message() {
    let _peace = PEACE.read();
    let space = Space::open("bad-pod");
    let bad = pod("bad", "nginx:latest");
    space.apply_until(NO_LATEST, &bad, NO_LATEST_SAYS);

    let said = space.kubectl.apply(&bad);
    println!("$ kubectl apply -f bad.yaml\n{}", said.stderr);
    said.assert_rejected(&["denied the request", "e2e-bad-pod", NO_LATEST_SAYS]);
    space.kubectl.run(&["get", "pod", "bad"]).assert_rejected(&["not found"]);
}

#[test]
fn accepts_a_good_pod() {
    let _peace = PEACE.read();
    let space = Space::open("good-pod");
    space.apply_until(NO_LATEST, &pod("bad", "nginx:latest"), NO_LATEST_SAYS);

    let said = space.kubectl.apply(&pod("good", "nginx:1.31"));
    assert_eq!(said.assert_accepted().stderr, "", "an admission without remarks");
    assert_eq!(space.kubectl.get("pod", "good")["spec"]["containers"][0]["image"], "nginx:1.31");
}

#[test]
fn rejects_an_update_that_makes_a_good_pod_bad() {
    let _peace = PEACE.read();
    let space = Space::open("update");
    space.apply_until(NO_LATEST, &pod("bad", "nginx:latest"), NO_LATEST_SAYS);
    space.kubectl.apply(&pod("good", "nginx:1.31")).assert_accepted();

    let said = space.kubectl.run(&["set", "image", "pod/good", "app=nginx:latest"]);
    said.assert_rejected(&[NO_LATEST_SAYS]);
    space.kubectl.run(&["set", "image", "pod/good", "app=nginx:1.32"]).assert_accepted();
}

#[test]
fn rejects_the_pods_of_a_deployment_and_says_so_in_its_events() {
    let _peace = PEACE.read();
    let space = Space::open("deployment");
    space.apply_until(NO_LATEST, &pod("bad", "nginx:latest"), NO_LATEST_SAYS);

    let deployment = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: 'nginx:latest'}]}
";
    space.kubectl.apply(deployment).assert_accepted();
    let events = ["get", "events", "--field-selector=reason=FailedCreate", "-o", "json"];
    let event = eventually("the ReplicaSet says why it has no Pods", PATIENCE, || {
        let events = space.kubectl.run(&events).ok()?;
        let events: serde_json::Value = serde_json::from_str(&events).unwrap();
        let event = events["items"].get(0).ok_or("no event yet")?;
        Ok(event["message"].as_str().unwrap().to_owned())
    });
    println!("the ReplicaSet's event: {event}");
    assert!(event.contains(NO_LATEST_SAYS), "{event}");
}

#[test]
fn accepts_with_a_warning_in_kubectls_output() {
    let _peace = PEACE.read();
    let space = Space::open("warn");
    let warn = NO_LATEST.replace("[Deny]", "[Warn]");
    let bad = pod("bad", "nginx:latest");
    space.apply_until(&warn, &bad, NO_LATEST_SAYS);

    let said = space.kubectl.apply(&bad);
    println!("$ kubectl apply -f bad.yaml\n{}{}", said.stderr, said.stdout);
    said.assert_accepted();
    let warning = said.stderr.lines().find(|line| line.starts_with("Warning: ")).unwrap_or("");
    assert!(warning.contains(NO_LATEST_SAYS), "no warning in: {}", said.stderr);
    space.kubectl.run(&["get", "pod", "bad"]).assert_accepted();
}

#[test]
fn rejects_by_a_binding_with_parameters() {
    let _peace = PEACE.read();
    let space = Space::open("params");
    let allowed = "{apiVersion: v1, kind: ConfigMap, metadata: {name: allowed, namespace: SPACE}, \
                   data: {registry: 'registry.example/'}}";
    space.apply(allowed);
    space.apply(
        "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE}
spec:
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods]}
  validations:
  - expression: object.spec.containers.all(c, c.image.startsWith(params.data.registry))
    messageExpression: \"'images come from ' + params.data.registry + ' here'\"
",
    );
    let binding = "
apiVersion: portcullis.dev/v1alpha1
kind: PolicyBinding
metadata: {name: SPACE}
spec:
  policyName: SPACE
  validationActions: [Deny]
  paramRef: {name: allowed, namespace: SPACE, parameterNotFoundAction: Deny}
  matchResources:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
";
    let says = "images come from registry.example/ here";
    space.apply_until(binding, &pod("bad", "elsewhere.example/web:1"), says);
    space.kubectl.apply(&pod("good", "registry.example/web:1")).assert_accepted();

    // A changed parameter changes the answer, with no policy touched.
    space.apply(&allowed.replace("registry.example/", "mirror.example/"));
    space.await_answer(
        &pod("moved", "registry.example/web:1"),
        "images come from mirror.example/ here",
    );
}

#[test]
fn mutates_a_pod_that_reads_back_changed() {
    let _peace = PEACE.read();
    let space = Space::open("mutate");
    space.apply(
        "
apiVersion: portcullis.dev/v1alpha1
kind: MutatingPolicy
metadata: {name: SPACE}
spec:
  selfBinding: true
  reinvocationPolicy: Never
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  matchConditions:
  - {name: unlabelled, expression: '!has(object.metadata.labels)'}
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: >-
        [JSONPatch{op: 'add', path: '/metadata/labels', value: {'example.com/owner': 'nobody'}}]
",
    );
    let json = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    eventually("a dry run shows the label", PATIENCE, || {
        let said = space.kubectl.run_with(&json, &pod("probe", "nginx:1.31")).ok()?;
        if said.contains("example.com/owner") { Ok(()) } else { Err(said) }
    });

    space.kubectl.apply(&pod("plain", "nginx:1.31")).assert_accepted();
    assert_eq!(
        space.kubectl.get("pod", "plain")["metadata"]["labels"]["example.com/owner"],
        "nobody"
    );
    let labelled =
        pod("labelled", "nginx:1.31").replace("name: labelled", "name: labelled, labels: {a: b}");
    space.kubectl.apply(&labelled).assert_accepted();
    assert_eq!(
        space.kubectl.get("pod", "labelled")["metadata"]["labels"],
        serde_json::json!({"a": "b"})
    );
}

#[test]
fn accepts_outside_of_the_namespaces_a_policy_selects() {
    let _peace = PEACE.read();
    let inside = Space::open("inside");
    let outside = Space::open("outside");
    let bad = pod("bad", "nginx:latest");
    inside.apply_until(NO_LATEST, &bad, NO_LATEST_SAYS);
    outside.kubectl.apply(&bad).assert_accepted();
}

/// A kind of our own, whose `ports` are told apart by their number.
const PROBES: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: probes.SPACE.example}
spec:
  group: SPACE.example
  scope: Namespaced
  names: {kind: Probe, plural: probes, singular: probe, listKind: ProbeList}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              ports:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [port]
                items: {type: object, required: [port], properties: {port: {type: integer}, name: {type: string}}}
";

#[test]
fn merges_a_custom_resource_by_the_schema_of_its_kind() {
    let _peace = PEACE.read();
    let space = Space::open("merge");
    space.apply(PROBES);
    space.apply(
        "
apiVersion: portcullis.dev/v1alpha1
kind: MutatingPolicy
metadata: {name: SPACE}
spec:
  selfBinding: true
  matchConstraints:
    resourceRules:
    - {apiGroups: [SPACE.example], apiVersions: [v1], operations: [CREATE], resources: [probes]}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >-
        Object{spec: Object.spec{ports: [
          Object.spec.ports{port: 80, name: 'web'}, Object.spec.ports{port: 90, name: 'more'}]}}
",
    );
    let probe = space.fill(
        "{apiVersion: SPACE.example/v1, kind: Probe, metadata: {name: a}, spec: {ports: [{port: 70, name: own}, {port: 80}]}}",
    );
    let create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    let object = eventually("the ports are merged", PATIENCE, || {
        let object = space.kubectl.run_with(&create, &probe).ok()?;
        let object: serde_json::Value = serde_json::from_str(&object).unwrap();
        match object["spec"]["ports"].as_array().map(Vec::len) {
            Some(2) => Err("not yet".to_owned()),
            _ => Ok(object),
        }
    });
    let expected = serde_json::json!([
        {"port": 70, "name": "own"}, {"port": 80, "name": "web"}, {"port": 90, "name": "more"},
    ]);
    assert_eq!(object["spec"]["ports"], expected);
}
