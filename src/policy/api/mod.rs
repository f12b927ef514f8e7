//! The API that administrators write: the resources of group `portcullis.dev`, and the native ones of
//! `admissionregistration.k8s.io` that mean the same. Types and their schemas only: nothing here compiles, matches or
//! evaluates, and nothing knows how an object got here.
//!
//! The documentation of every field becomes its description in `crds/` and in `kubectl explain`.

mod binding;
mod break_glass;
mod expressions;
mod images;
mod mutating;
pub mod native;
mod params;
mod rules;
mod status;
mod validating;

pub use binding::{PolicyBinding, PolicyBindingSpec, PolicyKind};
pub use break_glass::{BreakGlass, BreakGlassSpec, BreakGlassStatus};
pub use expressions::{
    AuditAnnotation, FailurePolicy, MatchCondition, StatusReason, Validation, Variable,
};
pub use images::{
    CertificateAuthority, ImageAttestation, ImageAuthority, ImageExtractor, ImagePolicy,
    ImagePolicySpec, ImageValidation, KeyAuthority, KeylessAuthority, OnUnavailable,
    PredicateValidation, SecretKeyRef, StaticAnswer, TrustRoot, TrustRootKeys, TrustRootRef,
    TrustRootSpec, TrustRootStatus, TufRepository,
};
pub use mutating::{
    ApplyConfiguration, JsonPatch, MutatingPolicy, MutatingPolicySpec, Mutation, PatchType,
    ReinvocationPolicy,
};
pub use params::{ParamKind, ParamRef, ParameterNotFoundAction};
pub use rules::{
    LabelSelector, LabelSelectorRequirement, MatchPolicy, MatchResources, NamedRule, Operation,
    Scope, SelectorOperator,
};
pub use status::{ExpressionWarning, PolicyDiagnostic, PolicyStatus, TypeChecking};
pub use validating::{Severity, ValidatingPolicy, ValidatingPolicySpec, ValidationAction};

/// The API group of every resource of ours.
pub const GROUP: &str = "portcullis.dev";

/// The only version so far.
pub const VERSION: &str = "v1alpha1";

/// The API group of the native policies.
pub const NATIVE_GROUP: &str = "admissionregistration.k8s.io";
