//! Whether the type of an expression may stand where it is written.

use crate::cel::ast::Expr;
use crate::cel::diagnostic::Diagnostic;
use crate::cel::types::Type;

/// The types that are allowed; any, if there are none.
pub(crate) struct Expected<'t>(pub &'t [Type]);

impl Expected<'_> {
    pub fn accepts(&self, output: &Type) -> bool {
        self.0.is_empty() || self.0.iter().any(|allowed| same(allowed, output))
    }

    pub fn refuse(&self, expr: &Expr, output: &Type) -> Diagnostic {
        let message = match self.0 {
            [one] => format!("must evaluate to {one} but got {output}"),
            many => {
                let names: Vec<_> = many.iter().map(ToString::to_string).collect();
                format!("must evaluate to one of [{}] but got {output}", names.join(" "))
            }
        };
        let hint = match (self.0, output) {
            ([Type::Bool], Type::Dyn) => {
                Some("compare it, as in `.. == true`, or convert it with `bool(..)`".to_owned())
            }
            ([Type::String], Type::Dyn) => Some("convert it with `string(..)`".to_owned()),
            _ => None,
        };
        Diagnostic { span: expr.span, at: expr.at, message, hint }
    }
}

/// Whether two types are the same, inside too.
fn same(one: &Type, two: &Type) -> bool {
    match (one, two) {
        (Type::Type(_), Type::Type(_)) => true,
        _ => one == two,
    }
}
