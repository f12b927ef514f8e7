//! Admission: a review in, a decision out. Everything that decides comes through [`review`]: the webhook, the audit of
//! what exists, and the command line.
//!
//! # Flow
//! [`wire::parse`] (bytes to [`wire::Review`]) -> [`review`] (match, evaluate, decide) -> [`wire::response`] (bytes). Where
//! evaluation needs a fact that nobody gathered, [`review`] answers with a [`Need`]; [`gather`] fetches and asks again.
//!
//! # Guarantees
//! - [`review`] is pure and synchronous: the same request, snapshot and facts give the same decision.
//! - An error is a failure that `failurePolicy` decides about, and never a policy that was not asked.

mod decision;
mod gather;
pub mod wire;

pub use crate::policy::facts::{Facts, NamespaceObject, Need};
pub use crate::policy::pace::Stopwatch;
pub use crate::policy::snapshot::{Asked, Choice, Phase, Snapshot};
pub use decision::{Decision, Status, native_message};
pub use gather::{GatherError, NoCluster, ROUNDS_MAX, Source, gather};

pub use crate::cel::{Arena, Version};
use crate::policy::Request;
use crate::policy::evaluate::validate;
use crate::policy::invocation::{Halt, Question};
use crate::policy::mutate::mutate;
use crate::policy::outcome::Outcome;

/// Asks every policy of a phase that matches the request, or only those with one failure policy, and decides.
///
/// # Errors
/// When a fact is missing: add it to `facts` and ask again.
pub fn review<'s, 'w>(
    asked: impl Into<Asked<'w>>,
    request: &Request<'_>,
    snapshot: &'s Snapshot,
    facts: &Facts,
    arena: &Arena,
) -> Result<Decision<'s>, Need> {
    let asked = asked.into();
    let question = Question { asked, request, snapshot, facts, arena };
    let decision = match asked.phase {
        Phase::Mutate => mutate(question).map(|mut mutated| {
            suspend(&mut mutated.outcomes, snapshot);
            Decision::of_mutations(request, mutated)
        }),
        Phase::Validate => validate(question).map(|mut outcomes| {
            suspend(&mut outcomes, snapshot);
            Decision::of_validations(outcomes)
        }),
    };
    decision.or_else(|halt| match halt {
        Halt::Need(need) => Err(need),
        Halt::NamespaceMissing(name) => Ok(Decision::namespace_missing(&name)),
        Halt::Unavailable(message) => Ok(Decision::unavailable(message)),
        Halt::Broken(message) => Ok(Decision::internal_error(&message)),
    })
}

/// Says of each outcome whether break-glass lets the request pass in spite of it.
fn suspend<'s>(outcomes: &mut [Outcome<'s>], snapshot: &'s Snapshot) {
    if snapshot.suspensions().is_empty() {
        return;
    }
    for outcome in outcomes {
        outcome.suspended = snapshot.suspends(outcome.policy);
    }
}

#[cfg(test)]
mod images_tests;
#[cfg(test)]
mod tests;
