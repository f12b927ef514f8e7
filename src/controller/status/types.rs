//! What the second type check says of policies: kept for as long as neither the policy nor the schemas change, as it
//! costs more than compiling.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cel::Version;
use crate::controller::cluster::state::Observed;
use crate::controller::limits::{DIAGNOSTICS_MAX, EXCERPT_CHARS_MAX};
use crate::controller::publish::on_a_thread;
use crate::controller::status::text::cut;
use crate::policy::Origin;
use crate::policy::api::{ExpressionWarning, ValidatingPolicySpec};
use crate::policy::types::warnings;
use crate::schema::Catalog;

/// The hash of what a policy says.
type Digest = [u8; 32];

/// Warnings by what was written.
#[derive(Debug, Default)]
pub struct TypeWarnings {
    known: HashMap<Digest, Vec<ExpressionWarning>>,
    schemas: Option<Arc<Catalog>>,
}

impl TypeWarnings {
    /// Those of a policy that says this.
    pub fn of(&self, digest: &Digest) -> &[ExpressionWarning] {
        self.known.get(digest).map_or(&[], Vec::as_slice)
    }

    /// Checks what is new, away from the workers; forgets what is gone.
    pub async fn refresh(&mut self, seen: &Observed, version: Version) {
        let schemas = Arc::clone(&seen.schemas);
        if self.schemas.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &schemas)) {
            self.known.clear();
            self.schemas = Some(Arc::clone(&schemas));
        }
        let ours = seen.snapshot.policies().filter(|b| b.policy.origin == Origin::Portcullis);
        let mut known = std::mem::take(&mut self.known);
        let mut new: Vec<(Digest, Arc<ValidatingPolicySpec>)> = Vec::new();
        for bound in ours {
            let Some(spec) = bound.validating_spec() else { continue };
            match known.remove(&bound.digest) {
                Some(kept) => drop(self.known.insert(bound.digest, kept)),
                None => new.push((bound.digest, Arc::clone(spec))),
            }
        }
        if new.is_empty() {
            return;
        }
        let check = move || {
            let found = |(digest, spec): (Digest, Arc<ValidatingPolicySpec>)| {
                let warnings = warnings(&spec, &schemas, version).into_iter();
                let told = warnings.take(DIAGNOSTICS_MAX).map(|warning| ExpressionWarning {
                    warning: cut(&warning.text(), EXCERPT_CHARS_MAX),
                    field_ref: warning.field,
                });
                (digest, told.collect())
            };
            new.into_iter().map(found).collect::<Vec<_>>()
        };
        match on_a_thread(check).await {
            Ok(found) => self.known.extend(found),
            Err(error) => tracing::warn!(%error, "the types in policies were not checked"),
        }
    }
}
