//! By which credentials a Pod's images are pulled: the Secrets that it names, or its ServiceAccount does.

use crate::json::{Array, Node};
use crate::policy::images::object::POD_SPECS;

/// The ServiceAccount of Pods that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// What an object's Pods say of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullSecrets<'o> {
    /// The names of Secrets. Where there are none, those of the ServiceAccount count, as its admission has it.
    pub secrets: Vec<&'o str>,
    /// The name of the ServiceAccount.
    pub account: &'o str,
}

impl<'o> PullSecrets<'o> {
    /// What the object's Pods say; none if it makes none.
    pub fn of(object: Node<'o>) -> Option<PullSecrets<'o>> {
        let ways = POD_SPECS.iter();
        let mut specs = ways.filter_map(|way| {
            let spec = way.iter().try_fold(object, |node, field| node.get(field))?;
            spec.get("containers").map(|_| spec)
        });
        let spec = specs.next()?;
        let text =
            |field: &str| spec.get(field).and_then(Node::as_str).filter(|text| !text.is_empty());
        let list = spec.get("imagePullSecrets").and_then(Node::as_array);
        let names = list.into_iter().flat_map(Array::iter);
        Some(PullSecrets {
            secrets: names
                .filter_map(|one| one.get("name").and_then(Node::as_str))
                .filter(|name| !name.is_empty())
                .collect(),
            account: text("serviceAccountName")
                .or_else(|| text("serviceAccount"))
                .unwrap_or(DEFAULT_ACCOUNT),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::PullSecrets;
    use crate::json::Document;
    use serde_json::{Value, json};

    #[test]
    fn a_pod_says_by_which_credentials_it_pulls() {
        let check = |object: Value, expect: Option<(&[&str], &str)>| {
            let document = Document::from_value(&object);
            let found = PullSecrets::of(document.root());
            let found = found.as_ref().map(|found| (found.secrets.as_slice(), found.account));
            assert_eq!(found, expect, "{object}");
        };
        let pod = json!({
            "containers": [], "serviceAccountName": "runner",
            "imagePullSecrets": [{"name": "a"}, {}, {"name": ""}, {"name": "b"}],
        });
        check(json!({"spec": pod}), Some((&["a", "b"], "runner")));
        check(json!({"spec": {"template": {"spec": pod}}}), Some((&["a", "b"], "runner")));
        let job = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}});
        check(job, Some((&["a", "b"], "runner")));
        check(json!({"spec": {"containers": []}}), Some((&[], "default")));
        let old = json!({"spec": {"containers": [], "serviceAccount": "old"}});
        check(old, Some((&[], "old")));
        check(json!({"spec": {"imagePullSecrets": [{"name": "a"}]}}), None);
        check(json!({"data": {}}), None);
    }
}
