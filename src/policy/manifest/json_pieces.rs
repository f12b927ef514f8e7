//! JSON streams into pieces: values one after the other, and the items of a List that is too long to be held whole. Only
//! brackets and quotes are looked at here; what a value is worth is seen when it is read.

use std::io::BufRead;

use crate::json::Document;
use crate::policy::manifest::ManifestError;
use crate::policy::manifest::lists::Kinds;
use crate::policy::manifest::pieces::{PIECE_MAX, Piece, SPLIT_FROM, newlines};

/// Bytes that are looked at before items are given out.
const CHUNK_MAX: usize = 64 << 10;

/// The pieces of a stream.
#[derive(Debug)]
pub(in crate::policy::manifest) struct JsonPieces {
    file: String,
    /// What is not given out yet.
    bytes: Vec<u8>,
    /// How far it was looked at.
    at: usize,
    /// Lines of the stream before `bytes`, and columns of the line on which they begin.
    lines: u64,
    columns: u64,
    depth: usize,
    within: Within,
    /// Where the last string on the first level begins and ends: a key, if a colon follows.
    key: (usize, usize),
    items: Items,
    /// The items that are whole.
    whole: Vec<(usize, usize)>,
    /// What the List says of its items, once it is split.
    open: Option<Kinds>,
    /// What the List is without its items, once it is split.
    frame: Vec<u8>,
    ready: std::vec::IntoIter<Result<Piece, ManifestError>>,
    /// A separator was seen since the last value.
    separated: bool,
    /// Nothing more is to come from the stream.
    ended: bool,
}

/// Whether brackets and quotes mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Structure,
    Text,
    /// Behind a backslash.
    Escape,
}

/// Where the items of the List are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Items {
    Unseen,
    /// They begin here.
    Inside(usize),
    After(usize),
}

/// What a byte ends.
enum End {
    Nothing,
    /// The value.
    Value,
    /// The values: what follows is in another syntax.
    Foreign,
    /// What was read so far: it can't be told.
    Known,
}

impl JsonPieces {
    pub fn new(file: &str) -> JsonPieces {
        JsonPieces {
            file: file.to_owned(),
            bytes: Vec::new(),
            at: 0,
            lines: 0,
            columns: 0,
            depth: 0,
            within: Within::Structure,
            key: (0, 0),
            items: Items::Unseen,
            whole: Vec::new(),
            open: None,
            frame: Vec::new(),
            ready: Vec::new().into_iter(),
            separated: false,
            ended: false,
        }
    }

    /// So many lines were passed over before.
    pub fn skip_lines(&mut self, lines: u64) {
        self.lines += lines;
    }

    /// The next piece; none at the end, and where a document in YAML begins: then there is a [`JsonPieces::rest`].
    pub fn next(&mut self, input: &mut impl BufRead) -> Result<Option<Piece>, ManifestError> {
        loop {
            if let Some(piece) = self.ready.next() {
                return piece.map(Some);
            }
            let mut is_known = true;
            while is_known && self.at < self.bytes.len() {
                match self.step() {
                    End::Nothing => {}
                    End::Known => is_known = false,
                    End::Value => {
                        let whole = self.value()?;
                        if let Some(piece) = whole {
                            return Ok(Some(piece));
                        }
                        break;
                    }
                    End::Foreign if self.separated => return Ok(None),
                    End::Foreign => return Err(self.error(self.at, "text after a JSON value")),
                }
            }
            if self.ready.len() > 0 {
                continue;
            }
            self.give_out();
            if self.ready.len() > 0 {
                continue;
            }
            if self.bytes.len() > PIECE_MAX {
                let message = format!("a document of more than {PIECE_MAX} bytes");
                return Err(self.error(0, &message));
            }
            if is_known && self.at < self.bytes.len() {
                continue;
            }
            if self.ended {
                return self.last();
            }
            let more = input.fill_buf();
            let more =
                more.map_err(|error| ManifestError::new(&self.file, (0, 0), error.to_string()))?;
            let more = more.get(..CHUNK_MAX).unwrap_or(more);
            let len = more.len();
            self.bytes.extend_from_slice(more);
            self.ended = len == 0;
            input.consume(len);
        }
    }

    fn error(&self, at: usize, message: &str) -> ManifestError {
        let before = self.bytes.get(..at).unwrap_or_default();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let columns = if line_start == 0 { self.columns } else { 0 };
        let place = (self.lines + newlines(before) + 1, columns + (at - line_start) as u64 + 1);
        ManifestError::new(&self.file, place, message)
    }

    /// Looks at one byte.
    fn step(&mut self) -> End {
        let Some(byte) = self.bytes.get(self.at).copied() else { return End::Nothing };
        let at = self.at;
        self.at += 1;
        match (self.within, byte) {
            (Within::Structure, _) => {}
            (Within::Escape, _) => self.within = Within::Text,
            (Within::Text, b'\\') => self.within = Within::Escape,
            (Within::Text, b'"') => {
                self.within = Within::Structure;
                self.key.1 = at;
                return End::Nothing;
            }
            (Within::Text, _) => {}
        }
        if self.within != Within::Structure {
            return End::Nothing;
        }
        match byte {
            b'"' if self.depth > 0 => {
                self.within = Within::Text;
                if self.depth == 1 {
                    self.key = (at + 1, at + 1);
                }
            }
            b'{' | b'[' => {
                if byte == b'[' && self.depth == 1 && self.is_items(at) {
                    self.items = Items::Inside(at + 1);
                } else if self.depth == 2 && self.is_in_items() {
                    self.whole.push((at, at));
                }
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 2
                    && self.is_in_items()
                    && let Some(last) = self.whole.last_mut()
                {
                    last.1 = at + 1;
                }
                if self.depth == 1
                    && let Items::Inside(start) = self.items
                {
                    self.items = Items::After(start);
                }
                if self.depth == 0 {
                    return End::Value;
                }
            }
            _ if self.depth > 0 || byte.is_ascii_whitespace() => {}
            // A separator of YAML documents, alone on its line.
            b'-' => return self.separator(at),
            _ => {
                self.at = at;
                return End::Foreign;
            }
        }
        End::Nothing
    }

    /// Whether the array that begins here is the value of `items`.
    fn is_items(&self, at: usize) -> bool {
        let (start, end) = self.key;
        let between = self.bytes.get(end + 1..at).unwrap_or_default();
        self.items == Items::Unseen
            && self.bytes.get(start..end) == Some(b"items")
            && between.trim_ascii() == b":"
    }

    fn is_in_items(&self) -> bool {
        matches!(self.items, Items::Inside(_))
    }

    fn separator(&mut self, at: usize) -> End {
        match self.bytes.get(at..at + 3) {
            Some(b"---") => {
                // Blanked out, as it is no part of the value that follows.
                self.bytes.splice(at..at + 3, *b"   ");
                self.separated = true;
                End::Nothing
            }
            None if !self.ended => {
                self.at = at;
                End::Known
            }
            _ => {
                self.at = at;
                End::Foreign
            }
        }
    }

    /// The value that ends here.
    fn value(&mut self) -> Result<Option<Piece>, ManifestError> {
        let rest = self.bytes.split_off(self.at);
        let mut bytes = std::mem::replace(&mut self.bytes, rest);
        // It would keep the room of all that follows.
        bytes.shrink_to_fit();
        let lines = self.lines;
        self.lines += newlines(&bytes);
        let on_line = bytes.iter().rev().take_while(|byte| **byte != b'\n').count();
        self.columns = if on_line == bytes.len() { self.columns } else { 0 } + on_line as u64;
        self.at = 0;
        self.separated = false;
        let whole = std::mem::take(&mut self.whole);
        self.items = Items::Unseen;
        let Some(kinds) = self.open.take() else {
            return Piece::new(&self.file, lines, bytes, Kinds::default()).map(Some);
        };
        let mut frame = std::mem::take(&mut self.frame);
        let end = whole.last().map_or(0, |(_, end)| *end);
        frame.extend_from_slice(bytes.get(end..).unwrap_or_default());
        if Document::parse(frame).is_err() {
            let message = "what follows the items of a List is no part of it";
            return Err(ManifestError::new(&self.file, (self.lines, 1), message));
        }
        self.ready = self.pieces(&bytes, lines, &whole, &kinds, None).into_iter();
        Ok(None)
    }

    /// Gives out the items of a List that is long, and forgets them.
    fn give_out(&mut self) {
        let enough = if self.open.is_some() { SPLIT_FROM / 4 } else { SPLIT_FROM };
        let (Items::Inside(items) | Items::After(items)) = self.items else { return };
        if self.bytes.len() < enough {
            return;
        }
        // The last one may not be whole.
        let is_whole = |(start, end): &(usize, usize)| end > start;
        let whole: Vec<_> = self.whole.iter().copied().filter(is_whole).collect();
        let Some((_, end)) = whole.last().copied() else { return };
        let (kinds, first) = match self.open.take() {
            Some(kinds) => (kinds, None),
            None => {
                let header = self.bytes.get(..items).unwrap_or_default();
                let Ok(document) = Document::parse([header, b"]}"].concat()) else { return };
                self.frame = header.to_vec();
                (Kinds::of(document.root()), Some(items))
            }
        };
        self.ready = self.pieces(&self.bytes, self.lines, &whole, &kinds, first).into_iter();
        self.lines += newlines(self.bytes.get(..end).unwrap_or_default());
        self.bytes.drain(..end);
        self.at -= end;
        self.items = match self.items {
            Items::After(_) => Items::After(0),
            _ => Items::Inside(0),
        };
        self.whole.retain(|item| !is_whole(item));
        for (start, item_end) in &mut self.whole {
            *start -= end;
            *item_end -= end;
        }
        self.key = (0, 0);
        self.open = Some(kinds);
    }

    /// These items, each with a comma before it unless it is the first of all, which the List begins with.
    fn pieces(
        &self,
        bytes: &[u8],
        lines: u64,
        items: &[(usize, usize)],
        kinds: &Kinds,
        first: Option<usize>,
    ) -> Vec<Result<Piece, ManifestError>> {
        let mut last = first.unwrap_or(0);
        let mut before = lines + newlines(bytes.get(..last).unwrap_or_default());
        let mut separator: &[u8] = if first.is_some() { b"" } else { b"," };
        let piece = |(start, end): &(usize, usize)| {
            let between = bytes.get(last..*start).unwrap_or_default();
            let text = bytes.get(*start..*end).unwrap_or_default();
            let lines = before + newlines(between);
            before = lines + newlines(text);
            last = *end;
            if between.trim_ascii() != std::mem::replace(&mut separator, b",") {
                let message = "expected one `,` between the items of a List";
                return Err(ManifestError::new(&self.file, (lines + 1, 1), message));
            }
            Piece::new(&self.file, lines, text.to_vec(), kinds.clone())
        };
        items.iter().map(piece).collect()
    }

    /// What is not given out, and how many lines were before it: for another reader, where this one met what is no JSON.
    pub fn rest(&mut self) -> (Vec<u8>, u64) {
        (std::mem::take(&mut self.bytes), self.lines)
    }

    /// What is left when the stream is over: nothing, or a value that does not end, which whoever reads it will say.
    fn last(&mut self) -> Result<Option<Piece>, ManifestError> {
        let bytes = std::mem::take(&mut self.bytes);
        let is_list = self.open.take().is_some();
        if bytes.trim_ascii().is_empty() && !is_list || bytes.trim_ascii() == b"---" {
            return Ok(None);
        }
        if is_list {
            let message = "the List does not end";
            return Err(ManifestError::new(
                &self.file,
                (self.lines + newlines(&bytes) + 1, 1),
                message,
            ));
        }
        self.at = 0;
        Piece::new(&self.file, self.lines, bytes, Kinds::default()).map(Some)
    }
}
