//! The policies of `policies/` all at once, as somebody applies them to try them. It has the cluster to itself: they
//! match in every namespace.

use crate::{PEACE, Space, WORLD, pod, starter_manifests};

#[test]
fn accepts_the_starter_sets_manifests_even_without_a_server() {
    let _peace = PEACE.read();
    for manifest in starter_manifests() {
        let said = WORLD.kubectl.try_apply(&std::fs::read_to_string(&manifest).unwrap());
        assert!(said.success, "{}: {}", manifest.display(), said.stderr);
        assert_eq!(said.stderr, "", "{}", manifest.display());
    }
}

#[test]
fn rejects_warns_and_mutates_by_the_starter_set() {
    let _peace = PEACE.write();
    let space = Space::open("starter-set");
    for policy in starter_manifests() {
        space.apply(&std::fs::read_to_string(policy).unwrap());
    }
    let on_the_node = "
apiVersion: v1
kind: Pod
metadata: {name: on-the-node}
spec:
  hostNetwork: true
  containers:
  - {name: app, image: 'ghcr.io/acme/app:1.0', securityContext: {privileged: true}}
";
    space.await_answer(on_the_node, "containers are privileged: app");
    space.await_answer(on_the_node, "the Pod shares namespaces with its node; remove hostNetwork");
    let said = space.kubectl.apply(on_the_node);
    println!("$ kubectl apply -f on-the-node.yaml\n{}", said.stderr);
    said.assert_rejected(&["pod-security-privileges", "pod-security-host-access"]);

    let latest = pod("latest", "registry.example/app");
    space.await_answer(&latest, "container app (registry.example/app); name a version or a digest");
    space.await_answer(&latest, "images come from registries that are not allowed");
    let service =
        "{apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {ports: [{port: 80}]}}";
    space.await_answer(service, "Service shop lacks labels: app.kubernetes.io/name");

    let good = pod("good", "ghcr.io/acme/shop:1.4");
    space.await_answer(&good, "containers have no memory limit: app");
    let said = space.kubectl.apply(&good);
    println!("$ kubectl apply -f good.yaml\n{}{}", said.stderr, said.stdout);
    said.assert_accepted();
    let spec = &space.kubectl.get("pod", "good")["spec"];
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"], false);
}
