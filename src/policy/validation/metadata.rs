//! What every object has: its name, labels, annotations and owners.
//!
//! Source: `k8s.io/apimachinery/pkg/api/validation`. What only servers write, such as `managedFields`, is not looked at.

use crate::policy::validation::field::Field;
use crate::policy::validation::field_error::{ErrorKind, FieldError};
use crate::policy::validation::names::{
    label_value_errors, qualified_name_errors, subdomain_errors,
};

/// The most bytes in all annotations of an object; Kubernetes' own limit.
const ANNOTATIONS_MAX: usize = 256 << 10;

pub(in crate::policy::validation) fn check(metadata: &Field<'_>, errors: &mut Vec<FieldError>) {
    let prefix = metadata.child("generateName");
    if !prefix.text().is_empty() {
        let complaints = subdomain_errors(&without_last_dash(prefix.text()));
        errors.extend(complaints.into_iter().map(|detail| prefix.invalid(detail)));
    }
    let name = metadata.child("name");
    if name.text().is_empty() {
        errors.push(name.required("name or generateName is required"));
    } else {
        errors.extend(subdomain_errors(name.text()).into_iter().map(|e| name.invalid(e)));
    }
    let namespace = metadata.child("namespace");
    if !namespace.text().is_empty() {
        errors.push(namespace.forbidden("not allowed on this type"));
    }
    let generation = metadata.child("generation");
    if generation.integer() < 0 {
        errors.push(generation.invalid_json("must be greater than or equal to 0"));
    }
    labels(&metadata.child("labels"), errors);
    annotations(&metadata.child("annotations"), errors);
    for owner in metadata.child("ownerReferences").items() {
        owner_reference(&owner, errors);
    }
    let finalizers = metadata.child("finalizers");
    for finalizer in finalizers.items() {
        for detail in qualified_name_errors(finalizer.text()) {
            errors.push(finalizers.invalid_text(finalizer.text(), detail));
        }
    }
    if finalizers.has("orphan") && finalizers.has("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(finalizers.invalid_json(detail));
    }
}

/// Labels, of an object or in a selector.
pub(in crate::policy::validation) fn labels(labels: &Field<'_>, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.texts_by_key() {
        let keys = qualified_name_errors(key).into_iter().map(|e| labels.invalid_text(key, e));
        let values = label_value_errors(value).into_iter().map(|e| labels.invalid_text(value, e));
        errors.extend(keys.chain(values));
    }
}

fn annotations(annotations: &Field<'_>, errors: &mut Vec<FieldError>) {
    let mut bytes = 0_usize;
    for (key, value) in annotations.texts_by_key() {
        for detail in qualified_name_errors(&key.to_lowercase()) {
            errors.push(annotations.invalid_text(key, detail));
        }
        bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
    }
    if bytes > ANNOTATIONS_MAX {
        let detail = format!("may not be more than {ANNOTATIONS_MAX} bytes");
        errors.push(FieldError::new(&annotations.path, ErrorKind::TooLong, detail));
    }
}

fn owner_reference(owner: &Field<'_>, errors: &mut Vec<FieldError>) {
    let api_version = owner.child("apiVersion");
    let version = match api_version.text().split('/').collect::<Vec<&str>>()[..] {
        [version] | [_, version] => version,
        _ => "",
    };
    if api_version.text().is_empty() {
        errors.push(api_version.required("must not be empty"));
    } else if version.is_empty() {
        errors.push(api_version.invalid("must be <group>/<version> or <version>"));
    }
    for name in ["kind", "name", "uid"] {
        let field = owner.child(name);
        if field.text().is_empty() {
            errors.push(field.required("must not be empty"));
        }
    }
}

/// Something will be appended to a prefix, so it may end in a dash. Kubernetes takes off the letter before it as well.
fn without_last_dash(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(text) if !text.is_empty() => {
            let mut kept = text.to_owned();
            kept.pop();
            kept.push('a');
            kept
        }
        _ => prefix.to_owned(),
    }
}
