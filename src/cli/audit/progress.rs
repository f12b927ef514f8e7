//! Progress of long work, for whoever sits at a terminal: how much was done, and how long it will take. Nothing is said of
//! short work, nor where nobody looks.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Work that takes less is not told of.
const SILENT: Duration = Duration::from_secs(1);

/// Between two lines.
const INTERVAL: Duration = Duration::from_millis(200);

/// How far the work is.
#[derive(Debug)]
pub struct Progress {
    state: RefCell<State>,
    is_told: bool,
    total: u64,
}

#[derive(Debug)]
struct State {
    begun: Instant,
    told: Option<Instant>,
    done: u64,
}

impl Progress {
    /// Begins work on so many bytes.
    pub fn new(total: u64) -> Progress {
        let state = State { begun: now(), told: None, done: 0 };
        Progress { state: RefCell::new(state), is_told: io::stderr().is_terminal(), total }
    }

    /// So many more are done.
    pub fn add(&self, bytes: u64) {
        let mut state = self.state.borrow_mut();
        state.done += bytes;
        let now = now();
        let is_due = state.told.is_none_or(|told| now.duration_since(told) >= INTERVAL);
        if self.is_told && is_due && now.duration_since(state.begun) >= SILENT {
            state.told = Some(now);
            let text = line(state.done, self.total, now.duration_since(state.begun));
            // Nobody is harmed if it is not seen.
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }

    /// Takes the line away.
    pub fn finish(&self) {
        if self.state.borrow().told.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn now() -> Instant {
    Instant::now()
}

fn line(done: u64, total: u64, elapsed: Duration) -> String {
    /// Bytes to the MB.
    const MB: u64 = 1_000_000;
    let share = (done * 100).checked_div(total).unwrap_or(100).min(100);
    let left = total.saturating_sub(done);
    let seconds = (elapsed.as_secs_f64() * left as f64 / (done.max(1)) as f64).ceil();
    format!("audited {share} % of {} MB, {seconds:.0} s to go", total.div_ceil(MB))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_much_and_how_long() {
        let check = |done: u64, total: u64, expect: &str| {
            assert_eq!(line(done, total, Duration::from_secs(2)), expect);
        };
        check(25_000_000, 100_000_000, "audited 25 % of 100 MB, 6 s to go");
        check(100, 100, "audited 100 % of 1 MB, 0 s to go");
        check(0, 0, "audited 100 % of 0 MB, 0 s to go");
    }
}
