//! Whether the arguments of `format` fit its template, where both are literals.

use crate::cel::ast::{Expr, ExprKind, Literal};
use crate::cel::check::Checked;
use crate::cel::template::{Piece, Template, Verb};
use crate::cel::types::Type;

/// What is wrong with a call of `format`, and where.
pub(super) fn validate<'e>(
    checked: &Checked,
    call: &'e Expr,
    target: &Expr,
    args: &'e [Expr],
) -> Option<(&'e Expr, String)> {
    let ExprKind::Literal(Literal::String(template)) = &target.kind else { return None };
    let [Expr { kind: ExprKind::List(elements), .. }] = args else { return None };
    let mut template = Template::new(template);
    let mut used = 0;
    while let Some(piece) = template.piece() {
        let Piece::Clause { last } = piece else { continue };
        if last {
            return Some((call, "unexpected end of string".to_owned()));
        }
        let Some(element) = elements.get(used) else {
            return Some((call, format!("index {used} out of range")));
        };
        used += 1;
        let verb = match template.clause() {
            Ok(clause) => clause.verb,
            Err(error) => return Some((call, error.to_string())),
        };
        if let Some(wrong) = refused(checked, verb, &element.value) {
            let name = checked.ty(wrong).name();
            let message = format!("error during formatting: {} {name}", verb.refusal());
            return Some((wrong, message));
        }
    }
    let given = elements.len();
    (given > used).then(|| {
        let counts = format!("(expected {used}, got {given})");
        (call, format!("too many arguments supplied to string.format {counts}"))
    })
}

/// The part of an argument that the clause does not take.
fn refused<'e>(checked: &Checked, verb: Verb, arg: &'e Expr) -> Option<&'e Expr> {
    if !takes(verb, checked.ty(arg)) {
        return Some(arg);
    }
    let inner = |part: &'e Expr| refused(checked, verb, part);
    match &arg.kind {
        _ if verb != Verb::Text => None,
        ExprKind::List(elements) => elements.iter().find_map(|element| inner(&element.value)),
        ExprKind::Map(entries) => {
            entries.iter().find_map(|entry| inner(&entry.key).or_else(|| inner(&entry.value)))
        }
        _ => None,
    }
}

fn takes(verb: Verb, ty: &Type) -> bool {
    match (verb, ty) {
        (_, Type::Dyn) => true,
        (Verb::Text, ty) => {
            !matches!(ty, Type::Optional(_) | Type::Struct(_) | Type::Opaque(_) | Type::Error)
        }
        // Kubernetes takes texts here for the names of what is no number.
        (Verb::Fixed | Verb::Scientific, ty) => matches!(ty, Type::Double | Type::String),
        (_, Type::Int | Type::Uint) => true,
        (Verb::Binary, ty) => *ty == Type::Bool,
        (Verb::Hex { .. }, ty) => matches!(ty, Type::String | Type::Bytes),
        _ => false,
    }
}
