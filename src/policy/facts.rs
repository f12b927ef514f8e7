//! Facts: what evaluation needs from outside the snapshot and the request. Evaluation says what it needs; whoever knows
//! how to find out adds it here and asks again.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cel::{Answer, Answers, Check};
use crate::images::Reference;
use crate::json::{Document, Node};
use crate::policy::images::{ImageRules, ImagesNeeded, Judgement, Verdict};
use crate::schema::{NAMESPACE_METADATA_HIDDEN, NAMESPACE_PARTS};

/// What was gathered for one request.
#[derive(Debug, Default)]
pub struct Facts {
    namespaces: HashMap<String, Option<NamespaceObject>>,
    answers: HashMap<Check, Answer>,
    /// By the fingerprint of the rules, and the image.
    judgements: HashMap<(String, Reference), Arc<Judgement>>,
    /// What the clock said.
    now: Option<Timestamp>,
}

/// A fact that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// The Namespace of this name, or that there is none.
    Namespace(String),
    /// Whether the authorizer allows this.
    Authorization(Box<Check>),
    /// Whether these images pass, and what the time is.
    Images(Box<ImagesNeeded>),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Namespace(name) => write!(f, "namespace `{name}`"),
            Need::Authorization(check) => write!(f, "authorization of `{check}`"),
            Need::Images(needed) => {
                let names: Vec<String> = needed.images.iter().map(ToString::to_string).collect();
                match names.as_slice() {
                    [] => f.write_str("the time"),
                    names => write!(f, "whether `{}` is signed", names.join("`, `")),
                }
            }
        }
    }
}

/// A Namespace, as selectors and expressions see it.
#[derive(Clone, Debug)]
pub struct NamespaceObject {
    whole: Arc<Document>,
    /// Without what `namespaceObject` does not show; none if there is nothing of it.
    shown: Option<Arc<Document>>,
}

impl NamespaceObject {
    /// Takes a Namespace object. The label that the API server gives to each is added if it is missing, as it is in files.
    pub fn new(document: &Document) -> NamespaceObject {
        let mut value = document.root().to_value();
        let name = value.pointer("/metadata/name").cloned().unwrap_or_default();
        if let Some(metadata) = value.get_mut("metadata").and_then(|m| m.as_object_mut()) {
            let labels = metadata.entry("labels").or_insert_with(|| serde_json::json!({}));
            if let Some(labels) = labels.as_object_mut() {
                labels.entry("kubernetes.io/metadata.name").or_insert(name);
            }
        }
        // Expressions see the API server's own type, in which an object does not say what it is.
        if let Some(object) = value.as_object_mut() {
            object.shift_remove("apiVersion");
            object.shift_remove("kind");
            for part in NAMESPACE_PARTS {
                object.entry(part).or_insert_with(|| serde_json::json!({}));
            }
        }
        let whole = Arc::new(Document::from_value(&value));
        let mut hidden = false;
        if let Some(metadata) = value.get_mut("metadata").and_then(|m| m.as_object_mut()) {
            for field in NAMESPACE_METADATA_HIDDEN {
                hidden |= metadata.shift_remove(field).is_some();
            }
        }
        NamespaceObject { whole, shown: hidden.then(|| Arc::new(Document::from_value(&value))) }
    }

    /// A namespace of which nothing is known but its name.
    pub fn named(name: &str) -> NamespaceObject {
        NamespaceObject::new(&Document::from_value(&serde_json::json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        })))
    }

    /// The whole object.
    pub fn whole(&self) -> Node<'_> {
        self.whole.root()
    }

    /// What expressions see as `namespaceObject`.
    pub fn shown(&self) -> Node<'_> {
        self.shown.as_ref().unwrap_or(&self.whole).root()
    }
}

impl Facts {
    /// Nothing is known yet.
    pub fn new() -> Facts {
        Facts::default()
    }

    /// Adds a Namespace, or that there is none of this name.
    pub fn add_namespace(&mut self, name: &str, namespace: Option<NamespaceObject>) {
        self.namespaces.insert(name.to_owned(), namespace);
    }

    /// Adds what the authorizer said.
    pub fn add_answer(&mut self, check: Check, answer: Answer) {
        self.answers.insert(check, answer);
    }

    /// Adds what the rules say to an image.
    pub fn add_judgement(&mut self, rules: &ImageRules, image: &Reference, said: Arc<Judgement>) {
        self.judgements.insert((rules.fingerprint().to_owned(), image.clone()), said);
    }

    /// Whether there are images of which nobody knew whether they pass.
    pub fn doubts_images(&self) -> bool {
        self.judgements.values().any(|said| said.verdict == Verdict::Unknown)
    }

    /// Adds what the clock says.
    pub fn add_now(&mut self, now: Timestamp) {
        self.now = Some(now);
    }

    /// What the clock said, if somebody looked.
    pub fn now(&self) -> Option<Timestamp> {
        self.now
    }

    /// Adds that nobody can say anything of these images, and why.
    pub fn add_unknown(&mut self, needed: &ImagesNeeded, why: &str) {
        for image in &needed.images {
            self.add_judgement(&needed.rules, image, Arc::new(Judgement::unknown(image, why)));
        }
    }

    /// What the rules say to an image, if that is known.
    pub fn judgement(&self, rules: &ImageRules, image: &Reference) -> Option<&Judgement> {
        let key = (rules.fingerprint().to_owned(), image.clone());
        self.judgements.get(&key).map(|said| &**said)
    }

    /// What is known of a Namespace: nothing, that there is none, or the object.
    pub fn namespace(&self, name: &str) -> Option<Option<&NamespaceObject>> {
        self.namespaces.get(name).map(Option::as_ref)
    }
}

impl Answers for Facts {
    fn authorize(&self, check: &Check) -> Option<&Answer> {
        self.answers.get(check)
    }
}
