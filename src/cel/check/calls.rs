//! Which function a call is of, and which of its overloads fit the arguments.

use crate::cel::ast::{Expr, ExprKind};
use crate::cel::check::{Checker, Reference};
use crate::cel::library::signature::Signature;
use crate::cel::library::{self, Declared, DeclaredOverload};
use crate::cel::types::Type;

impl Checker<'_> {
    pub(super) fn call(
        &mut self,
        expr: &Expr,
        target: Option<&Expr>,
        function: &str,
        args: &[Expr],
    ) -> Type {
        let mut types = Vec::with_capacity(args.len() + 1);
        let Some(target) = target else {
            types.extend(args.iter().map(|arg| self.check(arg)));
            let function = function.trim_start_matches('.');
            return match self.function(function) {
                Some(declared) => self.resolve(expr, declared, false, &types),
                None => self.undeclared(expr, function, true),
            };
        };
        // `a.b.c(x)` is a function `a.b.c` if there is one, and a call on `a.b` otherwise.
        if let Some(prefix) = full_name(target)
            && let Some(declared) = self.function(&format!("{prefix}.{function}"))
        {
            types.extend(args.iter().map(|arg| self.check(arg)));
            return self.resolve(expr, declared, false, &types);
        }
        let arg_types: Vec<Type> = args.iter().map(|arg| self.check(arg)).collect();
        types.push(self.check(target));
        types.extend(arg_types);
        match self.function(function) {
            Some(declared) => self.resolve(expr, declared, true, &types),
            None => self.undeclared(expr, function, true),
        }
    }

    /// The function of this name, if this release has it and it may be called here.
    fn function(&self, name: &str) -> Option<&'static Declared> {
        let declared = library::find(name)?;
        let allowed = self.env.has_mutation() || !name.starts_with("jsonpatch.");
        let released = declared.overloads.iter().any(|o| self.is_released(declared, o));
        (allowed && released).then_some(declared)
    }

    /// Whether this release has the overload. Before numbers of different types were compared, cel-go hid what compares them,
    /// but forgot about it after the first comprehension.
    fn is_released(&self, declared: &Declared, overload: &DeclaredOverload) -> bool {
        let compares = || matches!(declared.function.name, "_<_" | "_<=_" | "_>_" | "_>=_");
        overload.overload.since <= self.env.version() || self.locals > 0 && compares()
    }

    pub(super) fn resolve(
        &mut self,
        expr: &Expr,
        declared: &'static Declared,
        member: bool,
        args: &[Type],
    ) -> Type {
        let mut result: Option<Type> = None;
        let mut fitting = None;
        let mut count = 0;
        for candidate in &declared.overloads {
            if candidate.signature.member != member || !self.is_released(declared, candidate) {
                continue;
            }
            let Some(given) = self.fits(candidate, args) else { continue };
            count += 1;
            fitting.get_or_insert(candidate.overload);
            result = Some(match result {
                None => given,
                Some(known) if known == Type::Dyn || known == given => known,
                Some(_) => Type::Dyn,
            });
        }
        let Some(result) = result else {
            return self.no_overload(expr, declared, member, args);
        };
        let overload = fitting.filter(|_| count == 1);
        self.refer(expr, Reference::Call { function: declared, overload });
        result
    }

    /// The type of the result if the arguments fit.
    fn fits(&mut self, candidate: &DeclaredOverload, args: &[Type]) -> Option<Type> {
        let Signature { params, result, variables, .. } = &candidate.signature;
        if params.len() != args.len() {
            return None;
        }
        if *variables == 0 {
            return self.bindings.all_assignable(args, params).then(|| result.clone());
        }
        let first = self.bindings.fresh(*variables);
        let params: Vec<Type> =
            params.iter().map(|param| Signature::instantiate(param, first)).collect();
        let fits = self.bindings.all_assignable(args, &params);
        fits.then(|| self.bindings.substitute(&Signature::instantiate(result, first), false))
    }

    fn no_overload(
        &mut self,
        expr: &Expr,
        declared: &'static Declared,
        member: bool,
        args: &[Type],
    ) -> Type {
        let name = declared.function.name;
        let shown: Vec<String> = args
            .iter()
            .map(|arg| self.bindings.substitute(arg, true).brief().to_string())
            .collect();
        let signature = match shown.split_first() {
            Some((receiver, rest)) if member => format!("{receiver}.({})", rest.join(", ")),
            _ => format!("({})", shown.join(", ")),
        };
        let released = declared.overloads.iter().filter(|o| self.is_released(declared, o));
        let released: Vec<_> = released.collect();
        let takes: Vec<&str> = released.iter().map(|o| o.overload.signature).take(4).collect();
        let more = if released.len() > takes.len() { ", .." } else { "" };
        let hint = format!("`{name}` takes {}{more}", takes.join(", "));
        let message = format!("found no matching overload for '{name}' applied to '{signature}'");
        self.error_with(expr, message, Some(hint))
    }
}

/// `a.b` as one name.
fn full_name(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Ident(name) => Some(name.trim_start_matches('.').to_owned()),
        ExprKind::Select { operand, field, test: false } => {
            let mut name = full_name(operand)?;
            name.push('.');
            name.push_str(field);
            Some(name)
        }
        _ => None,
    }
}
