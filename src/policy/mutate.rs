//! What mutating policies make of a request's object: invocations in order, each mutation over what the ones before it
//! left, and once more for those that ask to be reinvoked. Pure and synchronous; the semantics are those of
//! `k8s.io/apiserver/pkg/admission/plugin/policy/mutating`, except that the order is defined.

use serde_json::Value as Json;

use crate::cel::Value;
use crate::json::{Document, Node};
use crate::policy::api::{PatchType, ReinvocationPolicy};
use crate::policy::apply;
use crate::policy::budget::POLICY_COST_MAX;
use crate::policy::compile::{Body, Expression, Mutation};
use crate::policy::facts::NamespaceObject;
use crate::policy::images::Pin;
use crate::policy::invocation::{Halt, Invocation, Misfit, Question};
use crate::policy::outcome::{Cause, Outcome};
use crate::policy::pace::Pace;
use crate::policy::params::Param;
use crate::policy::patch::{NotApplied, Operation as PatchOperation, apply as apply_patch};
use crate::policy::request::{Operation, Request};
use crate::policy::type_names::check_type_names;

/// What all mutating policies did.
#[derive(Debug)]
pub struct Mutated<'s> {
    /// What each of them says, in order; what can't be applied comes first.
    pub outcomes: Vec<Outcome<'s>>,
    /// The object as they left it; none if it is as it was.
    pub object: Option<Changed>,
}

/// Lets every mutating policy that matches change the object.
///
/// # Errors
/// When a fact is missing, or the request's namespace; when a patch leaves something that is no object.
pub fn mutate<'s: 'q, 'q>(question: Question<'s, 'q>) -> Result<Mutated<'s>, Halt> {
    let mut state = State { object: None, dirty: false };
    let request = question.request;
    if request.object.is_null() || request.operation == Operation::Delete {
        return Ok(Mutated { outcomes: Vec::new(), object: None });
    }
    let mut reinvocable = Vec::new();
    let mut outcomes = state.pass(question, None, &mut reinvocable)?;
    if state.dirty && !reinvocable.is_empty() && !denied(&outcomes) {
        outcomes.extend(state.again(question, &reinvocable)?);
    }
    if !denied(&outcomes) {
        outcomes.extend(state.pin(question)?);
    }
    Ok(Mutated { outcomes, object: state.object })
}

fn denied(outcomes: &[Outcome<'_>]) -> bool {
    outcomes.iter().any(|outcome| outcome.denials().next().is_some())
}

/// Which invocation it was: the addresses of policy, binding and param, which live as long as the snapshot.
type Key = (*const (), *const (), Option<*const ()>);

fn key(invocation: &Invocation<'_, '_>) -> Key {
    let Invocation { policy, binding, param, .. } = *invocation;
    let param = param.map(|param: &Param| std::ptr::from_ref(param).cast());
    (std::ptr::from_ref(policy).cast(), std::ptr::from_ref(binding).cast(), param)
}

/// The object on its way through the policies.
struct State {
    /// None while it is still the request's own.
    object: Option<Changed>,
    /// Whether any mutation was made, even one that changed nothing.
    dirty: bool,
}

/// An object that policies changed.
#[derive(Debug)]
pub struct Changed {
    /// As it is patched.
    pub value: Json,
    /// As expressions see it.
    pub document: Document,
}

impl State {
    /// The second and last pass: policies match what the first pass made of the object.
    fn again<'s: 'q, 'q>(
        &mut self,
        question: Question<'s, 'q>,
        reinvocable: &[Key],
    ) -> Result<Vec<Outcome<'s>>, Halt> {
        // The pass changes what the state holds, so the request keeps a copy.
        let document = self.object.as_ref().map(|changed| changed.document.clone());
        let object = document.as_ref().map_or(question.request.object, Document::root);
        let request = Request { object, ..*question.request };
        let question = Question { request: &request, ..question };
        self.pass(question, Some(reinvocable), &mut Vec::new())
    }

    /// Pins the images that the other policies left to the digests that were verified.
    fn pin<'s: 'q, 'q>(&mut self, question: Question<'s, 'q>) -> Result<Vec<Outcome<'s>>, Halt> {
        let mut pace = Pace::new(question.asked.stopwatch);
        let mut outcomes = Vec::new();
        for bound in question.snapshot.matching(question.asked, question.request) {
            let Body::Images(rules) = &bound.policy.body else { continue };
            let document = self.object.as_ref().map(|changed| changed.document.clone());
            let object = document.as_ref().map_or(question.request.object, Document::root);
            let request = Request { object, ..*question.request };
            let (mut pins, mut matches) = (Vec::new(), false);
            Question { request: &request, ..question }.invocations(bound, |invocation| {
                match invocation {
                    // One binding is enough: what is pinned is the same by all.
                    Ok(_) if matches => {}
                    Ok(invocation) => {
                        matches = true;
                        pins = invocation.pins(rules)?;
                    }
                    // The verdict tells what can't be applied.
                    Err(Misfit::Configuration(_)) => {}
                    Err(Misfit::Halt(halt)) => return Err(halt),
                }
                Ok(())
            })?;
            if !matches {
                continue;
            }
            let mut outcome = Outcome::new(&bound.policy, None);
            outcome.evaluated = pins.len();
            if !pins.is_empty() {
                let mut value = object.to_value();
                for Pin { pointer, image } in pins {
                    if let Some(place) = value.pointer_mut(&pointer) {
                        *place = image.into();
                        outcome.changed = true;
                    }
                }
                let document = Document::from_value(&value);
                self.object = Some(Changed { value, document });
            }
            outcome.took = pace.passed(&bound.policy);
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// One pass. `only` limits it to invocations of an earlier one; `reinvocable` collects those that may be made again.
    fn pass<'s: 'q, 'q>(
        &mut self,
        question: Question<'s, 'q>,
        only: Option<&[Key]>,
        reinvocable: &mut Vec<Key>,
    ) -> Result<Vec<Outcome<'s>>, Halt> {
        let mut invocations = Vec::new();
        let mut outcomes = Vec::new();
        for bound in question.snapshot.matching(question.asked, question.request) {
            if !matches!(bound.policy.body, Body::Mutating { .. }) {
                continue;
            }
            question.invocations(bound, |invocation| {
                match invocation {
                    Ok(invocation) => invocations.push(invocation),
                    Err(Misfit::Configuration(outcome)) => outcomes.push(*outcome),
                    Err(Misfit::Halt(halt)) => return Err(halt),
                }
                Ok(())
            })?;
        }
        let mut pace = Pace::new(question.asked.stopwatch);
        for invocation in invocations {
            let key = key(&invocation);
            if only.is_some_and(|only| !only.contains(&key)) {
                continue;
            }
            let mut outcome = Outcome::new(invocation.policy, Some(invocation.binding));
            outcome.param = invocation.param.map(Param::display_name);
            if let Some(why) = pace.late() {
                outcome.fail(0, Cause::MutationError, why);
            } else if self.invoke(&invocation, &mut outcome)? {
                reinvocable.push(key);
            }
            outcome.took = pace.passed(invocation.policy);
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// Makes all mutations of one invocation, and says whether it may be made again.
    fn invoke<'s: 'q, 'q>(
        &mut self,
        invocation: &Invocation<'s, 'q>,
        outcome: &mut Outcome<'s>,
    ) -> Result<bool, Halt> {
        let Body::Mutating { mutations, reinvocation } = &invocation.policy.body else {
            return Ok(false);
        };
        let request = invocation.question.request;
        let matches = self.with_object(request, |object| invocation.conditions(object))?;
        match matches {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(message) => {
                outcome.fail(0, Cause::MutationError, message);
                return Ok(false);
            }
        }
        for (index, mutation) in mutations.iter().enumerate() {
            outcome.evaluated += 1;
            match self.mutate(invocation, mutation)? {
                Ok(changed) => {
                    self.dirty = true;
                    outcome.changed |= changed;
                }
                Err(message) => outcome.fail(index, Cause::MutationError, message),
            }
        }
        Ok(*reinvocation == ReinvocationPolicy::IfNeeded)
    }

    /// Makes one mutation, and says whether it changed anything.
    fn mutate(
        &mut self,
        invocation: &Invocation<'_, '_>,
        mutation: &Mutation,
    ) -> Result<Result<bool, String>, Halt> {
        let request = invocation.question.request;
        let value = match mutation.patch_type {
            PatchType::JsonPatch => self.patched(invocation, &mutation.expression)?,
            PatchType::ApplyConfiguration => self.with_object(request, |object| {
                apply::applied(invocation, &mutation.expression, object)
                    .map(|value| value.map(Some))
            })?,
        };
        let value = match value {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(Ok(false)),
            Err(message) => return Ok(Err(message)),
        };
        check_object(&value)?;
        let document = Document::from_value(&value);
        let changed = self.with_object(request, |before| before != document.root());
        if changed {
            self.object = Some(Changed { value, document });
        }
        Ok(Ok(changed))
    }

    /// The object with a JSON patch; none if the patch does nothing. A failed `test` is no error.
    fn patched(
        &self,
        invocation: &Invocation<'_, '_>,
        expression: &Expression,
    ) -> Result<Result<Option<Json>, String>, Halt> {
        let request = invocation.question.request;
        let patch =
            self.with_object(request, |object| operations(invocation, expression, object))?;
        let patch = match patch {
            Ok(patch) => patch,
            Err(message) => return Ok(Err(message)),
        };
        if patch.is_empty() {
            return Ok(Ok(None));
        }
        let mut value = match &self.object {
            Some(changed) => changed.value.clone(),
            None => request.object.to_value(),
        };
        Ok(match apply_patch(&mut value, patch) {
            Ok(()) => Ok(Some(value)),
            Err(NotApplied::Test) => Ok(None),
            Err(NotApplied::Error(error)) => Err(format!("JSON Patch: {error}")),
        })
    }

    fn with_object<T>(&self, request: &Request<'_>, see: impl FnOnce(Node<'_>) -> T) -> T {
        match &self.object {
            Some(changed) => see(changed.document.root()),
            None => see(request.object),
        }
    }
}

/// What a mutation's expression gives for this object.
pub(in crate::policy) fn evaluated<T>(
    invocation: &Invocation<'_, '_>,
    expression: &Expression,
    object: Node<'_>,
    take: impl FnOnce(Value<'_>) -> Result<T, String>,
) -> Result<Result<T, String>, Halt> {
    if let Err(reason) = &expression.program {
        return Ok(Err(reason.clone()));
    }
    let versioned = invocation.versioned(object, true);
    let namespace = invocation.namespace.map_or(Node::null(), NamespaceObject::whole);
    let roots = invocation.roots(&versioned, object, namespace);
    let env = &invocation.policy.envs.full;
    let mut runner = invocation.runner(env, roots.full(), POLICY_COST_MAX);
    match runner.run(expression) {
        Ok(value) => Ok(take(value)),
        Err(stop) => Ok(Err(stop.message()?)),
    }
}

/// The patch that a mutation's expression gives for this object.
fn operations(
    invocation: &Invocation<'_, '_>,
    expression: &Expression,
    object: Node<'_>,
) -> Result<Result<Vec<PatchOperation>, String>, Halt> {
    evaluated(invocation, expression, object, |value| match value {
        Value::List(list) => list.iter().map(operation).collect(),
        _ => {
            let message = "type mismatch: JSONPatchType.expression should evaluate to array";
            Err(message.to_owned())
        }
    })
}

/// One `JSONPatch{..}`.
fn operation(value: Value<'_>) -> Result<PatchOperation, String> {
    let Value::Struct(object) = value else {
        let message =
            "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch";
        return Err(message.to_owned());
    };
    let text =
        |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let value = object.get("value").map(|value| {
        check_type_names(value)?;
        value.to_json().map(as_go_writes).map_err(|error| {
            format!(
                "JSONPath valueExpression evaluated to a type that could not marshal to JSON: {error}"
            )
        })
    });
    let (op, path, from) = (text("op"), text("path"), text("from"));
    Ok(PatchOperation { op, path, from, value: value.transpose()? })
}

/// The largest integer that every JSON reader takes for what it is: 2^53 - 1. The API server writes larger ones as text.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// Numbers as Go's JSON has them: a whole one is an integer, however it was computed.
fn as_go_writes(value: Json) -> Json {
    match value {
        Json::Number(number) => match number.as_i64() {
            Some(integer) if integer.unsigned_abs() > SAFE_INTEGER_MAX => {
                Json::String(number.to_string())
            }
            Some(_) => Json::Number(number),
            None if number.is_u64() => Json::String(number.to_string()),
            None => {
                let double = number.as_f64().unwrap_or_default();
                let is_whole = double.fract() == 0.0 && double.abs() <= SAFE_INTEGER_MAX as f64;
                if is_whole { Json::from(double as i64) } else { Json::Number(number) }
            }
        },
        Json::Array(items) => Json::Array(items.into_iter().map(as_go_writes).collect()),
        Json::Object(members) => {
            let written = members.into_iter().map(|(key, value)| (key, as_go_writes(value)));
            Json::Object(written.collect())
        }
        other => other,
    }
}

/// What is left must still be an object with a kind.
fn check_object(object: &Json) -> Result<(), Halt> {
    let has = |field: &str| object.get(field).and_then(Json::as_str).is_some_and(|t| !t.is_empty());
    match ["kind", "apiVersion"].into_iter().find(|field| !has(field)) {
        None => Ok(()),
        Some(field) => {
            let name = if field == "kind" { "Kind" } else { field };
            // Go writes the members in the order of their names.
            let mut sorted = object.clone();
            sorted.sort_all_objects();
            Err(Halt::Broken(format!("Object '{name}' is missing in '{sorted}'")))
        }
    }
}
