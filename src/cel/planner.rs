//! A checked tree to steps: paths are folded, constants computed, patterns compiled. What Kubernetes
//! computes beforehand is free when evaluated, so exactly that is computed here.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cel::answers::NoAnswers;
use crate::cel::ast::{Element, Entry, Expr, ExprKind, Field, Fold, FoldKind};
use crate::cel::check::{Checked, Reference};
use crate::cel::cost::Charge;
use crate::cel::diagnostic::Diagnostic;
use crate::cel::env::Env;
use crate::cel::fault::FaultKind;
use crate::cel::library::{self, Function, mismatch};
use crate::cel::parser::plain;
use crate::cel::plan::{
    Call, Choose, Expects, FoldStep, Hop, MakeEntry, MakeList, MakeMap, MakeStruct, Matches, Pair,
    Path, Root, Set, Step, To,
};
use crate::cel::regexp::Pattern;
use crate::cel::types::Type;
use crate::cel::value::{Arena, Constant, Context, is_key, same_key};

/// Conversions, which are computed beforehand when their argument is a constant.
const CONVERSIONS: [&str; 10] =
    ["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"];

/// Functions that cel-go calls with whatever the arguments are when they are evaluated. Of all the others only the
/// overload is called that the checker found, and if it found several, the first that takes what is given.
const UNGUARDED: [&str; 21] = [
    "_+_",
    "_-_",
    "_*_",
    "_/_",
    "_%_",
    "-_",
    "_<_",
    "_<=_",
    "_>_",
    "_>=_",
    "@in",
    "size",
    "type",
    "dyn",
    "matches",
    "sort",
    "contains",
    "startsWith",
    "endsWith",
    "flatten",
    "!_",
];

/// Plans a checked tree; an error is a constant part that has no value.
pub(crate) fn plan(env: &Env, expr: &Expr, checked: &Checked) -> Result<Step, Diagnostic> {
    Planner { env, checked, opened: Vec::new() }.step(expr)
}

struct Planner<'p> {
    env: &'p Env,
    checked: &'p Checked,
    /// For each variable of a comprehension that is alive, whether it is one of `optMap`.
    opened: Vec<bool>,
}

type Planned = Result<Step, Diagnostic>;

impl Planner<'_> {
    fn step(&mut self, expr: &Expr) -> Planned {
        Ok(match &expr.kind {
            ExprKind::Literal(literal) => Step::Constant(literal.into()),
            ExprKind::Ident(_) => return self.name(expr),
            ExprKind::Select { operand, field, test } => {
                return self.select(expr, operand, field, *test);
            }
            ExprKind::OptSelect { operand, field } => {
                if let Some(Reference::Variable(place)) = self.checked.reference(expr) {
                    let (root, hops) = (Root::OptionalVariable(*place), Box::default());
                    return Ok(Step::Path(Box::new(Path { root, base: 1, hops, span: expr.span })));
                }
                let to = To::Field(field.as_str().into());
                return self.hop(expr, operand, to, true);
            }
            ExprKind::Call { target, function, args } => {
                return self.call(expr, target.as_deref(), function, args);
            }
            ExprKind::And(terms) => Step::And(self.steps(terms)?),
            ExprKind::Or(terms) => Step::Or(self.steps(terms)?),
            ExprKind::List(elements) => return self.list(expr, elements),
            ExprKind::Map(entries) => return self.map(expr, entries),
            ExprKind::Struct { fields, .. } => return self.make_struct(expr, fields),
            ExprKind::Fold(fold) => return self.fold(expr, fold),
        })
    }

    fn steps(&mut self, exprs: &[Expr]) -> Result<Box<[Step]>, Diagnostic> {
        exprs.iter().map(|expr| self.step(expr)).collect()
    }

    /// What a name stands for, with no hop from it yet.
    fn name(&self, expr: &Expr) -> Planned {
        let root = match self.checked.reference(expr) {
            Some(Reference::Type(ty)) => {
                return Ok(Step::Constant(Constant::Type(ty.name().into())));
            }
            Some(Reference::Root(slot)) => Root::Slot(*slot),
            Some(Reference::Variable(place)) => Root::Variable(*place),
            Some(Reference::Local(slot)) => match self.opened.get(*slot as usize) {
                Some(true) => Root::Opened(*slot),
                _ => Root::Local(*slot),
            },
            Some(Reference::Call { .. }) | None => {
                return Err(plain(expr.span, "this name cannot be used as a value"));
            }
        };
        if let (ExprKind::Ident(name), Type::Type(_)) = (&expr.kind, self.checked.ty(expr)) {
            return self.type_of_that_name(expr, name).map(Step::Constant);
        }
        let base = if matches!(root, Root::Variable(_)) { 2 } else { 1 };
        Ok(Step::Path(Box::new(Path { root, base, hops: Box::default(), span: expr.span })))
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, test: bool) -> Planned {
        if let Some(Reference::Variable(place)) = self.checked.reference(expr)
            && test
        {
            let (root, hops) = (Root::Variable(*place), Box::default());
            return Ok(Step::Has(Box::new(Path { root, base: 1, hops, span: expr.span })));
        }
        if self.checked.reference(expr).is_some() {
            return self.name(expr);
        }
        let path = self.hop(expr, operand, To::Field(field.into()), false)?;
        match path {
            Step::Path(mut path) if test => {
                // Testing is free: the hops are paid for, the root is not.
                path.base = path.base.saturating_sub(1);
                Ok(Step::Has(path))
            }
            other => Ok(other),
        }
    }

    /// One hop more from what the operand gives.
    fn hop(&mut self, expr: &Expr, operand: &Expr, to: To, optional: bool) -> Planned {
        let declared = matches!(self.checked.ty(operand), Type::Struct(_));
        let hop = Hop { to, optional, declared, span: expr.span };
        Ok(Step::Path(Box::new(match self.step(operand)? {
            Step::Path(path) => {
                let Path { root, base, hops, .. } = *path;
                let mut hops = hops.into_vec();
                hops.push(hop);
                Path { root, base, hops: hops.into(), span: expr.span }
            }
            // The branches of a choice are attributes of it, so the way goes on for free.
            step if is_choice(&step) => {
                Path { root: Root::Step(step), base: 0, hops: Box::new([hop]), span: expr.span }
            }
            step => {
                Path { root: Root::Step(step), base: 1, hops: Box::new([hop]), span: expr.span }
            }
        })))
    }

    fn call(
        &mut self,
        expr: &Expr,
        target: Option<&Expr>,
        function: &str,
        args: &[Expr],
    ) -> Planned {
        match (function, args) {
            ("_[_]" | "_[?_]", [operand, index]) => {
                let to = match self.step(index)? {
                    Step::Constant(key) => To::Key(usable_key(key, index)?),
                    step => To::Computed(free(step)),
                };
                return self.hop(expr, operand, to, function == "_[?_]");
            }
            ("_?_:_", [condition, truthy, falsy]) => {
                let condition = self.step(condition)?;
                let truthy = free(self.step(truthy)?);
                let falsy = free(self.step(falsy)?);
                let span = expr.span;
                return Ok(Step::Choose(Box::new(Choose { condition, truthy, falsy, span })));
            }
            ("_==_", [left, right]) => return Ok(Step::Equal(self.pair(left, right)?)),
            ("_!=_", [left, right]) => return Ok(Step::NotEqual(self.pair(left, right)?)),
            ("!_", [operand]) => {
                return Ok(Step::Not(Box::new((self.step(operand)?, expr.span))));
            }
            ("or" | "orValue", [other]) if let Some(optional) = target => {
                let pair = self.pair(optional, other)?;
                return Ok(if function == "or" {
                    Step::OptionalOr(pair)
                } else {
                    Step::OrValue(pair)
                });
            }
            _ => {}
        }
        let Some(Reference::Call { function, overload }) = self.checked.reference(expr) else {
            return Err(plain(expr.span, "this call was not resolved"));
        };
        let (function, overload) = (function.function, *overload);
        // A receiver that is part of the function's name is no argument.
        let receiver =
            target.filter(|_| overload.is_none_or(|overload| !overload.signature.starts_with('(')));
        let mut steps = Vec::with_capacity(args.len() + 1);
        if let Some(receiver) = receiver {
            steps.push(self.step(receiver)?);
        }
        for arg in args {
            steps.push(self.step(arg)?);
        }
        let own = overload.map(|overload| overload.cost);
        let charge = own.filter(|cost| !matches!(cost, Charge::One)).or(function.cost);
        let charge = charge.unwrap_or(Charge::One);
        let args = steps.into_boxed_slice();
        let is_free = UNGUARDED.contains(&function.name);
        let dispatches = overload.is_none() && function.overloads.len() > 1 && !is_free;
        let in_order = args.len() > 2 || dispatches || function.name == "format";
        let guard = overload.filter(|_| !is_free).and_then(library::params);
        let expects = match (overload.map(|overload| overload.id), function.name) {
            (Some("list_flatten_int"), _) => Some(Expects::Depth),
            (Some(_), "distinct" | "sort") => Some(Expects::List),
            _ => None,
        };
        let (pattern, span) = (None, expr.span);
        let call = Call { function, args, charge, pattern, in_order, expects, guard, span };
        self.simplify(call, overload.map_or("", |overload| overload.id))
    }

    fn pair(&mut self, left: &Expr, right: &Expr) -> Result<Box<Pair>, Diagnostic> {
        Ok(Box::new(Pair { left: self.step(left)?, right: self.step(right)? }))
    }

    /// Computes what can be computed of a call.
    fn simplify(&self, mut call: Call, overload: &str) -> Planned {
        let span = call.span;
        if library::takes_pattern(call.function)
            && let Some(Step::Constant(Constant::String(pattern))) = call.args.get(1)
        {
            let known = self.checked.patterns.iter().find(|(text, _)| **text == **pattern);
            let pattern = match known {
                Some((_, compiled)) => compiled.clone(),
                None => {
                    Pattern::compile(pattern).map_err(|error| plain(span, error.to_string()))?
                }
            };
            if call.function.name != "matches" {
                call.pattern = Some(Box::new(pattern));
                // Nor is a text that is an error paid for.
                call.in_order = true;
                return Ok(Step::Call(Box::new(call)));
            }
            let text = std::mem::take(&mut call.args).into_iter().next();
            let text = text.unwrap_or(Step::Constant(Constant::Null));
            return Ok(Step::Matches(Box::new(Matches { text, pattern, span })));
        } else if overload == "in_list"
            && let [_, Step::Constant(Constant::List(elements))] = call.args.as_ref()
        {
            if elements.is_empty() {
                return Ok(Step::Constant(Constant::Bool(false)));
            }
            if let Some(set) = set_of(elements) {
                let element = std::mem::take(&mut call.args).into_iter().next();
                let element = element.unwrap_or(Step::Constant(Constant::Null));
                return Ok(Step::InSet(Box::new((element, set))));
            }
        } else if CONVERSIONS.contains(&call.function.name)
            && let [Step::Constant(argument)] = call.args.as_ref()
        {
            return compute(call.function, argument)
                .map(|constant| constant.map_or(Step::Call(Box::new(call)), Step::Constant))
                .map_err(|message| plain(span, message));
        }
        Ok(Step::Call(Box::new(call)))
    }

    fn list(&mut self, expr: &Expr, elements: &[Element]) -> Planned {
        let mut steps = Vec::with_capacity(elements.len());
        for element in elements {
            steps.push((self.step(&element.value)?, element.optional));
        }
        let constant = |(step, optional): &(Step, bool)| match step {
            Step::Constant(constant) if !optional => Some(constant.clone()),
            _ => None,
        };
        if let Some(constants) = steps.iter().map(constant).collect::<Option<Arc<[_]>>>() {
            return Ok(Step::Constant(Constant::List(constants)));
        }
        Ok(Step::List(Box::new(MakeList { elements: steps.into(), span: expr.span })))
    }

    fn map(&mut self, expr: &Expr, entries: &[Entry]) -> Planned {
        let mut made = Vec::with_capacity(entries.len());
        for entry in entries {
            let (key, value) = (self.step(&entry.key)?, self.step(&entry.value)?);
            let is_named = self.is_named(&key);
            made.push(MakeEntry { key, is_named, value, optional: entry.optional });
        }
        let constant = |entry: &MakeEntry| match (&entry.key, &entry.value, entry.optional) {
            (Step::Constant(key), Step::Constant(value), false) => {
                Some((key.clone(), value.clone()))
            }
            _ => None,
        };
        if let Some(constants) = made.iter().map(constant).collect::<Option<Vec<_>>>() {
            let unusable = constants.iter().position(|(key, _)| !is_key(key.value()));
            if let Some(entry) = unusable.and_then(|place| entries.get(place)) {
                return Err(plain(entry.key.span, "such a value cannot be the key of a map"));
            }
            return Ok(Step::Constant(Constant::Map(distinct(constants))));
        }
        Ok(Step::Map(Box::new(MakeMap { entries: made.into(), span: expr.span })))
    }

    /// Whether a step gives the very value that a name stands for. Policies' own variables are converted once.
    fn is_named(&self, step: &Step) -> bool {
        let path = match step {
            Step::Path(path) => path,
            Step::Call(call) if call.function.name == "dyn" => {
                return call.args.first().is_some_and(|step| self.is_named(step));
            }
            _ => return false,
        };
        let names = match path.root {
            Root::Slot(_) => self.env.has_variables(),
            Root::Local(_) | Root::Opened(_) | Root::Variable(_) => true,
            Root::OptionalVariable(_) | Root::Step(_) => false,
        };
        names && path.hops.is_empty()
    }

    fn make_struct(&mut self, expr: &Expr, fields: &[Field]) -> Planned {
        let Some(Reference::Type(ty)) = self.checked.reference(expr) else {
            return Err(plain(expr.span, "this type was not resolved"));
        };
        let name = ty.name().into();
        let mut steps = Vec::with_capacity(fields.len());
        for field in fields {
            steps.push((field.name.as_str().into(), self.step(&field.value)?, field.optional));
        }
        Ok(Step::Struct(Box::new(MakeStruct { name, fields: steps.into(), span: expr.span })))
    }

    /// What cel-go takes a variable for that holds a type: for the type that has the variable's name.
    fn type_of_that_name(&self, expr: &Expr, name: &str) -> Result<Constant, Diagnostic> {
        match self.env.type_named(name) {
            Some(ty) => Ok(Constant::Type(ty.name().into())),
            None => Err(plain(expr.span, format!("reference to undefined type: {name}"))),
        }
    }

    /// The variable that the expansion of a macro names outside of what the author wrote, if it holds a type.
    fn named_by_macro<'f>(&self, fold: &'f Fold) -> Option<&'f str> {
        let held = match (fold.kind, self.checked.ty(&fold.range)) {
            (FoldKind::OptMap | FoldKind::OptFlatMap, Type::Optional(value)) => value,
            (FoldKind::Filter, Type::List(element)) => element,
            (FoldKind::Filter | FoldKind::TransformMap, Type::Map(entry)) => &entry.0,
            _ => return None,
        };
        matches!(held, Type::Type(_)).then_some(fold.var.as_str())
    }

    fn fold(&mut self, expr: &Expr, fold: &Fold) -> Planned {
        let range = self.step(&fold.range)?;
        let named = self.named_by_macro(fold);
        let named_type = named.map(|name| self.type_of_that_name(expr, name)).transpose()?;
        let slot = self.opened.len() as u16;
        let two = fold.var2.is_some();
        self.opened.push(matches!(fold.kind, FoldKind::OptMap | FoldKind::OptFlatMap));
        if two {
            self.opened.push(false);
        }
        let filter = fold.filter.as_ref().map(|filter| self.step(filter)).transpose()?;
        let mut body = self.step(&fold.body)?;
        self.opened.truncate(slot as usize);
        let span = expr.span;
        let ordered = self.checked.ty(&fold.body).is_ordered();
        let (mut kind, mut filter, mut key) = (fold.kind, filter, None);
        match (kind, named_type) {
            // The items are kept by their name, so it is the type of that name which is kept.
            (FoldKind::Filter, Some(ty)) => {
                (kind, filter, body) = (FoldKind::Map, Some(body), Step::Constant(ty));
            }
            (FoldKind::TransformMap, named_type) => key = named_type,
            _ => {}
        }
        let step = FoldStep { kind, range, slot, two, filter, key, ordered, body, span };
        Ok(Step::Fold(Box::new(step)))
    }
}

/// A constant that something can be indexed by.
fn usable_key(key: Constant, expr: &Expr) -> Result<Constant, Diagnostic> {
    match key {
        Constant::Bool(_)
        | Constant::Int(_)
        | Constant::Uint(_)
        | Constant::Double(_)
        | Constant::String(_) => Ok(key),
        other => {
            let name = other.value().type_name();
            Err(plain(expr.span, format!("invalid qualifier type: {name}")))
        }
    }
}

/// Whether a step chooses between others; `optMap` does between what it makes and nothing.
fn is_choice(step: &Step) -> bool {
    match step {
        Step::Choose(_) => true,
        Step::Fold(fold) => matches!(fold.kind, FoldKind::OptMap | FoldKind::OptFlatMap),
        _ => false,
    }
}

/// A path that is a branch of a choice or an index is not paid for as a name. If it is tested with `has`, cel-go forgets
/// there that a test gives a bool: of a way with `?` in it, what it found is left.
fn free(step: Step) -> Step {
    match step {
        Step::Path(mut path) => {
            path.base = path.base.saturating_sub(1);
            Step::Path(path)
        }
        Step::Has(path) => Step::Found(path),
        other => other,
    }
}

/// The value of a conversion of a constant; `None` if it is not of a kind that constants have.
fn compute(function: &Function, argument: &Constant) -> Result<Option<Constant>, String> {
    let arena = Arena::new();
    let context = Context { arena: &arena, answers: &NoAnswers, pattern: None, types: None };
    match (function.run)(context, &[argument.value()]) {
        Ok(value) => Ok(Constant::of(value)),
        Err(fault) if matches!(fault.kind, FaultKind::NoSuchOverload) => {
            Err(mismatch(function.name, &[argument.value()], &arena).to_string())
        }
        Err(fault) => Err(fault.to_string()),
    }
}

/// The set that membership in these constants can be looked up in: they have to be simple.
fn set_of(elements: &[Constant]) -> Option<Set> {
    let text = |element: &Constant| match element {
        Constant::String(text) => Some(text.clone()),
        _ => None,
    };
    if let Some(strings) = elements.iter().map(text).collect::<Option<BTreeSet<_>>>() {
        return Some(Set::Strings(strings.into_iter().collect()));
    }
    let simple = |element: &Constant| {
        matches!(
            element,
            Constant::Bool(_)
                | Constant::Int(_)
                | Constant::Uint(_)
                | Constant::Double(_)
                | Constant::String(_)
        )
    };
    elements.iter().all(simple).then(|| Set::Values(elements.into()))
}

/// The entries of a literal; of those with the same key the last one counts.
fn distinct(entries: Vec<(Constant, Constant)>) -> Arc<[(Constant, Constant)]> {
    let mut kept: Vec<(Constant, Constant)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        // Lists and maps that are written out are never the same.
        let made = matches!(key, Constant::List(_) | Constant::Map(_));
        let same = |known: &Constant| !made && same_key(known.value(), key.value());
        match kept.iter_mut().find(|(known, _)| same(known)) {
            Some(known) => known.1 = value,
            None => kept.push((key, value)),
        }
    }
    kept.into()
}
