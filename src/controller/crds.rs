//! Installs the CustomResourceDefinitions, when somebody asks for it. What they say is `policy`'s.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error, ResourceExt};
use tokio::time::{Instant, sleep};

use crate::controller::registration::FIELD_MANAGER;
use crate::policy::crds;

/// For the API server to serve what it was told of; it takes tens of milliseconds.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks.
const ESTABLISHED_INTERVAL: Duration = Duration::from_millis(50);

/// Why they are not installed.
#[derive(Debug, thiserror::Error)]
pub enum CrdsError {
    /// The API server refused.
    #[error("crd `{name}`: {source}")]
    Cluster {
        /// Its name.
        name: String,
        /// Why.
        source: Box<Error>,
    },
    /// It can't be read, which it always can.
    #[error("the crd in `{0}` can't be read; this is a defect of Portcullis")]
    Text(String),
    /// The API server took it and does not serve it.
    #[error("crd `{0}` is not established in time")]
    NotEstablished(String),
}

/// Installs or updates the CRDs, and waits until they are served.
///
/// # Errors
/// If the API server does not take them.
pub async fn install_crds(client: &Client) -> Result<(), CrdsError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let mut names = Vec::new();
    for (file, text) in crds() {
        let crd: CustomResourceDefinition =
            serde_saphyr::from_str(&text).map_err(|_| CrdsError::Text(file))?;
        let name = crd.name_any();
        api.patch(&name, &params, &Patch::Apply(&crd)).await.map_err(failed(&name))?;
        names.push(name);
    }
    let deadline = Instant::now() + ESTABLISHED_WITHIN;
    for name in names {
        while !is_established(&api.get(&name).await.map_err(failed(&name))?) {
            if Instant::now() > deadline {
                return Err(CrdsError::NotEstablished(name));
            }
            sleep(ESTABLISHED_INTERVAL).await;
        }
        tracing::info!(crd = name, "installed");
    }
    Ok(())
}

fn failed(name: &str) -> impl Fn(Error) -> CrdsError {
    move |source| CrdsError::Cluster { name: name.to_owned(), source: Box::new(source) }
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Established" && c.status == "True"))
}
