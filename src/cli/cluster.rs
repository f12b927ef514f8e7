//! A cluster as the commands read it: policies as definitions, and objects page by page, as a stream of JSON. Nothing is
//! watched and nothing is written.

use std::collections::BTreeSet;
use std::io::{self, Read};

use http::Request;
use kube::discovery::{Discovery, Scope, verbs};
use kube::{Client, Error};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::cli::Failure;
use crate::cli::reach::Reach;
use crate::policy::Definitions;
use crate::policy::api::{GROUP, NATIVE_GROUP, NamedRule, VERSION};
use crate::policy::manifest::{self, Manifest};

/// Objects in a page: some 3 MB of Pods. The API server reads no more from etcd at a time.
const PAGE_OBJECTS: usize = 500;

/// Pages of one kind: enough for a million objects.
const PAGES_MAX: usize = 2_000;

/// A connection.
pub struct Cluster {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

/// A kind of objects that the cluster serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The group; empty for the core.
    pub group: String,
    /// The version that is listed.
    pub version: String,
    /// The resource, as in `pods`.
    pub plural: String,
    /// The kind.
    pub kind: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    fn path(&self) -> String {
        let Resource { group, version, plural, .. } = self;
        match group.as_str() {
            "" => format!("/api/{version}/{plural}"),
            group => format!("/apis/{group}/{version}/{plural}"),
        }
    }

    /// Whether a rule is about it, in any version: the API server converts.
    fn is_in(&self, rule: &NamedRule) -> bool {
        let has = |names: &[String], name: &str| names.iter().any(|n| n == "*" || n == name);
        let resource = |name: &String| {
            let whole = name.strip_suffix("/*").unwrap_or(name);
            whole == "*" || whole == self.plural
        };
        has(&rule.api_groups, &self.group) && rule.resources.iter().any(resource)
    }
}

impl Cluster {
    /// Connects.
    pub fn connect(reach: &Reach) -> Result<Cluster, Failure> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let client = runtime.block_on(reach.client())?;
        Ok(Cluster { client, runtime })
    }

    /// All policies and bindings, ours and native. An API that the cluster does not have has none.
    pub fn policies(&self) -> Result<Definitions, Failure> {
        let mut definitions = Definitions::default();
        let ours = ["validatingpolicies", "mutatingpolicies", "policybindings"];
        let native = [
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        ];
        let paths = ours.map(|plural| vec![format!("/apis/{GROUP}/{VERSION}/{plural}")]);
        let versions = ["v1", "v1beta1"];
        let native = native
            .map(|plural| versions.map(|v| format!("/apis/{NATIVE_GROUP}/{v}/{plural}")).to_vec());
        for candidates in paths.into_iter().chain(native) {
            for path in candidates {
                match self.list(&path)? {
                    None => {}
                    Some(items) => {
                        for item in items {
                            let name = item.pointer("/metadata/name").cloned().unwrap_or_default();
                            let read = manifest::from_value(item);
                            let read =
                                read.map_err(|e| Failure::new(format!("{path} {name}: {e}")))?;
                            definitions.add(read);
                        }
                        break;
                    }
                }
            }
        }
        Ok(definitions)
    }

    /// Adds the namespaces, and the objects of the kinds that are params.
    pub fn add_facts(
        &self,
        definitions: &mut Definitions,
        served: &[Resource],
    ) -> Result<(), Failure> {
        let mut wanted = BTreeSet::from([("v1".to_owned(), "Namespace".to_owned())]);
        let params = definitions.validating.iter().filter_map(|p| p.spec.param_kind.as_ref());
        wanted.extend(params.map(|kind| (kind.api_version.clone(), kind.kind.clone())));
        for (api_version, kind) in wanted {
            let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
            let found = served.iter().find(|r| r.group == group && r.kind == kind);
            let Some(resource) = found else { continue };
            let resource = Resource { version: version.to_owned(), ..resource.clone() };
            for item in self.list(&resource.path())?.unwrap_or_default() {
                if let Ok(manifest @ (Manifest::Namespace(_) | Manifest::Object(_))) =
                    manifest::from_value(item)
                {
                    definitions.add(manifest);
                }
            }
        }
        Ok(())
    }

    /// Everything that can be listed, in the version that the cluster prefers.
    pub fn served(&self) -> Result<Vec<Resource>, Failure> {
        let discovery = self.runtime.block_on(Discovery::new(self.client.clone()).run());
        let discovery = discovery.map_err(Failure::new)?;
        let mut served = Vec::new();
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                if capabilities.supports_operation(verbs::LIST) {
                    served.push(Resource {
                        group: resource.group,
                        version: resource.version,
                        plural: resource.plural,
                        kind: resource.kind,
                        namespaced: capabilities.scope == Scope::Namespaced,
                    });
                }
            }
        }
        Ok(served)
    }

    /// Those of them that rules are about. Events are told again by everything that happens and are objects of nobody.
    pub fn matched(served: &[Resource], rules: &[NamedRule]) -> Vec<Resource> {
        let is_wanted = |resource: &&Resource| {
            resource.plural != "events" && rules.iter().any(|rule| resource.is_in(rule))
        };
        served.iter().filter(is_wanted).cloned().collect()
    }

    /// All objects of a kind as a stream of Lists, of which one is in memory at a time.
    pub fn pages(&self, resource: &Resource) -> Pages<'_> {
        let path = resource.path();
        Pages { cluster: self, path, page: Vec::new(), at: 0, next: Some(String::new()), taken: 0 }
    }

    /// All objects; none if the cluster does not know the kind.
    fn list(&self, path: &str) -> Result<Option<Vec<Json>>, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct List {
            kind: String,
            api_version: String,
            items: Vec<Json>,
        }
        let mut all = Vec::new();
        let mut next = Some(String::new());
        for _ in 0..PAGES_MAX {
            let Some(token) = next.take() else { break };
            let text = match self.page(path, &token) {
                Ok(text) => text,
                Err(Error::Api(status)) if status.code == 404 => return Ok(None),
                Err(error) => return Err(Failure::new(format!("{path}: {error}"))),
            };
            next = following(&text);
            let list: List = serde_json::from_str(&text).map_err(Failure::new)?;
            let kind = list.kind.trim_end_matches("List");
            for mut item in list.items {
                if let Some(fields) = item.as_object_mut() {
                    fields.insert("apiVersion".into(), list.api_version.as_str().into());
                    fields.insert("kind".into(), kind.into());
                }
                all.push(item);
            }
        }
        Ok(Some(all))
    }

    fn page(&self, path: &str, token: &str) -> Result<String, Error> {
        let separator = if token.is_empty() { "" } else { "&continue=" };
        let uri = format!("{path}?limit={PAGE_OBJECTS}{separator}{token}");
        let request = Request::get(uri).body(Vec::new()).map_err(Error::HttpError)?;
        self.runtime.block_on(self.client.request_text(request))
    }
}

/// What names the page after this one.
fn following(page: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct List {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(rename = "continue", default)]
        next: String,
    }
    let list: List = serde_json::from_str(page).ok()?;
    Some(list.metadata.next).filter(|next| !next.is_empty())
}

/// Lists, one after the other.
pub struct Pages<'c> {
    cluster: &'c Cluster,
    path: String,
    page: Vec<u8>,
    at: usize,
    /// What names the next one; none after the last.
    next: Option<String>,
    taken: usize,
}

impl Read for Pages<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.page.len() {
            let Some(token) = self.next.take() else { return Ok(0) };
            self.taken += 1;
            if self.taken > PAGES_MAX {
                return Err(io::Error::other(format!(
                    "{}: more than {PAGES_MAX} pages",
                    self.path
                )));
            }
            let text = self.cluster.page(&self.path, &token);
            let text = text.map_err(|e| io::Error::other(format!("{}: {e}", self.path)))?;
            self.next = following(&text);
            (self.page, self.at) = (text.into_bytes(), 0);
            self.page.push(b'\n');
        }
        let rest = self.page.get(self.at..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        self.at += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_about_resources() {
        let pods = Resource {
            group: String::new(),
            version: "v1".into(),
            plural: "pods".into(),
            kind: "Pod".into(),
            namespaced: true,
        };
        let check = |groups: &str, resources: &str, expect: bool| {
            let rule = NamedRule {
                api_groups: vec![groups.into()],
                resources: vec![resources.into()],
                ..NamedRule::default()
            };
            assert_eq!(pods.is_in(&rule), expect, "{groups} {resources}");
        };
        check("", "pods", true);
        check("*", "*", true);
        check("", "*/*", true);
        check("", "pods/*", true);
        check("", "pods/status", false);
        check("apps", "pods", false);
        check("", "services", false);
    }

    #[test]
    fn a_page_names_the_next() {
        assert_eq!(following(r#"{"metadata":{"continue":"x"},"items":[]}"#).as_deref(), Some("x"));
        assert_eq!(following(r#"{"metadata":{},"items":[]}"#), None);
    }
}
