//! Leaving registries alone that don't answer, and those that ask for it. Time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::images::registry::RegistryError;

/// After how many answers in a row that it did not give a registry is left alone.
const FAULTS_MAX: u32 = 3;

/// How long it is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// The longest time for which a registry can have itself left alone.
const ASKED_MAX: Duration = Duration::from_mins(5);

/// How many registries are watched for that.
const REGISTRIES_MAX: usize = 1024;

/// What registries did lately.
#[derive(Debug, Default)]
pub struct Breaker(HashMap<String, Faults>);

#[derive(Clone, Copy, Debug)]
struct Faults {
    in_a_row: u32,
    last: Instant,
    /// Until when it asked to be left alone.
    asked: Option<Instant>,
}

impl Faults {
    fn is_left_alone(&self, now: Instant) -> bool {
        let failed = self.in_a_row >= FAULTS_MAX && now.duration_since(self.last) < LEFT_ALONE;
        failed || self.asked.is_some_and(|until| now < until)
    }
}

impl Breaker {
    /// Whether nobody should ask it now.
    pub fn is_left_alone(&self, host: &str, now: Instant) -> bool {
        self.0.get(host).is_some_and(|faults| faults.is_left_alone(now))
    }

    /// How many registries are left alone.
    pub fn left_alone(&self, now: Instant) -> usize {
        self.0.values().filter(|faults| faults.is_left_alone(now)).count()
    }

    /// A registry was asked, and this went wrong, or nothing did.
    pub fn heard<'p>(
        &mut self,
        host: &str,
        problems: impl Iterator<Item = &'p RegistryError>,
        now: Instant,
    ) {
        let faults: Vec<&RegistryError> = problems.filter(|problem| problem.is_fault()).collect();
        if faults.is_empty() {
            self.0.remove(host);
            return;
        }
        let asked = |fault: &&RegistryError| match fault {
            RegistryError::RateLimited { retry_after, .. } => *retry_after,
            _ => None,
        };
        let asked = faults.iter().filter_map(asked).max();
        if self.0.len() >= REGISTRIES_MAX && !self.0.contains_key(host) {
            self.0.retain(|_, faults| {
                now.duration_since(faults.last) < LEFT_ALONE || faults.is_left_alone(now)
            });
        }
        if self.0.len() < REGISTRIES_MAX || self.0.contains_key(host) {
            let new = Faults { in_a_row: 0, last: now, asked: None };
            let known = self.0.entry(host.to_owned()).or_insert(new);
            known.in_a_row = known.in_a_row.saturating_add(1);
            known.last = now;
            known.asked = asked.map(|wait| now + wait.min(ASKED_MAX)).or(known.asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_left_alone_when_they_fail_or_ask_for_it() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let status = RegistryError::Status { host: "a".into(), status: 503 };
        let limited = |seconds| RegistryError::RateLimited {
            host: "a".into(),
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let mut breaker = Breaker::default();
        for second in 0..2 {
            breaker.heard("a", [&status].into_iter(), at(second));
            assert!(!breaker.is_left_alone("a", at(second)));
        }
        breaker.heard("a", [&status].into_iter(), at(2));
        assert!(breaker.is_left_alone("a", at(11)) && !breaker.is_left_alone("a", at(12)));
        assert!(!breaker.is_left_alone("b", at(2)));
        assert_eq!((breaker.left_alone(at(11)), breaker.left_alone(at(12))), (1, 0));
        // One that fails again is left alone at once, and one that answers is not.
        breaker.heard("a", [&status].into_iter(), at(20));
        assert!(breaker.is_left_alone("a", at(20)));
        let missing = RegistryError::NotFound("x".into());
        breaker.heard("a", [&missing].into_iter(), at(40));
        breaker.heard("a", [&status].into_iter(), at(41));
        assert!(!breaker.is_left_alone("a", at(41)));
        // One that asks for it is left alone for as long as it asks, within reason.
        breaker.heard("b", [&limited(60)].into_iter(), at(0));
        assert!(breaker.is_left_alone("b", at(59)) && !breaker.is_left_alone("b", at(60)));
        breaker.heard("c", [&limited(1_000_000)].into_iter(), at(0));
        assert!(breaker.is_left_alone("c", at(299)) && !breaker.is_left_alone("c", at(300)));
    }

    #[test]
    fn however_many_registries_are_named_the_memory_stays() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let status = RegistryError::Status { host: "a".into(), status: 503 };
        for n in 0..2 * REGISTRIES_MAX {
            breaker.heard(&format!("{n}.test"), [&status].into_iter(), now);
        }
        assert_eq!(breaker.0.len(), REGISTRIES_MAX);
        breaker.heard("later.test", [&status].into_iter(), now + LEFT_ALONE);
        assert_eq!(breaker.0.len(), 1);
    }
}
