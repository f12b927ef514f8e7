//! Calls that are not calls: `has`, the quantifiers, and the rest of the macros, each with the release
//! that brought it. Nothing here knows types.

use crate::cel::ast::{Expr, ExprKind, Fold, FoldKind};
use crate::cel::diagnostic::{Diagnostic, Span};
use crate::cel::parser::{Parser, plain};
use crate::cel::version::Version;

/// A call as it was written.
pub(crate) struct Call {
    pub span: Span,
    pub at: u32,
    pub function: String,
    pub args: Vec<Expr>,
}

/// What became of a call.
pub(crate) enum Expanded {
    Macro(Expr),
    /// No macro has this name and this many arguments.
    Not(Option<Expr>, Call),
}

/// A macro of a receiver: `range.all(x, ..)`.
struct Macro {
    name: &'static str,
    /// How many names come first in the arguments.
    vars: usize,
    /// How many arguments there are; one more has a filter before the body.
    args: usize,
    kind: FoldKind,
    since: Version,
}

const fn fold(name: &'static str, vars: usize, args: usize, kind: FoldKind, minor: u8) -> Macro {
    Macro { name, vars, args, kind, since: Version::v1(minor) }
}

const FOLDS: [Macro; 19] = [
    fold("all", 1, 2, FoldKind::All, 22),
    fold("exists", 1, 2, FoldKind::Exists, 22),
    fold("exists_one", 1, 2, FoldKind::ExistsOne, 22),
    fold("map", 1, 2, FoldKind::Map, 22),
    fold("map", 1, 3, FoldKind::Map, 22),
    fold("filter", 1, 2, FoldKind::Filter, 22),
    fold("optMap", 1, 2, FoldKind::OptMap, 28),
    fold("optFlatMap", 1, 2, FoldKind::OptFlatMap, 28),
    fold("all", 2, 3, FoldKind::All, 32),
    fold("exists", 2, 3, FoldKind::Exists, 32),
    fold("exists_one", 2, 3, FoldKind::ExistsOne, 32),
    fold("existsOne", 2, 3, FoldKind::ExistsOne, 32),
    fold("transformList", 2, 3, FoldKind::TransformList, 32),
    fold("transformList", 2, 4, FoldKind::TransformList, 32),
    fold("transformMap", 2, 3, FoldKind::TransformMap, 32),
    fold("transformMap", 2, 4, FoldKind::TransformMap, 32),
    fold("transformMapEntry", 2, 3, FoldKind::TransformMapEntry, 32),
    fold("transformMapEntry", 2, 4, FoldKind::TransformMapEntry, 32),
    fold("sortBy", 1, 2, FoldKind::SortBy, 34),
];

/// Expands `has(a.b)`.
pub(crate) fn expand_global(
    parser: &mut Parser<'_>,
    mut call: Call,
) -> Result<Expanded, Diagnostic> {
    if call.function != "has" || call.args.len() != 1 {
        return Ok(Expanded::Not(None, call));
    }
    match call.args.pop() {
        Some(Expr { kind: ExprKind::Select { operand, field, test: false }, .. }) => {
            let kind = ExprKind::Select { operand, field, test: true };
            Ok(Expanded::Macro(parser.node(call.span, call.at, kind)))
        }
        arg => {
            let (span, at) = arg.map_or((call.span, call.at), |arg| (arg.span, arg.at));
            let mut error = plain(span, "invalid argument to has() macro");
            error.at = at;
            error.hint = Some("`has` takes a field, as in `has(object.spec)`".to_owned());
            Err(error)
        }
    }
}

/// Expands `range.all(x, ..)` and its like.
pub(crate) fn expand_member(
    parser: &mut Parser<'_>,
    target: Expr,
    mut call: Call,
) -> Result<Expanded, Diagnostic> {
    let known = FOLDS.iter().find(|known| {
        known.name == call.function
            && known.args == call.args.len()
            && known.since <= parser.version
    });
    let Some(known) = known else {
        return Ok(Expanded::Not(Some(target), call));
    };
    let Some(body) = call.args.pop() else {
        return Ok(Expanded::Not(Some(target), call));
    };
    let filter = if call.args.len() > known.vars { call.args.pop() } else { None };
    let mut names = Vec::with_capacity(known.vars);
    for arg in &call.args {
        names.push(variable(arg, known.kind)?);
    }
    let mut names = names.into_iter();
    let var = names.next().unwrap_or_default();
    let var2 = names.next();
    if var2.as_ref() == Some(&var) {
        let span = call.args.last().map_or(call.span, |arg| arg.span);
        return Err(plain(span, format!("duplicate variable name: {var}")));
    }
    if known.kind == FoldKind::TransformMapEntry {
        entry(&body)?;
    }
    let fold = Fold { kind: known.kind, range: target, var, var2, filter, body };
    Ok(Expanded::Macro(parser.node(call.span, call.at, ExprKind::Fold(Box::new(fold)))))
}

fn variable(arg: &Expr, kind: FoldKind) -> Result<String, Diagnostic> {
    match &arg.kind {
        ExprKind::Ident(name) if name == "__result__" => {
            Err(plain(arg.span, "iteration variable overwrites accumulator variable"))
        }
        ExprKind::Ident(name) => Ok(name.clone()),
        _ => Err(plain(
            arg.span,
            match kind {
                FoldKind::Map | FoldKind::Filter => "argument is not an identifier",
                FoldKind::OptMap => "optMap() variable name must be a simple identifier",
                FoldKind::OptFlatMap => "optFlatMap() variable name must be a simple identifier",
                _ => "argument must be a simple name",
            },
        )),
    }
}

/// The body of `transformMapEntry` has to be able to be a map.
fn entry(body: &Expr) -> Result<(), Diagnostic> {
    match &body.kind {
        ExprKind::Literal(_) | ExprKind::List(_) => {
            Err(plain(body.span, "transformMapEntry takes a map of one entry"))
        }
        _ => Ok(()),
    }
}
