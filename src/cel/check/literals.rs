//! What Kubernetes validates of literals once the types agree: instants, lengths of time, patterns, and
//! that lists and maps are of one type throughout.

use crate::cel::ast::{Expr, ExprKind, Literal};
use crate::cel::check::{Checked, templates};
use crate::cel::diagnostic::Diagnostic;
use crate::cel::env::Env;
use crate::cel::regexp::Pattern;
use crate::cel::time::{Duration, Timestamp};
use crate::cel::types::Type;
use crate::cel::version::Version;

/// Patterns that were compiled to see whether they are any, each with its text.
pub(crate) type Patterns = Vec<(String, Pattern)>;

/// Everything that is wrong with the literals of a tree, and the patterns among them.
pub(super) fn validate(env: &Env, expr: &Expr, checked: &Checked) -> (Vec<Diagnostic>, Patterns) {
    let literals = env.version() >= Version::v1(29);
    let mut validator = Validator { checked, literals, errors: Vec::new(), patterns: Vec::new() };
    validator.visit(expr, false);
    (validator.errors, validator.patterns)
}

struct Validator<'c> {
    checked: &'c Checked,
    /// Whether this release looks into literals.
    literals: bool,
    errors: Vec<Diagnostic>,
    patterns: Patterns,
}

impl Validator<'_> {
    /// Visits a node; mixed literals are allowed within the arguments of `format`.
    fn visit(&mut self, expr: &Expr, mixed: bool) {
        match &expr.kind {
            ExprKind::Call { target, function, args } if self.literals => {
                self.call(function, args);
                if let Some(template) = target.as_deref().filter(|_| function == "format")
                    && let Some(wrong) = templates::validate(self.checked, expr, template, args)
                {
                    self.report(wrong.0, wrong.1, None);
                }
            }
            ExprKind::List(elements) if !mixed => {
                self.homogeneous(elements.iter().map(|e| (&e.value, e.optional)));
            }
            ExprKind::Map(entries) if !mixed => {
                self.homogeneous(entries.iter().map(|e| (&e.key, false)));
                self.homogeneous(entries.iter().map(|e| (&e.value, e.optional)));
            }
            _ => {}
        }
        let formats = matches!(&expr.kind, ExprKind::Call { function, .. } if function == "format");
        for child in expr.kind.children() {
            self.visit(child, mixed || formats);
        }
    }

    fn call(&mut self, function: &str, args: &[Expr]) {
        let Some(arg) = args.first() else { return };
        let ExprKind::Literal(literal) = &arg.kind else { return };
        let valid = match (function, literal) {
            ("duration", Literal::String(text)) => Duration::parse(text).is_some(),
            ("timestamp", Literal::String(text)) => Timestamp::parse(text).is_some(),
            ("timestamp", Literal::Int(seconds)) => Timestamp::new(*seconds, 0).is_some(),
            ("matches", Literal::String(pattern)) => {
                let compiled = Pattern::compile(pattern);
                compiled.is_ok_and(|compiled| {
                    self.patterns.push((pattern.clone(), compiled));
                    true
                })
            }
            _ => return,
        };
        if !valid {
            let hint = match function {
                "duration" => "a length of time is written as in `1h30m` or `45s`",
                "timestamp" => "an instant is written as in `2006-01-02T15:04:05Z`",
                _ => "patterns are RE2: no look-around and no back-references",
            };
            self.report(arg, format!("invalid {function} argument"), Some(hint));
        }
    }

    fn homogeneous<'e>(&mut self, items: impl Iterator<Item = (&'e Expr, bool)>) {
        let mut first: Option<&Type> = None;
        for (item, optional) in items {
            let ty = self.checked.ty(item);
            let ty = if optional { ty.unwrap_optional().0 } else { ty };
            match first {
                None => first = Some(ty),
                Some(first) if first == ty => {}
                Some(first) => {
                    let message =
                        format!("expected type '{}' but found '{}'", first.brief(), ty.brief());
                    let hint = "the elements of a literal have to be of one type";
                    self.report(item, message, Some(hint));
                    return;
                }
            }
        }
    }

    fn report(&mut self, expr: &Expr, message: String, hint: Option<&str>) {
        let hint = hint.map(str::to_owned);
        self.errors.push(Diagnostic { span: expr.span, at: expr.at, message, hint });
    }
}
