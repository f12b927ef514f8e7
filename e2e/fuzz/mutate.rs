//! Changes that make of what is valid what is nearly valid.

use crate::random::Random;

/// Pieces that readers take apart.
const PIECES: [&str; 36] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "'''",
    "\\u12",
    "\\x",
    "\\",
    ",",
    ".",
    "?",
    ":",
    "- ",
    "-",
    "\n",
    "\t",
    "0x",
    "1e999",
    "9223372036854775808",
    "-9223372036854775808",
    "u",
    "&&",
    "||",
    ".map(x, ",
    ".all(x, x",
    "\u{feff}",
    "é",
    "\u{1f600}",
    "\0",
    "|-\n",
    "*a",
    "!!",
];

/// How often something is changed in one input.
const CHANGES_MAX: usize = 6;

/// Longer inputs are cut: what is long is tried where the limits are tested.
const BYTES_MAX: usize = 20_000;

pub fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).clone();
    for _ in 0..=random.below(CHANGES_MAX) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(12)).min(bytes.len());
        match random.below(8) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 if at < bytes.len() => bytes[at] = random.next() as u8,
            4 => {
                let piece = bytes[at..end].repeat(1 + random.below(300));
                bytes.splice(at..at, piece);
            }
            5 => {
                let other = random.pick(seeds);
                let start = random.below(other.len() + 1);
                bytes.splice(at..at, other[start..].iter().copied());
            }
            _ => {
                let piece = random.pick(&PIECES);
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}
