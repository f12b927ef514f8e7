//! Policies by number, so that what is kept of an object names them in four bytes; and what each of them found.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::audit::finding::PolicyRef;
use crate::audit::report::Summary;

#[derive(Debug, Default)]
pub(in crate::audit::store) struct Policies {
    numbers: HashMap<(&'static str, String), u32>,
    told: HashMap<u32, Told>,
    /// No number is used twice.
    next: u32,
}

/// What one policy found.
#[derive(Debug)]
pub(in crate::audit::store) struct Told {
    pub policy: Arc<PolicyRef>,
    pub summary: Summary,
}

impl Policies {
    /// The number of a policy, and what is said of it from now on.
    pub fn number(&mut self, policy: &Arc<PolicyRef>) -> u32 {
        let next = self.next;
        let number =
            *self.numbers.entry((policy.kind, policy.name.clone())).or_insert_with(|| next);
        if number == next {
            self.next += 1;
        }
        let told = self
            .told
            .entry(number)
            .or_insert_with(|| Told { policy: Arc::clone(policy), summary: Summary::default() });
        if !Arc::ptr_eq(&told.policy, policy) {
            told.policy = Arc::clone(policy);
        }
        number
    }

    pub fn get(&self, number: u32) -> Option<&Told> {
        self.told.get(&number)
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Told> {
        self.told.get_mut(&number)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Told> {
        self.told.values()
    }

    /// The numbers of those that are meant.
    pub fn numbers(&self, are_meant: impl Fn(&PolicyRef) -> bool) -> HashSet<u32> {
        let meant = self.told.iter().filter(|(_, told)| are_meant(&told.policy));
        meant.map(|(number, _)| *number).collect()
    }

    pub fn forget(&mut self, gone: &HashSet<u32>) {
        self.numbers.retain(|_, number| !gone.contains(number));
        self.told.retain(|number, _| !gone.contains(number));
    }
}
