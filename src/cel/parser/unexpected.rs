//! What is said of a token that can't stand where it stands: the words are those of the parser that Kubernetes uses, for
//! the first thing that is wrong.

use crate::cel::diagnostic::Diagnostic;
use crate::cel::lexer::{Token, TokenKind};
use crate::cel::parser::{Parser, plain};

/// What an operand begins with.
pub(in crate::cel::parser) const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, \
     NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// What may follow the dot and the question mark of an optional field.
pub(in crate::cel::parser) const NAME: &str = "{IDENTIFIER, ESC_IDENTIFIER}";

/// What may follow the parenthesis of a call.
const ARGUMENT: &str = "{'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, \
     STRING, BYTES, IDENTIFIER}";

/// What may follow the bracket of a list.
const ITEM: &str = "{'[', ']', '{', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, \
     NUM_UINT, STRING, BYTES, IDENTIFIER}";

impl Parser<'_> {
    pub(in crate::cel::parser) fn unexpected(
        &self,
        how: &str,
        token: Token,
        expected: &str,
    ) -> Diagnostic {
        let text = if token.kind == TokenKind::End { "<EOF>" } else { self.text(token) };
        plain(token.span, format!("Syntax error: {how} input '{text}' expecting {expected}"))
    }

    /// The next token is not the one that must stand here. At the end only a closing bracket can be thought of there.
    pub(in crate::cel::parser) fn not_there(&self, kind: TokenKind, name: &str) -> Diagnostic {
        let token = self.peek();
        if token.kind == TokenKind::End && closes(kind) {
            return plain(token.span, format!("Syntax error: missing {name} at '<EOF>'"));
        }
        self.unexpected("mismatched", token, name)
    }

    /// The next token begins no operand. It is too much if one begins behind it.
    pub(in crate::cel::parser) fn no_operand(&self, token: Token, behind: Token) -> Diagnostic {
        let how = if begins_operand(behind.kind) { "extraneous" } else { "mismatched" };
        self.unexpected(how, token, OPERAND)
    }

    /// The next token neither closes a call nor begins an argument.
    pub(in crate::cel::parser) fn no_argument(&self) -> Diagnostic {
        self.unexpected("mismatched", self.peek(), ARGUMENT)
    }

    /// The next token follows a whole expression.
    pub(in crate::cel::parser) fn too_much(&self) -> Diagnostic {
        let is_last = self.ahead(1).kind == TokenKind::End;
        let how = if is_last { "extraneous" } else { "mismatched" };
        self.unexpected(how, self.peek(), "<EOF>")
    }

    /// The token after a dot is no name.
    pub(in crate::cel::parser) fn no_field(&self, token: Token) -> Diagnostic {
        let text = self.text(token);
        plain(token.span, format!("Syntax error: no viable alternative at input '.{text}'"))
    }

    /// The next token neither ends a list, a map or a struct nor goes on with it, if it can't: behind a comma or at the
    /// beginning the items themselves say.
    pub(in crate::cel::parser) fn no_item(
        &self,
        close: TokenKind,
        first: bool,
        comma: Option<Token>,
    ) -> Option<Diagnostic> {
        let is_list = close == TokenKind::RightBracket;
        let name = if is_list { "']'" } else { "'}'" };
        let next = self.peek();
        match (first, comma) {
            (true, Some(comma)) => Some(self.no_operand(comma, next)),
            (true, None) if next.kind == TokenKind::End && is_list => {
                Some(self.unexpected("mismatched", next, ITEM))
            }
            (true, None) => None,
            (false, Some(_)) => {
                let goes_on =
                    !(closes(next.kind) || matches!(next.kind, TokenKind::End | TokenKind::Comma));
                (!goes_on).then(|| self.not_there(close, name))
            }
            (false, None) => {
                let behind = self.ahead(1).kind;
                let goes_on = behind == close || behind == TokenKind::Comma;
                let how = if goes_on { "extraneous" } else { "mismatched" };
                Some(self.unexpected(how, next, &format!("{{{name}, ','}}")))
            }
        }
    }
}

fn closes(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::RightParen | TokenKind::RightBracket | TokenKind::RightBrace)
}

fn begins_operand(kind: TokenKind) -> bool {
    use TokenKind as T;
    matches!(
        kind,
        T::Ident
            | T::Int
            | T::Uint
            | T::Float
            | T::String
            | T::Bytes
            | T::True
            | T::False
            | T::Null
            | T::LeftBracket
            | T::LeftBrace
            | T::LeftParen
            | T::Dot
            | T::Minus
            | T::Not
    )
}
