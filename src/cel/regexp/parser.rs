//! Reads patterns in Go's syntax and writes them in that of the `regex` crate, with everything spelt out
//! that the two read differently: ASCII classes, the ends of the text, what is literal.

use crate::cel::regexp::PatternError;
use crate::cel::regexp::class::{after, before, brackets, character, escape, fail, next};

/// How often something may be repeated, all repetitions around it taken together: Go's limit.
const REPEAT_MAX: u64 = 1000;
/// How deep groups, repetitions and alternatives may nest. Go's limit is 1000; matching would go as deep on
/// the stack when the pattern is compiled.
pub(super) const DEPTH_MAX: u32 = 250;

#[expect(clippy::struct_excessive_bools, reason = "each is a flag that a pattern may set")]
#[derive(Clone, Copy, Default)]
struct Flags {
    /// `i`: upper and lower case are the same.
    fold: bool,
    /// `m`: `^` and `$` match at every line.
    lines: bool,
    /// `s`: `.` matches a line break.
    dot_all: bool,
    /// `U`: repetitions take as little as they can, and as much with `?`.
    lazy: bool,
}

/// A translated part that a repetition can follow.
struct Atom {
    text: String,
    /// Whether it is one character or class, so that it needs no group to be repeated.
    single: bool,
    /// The greatest product of nested repetitions in it.
    weight: u64,
    depth: u32,
}

/// A group that is open.
#[derive(Default)]
struct Group {
    /// The flags to go back to when it closes.
    flags: Flags,
    alternatives: Vec<String>,
    atoms: Vec<Atom>,
    weight: u64,
    depth: u32,
}

impl Group {
    fn end_alternative(&mut self) {
        let mut text = String::new();
        for atom in self.atoms.drain(..) {
            text.push_str(&atom.text);
            self.weight = self.weight.max(atom.weight);
            self.depth = self.depth.max(atom.depth);
        }
        self.alternatives.push(text);
    }

    /// The group as a part of the group around it. A group of one part is that part.
    fn close(mut self) -> Atom {
        if self.alternatives.is_empty()
            && self.atoms.len() == 1
            && let Some(atom) = self.atoms.pop()
        {
            return atom;
        }
        self.end_alternative();
        let text = format!("(?:{})", self.alternatives.join("|"));
        Atom { text, single: true, weight: self.weight, depth: self.depth + 1 }
    }
}

struct Parser<'t> {
    whole: &'t str,
    rest: &'t str,
    flags: Flags,
    /// The groups around this place; the last one is the pattern itself or the innermost.
    groups: Vec<Group>,
    group: Group,
    /// Where the repetition began that has just ended.
    repeated: Option<&'t str>,
}

/// The pattern in the syntax of the `regex` crate.
pub(super) fn translate(text: &str) -> Result<String, PatternError<'_>> {
    let flags = Flags::default();
    let (groups, group) = (Vec::new(), Group::default());
    let mut parser = Parser { whole: text, rest: text, flags, groups, group, repeated: None };
    while let Some((first, rest)) = next(parser.rest) {
        let repeated = parser.repeated.take();
        parser.item(first, rest, repeated)?;
    }
    if !parser.groups.is_empty() {
        return fail("missing closing )", text);
    }
    Ok(parser.group.close().text)
}

impl<'t> Parser<'t> {
    fn item(
        &mut self,
        first: char,
        rest: &'t str,
        repeated: Option<&'t str>,
    ) -> Result<(), PatternError<'t>> {
        match first {
            '(' if rest.starts_with('?') => return self.flag_group(),
            '(' => self.open(self.flags),
            ')' => self.close()?,
            '|' => self.group.end_alternative(),
            '^' => self.push(if self.flags.lines { "(?m:^)" } else { r"\A" }),
            '$' => self.push(if self.flags.lines { "(?m:$)" } else { r"\z" }),
            '.' => self.push(if self.flags.dot_all { "(?s:.)" } else { r"[^\n]" }),
            '[' => {
                let (class, rest) = brackets(self.rest)?;
                self.push_folded(&class);
                self.rest = rest;
                return Ok(());
            }
            '*' => return self.repeat("*", (0, None), rest, repeated),
            '+' => return self.repeat("+", (1, None), rest, repeated),
            '?' => return self.repeat("?", (0, Some(1)), rest, repeated),
            '{' => {
                if let Some((least, most, rest)) = counts(rest) {
                    return self.counted(least, most, rest, repeated);
                }
                self.literal(u32::from('{'));
            }
            '\\' => return self.backslash(),
            other => self.literal(u32::from(other)),
        }
        self.rest = rest;
        Ok(())
    }

    fn push(&mut self, text: &str) {
        let text = text.to_owned();
        self.group.atoms.push(Atom { text, single: true, weight: 1, depth: 1 });
    }

    /// A character or a class, which `i` concerns.
    fn push_folded(&mut self, text: &str) {
        if self.flags.fold { self.push(&format!("(?i:{text})")) } else { self.push(text) }
    }

    fn literal(&mut self, code: u32) {
        match char::from_u32(code) {
            Some(c) if c.is_ascii_digit() => self.push(&c.to_string()),
            Some(c) => self.push_folded(&format!(r"\x{{{:X}}}", u32::from(c))),
            // A code point that no text has.
            None => self.push(r"[^\x00-\x{10FFFF}]"),
        }
    }

    fn open(&mut self, flags: Flags) {
        let group = Group { flags, ..Group::default() };
        self.groups.push(std::mem::replace(&mut self.group, group));
    }

    fn close(&mut self) -> Result<(), PatternError<'t>> {
        let Some(outer) = self.groups.pop() else { return fail("unexpected )", self.whole) };
        let group = std::mem::replace(&mut self.group, outer);
        self.flags = group.flags;
        let atom = group.close();
        self.add(atom)
    }

    fn add(&mut self, atom: Atom) -> Result<(), PatternError<'t>> {
        if atom.depth > DEPTH_MAX {
            return fail("expression nests too deeply", self.whole);
        }
        self.group.atoms.push(atom);
        Ok(())
    }

    fn backslash(&mut self) -> Result<(), PatternError<'t>> {
        let rest = after(self.rest, 2);
        let known = match self.rest.as_bytes().get(1) {
            Some(b'A') => r"\A",
            Some(b'b') => r"(?-u:\b)",
            Some(b'B') => NOT_BOUNDARY,
            Some(b'z') => r"\z",
            Some(b'C') => return fail("invalid escape sequence", before(self.rest, rest)),
            Some(b'Q') => {
                let (quoted, rest) = rest.split_once(r"\E").unwrap_or((rest, ""));
                quoted.chars().for_each(|c| self.literal(u32::from(c)));
                self.rest = rest;
                return Ok(());
            }
            _ => {
                if let Some((class, rest)) = escape(self.rest)? {
                    self.push_folded(&class);
                    self.rest = rest;
                } else {
                    let (code, rest) = character(self.rest)?;
                    self.literal(code);
                    self.rest = rest;
                }
                return Ok(());
            }
        };
        self.push(known);
        self.rest = rest;
        Ok(())
    }

    /// `(?i)`, `(?i:`, `(?P<name>`
    fn flag_group(&mut self) -> Result<(), PatternError<'t>> {
        let start = self.rest;
        let named = after(start, 2);
        let name = named.strip_prefix("P<").filter(|name| !name.is_empty());
        if let Some(name) = name.or_else(|| named.strip_prefix('<').filter(|name| !name.is_empty()))
        {
            let Some((name, rest)) = name.split_once('>') else {
                return fail("invalid named capture", start);
            };
            let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(valid) {
                return fail("invalid named capture", before(start, rest));
            }
            self.open(self.flags);
            self.rest = rest;
            return Ok(());
        }
        let (mut flags, mut on, mut any, mut rest) = (self.flags, true, false, named);
        while let Some((letter, after)) = next(rest) {
            rest = after;
            match letter {
                'i' => flags.fold = on,
                'm' => flags.lines = on,
                's' => flags.dot_all = on,
                'U' => flags.lazy = on,
                '-' if on => {
                    (on, any) = (false, false);
                    continue;
                }
                ':' | ')' if on || any => {
                    if letter == ':' {
                        self.open(self.flags);
                    }
                    self.flags = flags;
                    self.rest = rest;
                    return Ok(());
                }
                _ => break,
            }
            any = true;
        }
        fail("invalid or unsupported Perl syntax", before(start, rest))
    }

    fn counted(
        &mut self,
        least: Option<u64>,
        most: Most,
        rest: &'t str,
        repeated: Option<&'t str>,
    ) -> Result<(), PatternError<'t>> {
        let (most, valid) = match most {
            Most::Same => (least, true),
            Most::Any => (None, true),
            Most::Times(most) => (most, most.is_some() && most >= least),
        };
        let within = |count: u64| count <= REPEAT_MAX;
        match least {
            Some(least) if valid && within(least) && most.is_none_or(within) => {
                let operator = match most {
                    Some(most) => format!("{{{least},{most}}}"),
                    None => format!("{{{least},}}"),
                };
                self.repeat(&operator, (least, most), rest, repeated)
            }
            _ => fail("invalid repeat count", before(self.rest, rest)),
        }
    }

    fn repeat(
        &mut self,
        operator: &str,
        (least, most): (u64, Option<u64>),
        rest: &'t str,
        repeated: Option<&'t str>,
    ) -> Result<(), PatternError<'t>> {
        let (start, mut rest, mut lazy) = (self.rest, rest, self.flags.lazy);
        if let Some(after) = rest.strip_prefix('?') {
            rest = after;
            lazy = !lazy;
        }
        if let Some(repeated) = repeated {
            return fail("invalid nested repetition operator", before(repeated, rest));
        }
        let Some(atom) = self.group.atoms.pop() else {
            return fail("missing argument to repetition operator", before(start, rest));
        };
        let counted = operator.starts_with('{');
        let weight = match most.unwrap_or(least) {
            _ if !counted => atom.weight,
            0 if most.is_some() => 0,
            times => atom.weight.saturating_mul(times.max(1)),
        };
        if counted && most.unwrap_or(least).max(least) >= 2 && weight > REPEAT_MAX {
            return fail("invalid repeat count", before(start, rest));
        }
        let (open, close) = if atom.single { ("", "") } else { ("(?:", ")") };
        let lazy = if lazy { "?" } else { "" };
        let text = format!("{open}{}{close}{operator}{lazy}", atom.text);
        self.add(Atom { text, single: false, weight, depth: atom.depth + 1 })?;
        self.rest = rest;
        self.repeated = Some(start);
        Ok(())
    }
}

/// No ASCII word character on one side only.
const NOT_BOUNDARY: &str = r"(?-u:\B)";

/// How often something is repeated at most.
enum Most {
    /// `{2}`
    Same,
    /// `{2,}`
    Any,
    /// `{2,3}`; nothing if the number is beyond all bounds.
    Times(Option<u64>),
}

/// The numbers of `{2,3}` and what follows, the brace before them taken off; nothing if these are no
/// numbers, because then the brace is literal.
fn counts(text: &str) -> Option<(Option<u64>, Most, &str)> {
    let (least, rest) = number(text)?;
    let (most, rest) = match rest.strip_prefix(',') {
        None => (Most::Same, rest),
        Some(rest) if rest.starts_with('}') => (Most::Any, rest),
        Some(rest) => {
            let (most, rest) = number(rest)?;
            (Most::Times(most), rest)
        }
    };
    Some((least, most, rest.strip_prefix('}')?))
}

/// A number without leading zeros; its value is nothing if it is beyond all bounds.
fn number(text: &str) -> Option<(Option<u64>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let valid = !digits.is_empty() && (digits.len() == 1 || !digits.starts_with('0'));
    valid.then(|| (digits.parse().ok().filter(|value| *value < 1_000_000_000), rest))
}
