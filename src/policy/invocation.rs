//! Which policies are evaluated for a request, through which bindings and with which params; and what can't be. Nothing is
//! evaluated here.

use std::fmt;

use crate::cel::Arena;
use crate::policy::compile::Policy;
use crate::policy::facts::{Facts, NamespaceObject, Need};
use crate::policy::matching::{Matched, Matcher, Namespace};
use crate::policy::outcome::{Cause, Outcome};
use crate::policy::params::Param;
use crate::policy::request::Request;
use crate::policy::snapshot::{Asked, Binding, Bound, Snapshot};

/// One request against one snapshot.
#[derive(Clone, Copy)]
pub struct Question<'s, 'q> {
    /// Which policies are asked.
    pub asked: Asked<'q>,
    /// The request.
    pub request: &'q Request<'q>,
    /// All policies.
    pub snapshot: &'s Snapshot,
    /// What was gathered.
    pub facts: &'q Facts,
    /// Memory for what evaluation makes.
    pub arena: &'q Arena,
}

/// Why there are no outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// A fact is missing.
    Need(Need),
    /// The namespace of the request does not exist. No `failurePolicy` decides about it.
    NamespaceMissing(String),
    /// Nobody knows the schema of the object that is to be merged. No `failurePolicy` decides about it.
    Unavailable(String),
    /// A mutated object is none. No `failurePolicy` decides about it.
    Broken(String),
}

/// Why a policy is not evaluated.
pub(in crate::policy) enum Misfit<'s> {
    /// It, or its binding, can't be applied.
    Configuration(Box<Outcome<'s>>),
    /// Nothing can be.
    Halt(Halt),
}

impl From<Halt> for Misfit<'_> {
    fn from(halt: Halt) -> Self {
        Misfit::Halt(halt)
    }
}

fn misfit<'s>(
    policy: &'s Policy,
    binding: Option<&'s Binding>,
    error: impl fmt::Display,
) -> Misfit<'s> {
    let mut outcome = Outcome::new(policy, binding);
    let what = if binding.is_some() { "binding" } else { "policy" };
    outcome.fail(0, Cause::Configuration, format!("failed to configure {what}: {error}"));
    Misfit::Configuration(Box::new(outcome))
}

/// One policy, through one binding and with one param.
#[derive(Clone, Copy)]
pub(in crate::policy) struct Invocation<'s, 'q> {
    pub question: Question<'s, 'q>,
    pub policy: &'s Policy,
    pub binding: &'s Binding,
    pub param: Option<&'s Param>,
    pub matched: Matched<'q>,
    pub namespace: Option<&'q NamespaceObject>,
}

impl<'s: 'q, 'q> Question<'s, 'q> {
    /// Calls `each` for every binding and param of a policy that matches, and for what can't be applied.
    pub(in crate::policy) fn invocations(
        self,
        bound: &'s Bound,
        mut each: impl FnMut(Result<Invocation<'s, 'q>, Misfit<'s>>) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let policy = &*bound.policy;
        let matched = match self.policy_matches(policy) {
            Ok(Some(matched)) => matched,
            Ok(None) => return Ok(()),
            Err(misfit) => return each(Err(misfit)),
        };
        for binding in &bound.bindings {
            match self.binding_matches(policy, binding) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(misfit) => {
                    each(Err(misfit))?;
                    continue;
                }
            }
            let kind = policy.param_kind.as_ref();
            let source = binding.params.as_ref();
            let params = match self.snapshot.params().collect(kind, source, self.request.namespace)
            {
                Ok(params) => params,
                Err(error) => {
                    each(Err(misfit(policy, Some(binding), error)))?;
                    continue;
                }
            };
            let namespace = self.namespace_object()?;
            for param in params.iter() {
                let question = self;
                each(Ok(Invocation { question, policy, binding, param, matched, namespace }))?;
            }
        }
        Ok(())
    }

    fn policy_matches(self, policy: &'s Policy) -> Result<Option<Matched<'q>>, Misfit<'s>> {
        let namespace = self.namespace_for(&policy.matcher)?;
        let equivalents = &self.snapshot.equivalents;
        let matched = policy
            .matcher
            .matches(self.request, namespace, equivalents)
            .map_err(|error| misfit(policy, None, error))?;
        let kind = policy.param_kind.as_ref().filter(|_| matched.is_some());
        match kind.and_then(|kind| self.snapshot.params().kind_error(kind)) {
            Some(error) => Err(misfit(policy, None, error)),
            None => Ok(matched),
        }
    }

    fn binding_matches(self, policy: &'s Policy, binding: &'s Binding) -> Result<bool, Misfit<'s>> {
        let Some(matcher) = &binding.matcher else { return Ok(true) };
        let namespace = self.namespace_for(matcher)?;
        matcher
            .matches(self.request, namespace, &self.snapshot.equivalents)
            .map(|matched| matched.is_some())
            .map_err(|error| misfit(policy, Some(binding), error))
    }

    fn namespace_for(self, matcher: &Matcher) -> Result<Namespace<'q>, Halt> {
        if !matcher.reads_namespace(self.request) {
            return Ok(Namespace::Missing);
        }
        let namespace = self.find_namespace(self.request.namespace)?;
        Ok(namespace.map_or(Namespace::Missing, |object| Namespace::Exists(object.whole())))
    }

    /// What `namespaceObject` is; none for what is in no namespace.
    fn namespace_object(self) -> Result<Option<&'q NamespaceObject>, Halt> {
        let Some(name) = self.request.namespace_name() else { return Ok(None) };
        match self.find_namespace(name)? {
            Some(object) => Ok(Some(object)),
            None => Err(Halt::NamespaceMissing(name.to_owned())),
        }
    }

    /// The facts of the request win over the snapshot: they are newer.
    fn find_namespace(self, name: &str) -> Result<Option<&'q NamespaceObject>, Halt> {
        match (self.facts.namespace(name), self.snapshot.namespace(name)) {
            (Some(known), _) => Ok(known),
            (None, Some(object)) => Ok(Some(object)),
            (None, None) => Err(Halt::Need(Need::Namespace(name.to_owned()))),
        }
    }
}
