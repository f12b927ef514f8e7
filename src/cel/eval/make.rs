//! Making lists, maps and structs. What is made lies in the arena.

use crate::cel::cost;
use crate::cel::diagnostic::Span;
use crate::cel::eval::Machine;
use crate::cel::eval::fields::unfit_for_patch;
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::not_a_key;
use crate::cel::plan::{MakeEntry, MakeList, MakeMap, MakeStruct};
use crate::cel::value::{List, Map, Struct, Value, anew, is_key, same_key};

impl<'a> Machine<'a, '_> {
    pub(super) fn make_list(&mut self, list: &'a MakeList) -> Outcome<'a> {
        let arena = self.evaluation.arena();
        let mut values = arena.vec(list.elements.len()).map_err(self.full())?;
        let mut fault = None;
        for (step, optional) in &list.elements {
            match self.eval(step) {
                Ok(value) => match optional_item(value, *optional) {
                    Ok(value) => values.extend(value),
                    Err(()) => {
                        fault = Some(Fault::text(
                            arena,
                            format_args!(
                                "cannot initialize optional list element from non-optional value {value}"
                            ),
                        ));
                    }
                },
                Err(error) => fault = Some(error),
            }
            if fault.is_some() {
                break;
            }
        }
        self.made(cost::LIST, fault, list.span)?;
        Ok(Value::List(List::values(values.into_bump_slice())))
    }

    /// Pays for what was made, or would have been but for a fault.
    fn made(
        &mut self,
        cost: u64,
        fault: Option<&'a Fault<'a>>,
        span: Span,
    ) -> Result<(), &'a Fault<'a>> {
        if let Some(stop) = fault.filter(|fault| fault.is_final()) {
            return Err(stop);
        }
        self.charge(cost)?;
        fault.map_or(Ok(()), |fault| Err(fault.at(span, self.evaluation.arena())))
    }

    pub(super) fn make_map(&mut self, map: &'a MakeMap) -> Outcome<'a> {
        let arena = self.evaluation.arena();
        let mut entries = arena.vec(map.entries.len()).map_err(self.full())?;
        let mut fault = None;
        for MakeEntry { key, is_named, value, optional } in &map.entries {
            let entry = self.eval(key).and_then(|key| Ok((key, self.eval(value)?)));
            match entry {
                Ok((key, _)) if !is_key(key) => fault = Some(not_a_key(key, arena)),
                Ok((key, value)) => match optional_item(value, *optional) {
                    Ok(Some(value)) => {
                        let key = if *is_named { Ok(key) } else { anew(key, arena) };
                        entries.push((key.map_err(self.full())?, value));
                    }
                    Ok(None) => entries.retain(|(known, _)| !same_key(*known, key)),
                    Err(()) => fault = Some(self.not_optional(key, value)),
                },
                Err(error) => fault = Some(error),
            }
            if fault.is_some() {
                break;
            }
        }
        self.made(cost::MAP, fault, map.span)?;
        Map::entries(entries.into_bump_slice(), arena).map(Value::Map).map_err(self.full())
    }

    #[cold]
    fn not_optional(&self, key: Value<'a>, value: Value<'a>) -> &'a Fault<'a> {
        Fault::text(
            self.evaluation.arena(),
            format_args!(
                "cannot initialize optional entry '{key}' from non-optional value {value}"
            ),
        )
    }

    pub(super) fn make_struct(&mut self, object: &'a MakeStruct) -> Outcome<'a> {
        let arena = self.evaluation.arena();
        let mut fields = arena.vec(object.fields.len()).map_err(self.full())?;
        let mut fault = None;
        for (name, step, optional) in &object.fields {
            let name: &'a str = name;
            match self.eval(step) {
                Ok(value) => match optional_item(value, *optional) {
                    Ok(value) => {
                        // What is written last counts, and takes away what was there if it is nothing.
                        fields.retain(|(known, _)| *known != name);
                        fields.extend(value.map(|value| (name, value)));
                    }
                    Err(()) => fault = Some(self.not_optional(Value::String(name), value)),
                },
                Err(error) => fault = Some(error),
            }
            if fault.is_some() {
                break;
            }
        }
        self.made(cost::STRUCT, fault, object.span)?;
        let (name, fields) = (&*object.name, fields.into_bump_slice());
        let made = Struct { name, fields };
        match unfit_for_patch(made) {
            Some(field) => Err(Fault::text(
                arena,
                format_args!("unexpected type for JSONPatchType '{field}' field"),
            )),
            None => Ok(Value::Struct(made)),
        }
    }
}

/// An item as it goes into a list, map or struct; nothing if it is an empty optional.
fn optional_item(value: Value<'_>, optional: bool) -> Result<Option<Value<'_>>, ()> {
    match value {
        value if !optional => Ok(Some(value)),
        Value::Optional(inner) => Ok(inner.copied()),
        _ => Err(()),
    }
}
