//! The evaluation of programs over values, and what comes of it. Nothing here knows where values come from.

use std::cell::Cell;
use std::fmt;

use crate::cel::answers::{Answers, Check};
use crate::cel::diagnostic::Span;
use crate::cel::env::Env;
use crate::cel::eval::Machine;
use crate::cel::fault::{Fault, FaultKind, Outcome};
use crate::cel::program::{Program, Variable};
use crate::cel::value::{Arena, Context, Value};

/// How deep variables may use one another. Each level is a nested evaluation on the stack.
pub const VARIABLE_DEPTH_MAX: u16 = 100;

/// The evaluation of one or more expressions over the same values. Variables of the policy are
/// evaluated when first used, and remembered.
pub struct Evaluation<'a> {
    arena: &'a Arena,
    variables: &'a [Variable],
    roots: &'a [Value<'a>],
    answers: &'a dyn Answers,
    memo: &'a [Cell<Option<Outcome<'a>>>],
    variables_cost: Cell<u64>,
    depth: Cell<u16>,
}

/// What an evaluation gave and what it cost.
#[derive(Debug)]
pub struct Run<'a> {
    /// The value, or why there is none.
    pub result: Result<Value<'a>, EvalError<'a>>,
    /// What the expression itself cost.
    pub cost: u64,
    /// What the variables cost that it was the first to use.
    pub variables_cost: u64,
}

/// Why an expression has no value. Shown in Kubernetes' words.
#[derive(Clone, Copy)]
pub struct EvalError<'a>(&'a Fault<'a>);

impl<'a> EvalError<'a> {
    /// Where in the source.
    pub fn span(&self) -> Span {
        self.0.span.unwrap_or_default()
    }

    /// The answer that has to be gathered before there can be a value.
    pub fn need(&self) -> Option<&'a Check> {
        self.0.need()
    }

    /// Whether the expression cost more than one may.
    pub fn is_cost_exceeded(&self) -> bool {
        matches!(self.0.kind, FaultKind::CostExceeded)
    }
}

impl fmt::Display for EvalError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)
    }
}

impl fmt::Debug for EvalError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EvalError({}, {:?})", self.0, self.0.span)
    }
}

impl std::error::Error for EvalError<'_> {}

impl<'a> Evaluation<'a> {
    /// An evaluation over these values, which are in the order in which `env` declares them.
    pub fn new(
        arena: &'a Arena,
        env: &'a Env,
        roots: &'a [Value<'a>],
        answers: &'a dyn Answers,
    ) -> Evaluation<'a> {
        debug_assert_eq!(roots.len(), env.roots().len(), "a value for each declared variable");
        let variables = env.variables();
        let memo = arena.cells(variables.len(), None);
        let (variables_cost, depth) = (Cell::new(0), Cell::new(0));
        Evaluation { arena, variables, roots, answers, memo, variables_cost, depth }
    }

    /// Evaluates an expression.
    pub fn run(&self, program: &'a Program) -> Run<'a> {
        self.variables_cost.set(0);
        let (outcome, cost) = self.execute(program);
        Run { result: outcome.map_err(EvalError), cost, variables_cost: self.variables_cost.get() }
    }

    fn execute(&self, program: &'a Program) -> (Outcome<'a>, u64) {
        let mut machine = Machine::new(self, program.locals);
        let outcome = machine.eval(&program.plan);
        (outcome, machine.cost())
    }

    pub(crate) fn arena(&self) -> &'a Arena {
        self.arena
    }

    pub(crate) fn context(&self) -> Context<'a> {
        Context { arena: self.arena, answers: self.answers, pattern: None, types: None }
    }

    pub(crate) fn root(&self, slot: u16) -> Value<'a> {
        self.roots.get(slot as usize).copied().unwrap_or(Value::Null)
    }

    /// The value of a variable of the policy.
    pub(crate) fn variable(&self, place: u16) -> Outcome<'a> {
        let known = self.memo.get(place as usize);
        if let Some(outcome) = known.and_then(Cell::get) {
            return outcome;
        }
        let Some(variable) = self.variables.get(place as usize) else {
            return Err(Fault::message(self.arena, "no such variable"));
        };
        let outcome = self.evaluate(variable);
        if let Some(memo) = known {
            memo.set(Some(outcome));
        }
        outcome
    }

    fn evaluate(&self, variable: &'a Variable) -> Outcome<'a> {
        let name = variable.name.as_str();
        let program = match variable.program.as_ref() {
            Ok(program) => program,
            Err(cause) => {
                return Err(Fault::new(self.arena, FaultKind::BrokenVariable { name, cause }));
            }
        };
        if self.depth.get() >= VARIABLE_DEPTH_MAX {
            return Err(Fault::message(self.arena, "variables use one another too deeply"));
        }
        self.depth.set(self.depth.get() + 1);
        let (outcome, cost) = self.execute(program);
        self.depth.set(self.depth.get() - 1);
        self.variables_cost.set(self.variables_cost.get().saturating_add(cost));
        outcome.map_err(|cause| Fault::new(self.arena, FaultKind::Variable { name, cause }))
    }
}
