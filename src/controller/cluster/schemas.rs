//! The schemas by which objects are merged and types are checked, as the API server has them: those of custom resources,
//! and those of built-in kinds in the API server's own version. It is asked about the groups and versions that policies
//! with an `ApplyConfiguration` name, and about those of custom resources that others name.
//!
//! # Assumptions
//! - Whoever is authenticated may read `/openapi/v3`, as everybody may who has the role `system:discovery`.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::controller::cluster::state::{Change, State, Versions};
use crate::controller::cluster::watches::Task;
use crate::controller::limits::{RETRY_INTERVAL_MAX, SCHEMAS_INTERVAL};
use crate::policy::api::{MutatingPolicySpec, NamedRule, PatchType};
use crate::policy::manifest::Manifest;
use crate::schema::Catalog;

/// The groups and versions of the objects that a policy merges.
fn merged_by(policy: &MutatingPolicySpec) -> impl Iterator<Item = (String, String)> {
    let mut mutations = policy.mutations.iter();
    let merges = mutations.any(|mutation| mutation.patch_type == PatchType::ApplyConfiguration);
    versions(&policy.match_constraints.resource_rules).filter(move |_| merges)
}

fn versions(rules: &[NamedRule]) -> impl Iterator<Item = (String, String)> {
    rules.iter().flat_map(|rule| {
        rule.api_groups.iter().flat_map(|group| {
            rule.api_versions.iter().map(move |version| (group.clone(), version.clone()))
        })
    })
}

impl State {
    /// The groups and versions of the objects that policies merge.
    pub(in crate::controller::cluster) fn merged_versions(&self) -> Versions {
        let mutating = self.manifests().filter_map(|manifest| match manifest {
            Manifest::Mutating(policy) => Some(&*policy.spec),
            _ => None,
        });
        // A policy may be in force in an earlier form.
        let enforced = self.snapshot.iter().flat_map(|snapshot| snapshot.policies());
        let enforced = enforced.filter(|bound| bound.policy.merges());
        let enforced = enforced.flat_map(|bound| versions(bound.rules()));
        mutating.flat_map(merged_by).chain(enforced).collect()
    }

    /// The groups and versions of all objects whose schemas are of use: those that are `merged`, and custom resources that
    /// validating policies name.
    pub(in crate::controller::cluster) fn wanted_versions(&self, merged: &Versions) -> Versions {
        let validating = self.manifests().filter_map(|manifest| match manifest {
            Manifest::Validating(policy) => Some(&policy.spec.match_constraints.resource_rules),
            _ => None,
        });
        let built_in = Catalog::built_in_shared();
        let is_custom = |(group, version): &(String, String)| {
            group != "*" && version != "*" && !built_in.knows_group(group)
        };
        let checked = validating.flat_map(|rules| versions(rules)).filter(is_custom);
        checked.chain(merged.iter().cloned()).collect()
    }

    /// Whether the schemas of these groups and versions are known.
    pub(in crate::controller::cluster) fn knows_schemas(&self, versions: &Versions) -> bool {
        versions.is_empty()
            || self.schemas.as_ref().is_some_and(|(known, _)| known.is_superset(versions))
    }
}

/// Asks again and again for the schemas, and tells those that changed.
pub(in crate::controller::cluster) fn watch_schemas(
    client: Client,
    wanted: Versions,
    changes: mpsc::Sender<Change>,
) -> Task {
    Task::spawn(async move {
        let mut last = None;
        loop {
            let found = match addresses(&client, &wanted).await {
                Ok(addresses) if last.as_ref() == Some(&addresses) => Ok(None),
                Ok(addresses) => {
                    read(&client, &addresses).await.map(|known| Some((addresses, known)))
                }
                Err(error) => Err(error),
            };
            let wait = match found {
                Ok(None) => SCHEMAS_INTERVAL,
                Ok(Some((addresses, known))) => {
                    last = Some(addresses);
                    let change = Change::Schemas(wanted.clone(), Arc::new(known));
                    if changes.send(change).await.is_err() {
                        return;
                    }
                    SCHEMAS_INTERVAL
                }
                Err(error) => {
                    tracing::warn!(%error, "can't read the schemas that objects are merged by");
                    RETRY_INTERVAL_MAX
                }
            };
            sleep(wait).await;
        }
    })
}

/// Where the documents of the wanted groups and versions are. An address changes with its document.
async fn addresses(
    client: &Client,
    wanted: &Versions,
) -> Result<BTreeMap<String, String>, Failure> {
    let index: Value = client.request(request("/openapi/v3")?).await?;
    let paths = index.get("paths").and_then(Value::as_object);
    let found = paths.into_iter().flatten().filter_map(|(path, entry)| {
        let address = entry.get("serverRelativeURL").and_then(Value::as_str)?;
        is_wanted(path, wanted).then(|| (path.clone(), address.to_owned()))
    });
    Ok(found.collect())
}

/// Whether a path, such as `api/v1` or `apis/apps/v1`, is of a wanted group and version.
fn is_wanted(path: &str, wanted: &Versions) -> bool {
    let (group, version) = match *path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => ("", version),
        ["apis", group, version] => (group, version),
        _ => return false,
    };
    let is = |pattern: &str, text: &str| pattern == "*" || pattern == text;
    wanted.iter().any(|wanted| is(&wanted.0, group) && is(&wanted.1, version))
}

/// One document after the other: all at once would be a hundred megabytes. They are read on a thread of their own, so that
/// no request waits for it.
async fn read(client: &Client, addresses: &BTreeMap<String, String>) -> Result<Catalog, Failure> {
    let mut known = Catalog::built_in();
    for address in addresses.values() {
        let text = client.request_text(request(address)?).await?;
        let found = tokio::task::spawn_blocking(move || {
            let document: Value = serde_json::from_str(&text)?;
            Ok::<_, serde_json::Error>(Catalog::from_openapi([&document]))
        });
        known.extend(&found.await??);
    }
    Ok(known)
}

fn request(address: &str) -> Result<http::Request<Vec<u8>>, http::Error> {
    http::Request::get(address).body(Vec::new())
}

/// Why the schemas can't be read.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Address(#[from] http::Error),
    #[error("{0}")]
    Request(Box<kube::Error>),
    #[error("what was sent is no document: {0}")]
    Document(#[from] serde_json::Error),
    #[error("the thread that read them ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Failure {
        Failure::Request(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_wanted_by_group_and_version() {
        let versions = |pairs: &[(&str, &str)]| -> Versions {
            pairs.iter().map(|(group, version)| ((*group).into(), (*version).into())).collect()
        };
        let rows = [
            ("api/v1", versions(&[("", "v1")]), true),
            ("api/v1", versions(&[("*", "*")]), true),
            ("api/v1", versions(&[("apps", "v1")]), false),
            ("apis/apps/v1", versions(&[("apps", "*")]), true),
            ("apis/apps/v1", versions(&[("apps", "v2"), ("batch", "v1")]), false),
            ("apis/apps", versions(&[("apps", "*")]), false),
            ("version", versions(&[("*", "*")]), false),
        ];
        for (path, wanted, expected) in rows {
            assert_eq!(is_wanted(path, &wanted), expected, "{path} of {wanted:?}");
        }
    }

    #[test]
    fn only_policies_that_merge_want_schemas() {
        let policy = |patch_type: &str| -> MutatingPolicySpec {
            serde_json::from_value(json!({
                "matchConstraints": {"resourceRules": [{
                    "operations": ["CREATE"], "apiGroups": ["", "apps"], "apiVersions": ["v1"],
                    "resources": ["*"],
                }]},
                "mutations": [{"patchType": patch_type}],
            }))
            .unwrap()
        };
        assert_eq!(merged_by(&policy("ApplyConfiguration")).count(), 2);
        assert_eq!(merged_by(&policy("JSONPatch")).count(), 0);
    }
}
