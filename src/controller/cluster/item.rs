//! An object as the API server lists it and tells of it: read once, straight into the document that policies are asked
//! about. A tenth of the memory of a tree of values, of which a page of a list would have hundreds.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};

use crate::json::{Document, Node};

/// An object of any kind.
#[derive(Clone, Debug)]
pub struct Item {
    /// Of the metadata what names the object and its state.
    metadata: ObjectMeta,
    document: Document,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
        let document = Document::deserialize(deserializer)?;
        let metadata = document.root().get("metadata").unwrap_or(Node::null());
        let text = |field| metadata.get(field).and_then(Node::as_str).map(str::to_owned);
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            generation: metadata.get("generation").and_then(Node::as_i64),
            ..ObjectMeta::default()
        };
        Ok(Item { metadata, document })
    }
}

impl Item {
    /// The object as a document, which says what it is: items of lists leave that to the list.
    pub fn document(self, resource: &ApiResource) -> Document {
        let Item { mut document, .. } = self;
        document.complete(&[("apiVersion", &resource.api_version), ("kind", &resource.kind)]);
        document
    }
}

impl Resource for Item {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use kube::api::{ApiResource, ObjectList, WatchEvent};

    use crate::controller::cluster::item::Item;

    #[test]
    fn an_item_says_what_it_is() {
        let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
        let check = |item: Item, expect: &str| {
            assert_eq!(item.name_any(), "a");
            assert_eq!(item.resource_version().as_deref(), Some("7"));
            assert_eq!(item.document(&resource).root().text(), expect);
        };
        let bare = r#"{"metadata":{"name":"a","resourceVersion":"7"}}"#;
        let whole = bare.replace(r#""7"}"#, r#""7"},"apiVersion":"v1","kind":"Pod""#);
        let list = format!(
            r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"9"}},"items":[{bare}]}}"#
        );
        let list: ObjectList<Item> = serde_json::from_str(&list).unwrap();
        assert_eq!(list.metadata.resource_version.as_deref(), Some("9"));
        list.items.into_iter().for_each(|item| check(item, &whole));
        let event = format!(r#"{{"type":"ADDED","object":{whole}}}"#);
        let Ok(WatchEvent::Added(item)) = serde_json::from_str(&event) else { panic!("{event}") };
        check(item, &whole);
    }
}
