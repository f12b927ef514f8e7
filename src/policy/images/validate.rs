//! Expressions over everything that was verified of the images of a request, and over the object that names them.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::cel::{Env, Evaluation, NoAnswers, Program, StructType, Type, Value, Version};
use crate::json::Document;
use crate::policy::api::{ImageValidation, StatusReason, Variable};
use crate::policy::budget::{POLICY_COST_MAX, Runner, Stop};
use crate::policy::compile::{Expression, Validation};
use crate::policy::evaluate::{MESSAGE_BYTES_MAX, said};
use crate::policy::images::admit::Passed;
use crate::policy::images::{About, Refusals, extract};
use crate::policy::invocation::{Halt, Invocation};
use crate::policy::outcome::{Cause, Failure, Outcome};

/// The validations of a policy, compiled.
pub(in crate::policy) struct Validations {
    env: Env,
    each: Vec<Validation>,
    /// What variables say.
    variables: Vec<String>,
    /// Whether one of them looks at the clock.
    reads_now: bool,
}

impl std::fmt::Debug for Validations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.each).finish()
    }
}

/// The type of one of `images`.
fn image_type() -> Type {
    let text = |name: &'static str| (name, Type::String);
    let signer = StructType::new(
        "portcullis.Signer",
        [
            text("kind"),
            text("fingerprint"),
            text("issuer"),
            text("subject"),
            ("claims", Type::map(Type::String, Type::String)),
        ],
    );
    let attestation = StructType::new(
        "portcullis.Attestation",
        [text("predicateType"), ("predicate", Type::Dyn), ("signer", signer.clone())],
    );
    let by_name = |of: Type| Type::map(Type::String, Type::list(of));
    StructType::new(
        "portcullis.Image",
        [
            text("reference"),
            text("registry"),
            text("repository"),
            text("tag"),
            text("digest"),
            text("field"),
            text("container"),
            ("signers", by_name(signer)),
            ("attestations", by_name(attestation)),
        ],
    )
}

impl Validations {
    /// Compiles what was written. What does not compile is told, and fails when it is asked.
    pub fn compile(
        variables: &[Variable],
        written: &[ImageValidation],
        version: Version,
        refusals: &mut Refusals,
    ) -> Validations {
        let mut env = extract::env(version)
            .declare("images", Type::list(image_type()))
            .declare("now", Type::Timestamp)
            .with_variables();
        let mut reads_now = false;
        let mut compile = |env: &Env, field: String, source: &str, types: &[Type]| {
            let readings = env.readings(source).unwrap_or_default();
            reads_now |= readings.iter().any(|reading| reading.name == "now");
            let program: Result<Program, String> = env.compile(source, types).map_err(|error| {
                let detail = error.detail();
                refusals.push((field, error));
                detail
            });
            program
        };
        for (place, variable) in variables.iter().enumerate() {
            let field = format!("spec.variables[{place}].expression");
            let program = compile(&env, field, &variable.expression, &[]);
            env.variable(&variable.name, program);
        }
        let mut each = Vec::new();
        for (place, validation) in written.iter().enumerate() {
            let mut expression = |name: &str, source: &str, ty: Type| {
                let field = format!("spec.validations[{place}].{name}");
                let program = compile(&env, field, source, &[ty]);
                Expression { source: source.to_owned(), program }
            };
            let message = validation.message_expression.as_deref();
            each.push(Validation {
                expression: expression("expression", &validation.expression, Type::Bool),
                message: validation.message.as_deref().map(|text| text.trim().to_owned()),
                message_expression: message
                    .map(|source| expression("messageExpression", source, Type::String)),
                reason: validation.reason.unwrap_or(StatusReason::Forbidden),
            });
        }
        let variables = variables.iter().map(|variable| variable.expression.clone()).collect();
        Validations { env, each, variables, reads_now }
    }

    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// What they say, and what variables do.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        let each = self.each.iter().map(|validation| validation.expression.source.trim());
        each.chain(self.variables.iter().map(|source| source.trim()))
    }

    /// Whether one of them looks at the clock.
    pub fn reads_now(&self) -> bool {
        self.reads_now
    }
}

impl<'s: 'q, 'q> Invocation<'s, 'q> {
    /// Asks the validations about images that passed.
    pub(in crate::policy::images) fn validate_images(
        &self,
        validations: &Validations,
        passed: &[Passed<'_>],
        now: Option<Timestamp>,
        outcome: &mut Outcome<'s>,
    ) -> Result<(), Halt> {
        let request = self.question.request;
        let images = Document::from_value(&Json::Array(passed.iter().map(shown).collect()));
        let now = now.and_then(|now| crate::cel::Timestamp::new(now.as_second(), 0));
        let [object, old, namespace, attributes] = self.seen(request.object, request.old_object);
        let images = Value::from_json(images.root());
        let now = now.map_or(Value::Null, Value::Timestamp);
        let roots = [object, old, namespace, attributes, images, now];
        let evaluation = Evaluation::new(self.question.arena, &validations.env, &roots, &NoAnswers);
        let mut runner = Runner::new(evaluation, POLICY_COST_MAX);
        for (index, validation) in validations.each.iter().enumerate() {
            outcome.evaluated += 1;
            let message = match runner.run(&validation.expression) {
                Ok(Value::Bool(true)) => continue,
                Ok(_) => match &validation.message_expression {
                    Some(expression) => worded(runner.run(expression)),
                    None => None,
                },
                Err(Stop::Halt(halt)) => return Err(halt),
                Err(stop) => {
                    outcome.fail(index, Cause::Error, stop.message()?);
                    continue;
                }
            };
            let message = message.unwrap_or_else(|| said(validation));
            let reason = Some(validation.reason);
            outcome.failures.push(Failure { index, cause: Cause::Denied, message, reason });
        }
        Ok(())
    }
}

/// What a messageExpression gave, unless it is nothing, too much or more than one line.
fn worded(value: Result<Value<'_>, Stop>) -> Option<String> {
    let text = value.ok()?.as_str()?.trim();
    let is_good = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
    is_good.then(|| text.to_owned())
}

/// An image as expressions see it.
fn shown(passed: &Passed<'_>) -> Json {
    let Passed { image, judgement, field, container } = passed;
    let mut signers = serde_json::Map::new();
    let mut attestations = serde_json::Map::new();
    for check in &judgement.checks {
        let good = check.attempts.iter().filter(|attempt| attempt.rejected.is_none());
        match &check.about {
            About::Authority(name) => {
                let by = good.filter_map(|attempt| attempt.signer.clone());
                signers.insert(name.clone(), by.collect());
            }
            About::Attestation { name, predicate_type } => {
                let one = |attempt: &crate::policy::images::Attempt| {
                    json!({
                        "predicateType": predicate_type,
                        "predicate": attempt.predicate.as_deref(),
                        "signer": attempt.signer,
                    })
                };
                attestations.insert(name.clone(), good.map(one).collect());
            }
        }
    }
    json!({
        "reference": image.to_string(),
        "registry": image.registry(),
        "repository": image.repository(),
        "tag": image.tag().unwrap_or_default(),
        "digest": judgement.digest.as_deref().unwrap_or_default(),
        "field": field,
        "container": container,
        "signers": signers,
        "attestations": attestations,
    })
}
