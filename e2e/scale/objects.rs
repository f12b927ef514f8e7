//! Objects and policies of the project's own making, and what the policies have to find. An object whose number is divisible
//! by 100 fails: one of the policies about its kind, or all of them.

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value as Json, json};

use crate::server::Told;

/// Requests at a time: the API server takes some hundreds of objects a second.
const CREATED_AT_ONCE: usize = 16;

/// Each that many fails.
const FAILING: usize = 100;

/// How many policies an object fails that fails.
#[derive(Clone, Copy, PartialEq)]
pub enum Share {
    /// One: there is a finding for every hundredth object.
    Few,
    /// All that are about its kind: with 100 policies, 66 for each such Pod.
    Many,
}

/// How many objects there are.
#[derive(Clone, Copy)]
pub struct Objects {
    pub share: Share,
    pub policies: usize,
    pub namespaces: usize,
    pub pods: usize,
    pub deployments: usize,
    pub gadgets: usize,
}

pub fn kind_of(api_version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: api_version.into(),
        kind: kind.into(),
        plural: plural.into(),
    }
}

impl Objects {
    pub fn total(self) -> usize {
        self.pods + self.deployments + self.gadgets
    }

    /// In which namespace an object is.
    fn namespace(self, number: usize) -> String {
        format!("scale-{}", number % self.namespaces)
    }

    pub fn last_namespace(self) -> String {
        self.namespace(self.namespaces - 1)
    }

    /// What is left when the last namespace is gone: its share of everything.
    pub fn without_a_namespace(self) -> Left {
        Left { all: self, gone: self.namespaces - 1 }
    }

    pub fn expected(self) -> Told {
        Left { all: self, gone: usize::MAX }.expected()
    }

    /// The policy of its own kind that an object fails, if it is one.
    fn failed(self, number: usize, name: &str) -> usize {
        let nth = number / FAILING;
        match name {
            "pod" => {
                let nth = nth % about_pods(self.policies);
                3 * (nth / 2) + nth % 2
            }
            _ => 3 * (nth % about_deployments(self.policies)) + 2,
        }
    }

    pub async fn create(self, client: &Client) {
        let definitions = kind_of(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
        );
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &definitions);
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "gadgets.scale.example.com"},
            "spec": {
                "group": "scale.example.com",
                "scope": "Namespaced",
                "names": {"kind": "Gadget", "plural": "gadgets", "singular": "gadget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }}}],
            },
        });
        create(&api, definition).await;
        let namespaces = Api::all_with(client.clone(), &kind_of("v1", "Namespace", "namespaces"));
        for number in 0..self.namespaces {
            let metadata = json!({"name": self.namespace(number), "labels": {"scale": "yes"}});
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
            create(&namespaces, namespace).await;
        }
        let pods = (0..self.pods).map(|n| ("v1", "Pod", "pods", self.pod(n)));
        let deployments = (0..self.deployments).map(|n| {
            let spec = json!({
                "replicas": 0,
                "selector": {"matchLabels": {"app": "a"}},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": self.pod(n)["spec"]},
            });
            ("apps/v1", "Deployment", "deployments", self.object(n, "deployment", "spec", spec))
        });
        let gadgets = (0..self.gadgets).map(|n| {
            let spec = json!({"size": if n.is_multiple_of(FAILING) { 11 } else { 1 }});
            ("scale.example.com/v1", "Gadget", "gadgets", self.object(n, "gadget", "spec", spec))
        });
        let all = pods.chain(deployments).chain(gadgets);
        create_all(client, all).await;
    }

    fn object(self, number: usize, name: &str, field: &str, value: Json) -> Json {
        let mut labels = json!({"app": "a", "tier": "web"});
        if number.is_multiple_of(FAILING) {
            let labels = labels.as_object_mut().unwrap();
            match self.share {
                Share::Few => {
                    labels.insert("fails".into(), self.failed(number, name).to_string().into());
                }
                Share::Many => drop(labels.remove("tier")),
            }
        }
        json!({
            "metadata": {
                "name": format!("{name}-{number}"),
                "namespace": self.namespace(number),
                "labels": labels,
                "annotations": {"about": "x".repeat(400)},
            },
            field: value,
        })
    }

    /// Three containers, some 3 KB.
    fn pod(self, number: usize) -> Json {
        let container = |name: &str| {
            json!({
                "name": name,
                "image": format!("registry.example.com/team/{name}:1.2.{number}"),
                "args": ["--verbose", "--config=/etc/config/config.yaml", "--listen=:8080"],
                "env": (0..8).map(|n| json!({"name": format!("VARIABLE_{n}"), "value": "v".repeat(30)})).collect::<Vec<_>>(),
                "ports": [{"containerPort": 8080, "name": format!("{name}-port")}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true},
            })
        };
        let containers = ["main", "proxy", "logs"].map(container);
        self.object(number, "pod", "spec", json!({"containers": containers}))
    }
}

/// Some of the objects.
#[derive(Clone, Copy)]
pub struct Left {
    all: Objects,
    /// The number of the namespace that is gone.
    gone: usize,
}

impl Left {
    /// What the policies have to find: every third is about Deployments; the last is about Gadgets.
    pub fn expected(self) -> Told {
        let count = |all: usize, step: usize| {
            (0..all).step_by(step).filter(|n| n % self.all.namespaces != self.gone).count()
        };
        let Objects { share, policies, pods, deployments, gadgets, .. } = self.all;
        let (about_pods, about_deployments) = match share {
            Share::Few => (1, 1),
            Share::Many => (about_pods(policies), about_deployments(policies)),
        };
        let fail = about_pods * count(pods, FAILING)
            + about_deployments * count(deployments, FAILING)
            + count(gadgets, FAILING);
        // Each namespace has a ConfigMap of the cluster's own.
        let own = (0..self.all.namespaces).filter(|n| *n != self.gone).count();
        let covered = own + count(pods, 1) + count(deployments, 1) + count(gadgets, 1);
        Told { fail: fail as u64, covered, ..Told::default() }
    }
}

/// How many of so many policies are about Pods.
pub fn about_pods(policies: usize) -> usize {
    (0..policies - 1).filter(|n| n % 3 != 2).count()
}

fn about_deployments(policies: usize) -> usize {
    policies - 1 - about_pods(policies)
}

/// All policies as a manifest.
pub fn policies(count: usize) -> String {
    let mut all: Vec<String> = (0..count - 1).map(policy).collect();
    let rule = "{apiGroups: [scale.example.com], apiVersions: ['*'], operations: [CREATE], resources: ['*']}";
    all.push(manifest("scale-gadgets", rule, "object.spec.size <= 10", "a Gadget is small"));
    let rule =
        "{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}";
    all.push(manifest(
        "scale-configmaps",
        rule,
        "!has(object.data.a) || object.data.a != 'bad'",
        "a ConfigMap is good",
    ));
    all.join("---\n")
}

/// The policy of this number.
pub fn policy(number: usize) -> String {
    let (group, resource) = if number % 3 == 2 { ("apps", "deployments") } else { ("''", "pods") };
    let rule = format!(
        "{{apiGroups: [{group}], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [{resource}]}}"
    );
    let containers = if number % 3 == 2 {
        "object.spec.template.spec.containers"
    } else {
        "object.spec.containers"
    };
    let expression = format!(
        "'tier' in object.metadata.labels && object.metadata.labels[?'fails'].orValue('') != '{number}' && \
         {containers}.all(c, c.image != 'image-{number}' && \
         c.env.all(e, e.name != 'TABOO_{number}'))"
    );
    manifest(
        &format!("scale-{number}"),
        &rule,
        &expression,
        &format!("policy {number}: has a tier"),
    )
}

fn manifest(name: &str, rule: &str, expression: &str, message: &str) -> String {
    format!(
        "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {{name: {name}}}
spec:
  validationActions: [Audit]
  severity: Medium
  matchConstraints:
    namespaceSelector: {{matchLabels: {{scale: 'yes'}}}}
    resourceRules: [{rule}]
  validations:
  - {{expression: \"{expression}\", message: '{message}'}}
"
    )
}

/// How many of so many ConfigMaps fail.
pub fn failing_config_maps(count: usize) -> u64 {
    count.div_ceil(FAILING) as u64
}

pub async fn create_config_maps(client: &Client, count: usize) {
    let config_map = |number: usize| {
        let value = if number.is_multiple_of(FAILING) { "bad" } else { "good" };
        let metadata = json!({"name": format!("config-{number}"), "namespace": format!("scale-{}", number % 3)});
        let data = json!({"a": value, "b": "x".repeat(300)});
        ("v1", "ConfigMap", "configmaps", json!({"metadata": metadata, "data": data}))
    };
    create_all(client, (0..count).map(config_map)).await;
}

async fn create_all(
    client: &Client,
    objects: impl Iterator<Item = (&'static str, &'static str, &'static str, Json)>,
) {
    let creating = objects.map(async |(api_version, kind, plural, mut object)| {
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        let namespace = object["metadata"]["namespace"].as_str().unwrap().to_owned();
        let resource = kind_of(api_version, kind, plural);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
        create(&api, object).await;
    });
    futures::stream::iter(creating).buffer_unordered(CREATED_AT_ONCE).collect::<Vec<()>>().await;
}

/// Creates an object, again and again for a while: the API server serves a new kind and fills a new namespace when it
/// gets to it.
async fn create(api: &Api<DynamicObject>, object: Json) {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    for attempt in 0.. {
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => return,
            Err(error) if attempt > 100 => panic!("{object:?} can't be created: {error}"),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}
