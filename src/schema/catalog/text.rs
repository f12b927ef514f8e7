//! The catalog as a text of lines, small enough to be part of the program. Nothing here knows what shapes are for.
//!
//! A line is `kind GROUP/VERSION KIND PLURAL SHAPE` or `type NAME FIELD..`, a field `NAME:SHAPE` or `NAME:SHAPE|DEFAULT`. The
//! words `!` and `+` before the fields say that the object is atomic and that it may have other members. A shape is one
//! word: `[` before what a list has, with `(set)` or `(map,KEY,..)` between; `{` before what a map has; `=` before the name
//! of a definition; or the name of something simple. `!` and `~` say that a map is atomic or granular.

use std::fmt::Write;

use crate::cel::Type;
use crate::schema::catalog::{Catalog, Kind, Served};
use crate::schema::shape::{Field, ListType, MapType, Object, Shape};

impl Catalog {
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
            if let Shape::Object(object) = shape {
                if object.map_type == MapType::Atomic {
                    text.push_str(" !");
                }
                if object.is_open && !object.fields().is_empty() {
                    text.push_str(" +");
                }
                for Field { name, shape, default } in object.fields() {
                    let _ = write!(text, " {name}:{}", written(shape));
                    if let Some(default) = default {
                        let _ = write!(text, "|{default}");
                    }
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
                    let words: Vec<&str> = line.split(' ').skip(2).collect();
                    let fields = words.iter().filter_map(|word| read_field(word)).collect();
                    let mut object = Object::new(fields);
                    object.is_open |= words.contains(&"+");
                    if words.contains(&"!") {
                        object.map_type = MapType::Atomic;
                    }
                    catalog.definitions.insert(name.to_owned(), Shape::Object(object));
                }
                _ => {}
            }
        }
        catalog
    }
}

fn read_field(word: &str) -> Option<Field> {
    let (name, rest) = word.split_once(':')?;
    let (shape, default) = match rest.split_once('|') {
        Some((shape, default)) => (shape, Some(default)),
        None => (rest, None),
    };
    let default = default.and_then(|text| serde_json::from_str(text).ok());
    Some(Field { name: name.to_owned(), shape: read(shape)?, default })
}

/// What has no parts, and how it is written.
const SIMPLE: [(&str, Shape); 12] = [
    ("string", Shape::Simple(Type::String)),
    ("int", Shape::Simple(Type::Int)),
    ("bool", Shape::Simple(Type::Bool)),
    ("double", Shape::Simple(Type::Double)),
    ("bytes", Shape::Simple(Type::Bytes)),
    ("time", Shape::Simple(Type::Timestamp)),
    ("duration", Shape::Simple(Type::Duration)),
    ("dyn", Shape::Simple(Type::Dyn)),
    ("formatted", Shape::Formatted),
    ("quantity", Shape::Quantity),
    ("anything", Shape::Anything),
    ("raw", Shape::Raw),
];

const SET: &str = "(set)";
const MAP: &str = "(map,";

fn written(shape: &Shape) -> String {
    match shape {
        Shape::List(of, ListType::Atomic) => format!("[{}", written(of)),
        Shape::List(of, ListType::Set) => format!("[{SET}{}", written(of)),
        Shape::List(of, ListType::Map(keys)) => {
            format!("[{MAP}{}){}", keys.join(","), written(of))
        }
        Shape::Map(of, MapType::Granular) => format!("{{{}", written(of)),
        Shape::Map(of, MapType::Atomic) => format!("{{!{}", written(of)),
        Shape::Reference(name, None) => format!("={name}"),
        Shape::Reference(name, Some(MapType::Granular)) => format!("=~{name}"),
        Shape::Reference(name, Some(MapType::Atomic)) => format!("=!{name}"),
        Shape::Object(_) => "object".to_owned(),
        simple => {
            let word = SIMPLE.iter().find(|(_, known)| known == simple);
            word.map_or("dyn", |(word, _)| word).to_owned()
        }
    }
}

fn read(word: &str) -> Option<Shape> {
    if let Some(name) = word.strip_prefix('=') {
        let (name, map_type) = read_map_type(name);
        return Some(Shape::Reference(name.to_owned(), map_type));
    }
    if let Some(of) = word.strip_prefix('[') {
        let (list_type, of) = match (of.strip_prefix(SET), of.strip_prefix(MAP)) {
            (Some(of), _) => (ListType::Set, of),
            (_, Some(rest)) => {
                let (keys, of) = rest.split_once(')')?;
                (ListType::Map(keys.split(',').map(str::to_owned).collect()), of)
            }
            _ => (ListType::Atomic, of),
        };
        return read(of).map(|of| Shape::List(Box::new(of), list_type));
    }
    if let Some(of) = word.strip_prefix('{') {
        let (of, map_type) = read_map_type(of);
        return read(of).map(|of| Shape::Map(Box::new(of), map_type.unwrap_or_default()));
    }
    if word == "object" {
        return Some(Shape::Object(Object::new(Vec::new())));
    }
    SIMPLE.iter().find(|(simple, _)| *simple == word).map(|(_, shape)| shape.clone())
}

fn read_map_type(word: &str) -> (&str, Option<MapType>) {
    match (word.strip_prefix('!'), word.strip_prefix('~')) {
        (Some(rest), _) => (rest, Some(MapType::Atomic)),
        (_, Some(rest)) => (rest, Some(MapType::Granular)),
        _ => (word, None),
    }
}
