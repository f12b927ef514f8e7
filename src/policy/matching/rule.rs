//! Resource rules: which operations on which resources. The rules are those of
//! `k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules`.

use crate::policy::api::{NamedRule, Scope};
use crate::policy::request::{Operation, Request, Resource};

/// A resource rule, ready to match.
#[derive(Clone, Debug)]
pub struct Rule {
    operations: u8,
    groups: Words,
    versions: Words,
    resources: Box<[ResourceRule]>,
    scope: Scope,
    names: Box<[Box<str>]>,
}

/// Words of which one must fit; `*` fits everything.
#[derive(Clone, Debug)]
enum Words {
    Any,
    OneOf(Box<[Box<str>]>),
}

/// `pods`, `pods/log`, `pods/*`, `*`, `*/scale` or `*/*`. A `None` is a star.
#[derive(Clone, Debug)]
struct ResourceRule {
    resource: Option<Box<str>>,
    subresource: Option<Box<str>>,
}

const OPERATIONS: [Operation; 4] =
    [Operation::Create, Operation::Update, Operation::Delete, Operation::Connect];

impl Rule {
    /// Takes a rule apart.
    pub fn new(rule: &NamedRule) -> Rule {
        let operations = OPERATIONS
            .into_iter()
            .filter(|operation| rule.operations.iter().any(|word| operation.is(*word)))
            .fold(0, |bits, operation| bits | bit(operation));
        Rule {
            operations,
            groups: Words::new(&rule.api_groups),
            versions: Words::new(&rule.api_versions),
            resources: rule.resources.iter().map(|text| ResourceRule::new(text)).collect(),
            scope: rule.scope,
            names: rule.resource_names.iter().map(|name| name.as_str().into()).collect(),
        }
    }

    /// Whether it covers the request, taken as a request for `resource`.
    pub fn matches(&self, request: &Request<'_>, resource: Resource<'_>) -> bool {
        self.operations & bit(request.operation) != 0
            && self.covers_scope(request, resource)
            && self.groups.fit(resource.group)
            && self.versions.fit(resource.version)
            && self.resources.iter().any(|rule| rule.fits(resource.resource, request.subresource))
    }

    /// Whether the object's name is among the names, if there are any. A name yet to be generated is not.
    pub fn names_fit(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|own| **own == *name)
    }

    /// A namespace is cluster-scoped although requests for one carry its name as their namespace.
    fn covers_scope(&self, request: &Request<'_>, resource: Resource<'_>) -> bool {
        let is_namespace =
            resource == Resource { group: "", version: "v1", resource: "namespaces" };
        let cluster = is_namespace || request.namespace.is_empty();
        match self.scope {
            Scope::All => true,
            Scope::Cluster => cluster,
            Scope::Namespaced => !cluster,
        }
    }

    /// The groups and resources under which an index must find it; `None` is any.
    pub(in crate::policy) fn keys(&self) -> Vec<(Option<&str>, Option<&str>)> {
        let groups: Vec<Option<&str>> = match &self.groups {
            Words::Any => vec![None],
            Words::OneOf(words) => words.iter().map(|word| Some(&**word)).collect(),
        };
        let resources = || self.resources.iter().map(|rule| rule.resource.as_deref());
        groups.iter().flat_map(|group| resources().map(|resource| (*group, resource))).collect()
    }
}

fn bit(operation: Operation) -> u8 {
    match operation {
        Operation::Create => 1,
        Operation::Update => 2,
        Operation::Delete => 4,
        Operation::Connect => 8,
    }
}

impl Words {
    fn new(words: &[String]) -> Words {
        if words.iter().any(|word| word == "*") {
            Words::Any
        } else {
            Words::OneOf(words.iter().map(|word| word.as_str().into()).collect())
        }
    }

    fn fit(&self, word: &str) -> bool {
        match self {
            Words::Any => true,
            Words::OneOf(words) => words.iter().any(|own| **own == *word),
        }
    }
}

impl ResourceRule {
    fn new(text: &str) -> ResourceRule {
        let star = |text: &str| (text != "*").then(|| text.into());
        match text.split_once('/') {
            Some((resource, subresource)) => {
                ResourceRule { resource: star(resource), subresource: star(subresource) }
            }
            None => ResourceRule { resource: star(text), subresource: Some("".into()) },
        }
    }

    fn fits(&self, resource: &str, subresource: &str) -> bool {
        self.resource.as_deref().is_none_or(|own| own == resource)
            && self.subresource.as_deref().is_none_or(|own| own == subresource)
    }
}
