//! ImagePolicy and TrustRoot: whose images may run, and whom that is traced back to.

#![expect(clippy::duplicated_attributes, reason = "each printer column has a type of its own")]

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::api::{
    FailurePolicy, MatchResources, PolicyStatus, Severity, StatusReason, ValidationAction, Variable,
};

/// Which images must be signed by whom, and what must be attested of them.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "portcullis.dev",
    version = "v1alpha1",
    kind = "ImagePolicy",
    plural = "imagepolicies",
    shortname = "ipol",
    category = "portcullis",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "Which images must be signed by whom, and what must be attested of them.",
    printcolumn(
        name = "Images",
        type_ = "string",
        json_path = ".spec.images",
        description = "The images that it is about."
    ),
    printcolumn(
        name = "Actions",
        type_ = "string",
        json_path = ".spec.validationActions",
        description = "What happens to a request with an image that does not pass."
    ),
    printcolumn(
        name = "Severity",
        type_ = "string",
        json_path = ".spec.severity",
        description = "How bad a violation is."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether the policy compiled and is in force."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.required) || self.required <= size(self.authorities)")
        .message("required must not be more than there are authorities"),
    validation = Rule::new("!has(self.required) || self.required > 0 || (has(self.attestations) && size(self.attestations) > 0)")
        .message("without a required authority there must be an attestation"),
    validation = Rule::new("!has(self.attestations) || self.attestations.all(a, !has(a.authorities) || a.authorities.all(n, self.authorities.exists(o, o.name == n)))")
        .message("an attestation names an authority that the policy does not have"),
    validation = Rule::new("!has(self.mutateDigest) || !self.mutateDigest || !has(self.extractors) || size(self.extractors) == 0")
        .message("mutateDigest can't be combined with extractors: what an expression gives has no place that could be changed"),
)]
pub struct ImagePolicySpec {
    /// The images, as globs over registry and repository. A host is matched whole (`*.` before a domain and `*` for all
    /// may stand for it), `*` stays inside one part of the path, `**` stands for whole parts. `**` alone is every image.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub images: Vec<String>,
    /// Images that are not meant, as globs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub exclude_images: Vec<String>,
    /// Whose signatures count.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub authorities: Vec<ImageAuthority>,
    /// How many of the authorities must have signed; 1 if it does not say, and 0 where attestations are enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 16").message("must be from 0 to 16"))]
    pub required: Option<i32>,
    /// What must be attested, all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub attestations: Vec<ImageAttestation>,
    /// Whether an image must be named by its digest, so that what is verified is what runs.
    #[serde(default)]
    pub require_digest: bool,
    /// Whether images that are named by a tag are pinned to the digest that was verified, so that what is verified is what
    /// runs: `app:1` becomes `app:1@sha256:..` when the object is admitted. It comes before `requireDigest`.
    #[serde(default)]
    pub mutate_digest: bool,
    /// Where other kinds of objects than Pods, and what makes Pods, name images. `matchConstraints` has to be about them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub extractors: Vec<ImageExtractor>,
    /// Expressions that `validations` can name as `variables.NAME`; they see what those see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub variables: Vec<Variable>,
    /// What must be true of the images that passed, and of the object that names them. They are asked when all images passed
    /// that came with the request, and there was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub validations: Vec<ImageValidation>,
    /// Which requests the policy is about. Without it, those that create or change Pods and what makes Pods: ReplicaSets,
    /// Deployments, StatefulSets, DaemonSets, Jobs, CronJobs, PodTemplates and ReplicationControllers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_constraints: Option<MatchResources>,
    /// What happens to a request with an image that does not pass; it is denied if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("!('Deny' in self && 'Warn' in self)")
        .message("must not contain both Deny and Warn"))]
    pub validation_actions: Option<Vec<ValidationAction>>,
    /// What it means that nobody can say whether an image passes, such as when its registry does not answer.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// What happens to an image whose registry does not answer. If it does not say, `failurePolicy` decides.
    #[serde(default)]
    pub on_unavailable: OnUnavailable,
    /// How bad a violation is; for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What the policy is about, such as `Supply chain`; for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub category: Option<String>,
    /// Who answers questions about the policy: a team, an address, a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub owner: Option<String>,
    /// Why the policy exists and what to do when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10_000))]
    pub description: Option<String>,
    /// Whether images of objects that already exist are audited too, where the audit asks registries.
    #[serde(default = "crate::policy::api::validating::yes")]
    pub background: bool,
}

/// What happens to an image whose registry does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnUnavailable {
    /// `failurePolicy` decides.
    #[default]
    Deny,
    /// It is admitted if this server verified it by the policy as it is, its trust roots and keys, in the last 24 hours and
    /// nothing else was found since. An image that is named by a tag only with `mutateDigest`: it is pinned to that digest.
    AllowVerified,
}

/// Something that must be true of images that passed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageValidation {
    /// CEL that gives a bool; true passes. It sees `object`, `oldObject`, `request`, `namespaceObject`, `variables`, `now`, and
    /// `images`: a list of what was verified. Each has `reference`, `registry`, `repository`, `tag`, `digest`, `field` and
    /// `container`; `signers`, a map of lists by the name of the authority; and `attestations`, a map of lists by their name,
    /// each with `predicateType`, `predicate` and `signer`.
    #[schemars(length(min = 1, max = 100_000), pattern(r"\S"))]
    pub expression: String,
    /// What the user reads when it is not true: one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10_000), pattern(r"^\s*\S.*\s*$"))]
    pub message: Option<String>,
    /// The category of the failure in the response; it sets the HTTP status. `Forbidden` if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<StatusReason>,
    /// CEL that gives the message, instead of `message`, and sees the same. If it fails, or gives nothing, more than one line
    /// or more than 5 KiB, `message` is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100_000), pattern(r"\S"))]
    pub message_expression: Option<String>,
}

/// Where an object names images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageExtractor {
    /// A name for messages, unique in the policy.
    #[schemars(length(min = 1, max = 63), pattern(r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"))]
    pub name: String,
    /// CEL that gives a string or a list of strings: images, as they would be pulled. It sees `object`, `oldObject`,
    /// `request` and `namespaceObject`. On an update it is also asked about the object as it was, which is `object` then: what
    /// it gives for that is not judged again.
    #[schemars(length(min = 1, max = 100_000), pattern(r"\S"))]
    pub expression: String,
}

/// Somebody whose signature counts: the owner of a key, an identity, the owner of a certificate, or nobody at all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.key), has(self.keyless), has(self.certificate), has(self.static)].filter(given, given).size() == 1")
    .message("exactly one of key, keyless, certificate and static is required"))]
pub struct ImageAuthority {
    /// A name for messages, unique in the policy.
    #[schemars(length(min = 1, max = 63), pattern(r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"))]
    pub name: String,
    /// The owner of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyAuthority>,
    /// Somebody whom an identity provider knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyless: Option<KeylessAuthority>,
    /// The owner of a certificate of an authority of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateAuthority>,
    /// The answer, without asking any registry.
    #[serde(default, rename = "static", skip_serializing_if = "Option::is_none")]
    pub fixed: Option<StaticAnswer>,
}

/// The owner of a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.kms)")
        .message("keys of key management systems are not supported: write the public key itself into publicKey or a Secret"),
    validation = Rule::new("has(self.kms) || has(self.publicKey) != has(self.secretRef)")
        .message("exactly one of publicKey and secretRef is required"),
)]
pub struct KeyAuthority {
    /// The public key in PEM: ECDSA on P-256 or P-384, RSA, or Ed25519.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub public_key: Option<String>,
    /// The Secret that has the public key. The server has to be allowed to read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// Refused: nothing here asks a key management system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms: Option<String>,
    /// The log in which the signature must be. Without it, logs and timestamps of signatures are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transparency_log: Option<TrustRootRef>,
}

/// A public key in a Secret.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The namespace of the Secret.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Under which name the Secret has the key: `cosign.pub` if it does not say, as `cosign generate-key-pair` names it.
    #[serde(default = "cosign_pub")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn cosign_pub() -> String {
    "cosign.pub".to_owned()
}

/// Somebody whom an identity provider knows, and who signed with a certificate of minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.issuer) != has(self.issuerPattern)")
        .message("exactly one of issuer and issuerPattern is required"),
    validation = Rule::new("has(self.subject) != has(self.subjectPattern)")
        .message("exactly one of subject and subjectPattern is required"),
)]
pub struct KeylessAuthority {
    /// The identity provider, such as `https://token.actions.githubusercontent.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub issuer: Option<String>,
    /// The identity provider, as a regular expression that must match all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub issuer_pattern: Option<String>,
    /// The identity: an address, or the URI of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub subject: Option<String>,
    /// The identity, as a regular expression that must match all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub subject_pattern: Option<String>,
    /// Who is believed about that. Without it, the public Sigstore instance, as this version of Portcullis knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_root: Option<TrustRootRef>,
}

/// The owner of a certificate for signing code, good when the image is admitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.subject) || !has(self.subjectPattern)")
    .message("only one of subject and subjectPattern may be given"))]
pub struct CertificateAuthority {
    /// The authorities in PEM. Those that are signed by themselves are roots, the others lead to them.
    #[schemars(length(min = 1, max = 65_536))]
    pub certificates: String,
    /// The address or URI in the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub subject: Option<String>,
    /// The address or URI in the certificate, as a regular expression that must match all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub subject_pattern: Option<String>,
}

/// An answer without a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StaticAnswer {
    /// As if it had signed.
    Pass,
    /// As if it had not.
    Fail,
}

/// A TrustRoot by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustRootRef {
    /// `metadata.name`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Something that must be attested of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageAttestation {
    /// A name for messages, unique in the policy.
    #[schemars(length(min = 1, max = 63), pattern(r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"))]
    pub name: String,
    /// What kind of thing is attested, such as `https://slsa.dev/provenance/v1`.
    #[schemars(length(min = 1, max = 1024))]
    pub predicate_type: String,
    /// The names of the authorities of the policy that may attest it; any of them if it does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub authorities: Vec<String>,
    /// What must be true of what is attested. One attestation that meets all of it is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub validations: Vec<PredicateValidation>,
}

/// Something that must be true of what is attested.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PredicateValidation {
    /// CEL that gives a bool; true passes. It sees `predicate`; `image` with `registry`, `repository`, `tag` and `digest`;
    /// `signer` with `kind` and what is known of them; and `now`.
    #[schemars(length(min = 1, max = 100_000), pattern(r"\S"))]
    pub expression: String,
    /// What the user reads when it is not true: one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10_000), pattern(r"^\s*\S.*\s*$"))]
    pub message: Option<String>,
}

/// A Sigstore instance that is trusted: the public one as you pin it, or your own. Nothing is fetched unless `tuf` says so.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "portcullis.dev",
    version = "v1alpha1",
    kind = "TrustRoot",
    plural = "trustroots",
    category = "portcullis",
    status = "TrustRootStatus",
    derive = "PartialEq",
    doc = "A Sigstore instance that is trusted: the public one as you pin it, or your own. Nothing is fetched unless `tuf` says so.",
    printcolumn(
        name = "Updated",
        type_ = "date",
        json_path = ".status.updated",
        description = "When it was last found to be what its repository has."
    ),
    printcolumn(
        name = "Problem",
        type_ = "string",
        json_path = ".status.problem",
        description = "Why the last update failed."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.trustedRoot) != has(self.keys)")
        .message("exactly one of trustedRoot and keys is required"),
    validation = Rule::new("!has(self.tuf) || has(self.trustedRoot)")
        .message("tuf needs a trustedRoot, which counts until the first update"),
)]
pub struct TrustRootSpec {
    /// A `trusted_root.json`, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    pub trusted_root: Option<String>,
    /// Keys and certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<TrustRootKeys>,
    /// Where `trustedRoot` is kept up to date. What was written counts until the first update, and what was fetched last
    /// while there is no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuf: Option<TufRepository>,
}

/// How keeping a trust root up to date goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustRootStatus {
    /// When it was last found to be what its repository has, by the replica that writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::policy::api::break_glass::date_time")]
    pub updated: Option<Timestamp>,
    /// Why the last update failed. What was fetched last counts, or else what was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A repository of The Update Framework that has a `trusted_root.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TufRepository {
    /// Its address, such as `https://tuf-repo-cdn.sigstore.dev`.
    #[schemars(length(min = 1, max = 2048), pattern(r"^https?://[^\s]+$"))]
    pub url: String,
    /// A `root.json` of it that you trust, as text. Every root since is believed because this one leads to it.
    #[schemars(length(min = 1, max = 262_144))]
    pub root: String,
}

/// The keys and certificates of a Sigstore instance, each in PEM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustRootKeys {
    /// Chains of certificate authorities, such as Fulcio's.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub certificate_authorities: Vec<String>,
    /// Keys of transparency logs, such as Rekor's. Without one there must be a timestamp authority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub transparency_logs: Vec<String>,
    /// Keys of certificate transparency logs. Without one, certificates need not be in any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub certificate_logs: Vec<String>,
    /// Chains of timestamp authorities, the signing certificate first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub timestamp_authorities: Vec<String>,
}
