//! What has to be looked at once more, because a policy or a namespace changed. Who changes things faster than they can be
//! looked at makes no longer queue: what waits for the same objects waits together.

use std::collections::VecDeque;

use crate::audit::Chosen;
use crate::audit::plan::ServedKind;
use crate::controller::limits::NAMESPACES_RELISTED_MAX;

/// Objects that are looked at once more.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::controller::audit) struct Again {
    pub kind: ServedKind,
    /// Only those in this namespace.
    pub namespace: Option<String>,
    /// By these policies only.
    pub chosen: Chosen,
}

/// All that waits, in order: at most [`NAMESPACES_RELISTED_MAX`] for a kind.
#[derive(Debug, Default)]
pub(in crate::controller::audit) struct Waiting(VecDeque<Again>);

impl Waiting {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn next(&mut self) -> Option<Again> {
        self.0.pop_front()
    }

    /// Adds objects, or more policies for those that wait already.
    pub fn add(&mut self, mut again: Again) {
        let of_kind = |waits: &&mut Again| waits.kind == again.kind;
        let includes =
            |waits: &&mut Again| waits.namespace.is_none() || waits.namespace == again.namespace;
        let mut of_kind = self.0.iter_mut().filter(of_kind);
        if let Some(waits) = of_kind.find(includes) {
            join(&mut waits.chosen, again.chosen);
            return;
        }
        let count = self.0.iter().filter(|waits| waits.kind == again.kind).count();
        if count >= NAMESPACES_RELISTED_MAX {
            again.namespace = None;
        }
        if again.namespace.is_none() {
            // It takes in whatever waits for a single namespace.
            let (same, others) = self.0.drain(..).partition(|waits| waits.kind == again.kind);
            let same: VecDeque<Again> = same;
            self.0 = others;
            for waits in same {
                join(&mut again.chosen, waits.chosen);
            }
        }
        self.0.push_back(again);
    }
}

/// Adds the policies of one to another.
pub(in crate::controller::audit) fn join(to: &mut Chosen, from: Chosen) {
    for (kind, names) in from {
        to.entry(kind).or_default().extend(names);
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::Chosen;
    use crate::audit::plan::ServedKind;
    use crate::controller::audit::again::{Again, Waiting};
    use crate::controller::limits::NAMESPACES_RELISTED_MAX;

    /// `RESOURCE NAMESPACE POLICY`; a star is all namespaces.
    fn again(text: &str) -> Again {
        let words: Vec<&str> = text.split(' ').collect();
        let kind = ServedKind {
            group: String::new(),
            resource: words[0].into(),
            version: "v1".into(),
            kind: String::new(),
            is_namespaced: true,
        };
        let namespace = (words[1] != "*").then(|| words[1].to_owned());
        let chosen = Chosen::from([("P", [words[2].to_owned()].into())]);
        Again { kind, namespace, chosen }
    }

    fn told(mut waiting: Waiting) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(Again { kind, namespace, chosen }) = waiting.next() {
            let mut names: Vec<String> = chosen["P"].iter().cloned().collect();
            names.sort();
            let namespace = namespace.unwrap_or_else(|| "*".into());
            told.push(format!("{} {namespace} {}", kind.resource, names.join(",")));
        }
        told
    }

    #[test]
    fn what_waits_for_the_same_objects_waits_together() {
        let check = |added: &[&str], expect: &[&str]| {
            let mut waiting = Waiting::default();
            for text in added {
                waiting.add(again(text));
            }
            assert_eq!(told(waiting), expect, "{added:?}");
        };
        check(&["pods * a", "pods * b", "jobs * a"], &["pods * a,b", "jobs * a"]);
        check(&["pods x a", "pods x b", "pods y a"], &["pods x a,b", "pods y a"]);
        check(&["pods * a", "pods x b"], &["pods * a,b"]);
        check(&["pods x a", "jobs x a", "pods * b"], &["jobs x a", "pods * a,b"]);
    }

    #[test]
    fn many_namespaces_are_all_of_them() {
        let mut waiting = Waiting::default();
        for number in 0..NAMESPACES_RELISTED_MAX {
            waiting.add(again(&format!("pods n{number} a")));
        }
        assert_eq!(waiting.len(), NAMESPACES_RELISTED_MAX);
        waiting.add(again("pods another b"));
        assert_eq!(told(waiting), ["pods * a,b"]);
    }
}
