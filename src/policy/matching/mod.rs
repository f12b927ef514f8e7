//! Whether a policy or a binding is about a request: rules, excludes and selectors. The semantics are those of
//! `k8s.io/apiserver/pkg/admission/plugin/policy/matching`; match conditions, being CEL, are not evaluated here.
//!
//! # Guarantees
//! - Everything that can be parsed is parsed when a [`Matcher`] is made.
//! - An error is never "does not match": it is returned, and `failurePolicy` decides about it. As in the API server, an
//!   error counts only for a request that the rules match.

mod equivalents;
mod index;
mod rule;
mod selector;

use thiserror::Error;

pub use equivalents::{Equivalent, Equivalents};
pub use index::{Candidates, Index};
pub use rule::Rule;
pub use selector::{Selector, SelectorError};

use crate::json::Node;
use crate::policy::api::{MatchPolicy, MatchResources};
use crate::policy::request::{Kind, Operation, Request, Resource};

/// `matchConstraints` of a policy or `matchResources` of a binding, ready to match.
#[derive(Clone, Debug)]
pub struct Matcher {
    namespaces: Result<Selector, SelectorError>,
    objects: Result<Selector, SelectorError>,
    include: Box<[Rule]>,
    exclude: Box<[Rule]>,
    policy: MatchPolicy,
}

/// What a request was matched as: with `Equivalent`, it can be another version than the request's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched<'a> {
    /// The resource that a rule matched.
    pub resource: Resource<'a>,
    /// Its kind.
    pub kind: Kind<'a>,
}

/// Why it can't be said whether a request matches.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MatchError {
    /// A selector that is not one.
    #[error("Internal error occurred: {0}")]
    Selector(#[from] SelectorError),
    /// The namespace of the request does not exist, so it has no labels.
    #[error("namespaces {0:?} not found")]
    NamespaceMissing(String),
    /// An equivalent resource whose kind is not known.
    #[error("unable to convert to {0}: unknown kind")]
    KindUnknown(String),
}

/// The Namespace object of a request, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub enum Namespace<'a> {
    /// It exists.
    Exists(Node<'a>),
    /// It does not exist.
    Missing,
}

impl Matcher {
    /// Takes a match apart. A selector that is not one is an error of each match, not of this function: the API server
    /// lets `failurePolicy` decide.
    pub fn new(resources: &MatchResources) -> Matcher {
        Matcher {
            namespaces: Selector::parse(&resources.namespace_selector),
            objects: Selector::parse(&resources.object_selector),
            include: resources.resource_rules.iter().map(Rule::new).collect(),
            exclude: resources.exclude_resource_rules.iter().map(Rule::new).collect(),
            policy: resources.match_policy,
        }
    }

    /// The include rules.
    pub fn rules(&self) -> &[Rule] {
        &self.include
    }

    /// Whether the labels of the request's namespace matter.
    pub fn reads_namespace(&self, request: &Request<'_>) -> bool {
        self.namespaces.as_ref().is_ok_and(|selector| !selector.is_empty())
            && !request.namespace.is_empty()
            && !labels_itself(request)
    }

    /// Whether the request matches, and as what.
    ///
    /// # Errors
    /// Only for a request that the rules match.
    pub fn matches<'r>(
        &self,
        request: &Request<'r>,
        namespace: Namespace<'r>,
        equivalents: &'r Equivalents,
    ) -> Result<Option<Matched<'r>>, MatchError> {
        let by_namespace = self.matches_namespace(request, namespace);
        if by_namespace == Ok(false) {
            return Ok(None);
        }
        let by_object = self.matches_object(request);
        if by_object == Ok(false) {
            return Ok(None);
        }
        if self.find(&self.exclude, request, equivalents)?.is_some() {
            return Ok(None);
        }
        let matched = if self.include.is_empty() {
            Some(Matched { resource: request.resource, kind: request.kind })
        } else {
            self.find(&self.include, request, equivalents)?
        };
        if matched.is_some() {
            by_namespace?;
            by_object?;
        }
        Ok(matched)
    }

    fn matches_namespace(
        &self,
        request: &Request<'_>,
        namespace: Namespace<'_>,
    ) -> Result<bool, MatchError> {
        if request.namespace.is_empty() && request.resource.resource != "namespaces" {
            return Ok(true);
        }
        let selector = self.namespaces.as_ref().map_err(Clone::clone)?;
        if selector.is_empty() {
            return Ok(true);
        }
        let labels = |object: Node<'_>| {
            selector.matches(object.get("metadata").and_then(|metadata| metadata.get("labels")))
        };
        if labels_itself(request) {
            return Ok(labels(request.object));
        }
        match namespace {
            Namespace::Exists(object) => Ok(labels(object)),
            Namespace::Missing => Err(MatchError::NamespaceMissing(request.namespace.to_owned())),
        }
    }

    fn matches_object(&self, request: &Request<'_>) -> Result<bool, MatchError> {
        let selector = self.objects.as_ref().map_err(Clone::clone)?;
        Ok(selector.matches_object(request.object) || selector.matches_object(request.old_object))
    }

    fn find<'r>(
        &self,
        rules: &[Rule],
        request: &Request<'r>,
        equivalents: &'r Equivalents,
    ) -> Result<Option<Matched<'r>>, MatchError> {
        let own = request.resource;
        if rules.iter().any(|rule| rule.matches(request, own) && rule.names_fit(request.name)) {
            return Ok(Some(Matched { resource: own, kind: request.kind }));
        }
        if self.policy == MatchPolicy::Exact {
            return Ok(None);
        }
        for rule in rules {
            for (resource, kind) in equivalents_of(request, equivalents) {
                if resource == own || !rule.matches(request, resource) {
                    continue;
                }
                let Some(kind) = kind else {
                    let Resource { group, version, resource } = resource;
                    let text = format!("{group}/{version}, Resource={resource}");
                    return Err(MatchError::KindUnknown(text));
                };
                if rule.names_fit(request.name) {
                    return Ok(Some(Matched { resource, kind }));
                }
            }
        }
        Ok(None)
    }
}

/// Every way to the objects of the request: what the table knows, and the version that the API server converted to.
pub(in crate::policy) fn equivalents_of<'r, 'e: 'r>(
    request: &Request<'r>,
    equivalents: &'e Equivalents,
) -> impl Iterator<Item = (Resource<'r>, Option<Kind<'r>>)> {
    let served = (request.served_resource, Some(request.served_kind));
    let converted = request.served_resource != request.resource;
    let table = equivalents.of(request.resource, request.subresource);
    converted.then_some(served).into_iter().chain(table)
}

/// A Namespace that is created or updated is selected by the labels it will have.
fn labels_itself(request: &Request<'_>) -> bool {
    request.resource.resource == "namespaces"
        && request.subresource.is_empty()
        && matches!(request.operation, Operation::Create | Operation::Update)
}

/// Resources that no policy may stand in the way of: reviews are not stored, and without them nobody can log in or ask
/// what they may do. Source: `k8s.io/kubernetes/pkg/kubeapiserver/admission/exclusion`.
const REVIEWS: [(&str, &str); 6] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

/// The native policies, which API-loaded policies never see: a policy could lock out the repair of itself.
const NATIVE_POLICIES: [&str; 4] = [
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
];

/// Whether no policy sees requests for this resource, whatever its rules say.
pub fn is_excluded(resource: Resource<'_>) -> bool {
    REVIEWS.contains(&(resource.group, resource.resource))
        || (resource.group == crate::policy::api::NATIVE_GROUP
            && NATIVE_POLICIES.contains(&resource.resource))
}

#[cfg(test)]
mod tests;
