//! Gathering facts: evaluation says what it needs, the rim fetches it, evaluation runs again. How anything is fetched is
//! not known here.

use crate::admission::{Asked, Decision, Facts, NamespaceObject, Need, Snapshot, review};
use crate::cel::Arena;
use crate::policy::Request;

/// How often evaluation is asked again for one request. Each round brings at least one fact; a check of the authorizer
/// costs 350,000 of the 10,000,000 that a policy, binding and param may cost, so one of them can't need more than 28.
pub const ROUNDS_MAX: usize = 64;

/// Where facts are fetched that the snapshot does not have.
pub trait Source: Send + Sync + 'static {
    /// Adds what this request needs to the facts. If it can't be found out, nothing is added, and there is no decision.
    fn fetch(
        &self,
        request: &Request<'_>,
        need: &Need,
        facts: &mut Facts,
    ) -> impl Future<Output = ()> + Send;
}

/// The source where there is no cluster: namespaces exist and have no labels but their name; nobody is authorised, as
/// nobody can be asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCluster;

impl Source for NoCluster {
    async fn fetch(&self, _: &Request<'_>, need: &Need, facts: &mut Facts) {
        match need {
            Need::Namespace(name) => facts.add_namespace(name, Some(NamespaceObject::named(name))),
            Need::Authorization(_) => {}
            Need::Images(needed) => facts.add_unknown(needed, "no registry is asked here"),
        }
    }
}

/// Why there is no decision. It is not for us to deny then: the API server knows the `failurePolicy` of whoever it asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatherError {
    /// The source does not know it.
    #[error("{0} could not be found out")]
    Unknown(Need),
    /// Evaluation did not come to an end.
    #[error("more than {ROUNDS_MAX} facts are needed")]
    TooMany,
}

/// Reviews a request, fetching what evaluation needs.
///
/// # Errors
/// If the source does not add what is asked for, or too much is asked for.
pub async fn gather<'s, 'w>(
    asked: impl Into<Asked<'w>>,
    request: &Request<'_>,
    snapshot: &'s Snapshot,
    facts: &mut Facts,
    arena: &mut Arena,
    source: &impl Source,
) -> Result<Decision<'s>, GatherError> {
    let asked = asked.into();
    let mut last = None;
    for _ in 0..ROUNDS_MAX {
        arena.reset();
        let need = match review(asked, request, snapshot, facts, arena) {
            Ok(decision) => return Ok(decision),
            Err(need) => need,
        };
        if last.as_ref() == Some(&need) {
            return Err(GatherError::Unknown(need));
        }
        source.fetch(request, &need, facts).await;
        last = Some(need);
    }
    Err(GatherError::TooMany)
}
