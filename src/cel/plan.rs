//! What is evaluated: a tree of steps in which every name is a place, every path is one step, and what
//! could be computed beforehand is a constant. Nothing here knows how steps are made or run.

use crate::cel::ast::FoldKind;
use crate::cel::cost::Charge;
use crate::cel::diagnostic::Span;
use crate::cel::library::Function;
use crate::cel::regexp::Pattern;
use crate::cel::types::Type;
use crate::cel::value::Constant;

/// A step of an evaluation.
pub(crate) enum Step {
    Constant(Constant),
    Path(Box<Path>),
    /// Whether the last hop of a path leads anywhere.
    Has(Box<Path>),
    /// The same, but of a path with `?` in it what the last hop leads to.
    Found(Box<Path>),
    Call(Box<Call>),
    Equal(Box<Pair>),
    NotEqual(Box<Pair>),
    Not(Box<(Step, Span)>),
    And(Box<[Step]>),
    Or(Box<[Step]>),
    Choose(Box<Choose>),
    /// `optional.or(other)`: the other is evaluated only if it counts.
    OptionalOr(Box<Pair>),
    /// `optional.orValue(other)`
    OrValue(Box<Pair>),
    InSet(Box<(Step, Set)>),
    Matches(Box<Matches>),
    List(Box<MakeList>),
    Map(Box<MakeMap>),
    Struct(Box<MakeStruct>),
    Fold(Box<FoldStep>),
}

/// A value and the way from it: `object.spec.containers[0]`.
pub(crate) struct Path {
    pub root: Root,
    /// What naming the root costs: nothing where the path is a branch of a choice, or an index.
    pub base: u64,
    pub hops: Box<[Hop]>,
    pub span: Span,
}

/// Where a path begins.
pub(crate) enum Root {
    /// A declared variable.
    Slot(u16),
    /// A variable of a comprehension.
    Local(u16),
    /// The variable of `optMap`: the first use pays for the optional once more.
    Opened(u16),
    /// `variables.NAME`.
    Variable(u16),
    /// `variables.?NAME`.
    OptionalVariable(u16),
    /// Whatever an expression gives.
    Step(Step),
}

/// One step on a way.
pub(crate) struct Hop {
    pub to: To,
    /// Written with `?`: what is not there is no error.
    pub optional: bool,
    /// Whether it leads from an object whose type the checker knew.
    pub declared: bool,
    pub span: Span,
}

pub(crate) enum To {
    Field(Box<str>),
    Key(Constant),
    Computed(Step),
}

pub(crate) struct Call {
    pub function: &'static Function,
    pub args: Box<[Step]>,
    pub charge: Charge,
    /// The pattern that the second argument is, where it is a constant.
    pub pattern: Option<Box<Pattern>>,
    /// Whether arguments are evaluated only up to the first that fails.
    pub in_order: bool,
    /// What cel-go gives up without, because it looks for it to find what the call costs.
    pub expects: Option<Expects>,
    /// What the arguments have to be, where the checker found the one overload that is called.
    pub guard: Option<&'static [Type]>,
    pub span: Span,
}

/// An argument without which what a call costs can't be found.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Expects {
    /// The first one, whose elements are compared, as a list.
    List,
    /// The second one, how deep to go, as an integer.
    Depth,
}

pub(crate) struct Pair {
    pub left: Step,
    pub right: Step,
}

pub(crate) struct Choose {
    pub condition: Step,
    pub truthy: Step,
    pub falsy: Step,
    pub span: Span,
}

/// The constants of `x in [..]`.
pub(crate) enum Set {
    /// In order.
    Strings(Box<[Box<str>]>),
    Values(Box<[Constant]>),
}

/// `text.matches('pattern')`
pub(crate) struct Matches {
    pub text: Step,
    pub pattern: Pattern,
    pub span: Span,
}

pub(crate) struct MakeList {
    /// Each element, and whether it is left out when it is an empty optional.
    pub elements: Box<[(Step, bool)]>,
    pub span: Span,
}

pub(crate) struct MakeMap {
    pub entries: Box<[MakeEntry]>,
    pub span: Span,
}

pub(crate) struct MakeEntry {
    pub key: Step,
    /// Whether the key is the very value that a name stands for, and not converted anew for this use.
    pub is_named: bool,
    pub value: Step,
    /// Whether it is left out when the value is an empty optional.
    pub optional: bool,
}

pub(crate) struct MakeStruct {
    pub name: Box<str>,
    pub fields: Box<[(Box<str>, Step, bool)]>,
    pub span: Span,
}

/// A macro that goes over a range.
pub(crate) struct FoldStep {
    pub kind: FoldKind,
    pub range: Step,
    /// Where the first variable lies; the second one lies after it.
    pub slot: u16,
    pub two: bool,
    pub filter: Option<Step>,
    /// What all entries of a map that is made have as their key, if it is not that of the item.
    pub key: Option<Constant>,
    /// Whether the body is of a type that has an order.
    pub ordered: bool,
    pub body: Step,
    pub span: Span,
}
