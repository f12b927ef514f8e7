//! Writes Events, one after the other. How many there may be is not known here.

use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, ApiResource, ListParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Error, ResourceExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::audit::{Finding, ObjectRef, PolicyRef};
use crate::controller::audit::events::reason;
use crate::controller::cluster::Item;
use crate::controller::limits::{EVENT_NOTE_BYTES_MAX, EVENT_TIMEOUT};
use crate::controller::registration::FIELD_MANAGER;
use crate::policy::api::{ImagePolicy, ValidatingPolicy};
use crate::telemetry::Metrics;

/// What an Event says.
pub(in crate::controller::audit::events) enum Told {
    /// An object fails a policy.
    Finding(Finding),
    /// So many more do.
    LeftOut { policy: Arc<PolicyRef>, count: u64, example: String },
}

/// What all Events of the audit are the outcome of.
const ACTION: &str = "Audit";

/// Writes until nobody tells anything any more.
pub(in crate::controller::audit::events) async fn write_all(
    client: Client,
    metrics: Arc<Metrics>,
    mut told: mpsc::Receiver<Told>,
) {
    // It counts up what is said again within minutes, instead of saying it twice.
    let recorder = recorder(&client);
    let mut is_refused = false;
    while let Some(told) = told.recv().await {
        let writing = async {
            match &told {
                Told::Finding(finding) => write_finding(&recorder, finding).await,
                Told::LeftOut { policy, count, example } => {
                    write_left_out(&client, policy, *count, example).await
                }
            }
        };
        let error = match timeout(EVENT_TIMEOUT, writing).await {
            Ok(Ok(())) => {
                metrics.events("written", 1);
                is_refused = false;
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the API server does not answer".to_owned(),
        };
        metrics.events("failed", 1);
        // A right that is missing is told once, not for each Event.
        if !std::mem::replace(&mut is_refused, true) {
            tracing::warn!(%error, "an Event about an object that fails a policy can't be written");
        }
    }
}

fn recorder(client: &Client) -> Recorder {
    Recorder::new(client.clone(), Reporter { controller: FIELD_MANAGER.into(), instance: None })
}

async fn write_finding(recorder: &Recorder, finding: &Finding) -> Result<(), Error> {
    let Finding { object, policy, rule, verdict, message, .. } = finding;
    let note = format!("{} {}, {rule}: {message}", policy.kind, policy.name);
    let resource = resource(policy.kind);
    let secondary = resource.map(|resource| ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        name: Some(policy.name.clone()),
        ..ObjectReference::default()
    });
    let event = event(reason(*verdict), &note, secondary);
    recorder.publish(&event, &reference(object)).await
}

/// On the policy, whose uid has to be looked up: `kubectl` shows no Event without.
async fn write_left_out(
    client: &Client,
    policy: &PolicyRef,
    count: u64,
    example: &str,
) -> Result<(), Error> {
    let Some(resource) = resource(policy.kind) else { return Ok(()) };
    let policies: Api<Item> = Api::all_with(client.clone(), &resource);
    // Policies may be listed, by whoever watches them.
    let params = ListParams::default().fields(&format!("metadata.name={}", policy.name));
    let found = policies.list(&params).await?.items;
    // It may be gone by now.
    let Some(found) = found.first() else { return Ok(()) };
    let note = format!(
        "{count} more findings, too many for an Event each, the first about {example}; reports list them"
    );
    let regarding = ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        name: Some(policy.name.clone()),
        uid: found.uid(),
        ..ObjectReference::default()
    };
    // What is said again has another number in it, and is no repetition.
    recorder(client).publish(&event("PolicyViolations", &note, None), &regarding).await
}

fn event(reason: &str, note: &str, secondary: Option<ObjectReference>) -> Event {
    let note = note.get(..note.floor_char_boundary(EVENT_NOTE_BYTES_MAX)).unwrap_or_default();
    Event {
        type_: EventType::Warning,
        reason: reason.into(),
        note: Some(note.to_owned()),
        action: ACTION.into(),
        secondary,
    }
}

fn reference(object: &ObjectRef) -> ObjectReference {
    let ObjectRef { api_version, kind, namespace, name, uid } = object;
    ObjectReference {
        api_version: Some(api_version.clone()),
        kind: Some(kind.clone()),
        namespace: (!namespace.is_empty()).then(|| namespace.clone()),
        name: Some(name.clone()),
        uid: (!uid.is_empty()).then(|| uid.clone()),
        ..ObjectReference::default()
    }
}

/// Where policies live, by the word for their kind.
fn resource(kind: &str) -> Option<ApiResource> {
    match kind {
        "ValidatingPolicy" => Some(ApiResource::erase::<ValidatingPolicy>(&())),
        "ImagePolicy" => Some(ApiResource::erase::<ImagePolicy>(&())),
        "ValidatingAdmissionPolicy" => Some(ApiResource::erase::<ValidatingAdmissionPolicy>(&())),
        _ => None,
    }
}
