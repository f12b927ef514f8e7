//! Where kinds are served, for where no cluster is there to be asked: which of them live in no namespace, and under which
//! resource.

/// The kinds of the API server itself, version 1.37, whose objects live in no namespace; sorted. Every other kind of a
/// built-in group is namespaced.
const CLUSTER_KINDS: [&str; 33] = [
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "ComponentStatus",
    "CustomResourceDefinition",
    "DeviceClass",
    "DeviceTaintRule",
    "FlowSchema",
    "IPAddress",
    "IngressClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "ResourceSlice",
    "RuntimeClass",
    "ServiceCIDR",
    "StorageClass",
    "StorageVersion",
    "StorageVersionMigration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

/// Whether the objects of a built-in kind live in no namespace.
pub fn is_cluster_kind(kind: &str) -> bool {
    CLUSTER_KINDS.binary_search(&kind).is_ok()
}

/// The resource that serves a kind, guessed as Kubernetes guesses it.
pub fn plural(kind: &str) -> String {
    let name = kind.to_lowercase();
    match name.as_str() {
        "endpoints" => name,
        _ if name.ends_with('s') => format!("{name}es"),
        _ => match name.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{name}s"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_sorted_to_be_searched() {
        assert!(CLUSTER_KINDS.is_sorted());
    }

    #[test]
    fn kinds_have_resources() {
        for (kind, resource) in [
            ("Pod", "pods"),
            ("NetworkPolicy", "networkpolicies"),
            ("Ingress", "ingresses"),
            ("Endpoints", "endpoints"),
            ("StorageClass", "storageclasses"),
        ] {
            assert_eq!(plural(kind), resource);
        }
    }

    #[test]
    fn a_binding_lives_where_its_policy_lives() {
        for kind in ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "Node"] {
            assert!(is_cluster_kind(kind), "{kind}");
        }
        for kind in ["Pod", "Role", "RoleBinding", "Deployment", ""] {
            assert!(!is_cluster_kind(kind), "{kind}");
        }
    }
}
