//! Where something is wrong in an expression, and how that is shown. Nothing here knows what the
//! rules of the language are.

use std::fmt::{self, Write};

/// A range of bytes of the source of one expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span of these bytes.
    pub fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// The smallest span that holds both.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// One thing that is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What to underline.
    pub span: Span,
    /// The byte that Kubernetes would point at: the operator of an operation, the parenthesis of
    /// a call.
    pub at: u32,
    /// What is wrong, in Kubernetes' words where it has some.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

/// Why an expression was refused. It is never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    source: String,
    stage: Stage,
    diagnostics: Vec<Diagnostic>,
}

/// What was being done with the expression when it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It does not parse, or its types do not agree.
    Compile,
    /// Its type is not one that is allowed where it stands.
    Output,
    /// A constant part of it cannot be computed.
    Plan,
}

impl CompileError {
    pub(crate) fn new(
        source: &str,
        stage: Stage,
        mut diagnostics: Vec<Diagnostic>,
    ) -> CompileError {
        // Those of one place stay in the order in which they were found.
        diagnostics.sort_by_key(|diagnostic| diagnostic.at);
        CompileError { source: source.to_owned(), stage, diagnostics }
    }

    /// What is wrong, each with its place.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// What the API server says when such an expression stands in a policy.
    pub fn detail(&self) -> String {
        match self.stage {
            Stage::Compile => format!("compilation failed: {self}"),
            Stage::Output => self.to_string(),
            Stage::Plan => format!("program instantiation failed: {self}"),
        }
    }

    /// What was being done when the expression was refused.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The first thing that is wrong, in one line.
    pub fn message(&self) -> &str {
        self.diagnostics.first().map_or("", |diagnostic| &diagnostic.message)
    }

    /// The line (from 1) and column (from 1, in code points) of the first thing that is wrong.
    pub fn position(&self) -> (usize, usize) {
        let at = self.diagnostics.first().map_or(0, |diagnostic| diagnostic.at);
        let place = Place::of(&self.source, at);
        (place.line, place.column + 1)
    }

    /// Every thing that is wrong, with the line it is on, a caret under the span, and a hint.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            render(&mut out, &self.source, diagnostic);
        }
        out
    }
}

/// How many errors of one expression the API server shows.
const REPORTED_MAX: usize = 100;

/// How long a line is that the API server shows, in bytes; of a longer one it gives the place alone.
const SNIPPET_MAX: usize = 16_384;

/// As the API server words it: `ERROR: <input>:1:3: ..`, the line, and a caret.
impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stage != Stage::Compile {
            return f.write_str(self.message());
        }
        for (index, diagnostic) in self.diagnostics.iter().take(REPORTED_MAX).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            let place = Place::of(&self.source, diagnostic.at);
            let Place { line, column, text } = &place;
            write!(f, "ERROR: <input>:{line}:{}: {}", column + 1, diagnostic.message)?;
            if text.len() > SNIPPET_MAX {
                continue;
            }
            write!(f, "\n | {}\n | ", text.replace('\t', " "))?;
            // What is not ASCII is taken to be as wide as two letters.
            for c in text.chars().take(*column) {
                f.write_char(if c.is_ascii() { '.' } else { '．' })?;
            }
            let pointed = text.chars().nth(*column);
            f.write_char(if pointed.is_none_or(|c| c.is_ascii()) { '^' } else { '＾' })?;
        }
        match self.diagnostics.len().checked_sub(REPORTED_MAX) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n{more} more errors were truncated"),
        }
    }
}

impl std::error::Error for CompileError {}

/// A byte of the source, as a person finds it.
struct Place<'s> {
    line: usize,
    /// In code points, from 0.
    column: usize,
    text: &'s str,
}

impl Place<'_> {
    fn of(source: &str, at: u32) -> Place<'_> {
        let at = source.floor_char_boundary(at as usize);
        let before = source.get(..at).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = source.get(line_start..).unwrap_or("");
        let text = rest.split('\n').next().unwrap_or("");
        Place {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or("").chars().count(),
            text,
        }
    }
}

/// How much of a line is shown around what is underlined: about what a terminal has room for.
const EXCERPT_WIDTH: usize = 100;

/// The message, the line it is about, a caret under the span, and a hint.
pub(crate) fn render(out: &mut String, source: &str, diagnostic: &Diagnostic) {
    let Place { line, column, text } = Place::of(source, diagnostic.span.start);
    let start = source.floor_char_boundary(diagnostic.span.start as usize);
    let end = source.floor_char_boundary(diagnostic.span.end as usize);
    let width = source.get(start..end).unwrap_or("").chars().take_while(|c| *c != '\n').count();
    let skipped = column.saturating_sub(EXCERPT_WIDTH / 2);
    let shown: String = text.chars().skip(skipped).take(EXCERPT_WIDTH).collect();
    let before = if skipped > 0 { ".." } else { "" };
    let after = if text.chars().count() > skipped + EXCERPT_WIDTH { ".." } else { "" };
    let blank = |c| if c == '\t' { '\t' } else { ' ' };
    let indent: String =
        before.chars().chain(shown.chars().take(column - skipped)).map(blank).collect();
    let carets =
        "^".repeat(width.clamp(1, EXCERPT_WIDTH - (column - skipped).min(EXCERPT_WIDTH - 1)));
    let gutter = line.to_string();
    let margin = " ".repeat(gutter.len());
    // Writing to a String does not fail.
    let _ = write!(
        out,
        "{}\n{margin} |\n{gutter} | {before}{shown}{after}\n{margin} | {indent}{carets}\n",
        diagnostic.message
    );
    if let Some(hint) = &diagnostic.hint {
        let _ = writeln!(out, "{margin} = help: {hint}");
    }
}

/// The candidate nearest to `name`, if one is near enough to have been meant.
pub(crate) fn nearest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= allowed || candidate.eq_ignore_ascii_case(name)
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in code points.
fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut last = i + 1;
        for (slot, b) in row.iter_mut().skip(1).zip(right.chars()) {
            let cost = diagonal + usize::from(a != b);
            diagonal = *slot;
            last = cost.min(last + 1).min(*slot + 1);
            *slot = last;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_was_meant() {
        let names = ["object", "oldObject", "params", "request"];
        for (typed, meant) in [
            ("objet", Some("object")),
            ("oldobject", Some("oldObject")),
            ("param", Some("params")),
            ("banana", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
    }

    #[test]
    fn long_lines_are_shown_around_the_caret() {
        let source = format!("{}x{}", "a".repeat(500), "b".repeat(500));
        let message = "m".to_owned();
        let diagnostic = Diagnostic { span: Span::new(500, 501), at: 500, message, hint: None };
        let mut seen = String::new();
        render(&mut seen, &source, &diagnostic);
        let line = format!("1 | ..{}x{}..", "a".repeat(50), "b".repeat(49));
        assert_eq!(seen, format!("m\n  |\n{line}\n  | {}^\n", " ".repeat(52)));
    }

    #[test]
    fn shows_the_line_and_the_caret() {
        let diagnostic = Diagnostic {
            span: Span::new(9, 14),
            at: 9,
            message: "undeclared reference to 'objet' (in container '')".to_owned(),
            hint: Some("did you mean `object`?".to_owned()),
        };
        let error = CompileError::new("true &&\n objet.x", Stage::Compile, vec![diagnostic]);
        assert_eq!(
            error.to_string(),
            "ERROR: <input>:2:2: undeclared reference to 'objet' (in container '')\n |  objet.x\n | .^"
        );
        assert_eq!(
            error.render(),
            "undeclared reference to 'objet' (in container '')\n  |\n2 |  objet.x\n  |  ^^^^^\n  \
             = help: did you mean `object`?\n"
        );
        assert_eq!(error.position(), (2, 2));
    }
}
