//! Text to nodes, in one pass and with an explicit stack. Nothing here reads a document once it is made.

use crate::json::document::{NO_INDEX, Raw, bytes, index_of};
use crate::json::syntax::{SyntaxError, SyntaxErrorKind};

/// Levels of arrays and objects. Kubernetes' own decoder stops at 10,000, but no API object comes near a hundred
/// (CRD schemas are the deepest); evaluation recurses over the depth, so it has to fit a thread's stack.
pub const DEPTH_MAX: usize = 1_000;

/// Bytes of text: places in it are `u32`.
pub const TEXT_MAX: usize = u32::MAX as usize;

/// The parts of a document; its root is the last node.
pub(in crate::json) struct Parsed {
    pub side: String,
    pub nodes: Vec<Raw>,
    pub indexes: Vec<u32>,
}

pub(in crate::json) fn parse(text: &str) -> Result<Parsed, SyntaxError> {
    if text.len() > TEXT_MAX {
        return Err(SyntaxError::at(text.as_bytes(), TEXT_MAX, SyntaxErrorKind::Length));
    }
    let mut parser = Parser {
        text,
        at: 0,
        side: String::new(),
        // A Pod has about one node to 14 bytes; a wrong guess costs a copy.
        nodes: Vec::with_capacity(text.len() / 12 + 1),
        pending: Vec::with_capacity(128),
        frames: Vec::with_capacity(16),
        indexes: Vec::new(),
    };
    match parser.document() {
        Ok(()) => Ok(Parsed { side: parser.side, nodes: parser.nodes, indexes: parser.indexes }),
        Err((offset, kind)) => Err(SyntaxError::at(text.as_bytes(), offset, kind)),
    }
}

type Failure = (usize, SyntaxErrorKind);

/// An array or object that is open: where its children begin in `pending`.
#[derive(Clone, Copy)]
struct Frame {
    start: usize,
    object: bool,
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    side: String,
    nodes: Vec<Raw>,
    /// Finished children of open arrays and objects; moved to `nodes` when theirs closes.
    pending: Vec<Raw>,
    frames: Vec<Frame>,
    indexes: Vec<u32>,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), Failure> {
        loop {
            let Some(value) = self.value()? else { continue };
            self.pending.push(value);
            if self.after_value()? {
                break;
            }
        }
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.unexpected("the end of the text"));
        }
        self.nodes.append(&mut self.pending);
        Ok(())
    }

    /// A whole value, or `None` when an array or object with children was opened.
    fn value(&mut self) -> Result<Option<Raw>, Failure> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'-' | b'0'..=b'9') => self.number().map(Some),
            Some(b't') => self.word("true", Raw::Bool(true)),
            Some(b'f') => self.word("false", Raw::Bool(false)),
            Some(b'n') => self.word("null", Raw::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Closes what ends here and steps over a comma; true when the outermost value is whole.
    fn after_value(&mut self) -> Result<bool, Failure> {
        while let Some(frame) = self.frames.last().copied() {
            self.skip_space();
            match (self.peek(), frame.object) {
                (Some(b','), true) => {
                    self.at += 1;
                    self.skip_space();
                    self.key("a key")?;
                    return Ok(false);
                }
                (Some(b','), false) => {
                    self.at += 1;
                    return Ok(false);
                }
                (Some(b'}'), true) => self.close(frame.start, true)?,
                (Some(b']'), false) => self.close(frame.start, false)?,
                (_, true) => return Err(self.unexpected("`,` or `}`")),
                (_, false) => return Err(self.unexpected("`,` or `]`")),
            }
        }
        Ok(true)
    }

    fn open(&mut self, object: bool) -> Result<Option<Raw>, Failure> {
        if self.frames.len() >= DEPTH_MAX {
            return Err((self.at, SyntaxErrorKind::Depth));
        }
        self.at += 1;
        self.skip_space();
        let first = self.nodes.len() as u32;
        match (self.peek(), object) {
            (Some(b'}'), true) => {
                self.at += 1;
                return Ok(Some(Raw::Object { first, len: 0, index: NO_INDEX }));
            }
            (Some(b']'), false) => {
                self.at += 1;
                return Ok(Some(Raw::Array { first, len: 0 }));
            }
            _ => {}
        }
        self.frames.push(Frame { start: self.pending.len(), object });
        if object {
            self.key("a key or `}`")?;
        }
        Ok(None)
    }

    fn close(&mut self, start: usize, object: bool) -> Result<(), Failure> {
        self.at += 1;
        self.frames.pop();
        let first = self.nodes.len() as u32;
        let children = self.pending.get(start..).unwrap_or(&[]);
        let raw = if object {
            let index = self.check_keys(start)?;
            let children = self.pending.get(start..).unwrap_or(&[]);
            self.nodes.extend_from_slice(children);
            Raw::Object { first, len: (children.len() / 2) as u32, index }
        } else {
            self.nodes.extend_from_slice(children);
            Raw::Array { first, len: children.len() as u32 }
        };
        self.pending.truncate(start);
        self.pending.push(raw);
        Ok(())
    }

    /// Refuses duplicate keys among the members from `start`, and indexes a large object.
    fn check_keys(&mut self, start: usize) -> Result<u32, Failure> {
        let members = self.pending.get(start..).unwrap_or(&[]);
        let (text, side) = (self.text.as_bytes(), self.side.as_bytes());
        index_of(text, side, members, &mut self.indexes).map_err(|key| self.duplicate(key))
    }

    fn duplicate(&self, key: Raw) -> Failure {
        let at = match key {
            Raw::Text { start, .. } => start.saturating_sub(1),
            Raw::Side { at, .. } => at,
            _ => 0,
        };
        let key = bytes(self.text.as_bytes(), self.side.as_bytes(), key).unwrap_or_default();
        let key = String::from_utf8_lossy(key).into_owned();
        (at as usize, SyntaxErrorKind::DuplicateKey(key))
    }

    fn key(&mut self, expected: &'static str) -> Result<(), Failure> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected(expected));
        }
        let key = self.string()?;
        self.pending.push(key);
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("`:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<Raw, Failure> {
        let quote = self.at;
        self.at += 1;
        let start = self.at;
        self.skip_plain();
        if self.peek() == Some(b'"') {
            let len = (self.at - start) as u32;
            self.at += 1;
            return Ok(Raw::Text { start: start as u32, len });
        }
        let side = self.side.len();
        let mut plain = start;
        loop {
            self.side.push_str(self.text.get(plain..self.at).unwrap_or(""));
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => return Err((self.at, SyntaxErrorKind::Control)),
                None => return Err(self.unexpected("`\"`")),
            }
            plain = self.at;
            self.skip_plain();
        }
        self.at += 1;
        let len = (self.side.len() - side) as u32;
        Ok(Raw::Side { start: side as u32, len, at: quote as u32 })
    }

    /// Steps to the next quote, backslash or control character, eight bytes at a time.
    fn skip_plain(&mut self) {
        const ONES: u64 = u64::MAX / 255;
        const HIGHS: u64 = ONES * 0x80;
        let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
        let (chunks, tail) = rest.as_chunks::<8>();
        for chunk in chunks {
            let word = u64::from_le_bytes(*chunk);
            let quote = word ^ (ONES * u64::from(b'"'));
            let backslash = word ^ (ONES * u64::from(b'\\'));
            // A byte below n leaves its high bit in (x - n) & !x; the lowest such bit is exact.
            let special = (word.wrapping_sub(ONES * 0x20) & !word)
                | (quote.wrapping_sub(ONES) & !quote)
                | (backslash.wrapping_sub(ONES) & !backslash);
            let special = special & HIGHS;
            if special != 0 {
                self.at += (special.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        let special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
        self.at += tail.iter().position(special).unwrap_or(tail.len());
    }

    /// Steps over an escape and appends what it stands for.
    fn escape(&mut self) -> Result<(), Failure> {
        let at = self.at;
        let plain = match self.text.as_bytes().get(at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            Some(_) => return Err((at, SyntaxErrorKind::Escape)),
            None => return Err((at + 1, SyntaxErrorKind::End { expected: "an escape" })),
        };
        self.side.push(plain);
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<(), Failure> {
        let at = self.at;
        let invalid = (at, SyntaxErrorKind::Escape);
        let first = self.hex(at).ok_or_else(|| invalid.clone())?;
        self.at += 6;
        let code = if (0xd800..0xdc00).contains(&first) {
            let second = self
                .hex(self.at)
                .filter(|second| (0xdc00..0xe000).contains(second))
                .ok_or_else(|| invalid.clone())?;
            self.at += 6;
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        self.side.push(char::from_u32(code).ok_or(invalid)?);
        Ok(())
    }

    /// The code unit of the `\uXXXX` at `at`.
    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.as_bytes().get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |code, digit| Some(code * 16 + (*digit as char).to_digit(16)?))
    }

    fn number(&mut self) -> Result<Raw, Failure> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let digits = self.at;
        let mut int = self.digits()?;
        if self.text.as_bytes().get(digits) == Some(&b'0') && self.at > digits + 1 {
            self.at = digits + 1;
            return Err(self.unexpected("no digit after a leading `0`"));
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            whole = false;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
            whole = false;
        }
        let text = self.text.get(start..self.at).unwrap_or("");
        if whole {
            // Up to 18 digits can't have overflowed.
            if self.at - digits > 18 {
                int = text.parse().ok();
            } else if negative {
                int = int.map(|int: i64| -int);
            }
            if let Some(int) = int {
                return Ok(Raw::Int(int));
            }
        }
        match text.parse::<f64>() {
            Ok(double) if double.is_finite() => Ok(Raw::Double(double)),
            _ => Err((start, SyntaxErrorKind::Range)),
        }
    }

    /// Steps over at least one digit; their value, unless it overflows.
    fn digits(&mut self) -> Result<Option<i64>, Failure> {
        let start = self.at;
        let mut value = Some(0_i64);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value.and_then(|v| v.checked_mul(10)?.checked_add(i64::from(digit - b'0')));
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected("a digit")) } else { Ok(value) }
    }

    fn word(&mut self, word: &'static str, raw: Raw) -> Result<Option<Raw>, Failure> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return Err(self.unexpected("a value"));
            }
            self.at += 1;
        }
        Ok(Some(raw))
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn unexpected(&self, expected: &'static str) -> Failure {
        let kind = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => SyntaxErrorKind::Unexpected { expected, found },
            None => SyntaxErrorKind::End { expected },
        };
        (self.at, kind)
    }
}

#[cfg(test)]
mod tests {
    use crate::json::{DEPTH_MAX, Document, Kind};

    #[test]
    fn numbers_are_read_as_the_api_server_reads_them() {
        let check = |text: &str, expect: Kind<'_>| {
            let document = Document::parse(text.as_bytes().to_vec()).unwrap();
            assert_eq!(document.root().kind(), expect, "{text}");
        };
        check("0", Kind::Int(0));
        check("-0", Kind::Int(0));
        check("-1", Kind::Int(-1));
        check("999999999999999999", Kind::Int(999_999_999_999_999_999));
        check("9223372036854775807", Kind::Int(i64::MAX));
        check("-9223372036854775808", Kind::Int(i64::MIN));
        check("9223372036854775808", Kind::Double(9_223_372_036_854_775_808.0));
        check("18446744073709551615", Kind::Double(18_446_744_073_709_551_615.0));
        check("1.0", Kind::Double(1.0));
        check("1e2", Kind::Double(100.0));
        check("-0.0", Kind::Double(-0.0));
        check("123456789012345678901234567890", Kind::Double(1.234_567_890_123_456_8e29));
        check("5e-324", Kind::Double(5e-324));
        check("1.7976931348623157e308", Kind::Double(f64::MAX));
        check("0.1e+1", Kind::Double(1.0));
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_place() {
        let check = |text: &[u8], expect: &str| {
            let error = Document::parse(text.to_vec()).unwrap_err();
            assert_eq!(error.to_string(), expect, "{}", String::from_utf8_lossy(text));
        };
        let end = "found the end of the text";
        check(b"", &format!("line 1, column 1: expected a value, {end}"));
        check(b" \n ", &format!("line 2, column 2: expected a value, {end}"));
        check(b"{", &format!("line 1, column 2: expected a key or `}}`, {end}"));
        check(b"[1", &format!("line 1, column 3: expected `,` or `]`, {end}"));
        check(b"[1,", &format!("line 1, column 4: expected a value, {end}"));
        check(b"[1,]", "line 1, column 4: expected a value, found `]`");
        check(b"[1}", "line 1, column 3: expected `,` or `]`, found `}`");
        check(b"{\"a\":1,}", "line 1, column 8: expected a key, found `}`");
        check(b"{\"a\" 1}", "line 1, column 6: expected `:`, found `1`");
        check(b"{a:1}", "line 1, column 2: expected a key or `}`, found `a`");
        check(b"1 2", "line 1, column 3: expected the end of the text, found `2`");
        check(b"nul", &format!("line 1, column 4: expected a value, {end}"));
        check(b"nulL", "line 1, column 4: expected a value, found `L`");
        check(b"01", "line 1, column 2: expected no digit after a leading `0`, found `1`");
        check(b"-", &format!("line 1, column 2: expected a digit, {end}"));
        check(b"1e+x", "line 1, column 4: expected a digit, found `x`");
        check(b"+1", "line 1, column 1: expected a value, found `+`");
        check(b"1e400", "line 1, column 1: number out of range");
        check(b"NaN", "line 1, column 1: expected a value, found `N`");
        check(b"\"a", &format!("line 1, column 3: expected `\"`, {end}"));
        check(b"\"a\\", &format!("line 1, column 4: expected an escape, {end}"));
        check(
            b"\"a\nb\"",
            "line 1, column 3: control character in a string, write it as an escape",
        );
        check(b"\"\\x\"", "line 1, column 2: invalid escape in a string");
        check(b"\"\\u12g4\"", "line 1, column 2: invalid escape in a string");
        check(b"\"\\u12", "line 1, column 2: invalid escape in a string");
        check(b"\"\\ud800\"", "line 1, column 2: invalid escape in a string");
        check(b"\"\\ud800\\u0041\"", "line 1, column 2: invalid escape in a string");
        check(b"\"\\udc00\"", "line 1, column 2: invalid escape in a string");
        check(b"\xff", "line 1, column 1: the text is not UTF-8");
        check(b"[1,\n\"\xe9\"]", "line 2, column 2: the text is not UTF-8");
        check(b"\xef\xbb\xbf1", "line 1, column 1: expected a value, found `\\u{feff}`");
        check("\"é😀\" x".as_bytes(), "line 1, column 6: expected the end of the text, found `x`");
        check(b"[1]\0", "line 1, column 4: expected the end of the text, found `\\u{0}`");
    }

    #[test]
    fn duplicate_keys_are_refused_where_the_second_is() {
        let check = |text: &str, expect: &str| {
            assert_eq!(Document::parse(text.into()).unwrap_err().to_string(), expect, "{text}");
        };
        check(r#"{"a":1,"b":2,"a":3}"#, "line 1, column 14: duplicate key `a`");
        check(r#"{"a":1,"\u0061":3}"#, "line 1, column 8: duplicate key `a`");
        check(r#"{"":1,"":3}"#, "line 1, column 7: duplicate key ``");
        check("[{},\n{\"a\":{\"x\":1,\"x\":1}}]", "line 2, column 13: duplicate key `x`");
        let many: Vec<String> = (0..30).map(|i| format!("\"k{i}\":{i}")).collect();
        let text = format!("{{{},\n\"k0\":1}}", many.join(","));
        check(&text, "line 2, column 1: duplicate key `k0`");
        let nested = r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#;
        assert_eq!(Document::parse(nested.into()).unwrap().root().text(), nested);
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Document::parse(nested(DEPTH_MAX).into()).is_ok());
        let error = Document::parse(nested(DEPTH_MAX + 1).into()).unwrap_err();
        assert_eq!(error.to_string(), "line 1, column 1001: nested deeper than 1000 levels");
        let error = Document::parse("{\"a\":".repeat(1_000_000).into()).unwrap_err();
        assert_eq!((error.offset, error.line), (5 * DEPTH_MAX, 1));
    }
}
