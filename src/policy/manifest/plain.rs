//! YAML as machines write it, straight into a document: block mappings and sequences, scalars of one line, literal blocks.
//! Whatever else YAML has, or is not in order, is left to the reader of all YAML, which is many times slower and has the
//! words for what is wrong.
//!
//! # Guarantees
//! What is read here is what the reader of all YAML makes of it: a test reads everything both ways.

use std::borrow::Cow;

use crate::json::{Builder, Document};

/// Levels that are read here. Kubernetes objects stay below 40.
const DEPTH_MAX: usize = 48;

/// Characters of a key. YAML ends a key that could be taken for something else at 1,024.
const KEY_CHARS_MAX: usize = 512;

/// Bytes of a text that is read here, far below what the limits of the other reader come to.
const TEXT_MAX: usize = 1 << 20;

/// What a scalar is that only the rules for numbers can tell: asked of whoever knows all YAML.
pub(in crate::policy::manifest) type Scalar = fn(&str) -> Option<serde_json::Value>;

/// Reads a document; none if it is not as plain as that.
pub(in crate::policy::manifest) fn read(text: &str, scalar: Scalar) -> Option<Document> {
    if text.len() > TEXT_MAX || !is_plain(text) {
        return None;
    }
    let builder = Builder::new(text.to_owned());
    let mut reader = Reader { text, next: 0, line: None, builder, scalar };
    reader.advance();
    let indent = reader.line?.indent;
    reader.node(indent)?;
    if reader.line.is_some() {
        return None;
    }
    reader.builder.finish()
}

/// Whether every character is one that means the same to all readers: no control characters, tabs included, and no
/// breaks of lines but `\n`.
fn is_plain(text: &str) -> bool {
    let special = |c: char| matches!(c, '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}'..='\u{ffff}');
    text.bytes().all(|byte| byte >= b' ' || byte == b'\n')
        && (text.is_ascii() || !text.contains(special))
}

/// A line with something in it; the rest of one, where a collection begins behind a dash.
#[derive(Clone, Copy)]
struct Line {
    /// Its column.
    indent: usize,
    /// Where it begins, without indentation.
    start: usize,
    /// Where it ends, without what is blank there.
    end: usize,
}

struct Reader<'t> {
    text: &'t str,
    /// Where the line after this one begins.
    next: usize,
    line: Option<Line>,
    builder: Builder,
    scalar: Scalar,
}

impl<'t> Reader<'t> {
    fn content(&self, line: Line) -> &'t str {
        self.text.get(line.start..line.end).unwrap_or_default()
    }

    /// To the next line that is neither blank nor a comment.
    fn advance(&mut self) {
        loop {
            let Some((line, next)) = self.line_at(self.next) else {
                self.line = None;
                return;
            };
            self.next = next;
            if line.start < line.end && !self.content(line).starts_with('#') {
                self.line = Some(line);
                return;
            }
        }
    }

    /// The line that begins here, and where the one after it does.
    fn line_at(&self, at: usize) -> Option<(Line, usize)> {
        let rest = self.text.get(at..).filter(|rest| !rest.is_empty())?;
        let (len, next) = match rest.as_bytes().iter().position(|byte| *byte == b'\n') {
            Some(len) => (len, at + len + 1),
            None => (rest.len(), self.text.len()),
        };
        let line = rest.get(..len)?;
        let indent = line.len() - line.trim_start_matches(' ').len();
        let end = at + line.trim_end_matches(' ').len();
        Some((Line { indent, start: at + indent, end: end.max(at + indent) }, next))
    }

    /// Whatever begins on this line, whose parent is further left than `indent`.
    fn node(&mut self, indent: usize) -> Option<()> {
        let line = self.line?;
        let content = self.content(line);
        if self.builder.depth() >= DEPTH_MAX {
            return None;
        }
        if is_item(content) {
            return self.sequence(indent);
        }
        match split_key(content) {
            Some(_) => self.mapping(indent),
            None => None,
        }
    }

    fn sequence(&mut self, indent: usize) -> Option<()> {
        self.builder.open();
        while let Some(line) = self.line.filter(|line| line.indent >= indent) {
            let content = self.content(line);
            if line.indent != indent {
                return None;
            }
            if !is_item(content) {
                break;
            }
            let rest = content.get(1..)?;
            let inner = rest.trim_start_matches(' ');
            if inner.is_empty() || inner.starts_with('#') {
                self.advance();
                self.nested(indent, false)?;
                continue;
            }
            let behind = 1 + rest.len() - inner.len();
            let column = indent + behind;
            if is_item(inner) || split_key(inner).is_some() {
                self.line = Some(Line { indent: column, start: line.start + behind, ..line });
                self.node(column)?;
            } else {
                self.scalar(inner, line.start + behind, indent)?;
            }
        }
        self.builder.close_array();
        Some(())
    }

    fn mapping(&mut self, indent: usize) -> Option<()> {
        self.builder.open();
        while let Some(line) = self.line.filter(|line| line.indent >= indent) {
            let content = self.content(line);
            if line.indent != indent {
                return None;
            }
            if is_item(content) {
                break;
            }
            let (key, len) = split_key(content)?;
            match key {
                // The quote stands before it.
                Key::Quoted(key) => {
                    self.builder.slice(line.start + 1..line.start + 1 + key.len());
                }
                Key::Plain(key) => self.builder.slice(line.start..line.start + key.len()),
            }
            let rest = content.get(len..)?;
            let value = rest.trim_start_matches(' ');
            if value.is_empty() || value.starts_with('#') {
                self.advance();
                self.nested(indent, true)?;
            } else {
                self.scalar(value, line.start + len + rest.len() - value.len(), indent)?;
            }
        }
        self.builder.close_object().ok()
    }

    /// What a key or a dash has on the lines below it; null if there is nothing. The items of a sequence that is a member
    /// may stand as far left as its key.
    fn nested(&mut self, indent: usize, is_member: bool) -> Option<()> {
        match self.line {
            Some(line) if line.indent > indent => self.node(line.indent),
            Some(line) if is_member && line.indent == indent && is_item(self.content(line)) => {
                self.sequence(indent)
            }
            _ => {
                self.builder.null();
                Some(())
            }
        }
    }

    /// A scalar on the rest of this line, or the block that it announces. Its parent is at `indent`.
    fn scalar(&mut self, text: &'t str, start: usize, indent: usize) -> Option<()> {
        match text.as_bytes() {
            [b'|', ..] => return self.literal(text, indent),
            b"{}" => {
                self.builder.open();
                self.builder.close_object().ok()?;
            }
            b"[]" => {
                self.builder.open();
                self.builder.close_array();
            }
            [b'"' | b'\'', ..] => match quoted(text)? {
                (inner, len) if len == text.len() => match inner {
                    Cow::Borrowed(inner) => self.builder.slice(start + 1..start + 1 + inner.len()),
                    Cow::Owned(inner) => self.builder.string(&inner),
                },
                _ => return None,
            },
            _ => self.plain(text, start)?,
        }
        self.advance();
        Some(())
    }

    fn plain(&mut self, text: &'t str, start: usize) -> Option<()> {
        if text == "~" {
            self.builder.null();
            return Some(());
        }
        if !may_be_plain(text) || text.contains(": ") || text.contains(" #") || text.ends_with(':')
        {
            return None;
        }
        if is_text(text) {
            self.builder.slice(start..start + text.len());
            return Some(());
        }
        match text {
            "true" => self.builder.bool(true),
            "false" => self.builder.bool(false),
            "null" => self.builder.null(),
            _ => match small_int(text) {
                Some(int) => self.builder.int(int),
                None => match (self.scalar)(text)? {
                    serde_json::Value::String(text) => self.builder.string(&text),
                    serde_json::Value::Bool(value) => self.builder.bool(value),
                    serde_json::Value::Null => self.builder.null(),
                    serde_json::Value::Number(number) => match number.as_i64() {
                        Some(int) => self.builder.int(int),
                        None => self.builder.double(number.as_f64()?),
                    },
                    _ => return None,
                },
            },
        }
        Some(())
    }

    /// A literal block: its lines without their common indentation.
    fn literal(&mut self, header: &str, indent: usize) -> Option<()> {
        let keep = match header {
            "|" => Chomping::Clip,
            "|-" => Chomping::Strip,
            "|+" => Chomping::Keep,
            _ => return None,
        };
        let mut text = String::new();
        let mut column = None;
        // Blank lines that count only if something follows.
        let mut blank = 0;
        while let Some((line, next)) = self.line_at(self.next) {
            let is_blank = line.start == line.end;
            let spaces = line.indent;
            let column = match column {
                None if is_blank && spaces == 0 => {
                    blank += 1;
                    self.next = next;
                    continue;
                }
                None if is_blank || spaces <= indent => return None,
                None => *column.insert(spaces),
                Some(column) => column,
            };
            if is_blank && spaces <= column {
                blank += 1;
                self.next = next;
                continue;
            }
            if spaces < column {
                // Further right than the parent would be neither in the block nor after it.
                if spaces > indent {
                    return None;
                }
                break;
            }
            text.extend(std::iter::repeat_n('\n', blank));
            blank = 0;
            // Without a break at its end, readers differ.
            let whole = self.text.get(line.start - spaces + column..next)?;
            text.push_str(whole.strip_suffix('\n')?);
            text.push('\n');
            self.next = next;
        }
        column?;
        match keep {
            Chomping::Clip => {}
            Chomping::Strip => {
                text.pop();
            }
            Chomping::Keep => text.extend(std::iter::repeat_n('\n', blank)),
        }
        self.builder.string(&text);
        self.advance();
        Some(())
    }
}

/// What becomes of the breaks at the end of a block.
enum Chomping {
    Clip,
    Strip,
    Keep,
}

/// Whether a line is an item of a sequence.
fn is_item(content: &str) -> bool {
    content.strip_prefix('-').is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

enum Key<'t> {
    Plain(&'t str),
    Quoted(&'t str),
}

/// The key with which a line begins, and where its colon ends.
fn split_key(content: &str) -> Option<(Key<'_>, usize)> {
    if content.starts_with(['"', '\'']) {
        let (Cow::Borrowed(key), len) = quoted(content)? else { return None };
        let rest = content.get(len..)?.strip_prefix(':')?;
        let is_key = (rest.is_empty() || rest.starts_with(' ')) && key.len() <= KEY_CHARS_MAX;
        return is_key.then_some((Key::Quoted(key), len + 1));
    }
    let bytes = content.as_bytes();
    let mut at = 0;
    let end = loop {
        let colon = at + bytes.get(at..)?.iter().position(|byte| *byte == b':')?;
        match bytes.get(colon + 1) {
            None | Some(b' ') => break colon,
            Some(_) => at = colon + 1,
        }
    };
    let key = content.get(..end)?;
    let is_sure = key.len() <= KEY_CHARS_MAX
        && may_be_plain(key)
        && !key.ends_with(' ')
        && !key.contains(" #")
        && (is_text(key) || key == ".");
    is_sure.then_some((Key::Plain(key), end + 1))
}

/// What stands between the quotes with which a text begins, and where they end. None for all that takes more than a look.
fn quoted(text: &str) -> Option<(Cow<'_, str>, usize)> {
    let quote = *text.as_bytes().first()?;
    let inner = text.get(1..)?;
    let end = inner.bytes().position(|byte| byte == quote || byte == b'\\' && quote == b'"')?;
    let next = inner.as_bytes().get(end + 1);
    if inner.as_bytes().get(end) == Some(&quote) && !(quote == b'\'' && next == Some(&b'\'')) {
        return Some((Cow::Borrowed(inner.get(..end)?), end + 2));
    }
    let mut value = String::with_capacity(inner.len());
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            ('"', b'"') => return Some((Cow::Owned(value), at + 2)),
            ('\\', b'"') => value.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                '"' => '"',
                '\\' => '\\',
                _ => return None,
            }),
            ('\'', b'\'') => match chars.clone().next() {
                Some((_, '\'')) => {
                    chars.next();
                    value.push('\'');
                }
                _ => return Some((Cow::Owned(value), at + 2)),
            },
            (c, _) => value.push(c),
        }
    }
    None
}

/// Whether a text can be a plain scalar: it begins with nothing that means something.
fn may_be_plain(text: &str) -> bool {
    match text.as_bytes() {
        [b'-', b'-', b'-', ..] | [b'.', b'.', b'.', ..] => false,
        [b'-', next, ..] => next.is_ascii_alphanumeric() || matches!(next, b'-' | b'.' | b'/'),
        [first, ..] => {
            first.is_ascii_alphanumeric()
                || matches!(first, b'/' | b'_' | b'.' | b'+' | b'$' | b'(' | b'^')
        }
        [] => false,
    }
}

/// Whether a plain scalar is a string for sure: it is no word that means something else, and no number.
fn is_text(text: &str) -> bool {
    /// Case does not matter to readers of YAML 1.1.
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];
    /// Everything that numbers are written with, in any base.
    const DIGITS: &[u8] = b"0123456789abcdefABCDEFxXoO_.+-";
    match text.as_bytes() {
        [b'a'..=b'z' | b'A'..=b'Z', ..] => {
            text.len() > 5 || !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
        }
        [b'/' | b'_' | b'$' | b'(' | b'^', ..] => true,
        [b'-', b'-' | b'/' | b'a'..=b'z' | b'A'..=b'Z', ..] => true,
        [b'0'..=b'9', rest @ ..] => rest.iter().any(|byte| !DIGITS.contains(byte)),
        _ => false,
    }
}

/// The integers that are written without a doubt.
fn small_int(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let is_sure = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.len() < 18 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if is_sure { text.parse().ok() } else { None }
}
