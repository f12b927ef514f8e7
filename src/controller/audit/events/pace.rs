//! How many Events there may be. No clock here: the time is told.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::audit::PolicyRef;
use crate::controller::limits::{
    EVENT_INTERVAL, EVENT_SERIES_MAX, EVENTS_BURST, NAMESPACE_EVENT_INTERVAL,
    NAMESPACE_EVENTS_BURST,
};

/// So many at once, and one more in each interval.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    interval: Duration,
}

const ALL: Rate = Rate { burst: EVENTS_BURST, interval: EVENT_INTERVAL };

const EACH: Rate = Rate { burst: NAMESPACE_EVENTS_BURST, interval: NAMESPACE_EVENT_INTERVAL };

/// What was let through lately.
#[derive(Debug, Default)]
pub(in crate::controller::audit::events) struct Pace {
    all: Used,
    /// By policy and namespace.
    each: HashMap<(&'static str, String, String), Used>,
}

/// When everything that was let through would be paid back, at the rate of one in each interval.
#[derive(Clone, Copy, Debug, Default)]
struct Used(Option<Instant>);

impl Used {
    /// Whether there is room for one more.
    fn has_room(self, rate: Rate, now: Instant) -> bool {
        let owed = self.0.map_or(Duration::ZERO, |until| until.duration_since(now));
        owed + rate.interval <= rate.interval * rate.burst
    }

    fn take(&mut self, rate: Rate, now: Instant) {
        self.0 = Some(self.0.map_or(now, |until| until.max(now)) + rate.interval);
    }
}

impl Pace {
    /// Whether there may be an Event about this policy in this namespace. It is taken for written then.
    pub fn admits(&mut self, policy: &PolicyRef, namespace: &str, now: Instant) -> bool {
        if !self.all.has_room(ALL, now) {
            return false;
        }
        if self.each.len() >= EVENT_SERIES_MAX {
            // What is paid back is as if it had never been.
            self.each.retain(|_, Used(until)| until.is_some_and(|until| until > now));
        }
        let key = (policy.kind, policy.name.clone(), namespace.to_owned());
        if self.each.len() >= EVENT_SERIES_MAX && !self.each.contains_key(&key) {
            return false;
        }
        let used = self.each.entry(key).or_default();
        let has_room = used.has_room(EACH, now);
        if has_room {
            used.take(EACH, now);
            self.all.take(ALL, now);
        }
        has_room
    }

    /// Whether there may be an Event about anything. It is taken for written then.
    pub fn admits_any(&mut self, now: Instant) -> bool {
        let has_room = self.all.has_room(ALL, now);
        if has_room {
            self.all.take(ALL, now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use crate::audit::PolicyRef;
    use crate::controller::audit::events::pace::Pace;
    use crate::controller::limits::{
        EVENT_INTERVAL, EVENT_SERIES_MAX, EVENTS_BURST, NAMESPACE_EVENT_INTERVAL,
        NAMESPACE_EVENTS_BURST,
    };

    fn policy(name: &str) -> PolicyRef {
        PolicyRef { kind: "ValidatingPolicy", name: name.into(), ..PolicyRef::default() }
    }

    #[test]
    fn no_policy_says_too_much_in_a_namespace() {
        let mut pace = Pace::default();
        let begun = Instant::now();
        // Namespace, seconds since the beginning, how many are asked for, and how many there may be.
        let mut check = |namespace: &str, seconds: u64, asked: u32, expect: u32| {
            let now = begun + Duration::from_secs(seconds);
            let admitted = (0..asked).filter(|_| pace.admits(&policy("a"), namespace, now));
            assert_eq!(admitted.count() as u32, expect, "{namespace} after {seconds} s");
        };
        let interval = NAMESPACE_EVENT_INTERVAL.as_secs();
        check("x", 0, 1_000, NAMESPACE_EVENTS_BURST);
        check("y", 0, 2, 2);
        check("x", interval - 1, 5, 0);
        check("x", interval, 5, 1);
        check("x", 4 * interval, 5, 3);
        check("x", 1_000 * interval, 1_000, NAMESPACE_EVENTS_BURST);
    }

    #[test]
    fn there_are_never_too_many() {
        let mut pace = Pace::default();
        let begun = Instant::now();
        let mut check = |seconds: u64, expect: u32| {
            let now = begun + Duration::from_secs(seconds);
            let all = 0..2 * EVENT_SERIES_MAX;
            let admitted = all.filter(|n| pace.admits(&policy(&n.to_string()), "x", now)).count();
            assert_eq!(admitted as u32, expect, "after {seconds} s");
            assert!(pace.each.len() <= EVENT_SERIES_MAX);
            assert!(!pace.admits_any(now));
        };
        check(0, EVENTS_BURST);
        check(EVENT_INTERVAL.as_secs(), 1);
        check(10 * EVENT_INTERVAL.as_secs(), 9);
        check(1_000_000, EVENTS_BURST);
        assert!(pace.admits_any(begun + Duration::from_secs(2_000_000)));
    }
}
