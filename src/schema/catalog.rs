//! The kinds that are known: those that every API server has, embedded in the program, and those of custom resource
//! definitions. Nothing here knows what a policy is.
//!
//! # Guarantees
//! - The embedded text is read when a catalog is asked for: a server that never asks pays nothing.
//! - Types have no cycles; what a definition says of itself is an object without fields, as in the API server.

mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::cel::Type;
use crate::json::{Document, Node};
use crate::schema::merge::Schema;
use crate::schema::openapi;
use crate::schema::shape::{Definitions, Field, ListType, Object, Shape};

/// The kinds of an API server: `make schemas` writes them.
const BUILT_IN: &str = include_str!("kubernetes.txt");

/// A kind of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind itself.
    pub kind: String,
}

/// As the API server words it: `apps/v1, Kind=Deployment`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

impl Kind {
    /// The kind of this `apiVersion`, as in `v1` or `apps/v1`. `None` if it is none.
    pub fn of(api_version: &str, kind: &str) -> Option<Kind> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let is_none = version.contains('/') || (api_version.is_empty() && kind.is_empty());
        (!is_none).then(|| Kind {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
        })
    }
}

/// What is not known of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Nothing of its group and version is.
    Version,
    /// Other kinds of its group and version are.
    Kind,
}

/// A kind that is served, and as what.
#[derive(Clone, Debug, PartialEq)]
struct Served {
    kind: Kind,
    /// The resource's names: plural, then singular.
    names: [String; 2],
    shape: Shape,
}

/// The kinds that are known, each with its shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    served: Vec<Served>,
    definitions: Definitions,
}

impl Catalog {
    /// The kinds that every API server has.
    pub fn built_in() -> Catalog {
        Catalog::read(BUILT_IN)
    }

    /// The same, read once and kept.
    pub fn built_in_shared() -> Arc<Catalog> {
        static SHARED: LazyLock<Arc<Catalog>> = LazyLock::new(|| Arc::new(Catalog::built_in()));
        Arc::clone(&SHARED)
    }

    /// Whether this is a CustomResourceDefinition.
    pub fn is_definition(document: &Document) -> bool {
        document.root().get("kind").and_then(Node::as_str) == Some("CustomResourceDefinition")
    }

    /// Adds what a CustomResourceDefinition defines. What is none, or is broken, adds nothing.
    pub fn add_custom(&mut self, definition: &Document) {
        if Catalog::is_definition(definition) {
            self.add_versions(&definition.root().to_value());
        }
    }

    fn add_versions(&mut self, definition: &Value) {
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str);
        let (Some(group), Some(kind), Some(plural)) =
            (text("/spec/group"), text("/spec/names/kind"), text("/spec/names/plural"))
        else {
            return;
        };
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
        for version in versions.into_iter().flatten() {
            let is_served = version.get("served").and_then(Value::as_bool).unwrap_or(false);
            let Some(name) = version.get("name").and_then(Value::as_str) else { continue };
            let Some(schema) = version.pointer("/schema/openAPIV3Schema") else { continue };
            if !is_served {
                continue;
            }
            let singular = text("/spec/names/singular").map_or(kind.to_lowercase(), str::to_owned);
            let kind =
                Kind { group: group.to_owned(), version: name.to_owned(), kind: kind.to_owned() };
            // A definition that is given replaces what is known.
            self.served.retain(|served| served.kind != kind);
            let names = [plural.to_owned(), singular];
            self.served.push(Served { kind, names, shape: openapi::resource(schema) });
        }
    }

    /// Which kinds a rule's group, version and resource stand for. The core group has no name, so that it stands for
    /// any group, as it does when the API server looks the kinds up.
    pub fn kinds_of<'c>(
        &'c self,
        group: &'c str,
        version: &'c str,
        resource: &str,
    ) -> impl Iterator<Item = &'c Kind> {
        let resource = resource.to_lowercase();
        let served = self.served.iter().filter(move |served| {
            (group.is_empty() || served.kind.group == group)
                && (version.is_empty() || served.kind.version == version)
                && served.names.contains(&resource)
        });
        served.map(|served| &served.kind)
    }

    /// Whether any kind of this group is known.
    pub fn knows_group(&self, group: &str) -> bool {
        self.served.iter().any(|served| served.kind.group == group)
    }

    /// The type of the objects of a kind, if it is known.
    pub fn type_of(&self, kind: &Kind) -> Option<Type> {
        let served = self.served.iter().find(|served| served.kind == *kind)?;
        served.shape.to_type(&kind.kind, &self.definitions)
    }

    /// How objects of a kind are merged.
    ///
    /// # Errors
    /// If the kind is not known, or not even its group and version.
    pub fn schema_of(&self, group: &str, version: &str, kind: &str) -> Result<Schema<'_>, Unknown> {
        let mut unknown = Unknown::Version;
        for served in &self.served {
            if served.kind.group == group && served.kind.version == version {
                unknown = Unknown::Kind;
                if served.kind.kind == kind {
                    return Ok(Schema::new(&served.shape, &self.definitions));
                }
            }
        }
        Err(unknown)
    }

    /// Adds what another catalog knows; it wins over what is known here.
    pub fn extend(&mut self, other: &Catalog) {
        self.served.retain(|known| other.served.iter().all(|served| served.kind != known.kind));
        self.served.extend(other.served.iter().cloned());
        let definitions = other.definitions.iter();
        self.definitions.extend(definitions.map(|(name, shape)| (name.clone(), shape.clone())));
    }

    /// The kinds of an API server, from the documents it has at `/openapi/v3`.
    pub fn from_openapi<'d>(documents: impl IntoIterator<Item = &'d Value>) -> Catalog {
        Catalog::collect(documents, |_| true)
    }

    /// The kinds that are the API server's own, from the same documents.
    pub fn built_in_from_openapi<'d>(documents: impl IntoIterator<Item = &'d Value>) -> Catalog {
        let is_built_in = |name: &str| BUILT_IN_NAMES.iter().any(|known| name.starts_with(known));
        Catalog::collect(documents, is_built_in)
    }

    /// Those kinds whose definition has a name that is wanted.
    fn collect<'d>(
        documents: impl IntoIterator<Item = &'d Value>,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Catalog {
        let mut catalog = Catalog::default();
        let mut all = Definitions::new();
        for document in documents {
            let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
            for (name, schema) in schemas.into_iter().flatten() {
                let name = openapi::short(name);
                all.insert(name.to_owned(), openapi::definition(name, schema));
            }
            let paths = document.get("paths").and_then(Value::as_object);
            for (path, item) in paths.into_iter().flatten() {
                catalog.served.extend(served(path, item, document, &is_wanted));
            }
        }
        catalog.served.sort_by(|one, other| one.kind.cmp(&other.kind));
        catalog.served.dedup_by(|one, other| one.kind == other.kind);
        // What nothing leads to is not kept, and what is simple is written where it is used.
        let mut waiting = Vec::new();
        catalog.served.iter().for_each(|served| references(&served.shape, &mut waiting));
        while let Some(name) = waiting.pop() {
            if !catalog.definitions.contains_key(&name)
                && let Some(shape) = all.get(&name).and_then(|shape| inlined(shape, &all))
            {
                references(&shape, &mut waiting);
                catalog.definitions.insert(name, shape);
            }
        }
        catalog.keep_defaults_of_keys();
        catalog
    }

    /// Forgets every default but those of members that tell the elements of a list apart: nothing else is merged by them.
    fn keep_defaults_of_keys(&mut self) {
        let mut keys = BTreeSet::new();
        for shape in self.definitions.values() {
            keys_of(shape, &mut keys);
        }
        for (name, shape) in &mut self.definitions {
            let Shape::Object(object) = shape else { continue };
            for field in &mut object.fields {
                if !keys.contains(&(name.clone(), field.name.clone())) {
                    field.default = None;
                }
            }
        }
    }
}

/// What the names of the definitions of built-in kinds begin with. Others come from custom resource definitions.
const BUILT_IN_NAMES: [&str; 3] =
    ["io.k8s.api.", "io.k8s.apiextensions-apiserver.", "io.k8s.kube-aggregator."];

/// The kind that objects are made of at this path, unless it is of something below a resource: that has no schema among
/// those of its own group and version.
fn served(
    path: &str,
    item: &Value,
    document: &Value,
    is_wanted: impl Fn(&str) -> bool,
) -> Option<Served> {
    let below = path.strip_prefix("/api/v1/").or_else(|| {
        let (_, rest) = path.strip_prefix("/apis/")?.split_once('/')?;
        rest.split_once('/').map(|(_, rest)| rest)
    })?;
    let plural = below.strip_prefix("namespaces/{namespace}/").unwrap_or(below);
    if plural.contains(['/', '{']) {
        return None;
    }
    let operation = item.get("post")?;
    let of = operation.get("x-kubernetes-group-version-kind")?;
    let text = |key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let kind = Kind { group: text("group")?, version: text("version")?, kind: text("kind")? };
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object)?;
    let is_it = |schema: &Value| {
        let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        kinds.is_some_and(|kinds| kinds.contains(of))
    };
    let (name, _) = schemas.iter().find(|(name, schema)| is_wanted(name) && is_it(schema))?;
    let names = [plural.to_owned(), kind.kind.to_lowercase()];
    let shape = Shape::Reference(openapi::short(name).to_owned(), None);
    Some(Served { kind, names, shape })
}

/// The shape with references to what is no object replaced by it; `None` if it refers to nothing.
fn inlined(shape: &Shape, all: &Definitions) -> Option<Shape> {
    Some(match shape {
        Shape::List(of, list_type) => Shape::List(Box::new(inlined(of, all)?), list_type.clone()),
        Shape::Map(of, map_type) => Shape::Map(Box::new(inlined(of, all)?), *map_type),
        Shape::Reference(name, _) => match all.get(name)? {
            Shape::Object(_) => shape.clone(),
            other => inlined(other, all)?,
        },
        Shape::Object(object) => {
            let field =
                |field: &Field| Some(Field { shape: inlined(&field.shape, all)?, ..field.clone() });
            let fields = object.fields().iter().filter_map(field).collect();
            let Object { map_type, is_open, .. } = *object;
            Shape::Object(Object { map_type, is_open, ..Object::new(fields) })
        }
        other => other.clone(),
    })
}

/// The names of the definitions that a shape refers to.
fn references(shape: &Shape, names: &mut Vec<String>) {
    match shape {
        Shape::List(of, _) | Shape::Map(of, _) => references(of, names),
        Shape::Object(object) => {
            object.fields().iter().for_each(|field| references(&field.shape, names));
        }
        Shape::Reference(name, _) => names.push(name.clone()),
        _ => {}
    }
}

/// The members, each with the definition it is of, that tell elements of lists apart.
fn keys_of(shape: &Shape, keys: &mut BTreeSet<(String, String)>) {
    match shape {
        Shape::List(of, ListType::Map(names)) => {
            if let Shape::Reference(definition, _) = &**of {
                keys.extend(names.iter().map(|name| (definition.clone(), name.clone())));
            }
            keys_of(of, keys);
        }
        Shape::List(of, _) | Shape::Map(of, _) => keys_of(of, keys),
        Shape::Object(object) => {
            object.fields().iter().for_each(|field| keys_of(&field.shape, keys));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
