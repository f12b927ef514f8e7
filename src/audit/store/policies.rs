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
    /// Those whose counts, or of which what is said, are not what they were.
    changed: HashSet<u32>,
    are_some_gone: bool,
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
        if !Arc::ptr_eq(&told.policy, policy) || number == next {
            told.policy = Arc::clone(policy);
            self.changed.insert(number);
        }
        number
    }

    pub fn get(&self, number: u32) -> Option<&Told> {
        self.told.get(&number)
    }

    /// To change what it found.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Told> {
        self.changed.insert(number);
        self.told.get_mut(&number)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Told> {
        self.told.values()
    }

    /// Those that changed since this was asked last. If any are gone since, all: only those are known then.
    pub fn take_changed(&mut self) -> (bool, Vec<&Told>) {
        let changed = std::mem::take(&mut self.changed);
        let is_all = std::mem::take(&mut self.are_some_gone);
        let told = self.told.iter().filter(|(number, _)| is_all || changed.contains(number));
        (is_all, told.map(|(_, told)| told).collect())
    }

    /// The numbers of those that are meant.
    pub fn numbers(&self, are_meant: impl Fn(&PolicyRef) -> bool) -> HashSet<u32> {
        let meant = self.told.iter().filter(|(_, told)| are_meant(&told.policy));
        meant.map(|(number, _)| *number).collect()
    }

    pub fn forget(&mut self, gone: &HashSet<u32>) {
        self.are_some_gone = true;
        self.numbers.retain(|_, number| !gone.contains(number));
        self.told.retain(|number, _| !gone.contains(number));
    }
}
