//! An object that exists, as the question that a policy is asked about it.

use std::cell::OnceCell;

use serde_json::json;
use thiserror::Error;

use crate::json::{Document, Node};
use crate::policy::Request;
use crate::policy::request::{Kind, Operation, Resource, User};

/// An object that exists. It borrows from the document that holds it.
#[derive(Debug)]
pub struct Existing<'o> {
    object: Node<'o>,
    kind: Kind<'o>,
    resource: Resource<'o>,
    namespace: &'o str,
    name: &'o str,
    uid: &'o str,
    /// What expressions see as `request`, for each way to ask, once it is asked.
    created: OnceCell<Document>,
    updated: OnceCell<Document>,
}

/// Where the objects of a kind are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served<'o> {
    /// The resource, in lower-case plural, such as `pods`.
    pub resource: &'o str,
    /// Whether each object lives in a namespace. One that names none lives in `default`.
    pub namespaced: bool,
}

/// A document that is no object of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no `apiVersion` and `kind`")]
pub struct NotAnObject;

impl<'o> Existing<'o> {
    /// Takes an object that is served so.
    ///
    /// # Errors
    /// If it does not say what it is.
    pub fn new(object: Node<'o>, served: Served<'o>) -> Result<Existing<'o>, NotAnObject> {
        let text = |node: Option<Node<'o>>| node.and_then(Node::as_str).filter(|t| !t.is_empty());
        let api_version = text(object.get("apiVersion")).ok_or(NotAnObject)?;
        let kind_name = text(object.get("kind")).ok_or(NotAnObject)?;
        let metadata = object.get("metadata").unwrap_or(Node::null());
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let kind = Kind { group, version, kind: kind_name };
        let resource = Resource { group, version, resource: served.resource };
        let name = text(metadata.get("name")).unwrap_or_default();
        let is_namespace = group.is_empty() && kind_name == "Namespace";
        let namespace = match text(metadata.get("namespace")) {
            // Requests for a Namespace carry its name as their namespace.
            _ if is_namespace => name,
            _ if !served.namespaced => "",
            own => own.unwrap_or("default"),
        };
        let (created, updated) = (OnceCell::new(), OnceCell::new());
        let uid = text(metadata.get("uid")).unwrap_or_default();
        Ok(Existing { object, kind, resource, namespace, name, uid, created, updated })
    }

    /// What it is.
    pub fn kind(&self) -> Kind<'o> {
        self.kind
    }

    /// Its namespace; for a Namespace, its own name; empty for other cluster-scoped objects.
    pub fn namespace(&self) -> &'o str {
        self.namespace
    }

    /// Its name; empty if one is to be generated.
    pub fn name(&self) -> &'o str {
        self.name
    }

    /// `metadata.uid`, if it came from a cluster.
    pub fn uid(&self) -> &'o str {
        self.uid
    }

    /// The object.
    pub fn object(&self) -> Node<'o> {
        self.object
    }

    /// The question whether it may be created, or updated to what it is.
    pub fn request(&self, operation: Operation) -> Request<'_> {
        let is_update = operation == Operation::Update;
        let attributes = if is_update { &self.updated } else { &self.created };
        let attributes = attributes.get_or_init(|| self.attributes(operation));
        Request {
            uid: "",
            operation,
            kind: self.kind,
            resource: self.resource,
            served_kind: self.kind,
            served_resource: self.resource,
            subresource: "",
            name: self.name,
            namespace: self.namespace,
            user: User { name: "", uid: "", groups: Node::null(), extra: Node::null() },
            object: self.object,
            old_object: if is_update { self.object } else { Node::null() },
            attributes: attributes.root(),
            dry_run: false,
        }
    }

    fn attributes(&self, operation: Operation) -> Document {
        let Kind { group, version, kind } = self.kind;
        let kind = json!({"group": group, "version": version, "kind": kind});
        let resource = self.resource.resource;
        let resource = json!({"group": group, "version": version, "resource": resource});
        let mut request = json!({
            "uid": "",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "operation": operation.as_str(),
            "userInfo": {},
            "object": null,
            "oldObject": null,
            "dryRun": false,
            "options": null,
        });
        if let Some(fields) = request.as_object_mut() {
            for (field, text) in [("namespace", self.namespace), ("name", self.name)] {
                if !text.is_empty() {
                    fields.insert(field.to_owned(), text.into());
                }
            }
        }
        Document::from_value(&request)
    }
}
