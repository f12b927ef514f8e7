//! What is measured: policies as clusters have them, and Pods of the size that clusters have.

use serde_json::{Value as Json, json};

/// How many containers the Pods have.
pub const CONTAINERS: [usize; 3] = [1, 3, 30];

/// Expressions that are evaluated over one Pod, with the variables that they share.
pub struct Policy {
    pub name: &'static str,
    pub variables: Vec<(String, String)>,
    pub expressions: Vec<String>,
}

pub fn policies() -> Vec<Policy> {
    let one = |name, expression: &str| Policy {
        name,
        variables: Vec::new(),
        expressions: vec![expression.to_owned()],
    };
    vec![
        one(
            "privileged containers",
            "object.spec.containers.all(c, !has(c.securityContext) || !has(c.securityContext.privileged) || \
             c.securityContext.privileged == false)",
        ),
        one(
            "registry prefix",
            "object.spec.containers.all(c, c.image.startsWith('registry.example.com/'))",
        ),
        one(
            "label exists",
            "has(object.metadata.labels) && 'app.kubernetes.io/name' in object.metadata.labels",
        ),
        one(
            "limits with regex",
            "object.spec.containers.all(c, has(c.resources.limits) && \
             c.resources.limits.memory.matches('^[0-9]+(Mi|Gi)$'))",
        ),
        one(
            "nested all",
            "object.spec.containers.all(c, c.env.all(e, e.name != 'PASSWORD' && (!has(e.value) || size(e.value) < 100)))",
        ),
        one(
            "message",
            "'container ' + object.spec.containers[0].name + ' of ' + object.metadata.name + ' uses ' + \
             object.spec.containers[0].image",
        ),
        many(),
    ]
}

/// 20 validations that share 5 variables.
fn many() -> Policy {
    let variables = [
        ("containers", "object.spec.containers"),
        ("labels", "has(object.metadata.labels) ? object.metadata.labels : {}"),
        ("images", "variables.containers.map(c, c.image)"),
        ("names", "variables.containers.map(c, c.name)"),
        ("limited", "variables.containers.filter(c, has(c.resources.limits))"),
    ];
    let bodies = [
        "variables.images.all(i, i.startsWith('registry.example.com/'))",
        "variables.images.all(i, !i.endsWith(':latest'))",
        "variables.names.all(n, n.matches('^[a-z0-9-]+$'))",
        "variables.limited.size() == variables.containers.size()",
        "'app.kubernetes.io/name' in variables.labels",
    ];
    let expressions = (0..20).map(|place| {
        let body = bodies[place % bodies.len()];
        format!("{body} || object.metadata.name == 'exempt-{place}'")
    });
    Policy {
        name: "20 validations",
        variables: variables.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
        expressions: expressions.collect(),
    }
}

/// A Pod as the API server sends it.
pub fn pod(containers: usize) -> Json {
    let containers: Vec<Json> = (0..containers).map(container).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-7d4b9c6f8-x2x9z", "generateName": "web-7d4b9c6f8-", "namespace": "shop",
            "uid": "5a8c0f6e-2f7e-4a53-9b1c-3c0f3c2f9c11", "creationTimestamp": "2026-11-01T10:00:00Z",
            "labels": {
                "app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "7d4b9c6f8",
                "team": "checkout",
            },
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d4b9c6f8",
                "uid": "9d1f0c7a-11aa-4f43-8a53-7f7c9d4f2c10", "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "serviceAccountName": "web", "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst", "securityContext": {"runAsNonRoot": true, "fsGroup": 2000},
            "containers": containers,
            "volumes": [{"name": "config", "configMap": {"name": "web", "defaultMode": 420}},
                {"name": "tmp", "emptyDir": {}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300}],
        },
    })
}

fn container(place: usize) -> Json {
    json!({
        "name": format!("container-{place}"),
        "image": format!("registry.example.com/shop/web-{place}:1.{place}.0"),
        "imagePullPolicy": "IfNotPresent",
        "args": ["--config", "/etc/web/config.yaml", "--verbose"],
        "ports": [{"name": "http", "containerPort": 8080 + place, "protocol": "TCP"}],
        "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "REGION", "value": "eu-central-1"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
        "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "securityContext": {"privileged": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]}},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}, {"name": "tmp", "mountPath": "/tmp"}],
    })
}
