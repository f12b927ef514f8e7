//! What an expression is evaluated over, from files or from a line of JSON, and what came of it.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::cel::{
    Answer, Answers, Arena, Check, CheckTarget, CompileError, Diagnostic, Duration, Env, EvalError,
    Evaluation, Literal, ResourceCheck, Run, Timestamp, Type, Value, Version, render,
};
use crate::cli::eval::tagged::tagged;
use crate::json::{Document, Node};
use crate::schema;

/// What Kubernetes 1.37 lets new expressions use: the language of the release before, so that a rollback can
/// still read them.
const NEW_EXPRESSIONS: Version = Version::v1(36);

/// How many checks of the authorizer one expression may ask for: each costs 350,000 of the 1,000,000 that an
/// expression and each of its variables may cost.
const CHECKS_MAX: usize = 64;

/// An expression and what it is evaluated over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Inputs {
    /// Names the case in the answer.
    pub id: Option<String>,
    /// The expression.
    pub expr: String,
    /// `vap` (validating policies), `map` (mutating policies) or `base` (only `vars` are declared).
    pub env: Option<String>,
    /// The release whose language it is, such as `1.37`.
    pub version: Option<String>,
    /// Whether it is compiled as a stored policy is: in the newest language there is.
    pub stored: Option<bool>,
    /// `object`
    pub object: Option<Json>,
    /// `oldObject`
    #[serde(rename = "oldObject")]
    pub old_object: Option<Json>,
    /// `params`
    pub params: Option<Json>,
    /// Leaves `params` undeclared.
    pub no_params: bool,
    /// `namespaceObject`
    #[serde(rename = "namespaceObject")]
    pub namespace_object: Option<Json>,
    /// The AdmissionRequest that `request` shows.
    pub request: Option<Json>,
    /// `variables.NAME`
    pub variables: Vec<Named>,
    /// Variables of `base`.
    pub vars: BTreeMap<String, Json>,
    /// Their types, where they are not `dyn`.
    pub var_types: BTreeMap<String, String>,
    /// What the authorizer answers.
    pub authz: Option<Authorizer>,
}

/// A variable of a policy.
#[derive(Debug, Deserialize)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its expression.
    pub expression: String,
}

/// What came of an expression.
#[derive(Debug, Default, Serialize)]
pub struct Evaluated {
    /// Names the case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The expression.
    pub expr: String,
    /// `value`, `compile_error`, `runtime_error` or `bad_input`.
    pub outcome: &'static str,
    /// The type of the value.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub ty: Option<String>,
    /// The value with its types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
    /// The value as plain JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Json>,
    /// The type that the checker found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_type: Option<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it cost, variables included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// The value as a literal, for people.
    #[serde(skip)]
    pub literal: String,
    /// What is wrong, with the line and a caret, for people.
    #[serde(skip)]
    pub rendered: Option<String>,
}

/// An authorizer that answers by rules; the first that fits counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Authorizer {
    rules: Vec<Rule>,
    /// `allow` or `deny`, where no rule fits.
    default: String,
}

/// A rule; what is empty fits everything.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rule {
    decision: String,
    reason: String,
    error: String,
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    path: String,
    user: String,
}

/// The answers that were asked for so far.
#[derive(Default)]
struct Asked(HashMap<Check, Answer>);

impl Answers for Asked {
    fn authorize(&self, check: &Check) -> Option<&Answer> {
        self.0.get(check)
    }
}

impl Authorizer {
    fn answer(&self, check: &Check, user: &str) -> Answer {
        let fits = |wanted: &str, given: &str| wanted.is_empty() || wanted == given;
        let service_account = check
            .service_account
            .as_ref()
            .map(|(namespace, name)| format!("system:serviceaccount:{namespace}:{name}"));
        let user = service_account.as_deref().unwrap_or(user);
        let rule = self.rules.iter().find(|rule| {
            let target = match &check.target {
                CheckTarget::Path(path) => fits(&rule.path, path) && rule.resource.is_empty(),
                CheckTarget::Resource { group, resource, subresource, namespace, name, .. } => {
                    fits(&rule.group, group)
                        && fits(&rule.resource, resource)
                        && fits(&rule.subresource, subresource)
                        && fits(&rule.namespace, namespace)
                        && fits(&rule.name, name)
                        && rule.path.is_empty()
                }
            };
            target && fits(&rule.verb, &check.verb) && fits(&rule.user, user)
        });
        let (decision, reason, error) = rule.map_or((self.default.as_str(), "", ""), |rule| {
            (rule.decision.as_str(), rule.reason.as_str(), rule.error.as_str())
        });
        Answer {
            allowed: decision == "allow",
            reason: reason.to_owned(),
            error: (!error.is_empty()).then(|| error.to_owned()),
            unasked: false,
        }
    }
}

impl Inputs {
    /// Compiles and evaluates.
    pub fn evaluate(&self) -> Evaluated {
        let mut evaluated =
            Evaluated { id: self.id.clone(), expr: self.expr.clone(), ..Evaluated::default() };
        if let Err(error) = self.fill(&mut evaluated) {
            evaluated.outcome = "bad_input";
            evaluated.error = Some(error);
        }
        evaluated
    }

    fn fill(&self, evaluated: &mut Evaluated) -> Result<(), String> {
        let version = self.version()?;
        let documents = Documents::new(self);
        let mut env = self.declare(version);
        for variable in &self.variables {
            let program = env.compile(&variable.expression, &[]);
            env.variable(&variable.name, program.map_err(|error| error.detail()));
        }
        if self.env.as_deref() == Some("map") {
            env = env.mutation();
        }
        let program = match env.compile(&self.expr, &[]) {
            Ok(program) => program,
            Err(error) => {
                evaluated.refuse(&error, self.is_policy());
                return Ok(());
            }
        };
        evaluated.output_type = Some(program.output().to_string());
        let octets = self.octets();
        let kept = Arena::new();
        let roots = self.roots(&documents, &octets, &kept)?;
        let nobody = Authorizer::default();
        let user = self.request.as_ref().and_then(|r| r.pointer("/userInfo/username"));
        let mut asked = Asked::default();
        for _ in 0..CHECKS_MAX {
            let arena = Arena::new();
            let run = Evaluation::new(&arena, &env, &roots, &asked).run(&program);
            let need = run.result.as_ref().err().and_then(EvalError::need).cloned();
            let Some(check) = need else {
                evaluated.take(&run, self.is_policy());
                return Ok(());
            };
            let authorizer = self.authz.as_ref().unwrap_or(&nobody);
            let answer = authorizer.answer(&check, user.and_then(Json::as_str).unwrap_or(""));
            asked.0.insert(check, answer);
        }
        Err("the expression asks the authorizer too often".to_owned())
    }

    /// Whether the expression stands where policies have theirs, so that errors are worded as theirs.
    fn is_policy(&self) -> bool {
        self.env.as_deref() != Some("base")
    }

    fn version(&self) -> Result<Version, String> {
        match (&self.version, self.stored.unwrap_or(self.is_policy())) {
            (_, true) => Ok(Version::LATEST),
            (Some(version), false) => version.parse(),
            (None, false) => Ok(NEW_EXPRESSIONS),
        }
    }

    fn declare(&self, version: Version) -> Env {
        let env = Env::kubernetes(version);
        if !self.is_policy() {
            return self.vars.keys().fold(env, |env, name| {
                let ty = self.var_types.get(name).map_or("", String::as_str);
                env.declare(name, type_named(ty))
            });
        }
        let env = env
            .declare("object", Type::Dyn)
            .declare("oldObject", Type::Dyn)
            .declare("namespaceObject", schema::namespace())
            .declare("request", schema::request())
            .declare("authorizer", Type::Opaque("kubernetes.authorization.Authorizer"))
            .declare(
                "authorizer.requestResource",
                Type::Opaque("kubernetes.authorization.ResourceCheck"),
            );
        let env = if self.no_params { env } else { env.declare("params", Type::Dyn) };
        env.with_variables()
    }

    /// The octets of variables that are given in base64.
    fn octets(&self) -> BTreeMap<String, Vec<u8>> {
        let mut octets = BTreeMap::new();
        for (name, value) in &self.vars {
            if self.var_types.get(name).is_some_and(|ty| ty == "bytes") {
                let text = value.as_str().unwrap_or("");
                octets.insert(name.clone(), BASE64.decode(text).unwrap_or_default());
            }
        }
        octets
    }

    fn roots<'d>(
        &'d self,
        documents: &'d Documents,
        octets: &'d BTreeMap<String, Vec<u8>>,
        arena: &'d Arena,
    ) -> Result<Vec<Value<'d>>, String> {
        if !self.is_policy() {
            let typed = |(name, document): (&String, &'d Document)| {
                let ty = self.var_types.get(name).map_or("", String::as_str);
                let octets = octets.get(name).map_or(&[][..], Vec::as_slice);
                converted(Value::from_json(document.root()), ty, octets)
                    .ok_or_else(|| format!("`{name}` is no {ty}"))
            };
            return self.vars.keys().zip(&documents.vars).map(typed).collect();
        }
        let value = |document: &'d Option<Document>| {
            Value::from_json(document.as_ref().map_or(Node::null(), Document::root))
        };
        let request = documents.request.as_ref().map_or(Node::null(), Document::root);
        let text = |pointer: &str| request.pointer(pointer).and_then(Node::as_str).unwrap_or("");
        let check = ResourceCheck {
            group: text("/requestResource/group"),
            resource: text("/requestResource/resource"),
            subresource: text("/subResource"),
            namespace: text("/namespace"),
            name: text("/name"),
            ..ResourceCheck::default()
        };
        let mut roots = vec![
            value(&documents.object),
            value(&documents.old_object),
            value(&documents.namespace_object),
            value(&documents.request),
            Value::authorizer(),
            Value::resource_check(check, arena),
        ];
        if !self.no_params {
            roots.push(value(&documents.params));
        }
        Ok(roots)
    }
}

impl Evaluated {
    fn refuse(&mut self, error: &CompileError, in_policy: bool) {
        self.outcome = "compile_error";
        self.error = Some(if in_policy { error.detail() } else { error.to_string() });
        self.rendered = Some(error.render());
    }

    fn take(&mut self, run: &Run<'_>, in_policy: bool) {
        self.cost = Some(run.cost.saturating_add(run.variables_cost));
        match &run.result {
            Ok(value) => {
                self.outcome = "value";
                self.ty = Some(value.type_name().to_owned());
                self.value = Some(tagged(*value));
                self.json = value.to_json().ok();
                self.literal = Literal(*value).to_string();
            }
            Err(error) => {
                self.outcome = "runtime_error";
                let (span, message) = (error.span(), error.to_string());
                let at = span.start;
                let mut rendered = String::new();
                render(&mut rendered, &self.expr, &Diagnostic { span, at, message, hint: None });
                self.rendered = Some(rendered);
                self.error = Some(if in_policy {
                    format!("expression '{}' resulted in error: {error}", self.expr)
                } else {
                    error.to_string()
                });
            }
        }
    }
}

/// The inputs as documents that values can borrow from.
struct Documents {
    object: Option<Document>,
    old_object: Option<Document>,
    params: Option<Document>,
    namespace_object: Option<Document>,
    request: Option<Document>,
    vars: Vec<Document>,
}

impl Documents {
    fn new(inputs: &Inputs) -> Documents {
        let document = |value: &Option<Json>| value.as_ref().map(Document::from_value);
        Documents {
            object: document(&inputs.object),
            old_object: document(&inputs.old_object),
            params: document(&inputs.params).map(|params| params.reread().unwrap_or(params)),
            namespace_object: inputs
                .namespace_object
                .as_ref()
                .map(|namespace| Document::from_value(&shown_namespace(namespace))),
            request: Some(Document::from_value(&shown_request(inputs))),
            vars: inputs.vars.values().map(Document::from_value).collect(),
        }
    }
}

fn shown_namespace(namespace: &Json) -> Json {
    let mut shown = namespace.clone();
    if let Some(object) = shown.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
        for part in schema::NAMESPACE_PARTS {
            object.entry(part).or_insert_with(|| json!({}));
        }
    }
    if let Some(metadata) = shown.get_mut("metadata").and_then(Json::as_object_mut) {
        for name in schema::NAMESPACE_METADATA_HIDDEN {
            metadata.remove(name);
        }
    }
    shown
}

/// The request as expressions see it: what is given, and what the API server always says.
fn shown_request(inputs: &Inputs) -> Json {
    let object = inputs.object.as_ref().or(inputs.old_object.as_ref());
    let text = |pointer: &str| {
        let found = object.and_then(|object| object.pointer(pointer)).and_then(Json::as_str);
        found.unwrap_or("").to_owned()
    };
    let api_version = text("/apiVersion");
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let operation = match (&inputs.object, &inputs.old_object) {
        (None, _) => "DELETE",
        (_, Some(_)) => "UPDATE",
        _ => "CREATE",
    };
    let mut shown = json!({
        "kind": {"group": group, "version": version, "kind": text("/kind")},
        "resource": {"group": group, "version": version,
            "resource": format!("{}s", text("/kind").to_lowercase())},
        "name": text("/metadata/name"),
        "namespace": text("/metadata/namespace"),
        "operation": operation,
        "userInfo": {},
        "dryRun": false,
        "options": null,
    });
    if let (Some(shown), Some(Json::Object(given))) = (shown.as_object_mut(), &inputs.request) {
        for (key, value) in given {
            if !matches!(key.as_str(), "uid" | "object" | "oldObject") {
                shown.insert(key.clone(), value.clone());
            }
        }
    }
    if let Some(shown) = shown.as_object_mut() {
        for (as_asked, as_matched) in [("requestKind", "kind"), ("requestResource", "resource")] {
            if let Some(value) = shown.get(as_matched).cloned() {
                shown.entry(as_asked).or_insert(value);
            }
        }
        shown.retain(|_, value| *value != json!(""));
        shown.insert("uid".to_owned(), json!(""));
        for field in ["object", "oldObject"] {
            shown.insert(field.to_owned(), Json::Null);
        }
    }
    shown
}

fn type_named(name: &str) -> Type {
    match name {
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "bool" => Type::Bool,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::String, Type::Dyn),
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        _ => Type::Dyn,
    }
}

/// A JSON value as one of a type that JSON does not have.
fn converted<'d>(value: Value<'d>, ty: &str, octets: &'d [u8]) -> Option<Value<'d>> {
    Some(match (ty, value) {
        ("uint", Value::Int(number)) => Value::Uint(u64::try_from(number).ok()?),
        ("double", Value::Int(number)) => Value::Double(number as f64),
        ("bytes", Value::String(_)) => Value::Bytes(octets),
        ("timestamp", Value::String(text)) => Value::Timestamp(Timestamp::parse(text)?),
        ("duration", Value::String(text)) => Value::Duration(Duration::parse(text.trim())?),
        (_, value) => value,
    })
}
