//! Sets of policies as large clusters have them, and the review of a Pod that they are asked about.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::workload::pod;

/// A rule about Pods that the Pod of [`review`] meets; `PLACE` is the policy's number.
const RULES: [(&str, &str); 10] = [
    ("registry", "object.spec.containers.all(c, c.image.startsWith('registry.example.com/'))"),
    ("tag", "object.spec.containers.all(c, !c.image.endsWith(':latest'))"),
    (
        "privileged",
        "object.spec.containers.all(c, !(has(c.securityContext) && has(c.securityContext.privileged) && \
         c.securityContext.privileged))",
    ),
    (
        "limits",
        "object.spec.containers.all(c, has(c.resources.limits) && 'memory' in c.resources.limits)",
    ),
    ("label", "has(object.metadata.labels) && 'team' in object.metadata.labels"),
    ("host", "!object.spec.?hostNetwork.orValue(false) && !object.spec.?hostPID.orValue(false)"),
    ("user", "object.spec.securityContext.runAsNonRoot == true"),
    ("name", "object.spec.containers.all(c, c.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))"),
    ("capabilities", "object.spec.containers.all(c, 'ALL' in c.securityContext.capabilities.drop)"),
    ("volumes", "!has(object.spec.volumes) || object.spec.volumes.all(v, !has(v.hostPath))"),
];

/// A folder of policies; it goes when this does.
pub struct Fleet {
    pub folder: PathBuf,
}

impl Fleet {
    /// Writes `matching` policies about Pods and `others` about everything else, a file each.
    pub fn write(matching: usize, others: usize) -> Fleet {
        let name = format!("portcullis-bench-{}-{matching}-{others}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for place in 0..matching + others {
            let resource = if place < matching { "pods" } else { "services" };
            let file = folder.join(format!("{place}.yaml"));
            std::fs::write(file, policy(place, resource).to_string()).unwrap();
        }
        Fleet { folder }
    }

    pub fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn policy(place: usize, resource: &str) -> Json {
    let (rule, expression) = RULES[place % RULES.len()];
    json!({
        "apiVersion": "portcullis.dev/v1alpha1",
        "kind": "ValidatingPolicy",
        "metadata": {"name": format!("{rule}-{place}")},
        "spec": {
            "validationActions": ["Deny"],
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": [resource],
            }]},
            "validations": [{
                // No two are the same text.
                "expression": format!("{expression} || object.metadata.name == 'exempt-{place}'"),
                "message": format!("rule {rule} of policy {place} is not met"),
            }],
        },
    })
}

/// The review of a Pod with three containers, as the API server sends it.
pub fn review() -> Vec<u8> {
    let mut object = pod(3);
    object["metadata"]["managedFields"] = json!([{
        "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
        "time": "2026-11-01T10:00:00Z", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:team": {}},
            "f:ownerReferences": {".": {}}}, "f:spec": {"f:containers": {}, "f:restartPolicy": {}}},
    }]);
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "6b1f1c8e-0a5e-4c39-9d53-0d1a8f2f5a02",
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": "web-7d4b9c6f8-x2x9z", "namespace": "shop", "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "uid": "5a8c0f6e-2f7e-4a53-9b1c-3c0f3c2f9c12",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system",
                    "system:authenticated"],
            },
            "object": object, "oldObject": null, "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    });
    review.to_string().into_bytes()
}

/// A path of this repository.
pub fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
