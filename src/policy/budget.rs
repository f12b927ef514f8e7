//! Running expressions within a budget, with errors in Kubernetes' words. What the expressions are for is not known here.

use crate::cel::{Check, Evaluation, Value};
use crate::policy::compile::Expression;
use crate::policy::facts::Need;
use crate::policy::invocation::Halt;

/// What all validations of one policy, binding and param may cost together, and once more all its audit annotations:
/// about a second. Source: `RuntimeCELCostBudget`.
pub const POLICY_COST_MAX: u64 = 10_000_000;

/// What all match conditions of one policy and param may cost together. Source: `RuntimeCELCostBudgetMatchConditions`.
pub const MATCH_CONDITIONS_COST_MAX: u64 = 2_500_000;

/// What is said when a budget is used up.
pub(in crate::policy) const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// Expressions that share values, variables and a budget.
pub(in crate::policy) struct Runner<'a> {
    evaluation: Evaluation<'a>,
    /// What is left.
    pub budget: u64,
}

/// Why an expression gave no value.
pub(in crate::policy) enum Stop {
    /// In Kubernetes' words; others can go on.
    Expression(String),
    /// The budget is used up.
    OutOfBudget,
    /// A fact is missing.
    Halt(Halt),
}

impl Stop {
    /// In Kubernetes' words.
    pub fn message(self) -> Result<String, Halt> {
        match self {
            Stop::Expression(message) => Ok(message),
            Stop::OutOfBudget => Ok(OUT_OF_BUDGET.to_owned()),
            Stop::Halt(halt) => Err(halt),
        }
    }
}

impl<'a> Runner<'a> {
    pub fn new(evaluation: Evaluation<'a>, budget: u64) -> Runner<'a> {
        Runner { evaluation, budget }
    }

    /// Evaluates an expression and takes its cost, and that of the variables it was the first to use, from the budget.
    pub fn run(&mut self, expression: &'a Expression) -> Result<Value<'a>, Stop> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(reason) => return Err(Stop::Expression(format!("compilation error: {reason}"))),
        };
        let run = self.evaluation.run(program);
        if let Err(error) = &run.result
            && let Some(check) = error.need()
        {
            return Err(Stop::Halt(check.into()));
        }
        for cost in [run.variables_cost, run.cost] {
            self.budget = self.budget.checked_sub(cost).ok_or(Stop::OutOfBudget)?;
        }
        run.result.map_err(|error| {
            let source = &expression.source;
            Stop::Expression(format!("expression '{source}' resulted in error: {error}"))
        })
    }
}

impl From<&Check> for Halt {
    fn from(check: &Check) -> Halt {
        Halt::Need(Need::Authorization(Box::new(check.clone())))
    }
}
