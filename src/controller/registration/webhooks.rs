//! The webhook configurations as they should be, made from a snapshot. Pure; how they get to the API server is not
//! known here.

use serde_json::{Value, json};

use crate::controller::certificates::labels;
use crate::controller::limits::SUSPENDED_TIMEOUT_SECONDS;
use crate::controller::registration::narrow::{Narrow, selector};
use crate::controller::registration::rules::{WebhookRule, union};
use crate::controller::registration::{Endpoint, Options};
use crate::policy::Origin;
use crate::policy::api::{
    BreakGlassSpec, FailurePolicy, MatchCondition, Operation, ReinvocationPolicy,
};
use crate::policy::entry::Entry;
use crate::policy::snapshot::{Bound, Phase, Snapshot};
use crate::telemetry::metrics::Webhook;

/// What is outside unless a policy names it: a node could not join, a leader could not be elected and a Pod could not
/// be bound if the webhook were asked first and were away.
pub const OUTSIDE_RESOURCES: [(&str, &str); 6] = [
    ("", "nodes"),
    ("", "events"),
    ("", "bindings"),
    ("events.k8s.io", "events"),
    ("coordination.k8s.io", "leases"),
    ("certificates.k8s.io", "certificatesigningrequests"),
];

/// Subresources that are outside unless a policy names them.
pub const OUTSIDE_SUBRESOURCES: [(&str, &str, &str); 2] =
    [("", "pods", "binding"), ("", "serviceaccounts", "token")];

/// Groups that are outside, whatever policies say: reviews, without which nobody can log in, and what would be needed to
/// repair the policies themselves.
pub const OUTSIDE_GROUPS: [&str; 4] = [
    "authentication.k8s.io",
    "authorization.k8s.io",
    "admissionregistration.k8s.io",
    "portcullis.dev",
];

/// Everything but DELETE, which brings no object to be changed.
const MUTATING: [Operation; 3] = [Operation::Create, Operation::Update, Operation::Connect];
const VALIDATING: [Operation; 4] =
    [Operation::Create, Operation::Update, Operation::Delete, Operation::Connect];

/// Conditions that are taken over from policies: the API server takes 64 of a webhook, and some are ours.
const AGREED_MAX: usize = 60;

/// Whether the API server is told what all policies of a webhook agree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// It is, so that it asks less.
    Narrow,
    /// It is not: it refused to hear of it.
    Wide,
}

/// The two configurations.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhooks {
    /// The ValidatingWebhookConfiguration.
    pub validating: Value,
    /// The MutatingWebhookConfiguration.
    pub mutating: Value,
}

impl Webhooks {
    /// What the policies need.
    pub fn new(
        snapshot: &Snapshot,
        options: &Options,
        authorities_pem: &str,
        width: Width,
    ) -> Webhooks {
        let configuration = |phase, kind: &str| {
            let entry = |entry| webhook(snapshot, phase, entry, options, authorities_pem, width);
            let entries = Entry::of(asked(snapshot, phase).map(|bound| bound.policy.terms()));
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": kind,
                "metadata": {"name": options.name, "labels": labels()},
                "webhooks": entries.into_iter().filter_map(entry).collect::<Vec<_>>(),
            })
        };
        Webhooks {
            validating: configuration(Phase::Validate, "ValidatingWebhookConfiguration"),
            mutating: configuration(Phase::Mutate, "MutatingWebhookConfiguration"),
        }
    }

    /// The same, to be removed by the garbage collector with a ClusterRole. Objects without a namespace can be owned only
    /// by such.
    #[must_use]
    pub fn owned_by(&self, cluster_role: &str, uid: &str) -> Webhooks {
        let owned = |configuration: &Value| {
            let mut configuration = configuration.clone();
            let metadata = configuration.get_mut("metadata").and_then(Value::as_object_mut);
            if let Some(metadata) = metadata {
                let owner = json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRole",
                    "name": cluster_role,
                    "uid": uid,
                });
                metadata.insert("ownerReferences".into(), json!([owner]));
            }
            configuration
        };
        Webhooks { validating: owned(&self.validating), mutating: owned(&self.mutating) }
    }

    /// Whether the API server is to ask us nothing at all.
    pub fn is_empty(&self) -> bool {
        self.counts().iter().all(|(_, count)| *count == 0)
    }

    /// How many entries each has.
    pub fn counts(&self) -> [(Webhook, usize); 2] {
        [(Webhook::Validate, &self.validating), (Webhook::Mutate, &self.mutating)].map(
            |(webhook, value)| {
                let entries = value.get("webhooks").and_then(Value::as_array);
                (webhook, entries.map_or(0, Vec::len))
            },
        )
    }
}

/// The policies of a phase that the API server is to ask us for.
fn asked(snapshot: &Snapshot, phase: Phase) -> impl Iterator<Item = &Bound> {
    snapshot.policies().filter(move |bound| {
        bound.policy.origin == Origin::Portcullis
            && bound.policy.is_of(phase)
            && !bound.bindings.is_empty()
    })
}

/// The webhook for all policies of an entry; none if they match nothing that there can be.
fn webhook(
    snapshot: &Snapshot,
    phase: Phase,
    entry: Entry,
    options: &Options,
    authorities_pem: &str,
    width: Width,
) -> Option<Value> {
    let bound = asked(snapshot, phase).filter(|bound| entry.takes(bound.policy.terms()));
    let bound: Vec<&Bound> = bound.collect();
    let operations: &[Operation] = match phase {
        Phase::Mutate => &MUTATING,
        Phase::Validate => &VALIDATING,
    };
    let rules = union(bound.iter().flat_map(|bound| bound.rules()), operations);
    if rules.is_empty() {
        return None;
    }
    let narrow = match width {
        Width::Narrow => Narrow::new(&bound),
        Width::Wide => Narrow::default(),
    };
    let phase_word = match phase {
        Phase::Validate => "validate",
        Phase::Mutate => "mutate",
    };
    // Whoever shares an entry with one that may take longer is waited for as long.
    let (mut failure, mut timeout_seconds) =
        (entry.failure, entry.timeouts.map_or(options.timeout_seconds, |(_, longest)| longest));
    if snapshot.suspensions().iter().any(BreakGlassSpec::is_of_all) {
        // Nobody may be kept out while all is suspended, whether or not somebody answers.
        failure = FailurePolicy::Ignore;
        timeout_seconds = timeout_seconds.min(SUSPENDED_TIMEOUT_SECONDS);
    }
    let path = format!("/{phase_word}/{entry}");
    let mut webhook = json!({
        "name": format!("{phase_word}.{}.portcullis.dev", entry.joined_by('-')),
        "admissionReviewVersions": ["v1"],
        "clientConfig": client_config(options, &path, authorities_pem),
        "rules": rules.iter().map(rule).collect::<Vec<_>>(),
        "failurePolicy": failure,
        "matchPolicy": "Equivalent",
        "namespaceSelector": selector(&narrow.namespace_selector, excluded(options)),
        "objectSelector": selector(&narrow.object_selector, None),
        // A record of a decision changes nothing that anybody's request could be about, no more than an audit event.
        "sideEffects": "None",
        "timeoutSeconds": timeout_seconds,
        "matchConditions": conditions(&rules, &narrow.conditions),
    });
    if phase == Phase::Mutate
        && let Some(fields) = webhook.as_object_mut()
    {
        let again = |bound: &&Bound| bound.policy.reinvocation() == ReinvocationPolicy::IfNeeded;
        let reinvocation = if bound.iter().any(again) { "IfNeeded" } else { "Never" };
        fields.insert("reinvocationPolicy".into(), reinvocation.into());
    }
    Some(webhook)
}

fn client_config(options: &Options, path: &str, authorities_pem: &str) -> Value {
    use base64::Engine;
    let bundle = base64::engine::general_purpose::STANDARD.encode(authorities_pem);
    match &options.endpoint {
        Endpoint::Url(url) => {
            json!({"url": format!("{}{path}", url.trim_end_matches('/')), "caBundle": bundle})
        }
        Endpoint::Service { namespace, name, port } => json!({
            "service": {"namespace": namespace, "name": name, "port": port, "path": path},
            "caBundle": bundle,
        }),
    }
}

/// What keeps out the namespaces that no policy sees.
fn excluded(options: &Options) -> Option<Value> {
    let namespaces = &options.excluded_namespaces;
    (!namespaces.is_empty()).then(
        || json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": namespaces}),
    )
}

fn rule(rule: &WebhookRule) -> Value {
    json!({
        "apiGroups": rule.groups,
        "apiVersions": rule.versions,
        "operations": rule.operations,
        "resources": rule.resources,
        "scope": rule.scope,
    })
}

/// Conditions that keep out what is outside, which only rules with stars reach, and what all policies keep out.
fn conditions(rules: &[WebhookRule], agreed: &[MatchCondition]) -> Vec<Value> {
    let reaches = |group: &str| {
        rules.iter().any(|rule| rule.groups.contains(group) || rule.groups.contains("*"))
    };
    let named = |group, resource| rules.iter().any(|rule| rule.names(group, resource));
    let quote = |text: String| format!("'{text}'");
    let mut conditions = Vec::new();
    let mut add = |name: &str, expression: String| {
        conditions.push(json!({"name": name, "expression": expression}));
    };
    for (place, condition) in agreed.iter().take(AGREED_MAX).enumerate() {
        add(&format!("agreed-{place}"), condition.expression.clone());
    }
    let groups: Vec<String> =
        OUTSIDE_GROUPS.iter().filter(|g| reaches(g)).map(|g| quote((*g).to_owned())).collect();
    if !groups.is_empty() {
        add("not-what-repairs", format!("!(request.resource.group in [{}])", groups.join(", ")));
    }
    if !rules.iter().any(WebhookRule::is_open) {
        return conditions;
    }
    let resources = OUTSIDE_RESOURCES.iter().filter(|(group, resource)| !named(group, resource));
    let resources = resources.map(|(group, resource)| quote(format!("{group}/{resource}")));
    let resources: Vec<String> = resources.collect();
    if !resources.is_empty() {
        let key = "request.resource.group + '/' + request.resource.resource";
        add("not-what-boots", format!("!({key} in [{}])", resources.join(", ")));
    }
    let literally = |group: &str, text: &str| {
        let says = |rule: &WebhookRule| {
            rule.resources.contains(text)
                && (rule.groups.contains(group) || rule.groups.contains("*"))
        };
        rules.iter().any(says)
    };
    let subresources: Vec<String> = OUTSIDE_SUBRESOURCES
        .iter()
        .map(|(group, resource, subresource)| (group, format!("{resource}/{subresource}")))
        .filter(|(group, text)| !literally(group, text))
        .map(|(group, text)| quote(format!("{group}/{text}")))
        .collect();
    if !subresources.is_empty() {
        let key = "request.resource.group + '/' + request.resource.resource + '/' + request.?subResource.orValue('')";
        add("not-what-starts-pods", format!("!({key} in [{}])", subresources.join(", ")));
    }
    conditions
}
