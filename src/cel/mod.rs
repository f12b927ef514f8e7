//! The expression language: text in, value or diagnostic out. Nothing here knows of Kubernetes objects,
//! time, threads or the network.
//!
//! # Flow
//! text -> [`lexer`] -> [`parser`] and [`macros`] (a tree with places) -> [`check`] (types, names, overloads)
//! -> [`planner`] (steps: paths folded, constants computed) -> [`Program`]; then [`Evaluation`] runs programs
//! over borrowed JSON.
//!
//! # Guarantees
//! - Acceptance, value, error and cost are Kubernetes'; `docs/differences.md` lists what is not.
//! - Any text compiles or is refused with a place; any program ends within its cost limit.
//! - Evaluation allocates only what the expression makes, in the arena of the request.
//!
//! # Errors
//! [`CompileError`] for what is refused, [`EvalError`] for what has no value. Facts that nobody gathered are an
//! error with [`EvalError::need`].

mod answers;
mod ast;
mod authorization;
mod check;
mod compile;
mod cost;
mod decimal;
mod diagnostic;
mod env;
mod escape;
mod eval;
mod evaluation;
mod fault;
mod fold;
mod formats;
mod lexer;
mod library;
mod macros;
mod names;
mod net;
mod parser;
mod plan;
mod planner;
mod program;
mod quantity;
mod quote;
mod regexp;
mod semver;
mod template;
mod time;
mod types;
mod url;
mod value;
mod version;

pub use crate::cel::answers::{Answer, Answers, Check, CheckTarget, NoAnswers};
pub use crate::cel::authorization::{Authorizer, Decision, GroupCheck, PathCheck, ResourceCheck};
pub use crate::cel::cost::EXPRESSION_COST_MAX;
pub use crate::cel::diagnostic::{CompileError, Diagnostic, Span, Stage};
pub(crate) use crate::cel::diagnostic::{nearest, render};
pub use crate::cel::env::Env;
pub use crate::cel::evaluation::{EvalError, Evaluation, Run, VARIABLE_DEPTH_MAX};
pub use crate::cel::formats::NamedFormat;
pub(crate) use crate::cel::library::double_text;
pub use crate::cel::library::{Function, LIBRARIES, Library, Overload};
pub use crate::cel::names::Reading;
pub use crate::cel::net::Cidr;
pub(crate) use crate::cel::parser::is_reserved;
pub use crate::cel::program::Program;
pub use crate::cel::quantity::Quantity;
pub(crate) use crate::cel::quote::Quoted;
pub use crate::cel::semver::Semver;
pub use crate::cel::time::{Duration, Timestamp};
pub use crate::cel::types::{Fields, StructType, Type};
pub use crate::cel::url::Url;
pub(crate) use crate::cel::value::Origin;
pub use crate::cel::value::{Arena, List, Literal, Map, NotJson, Opaque, Struct, Value};
pub use crate::cel::version::Version;

#[cfg(test)]
pub(crate) mod test_support;
