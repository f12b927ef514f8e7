//! Makes expressions that are well typed, or nearly: every operator, macro and function that the libraries declare, over the
//! variables that a case declares.

use std::sync::LazyLock;

use portcullis::cel::LIBRARIES;
use serde_json::Value as Json;

use crate::literals::literal;
use crate::random::Random;
use crate::tree::Node;
use crate::types::{Bound, Signature, Ty, fill, list, map, optional, signature, unify};

/// How many of a hundred pieces are made of another type than the one that is wanted.
const WRONG_TYPE_PERCENT: usize = 2;

/// An overload of some function.
struct Callable {
    name: &'static str,
    signature: Signature,
}

static CALLABLES: LazyLock<Vec<Callable>> = LazyLock::new(|| {
    let functions = LIBRARIES.iter().flat_map(|library| library.functions);
    let overloads =
        functions.flat_map(|function| function.overloads.iter().map(move |o| (function.name, o)));
    overloads
        .map(|(name, overload)| Callable { name, signature: signature(overload.signature) })
        .collect()
});

/// A name that can be used, and what is known of it.
#[derive(Clone)]
pub struct Known {
    pub name: String,
    pub ty: Ty,
    /// What it holds, where that is JSON: then paths can lead into it.
    pub holds: Option<Json>,
}

pub struct Generator<'r> {
    pub random: &'r mut Random,
    pub known: Vec<Known>,
    /// Numbers the variables of macros.
    pub names: usize,
    /// Whether there is `Object` and `JSONPatch`.
    pub has_mutation: bool,
}

impl Generator<'_> {
    /// An expression of some type.
    pub fn any(&mut self, depth: usize) -> Node {
        let ty = self.ty(2);
        self.expr(&ty, depth)
    }

    /// A type that an expression can have.
    fn ty(&mut self, depth: usize) -> Ty {
        match self.random.below(if depth == 0 { 13 } else { 19 }) {
            0..=3 => Ty::Bool,
            4 | 5 => Ty::Int,
            6 => Ty::Uint,
            7 => Ty::Double,
            8 | 9 => Ty::String,
            10 => Ty::Dyn,
            11 => self
                .random
                .pick(&[Ty::Bytes, Ty::Null, Ty::Type, Ty::Timestamp, Ty::Duration])
                .clone(),
            12 => {
                let made = self.random.pick(&CALLABLES).signature.result.clone();
                if matches!(made, Ty::Opaque(_)) { made } else { Ty::Bool }
            }
            13..=15 => list(self.ty(depth - 1)),
            16 | 17 => {
                let key = self
                    .random
                    .pick(&[Ty::String, Ty::String, Ty::Int, Ty::Uint, Ty::Bool])
                    .clone();
                map(key, self.ty(depth - 1))
            }
            _ => optional(self.ty(depth - 1)),
        }
    }

    /// An expression of this type, or nearly always.
    pub fn expr(&mut self, ty: &Ty, depth: usize) -> Node {
        self.expr_for(ty, depth, "")
    }

    fn expr_for(&mut self, wanted: &Ty, depth: usize, function: &str) -> Node {
        let other;
        let ty = if self.random.percent(WRONG_TYPE_PERCENT) {
            other = self.ty(1);
            &other
        } else {
            wanted
        };
        if depth == 0 || self.random.percent(12) {
            return self.leaf(ty, function);
        }
        for _ in 0..4 {
            let made = match self.random.below(20) {
                0 | 1 => Some(self.leaf(ty, function)),
                2..=4 => self.path(ty),
                5 => Some(self.choice(ty, depth)),
                6 | 7 => self.aggregate(ty, depth),
                8..=10 => self.macros(ty, depth),
                11 => Some(self.indexed(ty, depth)),
                12 => self.logic(ty, depth),
                13 => self.special(ty, depth),
                _ => self.call(ty, depth),
            };
            if let Some(made) = made {
                return made;
            }
        }
        self.leaf(ty, function)
    }

    fn leaf(&mut self, ty: &Ty, function: &str) -> Node {
        if self.random.percent(50)
            && let Some(path) = self.path(ty)
        {
            return path;
        }
        if let Some(literal) = literal(self.random, ty, function) {
            return literal;
        }
        match ty {
            Ty::List(of) => {
                let count = self.random.below(4);
                let items = (0..count).map(|_| self.leaf(of, function)).collect();
                Node::sequence(ty.clone(), "[", items, "]")
            }
            Ty::Map(key, value) => self.map_of(ty, key, value, 0),
            Ty::Optional(of) if self.random.percent(70) => {
                let inner = self.leaf(of, function);
                Node::of(ty.clone(), "optional.of($)", vec![inner])
            }
            Ty::Optional(_) => Node::text(ty.clone(), "optional.none()"),
            Ty::Dyn => {
                let of = self.ty(1);
                let inner = self.leaf(&of, function);
                if self.random.percent(70) {
                    Node::of(Ty::Dyn, "dyn($)", vec![inner])
                } else {
                    inner
                }
            }
            other => match self.constructor(other) {
                Some(made) => made,
                None => Node::text(other.clone(), "null"),
            },
        }
    }

    /// A call of a function that gives a type which has no literals, from literals.
    fn constructor(&mut self, ty: &Ty) -> Option<Node> {
        let makers: Vec<&Callable> = CALLABLES
            .iter()
            .filter(|c| c.signature.result == *ty && !c.signature.params.contains(ty))
            .collect();
        if makers.is_empty() {
            return None;
        }
        let maker = *self.random.pick(&makers);
        // What makes it may itself need what has no literal; then a level deeper there is an end.
        Some(self.called(maker, &mut Bound::new(), 0))
    }

    fn map_of(&mut self, ty: &Ty, key: &Ty, value: &Ty, depth: usize) -> Node {
        let mut entries = Vec::new();
        for _ in 0..self.random.below(4) {
            let key = self.expr(key, depth / 2);
            entries.push(if self.random.percent(8) {
                let value = self.expr(&optional(value.clone()), depth);
                Node::of(Ty::Null, "?$: $", vec![key, value])
            } else {
                let value = self.expr(value, depth);
                Node::of(Ty::Null, "$: $", vec![key, value])
            });
        }
        Node::sequence(ty.clone(), "{", entries, "}")
    }

    /// A variable, and a way into what it holds.
    fn path(&mut self, ty: &Ty) -> Option<Node> {
        let fitting: Vec<Known> = self
            .known
            .iter()
            .filter(|known| known.ty == *ty || (known.ty == Ty::Dyn && known.holds.is_some()))
            .cloned()
            .collect();
        if fitting.is_empty() {
            return None;
        }
        let known = self.random.pick(&fitting).clone();
        let Some(mut at) = known.holds.as_ref().filter(|_| known.ty == Ty::Dyn) else {
            return Some(Node::text(known.ty, known.name));
        };
        let mut text = known.name.clone();
        let mut is_optional = false;
        for _ in 0..self.random.below(5) {
            let (hop, next) = match at {
                Json::Object(fields) if !fields.is_empty() => {
                    let place = self.random.below(fields.len());
                    let (key, value) = fields.iter().nth(place)?;
                    (self.field_hop(key, &mut is_optional), value)
                }
                Json::Array(items) if !items.is_empty() => {
                    let place = self.random.below(items.len());
                    let hop = if self.random.percent(10) { "[?" } else { "[" };
                    is_optional |= hop == "[?";
                    (format!("{hop}{place}]"), &items[place])
                }
                _ => break,
            };
            text.push_str(&hop);
            at = next;
        }
        if self.random.percent(10) {
            text.push_str(&self.field_hop("missing", &mut is_optional));
            at = &Json::Null;
        }
        let ends_in_field = text.rsplit('.').next().is_some_and(|last| !last.contains(['[', '?']));
        if *ty == Ty::Bool && ends_in_field && text.contains('.') && self.random.percent(40) {
            return Some(Node::text(Ty::Bool, format!("has({text})")));
        }
        if is_optional {
            let found = Node::text(optional(Ty::Dyn), text);
            return Some(match ty {
                Ty::Optional(_) => found,
                Ty::Bool => Node::of(Ty::Bool, "$.hasValue()", vec![found]),
                other => {
                    let other_value = self.leaf(other, "");
                    Node::of(other.clone(), "$.orValue($)", vec![found, other_value])
                }
            });
        }
        let fits = match at {
            Json::Null => *ty == Ty::Null,
            Json::Bool(_) => *ty == Ty::Bool,
            Json::Number(_) => matches!(ty, Ty::Int | Ty::Double | Ty::Uint),
            Json::String(_) => *ty == Ty::String,
            Json::Array(_) => matches!(ty, Ty::List(_)),
            Json::Object(_) => matches!(ty, Ty::Map(..)),
        };
        (fits || *ty == Ty::Dyn || self.random.percent(15)).then(|| Node::text(ty.clone(), text))
    }

    fn field_hop(&mut self, key: &str, is_optional: &mut bool) -> String {
        let question = self.random.percent(12);
        *is_optional |= question;
        let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key != "in";
        match (question, plain && self.random.percent(80)) {
            (false, true) => format!(".{key}"),
            (true, true) => format!(".?{key}"),
            (false, false) => format!("['{key}']"),
            (true, false) => format!("[?'{key}']"),
        }
    }

    fn choice(&mut self, ty: &Ty, depth: usize) -> Node {
        let parts = vec![
            self.expr(&Ty::Bool, depth - 1),
            self.expr(ty, depth - 1),
            self.expr(ty, depth - 1),
        ];
        Node::of(ty.clone(), "($ ? $ : $)", parts)
    }

    fn aggregate(&mut self, ty: &Ty, depth: usize) -> Option<Node> {
        match ty {
            Ty::List(of) => {
                let mut items = Vec::new();
                for _ in 0..self.random.below(5) {
                    items.push(if self.random.percent(8) {
                        let item = self.expr(&optional((**of).clone()), depth - 1);
                        Node::of(item.ty.clone(), "?$", vec![item])
                    } else {
                        self.expr(of, depth - 1)
                    });
                }
                Some(Node::sequence(ty.clone(), "[", items, "]"))
            }
            Ty::Map(key, value) => Some(self.map_of(ty, key, value, depth - 1)),
            Ty::Optional(of) => {
                let inner = self.expr(of, depth - 1);
                Some(Node::of(ty.clone(), "optional.of($)", vec![inner]))
            }
            Ty::Dyn => {
                let of = self.ty(2);
                let inner = self.expr(&of, depth - 1);
                Some(Node::of(Ty::Dyn, "dyn($)", vec![inner]))
            }
            Ty::Type => {
                let of = self.ty(2);
                let inner = self.expr(&of, depth - 1);
                Some(Node::of(Ty::Type, "type($)", vec![inner]))
            }
            _ => None,
        }
    }

    fn indexed(&mut self, ty: &Ty, depth: usize) -> Node {
        let question = matches!(ty, Ty::Optional(_));
        let inner = match ty {
            Ty::Optional(of) => (**of).clone(),
            other => other.clone(),
        };
        let pattern = if question { "$[?$]" } else { "$[$]" };
        let by_key = self.random.percent(50);
        let (range, key) =
            if by_key { (map(Ty::String, inner), Ty::String) } else { (list(inner), Ty::Int) };
        let parts = vec![self.expr(&range, depth - 1), self.expr(&key, depth.min(2) - 1)];
        Node::of(ty.clone(), pattern, parts)
    }

    fn logic(&mut self, ty: &Ty, depth: usize) -> Option<Node> {
        (*ty == Ty::Bool).then_some(())?;
        let pattern =
            *self.random.pick(&["($ && $)", "($ || $)", "!$", "($ && $ && $)", "($ || $ || $)"]);
        let count = pattern.matches('$').count();
        let parts = (0..count).map(|_| self.expr(&Ty::Bool, depth - 1)).collect();
        Some(Node::of(Ty::Bool, pattern, parts))
    }

    /// A call of any overload that gives this type.
    fn call(&mut self, ty: &Ty, depth: usize) -> Option<Node> {
        for _ in 0..30 {
            let callable = self.random.pick(&CALLABLES);
            let mut bound = Bound::new();
            // Whatever gives anything would be found for every type; those few are enough then.
            let is_param = matches!(callable.signature.result, Ty::Param(_));
            if unify(&callable.signature.result, ty, &mut bound)
                && (!is_param || self.random.percent(30))
            {
                return Some(self.called(callable, &mut bound, depth));
            }
        }
        None
    }

    fn called(&mut self, callable: &'static Callable, bound: &mut Bound, depth: usize) -> Node {
        let below = depth.saturating_sub(1);
        let signature = &callable.signature;
        let mut args = Vec::new();
        for param in &signature.params {
            let wanted = fill(param, bound, || self.random.pick(&FREE).clone());
            args.push(if depth == 0 {
                self.leaf(&wanted, callable.name)
            } else {
                self.expr_for(&wanted, below, callable.name)
            });
        }
        let ty = fill(&signature.result, bound, || Ty::Dyn);
        let name = callable.name;
        let pattern = match name {
            "_[_]" => "$[$]".to_owned(),
            "_[?_]" => "$[?$]".to_owned(),
            "_?_:_" => "($ ? $ : $)".to_owned(),
            "@in" => "($ in $)".to_owned(),
            "!_" => "!$".to_owned(),
            "-_" => "-($)".to_owned(),
            _ if name.starts_with('_') && name.ends_with('_') => {
                format!("($ {} $)", name.trim_matches('_'))
            }
            _ if signature.member => {
                let rest = vec!["$"; args.len() - 1].join(", ");
                format!("$.{name}({rest})")
            }
            _ => format!("{name}({})", vec!["$"; args.len()].join(", ")),
        };
        Node::of(ty, &pattern, args)
    }

    /// Runs with names that only a piece knows.
    fn within<T>(&mut self, names: Vec<(String, Ty)>, make: impl FnOnce(&mut Self) -> T) -> T {
        let count = self.known.len();
        self.known.extend(names.into_iter().map(|(name, ty)| Known { name, ty, holds: None }));
        let made = make(self);
        self.known.truncate(count);
        made
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("{}{}", *self.random.pick(&["x", "y", "v"]), self.names)
    }

    /// A macro that gives this type.
    #[expect(clippy::too_many_lines, reason = "one arm for each macro, and they share the range")]
    fn macros(&mut self, ty: &Ty, depth: usize) -> Option<Node> {
        let below = depth - 1;
        let of = self.ty(1);
        let (one, two) = (self.name(), self.name());
        let over_map = self.random.percent(35);
        let (range_ty, first, second) = if over_map {
            let key = self.random.pick(&[Ty::String, Ty::Int]).clone();
            (map(key.clone(), of.clone()), key, of.clone())
        } else {
            (list(of.clone()), Ty::Int, of.clone())
        };
        let single = if over_map { first.clone() } else { of.clone() };
        let (item, pair) =
            (vec![(one.clone(), single)], vec![(one.clone(), first), (two.clone(), second)]);
        let dynamic = self.random.percent(20);
        let range_ty = if dynamic { Ty::Dyn } else { range_ty };
        let range = self.expr(&range_ty, below);
        let filtered = self.random.percent(30);
        let (vars, names) = if self.random.percent(40) {
            (pair, format!("{one}, {two}"))
        } else {
            (item, one.clone())
        };
        let double = vars.len() == 2;
        let simple =
            |pattern: String, parts: Vec<Node>| Some(Node::of(ty.clone(), &pattern, parts));
        match ty {
            Ty::Bool => {
                let body = self.within(vars, |g| g.expr(&Ty::Bool, below));
                let which = match (self.random.below(3), double) {
                    (0, _) => "all",
                    (1, _) => "exists",
                    (_, true) => "existsOne",
                    (_, false) => "exists_one",
                };
                simple(format!("$.{which}({names}, $)"), vec![range, body])
            }
            Ty::List(result) => {
                let result = (**result).clone();
                if !over_map && !double && result == of && self.random.percent(50) {
                    let body = self.within(vars, |g| g.expr(&Ty::Bool, below));
                    return simple(format!("$.filter({names}, $)"), vec![range, body]);
                }
                if !over_map && result == of && self.random.percent(30) {
                    let key =
                        self.random.pick(&[Ty::Int, Ty::String, Ty::Double, Ty::Bool]).clone();
                    let key = self.within(vec![(one.clone(), of)], |g| g.expr(&key, below));
                    return simple(format!("$.sortBy({one}, $)"), vec![range, key]);
                }
                let which = if double { "transformList" } else { "map" };
                let filter = self.within(vars.clone(), |g| g.expr(&Ty::Bool, below));
                let body = self.within(vars, |g| g.expr(&result, below));
                if filtered {
                    simple(format!("$.{which}({names}, $, $)"), vec![range, filter, body])
                } else {
                    simple(format!("$.{which}({names}, $)"), vec![range, body])
                }
            }
            Ty::Map(key, value) => {
                let vars = vec![(one.clone(), Ty::Dyn), (two.clone(), of)];
                let filter = self.within(vars.clone(), |g| g.expr(&Ty::Bool, below));
                let value = self.within(vars.clone(), |g| g.expr(value, below));
                let filtered_by = if filtered { "$, " } else { "" };
                let mut parts = vec![range];
                parts.extend(filtered.then_some(filter));
                if self.random.percent(40) {
                    // Anything can be a key, if only Go has a hash of it.
                    let other = self.random.percent(15).then(|| self.ty(1));
                    let key = other.as_ref().unwrap_or(key);
                    let key = self.within(vars, |g| g.expr(key, below));
                    parts.extend([key, value]);
                    let call = format!("$.transformMapEntry({one}, {two}, {filtered_by}{{$: $}})");
                    return simple(call, parts);
                }
                parts.push(value);
                simple(format!("$.transformMap({one}, {two}, {filtered_by}$)"), parts)
            }
            Ty::Optional(result) => {
                let range = self.expr(&optional(of.clone()), below);
                let flat = self.random.percent(40);
                let wanted = if flat { ty.clone() } else { (**result).clone() };
                let body = self.within(vec![(one.clone(), of)], |g| g.expr(&wanted, below));
                let which = if flat { "optFlatMap" } else { "optMap" };
                simple(format!("$.{which}({one}, $)"), vec![range, body])
            }
            _ => None,
        }
    }
}

/// What a type parameter is when nothing says.
const FREE: [Ty; 6] = [Ty::Int, Ty::String, Ty::Dyn, Ty::Bool, Ty::Double, Ty::Uint];
