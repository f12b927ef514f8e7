//! The same policies twice: as the API server's own, in one namespace, and as ours, in another. Whoever asks must be told
//! the same in both.

use serde_json::Value;

use crate::kubectl::Said;
use crate::processes::eventually;
use crate::{PATIENCE, PEACE, Space, WORLD};

/// A policy, and requests of which the first is answered with a denial, a warning or a change.
struct Row {
    name: &'static str,
    /// Group, version, operations and resources of the only rule.
    rule: [&'static str; 4],
    /// Whether only objects with the row's label are meant. Nothing that is connected to has labels.
    labelled: bool,
    /// The rest of the policy's spec.
    spec: &'static str,
    /// The rest of the binding's spec.
    binding: &'static str,
    requests: &'static [Request],
}

/// What `kubectl` is asked, and what it reads.
type Request = (&'static str, &'static str);

/// There before anybody is asked, in both namespaces.
const SETTING: &str = "
{apiVersion: v1, kind: ConfigMap, metadata: {name: limits, labels: {used: 'yes'}}, data: {most: '3'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: stricter, labels: {used: 'yes'}}, data: {most: '2'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, labels: {row: deletion}}, data: {keep: 'yes'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: edited, labels: {row: update}}, data: {owner: jane}}
---
{apiVersion: v1, kind: Pod, metadata: {name: standing, labels: {app: web}},
 spec: {automountServiceAccountToken: false, containers: [{name: app, image: 'nginx:1'}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, labels: {row: scale}},
 spec: {replicas: 0, selector: {matchLabels: {app: w}},
  template: {metadata: {labels: {app: w}}, spec: {containers: [{name: app, image: 'nginx:1'}]}}}}
";

const CREATE: &str = "create --dry-run=server -o json -f -";
const DENY: &str = "validationActions: [Deny]";

const TWO_MAPS: [Request; 2] = [
    (
        CREATE,
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: bad, labels: {row: ROW}}, data: {count: '4'}}",
    ),
    (
        CREATE,
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: good, labels: {row: ROW}}, data: {count: '2'}}",
    ),
];
const MAPS: [&str; 4] = ["", "v1", "CREATE, UPDATE", "configmaps"];

fn rows() -> Vec<Row> {
    let maps = |name, binding, spec| Row {
        name,
        rule: MAPS,
        labelled: true,
        spec,
        binding,
        requests: &TWO_MAPS,
    };
    let mut rows = vec![
        maps("message", DENY, "validations: [{expression: int(object.data.count) < 4, message: ' too many  '}]"),
        maps("plain", DENY, "validations: [{expression: \"int(object.data.count)\\n  < 4\"}]"),
        maps(
            "reason",
            DENY,
            "validations: [{expression: int(object.data.count) < 4, reason: Forbidden, message: forbidden}]",
        ),
        maps(
            "worded",
            DENY,
            "variables: [{name: many, expression: int(object.data.count)}]
  validations:
  - {expression: variables.many < 4, messageExpression: \"'there are ' + string(variables.many)\", message: unused}",
        ),
        maps(
            "misworded",
            DENY,
            "validations: [{expression: int(object.data.count) < 4, messageExpression: string(object.data.gone), message: used}]",
        ),
        maps(
            "warning",
            "validationActions: [Warn]",
            "validations: [{expression: int(object.data.count) < 4, message: many}]",
        ),
        maps(
            "warned-and-audited",
            "validationActions: [Warn, Audit]",
            "validations: [{expression: int(object.data.count) < 4, message: many}, {expression: object.data.count != '4'}]",
        ),
        maps("failing", DENY, "validations: [{expression: object.data.count != '4' || object.data.gone == 'x'}]"),
        maps(
            "ignoring",
            DENY,
            "failurePolicy: Ignore
  validations: [{expression: object.data.gone == 'x'}, {expression: object.data.count != '4', message: told}]",
        ),
        maps(
            "condition",
            DENY,
            "matchConditions: [{name: many, expression: object.data.count == '4'}]
  validations: [{expression: 'false', message: never}]",
        ),
        maps(
            "condition-fails",
            DENY,
            "matchConditions: [{name: fails, expression: object.data.count == '4' && object.data.gone == 'x'}]
  validations: [{expression: 'true'}]",
        ),
        maps(
            "condition-wins",
            DENY,
            "matchConditions:
  - {name: fails, expression: object.data.gone == 'x'}
  - {name: wins, expression: object.data.count == '4'}
  validations: [{expression: 'true'}]",
        ),
        maps(
            "named-param",
            "paramRef: {name: limits, parameterNotFoundAction: Deny}, validationActions: [Deny]",
            "paramKind: {apiVersion: v1, kind: ConfigMap}
  validations:
  - {expression: int(object.data.count) <= int(params.data.most), messageExpression: \"'at most ' + params.data.most\"}",
        ),
        maps(
            "missing-param",
            "paramRef: {name: nowhere, parameterNotFoundAction: Deny}, validationActions: [Deny]",
            "paramKind: {apiVersion: v1, kind: ConfigMap}
  validations: [{expression: params.data.most == ''}]",
        ),
        maps(
            "selected-params",
            "paramRef: {selector: {matchLabels: {used: 'yes'}}, parameterNotFoundAction: Deny}, validationActions: [Warn]",
            "paramKind: {apiVersion: v1, kind: ConfigMap}
  validations:
  - {expression: int(object.data.count) < int(params.data.most), messageExpression: \"'below ' + params.data.most\"}",
        ),
        maps(
            "authorizer",
            DENY,
            "validations:
  - expression: object.data.count != '4' || !authorizer.group('').resource('secrets').namespace('default').check('get').allowed()
    message: you may read secrets",
        ),
        maps(
            "service-account",
            DENY,
            "validations:
  - expression: authorizer.serviceAccount('default', 'default').group('').resource('pods').check('create').allowed() || object.data.count != '4'
    message: it may not",
        ),
        maps(
            "namespace",
            DENY,
            "validations:
  - expression: object.data.count != '4' || !('kubernetes.io/metadata.name' in namespaceObject.metadata.labels)
    messageExpression: \"namespaceObject.status.phase + ' ' + string(has(namespaceObject.metadata.annotations))\"",
        ),
        maps(
            "request",
            DENY,
            "validations:
  - expression: object.data.count != '4'
    messageExpression: >-
      request.operation + ' ' + request.kind.kind + ' ' + request.resource.resource + ' ' + request.name + ' '
      + string(request.dryRun) + ' ' + request.userInfo.username + ' ' + string(has(request.options)) + ' '
      + request.userInfo.groups.join(',')",
        ),
        maps(
            "budget",
            DENY,
            "variables: [{name: ten, expression: '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]'}]
  validations:
  - expression: >-
      object.data.count != '4' || variables.ten.all(a, variables.ten.all(b, variables.ten.all(c, variables.ten.all(d,
      variables.ten.all(e, variables.ten.all(f, variables.ten.all(g, a + b + c + d + e + f + g >= 0)))))))",
        ),
        maps(
            "library",
            DENY,
            "validations:
  - expression: object.data.count != '4' || quantity('1Gi').isLessThan(quantity('512Mi')) || semver('1.2.3').major() == 2
    messageExpression: \"'%s has %d, %.2f, %x'.format([object.metadata.name, int(object.data.count), 1.5, 255])\"",
        ),
    ];
    rows.extend(other_resources());
    rows.extend(mutations());
    rows
}

fn other_resources() -> Vec<Row> {
    vec![
        Row {
            name: "update",
            rule: MAPS,
            labelled: true,
            spec: "validations: [{expression: request.operation != 'UPDATE' || object.data.owner == oldObject.data.owner, message: owned}]",
            binding: DENY,
            requests: &[
                ("patch configmap edited --dry-run=server --type=merge -p {\"data\":{\"owner\":\"joe\"}}", ""),
                ("patch configmap edited --dry-run=server --type=merge -p {\"data\":{\"a\":\"b\"}}", ""),
                ("label configmap edited --dry-run=server other=label", ""),
            ],
        },
        Row {
            name: "deletion",
            rule: ["", "v1", "DELETE", "configmaps"],
            labelled: true,
            spec: "validations: [{expression: object == null && oldObject.data.keep != 'yes', message: kept}]",
            binding: DENY,
            requests: &[
                ("delete configmap kept --dry-run=server", ""),
                ("delete configmap limits --dry-run=server", ""),
            ],
        },
        Row {
            name: "scale",
            rule: ["apps", "v1", "UPDATE", "deployments, deployments/scale"],
            labelled: false,
            spec: "validations:
  - expression: object.spec.replicas < 5
    messageExpression: \"object.kind + ' of ' + string(object.spec.replicas) + ' ' + request.subResource\"",
            binding: DENY,
            requests: &[
                ("scale deployment web --replicas=6 --dry-run=server", ""),
                ("scale deployment web --replicas=2 --dry-run=server", ""),
                ("patch deployment web --dry-run=server --type=merge -p {\"spec\":{\"replicas\":7}}", ""),
                ("patch deployment web --dry-run=server --type=merge -p {\"spec\":{\"replicas\":3}}", ""),
            ],
        },
        Row {
            name: "status",
            rule: ["apps", "v1", "UPDATE", "deployments/status"],
            labelled: false,
            spec: "matchConditions: [{name: people, expression: \"!request.userInfo.username.startsWith('system:')\"}]
  validations: [{expression: 'false', message: hands off}]",
            binding: DENY,
            requests: &[
                (
                    "patch deployment web --dry-run=server --subresource=status --type=merge -p {\"status\":{\"replicas\":9}}",
                    "",
                ),
                ("label deployment web --dry-run=server a=b", ""),
            ],
        },
        Row {
            name: "exec",
            rule: ["", "v1", "CONNECT", "pods/exec, pods/attach"],
            labelled: false,
            spec: "validations:
  - expression: object.container != 'app' || !('ls' in object.command)
    messageExpression: \"request.operation + ' ' + object.kind + ' ' + request.subResource + ' ' + request.name\"",
            binding: DENY,
            requests: &[("exec standing -c app -- ls", ""), ("exec standing -c app -- id", "")],
        },
        Row {
            name: "ephemeral",
            rule: ["", "v1", "UPDATE", "pods/ephemeralcontainers"],
            labelled: false,
            spec: "validations: [{expression: '!has(object.spec.ephemeralContainers)', message: no debugging}]",
            binding: DENY,
            requests: &[(
                "replace --raw /api/v1/namespaces/SPACE/pods/standing/ephemeralcontainers?dryRun=All -f -",
                "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"standing\", \"namespace\": \"SPACE\"}, \
                 \"spec\": {\"containers\": [{\"name\": \"app\", \"image\": \"nginx:1\"}], \
                 \"ephemeralContainers\": [{\"name\": \"debug\", \"image\": \"busybox\"}]}}",
            )],
        },
        Row {
            name: "eviction",
            rule: ["", "v1", "CREATE", "pods/eviction"],
            labelled: false,
            spec: "validations: [{expression: 'false', messageExpression: \"object.kind + ' ' + request.name\"}]",
            binding: DENY,
            requests: &[(
                "create --raw /api/v1/namespaces/SPACE/pods/standing/eviction -f -",
                "{\"apiVersion\": \"policy/v1\", \"kind\": \"Eviction\", \"metadata\": {\"name\": \"standing\", \"namespace\": \"SPACE\"}, \
                 \"deleteOptions\": {\"dryRun\": [\"All\"]}}",
            )],
        },
        Row {
            name: "version",
            rule: ["autoscaling", "v2", "CREATE", "horizontalpodautoscalers"],
            labelled: true,
            spec: "validations:
  - expression: object.spec.metrics.all(m, m.resource.target.averageUtilization < 90)
    messageExpression: \"object.apiVersion + ' ' + request.kind.version + ' ' + request.requestKind.version\"",
            binding: DENY,
            requests: &[
                (
                    CREATE,
                    "{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: a, labels: {row: ROW}}, spec: {
                      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 3, targetCPUUtilizationPercentage: 95}}",
                ),
                (
                    CREATE,
                    "{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: a, labels: {row: ROW}}, spec: {
                      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 3, targetCPUUtilizationPercentage: 50}}",
                ),
            ],
        },
        Row {
            name: "generated",
            rule: MAPS,
            labelled: true,
            spec: "validations: [{expression: request.name == 'named', messageExpression: \"'name ' + request.name.substring(0, 4)\"}]",
            binding: DENY,
            requests: &[
                (CREATE, "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: gen-, labels: {row: ROW}}}"),
                (CREATE, "{apiVersion: v1, kind: ConfigMap, metadata: {name: named, labels: {row: ROW}}}"),
            ],
        },
    ]
}

fn mutations() -> Vec<Row> {
    let maps = |name, spec| Row {
        name,
        rule: MAPS,
        labelled: true,
        spec,
        binding: "",
        requests: &TWO_MAPS,
    };
    vec![
        maps(
            "patch",
            "reinvocationPolicy: Never
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: >-
        [JSONPatch{op: 'test', path: '/data/count', value: '4'},
         JSONPatch{op: 'add', path: '/metadata/annotations', value: {'a.example/' + jsonpatch.escapeKey('x/y'): 'z'}},
         JSONPatch{op: 'move', from: '/data/count', path: '/data/moved'}]",
        ),
        maps(
            "patch-fails",
            "reinvocationPolicy: Never
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: \"[JSONPatch{op: 'remove', path: object.data.count == '4' ? '/data/gone' : '/data/count'}]\"}",
        ),
        maps(
            "patch-ignores",
            "reinvocationPolicy: IfNeeded
  failurePolicy: Ignore
  variables: [{name: label, expression: \"'from-' + object.data.count\"}]
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: \"[JSONPatch{op: 'add', path: '/data/first', value: variables.label}]\"}
  - patchType: JSONPatch
    jsonPatch: {expression: \"[JSONPatch{op: 'add', path: '/data/second', value: object.data.first + object.data.gone}]\"}",
        ),
    ]
}

/// What a person is told, without what names the way that the answer came.
#[derive(Debug, PartialEq)]
struct Told {
    accepted: bool,
    says: Vec<String>,
    object: Option<Value>,
}

impl Row {
    /// The policy and its binding: of the API server if `native`, else ours.
    fn manifest(&self, native: bool, space: &Space) -> String {
        let mutates = self.spec.contains("mutations:");
        let (policy, binding, group) = match (native, mutates) {
            (true, false) => {
                let kind = "ValidatingAdmissionPolicy";
                (kind.to_owned(), format!("{kind}Binding"), "admissionregistration.k8s.io/v1")
            }
            (true, true) => {
                let kind = "MutatingAdmissionPolicy";
                (kind.to_owned(), format!("{kind}Binding"), "admissionregistration.k8s.io/v1")
            }
            (false, false) => {
                ("ValidatingPolicy".into(), "PolicyBinding".into(), "portcullis.dev/v1alpha1")
            }
            (false, true) => {
                ("MutatingPolicy".into(), "PolicyBinding".into(), "portcullis.dev/v1alpha1")
            }
        };
        let [api_group, version, operations, resources] = self.rule;
        let (name, spec) = (self.name, self.spec);
        let selector = if self.labelled {
            format!("objectSelector: {{matchLabels: {{row: {name}}}}},")
        } else {
            String::new()
        };
        let more =
            if self.binding.is_empty() { String::new() } else { format!("{}, ", self.binding) };
        space.fill(&format!(
            "apiVersion: {group}
kind: {policy}
metadata: {{name: SPACE-{name}}}
spec:
  matchConstraints: {{{selector} resourceRules: [{{apiGroups: ['{api_group}'], apiVersions: [{version}],
    operations: [{operations}], resources: [{resources}]}}]}}
  {spec}
---
apiVersion: {group}
kind: {binding}
metadata: {{name: SPACE-{name}}}
spec: {{policyName: SPACE-{name}, {more}
  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: SPACE}}}}}}}}
"
        ))
    }

    fn ask(&self, request: Request, space: &Space) -> Told {
        let (arguments, input) = request;
        let fill = |text: &str| space.fill(text).replace("ROW", self.name);
        let arguments = fill(arguments);
        let arguments: Vec<&str> = arguments.split(' ').collect();
        told(space.kubectl.run_with(&arguments, &fill(input)), space)
    }
}

fn told(said: Said, space: &Space) -> Told {
    let plain = |text: &str| text.replace(&space.name, "SPACE");
    let says = said.stderr.lines().map(|line| {
        let denial = line.split_once(" denied request: ").map(|(_, message)| message);
        // `Warning: Validation failed for KIND 'POLICY' with binding 'BINDING': MESSAGE`
        let warning = line.strip_prefix("Warning: Validation failed for ");
        let warning = warning.and_then(|line| Some(line.split_once("': ")?.1));
        plain(denial.or(warning).unwrap_or(line))
    });
    let mut object: Option<Value> = serde_json::from_str(&plain(&said.stdout)).ok();
    if let Some(metadata) = object.as_mut().and_then(|object| object["metadata"].as_object_mut()) {
        metadata.retain(|field, _| ["labels", "annotations"].contains(&field.as_str()));
    }
    let mut says: Vec<String> = says.collect();
    // The API server warns in no particular order.
    says.sort();
    Told { accepted: said.success, says, object }
}

#[test]
fn answers_as_the_api_servers_own_policies_do() {
    let _peace = PEACE.read();
    let (theirs, ours) = (Space::open("theirs"), Space::open("ours"));
    for space in [&theirs, &ours] {
        space.kubectl.apply(SETTING).assert_accepted();
    }
    let rows = rows();
    let admitted = rows.iter().map(|row| row.ask(row.requests[0], &theirs)).collect::<Vec<_>>();
    for row in &rows {
        theirs.apply(&row.manifest(true, &theirs));
        ours.apply(&row.manifest(false, &ours));
    }
    let mut differ = Vec::new();
    let mut asked = 0;
    for (row, admitted) in rows.iter().zip(admitted) {
        for (space, native) in [(&theirs, true), (&ours, false)] {
            let what = format!("an answer by {} (native: {native})", row.name);
            eventually(&what, PATIENCE, || {
                let told = row.ask(row.requests[0], space);
                if told == admitted { Err(format!("{told:?}")) } else { Ok(()) }
            });
        }
        for request in row.requests {
            asked += 1;
            let (one, other) = (row.ask(*request, &theirs), row.ask(*request, &ours));
            if one != other {
                differ.push(format!(
                    "{}: {request:?}\n  theirs {one:?}\n  ours   {other:?}",
                    row.name
                ));
            }
        }
    }
    println!("{} policies, {asked} requests: {} differ", rows.len(), differ.len());
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    drop(WORLD.server());
}
