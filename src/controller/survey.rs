//! A look at what a cluster says about us: who writes, what is registered, which policies are not in force. It reads;
//! nothing is written.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::{Api, ListParams};
use kube::{Client, Error, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::controller::uninstall::{Place, holder};
use crate::policy::api::{ImagePolicy, MutatingPolicy, PolicyStatus, ValidatingPolicy};

/// The name of both webhook configurations.
const CONFIGURATIONS: &str = "portcullis";

/// What there is.
#[derive(Debug)]
pub struct Survey {
    /// Who holds the Lease, if it was renewed in time.
    pub holder: Option<String>,
    /// Webhooks that validate; none if there is no configuration.
    pub validating: Option<usize>,
    /// Webhooks that change objects; none if there is no configuration.
    pub mutating: Option<usize>,
    /// Every policy.
    pub policies: Vec<Policy>,
}

/// One policy, as its status has it.
#[derive(Debug)]
pub struct Policy {
    /// `ValidatingPolicy`, `MutatingPolicy` or `ImagePolicy`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Reason and message of why it is not in force; none if it is.
    pub problem: Option<(String, String)>,
}

/// Looks.
///
/// # Errors
/// If the API server refuses.
pub async fn survey(client: &Client, place: &Place, now: Timestamp) -> Result<Survey, Error> {
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let validating = validating.get_opt(CONFIGURATIONS).await?;
    let mutating = mutating.get_opt(CONFIGURATIONS).await?;
    let mut policies = policies(client, |p: &ValidatingPolicy| p.status.clone()).await?;
    policies.extend(self::policies(client, |p: &MutatingPolicy| p.status.clone()).await?);
    match self::policies(client, |p: &ImagePolicy| p.status.clone()).await {
        // Without their CRD there are none.
        Err(Error::Api(status)) if status.code == 404 => {}
        listed => policies.extend(listed?),
    }
    Ok(Survey {
        holder: holder(client, place, now).await?,
        validating: validating.map(|found| found.webhooks.unwrap_or_default().len()),
        mutating: mutating.map(|found| found.webhooks.unwrap_or_default().len()),
        policies,
    })
}

async fn policies<K>(
    client: &Client,
    status: impl Fn(&K) -> Option<PolicyStatus>,
) -> Result<Vec<Policy>, Error>
where
    K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let found = api.list(&ListParams::default()).await?.items;
    Ok(found
        .iter()
        .map(|policy| Policy {
            kind: K::kind(&()).into_owned(),
            name: policy.name_any(),
            problem: problem(status(policy), policy.meta().generation),
        })
        .collect())
}

/// Why a policy is not in force.
fn problem(status: Option<PolicyStatus>, generation: Option<i64>) -> Option<(String, String)> {
    let status = status.unwrap_or_default();
    if status.observed_generation != generation {
        return Some(("Pending".into(), "no server has told what became of it".into()));
    }
    match status.conditions.into_iter().find(|condition| condition.type_ == "Ready") {
        Some(ready) if ready.status == "True" => None,
        Some(ready) => Some((ready.reason, ready.message)),
        None => Some(("Pending".into(), "its status does not say whether it is in force".into())),
    }
}
