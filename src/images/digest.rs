//! Digests of content: what an image, a manifest or a layer really is. Nothing here knows where content comes from.

use std::fmt;

use sha2::{Digest as _, Sha256, Sha512};

/// How content is hashed. Registries use the first everywhere, and the specification knows one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `sha256`.
    Sha256,
    /// `sha512`.
    Sha512,
}

impl Algorithm {
    /// The word before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    fn hex_length(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

/// The digest of some content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// It has no colon.
    #[error("`{0}` is no digest: it has no algorithm, as in `sha256:`")]
    Shape(String),
    /// It is hashed by something else.
    #[error("digests by `{0}` are not supported, only sha256 and sha512")]
    Algorithm(String),
    /// The part behind the colon is wrong.
    #[error("`{0}` is no digest: {1} lower-case hexadecimal digits are expected after the colon")]
    Hex(String, usize),
}

impl Digest {
    /// Reads `algorithm:hex`.
    ///
    /// ```
    /// use portcullis::images::Digest;
    ///
    /// let digest = Digest::parse(&format!("sha256:{}", "0a".repeat(32))).unwrap();
    /// assert_eq!(digest.to_string(), format!("sha256:{}", "0a".repeat(32)));
    /// assert!(Digest::parse("sha256:0A").is_err());
    /// ```
    ///
    /// # Errors
    /// If it is not one, or of an algorithm that is not supported.
    pub fn parse(text: &str) -> Result<Digest, DigestError> {
        let (word, hex) =
            text.split_once(':').ok_or_else(|| DigestError::Shape(text.to_owned()))?;
        let algorithm = match word {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(DigestError::Algorithm(word.to_owned())),
        };
        let well_formed = hex.len() == algorithm.hex_length()
            && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !well_formed {
            return Err(DigestError::Hex(text.to_owned(), algorithm.hex_length()));
        }
        Ok(Digest { algorithm, hex: hex.to_owned() })
    }

    /// The digest of this content, by SHA-256.
    pub fn of(content: &[u8]) -> Digest {
        Digest::by(Algorithm::Sha256, content)
    }

    fn by(algorithm: Algorithm, content: &[u8]) -> Digest {
        let hex = match algorithm {
            Algorithm::Sha256 => hex(&Sha256::digest(content)),
            Algorithm::Sha512 => hex(&Sha512::digest(content)),
        };
        Digest { algorithm, hex }
    }

    /// Whether the content is what this digest names.
    pub fn is_of(&self, content: &[u8]) -> bool {
        *self == Digest::by(self.algorithm, content)
    }

    /// How it was hashed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The part after the colon.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex)
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_what_its_digest_says() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), empty);
        assert!(Digest::parse(empty).unwrap().is_of(b""));
        assert!(!Digest::parse(empty).unwrap().is_of(b" "));
        let long = Digest::by(Algorithm::Sha512, b"a");
        assert_eq!(long.hex().len(), 128);
        assert!(Digest::parse(&long.to_string()).unwrap().is_of(b"a"));
    }

    #[test]
    fn what_is_no_digest_is_told() {
        let check = |text: &str, expect: &str| {
            let error = Digest::parse(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("", "no algorithm");
        check("latest", "no algorithm");
        check("md5:00", "digests by `md5` are not supported");
        check("sha256:", "64 lower-case");
        check(&format!("sha256:{}", "g".repeat(64)), "64 lower-case");
        check(&format!("sha256:{}", "A".repeat(64)), "64 lower-case");
        check(&format!("sha512:{}", "a".repeat(64)), "128 lower-case");
        check(&format!("sha256:{}", "é".repeat(32)), "64 lower-case");
    }
}
