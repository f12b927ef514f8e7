//! Templates of `format`: text with clauses such as `%s` and `%.2f`. Nothing here knows what goes into
//! them.

use std::fmt;

use crate::cel::quote::Quoted;

/// How a clause shows its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `%s`
    Text,
    /// `%d`
    Decimal,
    /// `%f`
    Fixed,
    /// `%e`
    Scientific,
    /// `%b`
    Binary,
    /// `%x`, `%X`
    Hex { upper: bool },
    /// `%o`
    Octal,
}

impl Verb {
    /// What is said of an argument that it does not take, before the name of its type.
    pub fn refusal(self) -> &'static str {
        match self {
            Verb::Text => {
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, \
                 types, durations, and timestamps, was given"
            }
            Verb::Decimal => "decimal clause can only be used on integers, was given",
            Verb::Fixed => "fixed-point clause can only be used on doubles, was given",
            Verb::Scientific => "scientific clause can only be used on doubles, was given",
            Verb::Binary => "only integers and bools can be formatted as binary, was given",
            Verb::Hex { .. } => {
                "only integers, byte buffers, and strings can be formatted as hex, was given"
            }
            Verb::Octal => "octal clause can only be used on integers, was given",
        }
    }
}

/// A clause: a verb, and the number that was written before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clause {
    pub verb: Verb,
    pub precision: Option<u64>,
}

/// Why something is no clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClauseError<'t> {
    EndOfPrecision,
    NoPrecision,
    LargePrecision(&'t str),
    Verb(char),
}

impl fmt::Display for ClauseError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("could not parse formatting clause: ")?;
        let precision = "error while parsing precision: ";
        let number = "error while converting precision to integer: strconv.Atoi: parsing";
        match self {
            ClauseError::EndOfPrecision => {
                write!(f, "{precision}could not find end of precision specifier")
            }
            ClauseError::NoPrecision => write!(f, "{precision}{number} \"\": invalid syntax"),
            ClauseError::LargePrecision(digits) => {
                write!(f, "{precision}{number} {}: value out of range", Quoted(digits))
            }
            ClauseError::Verb(verb) => write!(f, "unrecognized formatting clause \"{verb}\""),
        }
    }
}

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    Text(&'t str),
    /// A clause begins; [`Template::clause`] reads it. `last` says that nothing follows its `%`.
    Clause {
        last: bool,
    },
}

/// What is left of a template.
pub(crate) struct Template<'t> {
    rest: &'t str,
}

impl<'t> Template<'t> {
    pub fn new(text: &'t str) -> Template<'t> {
        Template { rest: text }
    }

    /// The next part; nothing at the end.
    pub fn piece(&mut self) -> Option<Piece<'t>> {
        if self.rest.is_empty() {
            return None;
        }
        if self.rest.starts_with("%%") {
            return Some(self.text(1, 2));
        }
        if let Some(rest) = self.rest.strip_prefix('%') {
            self.rest = rest;
            return Some(Piece::Clause { last: rest.is_empty() });
        }
        let end = self.rest.find('%').unwrap_or(self.rest.len());
        Some(self.text(end, end))
    }

    fn text(&mut self, shown: usize, used: usize) -> Piece<'t> {
        let text = self.rest.get(..shown).unwrap_or("");
        self.rest = self.rest.get(used..).unwrap_or("");
        Piece::Text(text)
    }

    /// Reads the clause that begins here.
    pub fn clause(&mut self) -> Result<Clause, ClauseError<'t>> {
        let precision = match self.rest.strip_prefix('.') {
            None => None,
            Some(rest) => Some(self.precision(rest)?),
        };
        let octet = self.rest.bytes().next().unwrap_or(b'%');
        let verb = match octet {
            b's' => Verb::Text,
            b'd' => Verb::Decimal,
            b'f' => Verb::Fixed,
            b'e' => Verb::Scientific,
            b'b' => Verb::Binary,
            b'x' => Verb::Hex { upper: false },
            b'X' => Verb::Hex { upper: true },
            b'o' => Verb::Octal,
            other => return Err(ClauseError::Verb(char::from(other))),
        };
        self.rest = self.rest.get(1..).unwrap_or("");
        Ok(Clause { verb, precision })
    }

    fn precision(&mut self, rest: &'t str) -> Result<u64, ClauseError<'t>> {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or(ClauseError::EndOfPrecision)?;
        let (digits, rest) = rest.split_at(end);
        self.rest = rest;
        if digits.is_empty() {
            return Err(ClauseError::NoPrecision);
        }
        let fits = digits.parse::<i64>().map(i64::unsigned_abs);
        fits.map_err(|_| ClauseError::LargePrecision(digits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_taken_apart() {
        let mut template = Template::new("a%%b%.2f%");
        assert_eq!(template.piece(), Some(Piece::Text("a")));
        assert_eq!(template.piece(), Some(Piece::Text("%")));
        assert_eq!(template.piece(), Some(Piece::Text("b")));
        assert_eq!(template.piece(), Some(Piece::Clause { last: false }));
        let clause = Clause { verb: Verb::Fixed, precision: Some(2) };
        assert_eq!(template.clause(), Ok(clause));
        assert_eq!(template.piece(), Some(Piece::Clause { last: true }));
        assert_eq!(template.piece(), None);
    }
}
