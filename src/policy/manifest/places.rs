//! Where in a text a field stands. The text was read before, so this is asked only when something is wrong with a field.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A node of a document, with the places of what is in it.
pub(in crate::policy::manifest) enum Node {
    Map(Vec<(Spanned<String>, Node)>),
    List(Vec<Spanned<Node>>),
    Scalar,
}

impl Node {
    /// The line and column of a field such as `spec.validations[0].message`; of what is nearest around it, if it is not
    /// there; none for the document itself.
    pub fn place(&self, field: &str) -> Option<(u64, u64)> {
        let mut node = self;
        let mut place = None;
        for step in field.split(['.', '[']) {
            let found = match node {
                Node::Map(members) => {
                    let member = members.iter().find(|(key, _)| key.value == step);
                    member.map(|(key, value)| (key.referenced, value))
                }
                Node::List(items) => {
                    let number = step.strip_suffix(']').and_then(|text| text.parse::<usize>().ok());
                    let item = number.and_then(|number| items.get(number));
                    item.map(|item| (item.referenced, &item.value))
                }
                Node::Scalar => None,
            };
            let Some((location, inner)) = found else { break };
            place = Some((location.line(), location.column()));
            node = inner;
        }
        place
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(Any)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key()? {
            members.push((key, map.next_value()?));
        }
        Ok(Node::Map(members))
    }
}
