//! Whether a policy can be asked about objects that exist already, and as what. Nothing is evaluated here: what its
//! expressions read is read off them.
//!
//! An object that exists is shown to a policy as if it were being created, or, where the policy speaks of updates only, as an
//! update that changes nothing. Nobody asks for that, so a policy that looks at who asks has no answer, and neither has
//! one that compares with what was there before.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::cel::{Env, Reading};
use crate::policy::api::{NamedRule, Operation, Variable};
use crate::policy::compile::State;
use crate::policy::request;
use crate::policy::snapshot::Bound;

/// As what a policy is asked about an object that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Background {
    /// As one that is being created.
    pub created: bool,
    /// As one that is being updated and stays as it is; asked where no rule is about its creation.
    pub updated: bool,
}

/// Why a policy is not asked about objects that exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unauditable {
    /// Whoever wrote it does not want it.
    #[error("it says `background: false`")]
    Off,
    /// It changes what comes in.
    #[error("it changes objects and judges none")]
    Mutates,
    /// It asks registries.
    #[error("it verifies images, and no registry is asked here")]
    Images,
    /// It does not compile, and never did.
    #[error("it does not compile")]
    Broken,
    /// There is no binding.
    #[error("nothing puts it in force")]
    Unbound,
    /// Its rules are about nothing that an object is by being there.
    #[error("it matches neither the creation nor the update of objects, only {0}")]
    Operations(String),
    /// It has to know who asks.
    #[error("it reads `{0}`, and nobody asks for an object that is there already")]
    User(String),
    /// It compares.
    #[error("it matches updates only and reads `oldObject`, of which nothing is left")]
    OldObject,
}

impl Unauditable {
    /// In a word, for a metric.
    pub fn word(&self) -> &'static str {
        match self {
            Unauditable::Off => "off",
            Unauditable::Mutates => "mutates",
            Unauditable::Images => "images",
            Unauditable::Broken => "broken",
            Unauditable::Unbound => "unbound",
            Unauditable::Operations(_) => "operations",
            Unauditable::User(_) => "user",
            Unauditable::OldObject => "old_object",
        }
    }
}

impl Bound {
    /// As what it is asked about objects that exist.
    ///
    /// # Errors
    /// If it can't be.
    pub fn background(&self) -> Result<Background, Unauditable> {
        if self.policy.state() != State::Active {
            return Err(Unauditable::Broken);
        }
        let background = self.policy.background.clone()?;
        if self.bindings.is_empty() { Err(Unauditable::Unbound) } else { Ok(background) }
    }

    /// Whether it is asked about objects that exist as if this were done to them.
    pub fn is_audited_as(&self, operation: request::Operation) -> bool {
        let Ok(background) = &self.policy.background else { return false };
        let is_asked = match operation {
            request::Operation::Create => background.created,
            request::Operation::Update => background.updated,
            request::Operation::Delete | request::Operation::Connect => false,
        };
        is_asked && !self.bindings.is_empty() && self.policy.state() == State::Active
    }
}

/// What decides about it.
pub(in crate::policy) struct Written<'s> {
    pub is_wanted: bool,
    pub mutates: bool,
    pub verifies_images: bool,
    pub rules: &'s [NamedRule],
    pub variables: &'s [Variable],
    /// Match conditions and validations. What messages and annotations read changes no verdict.
    pub deciding: Vec<&'s str>,
}

impl Written<'_> {
    /// As what a policy that says this is asked about objects that exist.
    pub fn background(&self, env: &Env) -> Result<Background, Unauditable> {
        if self.mutates {
            return Err(Unauditable::Mutates);
        }
        if !self.is_wanted {
            return Err(Unauditable::Off);
        }
        if self.verifies_images {
            return Err(Unauditable::Images);
        }
        let matches = |operation: Operation| self.rules.iter().any(|rule| covers(rule, operation));
        let (created, updated) = (matches(Operation::Create), matches(Operation::Update));
        if !created && !updated {
            return Err(Unauditable::Operations(told(self.rules)));
        }
        let readings = self.readings(env);
        if let Some(reading) = readings.iter().find(|reading| is_about_the_user(reading)) {
            let field = reading.field.iter().map(|field| format!(".{field}"));
            return Err(Unauditable::User(format!(
                "{}{}",
                reading.name,
                field.collect::<String>()
            )));
        }
        let compares = readings.iter().any(|reading| reading.name == "oldObject");
        match (created, updated && !compares) {
            (false, false) => Err(Unauditable::OldObject),
            (created, updated) => Ok(Background { created, updated }),
        }
    }

    /// What decides reads, through variables too. What does not parse reads nothing: such a policy is broken.
    fn readings(&self, env: &Env) -> BTreeSet<Reading> {
        let mut all = BTreeSet::new();
        let mut waiting: Vec<&str> = self.deciding.clone();
        let mut left: Vec<&Variable> = self.variables.iter().collect();
        while let Some(source) = waiting.pop() {
            for reading in env.readings(source).unwrap_or_default() {
                if reading.name == "variables" {
                    let named = |variable: &&Variable| {
                        reading.field.as_ref().is_none_or(|field| *field == variable.name)
                    };
                    waiting.extend(left.extract_if(.., |v| named(&&**v)).map(|v| &*v.expression));
                }
                all.insert(reading);
            }
        }
        all
    }
}

/// Whether the rule is about this operation on objects themselves: a subresource is no object that could be there.
fn covers(rule: &NamedRule, operation: Operation) -> bool {
    let of_objects = |resource: &String| match resource.split_once('/') {
        Some((_, subresource)) => subresource == "*",
        None => true,
    };
    let says = |said: &Operation| *said == operation || *said == Operation::All;
    rule.operations.iter().any(says) && rule.resources.iter().any(of_objects)
}

/// `request` used whole may be for its user.
fn is_about_the_user(reading: &Reading) -> bool {
    match reading.name.as_str() {
        "authorizer" => true,
        "request" => reading.field.as_deref().is_none_or(|field| field == "userInfo"),
        _ => false,
    }
}

/// `CONNECT of pods/exec, DELETE of pods`.
fn told(rules: &[NamedRule]) -> String {
    let word = |operation: &Operation| operation.as_str();
    let rule = |rule: &NamedRule| {
        let operations: Vec<&str> = rule.operations.iter().map(word).collect();
        format!("{} of {}", operations.join(" and "), rule.resources.join(" and "))
    };
    rules.iter().map(rule).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crate::cel::Version;
    use crate::policy::snapshot::Snapshot;
    use crate::policy::{Definitions, manifest};

    fn background(operations: &str, resources: &str, rest: &str) -> String {
        let text = format!(
            "{{apiVersion: portcullis.dev/v1alpha1, kind: ValidatingPolicy, metadata: {{name: a}}, spec: {{\
             validationActions: [Deny], matchConstraints: {{resourceRules: [{{apiGroups: [''], apiVersions: [v1], \
             operations: {operations}, resources: {resources}}}]}}, {rest}}}}}"
        );
        let mut definitions = Definitions::default();
        for manifest in manifest::read("a.yaml", &text).unwrap() {
            definitions.add(manifest);
        }
        let snapshot = Snapshot::build(definitions, Version::default(), None);
        let bound = snapshot.policies().next().unwrap();
        match bound.background() {
            Ok(background) => format!("{} {}", background.created, background.updated),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_can_be_audited_and_why_the_rest_can_not() {
        let check = |operations: &str, expression: &str, expect: &str| {
            let validations = format!("validations: [{{expression: \"{expression}\"}}]");
            assert_eq!(background(operations, "[pods]", &validations), expect, "{expression}");
        };
        check("[CREATE]", "true", "true false");
        check("['*']", "true", "true true");
        check("[UPDATE]", "has(object.spec)", "false true");
        check("[CREATE, UPDATE]", "oldObject == null || object == oldObject", "true false");
        check(
            "[UPDATE]",
            "object == oldObject",
            "it matches updates only and reads `oldObject`, of which nothing is left",
        );
        check(
            "[DELETE, CONNECT]",
            "true",
            "it matches neither the creation nor the update of objects, only DELETE and CONNECT of pods",
        );
        let user = |what: &str| {
            format!("it reads `{what}`, and nobody asks for an object that is there already")
        };
        check("[CREATE]", "request.userInfo.username != 'a'", &user("request.userInfo"));
        check("[CREATE]", "request != null", &user("request"));
        check("[CREATE]", "authorizer.path('/x').check('get').allowed()", &user("authorizer"));
        check("[CREATE]", "request.operation == 'CREATE' && request.namespace != ''", "true false");
        check("[CREATE]", "object.x(", "it does not compile");
    }

    #[test]
    fn variables_count_if_a_verdict_hangs_on_them() {
        let check = |expression: &str, message: &str, expect: &str| {
            let rest = format!(
                "variables: [{{name: who, expression: 'request.userInfo.username'}}, \
                 {{name: other, expression: 'variables.who + object.kind'}}], \
                 validations: [{{expression: \"{expression}\", messageExpression: \"{message}\"}}]"
            );
            assert_eq!(
                background("[CREATE]", "[pods]", &rest).split('`').nth(1).unwrap_or("-"),
                expect
            );
        };
        check("object != null", "'no'", "-");
        check("object != null", "variables.who", "-");
        check("variables.other != ''", "'no'", "request.userInfo");
    }

    #[test]
    fn what_is_no_object_is_not_there() {
        let validations = "validations: [{expression: 'true'}]";
        for (resources, expect) in
            [("['*']", "true true"), ("['*/*']", "true true"), ("['pods/*']", "true true")]
        {
            assert_eq!(background("['*']", resources, validations), expect, "{resources}");
        }
        let connect = background("['*']", "['pods/exec', '*/scale']", validations);
        assert!(connect.ends_with("only * of pods/exec and */scale"), "{connect}");
        let off = format!("background: false, {validations}");
        assert_eq!(background("[CREATE]", "[pods]", &off), "it says `background: false`");
    }
}
