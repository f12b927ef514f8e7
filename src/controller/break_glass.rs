//! Break-glass: enforcement suspended by one command, loudly, for a while. What it does to a decision is `admission`'s and
//! what it does to the registration is [`registration`](crate::controller::registration)'s; here is how it begins, how it
//! ends, and how everybody hears of it.
//!
//! # Flow
//! [`begin`] makes a BreakGlass and opens the webhooks itself, as the server may be what is broken. A server that runs
//! watches BreakGlasses, stops denying, and registers the same; [`tell`] says it in the log, in metrics, in an Event and
//! in the status of the BreakGlass.
//!
//! # Guarantees
//! - What can't be written does not keep the rest from being done: an API server that refuses the BreakGlass may still
//!   take the webhooks.
//! - It ends by itself, at the latest after [`BREAK_GLASS_MAX`](crate::controller::limits::BREAK_GLASS_MAX), if a server
//!   runs then; and at the start of the next one otherwise.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Error, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::controller::certificates::MANAGED;
use crate::controller::cluster::object::BreakGlassObject;
use crate::controller::cluster::state::Observed;
use crate::controller::limits::{BREAK_GLASS_REMINDER, SUSPENDED_TIMEOUT_SECONDS};
use crate::controller::registration::FIELD_MANAGER;
use crate::policy::api::{BreakGlass, BreakGlassSpec};
use crate::telemetry::Metrics;

/// What was done, as far as it could be.
#[derive(Debug)]
pub struct Begun {
    /// The BreakGlass.
    pub made: Result<BreakGlass, Error>,
    /// How many webhooks fail open now; none if only some policies are meant.
    pub opened: Option<Result<usize, Error>>,
}

/// Suspends policies.
pub async fn begin(client: &Client, mut spec: BreakGlassSpec) -> Begun {
    if spec.by.is_none() {
        spec.by = who(client).await.ok();
    }
    let opens = spec.is_of_all();
    let mut glass = BreakGlass::new("", spec);
    glass.metadata.name = None;
    glass.metadata.generate_name = Some("break-glass-".into());
    let api: Api<BreakGlass> = Api::all(client.clone());
    let made = api.create(&PostParams::default(), &glass).await;
    let opened = if opens { Some(open(client).await) } else { None };
    Begun { made, opened }
}

/// All there are.
///
/// # Errors
/// If the API server refuses.
pub async fn list(client: &Client) -> Result<Vec<BreakGlass>, Error> {
    let api: Api<BreakGlass> = Api::all(client.clone());
    Ok(api.list(&ListParams::default()).await?.items)
}

/// Ends all that there are, and answers which. A server that runs enforces again within a second.
///
/// # Errors
/// If the API server refuses.
pub async fn end(client: &Client) -> Result<Vec<BreakGlass>, Error> {
    let ended = list(client).await?;
    let api: Api<BreakGlass> = Api::all(client.clone());
    for glass in &ended {
        match api.delete(&glass.name_any(), &DeleteParams::default()).await {
            Err(Error::Api(status)) if status.code == 404 => {}
            deleted => drop(deleted?),
        }
    }
    Ok(ended)
}

/// Who asks, as the API server knows them.
async fn who(client: &Client) -> Result<String, Error> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    Ok(review.status.and_then(|status| status.user_info?.username).unwrap_or_default())
}

/// Makes every webhook of ours fail open.
async fn open(client: &Client) -> Result<usize, Error> {
    let validating = open_kind::<ValidatingWebhookConfiguration>(client).await?;
    Ok(validating + open_kind::<MutatingWebhookConfiguration>(client).await?)
}

async fn open_kind<K>(client: &Client) -> Result<usize, Error>
where
    K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let mut opened = 0;
    for configuration in api.list(&ListParams::default().labels(MANAGED)).await?.items {
        let value = serde_json::to_value(&configuration).map_err(Error::SerdeError)?;
        let webhooks = value.get("webhooks").and_then(Value::as_array).into_iter().flatten();
        let open = |webhook: &Value| {
            let name = webhook.get("name")?;
            Some(json!({
                "name": name, "failurePolicy": "Ignore", "timeoutSeconds": SUSPENDED_TIMEOUT_SECONDS,
            }))
        };
        let webhooks: Vec<Value> = webhooks.filter_map(open).collect();
        // Webhooks are merged by name.
        let patch = Patch::Strategic(json!({"webhooks": webhooks}));
        api.patch(&configuration.name_any(), &PatchParams::default(), &patch).await?;
        opened += webhooks.len();
    }
    Ok(opened)
}

/// What telling needs to hear of.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The BreakGlasses, and what is published.
    pub observed: watch::Receiver<Option<Arc<Observed>>>,
    /// Whether this replica writes.
    pub leads: watch::Receiver<bool>,
}

/// Says as long as it is so that policies are suspended. Ends when nothing is observed any more.
pub async fn tell(
    client: Client,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
    mut inputs: Inputs,
) {
    let reporter = Reporter { controller: FIELD_MANAGER.into(), instance: None };
    let recorder = Recorder::new(client.clone(), reporter);
    loop {
        let seen = inputs.observed.borrow_and_update().clone();
        let leads = *inputs.leads.borrow_and_update();
        let glasses = seen.as_ref().map_or(&[][..], |seen| &seen.break_glasses);
        let now = clock();
        let active = glasses.iter().filter(|glass| now < glass.ends());
        metrics.suspended(active.clone().count());
        for glass in active {
            let BreakGlassSpec { reason, by, policies, .. } = &glass.spec;
            let (until, name) = (glass.ends(), &glass.name);
            tracing::error!(name, %until, reason, by, ?policies, "break-glass: policies do not deny");
        }
        for glass in glasses.iter().filter(|_| leads) {
            let is_active = now < glass.ends();
            if glass.told_active != Some(is_active)
                && let Err(error) = write(&client, &recorder, glass, is_active).await
            {
                tracing::warn!(name = glass.name, %error, "can't write the status of the BreakGlass");
            }
        }
        let next = sleep_until(Instant::now() + BREAK_GLASS_REMINDER);
        let told = tokio::select! {
            told = inputs.observed.changed() => told,
            told = inputs.leads.changed() => told,
            () = next => Ok(()),
        };
        if told.is_err() {
            return;
        }
    }
}

/// The status, and an Event for whoever watches those.
async fn write(
    client: &Client,
    recorder: &Recorder,
    glass: &BreakGlassObject,
    is_active: bool,
) -> Result<(), Error> {
    let api: Api<BreakGlass> = Api::all(client.clone());
    let patch = json!({"metadata": {"uid": glass.uid}, "status": {"active": is_active}});
    match api.patch_status(&glass.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(Error::Api(status)) if matches!(status.code, 404 | 409) => return Ok(()),
        written => drop(written?),
    }
    let BreakGlassSpec { reason, by, policies, .. } = &glass.spec;
    let by = by.as_deref().unwrap_or("nobody knows who");
    let what = if policies.is_empty() { "all policies".into() } else { policies.join(", ") };
    let (type_, word, note) = if is_active {
        let note = format!("{what} until {}, by {by}: {reason}", glass.ends());
        (EventType::Warning, "EnforcementSuspended", note)
    } else {
        (EventType::Normal, "EnforcementResumed", format!("{what}; it was {by}: {reason}"))
    };
    let event = Event {
        type_,
        reason: word.into(),
        note: Some(note),
        action: "BreakGlass".into(),
        secondary: None,
    };
    let regarding = ObjectReference {
        api_version: Some(BreakGlass::api_version(&()).into_owned()),
        kind: Some(BreakGlass::kind(&()).into_owned()),
        name: Some(glass.name.clone()),
        uid: Some(glass.uid.clone()),
        ..ObjectReference::default()
    };
    recorder.publish(&event, &regarding).await
}
