//! Params: which objects a binding hands to its policy for a request. The rules are those of `CollectParams` in
//! `k8s.io/apiserver/pkg/admission/plugin/policy/generic`, except that params are always taken in the order of
//! namespace and name.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use crate::json::{Document, Node};
use crate::policy::api::{ParamKind, ParamRef, ParameterNotFoundAction};
use crate::policy::definitions::{Origin, ParamKindFact, ParamScope};
use crate::policy::matching::{Selector, SelectorError};
use crate::policy::scope::is_cluster_kind;

/// The objects that can be params, by kind.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// By `apiVersion`, then kind.
    kinds: HashMap<String, HashMap<String, Objects>>,
}

#[derive(Clone, Debug)]
struct Objects {
    scope: ParamScope,
    /// In the order of namespace and name.
    objects: Vec<Param>,
}

/// One object that can be a param.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its namespace; empty if its kind is cluster-scoped.
    pub namespace: String,
    /// Its name.
    pub name: String,
    document: Arc<Document>,
}

/// A `paramRef`, ready to look up.
#[derive(Clone, Debug)]
pub struct ParamSource {
    name: Option<String>,
    namespace: Option<String>,
    selector: Option<Result<Selector, SelectorError>>,
    missing: ParameterNotFoundAction,
}

/// Why params can't be had. The texts are the API server's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each says it in its text")]
pub enum ParamError {
    #[error("failed to find resource referenced by paramKind: '{0}'")]
    KindUnknown(String),
    #[error(
        "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
    )]
    NamespaceMissing,
    #[error("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")]
    NamespaceNotAllowed,
    #[error("paramRef.name and paramRef.selector are mutually exclusive")]
    NameAndSelector,
    #[error("one of name or selector must be provided")]
    NeitherNameNorSelector,
    #[error("no params found for policy binding with `Deny` parameterNotFoundAction")]
    NotFound,
    #[error("{0}")]
    Selector(#[from] SelectorError),
}

/// The params of one evaluation each.
#[derive(Debug)]
pub enum Collected<'s> {
    /// One evaluation without a param.
    Null,
    /// One evaluation for each of these that [`Collected::iter`] selects.
    Objects(&'s [Param], Option<&'s Selector>),
}

impl<'s> Collected<'s> {
    /// The params: `None` is the null one.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'s Param>> {
        let (null, objects, selector) = match *self {
            Collected::Null => (true, &[][..], None),
            Collected::Objects(objects, selector) => (false, objects, selector),
        };
        let selected = move |param: &&Param| {
            selector.is_none_or(|selector| selector.matches_object(param.object()))
        };
        null.then_some(None).into_iter().chain(objects.iter().filter(selected).map(Some))
    }
}

impl Param {
    /// The object.
    pub fn object(&self) -> Node<'_> {
        self.document.root()
    }

    /// `namespace/name`, or `name`.
    pub fn display_name(&self) -> String {
        match self.namespace.as_str() {
            "" => self.name.clone(),
            namespace => format!("{namespace}/{}", self.name),
        }
    }
}

impl ParamSource {
    /// Takes a `paramRef` apart. One that does not say what happens without a param is refused when it is created; if it
    /// gets here all the same, the API server takes it for Allow, and we for Deny.
    pub fn new(reference: &ParamRef, origin: Origin) -> ParamSource {
        let unsaid = match origin {
            Origin::Native => ParameterNotFoundAction::Allow,
            Origin::Portcullis => ParameterNotFoundAction::Deny,
        };
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        ParamSource {
            name: given(&reference.name),
            namespace: given(&reference.namespace),
            selector: reference.selector.as_ref().map(Selector::parse),
            missing: reference.parameter_not_found_action.unwrap_or(unsaid),
        }
    }

    /// What is wrong with it, whatever the params.
    pub fn error(&self) -> Option<ParamError> {
        match (&self.name, &self.selector) {
            (Some(_), Some(_)) => Some(ParamError::NameAndSelector),
            (None, None) => Some(ParamError::NeitherNameNorSelector),
            (_, Some(Err(error))) => Some(ParamError::Selector(error.clone())),
            _ => None,
        }
    }
}

impl Params {
    /// Sorts objects by kind. Facts about kinds win over what the objects look like.
    pub fn new(objects: &[Arc<Document>], facts: &[ParamKindFact]) -> Params {
        let mut params = Params::default();
        for fact in facts {
            params.kind(&fact.api_version, &fact.kind).scope = fact.scope;
        }
        let known = |api_version: &str, kind: &str| {
            facts.iter().any(|fact| fact.api_version == api_version && fact.kind == kind)
        };
        for document in objects {
            let root = document.root();
            let text = |node: Option<Node<'_>>| {
                node.and_then(|node| node.as_str().map(str::to_owned)).unwrap_or_default()
            };
            let metadata = |field: &str| text(root.get("metadata").and_then(|m| m.get(field)));
            let (api_version, kind) = (text(root.get("apiVersion")), text(root.get("kind")));
            let (namespace, name) = (metadata("namespace"), metadata("name"));
            let is_known = known(&api_version, &kind) || is_built_in(&api_version);
            let objects = params.kind(&api_version, &kind);
            if !is_known && !namespace.is_empty() {
                objects.scope = ParamScope::Namespaced;
            }
            // The API server has read its params from another one, which wrote them.
            let document = document.reread().map_or_else(|| Arc::clone(document), Arc::new);
            objects.objects.push(Param { namespace, name, document });
        }
        for objects in params.kinds.values_mut().flat_map(HashMap::values_mut) {
            objects.settle();
        }
        params
    }

    fn kind(&mut self, api_version: &str, kind: &str) -> &mut Objects {
        let kinds = self.kinds.entry(api_version.to_owned()).or_default();
        kinds.entry(kind.to_owned()).or_insert_with(|| Objects {
            scope: default_scope(api_version, kind),
            objects: Vec::new(),
        })
    }

    /// What is wrong with a kind, if nobody serves it.
    pub fn kind_error(&self, kind: &ParamKind) -> Option<ParamError> {
        let ParamKind { api_version, kind } = kind;
        let scope = self.kinds.get(api_version)?.get(kind)?.scope;
        let unknown = || {
            let group_version = if api_version.contains('/') {
                api_version.clone()
            } else {
                format!("/{api_version}")
            };
            ParamError::KindUnknown(format!("{group_version}, Kind={kind}"))
        };
        (scope == ParamScope::Unknown).then(unknown)
    }

    /// Tells everything that the params of any request hang on: a version of each object that may be one.
    pub fn identify(&self, kind: &ParamKind, source: &ParamSource, mut tell: impl FnMut(&[u8])) {
        let objects = self.kinds.get(&kind.api_version).and_then(|kinds| kinds.get(&kind.kind));
        let Some(objects) = objects else { return };
        tell(format!("{:?}", objects.scope).as_bytes());
        let named = |param: &&Param| source.name.as_ref().is_none_or(|name| *name == param.name);
        for param in objects.objects.iter().filter(named) {
            let metadata = |field: &str| {
                param.object().get("metadata").and_then(|m| m.get(field)).and_then(Node::as_str)
            };
            for part in [&*param.namespace, &*param.name] {
                tell(part.as_bytes());
                tell(b"/");
            }
            match (metadata("uid"), metadata("resourceVersion")) {
                (Some(uid), Some(version)) => {
                    tell(uid.as_bytes());
                    tell(version.as_bytes());
                }
                // It came from a file.
                _ => tell(param.object().text().as_bytes()),
            }
        }
    }

    /// The params for a request in this namespace.
    ///
    /// # Errors
    /// The policy's `failurePolicy` decides about them.
    pub fn collect<'s>(
        &'s self,
        kind: Option<&ParamKind>,
        source: Option<&'s ParamSource>,
        namespace: &str,
    ) -> Result<Collected<'s>, ParamError> {
        let (Some(kind), Some(source)) = (kind, source) else { return Ok(Collected::Null) };
        let objects = self.kinds.get(&kind.api_version).and_then(|kinds| kinds.get(&kind.kind));
        let scope = objects
            .map_or_else(|| default_scope(&kind.api_version, &kind.kind), |objects| objects.scope);
        let namespace = match (scope, source.namespace.as_deref()) {
            (ParamScope::Namespaced, Some(own)) => own,
            (ParamScope::Namespaced, None) if namespace.is_empty() => {
                return Err(ParamError::NamespaceMissing);
            }
            (ParamScope::Namespaced, None) => namespace,
            (_, Some(_)) => return Err(ParamError::NamespaceNotAllowed),
            (_, None) => "",
        };
        if let Some(error) = source.error() {
            return Err(error);
        }
        let all = objects.map_or(&[][..], |objects| objects.of_namespace(namespace));
        let selector = match &source.selector {
            Some(selector) => Some(selector.as_ref().map_err(Clone::clone)?),
            None => None,
        };
        let found = match &source.name {
            Some(name) => match all.binary_search_by(|param| param.name.as_str().cmp(name)) {
                Ok(place) => all.get(place..=place).unwrap_or_default(),
                Err(_) => &[],
            },
            None => all,
        };
        let collected = Collected::Objects(found, selector);
        if source.missing == ParameterNotFoundAction::Deny && collected.iter().next().is_none() {
            return Err(ParamError::NotFound);
        }
        Ok(collected)
    }
}

impl Objects {
    /// Gives each object the namespace that its kind's scope calls for, and sorts.
    fn settle(&mut self) {
        for param in &mut self.objects {
            match self.scope {
                ParamScope::Namespaced if param.namespace.is_empty() => {
                    "default".clone_into(&mut param.namespace);
                }
                ParamScope::Cluster => param.namespace.clear(),
                _ => {}
            }
        }
        self.objects.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    }

    fn of_namespace(&self, namespace: &str) -> &[Param] {
        let start = self.objects.partition_point(|param| param.namespace.as_str() < namespace);
        let end = self.objects.partition_point(|param| param.namespace.as_str() <= namespace);
        self.objects.get(start..end).unwrap_or_default()
    }
}

fn is_built_in(api_version: &str) -> bool {
    match api_version.rsplit_once('/') {
        None => true,
        Some((group, _)) => {
            ["apps", "autoscaling", "batch", "policy", "extensions"].contains(&group)
                || group.ends_with(".k8s.io")
        }
    }
}

fn default_scope(api_version: &str, kind: &str) -> ParamScope {
    if is_built_in(api_version) && !is_cluster_kind(kind) {
        ParamScope::Namespaced
    } else {
        ParamScope::Cluster
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn params() -> Params {
        let object = |api_version: &str, kind: &str, namespace: Value, name: &str, team: &str| {
            let metadata = json!({"name": name, "namespace": namespace, "labels": {"team": team}});
            let value = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
            Arc::new(Document::from_value(&value))
        };
        let objects = vec![
            object("v1", "ConfigMap", json!("b"), "x", "1"),
            object("v1", "ConfigMap", json!("a"), "y", "1"),
            object("v1", "ConfigMap", json!("a"), "x", "2"),
            object("v1", "ConfigMap", json!(null), "d", "1"),
            object("e.com/v1", "Limit", json!(null), "l", "1"),
            object("e.com/v1", "Quota", json!("a"), "q", "1"),
        ];
        let gone = ParamKindFact {
            api_version: "e.com/v1".into(),
            kind: "Gone".into(),
            scope: ParamScope::Unknown,
        };
        Params::new(&objects, &[gone])
    }

    fn collect(kind: &str, reference: Value, namespace: &str) -> String {
        let (api_version, kind) = kind.rsplit_once('/').unwrap();
        let kind = ParamKind { api_version: api_version.into(), kind: kind.into() };
        let mut whole = json!({"parameterNotFoundAction": "Allow"});
        for (key, value) in reference.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let source = ParamSource::new(&serde_json::from_value(whole).unwrap(), Origin::Portcullis);
        let params = params();
        match params.collect(Some(&kind), Some(&source), namespace) {
            Ok(collected) => collected
                .iter()
                .map(|param| param.map_or("null".into(), Param::display_name))
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn params_are_found_by_name_or_selector_where_they_live() {
        let one = json!({"matchLabels": {"team": "1"}});
        let rows = [
            ("v1/ConfigMap", json!({"name": "x"}), "a", "a/x"),
            ("v1/ConfigMap", json!({"name": "x"}), "c", ""),
            ("v1/ConfigMap", json!({"name": "x", "namespace": "b"}), "a", "b/x"),
            ("v1/ConfigMap", json!({"name": "d"}), "default", "default/d"),
            ("v1/ConfigMap", json!({"selector": {}}), "a", "a/x a/y"),
            ("v1/ConfigMap", json!({"selector": one}), "a", "a/y"),
            (
                "v1/ConfigMap",
                json!({"name": "x"}),
                "",
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources",
            ),
            ("e.com/v1/Limit", json!({"name": "l"}), "a", "l"),
            ("e.com/v1/Limit", json!({"name": "l"}), "", "l"),
            (
                "e.com/v1/Limit",
                json!({"name": "l", "namespace": "a"}),
                "a",
                "paramRef.namespace must not be provided for a cluster-scoped `paramKind`",
            ),
            ("e.com/v1/Quota", json!({"name": "q"}), "a", "a/q"),
            (
                "v1/ConfigMap",
                json!({"name": "x", "parameterNotFoundAction": "Deny"}),
                "c",
                "no params found for policy binding with `Deny` parameterNotFoundAction",
            ),
            (
                "v1/ConfigMap",
                json!({"selector": {"matchLabels": {"team": "9"}}, "parameterNotFoundAction": "Deny"}),
                "a",
                "no params found for policy binding with `Deny` parameterNotFoundAction",
            ),
            ("v1/ConfigMap", json!({}), "a", "one of name or selector must be provided"),
            (
                "v1/ConfigMap",
                json!({"name": "x", "selector": {}}),
                "a",
                "paramRef.name and paramRef.selector are mutually exclusive",
            ),
        ];
        for (kind, reference, namespace, expected) in rows {
            let got = collect(kind, reference.clone(), namespace);
            assert_eq!(got, expected, "{kind} {reference} {namespace:?}");
        }
    }

    #[test]
    fn without_a_kind_or_a_reference_there_is_one_null_param() {
        let params = params();
        let kind = ParamKind { api_version: "v1".into(), kind: "ConfigMap".into() };
        assert!(matches!(params.collect(Some(&kind), None, "a"), Ok(Collected::Null)));
        assert!(matches!(params.collect(None, None, "a"), Ok(Collected::Null)));
        let gone = ParamKind { api_version: "e.com/v1".into(), kind: "Gone".into() };
        assert_eq!(
            params.kind_error(&gone).unwrap().to_string(),
            "failed to find resource referenced by paramKind: 'e.com/v1, Kind=Gone'"
        );
        assert_eq!(params.kind_error(&kind), None);
    }
}
