//! The kinds that are known: those that every API server has, embedded in the program, and those of custom resource
//! definitions. Nothing here knows what a policy is.
//!
//! # Guarantees
//! - The embedded text is read when a catalog is asked for, and given back with it: a server that never asks pays nothing.
//! - Types have no cycles; what a definition says of itself is an object without fields, as in the API server.

use std::fmt::{self, Write};

use serde_json::Value;

use crate::cel::Type;
use crate::json::{Document, Node};
use crate::schema::openapi;
use crate::schema::shape::{Definitions, Shape};

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

    /// Adds what a CustomResourceDefinition defines. What is none, or is broken, adds nothing.
    pub fn add_custom(&mut self, definition: &Document) {
        let root = definition.root();
        if root.get("kind").and_then(Node::as_str) == Some("CustomResourceDefinition") {
            self.add_versions(&root.to_value());
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

    /// The type of the objects of a kind, if it is known.
    pub fn type_of(&self, kind: &Kind) -> Option<Type> {
        let served = self.served.iter().find(|served| served.kind == *kind)?;
        served.shape.to_type(&kind.kind, &self.definitions)
    }

    /// The kinds of an API server, from the documents it has at `/openapi/v3`.
    pub fn from_openapi<'d>(documents: impl IntoIterator<Item = &'d Value>) -> Catalog {
        let mut catalog = Catalog::default();
        let mut all = Definitions::new();
        for document in documents {
            let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
            for (name, schema) in schemas.into_iter().flatten() {
                if let Some(shape) = openapi::shape(schema) {
                    all.insert(openapi::short(name).to_owned(), shape);
                }
            }
            let paths = document.get("paths").and_then(Value::as_object);
            for (path, item) in paths.into_iter().flatten() {
                catalog.served.extend(served(path, item, document));
            }
        }
        catalog.served.sort_by(|one, other| one.kind.cmp(&other.kind));
        catalog.served.dedup_by(|one, other| one.kind == other.kind);
        // What nothing leads to is not kept, and what is simple is written where it is used.
        let mut waiting: Vec<Shape> = catalog.served.iter().map(|s| s.shape.clone()).collect();
        while let Some(shape) = waiting.pop() {
            if let Shape::Reference(name) = &shape
                && !catalog.definitions.contains_key(name)
                && let Some(Shape::Object(fields)) = all.get(name)
            {
                let fields = fields
                    .iter()
                    .filter_map(|(field, shape)| Some((field.clone(), inlined(shape, &all)?)));
                let mut fields: Vec<(String, Shape)> = fields.collect();
                fields.sort_by(|one, other| one.0.cmp(&other.0));
                waiting.extend(fields.iter().map(|(_, shape)| innermost(shape).clone()));
                catalog.definitions.insert(name.clone(), Shape::Object(fields));
            }
        }
        catalog
    }

    /// The catalog as a text of lines, for [`Catalog::read`].
    pub fn write(&self, title: &str) -> String {
        let mut text = format!("# {title}\n");
        for Served { kind, names: [plural, _], shape } in &self.served {
            let Kind { group, version, kind } = kind;
            // Writing to a String does not fail.
            let _ = writeln!(text, "kind {group}/{version} {kind} {plural} {}", written(shape));
        }
        for (name, shape) in &self.definitions {
            let _ = write!(text, "type {name}");
            if let Shape::Object(fields) = shape {
                for (field, shape) in fields {
                    let _ = write!(text, " {field}:{}", written(shape));
                }
            }
            text.push('\n');
        }
        text
    }

    /// Reads what [`Catalog::write`] wrote; what is not of that form is passed over.
    pub fn read(text: &str) -> Catalog {
        let mut catalog = Catalog::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next(), words.next(), words.next()) {
                (Some("kind"), Some(version), Some(kind), Some(plural), Some(shape)) => {
                    let (Some(kind), Some(shape)) = (Kind::of(version, kind), read(shape)) else {
                        continue;
                    };
                    let names = [plural.to_owned(), kind.kind.to_lowercase()];
                    catalog.served.push(Served { kind, names, shape });
                }
                (Some("type"), Some(name), ..) => {
                    let fields = line.split(' ').skip(2).filter_map(|field| {
                        let (name, shape) = field.split_once(':')?;
                        Some((name.to_owned(), read(shape)?))
                    });
                    let shape = Shape::Object(fields.collect());
                    catalog.definitions.insert(name.to_owned(), shape);
                }
                _ => {}
            }
        }
        catalog
    }
}

/// What the names of the definitions of built-in kinds begin with. Others come from custom resource definitions.
const BUILT_IN_NAMES: [&str; 3] =
    ["io.k8s.api.", "io.k8s.apiextensions-apiserver.", "io.k8s.kube-aggregator."];

/// The kind that objects are made of at this path, unless it is of something below a resource.
fn served(path: &str, item: &Value, document: &Value) -> Option<Served> {
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
    let is_built_in = |name: &str| BUILT_IN_NAMES.iter().any(|prefix| name.starts_with(prefix));
    let (name, _) = schemas.iter().find(|(name, schema)| is_built_in(name) && is_it(schema))?;
    let names = [plural.to_owned(), kind.kind.to_lowercase()];
    Some(Served { kind, names, shape: Shape::Reference(openapi::short(name).to_owned()) })
}

/// The shape with references to what is simple replaced by it; `None` if it refers to what can't be seen.
fn inlined(shape: &Shape, all: &Definitions) -> Option<Shape> {
    Some(match shape {
        Shape::List(of) => Shape::List(Box::new(inlined(of, all)?)),
        Shape::Map(of) => Shape::Map(Box::new(inlined(of, all)?)),
        Shape::Reference(name) => match all.get(name)? {
            Shape::Object(_) => shape.clone(),
            other => inlined(other, all)?,
        },
        Shape::Simple(_) | Shape::Object(_) => shape.clone(),
    })
}

fn innermost(shape: &Shape) -> &Shape {
    match shape {
        Shape::List(of) | Shape::Map(of) => innermost(of),
        other => other,
    }
}

/// The simple types, and how they are written.
const SIMPLE: [(&str, Type); 8] = [
    ("string", Type::String),
    ("int", Type::Int),
    ("bool", Type::Bool),
    ("double", Type::Double),
    ("bytes", Type::Bytes),
    ("time", Type::Timestamp),
    ("duration", Type::Duration),
    ("dyn", Type::Dyn),
];

/// A shape as a word: `[..` is a list, `{..` a map, `=..` a reference, `object` an object without fields.
fn written(shape: &Shape) -> String {
    match shape {
        Shape::List(of) => format!("[{}", written(of)),
        Shape::Map(of) => format!("{{{}", written(of)),
        Shape::Reference(name) => format!("={name}"),
        Shape::Object(_) => "object".to_owned(),
        Shape::Simple(ty) => {
            let word = SIMPLE.iter().find(|(_, simple)| simple == ty);
            word.map_or("dyn", |(word, _)| word).to_owned()
        }
    }
}

fn read(word: &str) -> Option<Shape> {
    if let Some(name) = word.strip_prefix('=') {
        return Some(Shape::Reference(name.to_owned()));
    }
    if let Some(of) = word.strip_prefix('[') {
        return read(of).map(|of| Shape::List(Box::new(of)));
    }
    if let Some(of) = word.strip_prefix('{') {
        return read(of).map(|of| Shape::Map(Box::new(of)));
    }
    if word == "object" {
        return Some(Shape::Object(Vec::new()));
    }
    let (_, ty) = SIMPLE.iter().find(|(simple, _)| *simple == word)?;
    Some(Shape::Simple(ty.clone()))
}

#[cfg(test)]
mod tests;
