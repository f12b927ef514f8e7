//! Whether one type can stand where another is asked for, and what that says of type variables.
//! The relation is that of cel-go's checker, whose answers Kubernetes gives.

use std::sync::Arc;

use crate::cel::types::Type;

/// What is known of the type variables of one expression.
#[derive(Default)]
pub(crate) struct Bindings {
    /// What each variable stands for.
    bound: Vec<Option<Type>>,
    /// What to restore when an attempt fails, newest last.
    trail: Vec<(usize, Option<Type>)>,
}

impl Bindings {
    /// New variables, one after the other; the number of the first.
    pub fn fresh(&mut self, count: u32) -> u32 {
        let first = self.bound.len() as u32;
        self.bound.resize(self.bound.len() + count as usize, None);
        first
    }

    /// Whether a value of the second type can stand where the first is asked for. What that says
    /// of variables is kept only if it can.
    pub fn assignable(&mut self, wanted: &Type, given: &Type) -> bool {
        self.attempt(|bindings| bindings.agree(wanted, given))
    }

    /// Whether each of the second can stand for its one of the first.
    pub fn all_assignable(&mut self, wanted: &[Type], given: &[Type]) -> bool {
        wanted.len() == given.len()
            && self.attempt(|bindings| {
                wanted.iter().zip(given).all(|(wanted, given)| bindings.agree(wanted, given))
            })
    }

    fn attempt(&mut self, check: impl FnOnce(&mut Bindings) -> bool) -> bool {
        let mark = self.trail.len();
        let agrees = check(self);
        if !agrees {
            while self.trail.len() > mark {
                if let Some((slot, old)) = self.trail.pop()
                    && let Some(bound) = self.bound.get_mut(slot)
                {
                    *bound = old;
                }
            }
        } else if mark == 0 {
            self.trail.clear();
        }
        agrees
    }

    /// The type with every known variable replaced; unknown ones become `dyn` if asked.
    pub fn substitute(&self, ty: &Type, unknown_to_dyn: bool) -> Type {
        let inner = |ty: &Type| self.substitute(ty, unknown_to_dyn);
        match ty {
            Type::Param(id) => match self.find(*id) {
                Some(bound) => self.substitute(bound, unknown_to_dyn),
                None if unknown_to_dyn => Type::Dyn,
                None => Type::Param(*id),
            },
            Type::List(element) => Type::list(inner(element)),
            Type::Map(entry) => Type::map(inner(&entry.0), inner(&entry.1)),
            Type::Optional(value) => Type::optional(inner(value)),
            Type::Type(Some(of)) => Type::Type(Some(Arc::new(inner(of)))),
            other => other.clone(),
        }
    }

    fn find(&self, id: u32) -> Option<&Type> {
        self.bound.get(id as usize).and_then(Option::as_ref)
    }

    fn bind(&mut self, id: u32, ty: Type) {
        if let Some(bound) = self.bound.get_mut(id as usize) {
            self.trail.push((id as usize, bound.replace(ty)));
        }
    }

    fn agree(&mut self, one: &Type, two: &Type) -> bool {
        if let Type::Param(id) = two {
            let (valid, known) = self.stands_for(one, *id);
            if valid || known {
                return valid;
            }
        }
        if let Type::Param(id) = one {
            return self.stands_for(two, *id).0;
        }
        match (one, two) {
            (Type::Dyn | Type::Error, _) | (_, Type::Dyn | Type::Error) => true,
            (Type::Null, Type::Null) => true,
            (Type::Null, other) | (other, Type::Null) => nullable(other),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(one), Type::List(two)) | (Type::Optional(one), Type::Optional(two)) => {
                self.agree(one, two)
            }
            (Type::Map(one), Type::Map(two)) => {
                self.agree(&one.0, &two.0) && self.agree(&one.1, &two.1)
            }
            _ => one == two,
        }
    }

    /// Whether the type may be what the variable stands for, and whether the variable already
    /// stood for something.
    fn stands_for(&mut self, ty: &Type, variable: u32) -> (bool, bool) {
        if *ty == Type::Param(variable) {
            return (true, true);
        }
        if let Some(known) = self.find(variable).cloned() {
            if known == *ty {
                return (true, true);
            }
            if !self.agree(ty, &known) {
                return (false, true);
            }
            let general = if is_as_general(ty, &known) { ty } else { &known };
            if self.is_free_of(variable, general) {
                self.bind(variable, general.clone());
            }
            return (true, true);
        }
        let free = self.is_free_of(variable, ty);
        if free {
            self.bind(variable, ty.clone());
        }
        (free, false)
    }

    /// Whether the variable does not occur in the type, so that binding it makes no circle.
    fn is_free_of(&self, variable: u32, ty: &Type) -> bool {
        match ty {
            Type::Param(id) if *id == variable => false,
            Type::Param(id) => self.find(*id).is_none_or(|known| self.is_free_of(variable, known)),
            Type::List(inner) | Type::Optional(inner) | Type::Type(Some(inner)) => {
                self.is_free_of(variable, inner)
            }
            Type::Map(entry) => {
                self.is_free_of(variable, &entry.0) && self.is_free_of(variable, &entry.1)
            }
            _ => true,
        }
    }
}

/// The more general of two types that agree.
pub(crate) fn most_general(one: &Type, two: &Type) -> Type {
    if is_as_general(one, two) { one.clone() } else { two.clone() }
}

fn nullable(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Struct(_) | Type::Opaque(_) | Type::Optional(_) | Type::Timestamp | Type::Duration
    )
}

/// Whether the first type says no more than the second.
fn is_as_general(one: &Type, two: &Type) -> bool {
    match (one, two) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::List(one), Type::List(two)) | (Type::Optional(one), Type::Optional(two)) => {
            is_as_general(one, two)
        }
        (Type::Map(one), Type::Map(two)) => {
            is_as_general(&one.0, &two.0) && is_as_general(&one.1, &two.1)
        }
        (Type::Type(_), Type::Type(_)) => true,
        _ => one == two,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_take_the_most_general_type() {
        let mut bindings = Bindings::default();
        let a = Type::Param(bindings.fresh(1));
        assert!(bindings.all_assignable(&[a.clone(), a.clone()], &[Type::Int, Type::Dyn]));
        assert_eq!(bindings.substitute(&a, true), Type::Dyn);
    }

    #[test]
    fn a_failed_attempt_leaves_no_trace() {
        let mut bindings = Bindings::default();
        let a = Type::Param(bindings.fresh(1));
        assert!(!bindings.all_assignable(&[a.clone(), a.clone()], &[Type::Int, Type::String]));
        assert_eq!(bindings.substitute(&a, false), a);
    }

    #[test]
    fn some_types_may_be_null() {
        let mut bindings = Bindings::default();
        assert!(bindings.assignable(&Type::Duration, &Type::Null));
        assert!(!bindings.assignable(&Type::Int, &Type::Null));
        assert!(bindings.assignable(&Type::Null, &Type::Opaque("net.IP")));
    }
}
