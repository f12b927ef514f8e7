//! The way of an expression from text to program.

use crate::cel::check::{self, Expected};
use crate::cel::diagnostic::{CompileError, Stage};
use crate::cel::env::Env;
use crate::cel::parser;
use crate::cel::planner;
use crate::cel::program::Program;
use crate::cel::types::Type;

impl Env {
    /// The type of an expression, which is checked and not compiled.
    ///
    /// # Errors
    /// If it does not parse, or its types do not agree.
    pub fn check(&self, source: &str) -> Result<Type, CompileError> {
        let refuse = |diagnostics| CompileError::new(source, Stage::Compile, diagnostics);
        let (expr, count) =
            parser::parse(source, self.version()).map_err(|error| refuse(vec![error]))?;
        let checked = check::check(self, &expr, count).map_err(refuse)?;
        Ok(checked.output)
    }

    /// Whether the checker knows the type of every part of an expression, so that none can turn out to be of a wrong one.
    ///
    /// # Errors
    /// If it does not parse, or its types do not agree.
    pub fn is_typed(&self, source: &str) -> Result<bool, CompileError> {
        let refuse = |diagnostics| CompileError::new(source, Stage::Compile, diagnostics);
        let (expr, count) =
            parser::parse(source, self.version()).map_err(|error| refuse(vec![error]))?;
        let checked = check::check(self, &expr, count).map_err(refuse)?;
        Ok(!checked.types.iter().any(Type::has_dyn))
    }

    /// Compiles an expression whose type has to be one of `expected`; any, if none is given.
    pub fn compile(&self, source: &str, expected: &[Type]) -> Result<Program, CompileError> {
        let refuse = |stage, diagnostics| CompileError::new(source, stage, diagnostics);
        let (expr, count) = parser::parse(source, self.version())
            .map_err(|error| refuse(Stage::Compile, vec![error]))?;
        let checked =
            check::check(self, &expr, count).map_err(|errors| refuse(Stage::Compile, errors))?;
        if !Expected(expected).accepts(&checked.output) {
            let error = Expected(expected).refuse(&expr, &checked.output);
            return Err(refuse(Stage::Output, vec![error]));
        }
        let plan = planner::plan(self, &expr, &checked)
            .map_err(|error| refuse(Stage::Plan, vec![error]))?;
        Ok(Program::new(source, checked.output, plan, checked.locals))
    }
}
