//! A document as the policy or binding that it is: looked at with the API server's eyes, then decoded.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::cel::Version;
use crate::policy::api::native::{
    MutatingAdmissionPolicyBindingSpec, MutatingAdmissionPolicySpec,
    ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec,
};
use crate::policy::api::{
    MutatingPolicySpec, ParameterNotFoundAction, PolicyBindingSpec, PolicyDiagnostic, PolicyKind,
    ValidatingPolicySpec,
};
use crate::policy::compile::Policy;
use crate::policy::definitions::{Named, Origin};
use crate::policy::manifest::error::{Problem, Refusal, Refused, Unreadable};
use crate::policy::manifest::nulls::{has_null, without_nulls};
use crate::policy::manifest::{Manifest, Shape};
use crate::policy::validation::{self, Subject};

/// What every object has. Fields that the server sets are known and not looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "known, and not looked at")]
struct Envelope<S> {
    api_version: IgnoredAny,
    kind: IgnoredAny,
    metadata: Metadata,
    spec: S,
    status: Option<IgnoredAny>,
}

/// `metav1.ObjectMeta`, of which we use two fields. The others are there because a field that is not is a typo.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "known, and not looked at")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    generation: Option<i64>,
    generate_name: Option<IgnoredAny>,
    namespace: Option<IgnoredAny>,
    self_link: Option<IgnoredAny>,
    uid: Option<IgnoredAny>,
    resource_version: Option<IgnoredAny>,
    creation_timestamp: Option<IgnoredAny>,
    deletion_timestamp: Option<IgnoredAny>,
    deletion_grace_period_seconds: Option<IgnoredAny>,
    labels: Option<IgnoredAny>,
    annotations: Option<IgnoredAny>,
    owner_references: Option<IgnoredAny>,
    finalizers: Option<IgnoredAny>,
    managed_fields: Option<IgnoredAny>,
}

/// A document that can be read as the type that its kind calls for.
pub(in crate::policy::manifest) trait Typed {
    fn typed<T: DeserializeOwned>(&self) -> Result<T, Unreadable>;
}

impl Typed for Value {
    fn typed<T: DeserializeOwned>(&self) -> Result<T, Unreadable> {
        serde_json::from_value(self.clone()).map_err(|error| error.to_string().into())
    }
}

/// A policy or a binding. `value` and `document` are the same, of which the one knows the places of what can't be decoded.
pub(in crate::policy::manifest) fn policy(
    subject: Subject,
    shape: &Shape,
    source: &str,
    value: &Value,
    document: &impl Typed,
) -> Result<Manifest, Problem> {
    use Origin::{Native, Portcullis};
    use PolicyKind::{ImagePolicy, MutatingPolicy, ValidatingPolicy};
    let reading = Reading { subject, shape, source, value, document };
    let validates = |policy: &Named<_>| Policy::validating(policy, Version::default());
    let validating = |policy: &Named<_>| validates(policy).diagnostics().to_vec();
    let mutates = |policy: &Named<_>| Policy::mutating(policy, Version::default());
    let mutating = |policy: &Named<_>| mutates(policy).diagnostics().to_vec();
    let binding = |binding: &Named<PolicyBindingSpec>| binding.refusals.clone();
    Ok(match subject {
        Subject::Policy(Portcullis, ValidatingPolicy) => {
            Manifest::Validating(reading.named::<_, ValidatingPolicySpec>(validating)?)
        }
        Subject::Policy(Native, ValidatingPolicy) => {
            Manifest::Validating(reading.named::<_, ValidatingAdmissionPolicySpec>(validating)?)
        }
        Subject::Policy(Portcullis, MutatingPolicy) => {
            Manifest::Mutating(reading.named::<_, MutatingPolicySpec>(mutating)?)
        }
        Subject::Policy(Native, MutatingPolicy) => {
            Manifest::Mutating(reading.named::<_, MutatingAdmissionPolicySpec>(mutating)?)
        }
        Subject::Policy(_, ImagePolicy) => Manifest::Images(plain(source, document)?),
        Subject::Binding(Portcullis, _) => {
            Manifest::Binding(reading.named::<_, PolicyBindingSpec>(binding)?)
        }
        Subject::Binding(Native, Some(MutatingPolicy)) => {
            Manifest::Binding(reading.named::<_, MutatingAdmissionPolicyBindingSpec>(binding)?)
        }
        Subject::Binding(Native, _) => {
            Manifest::Binding(reading.named::<_, ValidatingAdmissionPolicyBindingSpec>(binding)?)
        }
    })
}

/// An object of ours about which the API server has nothing more to say than its schema does.
pub(in crate::policy::manifest) fn plain<S: DeserializeOwned>(
    source: &str,
    document: &impl Typed,
) -> Result<Named<S>, Problem> {
    let envelope: Envelope<S> = document.typed()?;
    if envelope.metadata.name.is_empty() {
        return Err(Unreadable::from("metadata.name is required".to_owned()).into());
    }
    Ok(Named {
        origin: Origin::Portcullis,
        name: envelope.metadata.name,
        generation: envelope.metadata.generation,
        source: source.to_owned(),
        refusals: Vec::new(),
        spec: Arc::new(envelope.spec),
        last_good: None,
    })
}

/// A document on its way to what it is.
struct Reading<'d, D> {
    subject: Subject,
    shape: &'d Shape,
    source: &'d str,
    value: &'d Value,
    document: &'d D,
}

impl<D: Typed> Reading<'_, D> {
    /// The policy or binding. One that can't even be decoded because of what the API server would refuse in it is told
    /// all of that, its expressions included; `diagnostics` knows what is wrong with what could be decoded.
    fn named<T, S>(
        &self,
        diagnostics: impl Fn(&Named<T>) -> Vec<PolicyDiagnostic>,
    ) -> Result<Named<T>, Problem>
    where
        S: DeserializeOwned + Into<T>,
    {
        let value = self.shape.defaulted(self.value);
        let errors = validation::errors(self.subject, &value);
        let make = |envelope: Envelope<S>| Named {
            origin: self.subject.origin(),
            name: envelope.metadata.name,
            generation: envelope.metadata.generation,
            source: self.source.to_owned(),
            refusals: errors.iter().cloned().map(PolicyDiagnostic::from).collect(),
            spec: Arc::new(envelope.spec.into()),
            last_good: None,
        };
        let decoded = match &value {
            Cow::Borrowed(_) => self.document.typed::<Envelope<S>>(),
            Cow::Owned(value) => value.typed(),
        };
        let unreadable = match decoded.map(&make) {
            // What has no name can't be put anywhere.
            Ok(named) if !named.name.is_empty() => return Ok(named),
            Ok(named) => return Err(self.refused(diagnostics(&named))),
            Err(problem) => problem,
        };
        if errors.is_empty() {
            return Err(unreadable.into());
        }
        match validation::repaired(&value, &errors).typed().map(make) {
            Ok(named) => Err(self.refused(diagnostics(&named))),
            // Something else is wrong as well, and comes first for the API server too.
            Err(_) => Err(unreadable.into()),
        }
    }

    fn refused(&self, diagnostics: Vec<PolicyDiagnostic>) -> Problem {
        let name = self.value.get("metadata").and_then(|metadata| metadata.get("name"));
        let unplaced = |diagnostic| Refusal { place: (0, 0), diagnostic };
        Problem::Refused(Refused {
            kind: self.shape.kind.clone(),
            name: name.and_then(Value::as_str).unwrap_or_default().to_owned(),
            refusals: diagnostics.into_iter().map(unplaced).collect(),
        })
    }
}

impl Shape {
    /// The document as the API server takes it: without nulls, and with the one default that only one version has, which
    /// is what happens without a param.
    fn defaulted<'v>(&self, value: &'v Value) -> Cow<'v, Value> {
        let mut value = Cow::Borrowed(value);
        if let Some(spec) = value.get("spec").filter(|spec| has_null(spec)) {
            let spec = without_nulls("spec", spec);
            if let Value::Object(members) = value.to_mut() {
                members.insert("spec".to_owned(), spec);
            }
        }
        let pointer = "/spec/paramRef";
        let lacks = |reference: &Value| {
            reference.is_object() && reference.get("parameterNotFoundAction").is_none()
        };
        if self.is_first_native() && value.pointer(pointer).is_some_and(lacks) {
            let action = serde_json::json!(ParameterNotFoundAction::Deny);
            if let Some(Value::Object(reference)) = value.to_mut().pointer_mut(pointer) {
                reference.insert("parameterNotFoundAction".to_owned(), action);
            }
        }
        value
    }
}
