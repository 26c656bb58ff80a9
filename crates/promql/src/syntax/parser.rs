//! A Pratt parser: one pass, linear in the length of the query, bounded in depth.

use model::{Labels, Matcher};

use crate::ast::{Aggregate, AggregateOp, Call, Expr, Number, Paren, Span, StringLiteral, Unary};
use crate::error::ParseError;
use crate::syntax::check;
use crate::syntax::lexer::Lexer;
use crate::syntax::literal;
use crate::syntax::signature::function;
use crate::syntax::token::{Keyword, Token, TokenKind};
use crate::text::quote::quote;

/// The longest query that is parsed, in bytes.
pub const MAX_LENGTH_BYTES: usize = 1 << 20;
/// How deep expressions may nest: parentheses, calls, unary operators.
const MAX_NESTING: usize = 128;
/// How deep the tree may become; chains of operators make it deeper than nesting does.
pub const MAX_DEPTH: usize = 1_000;

/// What a query may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParseOptions {
    /// Experimental functions and aggregations.
    pub experimental_functions: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
}

impl ParseOptions {
    /// Everything.
    pub const ALL: Self =
        Self { experimental_functions: true, extended_range_selectors: true, fill_modifiers: true };
}

/// Parses a query and checks its types.
pub fn parse(query: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(query, *options)?;
    if matches!(parser.current.kind, TokenKind::Eof) {
        return Err(parser.error(Span::default(), "no expression found in input"));
    }
    let (mut expr, _) = parser.expression(0)?;
    parser.expect_end()?;
    check::check(query, &mut expr)?;
    Ok(expr)
}

/// Parses a series selector, as `match[]` parameters have it: `name`, `{a="b"}` or `name{a="b"}`. Unlike in a query, it
/// may match everything.
pub fn parse_series_selector(selector: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(selector, ParseOptions::default())?;
    let selector = parser.series_selector()?;
    parser.expect_end()?;
    Ok(selector.matchers)
}

/// Parses the series at the start of `text` (`name{a="b"}`, `{"name", a="b"}`, `name`) and returns it with its length.
/// Braces must follow the name directly.
pub fn parse_metric_prefix(text: &str) -> Result<(Labels, usize), ParseError> {
    let mut parser = Parser::new(text, ParseOptions::default())?;
    parser.metric()
}

pub(super) struct Parser<'a> {
    pub(super) query: &'a str,
    lexer: Lexer<'a>,
    pub(super) current: Token,
    pub(super) next: Token,
    /// The end of the last token taken.
    pub(super) last_end: usize,
    nesting: usize,
    pub(super) options: ParseOptions,
    /// What a duration that is being read is part of, and what could have stood there instead.
    pub(super) duration_context: (&'static str, &'static str),
}

/// An expression and the depth of its tree.
pub(super) type Parsed = (Expr, usize);

impl<'a> Parser<'a> {
    fn new(query: &'a str, options: ParseOptions) -> Result<Self, ParseError> {
        if query.len() > MAX_LENGTH_BYTES {
            return Err(ParseError::new(
                "",
                Span::default(),
                format!("query of {} bytes is too long, at most {MAX_LENGTH_BYTES} are allowed", query.len()),
            ));
        }
        let mut lexer = Lexer::new(query);
        let current = lexer.next_token();
        let next = lexer.next_token();
        let duration_context = ("", "");
        Ok(Self { query, lexer, current, next, last_end: 0, nesting: 0, options, duration_context })
    }

    pub(super) fn text(&self, span: Span) -> &'a str {
        &self.query[span.start..span.end]
    }

    pub(super) fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.query, span, message.into())
    }

    /// The error for the current token where `expected` should be, in `context`; both may be empty.
    pub(super) fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let token = &self.current;
        let mut message = token.describe(self.text(token.span));
        if !matches!(token.kind, TokenKind::Error(_)) {
            message.insert_str(0, "unexpected ");
            if !context.is_empty() {
                message.push_str(&format!(" in {context}"));
            }
            if !expected.is_empty() {
                message.push_str(&format!(", expected {expected}"));
            }
        }
        self.error(token.span, message)
    }

    /// Takes the current token.
    pub(super) fn advance(&mut self) -> Token {
        let next = self.lexer.next_token();
        let token = std::mem::replace(&mut self.current, std::mem::replace(&mut self.next, next));
        self.last_end = token.span.end;
        token
    }

    pub(super) fn at(&self, kind: &TokenKind) -> bool {
        self.current.kind == *kind
    }

    pub(super) fn keyword(&self) -> Option<Keyword> {
        match self.current.kind {
            TokenKind::Keyword(keyword) => Some(keyword),
            _ => None,
        }
    }

    /// Takes the current token if it is of this kind.
    pub(super) fn accept(&mut self, kind: &TokenKind) -> Option<Token> {
        self.at(kind).then(|| self.advance())
    }

    pub(super) fn expect(&mut self, kind: &TokenKind) -> Result<Token, ParseError> {
        self.accept(kind).ok_or_else(|| self.unexpected("", ""))
    }

    fn expect_end(&mut self) -> Result<(), ParseError> {
        if self.at(&TokenKind::Eof) { Ok(()) } else { Err(self.unexpected("", "")) }
    }

    pub(super) fn check_depth(&self, depth: usize, span: Span) -> Result<usize, ParseError> {
        if depth > MAX_DEPTH {
            return Err(
                self.error(span, format!("expression is too deep, at most {MAX_DEPTH} levels are allowed"))
            );
        }
        Ok(depth)
    }

    /// Runs `parse` one level deeper.
    pub(super) fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.nesting >= MAX_NESTING {
            return Err(self.error(
                self.current.span,
                format!("expression is nested too deeply, at most {MAX_NESTING} levels are allowed"),
            ));
        }
        self.nesting += 1;
        let result = parse(self);
        self.nesting -= 1;
        result
    }

    /// An expression whose operators bind at least as tightly as `min_precedence`.
    pub(super) fn expression(&mut self, min_precedence: u8) -> Result<Parsed, ParseError> {
        self.nested(|parser| {
            let mut left = parser.operand()?;
            while let Some(op) = parser.binary_operator() {
                if op.precedence() < min_precedence {
                    break;
                }
                left = parser.binary(left, op)?;
            }
            Ok(left)
        })
    }

    /// An operand: a sign with its operand, or an atom with what is written behind it.
    fn operand(&mut self) -> Result<Parsed, ParseError> {
        let negate = match self.current.kind {
            TokenKind::Add => false,
            TokenKind::Sub => true,
            _ => {
                let atom = self.atom()?;
                return self.postfix(atom);
            }
        };
        let start = self.advance().span.start;
        // A sign binds as `*` does: only `^` binds tighter.
        let (mut expr, depth) = self.expression(crate::ast::BinaryOp::Pow.precedence())?;
        if let Expr::Number(number) = &mut expr {
            if negate {
                number.value = -number.value;
            }
            number.span.start = start;
            return Ok((expr, depth));
        }
        let span = Span::new(start, expr.span().end);
        let unary = Expr::Unary(Box::new(Unary { negate, expr, span }));
        Ok((unary, self.check_depth(depth + 1, span)?))
    }

    fn atom(&mut self) -> Result<Parsed, ParseError> {
        let followed_by_paren = self.next.kind == TokenKind::LeftParen;
        match self.current.kind {
            TokenKind::Number | TokenKind::Duration => Ok((Expr::Number(self.number()?), 1)),
            TokenKind::String => {
                let token = self.advance();
                let bytes = self.unquote(token.span)?;
                Ok((Expr::String(StringLiteral { bytes, span: token.span }), 1))
            }
            TokenKind::LeftParen => {
                let start = self.advance().span.start;
                let (expr, depth) = self.expression(0)?;
                let end = self.expect(&TokenKind::RightParen)?.span.end;
                let span = Span::new(start, end);
                let paren = Expr::Paren(Box::new(Paren { expr, span }));
                Ok((paren, self.check_depth(depth + 1, span)?))
            }
            TokenKind::Identifier if followed_by_paren => self.call(),
            TokenKind::Keyword(Keyword::Aggregate(op))
                if followed_by_paren
                    || matches!(self.next.kind, TokenKind::Keyword(Keyword::By | Keyword::Without)) =>
            {
                self.aggregate(op)
            }
            TokenKind::Keyword(
                Keyword::Start
                | Keyword::End
                | Keyword::Step
                | Keyword::Range
                | Keyword::MaxOf
                | Keyword::MinOf,
            ) if followed_by_paren => self.call(),
            TokenKind::LeftBrace | TokenKind::Identifier | TokenKind::MetricIdentifier => {
                Ok((Expr::Vector(Box::new(self.series_selector()?)), 1))
            }
            TokenKind::Keyword(keyword) if keyword.is_metric_name() => {
                Ok((Expr::Vector(Box::new(self.series_selector()?)), 1))
            }
            _ => Err(self.unexpected("", "")),
        }
    }

    /// A number or duration; the current token is one.
    pub(super) fn number(&mut self) -> Result<Number, ParseError> {
        let token = self.advance();
        let text = self.text(token.span);
        let is_duration = token.kind == TokenKind::Duration;
        let value = if is_duration {
            crate::text::duration::parse_ms(text).map(|ms| ms as f64 / 1000.0)
        } else {
            literal::parse_number(text)
        };
        Ok(Number {
            value: value.map_err(|reason| self.error(token.span, reason))?,
            is_duration,
            span: token.span,
        })
    }

    pub(super) fn unquote(&self, span: Span) -> Result<Vec<u8>, ParseError> {
        let text = self.text(span);
        literal::unquote(text)
            .map_err(|reason| self.error(span, format!("error unquoting string {}: {reason}", quote(text))))
    }

    fn call(&mut self) -> Result<Parsed, ParseError> {
        let name = self.advance();
        let text = self.text(name.span);
        let Some(func) = function(text) else {
            return Err(self.error(name.span, format!("unknown function with name {}", quote(text))));
        };
        if func.experimental && !self.options.experimental_functions {
            return Err(self.error(name.span, format!("function {} is not enabled", quote(text))));
        }
        let (args, depth) = self.arguments()?;
        let span = Span::new(name.span.start, self.last_end);
        let call = Expr::Call(Box::new(Call { func, args, span }));
        Ok((call, self.check_depth(depth + 1, span)?))
    }

    /// Arguments in parentheses, and the depth of the deepest.
    fn arguments(&mut self) -> Result<(Vec<Expr>, usize), ParseError> {
        self.expect(&TokenKind::LeftParen)?;
        let (mut args, mut deepest) = (Vec::new(), 0);
        if self.accept(&TokenKind::RightParen).is_some() {
            return Ok((args, deepest));
        }
        loop {
            let (arg, depth) = self.expression(0)?;
            args.push(arg);
            deepest = deepest.max(depth);
            if self.accept(&TokenKind::RightParen).is_some() {
                return Ok((args, deepest));
            }
            let comma = self.expect(&TokenKind::Comma)?;
            if self.at(&TokenKind::RightParen) {
                return Err(self.error(comma.span, "trailing commas not allowed in function call args"));
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp) -> Result<Parsed, ParseError> {
        let start = self.advance().span.start;
        let mut modifier = self.aggregate_modifier()?;
        if !self.at(&TokenKind::LeftParen) {
            return Err(self.unexpected("aggregation", ""));
        }
        let (mut args, depth) = self.arguments()?;
        if modifier.is_none() {
            modifier = self.aggregate_modifier()?;
        }
        let span = Span::new(start, self.last_end);
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.experimental_functions {
            return Err(self.error(
                span,
                format!(
                    "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                    op.as_str()
                ),
            ));
        }
        let expected = 1 + usize::from(op.has_param());
        let got = args.len();
        let (Some(expr), true) = (args.pop(), got == expected) else {
            return Err(self.error(
                span,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {expected}, got {got}"
                ),
            ));
        };
        let (without, grouping) = modifier.unwrap_or_default();
        let aggregate =
            Expr::Aggregate(Box::new(Aggregate { op, expr, param: args.pop(), grouping, without, span }));
        Ok((aggregate, self.check_depth(depth + 1, span)?))
    }

    fn aggregate_modifier(&mut self) -> Result<Option<(bool, Vec<String>)>, ParseError> {
        let without = match self.keyword() {
            Some(Keyword::By) => false,
            Some(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some((without, self.grouping_labels()?)))
    }
}
