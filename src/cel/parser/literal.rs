//! Literals: numbers with their sign, texts and octets with their escapes.

use crate::cel::ast::{Expr, ExprKind, Literal};
use crate::cel::escape;
use crate::cel::lexer::TokenKind;
use crate::cel::parser::unexpected::OPERAND;
use crate::cel::parser::{Parsed, Parser, plain};

impl Parser<'_> {
    pub(super) fn literal(&mut self) -> Parsed<Expr> {
        let start = self.take();
        let token = if start.kind == TokenKind::Minus { self.take() } else { start };
        let negative = start.kind == TokenKind::Minus;
        let span = start.span.to(token.span);
        let text = self.text(token);
        let literal = match token.kind {
            TokenKind::Int => int(text, negative).ok_or("invalid int literal"),
            TokenKind::Float => double(text, negative).ok_or("invalid double literal"),
            _ if negative => return Err(self.unexpected("mismatched", token, OPERAND)),
            TokenKind::Uint => uint(text).ok_or("invalid uint literal"),
            TokenKind::String => escape::string(text).map(Literal::String),
            TokenKind::Bytes => escape::bytes(text.get(1..).unwrap_or("")).map(Literal::Bytes),
            TokenKind::True => Ok(Literal::Bool(true)),
            TokenKind::False => Ok(Literal::Bool(false)),
            TokenKind::Null => Ok(Literal::Null),
            _ => return Err(self.no_operand(token, self.peek())),
        };
        match literal {
            Ok(literal) => Ok(self.node(span, span.start, ExprKind::Literal(literal))),
            Err(message) => Err(plain(span, message)),
        }
    }
}

fn int(text: &str, negative: bool) -> Option<Literal> {
    let (digits, radix) = radix(text);
    let digits = if negative { format!("-{digits}") } else { digits.to_owned() };
    i64::from_str_radix(&digits, radix).ok().map(Literal::Int)
}

fn uint(text: &str) -> Option<Literal> {
    let (digits, radix) = radix(text.get(..text.len().checked_sub(1)?)?);
    u64::from_str_radix(digits, radix).ok().map(Literal::Uint)
}

fn radix(text: &str) -> (&str, u32) {
    text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16))
}

fn double(text: &str, negative: bool) -> Option<Literal> {
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    Some(Literal::Double(if negative { -value } else { value }))
}
