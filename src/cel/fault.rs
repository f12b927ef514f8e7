//! Why an evaluation has no value, with the place in the source. Nothing here decides what a policy
//! does about it.

use std::fmt;

use crate::cel::answers::Check;
use crate::cel::diagnostic::Span;
use crate::cel::value::{Arena, Exhausted, Value};

/// A value, or the reason why there is none.
pub(crate) type Outcome<'a> = Result<Value<'a>, &'a Fault<'a>>;

/// Why there is no value. Faults lie in the arena: most are absorbed by `||`, `&&` and `all`, and cost
/// no more than a few words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault<'a> {
    pub kind: FaultKind<'a>,
    /// Where; nothing until the step that was evaluated is known.
    pub span: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum FaultKind<'a> {
    NoSuchKey(Value<'a>),
    IndexOutOfBounds(Value<'a>),
    NoSuchOverload,
    /// In the words of the function that failed.
    Message(&'a str),
    /// The limit of one expression is used up. Nothing absorbs it.
    CostExceeded,
    /// The arena is full. Nothing absorbs it.
    MemoryExceeded,
    /// What makes cel-go give up. Nothing absorbs it.
    Internal(&'a str),
    /// An answer is missing. Nothing absorbs it: how the evaluation goes on, and what it costs,
    /// depends on the answer.
    Need(&'a Check),
    /// A variable of the policy has no value.
    Variable {
        name: &'a str,
        cause: &'a Fault<'a>,
    },
    /// A variable of the policy does not compile.
    BrokenVariable {
        name: &'a str,
        cause: &'a str,
    },
}

impl<'a> Fault<'a> {
    /// A fault whose place is still to be said.
    pub fn new(arena: &'a Arena, kind: FaultKind<'a>) -> &'a Fault<'a> {
        arena.keep(Fault { kind, span: None })
    }

    /// A fault in words.
    pub fn message(arena: &'a Arena, message: &'static str) -> &'a Fault<'a> {
        Fault::new(arena, FaultKind::Message(message))
    }

    /// A fault in words that were put together.
    pub fn text(arena: &'a Arena, message: impl fmt::Display) -> &'a Fault<'a> {
        let mut text = arena.writer();
        match fmt::Write::write_fmt(&mut text, format_args!("{message}")) {
            Ok(()) => Fault::new(arena, FaultKind::Message(text.finish())),
            Err(fmt::Error) => Fault::new(arena, FaultKind::MemoryExceeded),
        }
    }

    /// Types that the function does not take.
    pub fn no_overload(arena: &'a Arena) -> &'a Fault<'a> {
        Fault::new(arena, FaultKind::NoSuchOverload)
    }

    /// The fault with its place, unless it has one.
    pub fn at(&'a self, span: Span, arena: &'a Arena) -> &'a Fault<'a> {
        if self.span.is_some() { self } else { arena.keep(Fault { span: Some(span), ..*self }) }
    }

    /// Whether the evaluation ends here, whatever surrounds the expression that failed.
    pub fn is_final(&self) -> bool {
        match self.kind {
            FaultKind::CostExceeded
            | FaultKind::MemoryExceeded
            | FaultKind::Internal(_)
            | FaultKind::Need(_) => true,
            FaultKind::Variable { cause, .. } => cause.need().is_some(),
            _ => false,
        }
    }

    /// The answer that was missing, if that is what is wrong.
    pub fn need(&self) -> Option<&'a Check> {
        match self.kind {
            FaultKind::Need(check) => Some(check),
            FaultKind::Variable { cause, .. } => cause.need(),
            _ => None,
        }
    }
}

impl Exhausted {
    /// The fault that a full arena is.
    pub(crate) fn fault(self, arena: &Arena) -> &Fault<'_> {
        let Exhausted = self;
        Fault::new(arena, FaultKind::MemoryExceeded)
    }
}

/// Kubernetes' words.
impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::NoSuchKey(key) => write!(f, "no such key: {key}"),
            FaultKind::IndexOutOfBounds(index) => write!(f, "index out of bounds: {index}"),
            FaultKind::NoSuchOverload => f.write_str("no such overload"),
            FaultKind::Message(message) => f.write_str(message),
            FaultKind::CostExceeded => {
                f.write_str("operation cancelled: actual cost limit exceeded")
            }
            FaultKind::Internal(what) => write!(f, "internal error: {what}"),
            FaultKind::MemoryExceeded => f.write_str("operation cancelled: memory limit exceeded"),
            FaultKind::Need(check) => write!(f, "authorization of `{check}` is not known"),
            FaultKind::Variable { name, cause } => {
                write!(f, "composited variable {name:?} fails to evaluate: {cause}")
            }
            FaultKind::BrokenVariable { name, cause } => {
                write!(f, "composited variable {name:?} fails to compile: {cause}")
            }
        }
    }
}
