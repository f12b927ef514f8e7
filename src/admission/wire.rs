//! The wire: `AdmissionReview` of `admission.k8s.io/v1`, in and out. Nothing inside sees it; nothing here knows of
//! policies.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json, json};
use thiserror::Error;

use crate::admission::Decision;
use crate::json::{Document, Kind as JsonKind, Node, NodeId, SyntaxError};
use crate::policy::Request;
use crate::policy::request::{Kind, Operation, Resource, User};

/// An admission review, parsed once. A [`Request`] borrows from it.
#[derive(Debug)]
pub struct Review {
    document: Document,
    request: NodeId,
    attributes: Attributes,
    operation: Operation,
}

/// What expressions see as `request`.
#[derive(Debug)]
enum Attributes {
    /// It came as the API server sends it, so it is a view of the document.
    View(NodeId),
    /// It was completed.
    Completed(Document),
}

/// Why bytes are no admission review.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// Not even JSON.
    #[error("not JSON: {0}")]
    Syntax(#[from] SyntaxError),
    /// Something else than a review of the only version.
    #[error("not an AdmissionReview of `admission.k8s.io/v1` but `{kind}` of `{api_version}`")]
    Kind {
        /// What came instead.
        kind: String,
        /// And of which version.
        api_version: String,
    },
    /// A field that must be there is not, or is something else.
    #[error("`{field}` is not {expected}")]
    Field {
        /// The path of the field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// Reads a review.
///
/// ```
/// use portcullis::admission::wire::parse;
///
/// let body = r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
///     "uid": "1", "operation": "DELETE", "name": "a", "namespace": "b",
///     "kind": {"group": "", "version": "v1", "kind": "Pod"},
///     "resource": {"group": "", "version": "v1", "resource": "pods"}}}"#;
/// let review = parse(body.into()).unwrap();
/// assert_eq!(review.request().resource.resource, "pods");
/// ```
///
/// # Errors
/// If the bytes are no review; none of them can make it panic.
pub fn parse(body: Vec<u8>) -> Result<Review, WireError> {
    let mut document = Document::parse(body)?;
    let root = document.root();
    let text = |field: &str| root.get(field).and_then(Node::as_str).unwrap_or_default();
    if (text("apiVersion"), text("kind")) != ("admission.k8s.io/v1", "AdmissionReview") {
        let (kind, api_version) = (text("kind").to_owned(), text("apiVersion").to_owned());
        return Err(WireError::Kind { kind, api_version });
    }
    let request = root.get("request").unwrap_or(Node::null());
    let operation = check(request)?;
    let id = request.id();
    let attributes = if is_complete(request) {
        Attributes::View(document.blank(id, &["uid"], &["object", "oldObject"]))
    } else {
        Attributes::Completed(Document::from_value(&complete(request)))
    };
    Ok(Review { document, request: id, attributes, operation })
}

impl Review {
    /// The question.
    pub fn request(&self) -> Request<'_> {
        let request = self.document.node(self.request);
        let attributes = match &self.attributes {
            Attributes::View(id) => self.document.node(*id),
            Attributes::Completed(document) => document.root(),
        };
        let served_kind = kind_of(request.get("kind"));
        let served_resource = resource_of(request.get("resource"));
        let asked = |field: &str| request.get(field).filter(|node| !node.is_null());
        let user = request.get("userInfo").unwrap_or(Node::null());
        Request {
            uid: text(request, "uid"),
            operation: self.operation,
            kind: asked("requestKind").map_or(served_kind, |node| kind_of(Some(node))),
            resource: asked("requestResource")
                .map_or(served_resource, |node| resource_of(Some(node))),
            served_kind,
            served_resource,
            subresource: match text(request, "requestSubResource") {
                "" => text(request, "subResource"),
                asked => asked,
            },
            name: text(request, "name"),
            namespace: text(request, "namespace"),
            user: User {
                name: text(user, "username"),
                uid: text(user, "uid"),
                groups: user.get("groups").unwrap_or(Node::null()),
                extra: user.get("extra").unwrap_or(Node::null()),
            },
            object: request.get("object").unwrap_or(Node::null()),
            old_object: request.get("oldObject").unwrap_or(Node::null()),
            attributes,
            dry_run: request.get("dryRun").and_then(Node::as_bool).unwrap_or_default(),
        }
    }
}

fn text<'a>(node: Node<'a>, field: &str) -> &'a str {
    node.get(field).and_then(Node::as_str).unwrap_or_default()
}

fn kind_of(node: Option<Node<'_>>) -> Kind<'_> {
    let node = node.unwrap_or(Node::null());
    Kind { group: text(node, "group"), version: text(node, "version"), kind: text(node, "kind") }
}

fn resource_of(node: Option<Node<'_>>) -> Resource<'_> {
    let node = node.unwrap_or(Node::null());
    let (group, version) = (text(node, "group"), text(node, "version"));
    Resource { group, version, resource: text(node, "resource") }
}

/// Whether every field that decides anything is there and is what it must be. What is silently taken for something else
/// could match no policy.
fn check(request: Node<'_>) -> Result<Operation, WireError> {
    let field = |field, expected| Err(WireError::Field { field, expected });
    if request.as_object().is_none() {
        return field("request", "an object");
    }
    let three = |node: Option<Node<'_>>, last: &str| {
        let is_text = |field: &&str| node.and_then(|node| node.get(field)?.as_str()).is_some();
        node.is_some_and(|node| node.get("group").is_none_or(|group| group.as_str().is_some()))
            && ["version", last].iter().all(is_text)
    };
    if !three(request.get("kind"), "kind") {
        return field("request.kind", "a group, version and kind");
    }
    if !three(request.get("resource"), "resource") {
        return field("request.resource", "a group, version and resource");
    }
    let given = |field: &str| request.get(field).filter(|node| !node.is_null());
    if given("requestKind").is_some_and(|node| !three(Some(node), "kind")) {
        return field("request.requestKind", "a group, version and kind");
    }
    if given("requestResource").is_some_and(|node| !three(Some(node), "resource")) {
        return field("request.requestResource", "a group, version and resource");
    }
    let texts = [
        ("uid", "request.uid"),
        ("name", "request.name"),
        ("namespace", "request.namespace"),
        ("subResource", "request.subResource"),
        ("requestSubResource", "request.requestSubResource"),
    ];
    for (name, path) in texts {
        if given(name).is_some_and(|node| node.as_str().is_none()) {
            return field(path, "a string");
        }
    }
    let objects = [
        ("object", "request.object"),
        ("oldObject", "request.oldObject"),
        ("userInfo", "request.userInfo"),
        ("options", "request.options"),
    ];
    for (name, path) in objects {
        if given(name).is_some_and(|node| node.as_object().is_none()) {
            return field(path, "an object");
        }
    }
    if given("dryRun").is_some_and(|node| node.as_bool().is_none()) {
        return field("request.dryRun", "a bool");
    }
    match Operation::parse(text(request, "operation")) {
        Some(operation) => Ok(operation),
        None => field("request.operation", "CREATE, UPDATE, DELETE or CONNECT"),
    }
}

/// Whether it is what the API server makes of its own request: nothing left out, nothing empty.
fn is_complete(request: Node<'_>) -> bool {
    let is_object = |field: &&str| request.get(field).is_some_and(|n| n.as_object().is_some());
    let has_group =
        |field: &&str| request.get(field).is_some_and(|node| node.get("group").is_some());
    let empty = |field: &&str| {
        request.get(field).is_some_and(|node| match node.kind() {
            JsonKind::Null => true,
            JsonKind::String(text) => text.is_empty(),
            _ => false,
        })
    };
    let kinds = ["kind", "resource", "requestKind", "requestResource"];
    let texts = ["name", "namespace", "subResource", "requestSubResource"];
    kinds.iter().all(|field| is_object(field) && has_group(field))
        && ["userInfo"].iter().all(is_object)
        && request.get("dryRun").is_some_and(|node| node.as_bool().is_some())
        && request.get("options").is_some()
        && request.get("subResource").is_some() == request.get("requestSubResource").is_some()
        && !texts.iter().any(empty)
}

/// The request as the API server would have sent it, with nothing in `uid`, `object` and `oldObject`.
fn complete(request: Node<'_>) -> Json {
    let mut whole = Map::new();
    whole.insert("uid".to_owned(), json!(""));
    for field in ["object", "oldObject"] {
        whole.insert(field.to_owned(), Json::Null);
    }
    let three = |node: Option<Node<'_>>, last: &str| {
        let node = node.unwrap_or(Node::null());
        json!({"group": text(node, "group"), "version": text(node, "version"), last: text(node, last)})
    };
    let given = |field: &str| request.get(field).filter(|node| !node.is_null());
    for (own, asked, last) in
        [("kind", "requestKind", "kind"), ("resource", "requestResource", "resource")]
    {
        whole.insert(own.to_owned(), three(given(own), last));
        whole.insert(asked.to_owned(), three(given(asked).or(given(own)), last));
    }
    let subresource = ["requestSubResource", "subResource"].map(|field| text(request, field));
    if let Some(subresource) = subresource.into_iter().find(|text| !text.is_empty()) {
        for field in ["subResource", "requestSubResource"] {
            whole.insert(field.to_owned(), subresource.into());
        }
    }
    for field in ["name", "namespace", "operation"] {
        let value = text(request, field);
        if !value.is_empty() {
            whole.insert(field.to_owned(), value.into());
        }
    }
    let value = |field: &str| given(field).map(Node::to_value);
    whole.insert("userInfo".to_owned(), value("userInfo").unwrap_or_else(|| json!({})));
    whole.insert("dryRun".to_owned(), value("dryRun").unwrap_or(Json::Bool(false)));
    whole.insert("options".to_owned(), value("options").unwrap_or(Json::Null));
    Json::Object(whole)
}

/// Writes the answer to the review with this uid.
pub fn response(uid: &str, decision: &Decision<'_>) -> Vec<u8> {
    let mut response = Map::new();
    response.insert("uid".to_owned(), uid.into());
    response.insert("allowed".to_owned(), decision.allowed.into());
    if let Some(status) = &decision.status {
        let status = json!({
            "metadata": {},
            "status": "Failure",
            "message": status.message,
            "reason": status.reason,
            "code": status.code,
        });
        response.insert("status".to_owned(), status);
    }
    if !decision.patch.is_empty() {
        response.insert("patchType".to_owned(), "JSONPatch".into());
        response.insert("patch".to_owned(), BASE64.encode(decision.patch.text()).into());
    }
    let warnings = shorten(&decision.warnings);
    if !warnings.is_empty() {
        response.insert("warnings".to_owned(), warnings.into());
    }
    if !decision.audit_annotations.is_empty() {
        let keyed = decision.audit_annotations.iter();
        let keyed: Map<String, Json> =
            keyed.map(|(key, value)| (annotation_key(key), value.as_str().into())).collect();
        response.insert("auditAnnotations".to_owned(), keyed.into());
    }
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    });
    serde_json::to_vec(&review).unwrap_or_default()
}

/// How many code points of warnings the API server passes on to the user. Source: `truncateAtTotalRunes`.
pub const WARNINGS_CHARS_MAX: usize = 4 * 1024;

/// To how many code points it cuts each of them once they are more than that. Source: `truncateItemRunes`.
pub const WARNING_CHARS_MAX: usize = 256;

/// The warnings as the API server would cut them, but for the last, which says how many it would have dropped.
fn shorten(warnings: &[String]) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    if warnings.iter().map(|text| length(text)).sum::<usize>() <= WARNINGS_CHARS_MAX {
        return warnings.to_vec();
    }
    let fitting = WARNINGS_CHARS_MAX / WARNING_CHARS_MAX - 1;
    let cut = |text: &String| -> String {
        if length(text) <= WARNING_CHARS_MAX {
            return text.clone();
        }
        text.chars().take(WARNING_CHARS_MAX - 1).chain(['…']).collect()
    };
    let mut shortened: Vec<String> = warnings.iter().take(fitting).map(cut).collect();
    if let Some(more) = warnings.len().checked_sub(fitting).filter(|more| *more > 0) {
        shortened.push(format!("and {more} more warnings"));
    }
    shortened
}

/// The longest key of an annotation, less the name of the webhook that the API server puts before it.
const ANNOTATION_KEY_MAX: usize = 63;

/// The API server prefixes each key with the webhook's name and a slash and takes no other slash, so the policy's name is
/// set apart by a full stop. What gets too long ends in a hash.
fn annotation_key(key: &str) -> String {
    use sha2::{Digest, Sha256};
    if key == crate::admission::decision::FAILURES_ANNOTATION {
        return "validation_failure".to_owned();
    }
    let flat = key.replace('/', ".");
    if flat.len() <= ANNOTATION_KEY_MAX {
        return flat;
    }
    let mut hash = String::new();
    for byte in Sha256::digest(key.as_bytes()).iter().take(4) {
        // Writing to a String does not fail.
        let _ = write!(hash, "{byte:02x}");
    }
    let kept: String = flat.chars().take(ANNOTATION_KEY_MAX - hash.len() - 1).collect();
    format!("{kept}-{hash}")
}
