//! Runs the macros that go over a range. They cost what their expansion costs in cel-go: the comments
//! say which parts of it are paid for.

use crate::cel::ast::FoldKind;
use crate::cel::cost;
use crate::cel::eval::Machine;
use crate::cel::fault::{Fault, FaultKind, Outcome};
use crate::cel::library;
use crate::cel::plan::FoldStep;
use crate::cel::value::{Exhausted, List, Map, Value};

/// A step of a fold that has no value, or the end of the evaluation.
type Stop<'a> = &'a Fault<'a>;

impl<'a> Machine<'a, '_> {
    pub(super) fn fold(&mut self, fold: &'a FoldStep) -> Outcome<'a> {
        match fold.kind {
            FoldKind::OptMap | FoldKind::OptFlatMap => return self.open(fold),
            FoldKind::SortBy => return self.sort_by(fold),
            _ => {}
        }
        let range = match self.eval(&fold.range)? {
            range @ (Value::List(_) | Value::Map(_)) => range,
            other => {
                let arena = self.evaluation.arena();
                let name = go_name(other);
                let message = format_args!("got '{name}', expected iterable type");
                return Err(Fault::text(arena, message).at(fold.span, arena));
            }
        };
        match fold.kind {
            FoldKind::All => self.quantify(fold, range, false),
            FoldKind::Exists => self.quantify(fold, range, true),
            FoldKind::ExistsOne => self.exists_one(fold, range),
            FoldKind::TransformMap | FoldKind::TransformMapEntry => self.collect_map(fold, range),
            _ => self.collect_list(fold, range),
        }
    }

    /// Sets the variables to an item of the range; false past its end.
    fn advance(&mut self, fold: &FoldStep, range: Value<'a>, place: usize) -> bool {
        let item = match range {
            Value::List(list) => list.get(place).map(|element| {
                if fold.two { (Value::Int(place as i64), element) } else { (element, Value::Null) }
            }),
            Value::Map(map) => map.entry(place),
            _ => None,
        };
        let Some((first, second)) = item else { return false };
        self.set_local(fold.slot, first);
        if fold.two {
            self.set_local(fold.slot + 1, second);
        }
        true
    }

    /// `all` and `exists`: an item that decides ends it; an error is one only if none does.
    ///
    /// Each item pays for the loop condition (`@result` and one or two calls) and for `@result` in
    /// the step; the end pays for `@result` once more.
    fn quantify(&mut self, fold: &'a FoldStep, range: Value<'a>, decisive: bool) -> Outcome<'a> {
        let condition = if decisive { 3 } else { 2 };
        let mut accumulated: Outcome<'a> = Ok(Value::Bool(!decisive));
        let mut place = 0;
        while self.advance(fold, range, place) {
            self.charge(condition)?;
            if matches!(accumulated, Ok(Value::Bool(value)) if value == decisive) {
                break;
            }
            self.charge(1)?;
            accumulated = match (accumulated, self.eval(&fold.body)) {
                (_, Ok(Value::Bool(value))) if value == decisive => Ok(Value::Bool(decisive)),
                (_, Err(stop)) if stop.is_final() => return Err(stop),
                (Err(first), _) => Err(first),
                (Ok(_), Ok(Value::Bool(_))) => accumulated,
                (Ok(_), Ok(_)) => Err(self.fault(FaultKind::NoSuchOverload)),
                (Ok(_), Err(error)) => Err(error),
            };
            place += 1;
        }
        self.charge(1)?;
        accumulated
    }

    /// Pays for `@result + 1` for each hit, and for `@result == 1` at the end.
    fn exists_one(&mut self, fold: &'a FoldStep, range: Value<'a>) -> Outcome<'a> {
        let mut count: Result<u64, Stop<'a>> = Ok(0);
        let mut place = 0;
        while self.advance(fold, range, place) {
            match self.decide(Some(&fold.body), fold)? {
                Ok(true) => {
                    self.charge(2)?;
                    count = count.map(|count| count + 1);
                }
                Ok(false) => {}
                Err(error) => count = Err(error),
            }
            place += 1;
        }
        self.charge(2)?;
        count.map(|count| Value::Bool(count == 1))
    }

    /// What a filter says of the item; `Err` outside is the end of the evaluation.
    fn decide(
        &mut self,
        filter: Option<&'a crate::cel::plan::Step>,
        fold: &FoldStep,
    ) -> Result<Result<bool, Stop<'a>>, Stop<'a>> {
        let Some(filter) = filter else { return Ok(Ok(true)) };
        match self.eval(filter) {
            Ok(Value::Bool(value)) => Ok(Ok(value)),
            Ok(_) => {
                let arena = self.evaluation.arena();
                Ok(Err(self.fault(FaultKind::NoSuchOverload).at(fold.span, arena)))
            }
            Err(stop) if stop.is_final() => Err(stop),
            Err(error) => Ok(Err(error)),
        }
    }

    /// `map`, `filter`, `transformList`: each item pays for `@result + [item]`; the end for `@result`.
    fn collect_list(&mut self, fold: &'a FoldStep, range: Value<'a>) -> Outcome<'a> {
        let arena = self.evaluation.arena();
        let full = |exhausted: Exhausted| exhausted.fault(arena);
        let is_filter = fold.kind == FoldKind::Filter;
        let filter = if is_filter { Some(&fold.body) } else { fold.filter.as_ref() };
        let mut kept = arena.vec(0).map_err(full)?;
        let mut fault: Option<Stop<'a>> = None;
        let mut place = 0;
        while self.advance(fold, range, place) {
            place += 1;
            match self.decide(filter, fold)? {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    fault = Some(error);
                    continue;
                }
            }
            // `@result`, the list of one, and joining them; `filter` also names the item.
            self.charge(1)?;
            let item = if is_filter {
                self.charge(1)?;
                Ok(self.local(fold.slot))
            } else {
                self.eval(&fold.body)
            };
            if let Err(stop) = item
                && stop.is_final()
            {
                return Err(stop);
            }
            self.charge(cost::LIST + 1)?;
            match item {
                Ok(item) => kept.push(item),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        self.charge(1)?;
        match fault {
            Some(fault) => Err(fault),
            None => Ok(Value::List(List::values(kept.into_bump_slice()))),
        }
    }

    /// `transformMap`, `transformMapEntry`: each item pays for inserting it into `@result`.
    fn collect_map(&mut self, fold: &'a FoldStep, range: Value<'a>) -> Outcome<'a> {
        let arena = self.evaluation.arena();
        let full = |exhausted: Exhausted| exhausted.fault(arena);
        let mut kept = arena.vec(0).map_err(full)?;
        let mut fault: Option<Stop<'a>> = None;
        let mut place = 0;
        while self.advance(fold, range, place) {
            place += 1;
            match self.decide(fold.filter.as_ref(), fold)? {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    fault = Some(error);
                    continue;
                }
            }
            let entries = fold.kind == FoldKind::TransformMapEntry;
            // `@result`, the key where it is named, and the call.
            self.charge(if entries { 1 } else { 2 })?;
            let item = self.eval(&fold.body);
            if let Err(stop) = item
                && stop.is_final()
            {
                return Err(stop);
            }
            match item {
                Err(error) => {
                    self.charge(1)?;
                    fault = fault.or(Some(error));
                }
                Ok(Value::Map(map)) if entries => {
                    self.charge(1)?;
                    kept.extend(map.iter());
                }
                Ok(value) => {
                    self.charge(1)?;
                    kept.push((self.local(fold.slot), value));
                }
            }
        }
        self.charge(1)?;
        match fault {
            Some(fault) => Err(fault),
            None => Map::entries(kept.into_bump_slice(), arena).map(Value::Map).map_err(full),
        }
    }

    /// `optMap` and `optFlatMap`: `x.hasValue() ? optional.of(..) : optional.none()`, where the body
    /// names `x.value()`, which is evaluated when it is first used.
    fn open(&mut self, fold: &'a FoldStep) -> Outcome<'a> {
        let before = self.cost();
        let range = self.eval(&fold.range)?;
        let paid = self.cost() - before;
        self.charge(1)?;
        let Value::Optional(inner) = range else {
            return Err(self.fault(FaultKind::NoSuchOverload));
        };
        let Some(inner) = inner else {
            self.charge(1)?;
            return Ok(Value::Optional(None));
        };
        self.set_local(fold.slot, *inner);
        let outer = std::mem::replace(&mut self.unpaid, paid + 1);
        let body = self.eval(&fold.body);
        self.unpaid = outer;
        if fold.kind == FoldKind::OptFlatMap {
            return body;
        }
        self.charge(1)?;
        Ok(Value::Optional(Some(self.evaluation.arena().keep(body?))))
    }

    /// `sortBy`: the keys are mapped as by `map`, and the list is sorted by them.
    fn sort_by(&mut self, fold: &'a FoldStep) -> Outcome<'a> {
        let arena = self.evaluation.arena();
        let Value::List(list) = self.eval(&fold.range)? else {
            return Err(self.fault(FaultKind::NoSuchOverload));
        };
        // Naming the list twice.
        self.charge(2)?;
        let Value::List(keys) = self.collect_list(fold, Value::List(list))? else {
            return Err(self.fault(FaultKind::NoSuchOverload));
        };
        // Comparing costs only where it was known beforehand what is compared.
        let cost = if fold.ordered { library::self_compare(Some(Value::List(keys))) } else { 1 };
        self.charge(cost)?;
        library::sort_by_keys(list, keys, arena)
    }
}

/// What Go calls the type of a value.
fn go_name(value: Value<'_>) -> &'static str {
    match value {
        Value::Null => "types.Null",
        Value::Bool(_) => "types.Bool",
        Value::Int(_) => "types.Int",
        Value::Uint(_) => "types.Uint",
        Value::Double(_) => "types.Double",
        Value::String(_) => "types.String",
        Value::Bytes(_) => "types.Bytes",
        Value::Timestamp(_) => "types.Timestamp",
        Value::Duration(_) => "types.Duration",
        _ => "*types.Type",
    }
}
