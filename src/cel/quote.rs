//! Text in quotes as Go writes it with `%q`, which is how Kubernetes shows what it was given.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// A text, or octets that should be one, in double quotes, with what cannot be seen escaped.
pub(crate) struct Quoted<T>(pub T);

impl<T: AsRef<[u8]>> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.as_ref().utf8_chunks() {
            escape(chunk.valid(), f)?;
            for octet in chunk.invalid() {
                write!(f, "\\x{octet:02x}")?;
            }
        }
        f.write_str("\"")
    }
}

fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\x07' => f.write_str("\\a")?,
            '\x08' => f.write_str("\\b")?,
            '\x0c' => f.write_str("\\f")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\x0b' => f.write_str("\\v")?,
            '\\' => f.write_str("\\\\")?,
            '"' => f.write_str("\\\"")?,
            ' '..='~' => write!(f, "{c}")?,
            '\0'..='\x7f' => write!(f, "\\x{:02x}", u32::from(c))?,
            _ if is_printable(c) => write!(f, "{c}")?,
            '\u{80}'..='\u{ffff}' => write!(f, "\\u{:04x}", u32::from(c))?,
            _ => write!(f, "\\U{:08x}", u32::from(c))?,
        }
    }
    Ok(())
}

/// Letters, marks, numbers, punctuation and symbols; of the blanks only the ASCII one.
fn is_printable(c: char) -> bool {
    static PRINTABLE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[\pL\pM\pN\pP\pS]$").ok());
    let mut buffer = [0; 4];
    PRINTABLE.as_ref().is_some_and(|printable| printable.is_match(c.encode_utf8(&mut buffer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        for (text, expect) in [
            ("a\"b\\", r#""a\"b\\""#),
            ("\n\x01\x7f", r#""\n\x01\x7f""#),
            ("é\u{a0}\u{200b}\u{1F600}", "\"é\\u00a0\\u200b\u{1F600}\""),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(Quoted(text).to_string(), expect);
        }
    }
}
