//! One case: its files into a snapshot, its review through it, mutating policies first.

use std::fs;
use std::path::Path;

use portcullis::admission::{
    Decision, Facts, NamespaceObject, Need, Phase, Snapshot, review, wire,
};
use portcullis::cel::{self, Arena, Check, CheckTarget, Version};
use portcullis::policy::definitions::{ParamKindFact, ParamScope};
use portcullis::policy::manifest::{Manifest, read};
use portcullis::policy::matching::{Equivalent, Equivalents};
use portcullis::policy::{Definitions, Request};
use serde_json::Value as Json;

use crate::answer::Answer;

/// A line of an index, and where its files are.
pub struct Case<'c> {
    pub folder: &'c Path,
    pub case: Json,
}

impl Case<'_> {
    pub fn id(&self) -> &str {
        self.case["id"].as_str().unwrap()
    }

    /// The answer to the case.
    pub fn run(&self) -> Answer {
        let definitions = match self.definitions() {
            Ok(definitions) => definitions,
            Err(error) => return Answer::unreadable(error),
        };
        let snapshot = Snapshot::build(definitions, Version::default(), None);
        let review = self.review();
        let mut answer = Answer::default();
        let object = self.ask(Phase::Mutate, &review, &snapshot, &mut answer);
        if answer.allowed() {
            let mut review = review;
            if let Some(object) = object {
                review["request"]["object"] = object.clone();
                answer.object = Some(object);
            }
            self.ask(Phase::Validate, &review, &snapshot, &mut answer);
        }
        answer
    }

    /// The AdmissionReview.
    pub fn review(&self) -> Json {
        match &self.case["review"] {
            Json::String(file) => {
                serde_json::from_slice(&fs::read(self.folder.join(file)).unwrap()).unwrap()
            }
            review => review.clone(),
        }
    }

    /// Asks one phase, and gives the object that it leaves.
    fn ask(
        &self,
        phase: Phase,
        body: &Json,
        snapshot: &Snapshot,
        answer: &mut Answer,
    ) -> Option<Json> {
        let parsed = match wire::parse(serde_json::to_vec(body).unwrap()) {
            Ok(parsed) => parsed,
            Err(error) => {
                *answer = Answer::unreadable(error.to_string());
                return None;
            }
        };
        let request = parsed.request();
        let decision = self.decide(phase, &request, snapshot);
        answer.add(&request, &decision);
        decision.object
    }

    fn decide<'s>(
        &self,
        phase: Phase,
        request: &Request<'_>,
        snapshot: &'s Snapshot,
    ) -> Decision<'s> {
        let mut facts = Facts::new();
        loop {
            match review(phase, request, snapshot, &facts, &Arena::new()) {
                Ok(decision) => return decision,
                Err(Need::Namespace(name)) if self.case["no_auto_namespace"] == true => {
                    facts.add_namespace(&name, None);
                }
                Err(Need::Namespace(name)) => {
                    facts.add_namespace(&name, Some(NamespaceObject::named(&name)));
                }
                Err(Need::Images(needed)) => {
                    facts.add_unknown(&needed, "no registry is asked here");
                }
                Err(Need::Authorization(check)) => {
                    let answer = authorize(&self.case["authz"], &check, request.user.name);
                    facts.add_answer(*check, answer);
                }
            }
        }
    }

    pub fn definitions(&self) -> Result<Definitions, String> {
        let mut definitions = Definitions::default();
        for list in ["policies", "bindings", "params", "namespaces"] {
            for item in self.case[list].as_array().into_iter().flatten() {
                let (file, text) = match item {
                    Json::String(file) => {
                        (file.as_str(), fs::read_to_string(self.folder.join(file)).unwrap())
                    }
                    document => (list, document.to_string()),
                };
                for manifest in read(file, &text).map_err(|error| error.to_string())? {
                    let is_param = list == "params";
                    match manifest {
                        // A Namespace can be a param too.
                        Manifest::Namespace(document) if is_param => {
                            definitions.add(Manifest::Object(document));
                        }
                        manifest => definitions.add(manifest),
                    }
                }
            }
        }
        definitions.param_kinds = self.param_kinds(&definitions);
        definitions.equivalents = self.equivalents();
        Ok(definitions)
    }

    /// The scopes that the case states, for whatever version the policies name.
    fn param_kinds(&self, definitions: &Definitions) -> Vec<ParamKindFact> {
        let validating = definitions.validating.iter().filter_map(|p| p.spec.param_kind.as_ref());
        let mutating = definitions.mutating.iter().filter_map(|p| p.spec.param_kind.as_ref());
        validating
            .chain(mutating)
            .filter_map(|kind| {
                let is_unknown = self.case["unknown_param_kind"] == true;
                let scope = match self.case["param_scope"][&kind.kind].as_str() {
                    _ if is_unknown => ParamScope::Unknown,
                    Some("Cluster") => ParamScope::Cluster,
                    Some(_) => ParamScope::Namespaced,
                    None => return None,
                };
                let (api_version, kind) = (kind.api_version.clone(), kind.kind.clone());
                Some(ParamKindFact { api_version, kind, scope })
            })
            .collect()
    }

    fn equivalents(&self) -> Equivalents {
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let entry = |entry: &Json| {
            let kind = &entry["kind"];
            let field = |name: &str, capital: &str| {
                text(if kind[name].is_null() { &kind[capital] } else { &kind[name] })
            };
            Equivalent {
                group: text(&entry["group"]),
                version: text(&entry["version"]),
                resource: text(&entry["resource"]),
                subresource: text(&entry["subresource"]),
                kind: (field("group", "Group"), field("version", "Version"), field("kind", "Kind")),
            }
        };
        let sets = self.case["equivalents"].as_array().into_iter().flatten();
        let set = |set: &Json| set.as_array().into_iter().flatten().map(entry).collect();
        Equivalents::new(sets.map(set).collect())
    }
}

/// What the case's authorizer says: the first rule that fits, or the default.
fn authorize(spec: &Json, check: &Check, user: &str) -> cel::Answer {
    let empty = String::new();
    let parts: [&String; 6] = match &check.target {
        CheckTarget::Path(path) => [&empty, &empty, &empty, &empty, &empty, path],
        CheckTarget::Resource { group, resource, subresource, namespace, name, .. } => {
            [group, resource, subresource, namespace, name, &empty]
        }
    };
    let user = match &check.service_account {
        Some((namespace, name)) => format!("system:serviceaccount:{namespace}:{name}"),
        None => user.to_owned(),
    };
    let fields = ["group", "resource", "subresource", "namespace", "name", "path"];
    let fits = |rule: &&Json| {
        let is = |field: &str, got: &str| {
            let want = rule[field].as_str().unwrap_or_default();
            want.is_empty() || want == got
        };
        is("verb", &check.verb)
            && is("user", &user)
            && fields.iter().zip(parts).all(|(field, part)| is(field, part))
    };
    let rule = spec["rules"].as_array().into_iter().flatten().find(fits);
    let decision = rule.map_or(&spec["default"], |rule| &rule["decision"]);
    let text = |field: &str| rule.and_then(|rule| rule[field].as_str()).unwrap_or_default();
    cel::Answer {
        allowed: decision == "allow",
        reason: text("reason").to_owned(),
        error: Some(text("error").to_owned()).filter(|error| !error.is_empty()),
        unasked: false,
    }
}
