//! Where objects name images: the containers of a Pod, of all kinds, and the volumes that are images; and the same in
//! everything that makes Pods.

use crate::json::{Array, Node};

/// The lists of containers.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", EPHEMERAL];

/// The containers that are added to a Pod while it runs.
const EPHEMERAL: &str = "ephemeralContainers";

/// The ways from an object to the Pods that it makes: a Pod, what has a template, a PodTemplate, a CronJob.
pub(in crate::policy::images) const POD_SPECS: [&[&str]; 4] = [
    &["spec"],
    &["spec", "template", "spec"],
    &["template", "spec"],
    &["spec", "jobTemplate", "spec", "template", "spec"],
];

/// A place of an object that names an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Place<'o> {
    /// What it says.
    pub image: &'o str,
    /// Where, as a JSON pointer. Nothing in it has to be escaped.
    pub pointer: String,
    /// Which part of a Pod it is in, such as `containers` or `volumes`.
    pub part: &'static str,
    /// The name of the container or volume.
    pub name: &'o str,
}

impl Place<'_> {
    /// Whether it is a container that is added while the Pod runs.
    pub fn is_ephemeral(&self) -> bool {
        self.part == EPHEMERAL
    }

    /// Whether it is a volume.
    pub fn is_volume(&self) -> bool {
        self.part == VOLUMES
    }
}

/// The volumes of a Pod.
const VOLUMES: &str = "volumes";

/// Every place that names an image, in order.
pub(in crate::policy) fn places(object: Node<'_>) -> Vec<Place<'_>> {
    let mut found = Vec::new();
    for way in POD_SPECS {
        let Some(spec) = way.iter().try_fold(object, |node, field| node.get(field)) else {
            continue;
        };
        let lists = CONTAINERS.iter().map(|part| (*part, &["image"][..]));
        for (part, within) in lists.chain([(VOLUMES, &["image", "reference"][..])]) {
            for (index, element) in spec.get(part).into_iter().flat_map(elements).enumerate() {
                let named = within.iter().try_fold(element, |node, field| node.get(field));
                let Some(image) = named.and_then(Node::as_str).filter(|text| !text.is_empty())
                else {
                    continue;
                };
                let pointer = format!("/{}/{part}/{index}/{}", way.join("/"), within.join("/"));
                let name = element.get("name").and_then(Node::as_str).unwrap_or_default();
                found.push(Place { image, pointer, part, name });
            }
        }
    }
    found
}

/// Whether a controller made the object and compares it with what it wanted to make.
pub(in crate::policy) fn is_controlled(object: Node<'_>) -> bool {
    let owners = object.get("metadata").and_then(|metadata| metadata.get("ownerReferences"));
    let controls = |owner: Node<'_>| owner.get("controller").and_then(Node::as_bool) == Some(true);
    owners.into_iter().flat_map(elements).any(controls)
}

fn elements(list: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    list.as_array().into_iter().flat_map(Array::iter)
}

#[cfg(test)]
mod tests {
    use super::{is_controlled, places};
    use crate::json::Document;
    use serde_json::{Value, json};

    #[test]
    fn every_place_that_names_an_image_is_seen() {
        let check = |object: Value, expect: &[&str]| {
            let document = Document::from_value(&object);
            let found = places(document.root());
            let images: Vec<&str> = found.iter().map(|place| place.image).collect();
            assert_eq!(images, expect, "{object}");
            for place in found {
                let said = object.pointer(&place.pointer).and_then(Value::as_str);
                assert_eq!(said, Some(place.image), "{place:?}");
            }
        };
        let pod = json!({
            "initContainers": [{"image": "a"}, {"image": "b"}],
            "containers": [{"image": "c"}, {"image": "a"}, {"image": ""}, {}],
            "ephemeralContainers": [{"image": "d"}],
            "volumes": [{"name": "v"}, {"image": {"reference": "e"}}],
        });
        let all = ["a", "b", "c", "a", "d", "e"];
        check(json!({"kind": "Pod", "spec": pod}), &all);
        check(json!({"kind": "Deployment", "spec": {"template": {"spec": pod}}}), &all);
        check(json!({"kind": "PodTemplate", "template": {"spec": pod}}), &all);
        check(
            json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}),
            &all,
        );
        check(json!({"kind": "ConfigMap", "data": {"image": "a"}}), &[]);
        check(json!({"spec": {"containers": "none", "volumes": {"image": "a"}}}), &[]);
        check(Value::Null, &[]);
    }

    #[test]
    fn what_a_controller_made_is_told() {
        let check = |owners: Value, expect: bool| {
            let document = Document::from_value(&json!({"metadata": {"ownerReferences": owners}}));
            assert_eq!(is_controlled(document.root()), expect, "{owners}");
        };
        check(json!([{"kind": "Deployment", "controller": true}]), true);
        check(json!([{"kind": "Node"}, {"kind": "Job", "controller": true}]), true);
        check(json!([{"kind": "ConfigMap", "controller": false}, {"kind": "Node"}]), false);
        check(Value::Null, false);
    }
}
