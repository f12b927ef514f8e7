//! What is no news although it is found anew: an object that failed a policy before the policy was edited fails it still.

use std::collections::{HashMap, HashSet};

use crate::audit::finding::PolicyRef;
use crate::audit::store::FINDINGS_KEPT_MAX;
use crate::audit::store::entry::Uid;

/// What failed before, until everything was looked at again.
#[derive(Debug, Default)]
pub(in crate::audit::store) struct News {
    /// Numbers of their own for policies: those of the store end with what a policy says.
    policies: HashMap<(&'static str, String), u32>,
    failed: HashSet<(u32, Uid)>,
}

impl News {
    /// An object failed this policy, which is edited. More than so many are not kept, and are news again.
    pub fn fails(&mut self, policy: &PolicyRef, object: Uid) {
        if self.failed.len() >= FINDINGS_KEPT_MAX {
            return;
        }
        let next = self.policies.len() as u32;
        let number = *self.policies.entry((policy.kind, policy.name.clone())).or_insert(next);
        self.failed.insert((number, object));
    }

    /// Whether an object failed this policy before.
    pub fn failed_before(&self, policy: &PolicyRef, object: Uid) -> bool {
        if self.failed.is_empty() {
            return false;
        }
        let number = self.policies.get(&(policy.kind, policy.name.clone()));
        number.is_some_and(|number| self.failed.contains(&(*number, object)))
    }

    /// Everything was looked at.
    pub fn forget(&mut self) {
        if !self.policies.is_empty() {
            *self = News::default();
        }
    }
}
