//! The policies of `policies/` all at once, as somebody applies them to try them. It has the cluster to itself: they
//! match in every namespace.

use crate::{PEACE, Space, WORLD, pod, starter_manifests};

/// The policies' params live where Portcullis does.
fn make_own_namespace() {
    WORLD.kubectl.run(&["create", "namespace", "portcullis-system"]);
}

#[test]
fn accepts_the_starter_sets_manifests_even_without_a_server() {
    let _peace = PEACE.read();
    make_own_namespace();
    for manifest in starter_manifests() {
        let said = WORLD.kubectl.try_apply(&std::fs::read_to_string(&manifest).unwrap());
        assert!(said.success, "{}: {}", manifest.display(), said.stderr);
        assert_eq!(said.stderr, "", "{}", manifest.display());
    }
}

#[test]
fn rejects_and_mutates_by_the_starter_set() {
    let _peace = PEACE.write();
    let space = Space::open("starter-set");
    make_own_namespace();
    for policy in starter_manifests() {
        space.apply(&std::fs::read_to_string(policy).unwrap());
    }
    let privileged = "
apiVersion: v1
kind: Pod
metadata: {name: privileged}
spec:
  hostNetwork: true
  containers:
  - {name: app, image: 'registry.example/app:1.0', securityContext: {privileged: true}}
";
    space.await_answer(privileged, "privileged");
    let said = space.kubectl.apply(privileged);
    println!("$ kubectl apply -f privileged.yaml\n{}", said.stderr);
    said.assert_rejected(&["app"]);
    space.kubectl.apply(&pod("latest", "registry.example/app")).assert_rejected(&[]);
}
