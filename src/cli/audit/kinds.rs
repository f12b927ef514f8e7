//! Which resource serves a kind where no API server is there to be asked: for kinds of CustomResourceDefinitions, what they
//! say; for others, what Kubernetes has.

use std::collections::HashMap;

use crate::audit::Served;
use crate::audit::plan::ServedKind;
use crate::json::{Document, Node};
use crate::policy::scope::{is_cluster_kind, plural};

/// What is known of custom kinds.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    /// By group and kind: the resource, and whether objects live in namespaces.
    custom: HashMap<(String, String), (String, bool)>,
}

/// The kinds met so far, with their resources.
#[derive(Debug, Default)]
pub struct Plurals(HashMap<String, String>);

/// Kinds that are remembered: more than a cluster has.
const KINDS_MAX: usize = 4_096;

impl Kinds {
    /// Adds what a CustomResourceDefinition defines. What is none adds nothing.
    pub fn add(&mut self, document: &Document) {
        let root = document.root();
        if root.get("kind").and_then(Node::as_str) != Some("CustomResourceDefinition") {
            return;
        }
        let text = |pointer| root.pointer(pointer).and_then(Node::as_str).map(str::to_owned);
        if let (Some(group), Some(kind), Some(plural)) =
            (text("/spec/group"), text("/spec/names/kind"), text("/spec/names/plural"))
        {
            let is_namespaced = text("/spec/scope").as_deref() != Some("Cluster");
            self.custom.insert((group, kind), (plural, is_namespaced));
        }
    }

    /// Adds what a cluster serves.
    pub fn add_served(&mut self, served: &ServedKind) {
        let ServedKind { group, kind, resource, is_namespaced, .. } = served;
        self.custom.insert((group.clone(), kind.clone()), (resource.clone(), *is_namespaced));
    }

    /// Where objects of this kind are served.
    pub fn served<'k>(&'k self, object: Node<'_>, plurals: &'k mut Plurals) -> Served<'k> {
        let text = |field| object.get(field).and_then(Node::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if !self.custom.is_empty() {
            let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
            let key = (group.to_owned(), kind.to_owned());
            if let Some((resource, namespaced)) = self.custom.get(&key) {
                return Served { resource, namespaced: *namespaced };
            }
        }
        let Plurals(known) = plurals;
        if known.len() > KINDS_MAX {
            known.clear();
        }
        if !known.contains_key(kind) {
            known.insert(kind.to_owned(), plural(kind));
        }
        let resource = known.get(kind).map_or("", String::as_str);
        Served { resource, namespaced: !is_cluster_kind(kind) }
    }
}
