//! What a certificate of Fulcio says of the build that it was made for, by the names that its documentation has.

use std::collections::BTreeMap;

use sigstore_verify::crypto::FulcioCiClaims;

/// The claims that are there.
pub(in crate::images) fn claims(all: &FulcioCiClaims) -> BTreeMap<&'static str, String> {
    [
        ("buildSignerURI", &all.build_signer_uri),
        ("buildSignerDigest", &all.build_signer_digest),
        ("runnerEnvironment", &all.runner_environment),
        ("sourceRepositoryURI", &all.source_repository_uri),
        ("sourceRepositoryDigest", &all.source_repository_digest),
        ("sourceRepositoryRef", &all.source_repository_ref),
        ("sourceRepositoryIdentifier", &all.source_repository_identifier),
        ("sourceRepositoryOwnerURI", &all.source_repository_owner_uri),
        ("sourceRepositoryOwnerIdentifier", &all.source_repository_owner_identifier),
        ("buildConfigURI", &all.build_config_uri),
        ("buildConfigDigest", &all.build_config_digest),
        ("buildTrigger", &all.build_trigger),
        ("runInvocationURI", &all.run_invocation_uri),
        ("sourceRepositoryVisibilityAtSigning", &all.source_repository_visibility_at_signing),
    ]
    .into_iter()
    .filter_map(|(name, claim)| Some((name, claim.clone()?)))
    .collect()
}
