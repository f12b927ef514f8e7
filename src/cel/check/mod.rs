//! The type checker: what every name and call of a tree means, and of which type every node is. Its
//! answers are those of Kubernetes' environment, strictness included. Nothing here evaluates.

mod calls;
mod expected;
mod folds;
mod literals;
mod makers;
mod templates;
mod unify;

use std::sync::Arc;

use crate::cel::ast::{Expr, ExprId, ExprKind, Literal};
use crate::cel::check::literals::Patterns;
use crate::cel::check::unify::Bindings;
use crate::cel::diagnostic::{Diagnostic, nearest};
use crate::cel::env::{Env, VARIABLES};
use crate::cel::library::{self, Declared, Overload};
use crate::cel::types::Type;

pub(crate) use crate::cel::check::expected::Expected;

/// What was learnt of a tree.
pub(crate) struct Checked {
    /// The type of the whole.
    pub output: Type,
    /// The type of each node, by its id.
    pub types: Vec<Type>,
    /// What each node that names something names, by its id.
    pub references: Vec<Option<Reference>>,
    /// How many variables of comprehensions are alive at once.
    pub locals: u16,
    /// The patterns that were compiled, which takes longer than all the rest.
    pub patterns: Patterns,
}

/// What a node names.
#[derive(Clone)]
pub(crate) enum Reference {
    /// A declared variable, by its place.
    Root(u16),
    /// `variables.NAME`, by its place.
    Variable(u16),
    /// A variable of a comprehension, by its slot.
    Local(u16),
    /// A type.
    Type(Type),
    /// A function, and the overload if only one fits.
    Call { function: &'static Declared, overload: Option<&'static Overload> },
}

impl Checked {
    pub fn ty(&self, expr: &Expr) -> &Type {
        self.types.get(expr.id as usize).unwrap_or(&Type::Error)
    }

    pub fn reference(&self, expr: &Expr) -> Option<&Reference> {
        self.references.get(expr.id as usize).and_then(Option::as_ref)
    }
}

/// Checks a tree of `count` nodes.
pub(crate) fn check(env: &Env, expr: &Expr, count: ExprId) -> Result<Checked, Vec<Diagnostic>> {
    let mut checker = Checker {
        env,
        bindings: Bindings::default(),
        types: vec![Type::Error; count as usize],
        references: vec![None; count as usize],
        scopes: Vec::new(),
        locals: 0,
        errors: Vec::new(),
    };
    checker.check(expr);
    if !checker.errors.is_empty() {
        return Err(checker.errors);
    }
    let Checker { bindings, mut types, references, locals, .. } = checker;
    for ty in &mut types {
        *ty = bindings.substitute(ty, true);
    }
    let output = types.get(expr.id as usize).cloned().unwrap_or(Type::Error);
    let mut checked = Checked { output, types, references, locals, patterns: Patterns::new() };
    let (errors, patterns) = literals::validate(env, expr, &checked);
    checked.patterns = patterns;
    if errors.is_empty() { Ok(checked) } else { Err(errors) }
}

struct Checker<'e> {
    env: &'e Env,
    bindings: Bindings,
    types: Vec<Type>,
    references: Vec<Option<Reference>>,
    /// The variables of the comprehensions around the node, innermost last.
    scopes: Vec<(String, Type)>,
    locals: u16,
    errors: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn check(&mut self, expr: &Expr) -> Type {
        let ty = match &expr.kind {
            ExprKind::Literal(literal) => literal_type(literal),
            ExprKind::Ident(name) => self.ident(expr, name),
            ExprKind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            ExprKind::OptSelect { operand, field } => {
                if let Some(ty) = self.policy_variable(expr, operand, field) {
                    return self.note(expr, Type::optional(ty));
                }
                let operand = self.check(operand);
                let field = self.field_type(expr, &operand, field, true);
                self.bindings.substitute(&field, false)
            }
            ExprKind::Call { target, function, args } => {
                self.call(expr, target.as_deref(), function, args)
            }
            ExprKind::And(terms) | ExprKind::Or(terms) => self.logic(terms),
            ExprKind::List(elements) => self.list(elements),
            ExprKind::Map(entries) => self.map(entries),
            ExprKind::Struct { name, fields } => self.make_struct(expr, name, fields),
            ExprKind::Fold(fold) => self.fold(expr, fold),
        };
        self.note(expr, ty)
    }

    /// Remembers the type of a node.
    fn note(&mut self, expr: &Expr, ty: Type) -> Type {
        if let Some(slot) = self.types.get_mut(expr.id as usize) {
            *slot = ty.clone();
        }
        ty
    }

    fn refer(&mut self, expr: &Expr, reference: Reference) {
        if let Some(slot) = self.references.get_mut(expr.id as usize) {
            *slot = Some(reference);
        }
    }

    fn error(&mut self, expr: &Expr, message: String) -> Type {
        self.error_with(expr, message, None)
    }

    fn error_with(&mut self, expr: &Expr, message: String, hint: Option<String>) -> Type {
        self.errors.push(Diagnostic { span: expr.span, at: expr.at, message, hint });
        Type::Error
    }

    fn mismatch(&mut self, expr: &Expr, wanted: &Type, given: &Type) {
        let wanted = self.bindings.substitute(wanted, false);
        let given = self.bindings.substitute(given, false);
        let message = format!("expected type '{}' but found '{}'", wanted.brief(), given.brief());
        self.error(expr, message);
    }

    fn ident(&mut self, expr: &Expr, name: &str) -> Type {
        if let Some(slot) = self.scopes.iter().rposition(|(local, _)| local == name) {
            let ty = self.scopes.get(slot).map_or(Type::Error, |(_, ty)| ty.clone());
            self.refer(expr, Reference::Local(slot as u16));
            return ty;
        }
        if let Some(ty) = self.global(expr, name.trim_start_matches('.')) {
            return ty;
        }
        self.undeclared(expr, name, false)
    }

    /// The type of a name that is not of a comprehension, if it is declared.
    fn global(&mut self, expr: &Expr, name: &str) -> Option<Type> {
        if let Some((place, ty)) = self.env.root(name) {
            self.refer(expr, Reference::Root(place));
            return Some(ty);
        }
        let ty = self.env.type_named(name)?;
        self.refer(expr, Reference::Type(ty.clone()));
        Some(Type::Type(Some(Arc::new(ty))))
    }

    fn undeclared(&mut self, expr: &Expr, name: &str, is_function: bool) -> Type {
        let version = self.env.version();
        let near = if is_function {
            nearest(name, library::names(version).filter(|name| !name.starts_with(['_', '@'])))
        } else {
            let locals = self.scopes.iter().map(|(name, _)| name.as_str());
            let roots = self.env.roots().iter().map(|(name, _)| name.as_str());
            nearest(name, locals.chain(roots).chain([VARIABLES]))
        };
        let since = library::find(name)
            .and_then(|declared| declared.function.overloads.iter().map(|o| o.since).min());
        let hint = match (near, since) {
            (_, Some(since)) if is_function && since > version => Some(format!(
                "`{name}` needs Kubernetes {since}; this is the language of {version}"
            )),
            (Some(near), _) if near != name => Some(format!("did you mean `{near}`?")),
            _ => None,
        };
        self.error_with(expr, format!("undeclared reference to '{name}' (in container '')"), hint)
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, test: bool) -> Type {
        if !test
            && let Some(name) = self.qualified_name(expr)
            && let Some(ty) = self.global(expr, &name)
        {
            return ty;
        }
        if let Some(ty) = self.policy_variable(expr, operand, field) {
            return if test { Type::Bool } else { ty };
        }
        let operand = self.check(operand);
        let ty = self.field_type(expr, &operand, field, false);
        if test { Type::Bool } else { self.bindings.substitute(&ty, false) }
    }

    /// `a.b.c` as one name, unless `a` is a variable of a comprehension.
    fn qualified_name(&self, expr: &Expr) -> Option<String> {
        match &expr.kind {
            ExprKind::Ident(name) => {
                let local = self.scopes.iter().any(|(local, _)| local == name);
                (!local).then(|| name.trim_start_matches('.').to_owned())
            }
            ExprKind::Select { operand, field, test: false } => {
                let mut name = self.qualified_name(operand)?;
                name.push('.');
                name.push_str(field);
                Some(name)
            }
            _ => None,
        }
    }

    /// The type of `variables.NAME`.
    fn policy_variable(&mut self, expr: &Expr, operand: &Expr, field: &str) -> Option<Type> {
        let ExprKind::Ident(root) = &operand.kind else { return None };
        let is_local = self.scopes.iter().any(|(local, _)| local == root);
        if is_local || root.trim_start_matches('.') != VARIABLES || !self.env.has_variables() {
            return None;
        }
        let variables = self.env.variables();
        if let Some(place) = variables.iter().rposition(|variable| variable.name == field) {
            let ty = variables.get(place).map_or(Type::Error, |variable| variable.ty.clone());
            self.refer(expr, Reference::Variable(place as u16));
            return Some(ty);
        }
        let near = nearest(field, variables.iter().map(|variable| variable.name.as_str()));
        let hint = near.map(|near| format!("did you mean `variables.{near}`?"));
        Some(self.error_with(expr, format!("undefined field '{field}'"), hint))
    }

    fn field_type(&mut self, expr: &Expr, operand: &Type, field: &str, optional: bool) -> Type {
        let operand = self.bindings.substitute(operand, false);
        let (target, was_optional) = operand.unwrap_optional();
        let ty = match target {
            Type::Map(entry) => entry.1.clone(),
            Type::Struct(object) => match object.field(field) {
                Some(ty) => ty,
                None => {
                    let near = nearest(field, object.field_names());
                    let hint = near.map(|near| format!("did you mean `{near}`?"));
                    self.error_with(expr, format!("undefined field '{field}'"), hint)
                }
            },
            Type::Param(_) => {
                self.bindings.assignable(&Type::Dyn, target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            // Kubernetes declares these as objects, and then finds no fields.
            Type::Opaque(name) if name.starts_with("kubernetes.") => {
                self.error(expr, format!("unexpected failed resolution of '{name}'"));
                Type::Dyn
            }
            other => {
                let message = format!("type '{}' does not support field selection", other.brief());
                self.error(expr, message);
                Type::Dyn
            }
        };
        if was_optional || optional { Type::optional(ty) } else { ty }
    }

    fn logic(&mut self, terms: &[Expr]) -> Type {
        let types: Vec<Type> = terms.iter().map(|term| self.check(term)).collect();
        for (term, ty) in terms.iter().zip(&types) {
            if !self.bindings.assignable(ty, &Type::Bool) {
                self.mismatch(term, &Type::Bool, ty);
            }
        }
        Type::Bool
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

#[cfg(test)]
mod tests;
