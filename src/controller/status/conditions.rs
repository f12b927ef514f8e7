//! What a policy or binding is told about itself. Pure: from what was observed to the status as it should be.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::controller::cluster::state::{Observed, ObservedObject, Watched};
use crate::controller::limits::{DIAGNOSTICS_MAX, EXCERPT_CHARS_MAX, MESSAGE_CHARS_MAX};
use crate::controller::status::text::cut;
use crate::controller::status::types::TypeWarnings;
use crate::policy::Origin;
use crate::policy::api::{
    BreakGlassSpec, FailurePolicy, PolicyDiagnostic, PolicyKind, PolicyStatus, TypeChecking,
};
use crate::policy::background::Unauditable;
use crate::policy::compile::State;
use crate::policy::snapshot::{Binding, Bound, Snapshot};

/// The condition that says whether the whole spec is in order.
const COMPILED: &str = "Compiled";

/// The condition that says whether requests are decided by it.
const READY: &str = "Ready";

/// The condition that says whether objects that exist already can be audited by it.
const AUDITABLE: &str = "Auditable";

/// What is known about policies and bindings, by name.
#[derive(Debug)]
pub struct Known<'s> {
    snapshot: &'s Snapshot,
    types: &'s TypeWarnings,
    policies: HashMap<(&'static str, &'s str), &'s Bound>,
    /// What the API server sends us requests for.
    registered: HashMap<(&'static str, &'s str), [u8; 32]>,
    /// Each binding with the policies that it names.
    bindings: BTreeMap<&'s str, (&'s Binding, Vec<&'s Bound>)>,
}

/// One thing to be said: whether it is so, a reason in a word, and a message.
struct Said {
    so: bool,
    reason: &'static str,
    message: String,
}

fn said(so: bool, reason: &'static str, message: impl Into<String>) -> Said {
    Said { so, reason, message: message.into() }
}

impl<'s> Known<'s> {
    /// What a snapshot has, and what of it is registered with the API server.
    pub fn new(
        observed: &'s Observed,
        registered: Option<&'s Snapshot>,
        types: &'s TypeWarnings,
    ) -> Known<'s> {
        let ours = |bound: &&Bound| bound.policy.origin == Origin::Portcullis;
        let key = |bound: &'s Bound| (bound.policy.kind_name(), bound.policy.name.as_str());
        let snapshot = &*observed.snapshot;
        let mut bindings: BTreeMap<&str, (&Binding, Vec<&Bound>)> = BTreeMap::new();
        for bound in snapshot.policies().filter(ours) {
            for binding in &bound.bindings {
                if let Some(name) = &binding.name {
                    bindings.entry(name).or_insert_with(|| (binding, Vec::new())).1.push(bound);
                }
            }
        }
        for binding in snapshot.orphans() {
            if let Some(name) = &binding.name {
                bindings.entry(name).or_insert_with(|| (binding, Vec::new()));
            }
        }
        let registered = registered.into_iter().flat_map(Snapshot::policies).filter(ours);
        Known {
            snapshot,
            types,
            policies: snapshot.policies().filter(ours).map(|bound| (key(bound), bound)).collect(),
            registered: registered.map(|bound| (key(bound), bound.digest)).collect(),
            bindings,
        }
    }

    /// The status that an object should have; none while that is not known.
    pub fn status(&self, object: &ObservedObject, now: Timestamp) -> Option<PolicyStatus> {
        let kind = match object.watched {
            Watched::Validating => "ValidatingPolicy",
            Watched::Mutating => "MutatingPolicy",
            Watched::Images => "ImagePolicy",
            Watched::Bindings => return self.binding_status(object, now),
            Watched::Namespaces
            | Watched::TrustRoots
            | Watched::BreakGlasses
            | Watched::NativeValidating
            | Watched::NativeBindings
            | Watched::Params(_)
            | Watched::Secret(_) => return None,
        };
        let bound = self.policies.get(&(kind, object.name.as_str())).copied();
        if let Some(problem) = &object.unreadable {
            let stays = if bound.is_some() { "; its last form stays in force" } else { "" };
            let message = format!("{problem}{stays}");
            return Some(status(
                object,
                now,
                [
                    (COMPILED, said(false, "Unreadable", message.clone())),
                    (READY, said(false, "Unreadable", message)),
                ],
                &[],
            ));
        }
        // Another form of it is observed than is compiled: the next snapshot will know.
        let bound = bound.filter(|bound| bound.generation() == object.generation)?;
        let (compiled, diagnostics) = match bound.state() {
            State::Active => (said(true, "Compiled", "every expression compiles"), &[][..]),
            State::Broken(diagnostics) => {
                (said(false, "DoesNotCompile", explain(diagnostics)), diagnostics)
            }
        };
        let ready = self.ready(bound, &compiled);
        let mut conditions = vec![(COMPILED, compiled), (READY, ready)];
        conditions.extend(auditable(bound).map(|said| (AUDITABLE, said)));
        let status = status(object, now, conditions, diagnostics);
        let expression_warnings = self.types.of(&bound.digest).to_vec();
        let warns = !expression_warnings.is_empty();
        let type_checking = warns.then_some(TypeChecking { expression_warnings });
        Some(PolicyStatus { last_good: bound.last_good(), type_checking, ..status })
    }

    fn ready(&self, bound: &Bound, compiled: &Said) -> Said {
        let policy = &bound.policy;
        if !compiled.so && bound.last_good().is_some() {
            let generation =
                policy.generation.map_or(String::new(), |g| format!(" (generation {g})"));
            let stays = format!("until it does, its last form that did{generation} stays in force");
            return said(false, compiled.reason, format!("{}\n{stays}", compiled.message));
        }
        if !compiled.so {
            let decides = match policy.failure_policy {
                FailurePolicy::Fail => {
                    "until it does, requests that it matches are denied (failurePolicy: Fail)"
                }
                FailurePolicy::Ignore => "until it does, requests pass it (failurePolicy: Ignore)",
            };
            return said(false, compiled.reason, format!("{}\n{decides}", compiled.message));
        }
        if let Some(BreakGlassSpec { reason, until, .. }) = self.snapshot.suspends(policy) {
            let message = format!("requests that fail it are admitted until {until}: {reason}");
            return said(false, "BreakGlass", message);
        }
        if bound.bindings.is_empty() {
            let field = match policy.kind {
                PolicyKind::ValidatingPolicy | PolicyKind::ImagePolicy => "spec.validationActions",
                PolicyKind::MutatingPolicy => "spec.selfBinding",
            };
            let message =
                format!("nothing puts it in force: set {field}, or create a PolicyBinding");
            return said(false, "NotBound", message);
        }
        let key = (policy.kind_name(), policy.name.as_str());
        if self.registered.get(&key) != Some(&bound.digest) {
            return said(false, "NotRegistered", "the API server does not ask about it yet");
        }
        let names: Vec<&str> = bound
            .bindings
            .iter()
            .map(|binding| binding.name.as_deref().unwrap_or("itself"))
            .collect();
        said(true, "InForce", format!("bound by {}", names.join(", ")))
    }

    fn binding_status(&self, object: &ObservedObject, now: Timestamp) -> Option<PolicyStatus> {
        if let Some(problem) = &object.unreadable {
            let ready = said(false, "Unreadable", problem.clone());
            return Some(status(object, now, [(READY, ready)], &[]));
        }
        let (binding, policies) = self.bindings.get(object.name.as_str())?;
        if binding.generation != object.generation {
            return None;
        }
        let broken = policies.iter().find(|bound| bound.state() != State::Active);
        let ready = if policies.is_empty() {
            let name = &binding.policy_name;
            said(
                false,
                "PolicyNotFound",
                format!("there is no policy `{name}`: the binding does nothing"),
            )
        } else if !binding.diagnostics.is_empty() {
            said(false, "Invalid", explain(&binding.diagnostics))
        } else if let Some(broken) = broken {
            let name = &broken.policy.name;
            said(false, "PolicyDoesNotCompile", format!("policy `{name}` does not compile"))
        } else {
            let names: Vec<&str> = policies.iter().map(|bound| bound.policy.kind_name()).collect();
            said(true, "Bound", format!("binds {} `{}`", names.join(" and "), binding.policy_name))
        };
        Some(status(object, now, [(READY, ready)], &binding.diagnostics))
    }
}

/// Whether objects that exist can be audited by it. Nothing is said of what the other conditions say already, nor of
/// policies that change objects.
fn auditable(bound: &Bound) -> Option<Said> {
    Some(match bound.background() {
        Ok(_) => said(true, "CanBeAudited", "objects that exist are asked about too"),
        Err(Unauditable::Broken | Unauditable::Unbound | Unauditable::Mutates) => return None,
        Err(why @ Unauditable::Off) => said(false, "Off", why.to_string()),
        Err(why) => {
            let message = format!("objects that exist can't be audited by it: {why}");
            said(false, "CannotBeAudited", message)
        }
    })
}

/// Whether two statuses say the same, whenever they began to.
pub fn says_the_same(a: &PolicyStatus, b: &PolicyStatus) -> bool {
    let timeless = |status: &PolicyStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
        }
        status
    };
    timeless(a) == timeless(b)
}

fn status<'c>(
    object: &ObservedObject,
    now: Timestamp,
    conditions: impl IntoIterator<Item = (&'c str, Said)>,
    diagnostics: &[PolicyDiagnostic],
) -> PolicyStatus {
    let before = object.status.as_ref();
    let conditions = conditions.into_iter().map(|(kind, said)| {
        let status = if said.so { "True" } else { "False" };
        let last = before.and_then(|b| b.conditions.iter().find(|c| c.type_ == kind));
        let since =
            last.filter(|last| last.status == status).map(|l| l.last_transition_time.clone());
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: said.reason.to_owned(),
            message: cut(&said.message, MESSAGE_CHARS_MAX),
            last_transition_time: since.unwrap_or(Time(now)),
            observed_generation: object.generation,
        }
    });
    let excerpted = |diagnostic: &PolicyDiagnostic| PolicyDiagnostic {
        field: diagnostic.field.clone(),
        message: cut(&diagnostic.message, EXCERPT_CHARS_MAX),
        excerpt: diagnostic.excerpt.as_ref().map(|text| cut(text, EXCERPT_CHARS_MAX)),
    };
    PolicyStatus {
        observed_generation: object.generation,
        conditions: conditions.collect(),
        diagnostics: diagnostics.iter().take(DIAGNOSTICS_MAX).map(excerpted).collect(),
        last_good: None,
        type_checking: None,
    }
}

/// The first diagnostic in full, and how many more there are.
fn explain(diagnostics: &[PolicyDiagnostic]) -> String {
    let Some(PolicyDiagnostic { field, message, excerpt }) = diagnostics.first() else {
        return String::new();
    };
    // The excerpt begins with the message.
    let message = cut(excerpt.as_ref().unwrap_or(message), EXCERPT_CHARS_MAX);
    let message = message.trim_end();
    let more = match diagnostics.len() {
        1 => String::new(),
        count => format!("\nand {} more, see status.diagnostics", count - 1),
    };
    format!("{field}: {message}{more}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use crate::cel::Version;
    use crate::controller::cluster::state::{Observed, ObservedObject, Watched};
    use crate::controller::status::conditions::{Known, says_the_same};
    use crate::controller::status::types::TypeWarnings;
    use crate::policy::Definitions;
    use crate::policy::api::PolicyStatus;
    use crate::policy::manifest;
    use crate::policy::snapshot::Snapshot;
    use crate::schema::Catalog;

    const RULES: &str = "matchConstraints: {resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}";

    fn observed(documents: &[String]) -> Observed {
        let mut definitions = Definitions::default();
        for document in documents {
            let text = format!("{{apiVersion: portcullis.dev/v1alpha1, {document}}}");
            for manifest in manifest::read("a.yaml", &text).unwrap() {
                definitions.add(manifest);
            }
        }
        let snapshot = Arc::new(Snapshot::build(definitions, Version::default(), None));
        let (objects, break_glasses) = (Vec::new(), Vec::new());
        Observed { snapshot, objects, schemas: Catalog::built_in_shared(), break_glasses }
    }

    fn object(watched: Watched, name: &str, unreadable: Option<&str>) -> ObservedObject {
        ObservedObject {
            watched,
            name: name.into(),
            uid: "u".into(),
            generation: Some(1),
            status: None,
            unreadable: unreadable.map(str::to_owned),
        }
    }

    fn policy(name: &str, spec: &str) -> String {
        format!(
            "kind: ValidatingPolicy, metadata: {{name: {name}, generation: 1}}, spec: {{{RULES}, {spec}}}"
        )
    }

    fn binding(name: &str, spec: &str) -> String {
        format!("kind: PolicyBinding, metadata: {{name: {name}, generation: 1}}, spec: {{{spec}}}")
    }

    /// `Type=Status Reason: message` of each condition.
    fn lines(status: &PolicyStatus) -> Vec<String> {
        let line = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message)
        };
        status.conditions.iter().map(line).collect()
    }

    #[test]
    fn a_policy_is_told_what_became_of_it() {
        let types = &TypeWarnings::default();
        let now = Timestamp::UNIX_EPOCH;
        let good = policy("p", "validations: [{expression: 'true'}], validationActions: [Deny]");
        let unbound = policy("p", "validations: [{expression: 'true'}]");
        let broken = policy(
            "p",
            "validations: [{expression: objet.x}, {expression: a.b}], validationActions: [Deny]",
        );
        let check =
            |document: &String, registered: bool, unreadable: Option<&str>, expect: &[&str]| {
                let observed = observed(std::slice::from_ref(document));
                let registered = registered.then(|| Arc::clone(&observed.snapshot));
                let known = Known::new(&observed, registered.as_deref(), types);
                let object = object(Watched::Validating, "p", unreadable);
                let status = known.status(&object, now).unwrap();
                assert_eq!(lines(&status), expect);
                assert_eq!(status.observed_generation, Some(1));
            };
        let compiled = "Compiled=True Compiled: every expression compiles";
        let auditable = "Auditable=True CanBeAudited: objects that exist are asked about too";
        check(&good, true, None, &[compiled, "Ready=True InForce: bound by itself", auditable]);
        check(
            &good,
            false,
            None,
            &[
                compiled,
                "Ready=False NotRegistered: the API server does not ask about it yet",
                auditable,
            ],
        );
        check(
            &unbound,
            true,
            None,
            &[
                compiled,
                "Ready=False NotBound: nothing puts it in force: set spec.validationActions, or create a PolicyBinding",
            ],
        );
        check(
            &good,
            true,
            Some("unknown field `x`"),
            &[
                "Compiled=False Unreadable: unknown field `x`; its last form stays in force",
                "Ready=False Unreadable: unknown field `x`; its last form stays in force",
            ],
        );
        let observed = observed(std::slice::from_ref(&broken));
        let status =
            Known::new(&observed, None, types).status(&object(Watched::Validating, "p", None), now);
        let status = status.unwrap();
        assert_eq!(status.diagnostics.len(), 2);
        let [compiled, ready] = lines(&status).try_into().unwrap();
        assert!(
            compiled.starts_with("Compiled=False DoesNotCompile: spec.validations[0].expression: ")
        );
        assert!(compiled.contains("^^^^^"), "{compiled}");
        assert!(compiled.ends_with("and 1 more, see status.diagnostics"), "{compiled}");
        assert!(
            ready.ends_with("requests that it matches are denied (failurePolicy: Fail)"),
            "{ready}"
        );
    }

    #[test]
    fn a_policy_is_told_whether_it_can_be_audited() {
        let types = &TypeWarnings::default();
        let check = |spec: &str, expect: Option<&str>| {
            let observed = observed(&[policy("p", spec)]);
            let known = Known::new(&observed, None, types);
            let status =
                known.status(&object(Watched::Validating, "p", None), Timestamp::UNIX_EPOCH);
            let told =
                lines(&status.unwrap()).into_iter().find(|line| line.starts_with("Auditable"));
            assert_eq!(told.as_deref(), expect, "{spec}");
        };
        let with = |expression: &str, rest: &str| {
            format!("validations: [{{expression: {expression}}}], validationActions: [Deny]{rest}")
        };
        let can = "Auditable=True CanBeAudited: objects that exist are asked about too";
        check(&with("'true'", ""), Some(can));
        let cannot = "Auditable=False CannotBeAudited: objects that exist can't be audited by it: it reads `authorizer`, \
                      and nobody asks for an object that is there already";
        check(&with("authorizer != null", ""), Some(cannot));
        let off = "Auditable=False Off: it says `background: false`";
        check(&with("'true'", ", background: false"), Some(off));
        check(&with("objet.x", ""), None);
        check("validations: [{expression: 'true'}]", None);
    }

    #[test]
    fn a_binding_is_told_whom_it_binds() {
        let types = &TypeWarnings::default();
        let check = |spec: &str, expect: &str| {
            let observed = observed(&[
                policy("p", "validations: [{expression: 'true'}]"),
                policy("broken", "validations: [{expression: x}]"),
                binding("b", spec),
            ]);
            let known = Known::new(&observed, None, types);
            let object = object(Watched::Bindings, "b", None);
            let status = known.status(&object, Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(lines(&status), [expect]);
        };
        check("policyName: p", "Ready=True Bound: binds ValidatingPolicy `p`");
        check(
            "policyName: q",
            "Ready=False PolicyNotFound: there is no policy `q`: the binding does nothing",
        );
        check(
            "policyName: broken",
            "Ready=False PolicyDoesNotCompile: policy `broken` does not compile",
        );
        check(
            "policyName: p, validationActions: [Warn, Warn]",
            "Ready=False Invalid: spec.validationActions[1]: Duplicate value: \"Warn\"",
        );
    }

    #[test]
    fn a_condition_keeps_the_time_at_which_it_came_about() {
        let types = &TypeWarnings::default();
        let observed = observed(&[policy("p", "validations: [{expression: 'true'}]")]);
        let known = Known::new(&observed, None, types);
        let mut object = object(Watched::Validating, "p", None);
        let first = known.status(&object, Timestamp::UNIX_EPOCH).unwrap();
        object.status = Some(first.clone());
        let later = Timestamp::from_second(60).unwrap();
        assert_eq!(known.status(&object, later).unwrap(), first);
        object.status = None;
        let other = known.status(&object, later).unwrap();
        assert!(other != first && says_the_same(&other, &first));
    }
}
