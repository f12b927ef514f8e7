//! The parts of a policy that hold CEL, as written. Nothing here knows the language.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an error in evaluation or configuration means.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum FailurePolicy {
    /// The request passes, as if the policy did not apply.
    Ignore,
    /// The request is treated as if the validation had failed.
    #[default]
    Fail,
}

/// A condition that must hold for the policy to apply to a request that the rules match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatchCondition {
    /// A name for logs and errors, unique in the policy.
    #[schemars(
        length(min = 1, max = 317),
        pattern(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
    )]
    pub name: String,
    /// CEL that gives a bool, over `object`, `oldObject`, `request`, `authorizer` and `params`. The policy applies if all
    /// conditions are true; one that is false wins over errors in others.
    #[schemars(length(min = 1, max = 100_000), pattern(r"\S"))]
    pub expression: String,
}

/// A named expression, to be used in others as `variables.NAME`. It is evaluated at most once, when first used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variable {
    /// A CEL identifier, unique in the policy.
    #[schemars(length(min = 1, max = 253), pattern(r"^[_a-zA-Z][_a-zA-Z0-9]*$"))]
    pub name: String,
    /// CEL of any type. It sees the variables declared before it.
    #[schemars(length(min = 1, max = 100_000), pattern(r"\S"))]
    pub expression: String,
}

/// A rule that the request must meet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Validation {
    /// CEL that gives a bool; true passes. It sees `object`, `oldObject`, `request`, `params`, `namespaceObject`,
    /// `variables` and `authorizer`.
    #[schemars(length(min = 1, max = 100_000), pattern(r"\S"))]
    pub expression: String,
    /// What the user reads when the rule fails: one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10_000), pattern(r"^\s*\S.*\s*$"))]
    pub message: Option<String>,
    /// The category of the failure in the response; it sets the HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<StatusReason>,
    /// CEL that gives the message, instead of `message`. If it fails, or gives nothing, more than one line or more than
    /// 5 KiB, `message` is used. It sees everything that `expression` sees except `authorizer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100_000), pattern(r"\S"))]
    pub message_expression: Option<String>,
}

/// The category of a failure, and with it the HTTP status of the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StatusReason {
    /// 403.
    Forbidden,
    /// 422.
    #[default]
    Invalid,
    /// 413.
    RequestEntityTooLarge,
}

/// An annotation of the audit event of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditAnnotation {
    /// The key; in the audit event it is prefixed with the policy's name and a slash. Unique in the policy.
    #[schemars(length(min = 1, max = 63), pattern(r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"))]
    pub key: String,
    /// CEL that gives the value, a string, or null for no annotation. Values are cut at 10 KiB.
    #[schemars(length(min = 1, max = 5120), pattern(r"\S"))]
    pub value_expression: String,
}
