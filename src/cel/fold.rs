//! Runs the macros that go over a range. They cost what their expansion costs in cel-go: the comments
//! say which parts of it are paid for.

use crate::cel::ast::FoldKind;
use crate::cel::cost;
use crate::cel::eval::Machine;
use crate::cel::fault::{Fault, FaultKind, Outcome};
use crate::cel::library;
use crate::cel::plan::{FoldStep, Step};
use crate::cel::value::{Constant, Exhausted, List, Map, Value, other_numbers, same_key};

/// How many entries are compared with one another to name the key that was made twice.
const NAMED_MAX: usize = 1_000;

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
                let name = library::go_name(other);
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
        filter: Option<&'a Step>,
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
        // A list of one constant is a constant, and free.
        let is_constant = !is_filter && matches!(fold.body, Step::Constant(_));
        let list = if is_constant { 0 } else { cost::LIST };
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
                self.settled(&fold.body)?
            };
            self.charge(list + 1)?;
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
            self.charge(1)?;
            if !entries {
                // Of three arguments none is evaluated after one that is an error.
                if fault.is_some() {
                    continue;
                }
                self.charge(u64::from(fold.key.is_none()))?;
            }
            let item = self.settled(&fold.body)?;
            self.charge(1)?;
            match item {
                Err(error) => fault = fault.or(Some(error)),
                Ok(Value::Map(map)) if entries => kept.extend(map.iter()),
                Ok(value) => {
                    let key = fold.key.as_ref().map_or(self.local(fold.slot), Constant::value);
                    kept.push((key, value));
                }
            }
        }
        self.charge(1)?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let kept = kept.into_bump_slice();
        let map = Map::entries(kept, arena).map_err(full)?;
        if map.len() < kept.len() {
            return Err(self.key_exists(made_twice(kept)));
        }
        match found_as_another(map) {
            Some(key) => Err(self.key_exists(Some(key))),
            None => Ok(Value::Map(map)),
        }
    }

    /// The fault of making two entries with the same key.
    #[cold]
    fn key_exists(&self, key: Option<Value<'a>>) -> Stop<'a> {
        let arena = self.evaluation.arena();
        match key {
            Some(key) => {
                Fault::text(arena, format_args!("insert failed: key {key} already exists"))
            }
            None => Fault::message(arena, "insert failed: key already exists"),
        }
    }

    /// `optMap` and `optFlatMap`: `x.hasValue() ? optional.of(..) : optional.none()`, where the body
    /// names `x.value()`, which is evaluated when it is first used.
    fn open(&mut self, fold: &'a FoldStep) -> Outcome<'a> {
        // The optional is evaluated again, when what it names has been paid for.
        let before = self.cost().saturating_sub(self.paid_outside(fold.slot));
        let range = self.settled(&fold.range)?;
        let paid = self.cost().saturating_sub(self.paid_outside(fold.slot)).saturating_sub(before);
        self.charge(1)?;
        let Value::Optional(inner) = range? else {
            return Err(self.fault(FaultKind::NoSuchOverload));
        };
        let Some(inner) = inner else {
            self.charge(1)?;
            return Ok(Value::Optional(None));
        };
        self.set_local(fold.slot, *inner);
        self.owe(fold.slot, paid + 1);
        let body = self.settled(&fold.body)?;
        if fold.kind == FoldKind::OptFlatMap {
            return body;
        }
        self.charge(1)?;
        Ok(Value::Optional(Some(self.evaluation.arena().keep(body?))))
    }

    /// `sortBy`: the keys are mapped as by `map`, and the list is sorted by them.
    fn sort_by(&mut self, fold: &'a FoldStep) -> Outcome<'a> {
        let range = self.settled(&fold.range)?;
        // Naming the range twice.
        self.charge(2)?;
        let keys = match range {
            Ok(range @ (Value::List(_) | Value::Map(_))) => self.collect_list(fold, range),
            Ok(_) => Err(self.fault(FaultKind::NoSuchOverload)),
            Err(fault) => Err(fault),
        };
        // Comparing costs only where it was known beforehand what is compared.
        if fold.ordered {
            match keys {
                Err(stop) if stop.is_final() => return Err(stop),
                Err(_) => return Err(library::not_a_list(None, self.evaluation.arena())),
                Ok(keys) => self.charge(library::self_compare(Some(keys)))?,
            }
        } else {
            keys.or_else(|stop| if stop.is_final() { Err(stop) } else { Ok(Value::Null) })?;
            self.charge(1)?;
        }
        match (range?, keys?) {
            (Value::List(list), Value::List(keys)) => {
                library::sort_by_keys(list, keys, self.evaluation.arena())
            }
            _ => Err(self.fault(FaultKind::NoSuchOverload)),
        }
    }
}

/// The key that two of these entries have, if they are among the first ones.
#[cold]
fn made_twice<'a>(entries: &[(Value<'a>, Value<'a>)]) -> Option<Value<'a>> {
    let earlier = |place: usize| entries.iter().take(place);
    entries.iter().take(NAMED_MAX).enumerate().find_map(|(place, (key, _))| {
        earlier(place).any(|(known, _)| same_key(*known, *key)).then_some(*key)
    })
}

/// The first key of a map that would have been found before it was inserted, as a number of another type.
fn found_as_another(map: Map<'_>) -> Option<Value<'_>> {
    map.iter().enumerate().map(|(place, (key, _))| (place, key)).find_map(|(place, key)| {
        let known = |number| map.exact(number).is_some_and(|earlier| earlier < place);
        other_numbers(key).into_iter().flatten().any(known).then_some(key)
    })
}
