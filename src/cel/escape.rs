//! What a quoted literal stands for: quotes taken off, escapes resolved.

/// The text of a string literal, quotes and prefix included in `literal`.
pub(crate) fn string(literal: &str) -> Result<String, &'static str> {
    let (body, raw) = body(literal);
    let body = normal_newlines(body);
    if raw || !body.contains('\\') {
        return Ok(body);
    }
    let mut out = String::with_capacity(body.len());
    escapes(&body, |piece| {
        match piece {
            Piece::Char(c) => out.push(c),
            Piece::Octet(octet) => out.push(char::from(octet)),
            Piece::Unicode(code) => out.push(char::from_u32(code).ok_or(INVALID_UNICODE)?),
        }
        Ok(())
    })?;
    Ok(out)
}

/// The octets of a bytes literal, quotes and prefix included in `literal`.
pub(crate) fn bytes(literal: &str) -> Result<Vec<u8>, &'static str> {
    let (body, raw) = body(literal);
    let body = normal_newlines(body);
    if raw || !body.contains('\\') {
        return Ok(body.into_bytes());
    }
    let mut out = Vec::with_capacity(body.len());
    escapes(&body, |piece| {
        match piece {
            Piece::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Piece::Octet(octet) => out.push(octet),
            Piece::Unicode(_) => return Err(INVALID),
        }
        Ok(())
    })?;
    Ok(out)
}

const INVALID: &str = "unable to unescape string";
const INVALID_UNICODE: &str = "invalid unicode code point";

enum Piece {
    Char(char),
    /// `\x41`, `\101`: an octet of bytes, and a code point of a string.
    Octet(u8),
    /// `\u0041`, `\U00000041`.
    Unicode(u32),
}

/// The text between the quotes, and whether it is raw.
fn body(literal: &str) -> (&str, bool) {
    let quote_at = literal.find(['"', '\'']).unwrap_or(0);
    let (prefix, quoted) = literal.split_at(quote_at);
    let quotes = if quoted.len() >= 6 && (quoted.starts_with("\"\"\"") || quoted.starts_with("'''"))
    {
        3
    } else {
        1
    };
    let body = quoted.get(quotes..quoted.len().saturating_sub(quotes)).unwrap_or("");
    (body, prefix.contains(['r', 'R']))
}

fn normal_newlines(text: &str) -> String {
    if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text.to_owned()
    }
}

fn escapes(
    body: &str,
    mut push: impl FnMut(Piece) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let mut rest = body;
    while let Some(first) = rest.chars().next() {
        rest = rest.get(first.len_utf8()..).unwrap_or("");
        if first != '\\' {
            push(Piece::Char(first))?;
            continue;
        }
        let escape = rest.chars().next().ok_or(INVALID)?;
        rest = rest.get(escape.len_utf8()..).unwrap_or("");
        let digits = match escape {
            'x' | 'X' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='3' => (2, 8),
            _ => {
                push(Piece::Char(simple(escape).ok_or(INVALID)?))?;
                continue;
            }
        };
        let text = rest.get(..digits.0).ok_or(INVALID)?;
        let sign_free = text.bytes().all(|c| c.is_ascii_hexdigit());
        let code = u32::from_str_radix(text, digits.1).ok().filter(|_| sign_free).ok_or(INVALID)?;
        rest = rest.get(digits.0..).unwrap_or("");
        push(match escape {
            'u' | 'U' => Piece::Unicode(code),
            'x' | 'X' => Piece::Octet(code as u8),
            lead => Piece::Octet((lead.to_digit(8).unwrap_or(0) * 64 + code) as u8),
        })?;
    }
    Ok(())
}

fn simple(escape: char) -> Option<char> {
    Some(match escape {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' | '\'' | '"' | '`' | '?' => escape,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_stand_for_their_text() {
        for (literal, expect) in [
            (r#""a\nb""#, Ok("a\nb")),
            (r"'\x41\101\u00e9\U0001F600'", Ok("AA\u{e9}\u{1F600}")),
            (r"r'a\nb'", Ok(r"a\nb")),
            (r"'''it's'''", Ok("it's")),
            (r"'\ud800'", Err(INVALID_UNICODE)),
            (r"'\q'", Err(INVALID)),
            (r"'\x4'", Err(INVALID)),
        ] {
            assert_eq!(string(literal).as_deref(), expect.as_ref().map(|s| *s), "{literal}");
        }
        assert_eq!(bytes(r"b'\xffé\377'"), Ok(vec![0xff, 0xc3, 0xa9, 0xff]));
        assert_eq!(bytes(r"b'\u00ff'"), Err(INVALID));
    }
}
