//! What a validating policy says to a request: match conditions, variables, validations, messages, audit annotations, and
//! the budgets that they share. Pure and synchronous; the semantics are those of
//! `k8s.io/apiserver/pkg/admission/plugin/policy/validating`.

use crate::cel::{Env, Evaluation, ResourceCheck, Value};
use crate::json::{Document, Node};
use crate::policy::api::FailurePolicy;
use crate::policy::budget::{
    MATCH_CONDITIONS_COST_MAX, OUT_OF_BUDGET, POLICY_COST_MAX, Runner, Stop,
};
use crate::policy::compile::{Body, Condition, Validation};
use crate::policy::facts::NamespaceObject;
use crate::policy::invocation::{Halt, Invocation, Misfit, Question};
use crate::policy::matching::Matched;
use crate::policy::outcome::{Annotation, Cause, Failure, Outcome};
use crate::policy::pace::Pace;
use crate::policy::params::Param;
use crate::policy::request::{Kind, Resource};

/// The longest message that a messageExpression may give, in bytes. Source: `MaxEvaluatedMessageExpressionSizeBytes`.
pub const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// Where the value of an audit annotation is cut, in bytes. Source: `maxAuditAnnotationValueLength`.
pub const ANNOTATION_BYTES_MAX: usize = 10 * 1024;

/// What every validating policy that matches says, in order.
///
/// # Errors
/// When a fact is missing, or the request's namespace.
pub fn validate<'s: 'q, 'q>(question: Question<'s, 'q>) -> Result<Vec<Outcome<'s>>, Halt> {
    let mut outcomes = Vec::new();
    let mut pace = Pace::new(question.asked.stopwatch);
    for bound in question.snapshot.matching(question.asked, question.request) {
        question.invocations(bound, |invocation| {
            let invocation = match invocation {
                Ok(invocation) => invocation,
                Err(misfit) => return keep(misfit).map(|outcome| outcomes.push(outcome)),
            };
            let mut outcome = match pace.late() {
                Some(why) => invocation.unasked(why),
                None => invocation.validate().or_else(keep)?,
            };
            outcome.took = pace.passed(invocation.policy);
            outcomes.push(outcome);
            Ok(())
        })?;
    }
    Ok(outcomes)
}

/// A policy or binding that can't be applied has an outcome too.
fn keep(misfit: Misfit<'_>) -> Result<Outcome<'_>, Halt> {
    match misfit {
        Misfit::Configuration(outcome) => Ok(*outcome),
        Misfit::Halt(halt) => Err(halt),
    }
}

/// What expressions see, in the order in which `compile` declares it.
pub(in crate::policy) struct Roots<'a> {
    values: [Value<'a>; 7],
    used: usize,
    has_params: bool,
}

impl<'a> Roots<'a> {
    /// With the authorizer.
    pub fn full(&self) -> &[Value<'a>] {
        self.values.get(..self.used).unwrap_or_default()
    }

    /// Without it.
    fn message(&self) -> &[Value<'a>] {
        self.values.get(..4 + usize::from(self.has_params)).unwrap_or_default()
    }
}

/// What a policy sees of a request that it matched as another version than the request's own. The object is given that
/// version's name; its fields are left as they are, as for custom resources without a conversion webhook.
#[derive(Default)]
pub(in crate::policy) struct Versioned {
    attributes: Option<Document>,
    object: Option<Document>,
    old_object: Option<Document>,
}

impl<'s: 'q, 'q> Invocation<'s, 'q> {
    /// The request as the policy matched it. Match conditions see the resource that was asked for, everything else the one
    /// that was matched.
    pub fn versioned(&self, object: Node<'_>, with_resource: bool) -> Versioned {
        let request = self.question.request;
        let Matched { resource: Resource { group, version, resource }, kind } = self.matched;
        let converted = kind != request.served_kind;
        if !converted && self.matched.resource == request.served_resource {
            return Versioned::default();
        }
        let mut attributes = request.attributes.to_value();
        if let Some(fields) = attributes.as_object_mut() {
            let Kind { group: kind_group, version: kind_version, kind } = kind;
            let json =
                serde_json::json!({"group": kind_group, "version": kind_version, "kind": kind});
            fields.insert("kind".to_owned(), json);
            if with_resource {
                let json =
                    serde_json::json!({"group": group, "version": version, "resource": resource});
                fields.insert("resource".to_owned(), json);
            }
        }
        let convert = |object: Node<'_>| {
            let mut value = object.to_value();
            let fields = value.as_object_mut().filter(|_| converted)?;
            let slash = if kind.group.is_empty() { "" } else { "/" };
            let api_version = format!("{}{slash}{}", kind.group, kind.version);
            fields.insert("apiVersion".to_owned(), api_version.into());
            fields.insert("kind".to_owned(), kind.kind.into());
            Some(Document::from_value(&value))
        };
        Versioned {
            attributes: Some(Document::from_value(&attributes)),
            object: convert(object),
            old_object: convert(request.old_object),
        }
    }

    /// What expressions see.
    pub fn roots<'a>(
        &self,
        versioned: &'a Versioned,
        object: Node<'a>,
        namespace: Node<'a>,
    ) -> Roots<'a>
    where
        'q: 'a,
    {
        let request = self.question.request;
        let or = |document: &'a Option<Document>, node: Node<'a>| {
            document.as_ref().map_or(node, Document::root)
        };
        let has_params = self.policy.param_kind.is_some();
        let object = Value::from_json(or(&versioned.object, object));
        let old_object = Value::from_json(or(&versioned.old_object, request.old_object));
        let namespace = Value::from_json(namespace);
        let attributes = Value::from_json(or(&versioned.attributes, request.attributes));
        let param = Value::from_json(self.param.map_or(Node::null(), Param::object));
        let authorizer = Value::authorizer();
        let check = ResourceCheck {
            group: request.resource.group,
            resource: request.resource.resource,
            subresource: request.subresource,
            namespace: request.namespace,
            name: request.name,
            ..ResourceCheck::default()
        };
        let check = Value::resource_check(check, self.question.arena);
        let values = if has_params {
            [object, old_object, namespace, attributes, param, authorizer, check]
        } else {
            [object, old_object, namespace, attributes, authorizer, check, Value::Null]
        };
        Roots { values, used: 6 + usize::from(has_params), has_params }
    }

    /// The outcome of a policy that could not be asked.
    fn unasked(self, why: String) -> Outcome<'s> {
        let mut outcome = Outcome::new(self.policy, Some(self.binding));
        outcome.param = self.param.map(Param::display_name);
        outcome.fail_whole(why);
        outcome
    }

    fn validate(self) -> Result<Outcome<'s>, Misfit<'s>> {
        let mut outcome = Outcome::new(self.policy, Some(self.binding));
        outcome.param = self.param.map(Param::display_name);
        let object = self.question.request.object;
        match self.conditions(object)? {
            Ok(true) => self.verdict(object, &mut outcome)?,
            Ok(false) => {}
            Err(message) => outcome.fail_whole(message),
        }
        Ok(outcome)
    }

    /// Whether all match conditions are true. One that is false wins over errors in others; an error under `Ignore` is
    /// no match.
    pub fn conditions(&self, object: Node<'_>) -> Result<Result<bool, String>, Halt> {
        if self.policy.conditions.is_empty() {
            return Ok(Ok(true));
        }
        let versioned = self.versioned(object, false);
        let roots = self.roots(&versioned, object, Node::null());
        let mut runner =
            self.runner(&self.policy.envs.full, roots.full(), MATCH_CONDITIONS_COST_MAX);
        let mut errors: Vec<String> = Vec::new();
        let mut all_true = true;
        for Condition { expression } in &self.policy.conditions {
            match runner.run(expression) {
                Ok(value) => all_true &= value.as_bool() != Some(false),
                Err(Stop::Halt(halt)) => return Err(halt),
                Err(Stop::Expression(message)) if errors.contains(&message) => {}
                Err(Stop::Expression(message)) => errors.push(message),
                Err(Stop::OutOfBudget) => {
                    all_true = true;
                    errors = vec![OUT_OF_BUDGET.to_owned()];
                    break;
                }
            }
        }
        let ignore = self.policy.failure_policy == FailurePolicy::Ignore;
        Ok(match (all_true, errors.as_slice()) {
            (false, _) => Ok(false),
            (true, []) => Ok(true),
            (true, _) if ignore => Ok(false),
            (true, [error]) => Err(error.clone()),
            (true, errors) => Err(format!("[{}]", errors.join(", "))),
        })
    }

    fn verdict(&self, object: Node<'_>, outcome: &mut Outcome<'s>) -> Result<(), Halt> {
        let (validations, annotations) = match &self.policy.body {
            Body::Validating { validations, annotations } => (validations, annotations),
            Body::Images(rules) => return self.admit_images(rules, outcome),
            Body::Mutating { .. } => return Ok(()),
        };
        let shown = self.namespace.map_or(Node::null(), NamespaceObject::shown);
        let versioned = self.versioned(object, true);
        let roots = self.roots(&versioned, object, shown);
        let full = &self.policy.envs.full;
        outcome.evaluated = validations.len();

        let mut runner = self.runner(full, roots.full(), POLICY_COST_MAX);
        for (index, validation) in validations.iter().enumerate() {
            match runner.run(&validation.expression) {
                Ok(Value::Bool(true)) => {}
                Ok(_) => outcome.deny(index, validation),
                Err(Stop::Expression(message)) => outcome.fail(index, Cause::Error, message),
                Err(Stop::Halt(halt)) => return Err(halt),
                Err(Stop::OutOfBudget) => {
                    outcome.fail_whole(OUT_OF_BUDGET.to_owned());
                    return Ok(());
                }
            }
        }
        if validations.iter().any(|validation| validation.message_expression.is_some()) {
            let budget = runner.budget;
            let runner = self.runner(&self.policy.envs.message, roots.message(), budget);
            messages(runner, validations, outcome)?;
        }
        if annotations.is_empty() {
            return Ok(());
        }

        // Annotations see the namespace whole, and have a budget of their own.
        let whole = self.namespace.map_or(Node::null(), NamespaceObject::whole);
        let roots = self.roots(&versioned, object, whole);
        let mut runner = self.runner(full, roots.full(), POLICY_COST_MAX);
        for (index, annotation) in annotations.iter().enumerate() {
            match runner.run(&annotation.expression) {
                Ok(value) => outcome.annotate(&annotation.key, value),
                Err(Stop::Expression(message)) => {
                    outcome.fail(index, Cause::AnnotationError, message);
                }
                Err(Stop::Halt(halt)) => return Err(halt),
                Err(Stop::OutOfBudget) => {
                    outcome.fail_whole(OUT_OF_BUDGET.to_owned());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// A run of expressions that share these values, their variables and a budget.
    pub fn runner<'a>(&self, env: &'a Env, roots: &'a [Value<'a>], budget: u64) -> Runner<'a>
    where
        'q: 'a,
    {
        let Question { arena, facts, .. } = self.question;
        Runner::new(Evaluation::new(arena, env, roots, facts), budget)
    }
}

/// Every messageExpression is evaluated, whether its validation failed or not: when the budget runs out, even those that
/// passed are errors.
fn messages<'a>(
    mut runner: Runner<'a>,
    validations: &'a [Validation],
    outcome: &mut Outcome<'_>,
) -> Result<(), Halt> {
    for (index, validation) in validations.iter().enumerate() {
        let Some(expression) = &validation.message_expression else { continue };
        match runner.run(expression) {
            Ok(Value::String(message)) => outcome.reword(index, message.trim()),
            Ok(_) | Err(Stop::Expression(_)) => {}
            Err(Stop::Halt(halt)) => return Err(halt),
            Err(Stop::OutOfBudget) => {
                outcome.fail_messages(validations.len());
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What is said of a validation that is false, where no messageExpression says more.
pub(in crate::policy) fn said(validation: &Validation) -> String {
    let expression = || format!("failed expression: {}", validation.expression.source.trim());
    validation.message.clone().unwrap_or_else(expression)
}

impl Outcome<'_> {
    /// Adds a failure.
    pub(in crate::policy) fn fail(&mut self, index: usize, cause: Cause, message: String) {
        self.failures.push(Failure { index, cause, message, reason: None });
    }

    /// One error instead of all results.
    fn fail_whole(&mut self, message: String) {
        self.failures.clear();
        self.annotations.clear();
        self.evaluated = 1;
        self.fail(0, Cause::Error, message);
    }

    fn deny(&mut self, index: usize, validation: &Validation) {
        let message = said(validation);
        let reason = Some(validation.reason);
        self.failures.push(Failure { index, cause: Cause::Denied, message, reason });
    }

    /// Takes what a messageExpression gave, unless it is nothing, too much or more than one line.
    fn reword(&mut self, index: usize, message: &str) {
        if message.is_empty() || message.len() > MESSAGE_BYTES_MAX || message.contains('\n') {
            return;
        }
        let denied =
            |failure: &&mut Failure| failure.index == index && failure.cause == Cause::Denied;
        if let Some(failure) = self.failures.iter_mut().find(denied) {
            message.clone_into(&mut failure.message);
        }
    }

    /// Everything but errors becomes one.
    fn fail_messages(&mut self, validations: usize) {
        self.failures.retain(|failure| failure.cause == Cause::Error);
        for index in 0..validations {
            if !self.failures.iter().any(|failure| failure.index == index) {
                let message = format!("failed messageExpression: {OUT_OF_BUDGET}");
                self.fail(index, Cause::Error, message);
            }
        }
        self.failures.sort_by_key(|failure| failure.index);
    }

    fn annotate(&mut self, key: &str, value: Value<'_>) {
        let Some(text) = value.as_str().map(str::trim).filter(|text| !text.is_empty()) else {
            return;
        };
        let end = text.floor_char_boundary(ANNOTATION_BYTES_MAX);
        let value = text.get(..end).unwrap_or_default().to_owned();
        self.annotations.push(Annotation { key: key.to_owned(), value });
    }
}
