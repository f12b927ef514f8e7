//! Image policies: what an ImagePolicy says, made ready, and what it says to one image. What registries have was gathered
//! before, by somebody else; the verification of signatures is the business of `images`.
//!
//! # Guarantees
//! - [`ImageRules::compile`] never fails: what is wrong is in the diagnostics, and an authority that can't be used signs
//!   nothing.
//! - [`judge`] is pure: the same rules, evidence and time give the same judgement.
//! - A problem of the registry is never taken for a missing signature.

mod admit;
mod authorities;
mod compile;
mod extract;
mod judge;
mod keys;
mod object;
mod pin;
mod predicate;
mod pull;
mod resolved;
mod validate;

use crate::cel::CompileError;

pub use admit::{IMAGES_MAX, ImagesNeeded};
pub use compile::{ImageRules, PUBLIC_TRUST_ROOT, TrustRoots};
pub use judge::{About, Attempt, Check, Judgement, Verdict, judge};
pub use keys::{missing, public_key, unreadable};
pub(in crate::policy) use pin::Pin;
pub use pull::PullSecrets;
pub(in crate::policy) use resolved::{ResolvedImages, resolved};

/// Expressions that do not compile, with the fields that they are in.
pub(in crate::policy) type Refusals = Vec<(String, CompileError)>;
