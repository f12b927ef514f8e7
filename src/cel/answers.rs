//! What an expression may ask of the world. Evaluation itself does no I/O: it reads the answers that
//! were gathered, and says which one was missing.

use std::fmt;

/// A question for the cluster's authorizer, as a SubjectAccessReview puts it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Check {
    /// On whose behalf: a service account's namespace and name, or nobody for the requesting user.
    pub service_account: Option<(String, String)>,
    /// What would be done.
    pub verb: String,
    /// With what.
    pub target: CheckTarget,
}

/// What an authorization check is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CheckTarget {
    /// A path outside the resources, such as `/healthz`.
    Path(String),
    /// A resource.
    Resource {
        /// The API group.
        group: String,
        /// The resource.
        resource: String,
        /// The subresource, or nothing.
        subresource: String,
        /// The namespace, or nothing.
        namespace: String,
        /// The name, or nothing.
        name: String,
        /// A field selector, as text.
        field_selector: Option<String>,
        /// A label selector, as text.
        label_selector: Option<String>,
    },
}

impl Default for CheckTarget {
    fn default() -> CheckTarget {
        CheckTarget::Path(String::new())
    }
}

/// What the authorizer said.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Answer {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, in the authorizer's words.
    pub reason: String,
    /// What went wrong when it was asked.
    pub error: Option<String>,
    /// Whether it could not be asked at all. Then there is no yes and no no: `allowed()` is an error, as a policy that
    /// denies what is allowed would otherwise let it pass.
    pub unasked: bool,
}

/// The answers that were gathered before evaluation.
pub trait Answers {
    /// The answer to a check; `None` when nobody has asked yet, and then the evaluation says so.
    fn authorize(&self, check: &Check) -> Option<&Answer>;
}

/// Nobody was asked anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAnswers;

impl Answers for NoAnswers {
    fn authorize(&self, _: &Check) -> Option<&Answer> {
        None
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            CheckTarget::Path(path) => write!(f, "{} {path}", self.verb),
            CheckTarget::Resource { resource, namespace, name, .. } => {
                write!(f, "{} {resource} {namespace}/{name}", self.verb)
            }
        }
    }
}
