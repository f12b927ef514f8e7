//! Kubernetes' own types as types of the expression language: the two that every policy sees, `request` and
//! `namespaceObject`, and in `catalog` those of the objects themselves; and in `merge` how objects of those types are
//! merged. Nothing here knows what a policy is.
//!
//! Source: `BuildRequestType` and `BuildNamespaceType` of `k8s.io/apiserver/pkg/admission/plugin/cel`.

mod catalog;
mod merge;
mod openapi;
mod shape;

use std::sync::LazyLock;

use crate::cel::{StructType, Type};

pub use crate::schema::catalog::{Catalog, Kind, Unknown};
pub use crate::schema::merge::{MergeError, Schema};

static REQUEST: LazyLock<Type> = LazyLock::new(build_request);
static NAMESPACE: LazyLock<Type> = LazyLock::new(build_namespace);

/// The type of `request`: an AdmissionRequest without `uid`, `object` and `oldObject`.
pub fn request() -> Type {
    REQUEST.clone()
}

/// The type of `namespaceObject`: a Namespace without `ownerReferences` and `managedFields`.
pub fn namespace() -> Type {
    NAMESPACE.clone()
}

/// The members of a Namespace's `metadata` that `namespaceObject` does not show.
pub const NAMESPACE_METADATA_HIDDEN: [&str; 3] = ["ownerReferences", "managedFields", "selfLink"];

/// What `namespaceObject` has, if there is nothing in it.
pub const NAMESPACE_PARTS: [&str; 3] = ["metadata", "spec", "status"];

fn strings() -> Type {
    Type::list(Type::String)
}

fn build_request() -> Type {
    let three = |name: &str, last: &str| {
        let fields = [("group", Type::String), ("version", Type::String), (last, Type::String)];
        StructType::new(name, fields)
    };
    let kind = three("kubernetes.GroupVersionKind", "kind");
    let resource = three("kubernetes.GroupVersionResource", "resource");
    let user = StructType::new(
        "kubernetes.UserInfo",
        [
            ("username", Type::String),
            ("uid", Type::String),
            ("groups", strings()),
            ("extra", Type::map(Type::String, strings())),
        ],
    );
    StructType::new(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", Type::String),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", Type::String),
            ("name", Type::String),
            ("namespace", Type::String),
            ("operation", Type::String),
            ("userInfo", user),
            ("dryRun", Type::Bool),
            ("options", Type::Dyn),
        ],
    )
}

fn build_namespace() -> Type {
    let texts = || Type::map(Type::String, Type::String);
    let metadata = StructType::new(
        "kubernetes.NamespaceMetadata",
        [
            ("name", Type::String),
            ("generateName", Type::String),
            ("namespace", Type::String),
            ("labels", texts()),
            ("annotations", texts()),
            ("UID", Type::String),
            ("creationTimestamp", Type::Timestamp),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Timestamp),
            ("generation", Type::Int),
            ("resourceVersion", Type::String),
            ("finalizers", strings()),
        ],
    );
    let condition = StructType::new(
        "kubernetes.NamespaceCondition",
        [
            ("status", Type::String),
            ("type", Type::String),
            ("lastTransitionTime", Type::Timestamp),
            ("message", Type::String),
            ("reason", Type::String),
        ],
    );
    let spec = StructType::new("kubernetes.NamespaceSpec", [("finalizers", strings())]);
    let status = StructType::new(
        "kubernetes.NamespaceStatus",
        [("conditions", Type::list(condition)), ("phase", Type::String)],
    );
    StructType::new(
        "kubernetes.Namespace",
        [("metadata", metadata), ("spec", spec), ("status", status)],
    )
}
