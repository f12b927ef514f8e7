//! Text to tokens, by the lexical rules of the language. Nothing here knows which tokens may follow
//! which.

use crate::cel::diagnostic::{Diagnostic, Span};

/// A token and where it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token {
    pub kind: TokenKind,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Ident,
    /// A name in backquotes.
    QuotedIdent,
    Int,
    Uint,
    Float,
    String,
    Bytes,
    True,
    False,
    Null,
    In,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    LeftBracket,
    RightBracket,
    LeftBrace,
    RightBrace,
    LeftParen,
    RightParen,
    Dot,
    Comma,
    Minus,
    Not,
    Question,
    Colon,
    Plus,
    Star,
    Slash,
    Percent,
    End,
}

/// All tokens of the source, the last one [`TokenKind::End`], or the first text that is none.
pub(crate) fn tokens(source: &str) -> Result<Vec<Token>, Diagnostic> {
    let mut lexer = Lexer { source, at: 0 };
    let mut tokens = Vec::with_capacity(source.len() / 4 + 1);
    loop {
        let token = lexer.next()?;
        tokens.push(token);
        if token.kind == TokenKind::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Token, Diagnostic> {
        self.skip_blank();
        let start = self.at;
        let Some(first) = self.peek(0) else {
            return Ok(self.token(TokenKind::End, start));
        };
        let kind = match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => match self.string_prefix() {
                Some((prefix, raw, bytes)) => return self.string(start, prefix, raw, bytes),
                None => self.word(),
            },
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_some_and(|next| next.is_ascii_digit()) => self.number(),
            b'"' | b'\'' => return self.string(start, 0, false, false),
            b'`' => return self.quoted_ident(start),
            _ => self.operator().ok_or_else(|| self.unknown(start))?,
        };
        Ok(self.token(kind, start))
    }

    fn token(&self, kind: TokenKind, start: usize) -> Token {
        Token { kind, span: Span::new(start, self.at) }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.as_bytes().get(self.at + ahead).copied()
    }

    fn skip_while(&mut self, accepts: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&accepts) {
            self.at += 1;
        }
    }

    fn skip_blank(&mut self) {
        loop {
            self.skip_while(|c| matches!(c, b' ' | b'\t' | b'\r' | b'\n' | b'\x0c'));
            if self.peek(0) == Some(b'/') && self.peek(1) == Some(b'/') {
                self.skip_while(|c| c != b'\n');
            } else {
                return;
            }
        }
    }

    fn word(&mut self) -> TokenKind {
        let start = self.at;
        self.skip_while(|c| c.is_ascii_alphanumeric() || c == b'_');
        match self.source.get(start..self.at) {
            Some("true") => TokenKind::True,
            Some("false") => TokenKind::False,
            Some("null") => TokenKind::Null,
            Some("in") => TokenKind::In,
            _ => TokenKind::Ident,
        }
    }

    fn number(&mut self) -> TokenKind {
        let mut kind = TokenKind::Int;
        let hex = self.peek(0) == Some(b'0')
            && self.peek(1) == Some(b'x')
            && self.peek(2).is_some_and(|digit| digit.is_ascii_hexdigit());
        if hex {
            self.at += 2;
            self.skip_while(|c| c.is_ascii_hexdigit());
        } else {
            self.skip_while(|c| c.is_ascii_digit());
            if self.peek(0) == Some(b'.') && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
                kind = TokenKind::Float;
                self.at += 1;
                self.skip_while(|c| c.is_ascii_digit());
            }
            if let Some(length) = self.exponent() {
                kind = TokenKind::Float;
                self.at += length;
            }
        }
        if kind == TokenKind::Int && matches!(self.peek(0), Some(b'u' | b'U')) {
            self.at += 1;
            return TokenKind::Uint;
        }
        kind
    }

    /// The length of the exponent that begins here.
    fn exponent(&self) -> Option<usize> {
        matches!(self.peek(0), Some(b'e' | b'E')).then_some(())?;
        let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
        let digits =
            (0..).take_while(|i| self.peek(1 + sign + i).is_some_and(|c| c.is_ascii_digit()));
        match digits.count() {
            0 => None,
            digits => Some(1 + sign + digits),
        }
    }

    /// The length of a prefix (`r`, `b`, `br`) that a quote follows, and what it says: raw, bytes.
    fn string_prefix(&self) -> Option<(usize, bool, bool)> {
        let quote = |at: usize| matches!(self.peek(at), Some(b'"' | b'\''));
        match (self.peek(0)?, self.peek(1)?) {
            (b'r' | b'R', _) if quote(1) => Some((1, true, false)),
            (b'b' | b'B', _) if quote(1) => Some((1, false, true)),
            (b'b' | b'B', b'r' | b'R') if quote(2) => Some((2, true, true)),
            _ => None,
        }
    }

    fn string(
        &mut self,
        start: usize,
        prefix: usize,
        raw: bool,
        bytes: bool,
    ) -> Result<Token, Diagnostic> {
        self.at += prefix;
        let quote = self.peek(0).unwrap_or(b'"');
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        self.at += if triple { 3 } else { 1 };
        loop {
            match self.peek(0) {
                None => break,
                Some(c) if c == quote && !triple => {
                    self.at += 1;
                    return Ok(self.string_token(start, bytes));
                }
                Some(c)
                    if c == quote && self.peek(1) == Some(quote) && self.peek(2) == Some(quote) =>
                {
                    self.at += 3;
                    return Ok(self.string_token(start, bytes));
                }
                Some(b'\n' | b'\r') if !triple => break,
                Some(b'\\') if !raw => self.at += if self.peek(1).is_some() { 2 } else { 1 },
                Some(_) => self.at += 1,
            }
        }
        let mut error = self.unknown(start);
        error.hint = Some("a string ends with the quote it began with".to_owned());
        Err(error)
    }

    fn string_token(&self, start: usize, bytes: bool) -> Token {
        self.token(if bytes { TokenKind::Bytes } else { TokenKind::String }, start)
    }

    fn quoted_ident(&mut self, start: usize) -> Result<Token, Diagnostic> {
        self.at += 1;
        self.skip_while(|c| c.is_ascii_alphanumeric() || b"_.-/ ".contains(&c));
        if self.peek(0) == Some(b'`') && self.at > start + 1 {
            self.at += 1;
            return Ok(self.token(TokenKind::QuotedIdent, start));
        }
        Err(self.unknown(start))
    }

    fn operator(&mut self) -> Option<TokenKind> {
        use TokenKind as T;
        let (kind, length) = match (self.peek(0)?, self.peek(1)) {
            (b'=', Some(b'=')) => (T::Equal, 2),
            (b'!', Some(b'=')) => (T::NotEqual, 2),
            (b'<', Some(b'=')) => (T::LessEqual, 2),
            (b'>', Some(b'=')) => (T::GreaterEqual, 2),
            (b'&', Some(b'&')) => (T::And, 2),
            (b'|', Some(b'|')) => (T::Or, 2),
            (b'<', _) => (T::Less, 1),
            (b'>', _) => (T::Greater, 1),
            (b'[', _) => (T::LeftBracket, 1),
            (b']', _) => (T::RightBracket, 1),
            (b'{', _) => (T::LeftBrace, 1),
            (b'}', _) => (T::RightBrace, 1),
            (b'(', _) => (T::LeftParen, 1),
            (b')', _) => (T::RightParen, 1),
            (b'.', _) => (T::Dot, 1),
            (b',', _) => (T::Comma, 1),
            (b'-', _) => (T::Minus, 1),
            (b'!', _) => (T::Not, 1),
            (b'?', _) => (T::Question, 1),
            (b':', _) => (T::Colon, 1),
            (b'+', _) => (T::Plus, 1),
            (b'*', _) => (T::Star, 1),
            (b'/', _) => (T::Slash, 1),
            (b'%', _) => (T::Percent, 1),
            _ => return None,
        };
        self.at += length;
        Some(kind)
    }

    fn unknown(&self, start: usize) -> Diagnostic {
        let rest = self.source.get(start..).unwrap_or("");
        let length = rest.chars().next().map_or(0, char::len_utf8).max(self.at - start);
        let text = self.source.get(start..start + length).unwrap_or("");
        let hint = match text {
            "=" => Some("equality is written `==`".to_owned()),
            "&" => Some("the logical and is written `&&`".to_owned()),
            "|" => Some("the logical or is written `||`".to_owned()),
            _ => None,
        };
        Diagnostic {
            span: Span::new(start, start + length),
            at: start as u32,
            message: format!("Syntax error: token recognition error at: '{text}'"),
            hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expect: &str) {
        let seen = match tokens(source) {
            Ok(tokens) => tokens
                .iter()
                .map(|token| {
                    let text = &source[token.span.start as usize..token.span.end as usize];
                    format!("{:?}:{text}", token.kind)
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.message,
        };
        assert_eq!(seen, expect, "{source}");
    }

    #[test]
    fn text_becomes_tokens() {
        for (source, expect) in [
            ("a.b", "Ident:a Dot:. Ident:b End:"),
            (
                "1.5e3 .5 1u 0x1F 0xFu 1e",
                "Float:1.5e3 Float:.5 Uint:1u Int:0x1F Uint:0xFu Int:1 Ident:e End:",
            ),
            ("x // tail\n+1", "Ident:x Plus:+ Int:1 End:"),
            (r#"r"\" b'x' br"""a"b""""#, r#"String:r"\" Bytes:b'x' Bytes:br"""a"b""" End:"#),
            (r"'it\'s'", r"String:'it\'s' End:"),
            ("a in `b c`", "Ident:a In:in QuotedIdent:`b c` End:"),
            ("'''a\nb'''", "String:'''a\nb''' End:"),
            ("a = b", "Syntax error: token recognition error at: '='"),
            ("'open", "Syntax error: token recognition error at: ''open'"),
            ("# é", "Syntax error: token recognition error at: '#'"),
            ("é", "Syntax error: token recognition error at: 'é'"),
        ] {
            check(source, expect);
        }
    }
}
