//! Requests from files: admission reviews as they are, and other objects as if they were being created.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::cli::{Failure, files};
use crate::policy::scope::{is_cluster_kind, plural};

/// A request and where it came from.
pub struct Asked {
    /// The file, and the place of the document if it has several.
    pub source: String,
    /// The AdmissionReview.
    pub review: Json,
}

/// All requests of a file.
pub fn read(path: &Path) -> Result<Vec<Asked>, Failure> {
    let text = files::text(path)?;
    let documents = documents(&text).map_err(|error| Failure::file(path, &error))?;
    let count = documents.len();
    let mut asked = Vec::with_capacity(count);
    for (place, document) in documents.into_iter().enumerate() {
        let name = path.display();
        let source = if count == 1 { name.to_string() } else { format!("{name}#{}", place + 1) };
        for object in items(document) {
            let review = as_review(object)
                .ok_or_else(|| Failure::new(format!("{source}: no `apiVersion` and `kind`")))?;
            asked.push(Asked { source: source.clone(), review });
        }
    }
    Ok(asked)
}

/// JSON documents one after the other, or YAML documents.
fn documents(text: &str) -> Result<Vec<Json>, String> {
    if text.trim_start().starts_with(['{', '[']) {
        let stream = serde_json::Deserializer::from_str(text).into_iter::<Json>();
        if let Ok(documents) = stream.collect::<Result<Vec<_>, _>>() {
            return Ok(documents);
        }
    }
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Json> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| error.to_string())?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The objects of a `List`, or the object itself.
fn items(document: Json) -> Vec<Json> {
    #[derive(Deserialize)]
    struct List {
        kind: String,
        items: Vec<Json>,
    }
    match List::deserialize(&document) {
        Ok(list) if list.kind.ends_with("List") => list.items,
        _ => vec![document],
    }
}

/// A review of the creation of an object, unless it is a review.
fn as_review(object: Json) -> Option<Json> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str);
    let kind = text("/kind")?.to_owned();
    if kind == "AdmissionReview" {
        return Some(object);
    }
    let api_version = text("/apiVersion")?.to_owned();
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let name = text("/metadata/name").unwrap_or("").to_owned();
    let namespaced = !is_cluster_kind(&kind);
    let namespace = match text("/metadata/namespace") {
        Some(namespace) => namespace.to_owned(),
        None if kind == "Namespace" => name.clone(),
        None if namespaced => "default".to_owned(),
        None => String::new(),
    };
    let resource = plural(&kind);
    Some(json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": format!("{kind}/{namespace}/{name}"),
            "kind": {"group": group, "version": version, "kind": kind},
            "resource": {"group": group, "version": version, "resource": resource},
            "name": name,
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "portcullis-review"},
            "object": object,
            "dryRun": true,
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_reviewed_as_if_created() {
        let review = as_review(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}
        }))
        .unwrap();
        assert_eq!(review.pointer("/request/resource/resource"), Some(&json!("deployments")));
        assert_eq!(review.pointer("/request/namespace"), Some(&json!("default")));
        assert_eq!(as_review(json!({"metadata": {}})), None);
    }

    #[test]
    fn files_hold_many_documents() {
        assert_eq!(documents("{\"a\": 1}\n{\"a\": 2}\n").unwrap().len(), 2);
        assert_eq!(documents("a: 1\n---\n---\nb: 2\n").unwrap().len(), 2);
        assert!(documents("a: [1").is_err());
        let list = json!({"kind": "PodList", "items": [{"kind": "Pod"}, {"kind": "Pod"}]});
        assert_eq!(items(list).len(), 2);
    }
}
