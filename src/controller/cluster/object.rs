//! One object as a watch saw it, and what of it counts.

use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::controller::limits::BREAK_GLASS_MAX;
use crate::json::Document;
use crate::policy::api::{BreakGlassSpec, PolicyStatus};
use crate::policy::manifest::Manifest;

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The namespace; empty if there is none.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// An object as it was seen.
#[derive(Clone, Debug)]
pub struct Object {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// What it says, if that can be read; if not, what it said before, if that could.
    pub content: Option<Content>,
    /// Why it can't be read, if so.
    pub problem: Option<String>,
    /// What it says about itself, if it is a policy or binding.
    pub status: Option<PolicyStatus>,
}

/// What an object says.
#[derive(Clone, Debug)]
pub enum Content {
    /// A policy or binding.
    Manifest(Box<Manifest>),
    /// A Namespace, a param, or the public keys of a Secret.
    Document(Arc<Document>),
    /// A BreakGlass.
    BreakGlass(Arc<BreakGlassObject>),
}

/// A BreakGlass as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakGlassObject {
    /// Its name.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it says.
    pub spec: BreakGlassSpec,
    /// Whether its status says that it is active.
    pub told_active: Option<bool>,
}

impl BreakGlassObject {
    /// When it ends.
    pub fn ends(&self) -> Timestamp {
        let latest = self.created.saturating_add(BREAK_GLASS_MAX).unwrap_or(Timestamp::MAX);
        self.spec.until.min(latest)
    }
}

impl Object {
    /// Whether nothing changed that decisions depend on. A policy's generation counts its specs; a Namespace or param
    /// can change anywhere.
    pub(in crate::controller::cluster) fn says_the_same(&self, other: &Object) -> bool {
        let same_spec = self.generation == other.generation && self.generation.is_some();
        let is_policy = matches!(other.content, None | Some(Content::Manifest(_)));
        self.uid == other.uid
            && (self.resource_version == other.resource_version || (is_policy && same_spec))
    }

    /// What it says, if it is a policy or binding, with the form that its status remembers.
    pub(in crate::controller::cluster) fn definition(&self) -> Option<Manifest> {
        let Some(Content::Manifest(manifest)) = &self.content else { return None };
        let last_good = self.status.as_ref().and_then(|status| status.last_good.as_ref());
        let mut manifest = Manifest::clone(manifest);
        match (&mut manifest, last_good) {
            (Manifest::Validating(policy), Some(spec)) => policy.last_good = remembered(spec),
            (Manifest::Mutating(policy), Some(spec)) => policy.last_good = remembered(spec),
            _ => {}
        }
        Some(manifest)
    }

    /// If it can't be read: with the content that the last one had.
    pub(in crate::controller::cluster) fn or_as_it_was(
        mut self,
        before: Option<&Object>,
    ) -> Object {
        if self.content.is_none() {
            let before = before.filter(|before| before.uid == self.uid);
            self.content = before.and_then(|before| before.content.clone());
        }
        self
    }
}

/// A spec that a status remembers; one that can't be read is as good as none.
fn remembered<S: DeserializeOwned>(spec: &serde_json::Value) -> Option<Arc<S>> {
    S::deserialize(spec).ok().map(Arc::new)
}
