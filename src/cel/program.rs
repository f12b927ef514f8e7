//! A compiled expression. Nothing here knows how it is made or run.

use std::fmt;
use std::sync::Arc;

use crate::cel::plan::Step;
use crate::cel::types::Type;

/// A compiled expression. It is immutable, and evaluated as often as wanted.
pub struct Program {
    source: Box<str>,
    output: Type,
    pub(crate) plan: Step,
    /// How many variables of comprehensions are alive at once.
    pub(crate) locals: u16,
}

impl Program {
    pub(crate) fn new(source: &str, output: Type, plan: Step, locals: u16) -> Program {
        Program { source: source.into(), output, plan, locals }
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The type of its value.
    pub fn output(&self) -> &Type {
        &self.output
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({:?}: {})", self.source, self.output)
    }
}

/// A named expression that others use as `variables.NAME`; evaluated when first used.
#[derive(Clone)]
pub(crate) struct Variable {
    pub name: String,
    pub ty: Type,
    /// The expression, or why it does not compile: an expression that uses it then has an error.
    pub program: Arc<Result<Program, String>>,
}
