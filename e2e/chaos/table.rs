//! What clients saw of a fault, as a row of a table, and what of it should not have been.

use std::fmt;
use std::time::{Duration, Instant};

use crate::client::{Answer, Guard, Verdict};
use crate::faults::{Seen, Window};

/// Complaints of one fault that are told; the rest is counted.
const COMPLAINTS_MAX: usize = 5;

/// Answers that were not right and that are told of one fault, so that a figure can be explained.
const TOLD_MAX: usize = 12;

pub struct Row {
    name: &'static str,
    /// How many answers were right, wrong, missing under `Fail`, missing under `Ignore`, and not the API server's to give.
    counts: [usize; 5],
    /// From the fault to the last request that was not answered, or from whatever the notes say.
    recovery: Duration,
    slowest: Duration,
    notes: String,
    pub complaints: Vec<String>,
    /// What was not right, be it excused or not.
    pub told: Vec<String>,
}

impl Row {
    pub fn new(name: &'static str, from: Instant, seen: Seen, answers: &[Answer]) -> Row {
        let mut counts = [0; 5];
        let mut complaints = seen.complaints.clone();
        let mut recovery = Duration::ZERO;
        let mut told = Vec::new();
        for answer in answers {
            let place = match &answer.verdict {
                Verdict::Right => 0,
                Verdict::Wrong(_) => 1,
                Verdict::Unanswered(_) => 2,
                Verdict::Unguarded => 3,
                Verdict::Down(_) => 4,
            };
            counts[place] += 1;
            if place != 0 {
                if told.len() < TOLD_MAX {
                    told.push(complaint(from, answer));
                }
                recovery = recovery
                    .max(answer.begun.saturating_duration_since(cause(&seen, from, answer)));
                if !is_allowed(&seen, answer) {
                    complaints.push(complaint(from, answer));
                }
            }
        }
        if counts[0] == 0 {
            complaints.push("not one answer was right".to_owned());
        }
        let kept = complaints.len().min(COMPLAINTS_MAX);
        let more = complaints.len() - kept;
        complaints.truncate(kept);
        if more > 0 {
            complaints.push(format!("and {more} more"));
        }
        let complaints = complaints.into_iter().map(|text| format!("{name}: {text}")).collect();
        let slowest = answers.iter().map(|answer| answer.took).max().unwrap_or_default();
        Row { name, counts, recovery, slowest, notes: seen.notes, complaints, told }
    }
}

/// When that happened for which an answer is missing.
fn cause(seen: &Seen, from: Instant, answer: &Answer) -> Instant {
    let windows = [&seen.unanswered[..], &seen.without_facts, &seen.api_down].concat();
    let before =
        windows.iter().map(|window| window.from).filter(|from| *from <= answer.begun + answer.took);
    seen.since.or(before.max()).unwrap_or(from)
}

fn complaint(from: Instant, answer: &Answer) -> String {
    let Answer { guard, good, begun, took, verdict } = answer;
    let what = if *good { "good" } else { "bad" };
    let (at, took) = ((*begun - from).as_millis(), took.as_millis());
    format!("{guard:?}, a {what} object, asked at {at} ms, answered after {took} ms: {verdict:?}")
}

/// Whether a fault excuses that an answer is missing. Nothing excuses a wrong one.
fn is_allowed(seen: &Seen, answer: &Answer) -> bool {
    let overlaps = |windows: &[Window]| {
        windows.iter().any(|w| answer.begun <= w.to && answer.begun + answer.took >= w.from)
    };
    match answer.verdict {
        Verdict::Right => true,
        Verdict::Wrong(_) => false,
        Verdict::Unanswered(_) if overlaps(&seen.without_facts) => {
            answer.guard == Guard::Authorized || overlaps(&seen.unanswered)
        }
        Verdict::Unanswered(_) | Verdict::Unguarded => overlaps(&seen.unanswered),
        Verdict::Down(_) => overlaps(&seen.api_down),
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { name, counts, recovery, slowest, notes, .. } = self;
        let [right, wrong, unanswered, unguarded, down] = counts;
        let (recovery, slowest) = (recovery.as_millis(), slowest.as_millis());
        write!(
            f,
            "| {name} | {right} | {wrong} | {unanswered} | {unguarded} | {down} | {recovery} | {slowest} | {notes} |"
        )
    }
}

pub fn print(rows: &[Row]) {
    println!(
        "\n| fault | right | wrong | unanswered (Fail) | unguarded (Ignore) | API server down | recovery ms | slowest ms | notes |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        println!("{row}");
    }
    println!();
}
