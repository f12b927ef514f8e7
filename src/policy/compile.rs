//! From what was written to what can be evaluated. An expression that does not compile is kept with the reason: whoever
//! needs it gets an error that `failurePolicy` decides about, and everything else of the policy goes on.
//!
//! # Guarantees
//! - Compiling never fails: a policy with anything wrong in it carries diagnostics and is [`State::Broken`].
//! - What is compiled is immutable and holds nothing of a request.

use std::fmt;

use crate::cel::{CompileError, Env, Program, Type, Version};
use crate::policy::api::{
    self, FailurePolicy, MatchResources, MutatingPolicySpec, ParamKind, PatchType,
    PolicyDiagnostic, PolicyKind, ReinvocationPolicy, Severity, StatusReason, ValidatingPolicySpec,
};
use crate::policy::check;
use crate::policy::definitions::{Named, Origin};
use crate::policy::matching::Matcher;
use crate::schema;

/// A policy, ready to evaluate.
#[derive(Debug)]
pub struct Policy {
    /// Whether it validates or mutates.
    pub kind: PolicyKind,
    /// Whose API it was written in.
    pub origin: Origin,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.generation`, if it came from a cluster.
    pub generation: Option<i64>,
    /// Where it was read, if it came from a file.
    pub source: String,
    /// What reports say about it.
    pub about: About,
    /// What an error means.
    pub failure_policy: FailurePolicy,
    /// The kind of its params.
    pub param_kind: Option<ParamKind>,
    /// Which requests it is about.
    pub matcher: Matcher,
    /// The place in the order of mutations.
    pub priority: i32,
    pub(in crate::policy) envs: Envs,
    pub(in crate::policy) conditions: Vec<Condition>,
    pub(in crate::policy) body: Body,
    diagnostics: Vec<PolicyDiagnostic>,
}

/// What reports say about a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// How bad a violation is.
    pub severity: Option<Severity>,
    /// What the policy is about.
    pub category: Option<String>,
    /// Who answers questions.
    pub owner: Option<String>,
    /// Why it exists.
    pub description: Option<String>,
    /// Whether objects that already exist are audited.
    pub background: bool,
}

/// Whether a policy is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'p> {
    /// Everything compiled.
    Active,
    /// Something did not. There is at least one diagnostic.
    Broken(&'p [PolicyDiagnostic]),
}

/// The declarations that the expressions of a policy are compiled against.
pub(in crate::policy) struct Envs {
    /// Everything.
    pub full: Env,
    /// Without the authorizer: messages must not depend on it.
    pub message: Env,
}

impl fmt::Debug for Envs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Envs")
    }
}

/// An expression, or why it does not compile, in Kubernetes' words.
#[derive(Debug)]
pub(in crate::policy) struct Expression {
    pub source: String,
    pub program: Result<Program, String>,
}

/// A named match condition.
#[derive(Debug)]
pub(in crate::policy) struct Condition {
    pub expression: Expression,
}

/// What a policy does once it applies.
#[derive(Debug)]
pub(in crate::policy) enum Body {
    Validating { validations: Vec<Validation>, annotations: Vec<Annotation> },
    Mutating { mutations: Vec<Expression>, reinvocation: ReinvocationPolicy },
}

#[derive(Debug)]
pub(in crate::policy) struct Validation {
    pub expression: Expression,
    pub message: Option<String>,
    pub message_expression: Option<Expression>,
    pub reason: StatusReason,
}

#[derive(Debug)]
pub(in crate::policy) struct Annotation {
    pub key: String,
    pub expression: Expression,
}

impl Policy {
    /// Compiles a validating policy.
    pub fn validating(policy: &Named<ValidatingPolicySpec>, version: Version) -> Policy {
        let spec = &policy.spec;
        let mut compiler = Compiler::new(version, spec.param_kind.is_some(), false);
        compiler.check_rules(&policy.name, &spec.match_constraints);
        compiler.variables(&spec.variables);
        let conditions = compiler.conditions(&spec.match_conditions);
        if spec.validations.is_empty() && spec.audit_annotations.is_empty() {
            compiler.complain(
                "spec.validations",
                "validations or auditAnnotations must contain at least one item",
            );
        }
        let validations = compiler.validations(&spec.validations);
        let annotations = compiler.annotations(&spec.audit_annotations);
        if let Some(actions) = &spec.validation_actions {
            compiler.check_actions(actions);
        }
        Policy {
            about: About {
                severity: spec.severity,
                category: spec.category.clone(),
                owner: spec.owner.clone(),
                description: spec.description.clone(),
                background: spec.background,
            },
            failure_policy: spec.failure_policy,
            param_kind: spec.param_kind.clone(),
            ..compiler.finish(
                policy,
                &spec.match_constraints,
                conditions,
                Body::Validating { validations, annotations },
            )
        }
    }

    /// Compiles a mutating policy.
    pub fn mutating(policy: &Named<MutatingPolicySpec>, version: Version) -> Policy {
        let spec = &policy.spec;
        let mut compiler = Compiler::new(version, spec.param_kind.is_some(), true);
        compiler.check_rules(&policy.name, &spec.match_constraints);
        compiler.variables(&spec.variables);
        let conditions = compiler.conditions(&spec.match_conditions);
        if spec.mutations.is_empty() {
            compiler.complain("spec.mutations", "mutations must contain at least one item");
        }
        let mutations = compiler.mutations(&spec.mutations);
        Policy {
            about: About {
                severity: spec.severity,
                category: spec.category.clone(),
                owner: spec.owner.clone(),
                description: spec.description.clone(),
                background: spec.background,
            },
            failure_policy: spec.failure_policy,
            param_kind: spec.param_kind.clone(),
            priority: spec.priority,
            ..compiler.finish(
                policy,
                &spec.match_constraints,
                conditions,
                Body::Mutating { mutations, reinvocation: spec.reinvocation_policy },
            )
        }
    }

    /// Whether everything compiled.
    pub fn state(&self) -> State<'_> {
        if self.diagnostics.is_empty() { State::Active } else { State::Broken(&self.diagnostics) }
    }

    /// Whether it is applied again when a later change touched the object. A validating policy changes nothing.
    pub fn reinvocation(&self) -> ReinvocationPolicy {
        match &self.body {
            Body::Mutating { reinvocation, .. } => *reinvocation,
            Body::Validating { .. } => ReinvocationPolicy::Never,
        }
    }

    /// The word for its kind, in its own API: `ValidatingPolicy` or `ValidatingAdmissionPolicy`.
    pub fn kind_name(&self) -> &'static str {
        match (self.origin, self.kind) {
            (Origin::Portcullis, PolicyKind::ValidatingPolicy) => "ValidatingPolicy",
            (Origin::Portcullis, PolicyKind::MutatingPolicy) => "MutatingPolicy",
            (Origin::Native, PolicyKind::ValidatingPolicy) => "ValidatingAdmissionPolicy",
            (Origin::Native, PolicyKind::MutatingPolicy) => "MutatingAdmissionPolicy",
        }
    }
}

/// Compiles the expressions of one policy and collects what is wrong with it.
struct Compiler {
    envs: Envs,
    /// Match conditions see no variables. Native policies are refused for it when they are created.
    condition: Env,
    mutates: bool,
    diagnostics: Vec<PolicyDiagnostic>,
}

impl Compiler {
    fn new(version: Version, has_params: bool, mutates: bool) -> Compiler {
        let mut message = Env::kubernetes(version)
            .declare("object", Type::Dyn)
            .declare("oldObject", Type::Dyn)
            .declare("namespaceObject", schema::namespace())
            .declare("request", schema::request());
        if has_params {
            message = message.declare("params", Type::Dyn);
        }
        let condition = message
            .clone()
            .declare("authorizer", Type::Opaque("kubernetes.authorization.Authorizer"))
            .declare(
                "authorizer.requestResource",
                Type::Opaque("kubernetes.authorization.ResourceCheck"),
            );
        let full = condition.clone().with_variables();
        let envs = Envs { full, message: message.with_variables() };
        Compiler { envs, condition, mutates, diagnostics: Vec::new() }
    }

    fn complain(&mut self, field: &str, message: impl Into<String>) {
        let diagnostic =
            PolicyDiagnostic { field: field.to_owned(), message: message.into(), excerpt: None };
        self.diagnostics.push(diagnostic);
    }

    /// What the API server says about rules when a policy is created.
    fn check_rules(&mut self, name: &str, constraints: &MatchResources) {
        self.diagnostics.extend(check::name("metadata.name", name));
        if constraints.resource_rules.is_empty() {
            let message = "at least one resource rule is required";
            self.complain("spec.matchConstraints.resourceRules", message);
        }
        let complaints = check::matching("spec.matchConstraints", constraints, self.mutates);
        self.diagnostics.extend(complaints);
    }

    fn check_actions(&mut self, actions: &[api::ValidationAction]) {
        use api::ValidationAction::{Deny, Warn};
        if actions.contains(&Deny) && actions.contains(&Warn) {
            self.complain("spec.validationActions", "must not contain both Deny and Warn");
        }
    }

    fn variables(&mut self, variables: &[api::Variable]) {
        for (place, variable) in variables.iter().enumerate() {
            let seen = variables.iter().take(place).any(|other| other.name == variable.name);
            if seen {
                let field = format!("spec.variables[{place}].name");
                self.complain(&field, format!("duplicate name `{}`", variable.name));
            }
            let field = format!("spec.variables[{place}].expression");
            let compiled = self.expression(&field, &variable.expression, &[]);
            // For messages it is compiled again, because there it may not see the authorizer.
            let message = self.envs.message.compile(&variable.expression, &[]);
            self.envs.full.variable(&variable.name, compiled.program);
            self.envs.message.variable(&variable.name, message.map_err(|error| error.detail()));
        }
    }

    fn conditions(&mut self, conditions: &[api::MatchCondition]) -> Vec<Condition> {
        let mut compiled = Vec::with_capacity(conditions.len());
        for (place, condition) in conditions.iter().enumerate() {
            let field = format!("spec.matchConditions[{place}].expression");
            // The API server evaluates stored conditions with variables, but takes none that use them.
            if let Err(error) = self.condition.compile(&condition.expression, &[Type::Bool]) {
                self.diagnostics.push(diagnostic(&field, &error));
            }
            let program = self.envs.full.compile(&condition.expression, &[Type::Bool]);
            let source = condition.expression.clone();
            let program = program.map_err(|error| error.detail());
            compiled.push(Condition { expression: Expression { source, program } });
        }
        compiled
    }

    fn validations(&mut self, validations: &[api::Validation]) -> Vec<Validation> {
        let mut compiled = Vec::with_capacity(validations.len());
        for (place, validation) in validations.iter().enumerate() {
            let field = |name: &str| format!("spec.validations[{place}].{name}");
            let trimmed = validation.message.as_deref().map(str::trim);
            match trimmed {
                Some("") => self.complain(&field("message"), "must be non-empty if specified"),
                Some(text) if text.contains(['\n', '\r']) => {
                    self.complain(&field("message"), "must not contain line breaks");
                }
                _ => {}
            }
            let message_expression =
                validation.message_expression.as_deref().filter(|text| !text.is_empty());
            let types = [Type::String];
            compiled.push(Validation {
                expression: self.expression(
                    &field("expression"),
                    &validation.expression,
                    &[Type::Bool],
                ),
                message: trimmed.filter(|text| !text.is_empty()).map(str::to_owned),
                message_expression: message_expression.map(|text| {
                    let program = self.envs.message.compile(text, &types);
                    self.keep(&field("messageExpression"), text, program)
                }),
                reason: validation.reason.unwrap_or_default(),
            });
        }
        compiled
    }

    fn annotations(&mut self, annotations: &[api::AuditAnnotation]) -> Vec<Annotation> {
        let mut compiled = Vec::with_capacity(annotations.len());
        for (place, annotation) in annotations.iter().enumerate() {
            let field = format!("spec.auditAnnotations[{place}].valueExpression");
            let types = [Type::String, Type::Null];
            let expression = self.expression(&field, &annotation.value_expression, &types);
            compiled.push(Annotation { key: annotation.key.clone(), expression });
        }
        compiled
    }

    fn mutations(&mut self, mutations: &[api::Mutation]) -> Vec<Expression> {
        self.envs.full = self.envs.full.clone().mutation();
        let mut compiled = Vec::with_capacity(mutations.len());
        for (place, mutation) in mutations.iter().enumerate() {
            let field = |name: &str| format!("spec.mutations[{place}].{name}");
            let types = [Type::list(Type::json_patch())];
            let expression = match (mutation.patch_type, &mutation.json_patch) {
                (PatchType::JsonPatch, Some(patch)) => {
                    self.expression(&field("jsonPatch.expression"), &patch.expression, &types)
                }
                (PatchType::JsonPatch, None) => {
                    let message = "must be specified when patchType is JSONPatch";
                    self.refuse(&field("jsonPatch"), "", message)
                }
                (PatchType::ApplyConfiguration, _) => {
                    let apply = mutation.apply_configuration.as_ref();
                    let source = apply.map_or("", |apply| apply.expression.as_str());
                    let message = "ApplyConfiguration is not supported yet: use JSONPatch";
                    self.refuse(&field("applyConfiguration"), source, message)
                }
            };
            compiled.push(expression);
        }
        compiled
    }

    fn refuse(&mut self, field: &str, source: &str, message: &str) -> Expression {
        self.complain(field, message);
        Expression { source: source.to_owned(), program: Err(message.to_owned()) }
    }

    /// Compiles an expression that sees everything.
    fn expression(&mut self, field: &str, source: &str, types: &[Type]) -> Expression {
        let program = self.envs.full.compile(source, types);
        self.keep(field, source, program)
    }

    /// The expression, or what is wrong with it.
    fn keep(
        &mut self,
        field: &str,
        source: &str,
        program: Result<Program, CompileError>,
    ) -> Expression {
        let program = program.map_err(|error| {
            self.diagnostics.push(diagnostic(field, &error));
            error.detail()
        });
        Expression { source: source.to_owned(), program }
    }

    fn finish<S>(
        self,
        policy: &Named<S>,
        constraints: &MatchResources,
        conditions: Vec<Condition>,
        body: Body,
    ) -> Policy {
        Policy {
            kind: match body {
                Body::Validating { .. } => PolicyKind::ValidatingPolicy,
                Body::Mutating { .. } => PolicyKind::MutatingPolicy,
            },
            origin: policy.origin,
            name: policy.name.clone(),
            generation: policy.generation,
            source: policy.source.clone(),
            about: About::default(),
            failure_policy: FailurePolicy::Fail,
            param_kind: None,
            matcher: Matcher::new(constraints),
            priority: 0,
            envs: self.envs,
            conditions,
            body,
            diagnostics: self.diagnostics,
        }
    }
}

fn diagnostic(field: &str, error: &CompileError) -> PolicyDiagnostic {
    let (line, column) = error.position();
    PolicyDiagnostic {
        field: field.to_owned(),
        message: format!("{line}:{column}: {}", error.message()),
        excerpt: Some(error.render()),
    }
}
