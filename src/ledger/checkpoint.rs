//! Checkpoints: a few lines that commit to everything before them, as C2SP tlog-checkpoint writes them. Signatures are
//! lines after the text; whose they are, and whether they are good, is not known here.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::ledger::merkle::Hash;

/// A commitment to the first `size` records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger: a name that is unique to it, such as `portcullis.dev/ledger/CLUSTER`.
    pub origin: String,
    /// How many records.
    pub size: u64,
    /// The root of the Merkle tree over them.
    pub root: Hash,
}

/// Why a text is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// No first line.
    #[error("the first line of a checkpoint is its origin")]
    Origin,
    /// The second line is no number.
    #[error("the second line of a checkpoint is the number of records")]
    Size,
    /// The third line is no hash.
    #[error("the third line of a checkpoint is a SHA-256 hash in base64")]
    Root,
    /// Bytes that no text has.
    #[error("a checkpoint is UTF-8 and every line ends with a line feed")]
    Text,
}

impl Checkpoint {
    /// Reads a checkpoint; extension and signature lines are passed over.
    pub fn parse(text: &str) -> Result<Checkpoint, CheckpointError> {
        if !text.ends_with('\n') {
            return Err(CheckpointError::Text);
        }
        let mut lines = text.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(CheckpointError::Origin)?;
        let size = lines.next().ok_or(CheckpointError::Size)?;
        // One way to write a number: neither a sign nor leading zeros.
        let number: u64 = size.parse().map_err(|_| CheckpointError::Size)?;
        if number.to_string() != size {
            return Err(CheckpointError::Size);
        }
        let root = lines.next().and_then(|line| STANDARD.decode(line).ok());
        let root = root.and_then(|root| root.try_into().ok()).ok_or(CheckpointError::Root)?;
        Ok(Checkpoint { origin: origin.to_owned(), size: number, root })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root))
    }
}

#[cfg(test)]
mod tests {
    use crate::ledger::checkpoint::{Checkpoint, CheckpointError};
    use crate::ledger::merkle::leaf_hash;

    const ROOT: &str = "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=";

    #[test]
    fn a_checkpoint_is_written_as_it_is_read() {
        let checkpoint =
            Checkpoint { origin: "example.com/ledger".into(), size: 20, root: leaf_hash(b"") };
        let text = format!("example.com/ledger\n20\n{ROOT}\n");
        assert_eq!(checkpoint.to_string(), text);
        assert_eq!(Checkpoint::parse(&text), Ok(checkpoint.clone()));
        let signed = format!("{text}\n\u{2014} example.com/ledger Az3grlgtzPICa5OS\n");
        assert_eq!(Checkpoint::parse(&signed), Ok(checkpoint));
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let check = |text: &str, expect: CheckpointError| {
            assert_eq!(Checkpoint::parse(text), Err(expect), "{text:?}");
        };
        check("", CheckpointError::Text);
        check("a\n1", CheckpointError::Text);
        check("\n1\n", CheckpointError::Origin);
        check("a\n", CheckpointError::Size);
        check("a\n-1\n", CheckpointError::Size);
        check("a\n01\n", CheckpointError::Size);
        check("a\n+1\n", CheckpointError::Size);
        check("a\n1\n", CheckpointError::Root);
        check("a\n1\nAAAA\n", CheckpointError::Root);
    }
}
