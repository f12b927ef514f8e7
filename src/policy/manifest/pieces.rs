//! Streams of any length into pieces of bounded size that can be read by themselves: documents, and the items of Lists that
//! are too long to be held whole. Where one ends is decided here; what is in it, by [`Piece::objects`].

use std::io::{BufRead, Read};

use crate::policy::manifest::ManifestError;
use crate::policy::manifest::json_pieces::JsonPieces;
use crate::policy::manifest::lists::{self, Kinds, Scan, Step};
use crate::policy::manifest::objects::{Placed, items};
use crate::policy::manifest::text::is_separator;

/// The most bytes of a piece. The API server takes no object above 3 MiB as JSON, which YAML can make a few times longer.
pub const PIECE_MAX: usize = 16 << 20;

/// From this size on a List is split while it is read. Below, whoever reads the piece does it.
pub(in crate::policy::manifest) const SPLIT_FROM: usize = 1 << 20;

/// A part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Lines of the stream before it.
    pub lines: u64,
    /// The text.
    pub text: String,
    kinds: Kinds,
}

impl Piece {
    /// The objects in it.
    ///
    /// # Errors
    /// The first thing that makes it unreadable, with the place in the file of this name.
    pub fn objects(&self, file: &str) -> Result<Vec<Placed>, ManifestError> {
        items(file, self.lines, &self.text, &self.kinds)
    }

    /// A piece of these bytes.
    pub(in crate::policy::manifest) fn new(
        file: &str,
        lines: u64,
        bytes: Vec<u8>,
        kinds: Kinds,
    ) -> Result<Piece, ManifestError> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Piece { lines, text, kinds }),
            Err(error) => {
                let (line, column) = place_of(error.as_bytes(), error.utf8_error().valid_up_to());
                Err(ManifestError::new(file, (lines + line, column), "no UTF-8 text"))
            }
        }
    }
}

/// The line and column of a byte.
fn place_of(bytes: &[u8], at: usize) -> (u64, u64) {
    let before = bytes.get(..at).unwrap_or_default();
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let on_line = before.get(line_start..).unwrap_or_default();
    (newlines(before) + 1, String::from_utf8_lossy(on_line).chars().count() as u64 + 1)
}

/// How many lines end in these bytes.
pub(in crate::policy::manifest) fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// The pieces of a stream, in order. After an error, reading goes on where that is possible: with the next document.
///
/// ```
/// use portcullis::policy::manifest::Pieces;
///
/// let stream = "a: 1\n---\nb: 2\n".as_bytes();
/// let pieces: Vec<_> = Pieces::new("a.yaml", stream).map(Result::unwrap).collect();
/// assert_eq!((pieces[1].lines, pieces[1].text.as_str()), (2, "b: 2\n"));
/// ```
#[derive(Debug)]
pub struct Pieces<R> {
    file: String,
    input: R,
    format: Format,
    /// What was taken from the stream by a reader that could not use it, from `left_at` on.
    left: Vec<u8>,
    left_at: usize,
    /// Lines that were read.
    lines: u64,
    list: Option<OpenList>,
    ended: bool,
}

#[derive(Debug)]
enum Format {
    /// Nothing was read yet.
    Unknown,
    Yaml,
    Json(Box<JsonPieces>),
}

/// A List that is split while it is read, between two of its items.
#[derive(Debug)]
struct OpenList {
    scan: Scan,
    header: String,
    kinds: Kinds,
    /// What is known of the item that is being read, and the lines before it.
    item: Vec<u8>,
    lines: u64,
    /// Items that were read already.
    ready: std::vec::IntoIter<Piece>,
}

impl<R: BufRead> Pieces<R> {
    /// The pieces of this stream. `file` is its name, for errors.
    pub fn new(file: &str, input: R) -> Pieces<R> {
        Pieces {
            file: file.to_owned(),
            input,
            format: Format::Unknown,
            left: Vec::new(),
            left_at: 0,
            lines: 0,
            list: None,
            ended: false,
        }
    }

    fn error(&self, line: u64, message: impl Into<String>) -> ManifestError {
        ManifestError::new(&self.file, (line, 1), message)
    }

    fn io(&mut self, error: &std::io::Error) -> ManifestError {
        self.ended = true;
        ManifestError::new(&self.file, (0, 0), error.to_string())
    }

    /// Steps over a byte order mark and blank lines, and looks whether the first thing is a brace.
    fn begin(&mut self) -> Result<(), ManifestError> {
        let first = self.input.fill_buf().map_err(|error| error.to_string());
        let first = first.map_err(|message| ManifestError::new(&self.file, (0, 0), message))?;
        if first.starts_with(b"\xef\xbb\xbf") {
            self.input.consume(3);
        }
        let mut blank = Vec::new();
        self.format = loop {
            let bytes = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) => {
                    return Err(ManifestError::new(&self.file, (0, 0), error.to_string()));
                }
            };
            let spaces = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            match bytes.get(spaces) {
                Some(b'{') => break Format::Json(Box::new(JsonPieces::new(&self.file))),
                Some(_) => break Format::Yaml,
                None if bytes.is_empty() => break Format::Yaml,
                None => {}
            }
            blank.clear();
            blank.extend_from_slice(bytes);
            self.lines += newlines(&blank);
            self.input.consume(spaces);
        };
        if let Format::Json(pieces) = &mut self.format {
            pieces.skip_lines(self.lines);
        }
        Ok(())
    }

    /// Appends the next line; false at the end of the stream. A line that does not end is cut off.
    fn line(&mut self, bytes: &mut Vec<u8>) -> Result<bool, ManifestError> {
        let left = self.left.get(self.left_at..).unwrap_or_default();
        let end = left.iter().position(|byte| *byte == b'\n').map_or(left.len(), |end| end + 1);
        let start = bytes.len();
        bytes.extend_from_slice(left.get(..end).unwrap_or_default());
        self.left_at += end;
        if bytes.get(start..).is_some_and(|line| line.ends_with(b"\n")) {
            self.lines += 1;
            return Ok(true);
        }
        let limit = (PIECE_MAX + 2) as u64;
        match Read::by_ref(&mut self.input).take(limit).read_until(b'\n', bytes) {
            Ok(0) => Ok(end > 0),
            Ok(_) => {
                self.lines += u64::from(bytes.last() == Some(&b'\n'));
                Ok(true)
            }
            Err(error) => Err(self.io(&error)),
        }
    }

    /// The next document, or the first items of one that is a List and long.
    fn document(&mut self) -> Result<Option<Piece>, ManifestError> {
        let before = self.lines;
        let mut bytes = Vec::new();
        let mut looked = false;
        loop {
            let start = bytes.len();
            if !self.line(&mut bytes)? {
                self.ended = true;
                break;
            }
            if is_separator(bytes.get(start..).unwrap_or_default()) {
                bytes.truncate(start);
                break;
            }
            if bytes.len() > SPLIT_FROM && !looked {
                looked = true;
                if let Some(list) = Self::open_list(&bytes, before) {
                    self.list = Some(list);
                    return self.item();
                }
            }
            if bytes.len() > PIECE_MAX {
                return Err(self.too_long(before));
            }
        }
        Piece::new(&self.file, before, bytes, Kinds::default()).map(Some)
    }

    /// Steps over the rest of a document, or of the whole stream if even its line does not end.
    fn too_long(&mut self, before: u64) -> ManifestError {
        let mut line = Vec::new();
        loop {
            line.clear();
            match self.line(&mut line) {
                Ok(true) if is_separator(&line) => break,
                Ok(true) => {}
                Ok(false) | Err(_) => {
                    self.ended = true;
                    break;
                }
            }
        }
        self.error(before + 1, format!("a document of more than {PIECE_MAX} bytes"))
    }

    fn open_list(bytes: &[u8], before: u64) -> Option<OpenList> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut split = lists::split_whole(text)?;
        if !split.is_open {
            return None;
        }
        let mut scan = Scan::default();
        let mut header = String::new();
        for line in text.split_inclusive('\n') {
            if scan.step(line.as_bytes()) == Step::Before {
                header.push_str(line);
            }
        }
        let last = split.items.pop()?;
        let kinds = split.kinds;
        let piece = |item: lists::Item| Piece {
            lines: before + item.lines,
            text: item.text,
            kinds: kinds.clone(),
        };
        let ready: Vec<Piece> = split.items.into_iter().map(piece).collect();
        let (item, lines) = (last.text.into_bytes(), before + last.lines);
        Some(OpenList { scan, header, kinds, item, lines, ready: ready.into_iter() })
    }

    /// The next item of the List that is open; none after the last.
    fn item(&mut self) -> Result<Option<Piece>, ManifestError> {
        let Some(mut list) = self.list.take() else { return Ok(None) };
        if let Some(piece) = list.ready.next() {
            self.list = Some(list);
            return Ok(Some(piece));
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            let before = self.lines;
            if !self.line(&mut line)? {
                self.ended = true;
                break;
            }
            if is_separator(&line) {
                break;
            }
            match list.scan.step(&line) {
                Step::Begins => {
                    let bytes = std::mem::take(&mut list.item);
                    let piece = Piece::new(&self.file, list.lines, bytes, list.kinds.clone());
                    list.item = lists::without_dash(&String::from_utf8_lossy(&line)).into();
                    list.lines = before;
                    self.list = Some(list);
                    return piece.map(Some);
                }
                Step::Before | Step::Goes => list.item.extend_from_slice(&line),
                Step::Ends => return self.tail(list, &line).map(Some),
            }
            if list.item.len() > PIECE_MAX {
                return Err(self.too_long(list.lines));
            }
        }
        Piece::new(&self.file, list.lines, list.item, list.kinds).map(Some)
    }

    /// The last item, once what follows all items is known to be in order.
    fn tail(&mut self, list: OpenList, line: &[u8]) -> Result<Piece, ManifestError> {
        let before = self.lines;
        let mut tail = line.to_vec();
        loop {
            let start = tail.len();
            if !self.line(&mut tail)? {
                self.ended = true;
                break;
            }
            if is_separator(tail.get(start..).unwrap_or_default()) {
                tail.truncate(start);
                break;
            }
            if tail.len() > PIECE_MAX {
                return Err(self.too_long(before));
            }
        }
        let text = String::from_utf8_lossy(&tail);
        if lists::kinds(&list.header, &text).is_none() {
            return Err(self.error(before, "what follows the items of a List is no part of it"));
        }
        Piece::new(&self.file, list.lines, list.item, list.kinds)
    }

    fn next_piece(&mut self) -> Result<Option<Piece>, ManifestError> {
        if matches!(self.format, Format::Unknown) {
            self.begin().inspect_err(|_| self.ended = true)?;
        }
        if let Format::Json(pieces) = &mut self.format {
            match pieces.next(&mut self.input) {
                Ok(None) => {
                    (self.left, self.lines) = pieces.rest();
                    self.format = Format::Yaml;
                }
                piece => {
                    self.ended = piece.is_err();
                    return piece;
                }
            }
        }
        loop {
            if self.list.is_some()
                && let Some(piece) = self.item()?
            {
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
            match self.document()? {
                Some(piece) if piece.text.trim_ascii().is_empty() => {}
                piece => return Ok(piece),
            }
        }
    }
}

impl<R: BufRead> Iterator for Pieces<R> {
    type Item = Result<Piece, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended && self.list.is_none() {
            return None;
        }
        self.next_piece().transpose()
    }
}
