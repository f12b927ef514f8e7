//! The types of the macros that go over a range.

use crate::cel::ast::{Expr, Fold, FoldKind};
use crate::cel::check::Checker;
use crate::cel::types::Type;

impl Checker<'_> {
    pub(super) fn fold(&mut self, expr: &Expr, fold: &Fold) -> Type {
        let range = self.check(&fold.range);
        let range = self.bindings.substitute(&range, false);
        if matches!(fold.kind, FoldKind::OptMap | FoldKind::OptFlatMap) {
            return self.optional_fold(expr, fold, &range);
        }
        let (var, var2) = self.iteration_types(fold, &range);
        self.scopes.push((fold.var.clone(), var));
        if let Some(name) = &fold.var2 {
            self.scopes.push((name.clone(), var2));
        }
        self.note_locals();
        if let Some(filter) = &fold.filter {
            let ty = self.check(filter);
            self.condition(filter, &ty);
        }
        let body = self.check(&fold.body);
        let result = self.fold_result(expr, fold, &range, body);
        let keep = self.scopes.len() - 1 - usize::from(fold.var2.is_some());
        self.scopes.truncate(keep);
        self.bindings.substitute(&result, false)
    }

    fn note_locals(&mut self) {
        self.locals = self.locals.max(self.scopes.len() as u16);
    }

    /// The types of the one or two variables.
    fn iteration_types(&mut self, fold: &Fold, range: &Type) -> (Type, Type) {
        let two = fold.var2.is_some();
        match range {
            Type::List(element) if two => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Error),
            Type::Map(entry) => (entry.0.clone(), entry.1.clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.bindings.assignable(&Type::Dyn, range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{}' cannot be range of a comprehension (must be list, \
                     map, or dynamic)",
                    other.brief()
                );
                self.error(&fold.range, message);
                (Type::Error, Type::Error)
            }
        }
    }

    fn fold_result(&mut self, expr: &Expr, fold: &Fold, range: &Type, body: Type) -> Type {
        match fold.kind {
            FoldKind::All | FoldKind::Exists => {
                if !self.bindings.assignable(&body, &Type::Bool) {
                    self.mismatch(&fold.body, &Type::Bool, &body);
                }
                Type::Bool
            }
            FoldKind::ExistsOne => {
                self.condition(&fold.body, &body);
                Type::Bool
            }
            FoldKind::Filter => {
                self.condition(&fold.body, &body);
                let (var, var2) = self.iteration_types(fold, range);
                Type::list(if fold.var2.is_some() { var2 } else { var })
            }
            FoldKind::Map | FoldKind::TransformList => Type::list(body),
            FoldKind::TransformMap => Type::map(self.key_type(fold, range), body),
            FoldKind::TransformMapEntry => self.entry_type(fold, &body),
            FoldKind::SortBy => self.sorted(expr, fold, range, &body),
            FoldKind::OptMap | FoldKind::OptFlatMap => Type::Error,
        }
    }

    /// What decides has to be a truth value.
    fn condition(&mut self, expr: &Expr, ty: &Type) {
        if !self.bindings.assignable(ty, &Type::Bool) {
            self.mismatch(expr, &Type::Bool, ty);
        }
    }

    fn key_type(&mut self, fold: &Fold, range: &Type) -> Type {
        self.iteration_types(fold, range).0
    }

    fn entry_type(&mut self, fold: &Fold, body: &Type) -> Type {
        let map = Type::map(self.unknown(), self.unknown());
        if !self.bindings.assignable(&map, body) {
            self.mismatch(&fold.body, &map, body);
        }
        self.bindings.substitute(&map, false)
    }

    fn sorted(&mut self, expr: &Expr, fold: &Fold, range: &Type, key: &Type) -> Type {
        if !matches!(range, Type::List(_) | Type::Dyn | Type::Error | Type::Param(_)) {
            let message = format!(
                "found no matching overload for 'sortBy' applied to '{}.({})'",
                range.brief(),
                key.brief()
            );
            return self.error(expr, message);
        }
        let sortable = [
            Type::Int,
            Type::Uint,
            Type::Double,
            Type::Bool,
            Type::Duration,
            Type::Timestamp,
            Type::String,
            Type::Bytes,
        ];
        let fitting = sortable.iter().filter(|wanted| self.bindings.assignable(key, wanted));
        let fitting = fitting.count();
        if fitting == 0 {
            let message = format!("a list cannot be sorted by keys of type '{}'", key.brief());
            self.error(&fold.body, message);
        }
        match range {
            Type::List(element) => Type::List(element.clone()),
            // Each of several overloads gives a list of a type of its own, and those are not the same.
            _ if fitting > 1 => Type::Dyn,
            _ => Type::list(self.unknown()),
        }
    }

    fn optional_fold(&mut self, expr: &Expr, fold: &Fold, range: &Type) -> Type {
        let value = self.unknown();
        let wanted = Type::optional(value.clone());
        if !self.bindings.assignable(range, &wanted) {
            let message = format!(
                "found no matching overload for 'hasValue' applied to '{}.()'",
                range.brief()
            );
            return self.error(expr, message);
        }
        let value = self.bindings.substitute(&value, false);
        self.scopes.push((fold.var.clone(), value));
        self.note_locals();
        let body = self.check(&fold.body);
        self.scopes.pop();
        if fold.kind == FoldKind::OptMap {
            return Type::optional(body);
        }
        let result = Type::optional(self.unknown());
        if !self.bindings.assignable(&body, &result) {
            self.mismatch(&fold.body, &result, &body);
        }
        self.bindings.substitute(&body, false)
    }
}
