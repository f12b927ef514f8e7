//! PEM blocks of one kind. A block of another kind is an error and not skipped: a private key where a public one belongs
//! must not go unnoticed.

use rustls_pki_types::pem::{PemObject, SectionKind};

/// How many certificates one text may have: chains have two or three.
pub const BLOCKS_MAX: usize = 16;

/// How long a text may be.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Why a text is not the PEM that is needed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No block at all.
    #[error("there is no `{0}` in PEM")]
    None(&'static str),
    /// A block of another kind.
    #[error("a `{expected}` in PEM is expected, and there is a `{found}`")]
    Kind {
        /// What is needed.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// More than there may be.
    #[error("there is more than one `{0}` in PEM")]
    Many(&'static str),
    /// More than anybody has.
    #[error("there are more than {BLOCKS_MAX} blocks of PEM")]
    TooMany,
    /// Longer than anybody needs.
    #[error("the text is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// Malformed.
    #[error("it is no PEM: {0}")]
    Malformed(String),
}

/// The content of the only block.
pub(in crate::images) fn one(text: &str, label: &'static str) -> Result<Vec<u8>, PemError> {
    let mut blocks = all(text, label)?;
    match (blocks.pop(), blocks.is_empty()) {
        (Some(block), true) => Ok(block),
        (None, _) => Err(PemError::None(label)),
        _ => Err(PemError::Many(label)),
    }
}

/// The contents of all blocks, of which there is at least one.
pub(in crate::images) fn all(text: &str, label: &'static str) -> Result<Vec<Vec<u8>>, PemError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(PemError::TooLong);
    }
    let mut found = Vec::new();
    for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let (kind, content) = block.map_err(|error| PemError::Malformed(error.to_string()))?;
        let is = name(kind);
        if is != label {
            return Err(PemError::Kind { expected: label, found: is.to_owned() });
        }
        if found.len() == BLOCKS_MAX {
            return Err(PemError::TooMany);
        }
        found.push(content);
    }
    if found.is_empty() { Err(PemError::None(label)) } else { Ok(found) }
}

fn name(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Certificate => "CERTIFICATE",
        SectionKind::PublicKey => "PUBLIC KEY",
        SectionKind::PrivateKey => "PRIVATE KEY",
        SectionKind::RsaPrivateKey => "RSA PRIVATE KEY",
        SectionKind::EcPrivateKey => "EC PRIVATE KEY",
        _ => "block of another kind",
    }
}
