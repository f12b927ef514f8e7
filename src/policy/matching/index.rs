//! Which policies can match a request at all, found by the request's group and resource. What it finds may still not
//! match; what it does not find can't.

use std::collections::HashMap;

use crate::policy::matching::{Matcher, Rule};
use crate::policy::request::Resource;

/// Positions of policies, by what their rules name. Cost of a look-up grows with what it finds.
///
/// Architecture invariant: every list is ascending, so the order of the policies is the order of the findings.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// By group, then resource. Nested, so that a look-up needs no key of its own.
    exact: HashMap<Box<str>, HashMap<Box<str>, Vec<u32>>>,
    by_group: HashMap<Box<str>, Vec<u32>>,
    by_resource: HashMap<Box<str>, Vec<u32>>,
    any: Vec<u32>,
}

/// How many lists a look-up merges without allocating: three for the resource, three for each equivalent, one for all.
/// Kubernetes itself serves no resource in more than three groups.
const LISTS_INLINE: usize = 16;

impl Index {
    /// Indexes the matchers in order. A place without one is never found.
    pub fn new<'m>(matchers: impl IntoIterator<Item = Option<&'m Matcher>>) -> Index {
        let mut index = Index::default();
        for (position, matcher) in matchers.into_iter().enumerate() {
            if let Some(matcher) = matcher {
                index.insert(position as u32, matcher);
            }
        }
        index
    }

    fn insert(&mut self, position: u32, matcher: &Matcher) {
        let mut keys: Vec<_> = matcher.rules().iter().flat_map(Rule::keys).collect();
        if keys.is_empty() {
            keys.push((None, None));
        }
        for key in keys {
            let list = match key {
                (Some(group), Some(resource)) => {
                    self.exact.entry(group.into()).or_default().entry(resource.into()).or_default()
                }
                (Some(group), None) => self.by_group.entry(group.into()).or_default(),
                (None, Some(resource)) => self.by_resource.entry(resource.into()).or_default(),
                (None, None) => &mut self.any,
            };
            if list.last() != Some(&position) {
                list.push(position);
            }
        }
    }

    /// The positions of all policies that may match a request for one of these resources, ascending, each once.
    pub fn candidates<'i, 'r>(
        &'i self,
        resources: impl IntoIterator<Item = Resource<'r>>,
    ) -> Candidates<'i> {
        let mut candidates =
            Candidates { inline: [&[]; LISTS_INLINE], used: 0, overflow: Vec::new() };
        candidates.add(&self.any);
        for resource in resources {
            let exact = self.exact.get(resource.group).and_then(|m| m.get(resource.resource));
            let by_group = self.by_group.get(resource.group);
            let by_resource = self.by_resource.get(resource.resource);
            for list in [exact, by_group, by_resource].into_iter().flatten() {
                candidates.add(list);
            }
        }
        candidates
    }
}

/// The findings of [`Index::candidates`]: a merge of ascending lists.
#[derive(Clone, Debug)]
pub struct Candidates<'i> {
    inline: [&'i [u32]; LISTS_INLINE],
    used: usize,
    overflow: Vec<&'i [u32]>,
}

impl<'i> Candidates<'i> {
    fn add(&mut self, list: &'i [u32]) {
        match self.inline.get_mut(self.used) {
            Some(free) => {
                *free = list;
                self.used += 1;
            }
            None => self.overflow.push(list),
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let lists = || self.inline.iter().take(self.used).chain(&self.overflow);
        let next = *lists().filter_map(|list| list.first()).min()?;
        for list in self.inline.iter_mut().take(self.used).chain(&mut self.overflow) {
            if let Some((first, rest)) = list.split_first()
                && *first == next
            {
                *list = rest;
            }
        }
        Some(next)
    }
}
