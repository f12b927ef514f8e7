//! How narrow a webhook can be without a policy missing a request: what all of its policies agree about, the API server
//! can look at before it asks. Pure.
//!
//! # Guarantees
//! - A request that is kept out is one that no policy of the webhook has anything to say about.
//! - Nothing is pushed whose failure the API server would decide about differently than the policy.

use serde_json::{Value, json};

use crate::cel::{Env, Type, Version};
use crate::policy::api::{LabelSelector, MatchCondition, PolicyKind, ValidationAction};
use crate::policy::compile::State;
use crate::policy::snapshot::Bound;
use crate::schema;

/// The oldest release that takes every expression that is pushed: whoever runs an older API server than we compile for
/// must not have the registration refused.
const OLDEST: &str = "1.30";

/// What a webhook's policies agree about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::controller::registration) struct Narrow {
    pub namespace_selector: LabelSelector,
    pub object_selector: LabelSelector,
    pub conditions: Vec<MatchCondition>,
}

impl Narrow {
    /// What all of these agree about. A policy that is broken may have to deny whatever its selectors say.
    pub fn new(bound: &[&Bound]) -> Narrow {
        let is_active = |bound: &&Bound| bound.policy.state() == State::Active;
        let Some((first, rest)) = bound.split_first().filter(|_| bound.iter().all(is_active))
        else {
            return Narrow::default();
        };
        let agreed = |part: fn(&Bound) -> &LabelSelector| {
            let selector = part(first);
            let agree = rest.iter().all(|bound| part(bound) == selector);
            if agree { selector.clone() } else { LabelSelector::default() }
        };
        Narrow {
            namespace_selector: agreed(|bound| &bound.constraints().namespace_selector),
            object_selector: agreed(|bound| &bound.constraints().object_selector),
            conditions: conditions(first, rest),
        }
    }
}

/// The match conditions that all policies have and that mean in a webhook what they mean here. A condition that can't be
/// evaluated lets the API server deny at once, so all of the policies have to be such as would.
fn conditions(first: &Bound, rest: &[&Bound]) -> Vec<MatchCondition> {
    let denies = |bound: &Bound| {
        bound.policy.kind == PolicyKind::MutatingPolicy
            || bound.bindings.iter().all(|b| b.actions.contains(&ValidationAction::Deny))
    };
    if !denies(first) || !rest.iter().all(|bound| denies(bound)) {
        return Vec::new();
    }
    let shared = |condition: &&MatchCondition| {
        let says = |other: &MatchCondition| other.expression == condition.expression;
        rest.iter().all(|bound| bound.match_conditions().iter().any(says))
    };
    let shared = first.match_conditions().iter().filter(shared);
    shared.filter(|condition| is_plain(&condition.expression)).cloned().collect()
}

/// Whether an API server of [`OLDEST`] takes it as a webhook's condition: it sees no params and no namespace, and it need
/// not ask the authorizer.
fn is_plain(expression: &str) -> bool {
    let Ok(oldest) = OLDEST.parse::<Version>() else { return false };
    let env = Env::kubernetes(oldest)
        .declare("object", Type::Dyn)
        .declare("oldObject", Type::Dyn)
        .declare("request", schema::request());
    env.compile(expression, &[Type::Bool]).is_ok()
}

/// A selector as the API has it, with more expressions.
pub(in crate::controller::registration) fn selector(
    selector: &LabelSelector,
    more: impl IntoIterator<Item = Value>,
) -> Value {
    let mut value = json!(selector);
    let more: Vec<Value> = more.into_iter().collect();
    if let Some(fields) = value.as_object_mut().filter(|_| !more.is_empty()) {
        let expressions = fields.entry("matchExpressions").or_insert_with(|| json!([]));
        if let Some(expressions) = expressions.as_array_mut() {
            expressions.extend(more);
        }
    }
    value
}
