//! An expression as pieces that can be taken apart again, so that what differs can be made small.

use std::fmt;

use crate::types::Ty;

/// A piece of an expression, and the type that it was made to have.
#[derive(Clone, Debug)]
pub struct Node {
    pub ty: Ty,
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub enum Part {
    Text(String),
    Node(Node),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Node(node) => node.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl Node {
    pub fn text(ty: Ty, text: impl Into<String>) -> Node {
        Node { ty, parts: vec![Part::Text(text.into())] }
    }

    /// Texts and nodes from a pattern in which each `$` stands for the next node.
    pub fn of(ty: Ty, pattern: &str, nodes: Vec<Node>) -> Node {
        let mut nodes = nodes.into_iter();
        let mut parts = Vec::new();
        for (place, text) in pattern.split('$').enumerate() {
            if place > 0 {
                parts.extend(nodes.next().map(Part::Node));
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
        }
        Node { ty, parts }
    }

    /// A sequence of nodes between brackets.
    pub fn sequence(ty: Ty, open: &str, items: Vec<Node>, close: &str) -> Node {
        let mut parts = vec![Part::Text(open.to_owned())];
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                parts.push(Part::Text(", ".to_owned()));
            }
            parts.push(Part::Node(item));
        }
        parts.push(Part::Text(close.to_owned()));
        Node { ty, parts }
    }

    fn children(&self) -> impl Iterator<Item = &Node> {
        self.parts.iter().filter_map(|part| match part {
            Part::Node(node) => Some(node),
            Part::Text(_) => None,
        })
    }

    /// All expressions that are this one with a piece simplified, the simplest first.
    pub fn simpler(&self) -> Vec<Node> {
        let mut found = Vec::new();
        let mut below = Vec::new();
        self.descendants(&mut below);
        below.sort_by_key(|node| node.to_string().len());
        found.extend(below.iter().filter(|node| node.ty == self.ty).map(|node| (*node).clone()));
        found.extend(
            simplest(&self.ty)
                .filter(|text| *text != self.to_string())
                .map(|text| Node::text(self.ty.clone(), text)),
        );
        found.extend(below.iter().filter(|node| node.ty != self.ty).map(|node| (*node).clone()));
        for (place, part) in self.parts.iter().enumerate() {
            if matches!(part, Part::Text(text) if text == ", ") {
                let mut without = self.clone();
                without.parts.drain(place..(place + 2).min(self.parts.len()));
                found.push(without);
            }
            let Part::Node(child) = part else { continue };
            for simpler in child.simpler() {
                let mut other = self.clone();
                other.parts[place] = Part::Node(simpler);
                found.push(other);
            }
        }
        found
    }

    fn descendants<'n>(&'n self, found: &mut Vec<&'n Node>) {
        for child in self.children() {
            found.push(child);
            child.descendants(found);
        }
    }
}

/// Literals that say the least.
fn simplest(ty: &Ty) -> impl Iterator<Item = String> {
    let text = match ty {
        Ty::Null => "null",
        Ty::Bool => "true",
        Ty::Int | Ty::Dyn => "1",
        Ty::Uint => "1u",
        Ty::Double => "1.0",
        Ty::String => "'a'",
        Ty::Bytes => "b'a'",
        Ty::Timestamp => "timestamp(1)",
        Ty::Duration => "duration('1s')",
        Ty::Type => "int",
        Ty::List(_) => "[]",
        Ty::Map(..) => "{}",
        Ty::Optional(_) => "optional.none()",
        Ty::Opaque(_) | Ty::Param(_) => return Vec::new().into_iter(),
    };
    vec![text.to_owned()].into_iter()
}
