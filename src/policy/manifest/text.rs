//! Text into documents: where one ends and the next begins, and how YAML is read. The kinds of objects are not known here.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{Options, UserMessageFormatter};

use crate::json::Document;
use crate::policy::manifest::error::{ManifestError, Refusal, Refused, Unreadable};
use crate::policy::manifest::places::Node;
use crate::policy::manifest::plain;
use crate::policy::manifest::typed::Typed;
use crate::policy::manifest::unlike::{other_scalar, unlike};
use crate::policy::manifest::untyped::Untyped;

/// The longest text that is read at once. A cluster's whole set of policies is far below it, and the API server takes no
/// object above 3 MiB.
pub const TEXT_MAX: usize = 64 << 20;

/// The deepest nesting. Kubernetes objects stay below 40; the schema of a CRD gets to 60.
pub const DEPTH_MAX: usize = 200;

/// The most nodes in one document, with aliases expanded, so that a few lines can't become gigabytes.
pub const NODES_MAX: usize = 2_000_000;

/// One document, and where it begins.
pub(in crate::policy::manifest) struct TextDocument<'t> {
    file: &'t str,
    text: &'t str,
    /// Lines before it.
    line: u64,
}

/// Splits a text as `kubectl` does: at lines that are three dashes.
pub(in crate::policy::manifest) fn documents<'t>(
    file: &'t str,
    text: &'t str,
) -> Result<Vec<TextDocument<'t>>, ManifestError> {
    if text.len() > TEXT_MAX {
        let message = format!("more than {TEXT_MAX} bytes");
        return Err(ManifestError::new(file, (0, 0), message));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let (mut start, mut offset, mut first_line) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let next = offset + line.len();
        if is_separator(line.as_bytes()) {
            documents.push((start, offset, first_line));
            start = next;
            first_line = number as u64 + 1;
        } else if line.starts_with("---") {
            let message = "nothing but a comment may follow a document separator".to_owned();
            return Err(ManifestError::new(file, (number as u64 + 1, 1), message));
        }
        offset = next;
    }
    documents.push((start, offset, first_line));
    let document = |(start, end, line)| TextDocument {
        file,
        text: text.get(start..end).unwrap_or_default(),
        line,
    };
    Ok(documents.into_iter().map(document).filter(|d| !d.is_blank()).collect())
}

/// Whether a line ends a document.
pub(in crate::policy::manifest) fn is_separator(line: &[u8]) -> bool {
    line.strip_prefix(b"---").is_some_and(|rest| {
        let rest = rest.trim_ascii();
        rest.is_empty() || rest.starts_with(b"#")
    })
}

/// What a plain scalar is that takes more than a look.
fn scalar(text: &str) -> Option<Value> {
    if other_scalar(text).is_some() {
        return None;
    }
    let value: Untyped = serde_saphyr::from_str_with_options(text, options(false)).ok()?;
    Some(value.0)
}

impl<'t> TextDocument<'t> {
    /// Whether there is nothing but comments, which some YAML readers take for an error.
    fn is_blank(&self) -> bool {
        self.text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
    }

    /// Where it begins, as in `a.yaml:12`.
    pub(in crate::policy::manifest) fn source(&self) -> String {
        format!("{}:{}", self.file, self.first_line())
    }

    /// The document as a value, typed as YAML has it.
    pub(in crate::policy::manifest) fn read(&self) -> Result<Value, ManifestError> {
        let untyped: Result<Untyped, Unreadable> = self.parse(false);
        let Untyped(value) = untyped.map_err(|problem| self.unreadable(problem))?;
        match unlike(self.text).filter(|_| !self.is_json()) {
            Some(problem) => Err(self.unreadable(problem)),
            None => Ok(value),
        }
    }

    /// The same as a document. What machines wrote is read many times faster.
    pub(in crate::policy::manifest) fn document(&self) -> Result<Document, ManifestError> {
        if self.text.trim_start().starts_with('{') {
            // Whoever wrote it meant the text from the brace on.
            if let Ok(document) = Document::parse(self.text.trim().as_bytes().to_vec()) {
                return Ok(document.reread().unwrap_or(document));
            }
        } else if let Some(document) = plain::read(self.text, scalar) {
            return Ok(document);
        }
        Ok(Document::from_value(&self.read()?))
    }

    /// The same, only if it is as plain as machines write it.
    #[cfg(test)]
    pub(in crate::policy::manifest) fn plain(&self) -> Option<Document> {
        plain::read(self.text, scalar)
    }

    fn is_json(&self) -> bool {
        self.text.trim_start().starts_with('{')
            && serde_json::from_str::<serde::de::IgnoredAny>(self.text).is_ok()
    }

    /// The text.
    pub(in crate::policy::manifest) fn text(&self) -> &'t str {
        self.text
    }

    /// The same document of a file that has so many lines before the text that it was found in.
    pub(in crate::policy::manifest) fn after(self, lines: u64) -> TextDocument<'t> {
        TextDocument { line: self.line + lines, ..self }
    }

    /// A part of it, before which it has so many lines.
    pub(in crate::policy::manifest) fn part<'p>(
        &self,
        lines: u64,
        text: &'p str,
    ) -> TextDocument<'p>
    where
        't: 'p,
    {
        TextDocument { file: self.file, text, line: self.line + lines }
    }

    /// Why it can't be read, with the place in the file.
    pub(in crate::policy::manifest) fn unreadable(&self, problem: Unreadable) -> ManifestError {
        let place = self.shifted(problem.place.unwrap_or((1, 1)));
        ManifestError::new(self.file, place, problem.message)
    }

    /// What is refused in the object at a field of the document, each with its place in the file.
    pub(in crate::policy::manifest) fn placed(
        &self,
        within: &str,
        mut refused: Refused,
    ) -> Refused {
        let places = self.places();
        for Refusal { place, diagnostic } in &mut refused.refusals {
            let field = format!("{within}{}", diagnostic.field);
            let found = places.as_ref().and_then(|places| places.place(&field));
            *place = self.shifted(found.unwrap_or_else(|| (self.skipped() + 1, 1)));
        }
        refused
    }

    /// Where its fields are, if that can be told.
    pub(in crate::policy::manifest) fn places(&self) -> Option<Node> {
        serde_saphyr::from_str_with_options(self.text, options(false)).ok()
    }

    /// A place in the document as one in the file.
    pub(in crate::policy::manifest) fn shifted(&self, (line, column): (u64, u64)) -> (u64, u64) {
        (self.line + line, column)
    }

    /// The line on which it begins.
    pub(in crate::policy::manifest) fn first_line(&self) -> u64 {
        self.line + self.skipped() + 1
    }

    /// How many lines have nothing in them but comments before it begins.
    fn skipped(&self) -> u64 {
        let blank = |line: &&str| line.trim().is_empty() || line.trim().starts_with('#');
        self.text.lines().take_while(blank).count() as u64
    }

    /// `typed` refuses a number or bool where a string is called for. Untyped reading has no strings but keys.
    fn parse<T: DeserializeOwned>(&self, typed: bool) -> Result<T, Unreadable> {
        if let Some(json) = self.parse_json() {
            return json;
        }
        serde_saphyr::from_str_with_options(self.text, options(typed)).map_err(|error| {
            let place = error.location().map(|location| (location.line(), location.column()));
            Unreadable { message: message(&error), place }
        })
    }

    /// JSON by its own rules, which YAML's differ from in escapes. Text that is no JSON may still be YAML in braces.
    fn parse_json<T: DeserializeOwned>(&self) -> Option<Result<T, Unreadable>> {
        if !self.is_json() {
            return None;
        }
        if let Err(error) = crate::json::Document::parse(self.text.as_bytes().to_vec()) {
            let place = Some((error.line as u64, error.column as u64));
            let message = error.kind.to_string();
            return Some(Err(Unreadable { message, place }));
        }
        Some(serde_json::from_str(self.text).map_err(|error| {
            let place = Some((error.line() as u64, error.column() as u64));
            let text = error.to_string();
            let message = text.split(" at line ").next().unwrap_or_default().to_owned();
            Unreadable { message, place }
        }))
    }
}

impl Typed for TextDocument<'_> {
    fn typed<T: DeserializeOwned>(&self) -> Result<T, Unreadable> {
        self.parse(true)
    }
}

/// As `kubectl` reads: YAML 1.1 scalars, a duplicate key is an error, a number is no string.
fn options(typed: bool) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_documents: 1,
        },
        legacy_octal_numbers: true,
        no_schema: typed,
        with_snippet: false,
    }
}

fn message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().render_with_formatter(&UserMessageFormatter);
    text.split(" at line ").next().unwrap_or_default().trim().to_owned()
}
