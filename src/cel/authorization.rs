//! What the authorizer is asked with, put together call by call. Nothing here asks.

use crate::cel::answers::{Answer, Check, CheckTarget};

/// On whose behalf is asked: a service account's namespace and name, or the requesting user.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authorizer<'a> {
    /// The service account; nobody for the requesting user.
    pub service_account: Option<&'a (&'a str, &'a str)>,
}

/// A path outside the resources.
#[derive(Clone, Copy, Debug)]
pub struct PathCheck<'a> {
    /// Who would do it.
    pub authorizer: Authorizer<'a>,
    /// The path.
    pub path: &'a str,
}

/// An API group.
#[derive(Clone, Copy, Debug)]
pub struct GroupCheck<'a> {
    /// Who would do it.
    pub authorizer: Authorizer<'a>,
    /// The group.
    pub group: &'a str,
}

/// A resource; what is empty is not asked about.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceCheck<'a> {
    /// Who would do it.
    pub authorizer: Authorizer<'a>,
    /// The API group.
    pub group: &'a str,
    /// The resource.
    pub resource: &'a str,
    /// The subresource.
    pub subresource: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
    /// A field selector, as text.
    pub field_selector: &'a str,
    /// A label selector, as text.
    pub label_selector: &'a str,
}

/// What was answered.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a>(pub &'a Answer);

impl Authorizer<'_> {
    fn check(self, verb: &str, target: CheckTarget) -> Check {
        let owned =
            |(namespace, name): &(&str, &str)| ((*namespace).to_owned(), (*name).to_owned());
        Check { service_account: self.service_account.map(owned), verb: verb.to_owned(), target }
    }
}

impl PathCheck<'_> {
    /// The question whether this verb is allowed.
    pub fn check(&self, verb: &str) -> Check {
        self.authorizer.check(verb, CheckTarget::Path(self.path.to_owned()))
    }
}

impl ResourceCheck<'_> {
    /// The question whether this verb is allowed.
    pub fn check(&self, verb: &str) -> Check {
        let selector = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let target = CheckTarget::Resource {
            group: self.group.to_owned(),
            resource: self.resource.to_owned(),
            subresource: self.subresource.to_owned(),
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
            field_selector: selector(self.field_selector),
            label_selector: selector(self.label_selector),
        };
        self.authorizer.check(verb, target)
    }
}
