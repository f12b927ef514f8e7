//! Runs the steps of a plan. Each step gives a value or a fault, and adds to the cost what Kubernetes
//! would add; nothing is allocated but what an expression makes.

mod fields;
mod make;

use std::cell::Cell;

use crate::cel::cost::{self, Charge, EXPRESSION_COST_MAX};
use crate::cel::diagnostic::Span;
use crate::cel::eval::fields::{index, select, select_if_set, usable};
use crate::cel::evaluation::Evaluation;
use crate::cel::fault::{Fault, FaultKind, Outcome};
use crate::cel::library::{ARGS_MAX, mismatch, not_a_depth, not_a_list, takes};
use crate::cel::plan::{Call, Choose, Expects, Hop, Matches, Pair, Path, Root, Set, Step, To};
use crate::cel::value::{Context, Exhausted, Value, equal, equality};

/// One expression being evaluated.
pub(crate) struct Machine<'a, 'e> {
    pub(super) evaluation: &'e Evaluation<'a>,
    /// The variables of the comprehensions around the step.
    pub(super) locals: &'a mut [Value<'a>],
    cost: u64,
    /// For each variable that is one of an `optMap`, what its first use still has to pay, and what such uses have paid.
    opened: &'a [Cell<(u64, u64)>],
}

impl<'a, 'e> Machine<'a, 'e> {
    pub fn new(evaluation: &'e Evaluation<'a>, locals: u16) -> Machine<'a, 'e> {
        let opened = evaluation.arena().cells(locals as usize, (0, 0));
        let locals = evaluation.arena().locals(locals as usize);
        Machine { evaluation, locals, cost: 0, opened }
    }

    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Adds to the cost, which ends the evaluation past its limit.
    pub(super) fn charge(&mut self, cost: u64) -> Result<(), &'a Fault<'a>> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > EXPRESSION_COST_MAX {
            Err(self.fault(FaultKind::CostExceeded))
        } else {
            Ok(())
        }
    }

    #[cold]
    pub(super) fn fault(&self, kind: FaultKind<'a>) -> &'a Fault<'a> {
        Fault::new(self.evaluation.arena(), kind)
    }

    #[cold]
    fn fault_at(&self, kind: FaultKind<'a>, span: Span) -> &'a Fault<'a> {
        self.evaluation.arena().keep(Fault { kind, span: Some(span) })
    }

    #[cold]
    pub(super) fn full(&self) -> impl Fn(Exhausted) -> &'a Fault<'a> + use<'a> {
        let arena = self.evaluation.arena();
        move |exhausted| exhausted.fault(arena)
    }

    pub fn eval(&mut self, step: &'a Step) -> Outcome<'a> {
        match step {
            Step::Constant(constant) => Ok(constant.value()),
            Step::Path(path) => self.path(path),
            Step::Has(path) => Ok(match self.found(path)? {
                Value::Optional(found) => Value::Bool(found.is_some()),
                other => other,
            }),
            Step::Found(path) => self.found(path),
            Step::Call(call) => self.call(call),
            Step::Equal(pair) => match self.equality(pair, cost::equality)? {
                Some(equal) => Ok(Value::Bool(equal)),
                None => Err(self.fault(FaultKind::NoSuchOverload)),
            },
            Step::NotEqual(pair) => {
                self.equality(pair, cost::inequality).map(|equal| Value::Bool(equal != Some(true)))
            }
            Step::Not(operand) => self.not(&operand.0, operand.1),
            Step::And(terms) => self.logic(terms, false),
            Step::Or(terms) => self.logic(terms, true),
            Step::Choose(choose) => {
                let branch = self.branch(choose)?;
                self.eval(branch)
            }
            Step::OptionalOr(pair) => self.optional_or(pair, false),
            Step::OrValue(pair) => self.optional_or(pair, true),
            Step::InSet(member) => self.in_set(&member.0, &member.1),
            Step::Matches(matches) => self.matches(matches),
            Step::List(list) => self.make_list(list),
            Step::Map(map) => self.make_map(map),
            Step::Struct(object) => self.make_struct(object),
            Step::Fold(fold) => self.fold(fold),
        }
    }

    /// What a step gives, if the evaluation goes on after it: then what surrounds it is paid for, whatever it gave.
    pub(super) fn settled(&mut self, step: &'a Step) -> Result<Outcome<'a>, &'a Fault<'a>> {
        match self.eval(step) {
            Err(stop) if stop.is_final() => Err(stop),
            outcome => Ok(outcome),
        }
    }

    fn root(&mut self, root: &'a Root) -> Outcome<'a> {
        match root {
            Root::Slot(slot) => Ok(self.evaluation.root(*slot)),
            Root::Local(slot) => Ok(self.local(*slot)),
            Root::Opened(slot) => {
                if let Some(opened) = self.opened.get(*slot as usize) {
                    let (unpaid, paid) = opened.get();
                    opened.set((0, paid + unpaid));
                    self.charge(unpaid)?;
                }
                Ok(self.local(*slot))
            }
            Root::Variable(place) | Root::OptionalVariable(place) => {
                self.evaluation.variable(*place)
            }
            Root::Step(step) => self.eval(step),
        }
    }

    /// What first uses of variables outside of this one have paid so far.
    pub(super) fn paid_outside(&self, slot: u16) -> u64 {
        self.opened.iter().take(slot as usize).map(|opened| opened.get().1).sum()
    }

    /// Lets the first use of a variable pay.
    pub(super) fn owe(&self, slot: u16, unpaid: u64) {
        if let Some(opened) = self.opened.get(slot as usize) {
            opened.set((unpaid, opened.get().1));
        }
    }

    pub(super) fn local(&self, slot: u16) -> Value<'a> {
        self.locals.get(slot as usize).copied().unwrap_or(Value::Null)
    }

    pub(super) fn set_local(&mut self, slot: u16, value: Value<'a>) {
        if let Some(local) = self.locals.get_mut(slot as usize) {
            *local = value;
        }
    }

    /// Where a path begins, and whether an optional there is opened: one of `variables` is not, because the path begins
    /// at `variables`.
    fn start(&mut self, root: &'a Root) -> (Outcome<'a>, bool) {
        let Root::Step(step) = root else {
            return (
                self.root(root),
                !matches!(root, Root::Variable(_) | Root::OptionalVariable(_)),
            );
        };
        let mut step = step;
        while let Step::Choose(choose) = step {
            match self.branch(choose) {
                Ok(branch) => step = branch,
                Err(fault) => return (Err(fault), true),
            }
        }
        let is_variable = |path: &Path| {
            matches!(path.root, Root::Variable(_)) && !path.hops.iter().any(|hop| hop.optional)
        };
        let opens = !matches!(step, Step::Path(path) if is_variable(path));
        (self.eval(step), opens)
    }

    /// The name is paid for after the way from it.
    fn path(&mut self, path: &'a Path) -> Outcome<'a> {
        let outcome = self.way(path);
        if path.base > 0 && !outcome.is_err_and(Fault::is_final) {
            self.charge(path.base)?;
        }
        outcome
    }

    fn way(&mut self, path: &'a Path) -> Outcome<'a> {
        let (root, opens) = self.start(&path.root);
        let root = root.map_err(|fault| fault.at(path.span, self.evaluation.arena()))?;
        if matches!(path.root, Root::OptionalVariable(_)) {
            self.charge(1)?;
            return self.optional_hops(&path.hops, root);
        }
        let mut value = match root {
            Value::Optional(Some(inner)) if opens => return self.optional_hops(&path.hops, *inner),
            none @ Value::Optional(None) if opens => return Ok(none),
            value => value,
        };
        for (index, hop) in path.hops.iter().enumerate() {
            if hop.optional {
                return self.optional_hops(path.hops.get(index..).unwrap_or(&[]), value);
            }
            value = self.hop(value, hop)?;
        }
        Ok(value)
    }

    /// Hops from where the first optional one is: what is not there makes the whole absent.
    fn optional_hops(&mut self, hops: &'a [Hop], start: Value<'a>) -> Outcome<'a> {
        let mut value = start;
        for hop in hops {
            match self.hop_if_present(value, hop)? {
                Some(next) => value = next,
                None => return Ok(Value::Optional(None)),
            }
        }
        Ok(Value::Optional(Some(self.evaluation.arena().keep(value))))
    }

    fn hop(&mut self, from: Value<'a>, hop: &'a Hop) -> Outcome<'a> {
        let arena = self.evaluation.arena();
        let found = match &hop.to {
            To::Field(name) => {
                self.charge(1)?;
                select(from, name, hop.declared, arena)
            }
            To::Key(key) => {
                self.charge(1)?;
                index(from, key.value(), false, arena)
            }
            To::Computed(step) => {
                let key = self.settled(step)?;
                self.charge(1)?;
                usable(key?).and_then(|key| index(from, key, false, arena))
            }
        };
        match found {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.absent(from, hop)),
            Err(kind) => Err(self.fault_at(kind, hop.span)),
        }
    }

    #[cold]
    fn absent(&mut self, from: Value<'a>, hop: &'a Hop) -> &'a Fault<'a> {
        let key = match &hop.to {
            To::Field(name) => Value::String(name),
            To::Key(key) => key.value(),
            To::Computed(step) => {
                // Only the message needs it again, and messages are not paid for.
                let cost = self.cost;
                let key = self.eval(step).unwrap_or(Value::Null);
                self.cost = cost;
                key
            }
        };
        let kind = match from {
            Value::List(_) => FaultKind::IndexOutOfBounds(key),
            _ => FaultKind::NoSuchKey(key),
        };
        self.fault_at(kind, hop.span)
    }

    /// A hop that may lead nowhere; then it is not paid for.
    fn hop_if_present(
        &mut self,
        from: Value<'a>,
        hop: &'a Hop,
    ) -> Result<Option<Value<'a>>, &'a Fault<'a>> {
        let arena = self.evaluation.arena();
        let found = match &hop.to {
            // cel-go forgets of a field after `?` that it was declared.
            To::Field(name) => select_if_set(from, name, hop.declared && !hop.optional, arena),
            To::Key(key) => index(from, key.value(), true, arena),
            To::Computed(step) => {
                let key = self.eval(step)?;
                usable(key).and_then(|key| index(from, key, true, arena))
            }
        };
        match found {
            Ok(Some(value)) => {
                self.charge(1)?;
                Ok(Some(value))
            }
            Ok(None) => Ok(None),
            Err(kind) => Err(self.fault_at(kind, hop.span)),
        }
    }

    /// Whether the last hop of a path leads anywhere; where a hop before it is optional, what it leads to.
    fn found(&mut self, path: &'a Path) -> Outcome<'a> {
        let outcome = self.tested(path);
        if path.base > 0 && !outcome.is_err_and(Fault::is_final) {
            self.charge(path.base)?;
        }
        outcome
    }

    fn tested(&mut self, path: &'a Path) -> Outcome<'a> {
        let (root, opens) = self.start(&path.root);
        let Some((last, before)) = path.hops.split_last() else {
            return root.map(|_| Value::Bool(true));
        };
        let (mut value, mut optional) = match root? {
            Value::Optional(None) if opens => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) if opens => (*inner, true),
            value => (value, matches!(path.root, Root::OptionalVariable(_))),
        };
        self.charge(u64::from(optional && !opens))?;
        for hop in before {
            optional |= hop.optional;
            if !optional {
                value = self.hop(value, hop)?;
                continue;
            }
            match self.hop_if_present(value, hop)? {
                Some(next) => value = next,
                None => return Ok(Value::Optional(None)),
            }
        }
        if optional {
            let found = self.hop_if_present(value, last)?;
            return Ok(Value::Optional(found.map(|value| self.evaluation.arena().keep(value))));
        }
        self.charge(1)?;
        let To::Field(name) = &last.to else { return Ok(Value::Bool(false)) };
        match select_if_set(value, name, last.declared, self.evaluation.arena()) {
            Ok(found) => Ok(Value::Bool(found.is_some())),
            Err(kind) => Err(self.fault_at(kind, last.span)),
        }
    }

    fn call(&mut self, call: &'a Call) -> Outcome<'a> {
        let mut values = [Value::Null; ARGS_MAX];
        let mut fault = None;
        for (place, (value, arg)) in values.iter_mut().zip(&call.args).enumerate() {
            match self.eval(arg) {
                Ok(arg) => *value = arg,
                Err(stop) if stop.is_final() => return Err(stop),
                // After the one that fails none is evaluated where they are taken in order, and then
                // the call is not paid for unless that was the last.
                Err(stop) if call.in_order && place + 1 < call.args.len() => return Err(stop),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        if let ([text, ..], Some(_)) = (&mut values, &call.pattern) {
            // With a pattern that was compiled beforehand cel-go takes whatever is text in Go.
            *text = text.text_in_go().map_or(*text, Value::String);
        }
        let args = values.get(..call.args.len()).unwrap_or(&values);
        let arena = self.evaluation.arena();
        match (call.expects, args) {
            (Some(Expects::List), [Value::List(_), ..]) if fault.is_none() => {}
            (Some(Expects::List), _) => {
                return Err(not_a_list(args.first().filter(|_| fault.is_none()).copied(), arena));
            }
            (Some(Expects::Depth), [_, depth]) if !matches!(depth, Value::Int(_)) => {
                return Err(not_a_depth(Some(*depth).filter(|_| fault.is_none()), arena));
            }
            _ => {}
        }
        let before = self.cost;
        match call.charge {
            Charge::One => self.charge(1)?,
            Charge::Fixed(cost) => self.charge(cost)?,
            Charge::Args(cost) => self.charge(cost(args))?,
            Charge::Result(_) => {}
        }
        let outcome = match fault {
            Some(fault) => Err(fault),
            None if !call.guard.is_none_or(|types| takes(types, args)) => {
                Err(Fault::no_overload(arena))
            }
            None => {
                let pattern = call.pattern.as_deref();
                let types = call.guard;
                let context = Context { pattern, types, ..self.evaluation.context() };
                (call.function.run)(context, args)
            }
        };
        if let Charge::Result(cost) = call.charge {
            self.charge(cost(args, outcome.unwrap_or(Value::Null)))?;
        }
        outcome.map_err(|fault| {
            let fault = match fault.kind {
                FaultKind::Internal(_) => {
                    // A call that never came back is not paid for.
                    self.cost = before;
                    fault
                }
                FaultKind::NoSuchOverload if fault.span.is_none() => {
                    mismatch(call.function.name, args, arena)
                }
                _ => fault,
            };
            fault.at(call.span, arena)
        })
    }

    fn equality(
        &mut self,
        pair: &'a Pair,
        cost: fn(Value<'_>, Value<'_>) -> u64,
    ) -> Result<Option<bool>, &'a Fault<'a>> {
        let left = self.settled(&pair.left)?;
        let right = self.settled(&pair.right)?;
        match (left, right) {
            (Ok(left), Ok(right)) => {
                self.charge(cost(left, right))?;
                Ok(equality(left, right))
            }
            (Err(fault), _) | (Ok(_), Err(fault)) => {
                let (left, right) = (left.unwrap_or(Value::Null), right.unwrap_or(Value::Null));
                self.charge(cost(left, right))?;
                Err(fault)
            }
        }
    }

    fn not(&mut self, operand: &'a Step, span: Span) -> Outcome<'a> {
        let value = self.settled(operand)?;
        self.charge(1)?;
        match value? {
            Value::Bool(value) => Ok(Value::Bool(!value)),
            other => {
                Err(mismatch("!_", &[other], self.evaluation.arena())
                    .at(span, self.evaluation.arena()))
            }
        }
    }

    /// `||` where `decisive` is true, `&&` where it is false: the first term that decides does, and
    /// only if none does is an error one.
    fn logic(&mut self, terms: &'a [Step], decisive: bool) -> Outcome<'a> {
        let mut fault = None;
        for term in terms {
            match self.eval(term) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => {
                    fault = fault.or_else(|| Some(self.fault(FaultKind::NoSuchOverload)));
                }
                Err(stop) if stop.is_final() => return Err(stop),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        fault.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    /// The branch that is chosen.
    fn branch(&mut self, choose: &'a Choose) -> Result<&'a Step, &'a Fault<'a>> {
        match self.eval(&choose.condition)? {
            Value::Bool(true) => Ok(&choose.truthy),
            Value::Bool(false) => Ok(&choose.falsy),
            _ => Err(self.fault_at(FaultKind::NoSuchOverload, choose.span)),
        }
    }

    /// Kubernetes charges nothing for choosing between optionals.
    fn optional_or(&mut self, pair: &'a Pair, unwrap: bool) -> Outcome<'a> {
        match self.eval(&pair.left)? {
            Value::Optional(Some(inner)) if unwrap => Ok(*inner),
            some @ Value::Optional(Some(_)) => Ok(some),
            Value::Optional(None) => self.eval(&pair.right),
            _ => Err(self.fault(FaultKind::NoSuchOverload)),
        }
    }

    fn in_set(&mut self, element: &'a Step, set: &'a Set) -> Outcome<'a> {
        let element = self.eval(element)?;
        Ok(Value::Bool(match (set, element) {
            (Set::Strings(strings), Value::String(text)) => {
                strings.binary_search_by(|known| known.as_ref().cmp(text)).is_ok()
            }
            (Set::Strings(_), _) => false,
            (Set::Values(values), element) => {
                values.iter().any(|known| equal(known.value(), element))
            }
        }))
    }

    fn matches(&mut self, matches: &'a Matches) -> Outcome<'a> {
        // A text that is an error is not paid for.
        let text = self.eval(&matches.text)?;
        self.charge(cost::search(text.size(), matches.pattern.size()))?;
        match text.text_in_go() {
            Some(text) => Ok(Value::Bool(matches.pattern.is_match(text))),
            None => Err(self.fault_at(FaultKind::NoSuchOverload, matches.span)),
        }
    }
}
