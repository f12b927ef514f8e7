//! The functions of the language: what each is called, takes, gives, costs, and since when; one file
//! for each library. To add a function, add a [`Function`] to the table of its library; to add a
//! library, add its file and its table to [`LIBRARIES`]. The checker, the planner, the command
//! line and the documentation all read these tables.

mod authorizer;
mod cidr;
mod format;
mod formats;
mod ip;
mod jsonpatch;
mod lists;
mod mismatch;
mod operators;
mod optionals;
mod quantity;
mod regex;
mod semver;
mod sets;
mod standard;
mod strings;
mod time;
mod url;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::cel::cost::Charge;
use crate::cel::fault::Outcome;
use crate::cel::library::signature::Signature;
pub(crate) use crate::cel::library::standard::double_text;
use crate::cel::types::Type;
use crate::cel::value::{Context, Value};
use crate::cel::version::Version;

pub(crate) use crate::cel::library::lists::{self_compare, sort_by_keys};
pub(crate) use crate::cel::library::mismatch::{
    go_name, mismatch, not_a_depth, not_a_key, not_a_list, takes,
};

pub(crate) mod signature;

/// The most arguments that any overload has, its receiver among them.
pub(crate) const ARGS_MAX: usize = 4;

/// A library: its name and its functions.
pub struct Library {
    /// What it is called in the documentation.
    pub name: &'static str,
    /// Its functions.
    pub functions: &'static [Function],
}

/// Every library, in the order of the documentation.
pub const LIBRARIES: &[Library] = &[
    Library { name: "operators", functions: operators::FUNCTIONS },
    Library { name: "standard", functions: standard::FUNCTIONS },
    Library { name: "time", functions: time::FUNCTIONS },
    Library { name: "strings", functions: strings::FUNCTIONS },
    Library { name: "patterns", functions: regex::FUNCTIONS },
    Library { name: "templates", functions: format::FUNCTIONS },
    Library { name: "lists", functions: lists::FUNCTIONS },
    Library { name: "optionals", functions: optionals::FUNCTIONS },
    Library { name: "sets", functions: sets::FUNCTIONS },
    Library { name: "quantities", functions: quantity::FUNCTIONS },
    Library { name: "versions", functions: semver::FUNCTIONS },
    Library { name: "URLs", functions: url::FUNCTIONS },
    Library { name: "IP addresses", functions: ip::FUNCTIONS },
    Library { name: "networks", functions: cidr::FUNCTIONS },
    Library { name: "formats", functions: formats::FUNCTIONS },
    Library { name: "authorizer", functions: authorizer::FUNCTIONS },
    Library { name: "JSON patch", functions: jsonpatch::FUNCTIONS },
];

/// A function: one name, all its overloads, one implementation.
pub struct Function {
    /// The name it is called by; operators have the names of the specification, such as `_+_`.
    pub name: &'static str,
    /// What it is for, in one line.
    pub about: &'static str,
    /// The types it takes and gives.
    pub overloads: &'static [Overload],
    /// Expressions and what they are: the documentation shows them, and a test runs them.
    pub examples: &'static [(&'static str, &'static str)],
    /// What a call costs, but for an overload that has a cost of its own.
    pub(crate) cost: Option<Charge>,
    /// Evaluates a call. It gets as many arguments as some overload has, the receiver first, of any
    /// types, and answers `no such overload` for types it does not take.
    pub(crate) run: Run,
}

/// The code of a function.
pub(crate) type Run = for<'a> fn(Context<'a>, &[Value<'a>]) -> Outcome<'a>;

/// One signature of a function.
pub struct Overload {
    /// The name that Kubernetes gives it.
    pub id: &'static str,
    /// Its types, written as `string.(int) -> string` for a member and `(int) -> string` otherwise;
    /// `<A>` is a type parameter.
    pub signature: &'static str,
    /// The first release that has it.
    pub since: Version,
    /// What a call costs when the checker found that it is of this overload and of no other.
    pub(crate) cost: Charge,
}

/// A function whose overloads say what a call costs.
const fn function(
    name: &'static str,
    about: &'static str,
    overloads: &'static [Overload],
    examples: &'static [(&'static str, &'static str)],
    run: Run,
) -> Function {
    Function { name, about, overloads, examples, cost: None, run }
}

/// An overload that was always there and costs 1.
const fn overload(id: &'static str, signature: &'static str) -> Overload {
    Overload { id, signature, since: Version::BASE, cost: Charge::One }
}

impl Overload {
    const fn since(mut self, minor: u8) -> Overload {
        self.since = Version::v1(minor);
        self
    }

    const fn costs(mut self, cost: Charge) -> Overload {
        self.cost = cost;
        self
    }
}

/// A function with its signatures read.
pub(crate) struct Declared {
    pub function: &'static Function,
    pub overloads: Vec<DeclaredOverload>,
}

/// An overload with its signature read.
pub(crate) struct DeclaredOverload {
    pub overload: &'static Overload,
    pub signature: Signature,
}

static DECLARED: LazyLock<HashMap<&'static str, Declared>> = LazyLock::new(|| {
    let functions = LIBRARIES.iter().flat_map(|library| library.functions);
    functions.map(|function| (function.name, declare(function))).collect()
});

fn declare(function: &'static Function) -> Declared {
    let overloads = function.overloads.iter().filter_map(|overload| {
        let signature = Signature::parse(overload.signature)?;
        Some(DeclaredOverload { overload, signature })
    });
    Declared { function, overloads: overloads.collect() }
}

/// Whether the second argument of a function is a pattern, which is compiled beforehand if it is a
/// constant.
pub(crate) fn takes_pattern(function: &Function) -> bool {
    matches!(function.name, "matches" | "find" | "findAll")
}

/// The function of this name, if any release has it.
pub(crate) fn find(name: &str) -> Option<&'static Declared> {
    DECLARED.get(name)
}

/// The types of the parameters of an overload.
pub(crate) fn params(overload: &'static Overload) -> Option<&'static [Type]> {
    PARAMS.get(overload.id).map(Vec::as_slice)
}

static PARAMS: LazyLock<HashMap<&'static str, Vec<Type>>> = LazyLock::new(|| {
    let overloads = DECLARED.values().flat_map(|declared| &declared.overloads);
    overloads.map(|declared| (declared.overload.id, declared.signature.params.clone())).collect()
});

/// The names of all functions that this release has, for suggestions.
pub(crate) fn names(version: Version) -> impl Iterator<Item = &'static str> {
    let has = move |function: &Function| function.overloads.iter().any(|o| o.since <= version);
    DECLARED.values().filter(move |d| has(d.function)).map(|declared| declared.function.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::env::Env;

    #[test]
    fn every_signature_reads_and_every_name_is_declared_once() {
        let mut names = Vec::new();
        for function in LIBRARIES.iter().flat_map(|library| library.functions) {
            names.push(function.name);
            assert!(!function.overloads.is_empty(), "{}", function.name);
            for overload in function.overloads {
                let signature = Signature::parse(overload.signature);
                let params = signature.map(|signature| signature.params.len());
                assert!(params.is_some_and(|params| params <= ARGS_MAX), "{}", overload.signature);
            }
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_example_is_true() {
        let env = Env::kubernetes(Version::LATEST).mutation();
        for function in LIBRARIES.iter().flat_map(|library| library.functions) {
            for (source, expect) in function.examples {
                let seen = crate::cel::test_support::evaluate(&env, source);
                assert_eq!(seen, *expect, "{}: {source}", function.name);
            }
        }
    }
}
