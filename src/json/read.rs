//! Documents from whatever serde reads, made while it is read: the items of a list, say, without anything between the text and
//! the document. What is read is not known here.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::json::{Builder, DEPTH_MAX, Document, DuplicateKey, TEXT_MAX};

/// Numbers are integers where they fit one, as in [`Document::from_value`]. The same limits hold as for
/// [`Document::parse`].
///
/// ```
/// use portcullis::json::Document;
///
/// let list: Vec<Document> = serde_json::from_str(r#"[{"a": 1}, {"b": [0.5]}]"#).unwrap();
/// assert_eq!(list[1].root().text(), r#"{"b":[0.5]}"#);
/// ```
impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        let mut builder = Builder::new(String::new());
        Part(&mut builder).deserialize(deserializer)?;
        let mut document = builder.finish().ok_or_else(|| D::Error::custom("no value"))?;
        document.shrink();
        Ok(document)
    }
}

/// The next value of a document.
struct Part<'b>(&'b mut Builder);

impl Part<'_> {
    fn open<E: Error>(&mut self) -> Result<(), E> {
        if self.0.depth() >= DEPTH_MAX {
            return Err(E::custom(format_args!("more than {DEPTH_MAX} levels")));
        }
        self.0.open();
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.null();
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.bool(value);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.int(value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.0.int(value),
            Err(_) => self.0.double(value as f64),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.double(value);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        if self.0.len() + value.len() > TEXT_MAX {
            return Err(E::custom(format_args!("more than {TEXT_MAX} bytes of text")));
        }
        self.0.string(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.open()?;
        while elements.next_element_seed(Part(self.0))?.is_some() {}
        self.0.close_array();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.open()?;
        while members.next_key_seed(Part(self.0))?.is_some() {
            members.next_value_seed(Part(self.0))?;
        }
        let twice = |DuplicateKey(key)| A::Error::custom(format_args!("two members named `{key}`"));
        self.0.close_object().map_err(twice)
    }
}

#[cfg(test)]
mod tests {
    use crate::json::Document;

    #[test]
    fn what_serde_reads_is_what_is_parsed() {
        let check = |text: &str| {
            let read: Document = serde_json::from_str(text).unwrap();
            let parsed = Document::parse(text.as_bytes().to_vec()).unwrap();
            assert_eq!(read.root(), parsed.root(), "{text}");
            assert_eq!(read.root().text(), parsed.root().text());
        };
        check("null");
        check(r#"{"a": [true, false, null, -1, 0.5, 1e30, "x\n\u00e9"], "b": {}, "": []}"#);
        check("9223372036854775807");
        let many: Vec<String> = (0..40).map(|n| format!("\"k{n}\": {n}")).collect();
        check(&format!("{{{}}}", many.join(",")));
    }

    #[test]
    fn what_is_refused() {
        let check = |text: &str, expect: &str| {
            let error = serde_json::from_str::<Document>(text).unwrap_err().to_string();
            assert!(error.starts_with(expect), "{text}: {error}");
        };
        check(r#"{"a": 1, "a": 2}"#, "two members named `a`");
        check("[1", "EOF");
        check(&"[".repeat(200), "recursion limit");
    }
}
