//! Questions to the API server on behalf of a request: may somebody do something, and which labels has a namespace that
//! no watch has seen yet. What is done with the answers is not known here.
//!
//! # Guarantees
//! - At most [`QUESTIONS_MAX`] questions are open, each for at most [`QUESTION_TIMEOUT`].
//! - An authorizer that can't be asked is an answer with an error, and neither a permission nor a refusal.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::admission::{Facts, NamespaceObject, Need, Source};
use crate::cel::{Answer, Check, CheckTarget};
use crate::controller::limits::{QUESTION_TIMEOUT, QUESTIONS_MAX};
use crate::json::{Document, Kind, Node};
use crate::policy::Request;
use crate::policy::request::User;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Question;

/// The cluster as the source of facts.
#[derive(Clone)]
pub struct ClusterSource {
    client: Client,
    permits: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for ClusterSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterSource")
    }
}

impl ClusterSource {
    /// A source that asks through this client.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> ClusterSource {
        ClusterSource { client, permits: Arc::new(Semaphore::new(QUESTIONS_MAX)), metrics }
    }

    async fn authorize(&self, spec: SubjectAccessReviewSpec) -> Result<Answer, Error> {
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let status = api.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
        Ok(Answer {
            allowed: status.allowed && !status.denied.unwrap_or_default(),
            reason: status.reason.unwrap_or_default(),
            error: status.evaluation_error.filter(|error| !error.is_empty()),
            unasked: false,
        })
    }

    async fn namespace(&self, name: &str) -> Result<Option<NamespaceObject>, Error> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let Some(namespace) = api.get_opt(name).await? else { return Ok(None) };
        let value = serde_json::to_value(&namespace).map_err(Error::SerdeError)?;
        Ok(Some(NamespaceObject::new(&Document::from_value(&value))))
    }
}

impl Source for ClusterSource {
    async fn fetch(&self, request: &Request<'_>, need: &Need, facts: &mut Facts) {
        let Ok(_permit) = self.permits.acquire().await else { return };
        match need {
            Need::Namespace(name) => {
                let read = timeout(QUESTION_TIMEOUT, self.namespace(name)).await;
                self.metrics.question(Question::Namespace, matches!(read, Ok(Ok(_))));
                match read {
                    Ok(Ok(namespace)) => facts.add_namespace(name, namespace),
                    Ok(Err(error)) => tracing::warn!(name, %error, "the namespace can't be read"),
                    Err(_) => tracing::warn!(name, "reading the namespace took too long"),
                }
            }
            Need::Authorization(check) => {
                let asked = self.authorize(question(&request.user, check));
                let answer = timeout(QUESTION_TIMEOUT, asked).await;
                self.metrics.question(Question::Authorization, matches!(answer, Ok(Ok(_))));
                let answer = match answer {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(error)) => unanswered(error.to_string()),
                    Err(_) => unanswered("the authorizer took too long".into()),
                };
                facts.add_answer(Check::clone(check), answer);
            }
            Need::Images(needed) => facts.add_unknown(needed, "no registry is asked here"),
        }
    }
}

fn unanswered(error: String) -> Answer {
    tracing::warn!(error, "the authorizer can't be asked");
    Answer { error: Some(error), unasked: true, ..Answer::default() }
}

/// The question as the API server takes it, about the requesting user or the service account that the check names.
fn question(user: &User<'_>, check: &Check) -> SubjectAccessReviewSpec {
    let mut spec = SubjectAccessReviewSpec::default();
    match &check.service_account {
        Some((namespace, name)) => {
            spec.user = Some(format!("system:serviceaccount:{namespace}:{name}"));
            spec.groups = Some(vec![
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".into(),
            ]);
        }
        None => {
            spec.user = Some(user.name.to_owned());
            spec.uid = Some(user.uid.to_owned()).filter(|uid| !uid.is_empty());
            spec.groups = Some(texts(user.groups));
            spec.extra = Some(extra(user.extra)).filter(|extra| !extra.is_empty());
        }
    }
    let verb = Some(check.verb.clone());
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    match &check.target {
        CheckTarget::Path(path) => {
            spec.non_resource_attributes =
                Some(NonResourceAttributes { path: Some(path.clone()), verb });
        }
        CheckTarget::Resource {
            group,
            resource,
            subresource,
            namespace,
            name,
            field_selector,
            label_selector,
        } => {
            spec.resource_attributes = Some(ResourceAttributes {
                group: given(group),
                resource: given(resource),
                subresource: given(subresource),
                namespace: given(namespace),
                name: given(name),
                // As the API server's own checks in expressions.
                version: Some("*".into()),
                verb,
                field_selector: field_selector.as_ref().map(|raw| FieldSelectorAttributes {
                    raw_selector: Some(raw.clone()),
                    requirements: None,
                }),
                label_selector: label_selector.as_ref().map(|raw| LabelSelectorAttributes {
                    raw_selector: Some(raw.clone()),
                    requirements: None,
                }),
            });
        }
    }
    spec
}

fn texts(list: Node<'_>) -> Vec<String> {
    let Kind::Array(items) = list.kind() else { return Vec::new() };
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn extra(map: Node<'_>) -> BTreeMap<String, Vec<String>> {
    let Kind::Object(fields) = map.kind() else { return BTreeMap::new() };
    fields.iter().map(|(key, values)| (key.to_owned(), texts(values))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::cel::{Check, CheckTarget};
    use crate::controller::access::question;
    use crate::json::Document;
    use crate::policy::request::User;

    #[test]
    fn a_question_is_about_the_user_or_the_service_account() {
        let groups = Document::from_value(&json!(["dev", "ops"]));
        let extra = Document::from_value(&json!({"scopes": ["a", "b"]}));
        let user = User { name: "jane", uid: "7", groups: groups.root(), extra: extra.root() };
        let check = |check: Check, expect: serde_json::Value| {
            assert_eq!(serde_json::to_value(question(&user, &check)).unwrap(), expect);
        };
        check(
            Check {
                service_account: None,
                verb: "get".into(),
                target: CheckTarget::Path("/healthz".into()),
            },
            json!({
                "user": "jane", "uid": "7", "groups": ["dev", "ops"],
                "extra": {"scopes": ["a", "b"]},
                "nonResourceAttributes": {"path": "/healthz", "verb": "get"},
            }),
        );
        check(
            Check {
                service_account: Some(("shop".into(), "till".into())),
                verb: "create".into(),
                target: CheckTarget::Resource {
                    group: "apps".into(),
                    resource: "deployments".into(),
                    subresource: String::new(),
                    namespace: "shop".into(),
                    name: String::new(),
                    field_selector: None,
                    label_selector: Some("a=b".into()),
                },
            },
            json!({
                "user": "system:serviceaccount:shop:till",
                "groups": [
                    "system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated",
                ],
                "resourceAttributes": {
                    "group": "apps", "resource": "deployments", "namespace": "shop",
                    "version": "*", "verb": "create", "labelSelector": {"rawSelector": "a=b"},
                },
            }),
        );
    }
}
