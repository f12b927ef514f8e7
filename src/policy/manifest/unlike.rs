//! YAML that `kubectl` reads otherwise than the reader of all YAML does. It is refused with its line, as an object that is
//! read in another way than the cluster reads it would be judged for what it is not.
//!
//! `kubectl` reads YAML 1.1 as libyaml and go-yaml have it: words mean something in three spellings only, numbers may have
//! underscores, a merge key counts where it stands, keys are strings of single precision, and tabs do not indent.

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

use crate::policy::manifest::error::Unreadable;

/// Words that are no strings in all lower case, all upper case, or with a capital.
const WORDS: [&str; 14] = [
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", ".nan", ".inf", "+.inf", "-.inf",
    "~",
];

/// The first thing in a text that is read otherwise; none if there is nothing, or if it is no YAML at all.
pub(in crate::policy::manifest) fn unlike(text: &str) -> Option<Unreadable> {
    if !may_be_unlike(text) {
        return None;
    }
    let mut around: Vec<Around> = Vec::new();
    // Lines in which tabs are content or stand between what is in brackets.
    let mut free: Vec<(usize, usize)> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        let place = || Some((span.start.line() as u64, span.start.col() as u64 + 1));
        let (line, end) = (span.start.line(), span.end.line());
        match event {
            Event::Scalar(value, style, _, tag) => {
                free.push((line + 1, end));
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let is_key = around.last_mut().is_some_and(Around::turns_to_key);
                let merges = is_plain && is_key && value == "<<";
                let told = match around.last_mut() {
                    Some(within) if merges && within.has_members => {
                        Some("a merge key that follows other keys, which it replaces".to_owned())
                    }
                    Some(within) if is_key => {
                        within.has_members = true;
                        is_plain.then(|| other_key(&value)).flatten()
                    }
                    _ => None,
                };
                let told = told.or_else(|| is_plain.then(|| other_scalar(&value)).flatten());
                let is_quoted = style == ScalarStyle::DoubleQuoted;
                let source = span.slice(text).filter(|_| is_quoted);
                let told = told.or_else(|| source.and_then(other_escape));
                if let Some(message) = told {
                    return Some(Unreadable { message, place: place() });
                }
            }
            Event::Alias(_) => {
                if let Some(within) = around.last_mut()
                    && within.turns_to_key()
                {
                    within.has_members = true;
                }
            }
            Event::SequenceStart(style, ..) | Event::MappingStart(style, ..) => {
                let is_mapping = matches!(event, Event::MappingStart(..));
                if let Some(within) = around.last_mut()
                    && within.turns_to_key()
                {
                    within.has_members = true;
                }
                let begins = (style == StructureStyle::Flow).then_some(line);
                around.push(Around { is_mapping, begins, ..Around::default() });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(begins) = around.pop().and_then(|around| around.begins) {
                    free.push((begins + 1, end));
                }
            }
            _ => {}
        }
    }
    if let Some((line, column)) = breaks(text) {
        let message = "a character that ends a line for `kubectl`".to_owned();
        return Some(Unreadable { message, place: Some((line, column)) });
    }
    let is_free = |line: usize| free.iter().any(|(from, to)| (*from..=*to).contains(&line));
    let (line, column) = tabs(text).find(|(line, _)| !is_free(*line))?;
    let message = "a tab, which does not indent".to_owned();
    Some(Unreadable { message, place: Some((line as u64, column as u64)) })
}

/// A collection that is not closed yet.
#[derive(Default)]
struct Around {
    is_mapping: bool,
    /// The line of its bracket, if it has one.
    begins: Option<usize>,
    /// Whether a key was read whose value comes next.
    awaits_value: bool,
    has_members: bool,
}

impl Around {
    /// Takes the next node of a mapping; whether it is a key.
    fn turns_to_key(&mut self) -> bool {
        if !self.is_mapping {
            return false;
        }
        self.awaits_value = !self.awaits_value;
        self.awaits_value
    }
}

/// Whether there is anything in a text that a closer look is worth.
fn may_be_unlike(text: &str) -> bool {
    if text.contains(['\t', '\\']) || text.contains("<<") || breaks(text).is_some() {
        return true;
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_.+-~".contains(c);
    let mut words = text.split(|c| !is_part(c)).filter(|word| !word.is_empty());
    words.any(|word| other_scalar(word).is_some() || other_key(word).is_some())
}

/// Why `kubectl` makes something else of a plain scalar.
pub(in crate::policy::manifest) fn other_scalar(text: &str) -> Option<String> {
    let is_word = text.len() <= 5 && WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_word {
        let mut letters = text.chars().filter(char::is_ascii_alphabetic);
        let first = letters.next().is_some_and(|letter| letter.is_ascii_uppercase());
        let uppers = letters.clone().filter(char::is_ascii_uppercase).count();
        let is_usual = uppers == 0 || (first && uppers == letters.count());
        return (!is_usual)
            .then(|| format!("`{text}` is a string in this spelling: it needs quotes"));
    }
    let digits = text.trim_start_matches(['+', '-']);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let whole = text.replace('_', "");
    if text.contains('_') && !is_sure_with_underscores(text) && whole.parse::<f64>().is_ok() {
        return Some(format!("`{text}` is the number {whole}: it needs quotes, or no underscores"));
    }
    let is_huge = digits.contains(['e', 'E']) && text.parse::<f64>().is_ok_and(f64::is_infinite);
    is_huge.then(|| format!("`{text}` is too large for a number, and so a string: it needs quotes"))
}

/// Whether both readers make the same of it: an integer with single underscores between digits.
fn is_sure_with_underscores(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Why `kubectl` makes another key of a plain scalar: numbers become strings by their single precision.
fn other_key(text: &str) -> Option<String> {
    let digits = text.trim_start_matches(['+', '-']);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let number = text.parse::<f64>().ok().filter(|_| text.parse::<i64>().is_err())?;
    // Beyond, they are written with an exponent.
    let is_usual =
        number == 0.0 && number.is_sign_positive() || (1e-4..1e6).contains(&number.abs());
    let is_short = (number as f32).to_string() == number.to_string();
    (!(is_usual && is_short)).then(|| {
        format!("the key `{text}` is a number that is not written like this: it needs quotes")
    })
}

/// Why `kubectl` does not take the escapes of a text in double quotes: they are those of JSON.
fn other_escape(source: &str) -> Option<String> {
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            continue;
        }
        let rest = chars.as_str();
        let is_surrogate = rest.starts_with('u')
            && rest.get(1..3).is_some_and(|code| {
                matches!(code.as_bytes(), [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F'])
            });
        if rest.starts_with('/') || is_surrogate {
            return Some("an escape of JSON, which YAML does not have".to_owned());
        }
        chars.next();
    }
    None
}

/// Where the first character is that ends a line in YAML 1.1 only.
fn breaks(text: &str) -> Option<(u64, u64)> {
    if text.is_ascii() {
        return None;
    }
    let at = text.find(['\u{85}', '\u{2028}', '\u{2029}'])?;
    let before = text.get(..at)?;
    let line = before.matches('\n').count() as u64 + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
    Some((line, column))
}

/// The lines that begin with a tab among blanks, each with its column; what follows a dash counts as such.
fn tabs(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.split('\n').enumerate().filter_map(|(number, line)| {
        let blank = line.len() - line.trim_start_matches([' ', '\t', '-']).len();
        let before = line.get(..blank)?;
        let tab = before.find('\t')?;
        // Three dashes are a separator, and one that is not followed by a blank begins a word.
        let dashes = before.get(..tab)?.trim_start();
        let is_indent = dashes.split(' ').all(|word| word.is_empty() || word == "-");
        is_indent.then_some((number + 1, tab + 1))
    })
}

#[cfg(test)]
mod tests {
    use crate::policy::manifest::unlike::unlike;

    #[test]
    fn what_kubectl_reads_otherwise_is_refused_with_its_line() {
        let check = |text: &str, expect: Option<(u64, &str)>| {
            let found = unlike(text);
            let found = found.map(|found| (found.place.map_or(0, |(line, _)| line), found.message));
            match (&found, expect) {
                (None, None) => {}
                (Some((line, message)), Some((at, part)))
                    if *line == at && message.contains(part) => {}
                _ => panic!("{text:?}: {found:?}, not {expect:?}"),
            }
        };
        for text in [
            "a: yes\nb: Yes\nc: YES\nd: True\ne: TRUE\nf: ~\ng: NULL\nh: .Inf\n",
            "a: 'tRUE'\nb: \"OFf\"\nc: !!str OFf\n",
            "a: onOff\nb: Nonsense\n",
            "a: 1_000\nb: v1_2\nc: '1_0.5'\n",
            "8080: a\n1.5: b\n0.1: c\nx-1.5: d\n1e3: e\n-2: f\n",
            "a: &x {p: 1}\nb: {<<: *x, p: 2}\nc:\n  <<: *x\n  q: 1\n",
            "a: |\n  x\n  \ty\n\n\nb: \"x\n  \ty\"\n",
            "a: {b: c,\n\td: e}\n",
            "a:\tb\nc: d\t# e\n",
            "a: [1,\n\t2\n\t]\n",
        ] {
            check(text, None);
        }
        check("a: b\nc: tRUE\n", Some((2, "`tRUE` is a string")));
        check("- x\n- OFf\n", Some((2, "`OFf`")));
        check("nULL: x\n", Some((1, "`nULL`")));
        check("a: 1_0.5\n", Some((1, "the number 10.5")));
        check("a: 1__0\n", Some((1, "the number 10")));
        check("a: 1e400\n", Some((1, "too large")));
        check("a: 1\n0.30000000000000004: x\n", Some((2, "the key")));
        check("-0.0: x\n", Some((1, "the key")));
        check("18446744073709551615: x\n", Some((1, "the key")));
        check("a: {p: 1}\nb: {p: 2, <<: {p: 3}}\n", Some((2, "a merge key")));
        check("a:\n  \tb: c\n", Some((2, "a tab")));
        check("a: b\nc: \"x\\/y\"\n", Some((2, "an escape")));
        check("c: \"\\\\/\\uD83D\\uDE00\"\n", Some((1, "an escape")));
        check("a: b\nc: x\u{2028}y\n", Some((2, "ends a line")));
        check("a: b\n\t\nc: d\n", Some((2, "a tab")));
        check("a:\n-\tb\n", Some((2, "a tab")));
    }
}
