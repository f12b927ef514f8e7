//! The examination: every policy that can be asked about an object is asked, by the same `admission::review` that decides
//! about requests. What becomes of the answers is not known here.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::admission::{Asked, Choice, Facts, Need, Phase, Snapshot, review};
use crate::audit::existing::Existing;
use crate::audit::finding::{Finding, ObjectRef, PolicyRef, Rule, Verdict};
use crate::cel::Arena;
use crate::policy::background::Unauditable;
use crate::policy::compile::Policy;
use crate::policy::outcome::Outcome;
use crate::policy::request::Operation;
use crate::policy::snapshot::Bound;

/// Policies that are asked, of all that can be: by the word for their kind, in their own API, their names.
pub type Chosen = HashMap<&'static str, HashSet<String>>;

/// Asks the policies of a snapshot about objects that exist.
#[derive(Clone, Debug)]
pub struct Auditor<'s> {
    snapshot: &'s Snapshot,
    chosen: Option<&'s Chosen>,
    references: Arc<References>,
}

/// What reports say about the policies of a snapshot that can be asked.
#[derive(Debug, Default)]
pub struct References {
    /// By the word for their kind, and name.
    policies: HashMap<&'static str, HashMap<String, Arc<PolicyRef>>>,
    /// Whether any policy is asked about updates.
    asks_updates: bool,
}

impl References {
    /// Those of a snapshot.
    pub fn of(snapshot: &Snapshot) -> References {
        let mut references = References::default();
        for bound in snapshot.policies().filter(|bound| bound.background().is_ok()) {
            references.asks_updates |= bound.is_audited_as(Operation::Update);
            let policies = references.policies.entry(bound.policy.kind_name()).or_default();
            policies.insert(bound.policy.name.clone(), Arc::new(PolicyRef::of(bound)));
        }
        references
    }

    /// That of a policy, if it can be asked.
    pub fn get(&self, policy: &Policy) -> Option<&Arc<PolicyRef>> {
        self.policies.get(policy.kind_name())?.get(&policy.name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<PolicyRef>> {
        self.policies.values().flat_map(HashMap::values)
    }
}

/// What all policies say about an object.
#[derive(Debug, Default)]
pub struct Examined<'s> {
    /// Of each policy that matches it.
    pub answers: Vec<Answer<'s>>,
    /// Why none could be asked, if so.
    pub trouble: Option<String>,
}

/// What one policy says about an object, through all of its bindings and params.
#[derive(Debug)]
pub struct Answer<'s> {
    /// The policy.
    pub policy: &'s Policy,
    /// The gravest of what it says.
    pub verdict: Verdict,
    /// What it finds wrong.
    pub failures: Vec<Failed<'s>>,
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Failed<'s> {
    /// Which part of the policy says so.
    pub rule: Rule,
    /// How bad it is.
    pub verdict: Verdict,
    /// In one line.
    pub message: String,
    /// The binding through which it was asked; none if the policy binds itself, or could not be asked.
    pub binding: Option<&'s str>,
    /// The param, as `namespace/name` or `name`.
    pub param: Option<String>,
}

impl Failed<'_> {
    /// The same in a form to be kept.
    pub fn finding(&self, object: Arc<ObjectRef>, policy: &Arc<PolicyRef>) -> Finding {
        Finding {
            object,
            policy: Arc::clone(policy),
            rule: self.rule,
            verdict: self.verdict,
            message: self.message.as_str().into(),
            binding: self.binding.map(str::to_owned),
            param: self.param.clone(),
        }
    }
}

impl<'s> Auditor<'s> {
    /// Asks all policies that can be asked.
    pub fn new(snapshot: &'s Snapshot) -> Auditor<'s> {
        Auditor::with(snapshot, Arc::new(References::of(snapshot)))
    }

    /// The same, for who keeps the references as long as the snapshot.
    pub fn with(snapshot: &'s Snapshot, references: Arc<References>) -> Auditor<'s> {
        Auditor { snapshot, chosen: None, references }
    }

    /// Asks only these.
    #[must_use]
    pub fn only(mut self, chosen: &'s Chosen) -> Auditor<'s> {
        self.chosen = Some(chosen);
        self
    }

    /// The policies that are asked.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<PolicyRef>> {
        self.references.iter()
    }

    /// The policies that can't be asked about what exists, and why. Those that change objects are not meant to be.
    pub fn left_out(&self) -> Vec<(&'s Bound, Unauditable)> {
        let why = |bound: &'s Bound| Some((bound, bound.background().err()?));
        let told = |(_, why): &(&Bound, Unauditable)| *why != Unauditable::Mutates;
        self.snapshot.policies().filter_map(why).filter(told).collect()
    }

    /// Asks about an object.
    ///
    /// # Errors
    /// If a fact is missing: add it to `facts` and ask again.
    pub fn examine(
        &self,
        existing: &Existing<'_>,
        facts: &Facts,
        arena: &mut Arena,
    ) -> Result<Examined<'s>, Need> {
        let mut examined = Examined::default();
        let operations = [Operation::Create, Operation::Update];
        for operation in operations.into_iter().take(1 + usize::from(self.references.asks_updates))
        {
            let request = existing.request(operation);
            let has_answered: Vec<&Policy> =
                examined.answers.iter().map(|answer| answer.policy).collect();
            let choice = Auditable { operation, chosen: self.chosen, has_answered };
            let asked = Asked { choice: Some(&choice), ..Phase::Validate.into() };
            arena.reset();
            let decision = review(asked, &request, self.snapshot, facts, arena)?;
            if decision.outcomes.is_empty() {
                // Without an outcome nobody denies: something is missing that no policy decides about.
                let status = decision.status.map(|status| status.message);
                examined.trouble = examined.trouble.or(status);
            }
            examined.take(&decision.outcomes);
        }
        Ok(examined)
    }

    /// What is wrong with an object, in a form to be kept.
    pub fn findings(&self, examined: &Examined<'_>, object: &Arc<ObjectRef>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for Answer { policy, failures, .. } in &examined.answers {
            let Some(policy) = self.references.get(policy) else { continue };
            let found = failures.iter().map(|failed| failed.finding(Arc::clone(object), policy));
            findings.extend(found);
        }
        findings
    }
}

impl<'s> Examined<'s> {
    /// Adds outcomes; those of one policy follow each other.
    fn take(&mut self, outcomes: &[Outcome<'s>]) {
        for outcome in outcomes {
            let same = |answer: &&mut Answer<'s>| std::ptr::eq(answer.policy, outcome.policy);
            let answer = match self.answers.last_mut().filter(same) {
                Some(answer) => answer,
                None => {
                    let (verdict, failures) = (Verdict::Skip, Vec::new());
                    self.answers.push(Answer { policy: outcome.policy, verdict, failures });
                    let Some(answer) = self.answers.last_mut() else { continue };
                    answer
                }
            };
            if outcome.evaluated > 0 {
                answer.verdict = answer.verdict.max(Verdict::Pass);
            }
            for failure in &outcome.failures {
                let verdict = Verdict::of(outcome, failure);
                answer.verdict = answer.verdict.max(verdict);
                answer.failures.push(Failed {
                    rule: Rule::of(failure),
                    verdict,
                    message: failure.message.clone(),
                    binding: outcome.binding.and_then(|binding| binding.name.as_deref()),
                    param: outcome.param.clone(),
                });
            }
        }
    }
}

/// The policies that are asked about what exists, as this operation.
struct Auditable<'c> {
    operation: Operation,
    chosen: Option<&'c Chosen>,
    /// They have been asked already, as another operation.
    has_answered: Vec<&'c Policy>,
}

impl fmt::Debug for Auditable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auditable({:?})", self.operation)
    }
}

impl Choice for Auditable<'_> {
    fn includes(&self, bound: &Bound) -> bool {
        let policy = &*bound.policy;
        let is_chosen = |chosen: &Chosen| {
            chosen.get(policy.kind_name()).is_some_and(|names| names.contains(&policy.name))
        };
        bound.is_audited_as(self.operation)
            && self.chosen.is_none_or(is_chosen)
            && !self.has_answered.iter().any(|answered| std::ptr::eq(*answered, policy))
    }
}
