//! The types of lists, maps and structs that an expression makes. Elements of several types make `dyn`;
//! whether that is allowed is decided when the whole tree is known.

use crate::cel::ast::{Element, Entry, Expr, Field};
use crate::cel::check::unify::most_general;
use crate::cel::check::{Checker, Reference};
use crate::cel::diagnostic::{Diagnostic, nearest};
use crate::cel::types::Type;

impl Checker<'_> {
    pub(super) fn list(&mut self, elements: &[Element]) -> Type {
        let mut joined = None;
        for element in elements {
            let ty = self.item(&element.value, element.optional);
            joined = Some(self.join(joined, ty));
        }
        Type::list(joined.unwrap_or_else(|| self.unknown()))
    }

    pub(super) fn map(&mut self, entries: &[Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            let key = self.check(&entry.key);
            keys = Some(self.join(keys, key));
            let value = self.item(&entry.value, entry.optional);
            values = Some(self.join(values, value));
        }
        let key = keys.unwrap_or_else(|| self.unknown());
        let value = values.unwrap_or_else(|| self.unknown());
        Type::map(key, value)
    }

    pub(super) fn make_struct(&mut self, expr: &Expr, name: &str, fields: &[Field]) -> Type {
        let name = name.trim_start_matches('.');
        let Some(ty) = self.env.type_named(name) else {
            return self.undeclared(expr, name, false);
        };
        let Type::Struct(object) = &ty else {
            return self.error(expr, format!("'{}' is not a message type", ty.name()));
        };
        self.refer(expr, Reference::Type(ty.clone()));
        for field in fields {
            let given = self.item(&field.value, field.optional);
            let Some(wanted) = object.field(&field.name) else {
                let near = nearest(&field.name, object.field_names());
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                let message = format!("undefined field '{}'", field.name);
                self.errors.push(Diagnostic {
                    span: field.value.span,
                    at: field.at,
                    message,
                    hint,
                });
                continue;
            };
            if !self.bindings.assignable(&wanted, &given) {
                let message = format!(
                    "expected type of field '{}' is '{}' but provided type is '{}'",
                    field.name,
                    wanted.brief(),
                    given.brief()
                );
                let span = field.value.span;
                self.errors.push(Diagnostic { span, at: field.at, message, hint: None });
            }
        }
        ty
    }

    /// The type of an item, which is inside the optional if it is written with `?`.
    fn item(&mut self, expr: &Expr, optional: bool) -> Type {
        let ty = self.check(expr);
        if !optional {
            return ty;
        }
        let (inner, is_optional) = ty.unwrap_optional();
        if !is_optional && !inner.is_dyn_or_error() {
            self.mismatch(expr, &Type::optional(inner.clone()), inner);
        }
        inner.clone()
    }

    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        let Some(previous) = previous else { return current };
        if self.bindings.assignable(&previous, &current) {
            return most_general(&previous, &current);
        }
        Type::Dyn
    }

    /// A type that is not known yet.
    pub(super) fn unknown(&mut self) -> Type {
        Type::Param(self.bindings.fresh(1))
    }
}
