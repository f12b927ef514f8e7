//! Classes of characters: `[..]`, `\d`, `\pL`, and the escapes of single characters.

use std::fmt::Write;

use crate::cel::regexp::PatternError;
use crate::cel::regexp::groups;

/// A failure with the part of the pattern where it is.
pub(super) fn fail<'t, T>(what: &'static str, part: &'t str) -> Result<T, PatternError<'t>> {
    Err(PatternError { what, part })
}

/// What comes before `rest` in `text`, of which it is the end.
pub(super) fn before<'t>(text: &'t str, rest: &str) -> &'t str {
    text.len().checked_sub(rest.len()).and_then(|end| text.get(..end)).unwrap_or(text)
}

/// What follows a prefix of so many octets.
pub(super) fn after(text: &str, octets: usize) -> &str {
    text.get(octets..).unwrap_or("")
}

/// The first character, and what follows it.
pub(super) fn next(text: &str) -> Option<(char, &str)> {
    let mut chars = text.chars();
    chars.next().map(|c| (c, chars.as_str()))
}

/// A class `\d`, `\pL` or `\p{Greek}` in brackets, if one begins here, and what follows it.
pub(super) fn escape(text: &str) -> Result<Option<(String, &str)>, PatternError<'_>> {
    let Some((letter, rest)) = text.strip_prefix('\\').and_then(next) else { return Ok(None) };
    if let Some((ranges, negated)) = groups::perl(letter) {
        let not = if negated { "^" } else { "" };
        return Ok(Some((format!("[{not}{ranges}]"), rest)));
    }
    if !matches!(letter, 'p' | 'P') {
        return Ok(None);
    }
    let Some((first, one)) = next(rest) else {
        return fail("invalid character class range", text);
    };
    let (name, rest) = if first == '{' {
        match one.split_once('}') {
            Some(found) => found,
            None => return fail("invalid character class range", text),
        }
    } else {
        (before(rest, one), one)
    };
    let (name, inverse) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
    match groups::unicode(name) {
        Some(class) if (letter == 'P') != inverse => Ok(Some((format!("[^{class}]"), rest))),
        Some(class) => Ok(Some((class, rest))),
        None => fail("invalid character class range", before(text, rest)),
    }
}

/// The code point that an escape stands for, and what follows it.
pub(super) fn character(text: &str) -> Result<(u32, &str), PatternError<'_>> {
    let Some((letter, rest)) = next(after(text, 1)) else {
        return fail("trailing backslash at end of expression", "");
    };
    let simple = match letter {
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' => return hexadecimal(text, rest),
        '0' => return Ok(octal(rest, 0)),
        '1'..='7' if rest.starts_with(|c| matches!(c, '0'..='7')) => {
            return Ok(octal(rest, letter.to_digit(8).unwrap_or(0)));
        }
        mark if mark.is_ascii() && !mark.is_ascii_alphanumeric() => mark,
        _ => return fail("invalid escape sequence", before(text, rest)),
    };
    Ok((u32::from(simple), rest))
}

/// Up to two more octal digits.
fn octal(text: &str, first: u32) -> (u32, &str) {
    let (mut code, mut rest) = (first, text);
    for _ in 0..2 {
        let Some((digit, after)) = next(rest) else { break };
        let Some(digit) = digit.to_digit(8) else { break };
        code = code * 8 + digit;
        rest = after;
    }
    (code, rest)
}

/// `41` or `{1F600}` after `\x`.
fn hexadecimal<'t>(text: &'t str, rest: &'t str) -> Result<(u32, &'t str), PatternError<'t>> {
    let invalid = |rest| fail("invalid escape sequence", before(text, rest));
    let Some((first, mut rest)) = next(rest) else { return invalid(rest) };
    if first != '{' {
        let Some((second, rest)) = next(rest) else { return invalid(rest) };
        return match (first.to_digit(16), second.to_digit(16)) {
            (Some(high), Some(low)) => Ok((high * 16 + low, rest)),
            _ => invalid(rest),
        };
    }
    let mut code = None;
    loop {
        let Some((digit, after)) = next(rest) else { return invalid(rest) };
        rest = after;
        match (digit, digit.to_digit(16)) {
            ('}', _) => break,
            (_, Some(digit)) => code = Some(code.unwrap_or(0) * 16 + digit),
            _ => return invalid(rest),
        }
        if code > Some(0x0010_ffff) {
            return invalid(rest);
        }
    }
    code.map_or_else(|| invalid(rest), |code| Ok((code, rest)))
}

/// A range of code points, without those that no text has.
fn range(low: u32, high: u32, out: &mut String) {
    let mut push = |low: u32, high: u32| {
        if low <= high {
            let _ = write!(out, r"\x{{{low:X}}}-\x{{{high:X}}}");
        }
    };
    push(low, high.min(0xd7ff));
    push(low.max(0xe000), high);
}

/// Translates a class in brackets, and gives what follows it.
pub(super) fn brackets(text: &str) -> Result<(String, &str), PatternError<'_>> {
    let mut rest = after(text, 1);
    let mut items = String::new();
    let negated = rest.starts_with('^');
    if negated {
        rest = after(rest, 1);
    }
    let mut first = true;
    while first || !rest.starts_with(']') {
        first = false;
        if let Some(named) = rest.strip_prefix("[:").filter(|named| !named.is_empty())
            && let Some((name, after)) = named.split_once(":]")
        {
            let (plain, inverse) = name.strip_prefix('^').map_or((name, ""), |name| (name, "^"));
            let Some(ranges) = groups::posix(plain) else {
                return fail("invalid character class range", before(rest, after));
            };
            let _ = write!(items, "[{inverse}{ranges}]");
            rest = after;
            continue;
        }
        if let Some((class, after)) = escape(rest)? {
            items.push_str(&class);
            rest = after;
            continue;
        }
        let start = rest;
        let (low, mut end) = one(rest, text)?;
        let mut high = low;
        if let Some(upper) = end.strip_prefix('-').filter(|u| !u.is_empty() && !u.starts_with(']'))
        {
            (high, end) = one(upper, text)?;
        }
        if high < low {
            return fail("invalid character class range", before(start, end));
        }
        range(low, high, &mut items);
        rest = end;
    }
    let class = match (items.is_empty(), negated) {
        // Only code points that no text has.
        (true, false) => r"[^\x00-\x{10FFFF}]".to_owned(),
        (true, true) => r"[\x00-\x{10FFFF}]".to_owned(),
        (false, false) => format!("[{items}]"),
        (false, true) => format!("[^{items}]"),
    };
    Ok((class, after(rest, 1)))
}

/// A character of a class, written as it is or escaped.
fn one<'t>(text: &'t str, class: &'t str) -> Result<(u32, &'t str), PatternError<'t>> {
    if text.starts_with('\\') {
        return character(text);
    }
    match next(text) {
        Some((c, rest)) => Ok((u32::from(c), rest)),
        None => fail("missing closing ]", class),
    }
}
