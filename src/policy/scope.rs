//! Which built-in kinds live in no namespace, for where no cluster is there to be asked.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_sorted_to_be_searched() {
        assert!(CLUSTER_KINDS.is_sorted());
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
