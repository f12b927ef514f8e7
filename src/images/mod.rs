//! Images: what a reference names, who signed it, and what they say of it. References, registries, signatures,
//! attestations and trust roots; nothing here knows of policies or of Kubernetes.
//!
//! # Flow
//! text -> [`Reference`] -> a registry answers with a [`Digest`] and what it has about it ([`Found`]) -> [`verify`],
//! against an [`Authority`], makes [`Verified`] of it.
//!
//! # Guarantees
//! - A digest is computed from content, never taken from who sent it.
//! - [`Verified`] has no public maker: whoever holds one knows that everything in it is bound together.
//! - Whatever a registry sends is bounded before it is read, and untrusted until it is verified.

mod authority;
mod certificate;
mod claims;
mod digest;
mod evidence;
mod glob;
mod legacy;
pub mod memo;
mod pem;
mod reference;
pub mod registry;
mod statement;
mod trust;
mod tuf;
mod verify;

pub use authority::{Authority, PatternError, TextMatch};
pub use digest::{Algorithm, Digest, DigestError};
pub use evidence::{ANNOTATIONS, Evidence, Found, Layer};
pub use glob::{GlobError, ImageGlob};
pub use pem::PemError;
pub use reference::{Reference, ReferenceError};
pub use statement::SIGNATURE_PREDICATE;
pub use trust::{Authorities, OwnKeys, PublicKey, TrustError, TrustRoot};
pub use tuf::{Tuf, TufError};
pub use verify::{Claim, Rejected, Signer, Verified, verify};
