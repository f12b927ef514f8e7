//! Where objects name images: the containers of a Pod, of all kinds, and the volumes that are images; and the same in
//! everything that makes Pods.

use crate::json::{Array, Node};

/// The lists of containers.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The ways from an object to the Pods that it makes: a Pod, what has a template, a PodTemplate, a CronJob.
pub(in crate::policy::images) const POD_SPECS: [&[&str]; 4] = [
    &["spec"],
    &["spec", "template", "spec"],
    &["template", "spec"],
    &["spec", "jobTemplate", "spec", "template", "spec"],
];

/// Every image that the object names, in order and without repetition.
pub(in crate::policy) fn images<'o>(object: Node<'o>) -> Vec<&'o str> {
    let mut found = Vec::new();
    let mut add = |text: Option<&'o str>| {
        if let Some(text) = text.filter(|text| !text.is_empty() && !found.contains(text)) {
            found.push(text);
        }
    };
    for way in POD_SPECS {
        let Some(spec) = way.iter().try_fold(object, |node, field| node.get(field)) else {
            continue;
        };
        for list in CONTAINERS.iter().filter_map(|list| spec.get(list)) {
            for container in elements(list) {
                add(container.get("image").and_then(Node::as_str));
            }
        }
        for volume in spec.get("volumes").into_iter().flat_map(elements) {
            let image = volume.get("image").and_then(|image| image.get("reference"));
            add(image.and_then(Node::as_str));
        }
    }
    found
}

fn elements(list: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    list.as_array().into_iter().flat_map(Array::iter)
}

#[cfg(test)]
mod tests {
    use super::images;
    use crate::json::Document;
    use serde_json::{Value, json};

    #[test]
    fn every_place_that_names_an_image_is_seen() {
        let check = |object: Value, expect: &[&str]| {
            let document = Document::from_value(&object);
            assert_eq!(images(document.root()), expect, "{object}");
        };
        let pod = json!({
            "initContainers": [{"image": "a"}, {"image": "b"}],
            "containers": [{"image": "c"}, {"image": "a"}, {"image": ""}, {}],
            "ephemeralContainers": [{"image": "d"}],
            "volumes": [{"name": "v"}, {"image": {"reference": "e"}}],
        });
        let all = ["a", "b", "c", "d", "e"];
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
}
