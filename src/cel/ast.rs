//! The syntax tree: what was written, with its place, before anybody asked whether it makes sense.

use crate::cel::diagnostic::Span;

/// Numbers the nodes of one tree from 0, so that what is learnt of a node lies in a plain vector.
pub(crate) type ExprId = u32;

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub id: ExprId,
    /// All of it.
    pub span: Span,
    /// The byte that Kubernetes points at: an operator, an opening bracket, or the start.
    pub at: u32,
    pub kind: ExprKind,
}

#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    Literal(Literal),
    /// A name, with a leading dot where it was written with one.
    Ident(String),
    Select {
        operand: Box<Expr>,
        field: String,
        /// Written as `has(operand.field)`.
        test: bool,
    },
    /// `operand.?field`
    OptSelect {
        operand: Box<Expr>,
        field: String,
    },
    Call {
        target: Option<Box<Expr>>,
        function: String,
        args: Vec<Expr>,
    },
    /// `a && b && ..`: flat, because the terms are evaluated from left to right however they
    /// are grouped.
    And(Vec<Expr>),
    /// `a || b || ..`
    Or(Vec<Expr>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    Struct {
        name: String,
        fields: Vec<Field>,
    },
    Fold(Box<Fold>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
}

/// An element of a list; `?element` is left out when the optional is empty.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub value: Expr,
    pub optional: bool,
}

/// An entry of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

/// A field of a struct that is being made.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub name: String,
    /// The colon.
    pub at: u32,
    pub value: Expr,
    pub optional: bool,
}

/// A macro that goes over a range, kept as what it is: the checker, the planner and the cost know
/// each of them, so that no accumulator has to be spelt out and evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub kind: FoldKind,
    pub range: Expr,
    /// The element of a list or the key of a map; the index or the key where `var2` is there.
    pub var: String,
    /// The element of a list or the value of a map, in the forms with two variables.
    pub var2: Option<String>,
    /// The predicate of `map` and of the transformations, which leaves elements out.
    pub filter: Option<Expr>,
    /// The predicate of a quantifier or of `filter`, or what an element becomes.
    pub body: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    /// `optional.optMap(v, body)`
    OptMap,
    /// `optional.optFlatMap(v, body)`
    OptFlatMap,
    /// `list.transformList(i, v, [filter,] body)`
    TransformList,
    /// `range.transformMap(k, v, [filter,] body)`
    TransformMap,
    /// `range.transformMapEntry(k, v, [filter,] {key: value})`
    TransformMapEntry,
    /// `list.sortBy(v, key)`
    SortBy,
}

impl ExprKind {
    /// Every node directly below this one.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            ExprKind::Literal(_) | ExprKind::Ident(_) => Vec::new(),
            ExprKind::Select { operand, .. } | ExprKind::OptSelect { operand, .. } => vec![operand],
            ExprKind::Call { target, args, .. } => {
                target.as_deref().into_iter().chain(args).collect()
            }
            ExprKind::And(terms) | ExprKind::Or(terms) => terms.iter().collect(),
            ExprKind::List(elements) => elements.iter().map(|element| &element.value).collect(),
            ExprKind::Map(entries) => {
                entries.iter().flat_map(|entry| [&entry.key, &entry.value]).collect()
            }
            ExprKind::Struct { fields, .. } => fields.iter().map(|field| &field.value).collect(),
            ExprKind::Fold(fold) => {
                [&fold.range, &fold.body].into_iter().chain(&fold.filter).collect()
            }
        }
    }
}
