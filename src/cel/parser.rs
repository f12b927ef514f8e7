//! Tokens to a syntax tree, by the grammar of the language: one function for each rule, the loosest
//! binding first. Macros are expanded as they are met. Nothing here knows names or types.

mod literal;
mod unexpected;

use crate::cel::ast::{Element, Entry, Expr, ExprId, ExprKind, Field};
use crate::cel::diagnostic::{Diagnostic, Span};
use crate::cel::lexer::{self, Token, TokenKind};
use crate::cel::macros;
use crate::cel::parser::unexpected::NAME;
use crate::cel::version::Version;

/// How many code points an expression may have: Kubernetes' own limit.
pub(crate) const CODE_POINTS_MAX: usize = 100_000;

/// How deep operations, selections and brackets may be nested: Kubernetes' own limit, which also
/// bounds the stack that checking and evaluating need.
pub(crate) const NESTING_MAX: usize = 250;

/// Names that the grammar keeps for itself; they may still be fields.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Whether the grammar keeps this name for itself.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// The tree of an expression and how many nodes it has, or what is wrong with it.
pub(crate) fn parse(source: &str, version: Version) -> Result<(Expr, ExprId), Diagnostic> {
    if source.len() > CODE_POINTS_MAX && source.chars().count() > CODE_POINTS_MAX {
        return Err(plain(
            Span::new(0, source.len()),
            format!(
                "expression code point size exceeds limit: size: {}, limit {CODE_POINTS_MAX}",
                source.chars().count()
            ),
        ));
    }
    let tokens = lexer::tokens(source)?;
    let mut parser = Parser { source, tokens, at: 0, version, heights: Vec::new(), depth: 0 };
    let expr = parser.expr()?;
    let rest = parser.peek();
    if rest.kind != TokenKind::End {
        let mut error = parser.too_much();
        if rest.kind == TokenKind::Question {
            error.hint = Some("a choice is written `condition ? this : that`".to_owned());
        }
        return Err(error);
    }
    Ok((expr, parser.heights.len() as ExprId))
}

pub(crate) struct Parser<'s> {
    source: &'s str,
    tokens: Vec<Token>,
    at: usize,
    pub(crate) version: Version,
    /// How deep operations nest below each node, by its id.
    heights: Vec<u16>,
    depth: usize,
}

type Parsed<T> = Result<T, Diagnostic>;

pub(crate) fn plain(span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic { span, at: span.start, message: message.into(), hint: None }
}

impl Parser<'_> {
    /// A node that is no operation: it nests no deeper than what it holds.
    pub(crate) fn node(&mut self, span: Span, at: u32, kind: ExprKind) -> Expr {
        let height = self.height(&kind);
        self.push(span, at, kind, height)
    }

    /// An operation: one level deeper than what it holds.
    fn operation(&mut self, span: Span, at: u32, kind: ExprKind) -> Parsed<Expr> {
        let height = self.height(&kind) + 1;
        if height as usize > NESTING_MAX {
            return Err(plain(Span::new(at as usize, at as usize + 1), too_deep()));
        }
        Ok(self.push(span, at, kind, height))
    }

    fn push(&mut self, span: Span, at: u32, kind: ExprKind, height: u16) -> Expr {
        let id = self.heights.len() as ExprId;
        self.heights.push(height);
        Expr { id, span, at, kind }
    }

    /// How deep operations nest in what is directly below a node.
    fn height(&self, kind: &ExprKind) -> u16 {
        let of = |expr: &Expr| self.heights.get(expr.id as usize).copied().unwrap_or(0);
        kind.children().into_iter().map(of).max().unwrap_or(0)
    }

    fn peek(&self) -> Token {
        self.ahead(0)
    }

    fn ahead(&self, count: usize) -> Token {
        let end =
            Token { kind: TokenKind::End, span: Span::new(self.source.len(), self.source.len()) };
        self.tokens.get(self.at + count).copied().unwrap_or(end)
    }

    fn take(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn take_if(&mut self, kind: TokenKind) -> Option<Token> {
        (self.peek().kind == kind).then(|| self.take())
    }

    fn expect(&mut self, kind: TokenKind, name: &str) -> Parsed<Token> {
        self.take_if(kind).ok_or_else(|| self.not_there(kind, name))
    }

    fn text(&self, token: Token) -> &str {
        self.source.get(token.span.start as usize..token.span.end as usize).unwrap_or("")
    }

    /// `or ? or : expr`
    fn expr(&mut self) -> Parsed<Expr> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(plain(self.peek().span, too_deep()));
        }
        let condition = self.or()?;
        let expr = match self.take_if(TokenKind::Question) {
            None => condition,
            Some(question) => {
                let truthy = self.or()?;
                self.expect(TokenKind::Colon, "':'")?;
                let falsy = self.expr()?;
                let span = condition.span.to(falsy.span);
                let args = vec![condition, truthy, falsy];
                let call = ExprKind::Call { target: None, function: "_?_:_".to_owned(), args };
                self.operation(span, question.span.start, call)?
            }
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn or(&mut self) -> Parsed<Expr> {
        self.chain(TokenKind::Or, Parser::and, ExprKind::Or)
    }

    fn and(&mut self) -> Parsed<Expr> {
        self.chain(TokenKind::And, Parser::relation, ExprKind::And)
    }

    fn chain(
        &mut self,
        operator: TokenKind,
        term: fn(&mut Self) -> Parsed<Expr>,
        make: fn(Vec<Expr>) -> ExprKind,
    ) -> Parsed<Expr> {
        let first = term(self)?;
        if self.peek().kind != operator {
            return Ok(first);
        }
        let (mut span, at) = (first.span, self.peek().span.start);
        let mut terms = vec![first];
        while self.take_if(operator).is_some() {
            let next = term(self)?;
            span = span.to(next.span);
            terms.push(next);
        }
        Ok(self.node(span, at, make(terms)))
    }

    fn relation(&mut self) -> Parsed<Expr> {
        self.left_associative(Parser::sum, |kind| {
            Some(match kind {
                TokenKind::Less => "_<_",
                TokenKind::LessEqual => "_<=_",
                TokenKind::Greater => "_>_",
                TokenKind::GreaterEqual => "_>=_",
                TokenKind::Equal => "_==_",
                TokenKind::NotEqual => "_!=_",
                TokenKind::In => "@in",
                _ => return None,
            })
        })
    }

    fn sum(&mut self) -> Parsed<Expr> {
        self.left_associative(Parser::product, |kind| match kind {
            TokenKind::Plus => Some("_+_"),
            TokenKind::Minus => Some("_-_"),
            _ => None,
        })
    }

    fn product(&mut self) -> Parsed<Expr> {
        self.left_associative(Parser::unary, |kind| match kind {
            TokenKind::Star => Some("_*_"),
            TokenKind::Slash => Some("_/_"),
            TokenKind::Percent => Some("_%_"),
            _ => None,
        })
    }

    fn left_associative(
        &mut self,
        operand: fn(&mut Self) -> Parsed<Expr>,
        function: fn(TokenKind) -> Option<&'static str>,
    ) -> Parsed<Expr> {
        let mut left = operand(self)?;
        while let Some(function) = function(self.peek().kind) {
            let operator = self.take();
            let right = operand(self)?;
            let span = left.span.to(right.span);
            let args = vec![left, right];
            let call = ExprKind::Call { target: None, function: function.to_owned(), args };
            left = self.operation(span, operator.span.start, call)?;
        }
        Ok(left)
    }

    /// `!`s or `-`s before a member; two of them undo each other, and a `-` before a number is
    /// part of the number.
    fn unary(&mut self) -> Parsed<Expr> {
        let first = self.peek();
        let function = match first.kind {
            TokenKind::Not => "!_",
            TokenKind::Minus => "-_",
            _ => return self.member(),
        };
        let mut count = 0;
        while self.peek().kind == first.kind {
            let number = matches!(self.ahead(1).kind, TokenKind::Int | TokenKind::Float);
            if first.kind == TokenKind::Minus && count == 0 && number {
                return self.member();
            }
            self.take();
            count += 1;
        }
        let operand = self.member()?;
        if count % 2 == 0 {
            return Ok(operand);
        }
        let span = first.span.to(operand.span);
        let args = vec![operand];
        let call = ExprKind::Call { target: None, function: function.to_owned(), args };
        Ok(self.node(span, first.span.start, call))
    }

    fn member(&mut self) -> Parsed<Expr> {
        let mut operand = self.primary()?;
        loop {
            match self.peek().kind {
                TokenKind::Dot => operand = self.selection(operand)?,
                TokenKind::LeftBracket => operand = self.index(operand)?,
                _ => return Ok(operand),
            }
        }
    }

    /// `.field`, `.?field` or `.function(args)`
    fn selection(&mut self, operand: Expr) -> Parsed<Expr> {
        let dot = self.take();
        let optional = self.optional_mark(".?")?;
        let name = self.take();
        let field = match name.kind {
            TokenKind::Ident => self.text(name).to_owned(),
            TokenKind::QuotedIdent => self.text(name).trim_matches('`').to_owned(),
            _ if optional => return Err(self.unexpected("mismatched", name, NAME)),
            _ => return Err(self.no_field(name)),
        };
        if optional {
            let kind = ExprKind::OptSelect { operand: Box::new(operand), field };
            let span = operand_span(&kind).to(name.span);
            return self.operation(span, dot.span.start, kind);
        }
        let Some(open) = self.take_if(TokenKind::LeftParen) else {
            let span = operand.span.to(name.span);
            let kind = ExprKind::Select { operand: Box::new(operand), field, test: false };
            return self.operation(span, dot.span.start, kind);
        };
        let (args, end) = self.arguments()?;
        let span = operand.span.to(end);
        let call = macros::Call { span, at: open.span.start, function: field, args };
        match macros::expand_member(self, operand, call)? {
            macros::Expanded::Macro(expr) => Ok(expr),
            macros::Expanded::Not(target, macros::Call { span, at, function, args }) => {
                let target = target.map(Box::new);
                self.operation(span, at, ExprKind::Call { target, function, args })
            }
        }
    }

    /// `[index]` or `[?index]`
    fn index(&mut self, operand: Expr) -> Parsed<Expr> {
        let open = self.take();
        let function = if self.optional_mark("[?")? { "_[?_]" } else { "_[_]" };
        let index = self.expr()?;
        let close = self.expect(TokenKind::RightBracket, "']'")?;
        let span = operand.span.to(close.span);
        let args = vec![operand, index];
        let call = ExprKind::Call { target: None, function: function.to_owned(), args };
        self.operation(span, open.span.start, call)
    }

    fn optional_mark(&mut self, syntax: &str) -> Parsed<bool> {
        match self.take_if(TokenKind::Question) {
            None => Ok(false),
            Some(_) if self.version >= Version::v1(28) => Ok(true),
            Some(mark) => Err(plain(mark.span, format!("unsupported syntax '{syntax}'"))),
        }
    }

    fn arguments(&mut self) -> Parsed<(Vec<Expr>, Span)> {
        let mut args = Vec::new();
        if let Some(close) = self.take_if(TokenKind::RightParen) {
            return Ok((args, close.span));
        }
        if self.peek().kind == TokenKind::End {
            return Err(self.no_argument());
        }
        loop {
            args.push(self.expr()?);
            if self.take_if(TokenKind::Comma).is_none() {
                let close = self.expect(TokenKind::RightParen, "')'")?;
                return Ok((args, close.span));
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let token = self.peek();
        match token.kind {
            TokenKind::Dot | TokenKind::Ident => self.name(),
            TokenKind::LeftParen => {
                self.take();
                let mut inner = self.expr()?;
                let close = self.expect(TokenKind::RightParen, "')'")?;
                inner.span = token.span.to(close.span);
                Ok(inner)
            }
            TokenKind::LeftBracket => self.list(),
            TokenKind::LeftBrace => self.map(),
            _ => self.literal(),
        }
    }

    /// A name, a call of a global function, or the making of a struct.
    fn name(&mut self) -> Parsed<Expr> {
        let start = self.peek();
        let dot = self.take_if(TokenKind::Dot).is_some();
        if self.struct_follows() {
            return self.make_struct(start, dot);
        }
        let name = self.expect(TokenKind::Ident, "IDENTIFIER")?;
        let text = self.text(name).to_owned();
        if is_reserved(&text) {
            return Err(plain(name.span, format!("reserved identifier: {text}")));
        }
        let text = if dot { format!(".{text}") } else { text };
        let Some(open) = self.take_if(TokenKind::LeftParen) else {
            return Ok(self.node(start.span.to(name.span), name.span.start, ExprKind::Ident(text)));
        };
        let (args, end) = self.arguments()?;
        let call =
            macros::Call { span: start.span.to(end), at: open.span.start, function: text, args };
        match macros::expand_global(self, call)? {
            macros::Expanded::Macro(expr) => Ok(expr),
            macros::Expanded::Not(_, macros::Call { span, at, function, args }) => {
                Ok(self.node(span, at, ExprKind::Call { target: None, function, args }))
            }
        }
    }

    /// Whether names joined by dots and then `{` come next.
    fn struct_follows(&self) -> bool {
        let mut ahead = 0;
        while self.ahead(ahead).kind == TokenKind::Ident {
            match self.ahead(ahead + 1).kind {
                TokenKind::LeftBrace => return true,
                TokenKind::Dot => ahead += 2,
                _ => return false,
            }
        }
        false
    }

    fn make_struct(&mut self, start: Token, dot: bool) -> Parsed<Expr> {
        let mut name = if dot { ".".to_owned() } else { String::new() };
        let open = loop {
            let token = self.take();
            match token.kind {
                TokenKind::LeftBrace => break token,
                _ => name.push_str(self.text(token)),
            }
        };
        let mut fields = Vec::new();
        let close = loop {
            if let Some(close) = self.end_of_items(TokenKind::RightBrace, fields.is_empty())? {
                break close;
            }
            let optional = self.optional_mark("?")?;
            let field = self.take();
            if !matches!(field.kind, TokenKind::Ident | TokenKind::QuotedIdent) {
                return Err(self.unexpected("mismatched", field, "IDENTIFIER"));
            }
            let colon = self.expect(TokenKind::Colon, "':'")?;
            let value = self.expr()?;
            let name = self.text(field).trim_matches('`').to_owned();
            fields.push(Field { name, at: colon.span.start, value, optional });
        };
        let span = start.span.to(close.span);
        Ok(self.node(span, open.span.start, ExprKind::Struct { name, fields }))
    }

    fn list(&mut self) -> Parsed<Expr> {
        let open = self.take();
        let mut elements = Vec::new();
        let close = loop {
            if let Some(close) = self.end_of_items(TokenKind::RightBracket, elements.is_empty())? {
                break close;
            }
            let optional = self.optional_mark("?")?;
            elements.push(Element { value: self.expr()?, optional });
        };
        Ok(self.node(open.span.to(close.span), open.span.start, ExprKind::List(elements)))
    }

    fn map(&mut self) -> Parsed<Expr> {
        let open = self.take();
        let mut entries = Vec::new();
        let close = loop {
            if let Some(close) = self.end_of_items(TokenKind::RightBrace, entries.is_empty())? {
                break close;
            }
            let optional = self.optional_mark("?")?;
            let key = self.expr()?;
            self.expect(TokenKind::Colon, "':'")?;
            let value = self.expr()?;
            entries.push(Entry { key, value, optional });
        };
        Ok(self.node(open.span.to(close.span), open.span.start, ExprKind::Map(entries)))
    }

    /// The closing bracket if it is next, after the comma that items are separated or ended by.
    fn end_of_items(&mut self, close: TokenKind, first: bool) -> Parsed<Option<Token>> {
        let comma = self.take_if(TokenKind::Comma);
        if let Some(token) = self.take_if(close) {
            return Ok(Some(token));
        }
        match self.no_item(close, first, comma) {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }
}

fn operand_span(kind: &ExprKind) -> Span {
    match kind {
        ExprKind::OptSelect { operand, .. } | ExprKind::Select { operand, .. } => operand.span,
        _ => Span::default(),
    }
}

fn too_deep() -> String {
    format!("max recursion depth exceeded: more than {NESTING_MAX} levels")
}

#[cfg(test)]
mod tests;
