//! Gathering facts: evaluation says what it needs, the rim fetches it, evaluation runs again. How anything is fetched is
//! not known here.

use crate::admission::{Decision, Facts, Need, Phase, Snapshot, review};
use crate::cel::Arena;
use crate::policy::Request;

/// How often evaluation is asked again for one request. Each round brings at least one fact; a check of the authorizer
/// costs 350,000 of the 10,000,000 that a policy, binding and param may cost, so one of them can't need more than 28.
pub const ROUNDS_MAX: usize = 64;

/// Reviews a request, fetching what evaluation needs. `fetch` adds what is asked for to the facts; if it does not, there
/// is no decision to be had, and the request is denied as an internal error, whatever any `failurePolicy` says.
pub async fn gather<'s>(
    phase: Phase,
    request: &Request<'_>,
    snapshot: &'s Snapshot,
    facts: &mut Facts,
    arena: &mut Arena,
    mut fetch: impl AsyncFnMut(&Need, &mut Facts),
) -> Decision<'s> {
    let mut last = None;
    for _ in 0..ROUNDS_MAX {
        arena.reset();
        let need = match review(phase, request, snapshot, facts, arena) {
            Ok(decision) => return decision,
            Err(need) => need,
        };
        if last.as_ref() == Some(&need) {
            return Decision::internal_error(&format!("{need} could not be found out"));
        }
        fetch(&need, facts).await;
        last = Some(need);
    }
    Decision::internal_error(&format!("more than {ROUNDS_MAX} facts are needed"))
}
