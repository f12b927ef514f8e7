//! A cluster as the commands read it: policies as definitions, and objects page by page, as a stream of JSON. Nothing is
//! watched and nothing is written.

mod pages;

use std::collections::BTreeSet;

use http::Request;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, ListParams};
use kube::{Client, Error, ResourceExt};

use crate::audit::plan::ServedKind;
use crate::cli::Failure;
use crate::cli::cluster::pages::Pages;
use crate::cli::reach::Reach;
use crate::controller::cluster::{Inventory, Item, discover, resource};
use crate::json::Document;
use crate::policy::Definitions;
use crate::policy::api::{
    ImagePolicy, MutatingPolicy, PolicyBinding, SecretKeyRef, TrustRoot, ValidatingPolicy,
};
use crate::policy::images::{public_key, unreadable};
use crate::policy::manifest::{self, Manifest};

/// Objects in a page: some 3 MB of Pods. The API server reads no more from etcd at a time.
const PAGE_OBJECTS: u32 = 500;

/// Pages of one kind: enough for a million objects.
const PAGES_MAX: usize = 2_000;

/// The versions in which an API server may have its own policies, the best first.
const NATIVE_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// A connection.
pub struct Cluster {
    client: Client,
    runtime: tokio::runtime::Runtime,
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
        let ours = [
            ApiResource::erase::<ValidatingPolicy>(&()),
            ApiResource::erase::<MutatingPolicy>(&()),
            ApiResource::erase::<ImagePolicy>(&()),
            ApiResource::erase::<TrustRoot>(&()),
            ApiResource::erase::<PolicyBinding>(&()),
        ];
        let native = [
            ApiResource::erase::<ValidatingAdmissionPolicy>(&()),
            ApiResource::erase::<ValidatingAdmissionPolicyBinding>(&()),
            ApiResource::erase::<MutatingAdmissionPolicy>(&()),
            ApiResource::erase::<MutatingAdmissionPolicyBinding>(&()),
        ];
        let in_version = |resource: &ApiResource, version: &str| ApiResource {
            version: version.to_owned(),
            api_version: format!("{}/{version}", resource.group),
            ..resource.clone()
        };
        let mut definitions = Definitions::default();
        let ours = ours.map(|resource| vec![resource]).into_iter();
        let native = native.map(|own| NATIVE_VERSIONS.map(|version| in_version(&own, version)));
        for candidates in ours.chain(native.map(Vec::from)) {
            for resource in candidates {
                let Some(items) = self.list(&resource)? else { continue };
                for (name, document) in items {
                    let read = manifest::from_value(document.root().to_value());
                    let ApiResource { kind, .. } = &resource;
                    definitions.add(read.map_err(|e| Failure::new(format!("{kind} {name}: {e}")))?);
                }
                break;
            }
        }
        Ok(definitions)
    }

    /// Adds the namespaces, and the objects of the kinds that are params.
    pub fn add_facts(
        &self,
        definitions: &mut Definitions,
        served: &Inventory,
    ) -> Result<(), Failure> {
        let mut wanted = BTreeSet::from([("v1".to_owned(), "Namespace".to_owned())]);
        let params = definitions.validating.iter().filter_map(|p| p.spec.param_kind.as_ref());
        wanted.extend(params.map(|kind| (kind.api_version.clone(), kind.kind.clone())));
        for (api_version, kind) in wanted {
            let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
            let is_it = |served: &&ServedKind| {
                (&*served.group, &*served.version, &*served.kind) == (group, version, &*kind)
            };
            let Some(found) = served.kinds.iter().find(is_it) else { continue };
            let items = self.list(&resource(found))?.unwrap_or_default();
            for (_, document) in items {
                if let Ok(manifest @ (Manifest::Namespace(_) | Manifest::Object(_))) =
                    manifest::from_value(document.root().to_value())
                {
                    definitions.add(manifest);
                }
            }
        }
        self.add_keys(definitions);
        Ok(())
    }

    /// Adds the public keys that policies have in Secrets, or why they can't be read.
    fn add_keys(&self, definitions: &mut Definitions) {
        let secrets = ApiResource::erase::<Secret>(&());
        let named = definitions.images.iter().flat_map(|policy| policy.spec.secret_keys());
        for key in named.cloned().collect::<BTreeSet<_>>() {
            let SecretKeyRef { namespace, name, .. } = &key;
            let api: Api<Item> = Api::namespaced_with(self.client.clone(), namespace, &secrets);
            let found = match self.runtime.block_on(api.get_opt(name)) {
                Ok(Some(secret)) => public_key(secret.document(&secrets).root(), &key),
                // It may be among the files.
                Ok(None) => continue,
                Err(error) => Err(unreadable(&key, error)),
            };
            definitions.keys.insert(key, found);
        }
    }

    /// What the cluster serves.
    pub fn served(&self) -> Result<Inventory, Failure> {
        self.runtime.block_on(discover(&self.client)).map_err(Failure::new)
    }

    /// All objects of a kind as a stream of Lists, of which one is in memory at a time.
    pub fn pages(&self, kind: &ServedKind) -> Pages<'_> {
        let ServedKind { group, version, resource, .. } = kind;
        let path = match group.as_str() {
            "" => format!("/api/{version}/{resource}"),
            group => format!("/apis/{group}/{version}/{resource}"),
        };
        Pages::new(path.clone(), move |token| self.page(&path, token))
    }

    /// All objects by name; none if the cluster does not know the kind.
    fn list(&self, resource: &ApiResource) -> Result<Option<Vec<(String, Document)>>, Failure> {
        let api: Api<Item> = Api::all_with(self.client.clone(), resource);
        let mut params = ListParams::default().limit(PAGE_OBJECTS);
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = match self.runtime.block_on(api.list(&params)) {
                Ok(page) => page,
                Err(Error::Api(status)) if status.code == 404 => return Ok(None),
                Err(error) => {
                    return Err(Failure::new(format!("{}: {error}", resource.plural)));
                }
            };
            let named = |item: Item| (item.name_any(), item.document(resource));
            all.extend(page.items.into_iter().map(named));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(Some(all)),
            }
        }
        Err(Failure::new(format!("{}: more than {PAGES_MAX} pages", resource.plural)))
    }

    fn page(&self, path: &str, token: &str) -> Result<String, Error> {
        let separator = if token.is_empty() { "" } else { "&continue=" };
        let uri = format!("{path}?limit={PAGE_OBJECTS}{separator}{token}");
        let request = Request::get(uri).body(Vec::new()).map_err(Error::HttpError)?;
        self.runtime.block_on(self.client.request_text(request))
    }
}
