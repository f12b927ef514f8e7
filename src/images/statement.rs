//! In-toto statements: what a signed envelope says of which artifacts. Nothing here verifies the signature.

use serde::Deserialize;
use serde_json::Value;

use crate::images::digest::Digest;

/// The payload type of an envelope with a statement.
pub(in crate::images) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The versions of the statement; what is read here is the same in both.
const STATEMENT_TYPES: &[&str] =
    &["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];

/// The predicate by which cosign 3 says that an image is signed, and nothing more.
pub const SIGNATURE_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

/// How many artifacts one statement may be about. Provenance of a large build has dozens.
const SUBJECTS_MAX: usize = 1024;

/// A statement.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::images) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    pub predicate_type: String,
    #[serde(default)]
    pub predicate: Value,
}

#[derive(Debug, Deserialize)]
struct Subject {
    digest: serde_json::Map<String, Value>,
}

impl Statement {
    /// Reads the payload of an envelope.
    pub fn read(payload: &[u8]) -> Result<Statement, String> {
        let statement: Statement =
            serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        if !STATEMENT_TYPES.contains(&statement.kind.as_str()) {
            return Err(format!("its type is `{}`", statement.kind));
        }
        if statement.subject.len() > SUBJECTS_MAX {
            return Err(format!("it is about more than {SUBJECTS_MAX} artifacts"));
        }
        Ok(statement)
    }

    /// Whether it is about this image.
    pub fn is_about(&self, image: &Digest) -> bool {
        let algorithm = image.algorithm().as_str();
        self.subject.iter().any(|subject| {
            subject.digest.get(algorithm).and_then(Value::as_str) == Some(image.hex())
        })
    }

    /// What it is about, for people.
    pub fn subjects(&self) -> String {
        let named = |subject: &Subject| {
            let (algorithm, hex) = subject.digest.iter().next()?;
            Some(format!("{algorithm}:{}", hex.as_str()?))
        };
        match self.subject.iter().find_map(named) {
            Some(first) if self.subject.len() > 1 => {
                format!("{first} and {} more", self.subject.len() - 1)
            }
            Some(first) => first,
            None => "nothing".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_about_its_subjects_and_nothing_else() {
        let image = Digest::of(b"image");
        let check = |subject: &str, expect: bool| {
            let text = format!(
                r#"{{"_type":"https://in-toto.io/Statement/v1","subject":{subject},"predicateType":"p","predicate":{{}}}}"#
            );
            assert_eq!(
                Statement::read(text.as_bytes()).unwrap().is_about(&image),
                expect,
                "{text}"
            );
        };
        let hex = image.hex();
        let other = Digest::of(b"other");
        check(&format!(r#"[{{"digest":{{"sha256":"{hex}"}}}}]"#), true);
        check(
            &format!(
                r#"[{{"digest":{{"sha256":"{}"}}}},{{"digest":{{"sha256":"{hex}"}}}}]"#,
                other.hex()
            ),
            true,
        );
        check(&format!(r#"[{{"digest":{{"sha256":"{}"}}}}]"#, other.hex()), false);
        check(&format!(r#"[{{"digest":{{"sha512":"{hex}"}}}}]"#), false);
        check(&format!(r#"[{{"name":"{hex}","digest":{{}}}}]"#), false);
        check(&format!(r#"[{{"digest":{{"sha256":"{}"}}}}]"#, hex.to_uppercase()), false);
        check("[]", false);
    }

    #[test]
    fn what_is_no_statement_is_told() {
        let check = |text: &str, expect: &str| {
            let error = Statement::read(text.as_bytes()).unwrap_err();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("{}", "missing field");
        check(r#"{"_type":"x","subject":[],"predicateType":"p"}"#, "its type is `x`");
        check(r#"{"_type":"x","_type":"y","subject":[],"predicateType":"p"}"#, "duplicate field");
        let many = vec![r#"{"digest":{}}"#; SUBJECTS_MAX + 1].join(",");
        check(
            &format!(
                r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{many}],"predicateType":"p"}}"#
            ),
            "more than 1024",
        );
    }
}
