//! What policies of every kind say about themselves and about what they match, whatever they do then.

use crate::policy::api::{
    self, FailurePolicy, MatchResources, MutatingPolicySpec, ParamKind, PolicyKind,
    ValidatingPolicySpec,
};
use crate::policy::compile::About;
use crate::policy::images::ResolvedImages;
use crate::policy::validation::TIMEOUT_SECONDS;

/// What policies of all kinds say.
pub(in crate::policy::compile) struct Head<'s> {
    pub kind: PolicyKind,
    pub about: About,
    pub failure_policy: FailurePolicy,
    pub timeout_seconds: Option<i32>,
    pub param_kind: Option<&'s ParamKind>,
    pub constraints: &'s MatchResources,
    pub variables: &'s [api::Variable],
    pub priority: i32,
    /// Whether somebody asks registries about objects that exist.
    pub audits_images: bool,
}

impl<'s> From<&'s ValidatingPolicySpec> for Head<'s> {
    fn from(spec: &'s ValidatingPolicySpec) -> Head<'s> {
        Head {
            kind: PolicyKind::ValidatingPolicy,
            about: About {
                severity: spec.severity,
                category: spec.category.clone(),
                owner: spec.owner.clone(),
                description: spec.description.clone(),
                background: spec.background,
            },
            failure_policy: spec.failure_policy,
            timeout_seconds: spec.timeout_seconds,
            param_kind: spec.param_kind.as_ref(),
            constraints: &spec.match_constraints,
            variables: &spec.variables,
            priority: 0,
            audits_images: false,
        }
    }
}

impl<'s> From<&'s MutatingPolicySpec> for Head<'s> {
    fn from(spec: &'s MutatingPolicySpec) -> Head<'s> {
        Head {
            kind: PolicyKind::MutatingPolicy,
            about: About {
                severity: spec.severity,
                category: spec.category.clone(),
                owner: spec.owner.clone(),
                description: spec.description.clone(),
                background: spec.background,
            },
            failure_policy: spec.failure_policy,
            timeout_seconds: spec.timeout_seconds,
            param_kind: spec.param_kind.as_ref(),
            constraints: &spec.match_constraints,
            variables: &spec.variables,
            priority: spec.priority,
            audits_images: false,
        }
    }
}

/// None for what was refused.
pub(in crate::policy::compile) fn seconds(timeout: i32) -> Option<u8> {
    u8::try_from(timeout).ok().filter(|seconds| TIMEOUT_SECONDS.contains(&i64::from(*seconds)))
}

impl<'s> From<&'s ResolvedImages> for Head<'s> {
    fn from(spec: &'s ResolvedImages) -> Head<'s> {
        Head {
            kind: PolicyKind::ImagePolicy,
            about: About {
                severity: spec.policy.severity,
                category: spec.policy.category.clone(),
                owner: spec.policy.owner.clone(),
                description: spec.policy.description.clone(),
                background: spec.policy.background,
            },
            failure_policy: spec.policy.failure_policy,
            timeout_seconds: None,
            param_kind: None,
            constraints: &spec.constraints,
            variables: &[],
            priority: 0,
            audits_images: spec.is_audited,
        }
    }
}
