//! From what was written to what can be evaluated. An expression that does not compile is kept with the reason: whoever
//! needs it gets an error that `failurePolicy` decides about, and everything else of the policy goes on.
//!
//! # Guarantees
//! - Compiling never fails: a policy with anything wrong in it carries diagnostics and is [`State::Broken`].
//! - What is compiled is immutable and holds nothing of a request.

mod head;

use std::fmt;
use std::sync::Arc;

use crate::cel::{CompileError, Env, Program, Quoted, Stage, Type, Version};
use crate::policy::api::{
    self, FailurePolicy, MutatingPolicySpec, ParamKind, PatchType, PolicyDiagnostic, PolicyKind,
    ReinvocationPolicy, Severity, StatusReason, ValidatingPolicySpec,
};
use crate::policy::background::{Background, Unauditable, Written};
use crate::policy::compile::head::{Head, seconds};
use crate::policy::definitions::{Named, Origin};
use crate::policy::entry::Terms;
use crate::policy::images::{ImageRules, ResolvedImages, TrustRoots};
use crate::policy::matching::Matcher;
use crate::policy::snapshot::Phase;
use crate::policy::validation::{ErrorKind, FieldError, VALUE_EXPRESSION_MAX, in_order};
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
    /// How long the API server waits for it; none if it does not say.
    pub timeout_seconds: Option<u8>,
    /// The kind of its params.
    pub param_kind: Option<ParamKind>,
    /// Which requests it is about.
    pub matcher: Matcher,
    /// The place in the order of mutations.
    pub priority: i32,
    /// As what it is asked about objects that exist.
    pub(in crate::policy) background: Result<Background, Unauditable>,
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
    Mutating { mutations: Vec<Mutation>, reinvocation: ReinvocationPolicy },
    Images(Arc<ImageRules>),
}

#[derive(Debug)]
pub(in crate::policy) struct Validation {
    pub expression: Expression,
    pub message: Option<String>,
    pub message_expression: Option<Expression>,
    pub reason: StatusReason,
}

#[derive(Debug)]
pub(in crate::policy) struct Mutation {
    pub patch_type: PatchType,
    pub expression: Expression,
}

#[derive(Debug)]
pub(in crate::policy) struct Annotation {
    pub key: String,
    pub expression: Expression,
}

impl Policy {
    /// Compiles a validating policy.
    pub fn validating(policy: &Named<ValidatingPolicySpec>, version: Version) -> Policy {
        let spec = &*policy.spec;
        let head = Head::from(spec);
        let mut compiler = Compiler::new(version, &head);
        let conditions = compiler.conditions(&spec.match_conditions);
        let validations = compiler.validations(&spec.validations);
        let annotations = compiler.annotations(&spec.audit_annotations);
        compiler.finish(policy, head, conditions, Body::Validating { validations, annotations })
    }

    /// Compiles a mutating policy.
    pub fn mutating(policy: &Named<MutatingPolicySpec>, version: Version) -> Policy {
        let spec = &*policy.spec;
        let head = Head::from(spec);
        let mut compiler = Compiler::new(version, &head);
        let conditions = compiler.conditions(&spec.match_conditions);
        let mutations = compiler.mutations(&spec.mutations);
        let reinvocation = spec.reinvocation_policy;
        compiler.finish(policy, head, conditions, Body::Mutating { mutations, reinvocation })
    }

    /// Compiles an image policy.
    pub(in crate::policy) fn images(policy: &Named<ResolvedImages>, version: Version) -> Policy {
        let ResolvedImages { policy: spec, roots, keys, .. } = &*policy.spec;
        let roots = TrustRoots::new(roots.iter().map(|(name, root)| (name.as_str(), &**root)));
        let rules = ImageRules::compile(spec, &roots.with_keys(keys.clone()), version);
        let head = Head::from(&*policy.spec);
        let mut compiler = Compiler::new(version, &head);
        compiler.diagnostics.extend(rules.diagnostics().iter().cloned());
        compiler.finish(policy, head, Vec::new(), Body::Images(Arc::new(rules)))
    }

    /// Whether everything compiled.
    pub fn state(&self) -> State<'_> {
        if self.diagnostics.is_empty() { State::Active } else { State::Broken(&self.diagnostics) }
    }

    /// What is wrong with it, in the order in which the API server tells it.
    pub fn diagnostics(&self) -> &[PolicyDiagnostic] {
        &self.diagnostics
    }

    /// How it is asked.
    pub fn terms(&self) -> Terms {
        Terms { failure: self.failure_policy, timeout_seconds: self.timeout_seconds }
    }

    /// What it says of images, if it is about images.
    pub fn image_rules(&self) -> Option<&Arc<ImageRules>> {
        match &self.body {
            Body::Images(rules) => Some(rules),
            Body::Validating { .. } | Body::Mutating { .. } => None,
        }
    }

    /// Whether it merges objects, which takes their schemas.
    pub fn merges(&self) -> bool {
        let merges = |mutation: &Mutation| mutation.patch_type == PatchType::ApplyConfiguration;
        match &self.body {
            Body::Mutating { mutations, .. } => mutations.iter().any(merges),
            Body::Validating { .. } | Body::Images(_) => false,
        }
    }

    /// Whether it is applied again when a later change touched the object. A validating policy changes nothing, and an image
    /// that somebody adds later is to be pinned to its digest too.
    pub fn reinvocation(&self) -> ReinvocationPolicy {
        match &self.body {
            Body::Mutating { reinvocation, .. } => *reinvocation,
            Body::Images(rules) if rules.pins_digests() => ReinvocationPolicy::IfNeeded,
            Body::Validating { .. } | Body::Images(_) => ReinvocationPolicy::Never,
        }
    }

    /// Whether it is asked in a phase. One that pins images to digests is in both.
    pub fn is_of(&self, phase: Phase) -> bool {
        self.kind.phase() == phase
            || matches!(&self.body, Body::Images(rules) if rules.pins_digests())
    }

    /// The word for its kind, in its own API: `ValidatingPolicy` or `ValidatingAdmissionPolicy`.
    pub fn kind_name(&self) -> &'static str {
        match (self.origin, self.kind) {
            (_, PolicyKind::ImagePolicy) => "ImagePolicy",
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
    /// The same without `variables`. Match conditions see none, and the expressions of a validating policy that declares
    /// none don't either: the API server evaluates what names them, but takes no such policy.
    bare: Envs,
    sees_variables: bool,
    diagnostics: Vec<PolicyDiagnostic>,
}

impl Compiler {
    fn new(version: Version, head: &Head<'_>) -> Compiler {
        let mut message = Env::kubernetes(version)
            .declare("object", Type::Dyn)
            .declare("oldObject", Type::Dyn)
            .declare("namespaceObject", schema::namespace())
            .declare("request", schema::request());
        if head.param_kind.is_some() {
            message = message.declare("params", Type::Dyn);
        }
        let full = message
            .clone()
            .declare("authorizer", Type::Opaque("kubernetes.authorization.Authorizer"))
            .declare(
                "authorizer.requestResource",
                Type::Opaque("kubernetes.authorization.ResourceCheck"),
            );
        let envs =
            Envs { full: full.clone().with_variables(), message: message.clone().with_variables() };
        let sees_variables = head.kind == PolicyKind::MutatingPolicy || !head.variables.is_empty();
        let bare = Envs { full, message };
        let mut compiler = Compiler { envs, bare, sees_variables, diagnostics: Vec::new() };
        compiler.variables(head.variables);
        compiler
    }

    fn variables(&mut self, variables: &[api::Variable]) {
        for (place, variable) in variables.iter().enumerate() {
            // What has no expression is not declared.
            if variable.expression.trim().is_empty() {
                continue;
            }
            let field = format!("spec.variables[{place}].expression");
            let compiled = self.expression(&field, &variable.expression, &[]);
            // For messages it is compiled again, because there it may not see the authorizer.
            let ty = compiled.program.as_ref().ok().map(|program| program.output().clone());
            self.envs.full.variable(&variable.name, compiled.program);
            match self.envs.message.compile(&variable.expression, &[]) {
                Ok(program) => self.envs.message.variable(&variable.name, Ok(program)),
                Err(_) => self.envs.message.typed_variable(&variable.name, ty.as_ref()),
            }
        }
    }

    fn conditions(&mut self, conditions: &[api::MatchCondition]) -> Vec<Condition> {
        let mut compiled = Vec::with_capacity(conditions.len());
        for (place, condition) in conditions.iter().enumerate() {
            let field = format!("spec.matchConditions[{place}].expression");
            let source = condition.expression.trim();
            let types = [Type::Bool];
            if let Err(error) = self.bare.full.compile(source, &types) {
                self.refuse(&field, source, &error);
            }
            let program = self.envs.full.compile(source, &types).map_err(|error| error.detail());
            let expression = Expression { source: condition.expression.clone(), program };
            compiled.push(Condition { expression });
        }
        compiled
    }

    fn validations(&mut self, validations: &[api::Validation]) -> Vec<Validation> {
        let mut compiled = Vec::with_capacity(validations.len());
        for (place, validation) in validations.iter().enumerate() {
            let field = |name: &str| format!("spec.validations[{place}].{name}");
            let trimmed = validation.message.as_deref().map(str::trim);
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
                    let bare = self.checked_without_variables(&self.bare.message, text, &types);
                    self.keep(&field("messageExpression"), text, program, bare)
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
            let source = annotation.value_expression.as_str();
            let (trimmed, types) = (source.trim(), [Type::String, Type::Null]);
            let expression = if trimmed.len() > VALUE_EXPRESSION_MAX {
                Expression::missing("valueExpression")
            } else {
                let program = self.envs.full.compile(trimmed, &types);
                let bare = self.checked_without_variables(&self.bare.full, trimmed, &types);
                self.keep(&field, source, program, bare)
            };
            compiled.push(Annotation { key: annotation.key.clone(), expression });
        }
        compiled
    }

    fn mutations(&mut self, mutations: &[api::Mutation]) -> Vec<Mutation> {
        self.envs.full = self.envs.full.clone().mutation();
        let mut compiled = Vec::with_capacity(mutations.len());
        for (place, mutation) in mutations.iter().enumerate() {
            let patch = mutation.json_patch.as_ref().map(|patch| &patch.expression);
            let apply = mutation.apply_configuration.as_ref().map(|apply| &apply.expression);
            let (field, source, ty) = match mutation.patch_type {
                PatchType::JsonPatch => ("jsonPatch", patch, Type::list(Type::json_patch())),
                PatchType::ApplyConfiguration => ("applyConfiguration", apply, Type::object()),
            };
            let expression = source.map_or_else(
                || Expression::missing(field),
                |source| {
                    let field = format!("spec.mutations[{place}].{field}.expression");
                    self.expression(&field, source.trim(), &[ty])
                },
            );
            compiled.push(Mutation { patch_type: mutation.patch_type, expression });
        }
        compiled
    }

    /// Compiles an expression that sees everything.
    fn expression(&mut self, field: &str, source: &str, types: &[Type]) -> Expression {
        let program = self.envs.full.compile(source, types);
        let bare = self.checked_without_variables(&self.bare.full, source, types);
        self.keep(field, source, program, bare)
    }

    /// What is wrong with an expression that names variables where none are declared.
    fn checked_without_variables(
        &self,
        bare: &Env,
        source: &str,
        types: &[Type],
    ) -> Option<CompileError> {
        let may_name_them = !self.sees_variables && source.contains("variables");
        may_name_them.then(|| bare.compile(source, types).err()).flatten()
    }

    /// The expression, or what is wrong with it. What is wrong `bare` comes first.
    fn keep(
        &mut self,
        field: &str,
        source: &str,
        program: Result<Program, CompileError>,
        bare: Option<CompileError>,
    ) -> Expression {
        if let Some(error) = bare.as_ref().or(program.as_ref().err()) {
            self.refuse(field, source, error);
        }
        let program = program.map_err(|error| error.detail());
        Expression { source: source.to_owned(), program }
    }

    /// Says why an expression does not compile. That there is none was said when the policy was read.
    fn refuse(&mut self, field: &str, source: &str, error: &CompileError) {
        if source.trim().is_empty() {
            return;
        }
        let refused = match error.stage() {
            Stage::Plan => FieldError::new(field, ErrorKind::Internal, error.detail()),
            Stage::Compile | Stage::Output => {
                let value = Quoted(source).to_string();
                FieldError::new(field, ErrorKind::Invalid, error.detail()).shown(value)
            }
        };
        let excerpt = Some(error.render());
        self.diagnostics.push(PolicyDiagnostic { excerpt, ..refused.into() });
    }

    fn finish<S>(
        self,
        policy: &Named<S>,
        head: Head<'_>,
        conditions: Vec<Condition>,
        body: Body,
    ) -> Policy {
        let diagnostics = [self.diagnostics, policy.refusals.clone()].concat();
        let written = Written {
            is_wanted: head.about.background,
            mutates: head.kind == PolicyKind::MutatingPolicy,
            verifies_images: matches!(body, Body::Images(_)) && !head.audits_images,
            rules: &head.constraints.resource_rules,
            variables: head.variables,
            deciding: deciding(&conditions, &body),
        };
        let background = written.background(&self.envs.full);
        Policy {
            kind: head.kind,
            origin: policy.origin,
            name: policy.name.clone(),
            generation: policy.generation,
            source: policy.source.clone(),
            about: head.about,
            failure_policy: head.failure_policy,
            timeout_seconds: head.timeout_seconds.and_then(seconds),
            param_kind: head.param_kind.cloned(),
            matcher: Matcher::new(head.constraints),
            priority: head.priority,
            background,
            envs: self.envs,
            conditions,
            body,
            diagnostics: in_order(diagnostics),
        }
    }
}

/// The expressions that a verdict hangs on, variables aside.
fn deciding<'e>(conditions: &'e [Condition], body: &'e Body) -> Vec<&'e str> {
    let validations = match body {
        Body::Validating { validations, .. } => validations.as_slice(),
        Body::Images(rules) => return rules.deciding().collect(),
        Body::Mutating { .. } => &[],
    };
    let conditions = conditions.iter().map(|condition| &condition.expression);
    let validations = validations.iter().map(|validation| &validation.expression);
    conditions.chain(validations).map(|expression| expression.source.trim()).collect()
}

impl Expression {
    /// One that should be there; the policy was refused for it when it was read.
    fn missing(field: &str) -> Expression {
        Expression { source: String::new(), program: Err(format!("{field} is missing")) }
    }
}
