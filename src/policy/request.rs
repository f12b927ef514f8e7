//! One admission question, as policies see it: what is done to which object by whom. It borrows from the document it was
//! parsed from; who parsed it, and from what, is not known here.

use std::fmt;

use crate::json::Node;
use crate::policy::api;

/// One admission question. What a request does not have is an empty string or null.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The identity of the question; the answer repeats it.
    pub uid: &'a str,
    /// What is done.
    pub operation: Operation,
    /// The kind that was asked for.
    pub kind: Kind<'a>,
    /// The resource that was asked for.
    pub resource: Resource<'a>,
    /// The kind of `object` and `old_object`: another version than was asked for, if the API server converted them.
    pub served_kind: Kind<'a>,
    /// The resource of that kind.
    pub served_resource: Resource<'a>,
    /// The subresource, such as `status` or `exec`.
    pub subresource: &'a str,
    /// The name of the object; empty while the API server has still to generate it.
    pub name: &'a str,
    /// The namespace of the object; for a Namespace, its own name; empty for other cluster-scoped objects.
    pub namespace: &'a str,
    /// Who asks.
    pub user: User<'a>,
    /// The object as it would be; null for DELETE.
    pub object: Node<'a>,
    /// The object as it is; null for CREATE and CONNECT.
    pub old_object: Node<'a>,
    /// What expressions see as `request`: there is nothing in its `uid`, `object` and `oldObject`.
    pub attributes: Node<'a>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Create.
    Create,
    /// Update.
    Update,
    /// Delete.
    Delete,
    /// Connect, as exec and port-forward do.
    Connect,
}

impl Operation {
    /// The operation of this name, in capitals as in the API.
    pub fn parse(text: &str) -> Option<Operation> {
        match text {
            "CREATE" => Some(Operation::Create),
            "UPDATE" => Some(Operation::Update),
            "DELETE" => Some(Operation::Delete),
            "CONNECT" => Some(Operation::Connect),
            _ => None,
        }
    }

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }

    /// Whether a rule that says `word` covers it.
    pub(in crate::policy) fn is(self, word: api::Operation) -> bool {
        match word {
            api::Operation::All => true,
            api::Operation::Create => self == Operation::Create,
            api::Operation::Update => self == Operation::Update,
            api::Operation::Delete => self == Operation::Delete,
            api::Operation::Connect => self == Operation::Connect,
        }
    }
}

/// A kind: what an object is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kind<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The API version.
    pub version: &'a str,
    /// The kind, such as `Pod`.
    pub kind: &'a str,
}

/// A resource: where an object is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resource<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The API version.
    pub version: &'a str,
    /// The resource, in lower-case plural, such as `pods`.
    pub resource: &'a str,
}

/// `pods`, or `deployments.apps`.
impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The name.
    pub name: &'a str,
    /// The identity, if the authenticator knows one.
    pub uid: &'a str,
    /// A list of names of groups, or null.
    pub groups: Node<'a>,
    /// A map of lists of strings, or null.
    pub extra: Node<'a>,
}

impl<'a> Request<'a> {
    /// Whether the object itself is a Namespace.
    pub fn is_namespace(&self) -> bool {
        self.resource.group.is_empty() && self.resource.resource == "namespaces"
    }

    /// The name of the Namespace object that expressions see as `namespaceObject`, and that selectors read.
    pub fn namespace_name(&self) -> Option<&'a str> {
        let own = self.kind == Kind { group: "", version: "v1", kind: "Namespace" };
        (!own && !self.namespace.is_empty()).then_some(self.namespace)
    }

    /// The name for messages: the object's, or what it is generated from, or `Unknown`.
    pub fn display_name(&self) -> &'a str {
        if !self.name.is_empty() {
            return self.name;
        }
        ["name", "generateName"]
            .iter()
            .filter_map(|field| self.object.get("metadata")?.get(field)?.as_str())
            .find(|name| !name.is_empty())
            .unwrap_or("Unknown")
    }
}
