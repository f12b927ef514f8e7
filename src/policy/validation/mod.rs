//! What the API server says about a policy or a binding when it is created, in its own words. What came from a cluster
//! was told so already, unless it is of a kind of ours; what came from a file is told here.
//!
//! # Flow
//! A document is looked at before it is decoded, so that what is missing or misspelt is told as the API server tells it,
//! and everything at once. Where an expression does not compile is told when the policy is compiled.
//!
//! # Assumptions
//! - Defaults are those of the API: what has one need not be there.
//! - Fields of the wrong type, and fields that there are not, are found when the document is decoded.
//!
//! Source: `k8s.io/kubernetes/pkg/apis/admissionregistration/validation`.

mod binding;
mod expressions;
mod field;
mod field_error;
mod matching;
mod metadata;
pub(in crate::policy) mod names;
mod order;
mod repair;

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::policy::api::PolicyKind;
use crate::policy::definitions::Origin;
use crate::policy::validation::field::Field;

pub(in crate::policy) use expressions::VALUE_EXPRESSION_MAX;
pub use field_error::{ErrorKind, FieldError};
pub(in crate::policy) use order::in_order;
pub(in crate::policy) use repair::repaired;

/// How long the API server can be told to wait for a webhook.
pub(in crate::policy) const TIMEOUT_SECONDS: RangeInclusive<i64> = 1..=30;

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A policy.
    Policy(Origin, PolicyKind),
    /// A binding. One of ours can say itself which kind of policy it is for.
    Binding(Origin, Option<PolicyKind>),
}

impl Subject {
    /// Whose API it is.
    pub fn origin(self) -> Origin {
        match self {
            Subject::Policy(origin, _) | Subject::Binding(origin, _) => origin,
        }
    }
}

/// What is wrong with a document, whatever its expressions.
pub fn errors(subject: Subject, document: &Value) -> Vec<FieldError> {
    let [metadata, spec] = ["metadata", "spec"].map(|name| Field::top(document, name));
    let errors = &mut Vec::new();
    metadata::check(&metadata, errors);
    match subject {
        Subject::Policy(origin, kind) => {
            policy(kind, origin, &spec, metadata.child("name").text(), errors);
        }
        Subject::Binding(origin, kind) => binding_spec(origin, kind, &spec, errors),
    }
    std::mem::take(errors)
}

fn policy(
    kind: PolicyKind,
    origin: Origin,
    spec: &Field<'_>,
    name: &str,
    errors: &mut Vec<FieldError>,
) {
    let mutates = kind == PolicyKind::MutatingPolicy;
    spec.child("failurePolicy").check_word(&["Fail", "Ignore"], errors);
    matching::param_kind(&spec.child("paramKind"), errors);
    matching::constraints(&spec.child("matchConstraints"), mutates, errors);
    expressions::match_conditions(&spec.child("matchConditions"), errors);
    expressions::variables(&spec.child("variables"), errors);
    if mutates {
        expressions::mutations(&spec.child("mutations"), errors);
        reinvocation(origin, &spec.child("reinvocationPolicy"), errors);
    } else {
        expressions::rules(spec, name, errors);
    }
    if origin == Origin::Portcullis {
        ours(mutates, spec, errors);
    }
}

/// A native policy must say it; ours have a default.
fn reinvocation(origin: Origin, field: &Field<'_>, errors: &mut Vec<FieldError>) {
    if field.text().is_empty() && (origin == Origin::Native || field.is_given()) {
        errors.push(field.required(""));
    } else {
        field.check_word(&["IfNeeded", "Never"], errors);
    }
}

/// What only policies of ours have.
fn ours(mutates: bool, spec: &Field<'_>, errors: &mut Vec<FieldError>) {
    let (binds_itself, by) = if mutates {
        (spec.child("selfBinding").is_true(), "selfBinding")
    } else {
        (spec.child("validationActions").is_given(), "validationActions")
    };
    let actions = spec.child("validationActions");
    if !mutates && actions.is_given() {
        binding::validation_actions(&actions, errors);
    }
    let reference = spec.child("paramRef");
    if reference.is_given() && !(binds_itself && spec.child("paramKind").is_given()) {
        let detail =
            format!("needs paramKind and {by}: without {by}, a PolicyBinding brings the params");
        errors.push(reference.forbidden(&detail));
    }
    binding::param_ref(&reference, errors);
    expressions::unique_variables(&spec.child("variables"), errors);
    let severities = ["Info", "Low", "Medium", "High", "Critical"];
    spec.child("severity").check_word(&severities, errors);
    let timeout = spec.child("timeoutSeconds");
    if timeout.is_given() && !TIMEOUT_SECONDS.contains(&timeout.integer()) {
        errors.push(timeout.invalid_json("must be between 1 and 30"));
    }
}

fn binding_spec(
    origin: Origin,
    kind: Option<PolicyKind>,
    spec: &Field<'_>,
    errors: &mut Vec<FieldError>,
) {
    binding::policy_name(&spec.child("policyName"), errors);
    let said = spec.child("policyKind");
    let mutates = kind == Some(PolicyKind::MutatingPolicy) || said.text() == "MutatingPolicy";
    let resources = spec.child("matchResources");
    binding::param_ref(&spec.child("paramRef"), errors);
    matching::resources(&resources, errors);
    if mutates {
        matching::mutating_operations(&resources, errors);
    }
    let actions = spec.child("validationActions");
    if origin == Origin::Portcullis {
        said.check_word(&["ValidatingPolicy", "MutatingPolicy", "ImagePolicy"], errors);
        if mutates && actions.is_given() {
            errors.push(actions.forbidden("means nothing to a MutatingPolicy"));
        }
    }
    if !mutates && (origin == Origin::Native || actions.is_given()) {
        binding::validation_actions(&actions, errors);
    }
}

#[cfg(test)]
mod tests;
