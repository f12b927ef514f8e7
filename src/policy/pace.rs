//! How long policies take, by a clock that is lent to evaluation: nothing here has one of its own.

use std::fmt;
use std::time::Duration;

use crate::policy::compile::Policy;

/// The time since a request came, and the time that it may take.
pub trait Stopwatch: fmt::Debug + Sync {
    /// The time so far.
    fn elapsed(&self) -> Duration;
    /// The time after which nobody waits for the answer any more.
    fn limit(&self) -> Duration;
}

/// Measures one policy after the other.
pub(in crate::policy) struct Pace<'s, 'w> {
    stopwatch: Option<&'w dyn Stopwatch>,
    /// When the last policy was through.
    last: Duration,
    slowest: Option<(&'s str, Duration)>,
}

impl<'s, 'w> Pace<'s, 'w> {
    /// Without a stopwatch there is all the time in the world.
    pub fn new(stopwatch: Option<&'w dyn Stopwatch>) -> Self {
        let last = stopwatch.map_or(Duration::ZERO, Stopwatch::elapsed);
        Pace { stopwatch, last, slowest: None }
    }

    /// Takes down that a policy is through; answers how long it took.
    pub fn passed(&mut self, policy: &'s Policy) -> Duration {
        let Some(stopwatch) = self.stopwatch else { return Duration::ZERO };
        let now = stopwatch.elapsed();
        let took = now.saturating_sub(self.last);
        self.last = now;
        if self.slowest.is_none_or(|(_, slowest)| took > slowest) {
            self.slowest = Some((&policy.name, took));
        }
        took
    }

    /// Why no further policy can be asked, if so, with the one that took longest.
    pub fn late(&self) -> Option<String> {
        let limit = self.stopwatch?.limit();
        let (slowest, took) = self.slowest.filter(|_| self.last >= limit)?;
        let (after, took) = (self.last.as_millis(), took.as_millis());
        Some(format!(
            "not evaluated: the time was up after {after} ms, of which policy '{slowest}' took {took} ms"
        ))
    }
}
