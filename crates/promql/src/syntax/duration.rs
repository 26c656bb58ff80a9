//! Expressions for lengths of time, in brackets and behind `offset`.

use crate::ast::{BinaryOp, Duration, DurationExpr, Number, Span};
use crate::error::ParseError;
use crate::syntax::parser::Parser;
use crate::syntax::token::{Keyword, TokenKind};

/// The longest duration, in seconds: what 64 bits of nanoseconds hold.
const MAX_SECONDS: f64 = (1u64 << 63) as f64 / 1e9;

/// Milliseconds of a number of seconds, rounded to nanoseconds first and then cut, as upstream does.
fn seconds_to_ms(seconds: f64) -> i64 {
    ((seconds * 1e9).round() / 1e6).trunc() as i64
}

fn finished(expr: DurationExpr) -> Duration {
    match expr {
        DurationExpr::Literal(number) => Duration::Fixed(seconds_to_ms(number.value)),
        expr => Duration::Expr(Box::new(expr)),
    }
}

fn signed(start: usize, negate: bool, operand: DurationExpr) -> DurationExpr {
    match operand {
        DurationExpr::Literal(number) => DurationExpr::Literal(Number {
            value: if negate { -number.value } else { number.value },
            span: Span::new(start, number.span.end),
            ..number
        }),
        operand if negate => {
            let span = Span::new(start, operand.span().end);
            DurationExpr::Negate(Box::new(operand), span)
        }
        operand => operand,
    }
}

impl Parser<'_> {
    /// The length of a range or step. Where none begins, the error says what was `expected`.
    pub(super) fn positive_duration(
        &mut self,
        context: &'static str,
        expected: &'static str,
    ) -> Result<Duration, ParseError> {
        self.duration_context = (context, expected);
        if !self.duration_begins() {
            return Err(self.unexpected_in_duration());
        }
        let expr = self.duration_expression(0)?;
        let span = expr.span();
        match finished(expr) {
            Duration::Fixed(ms) if ms <= 0 => Err(self.error(span, "duration must be greater than 0")),
            duration => Ok(duration),
        }
    }

    fn duration_begins(&self) -> bool {
        matches!(
            self.current.kind,
            TokenKind::Number
                | TokenKind::Duration
                | TokenKind::Add
                | TokenKind::Sub
                | TokenKind::LeftParen
                | TokenKind::Keyword(Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf)
        )
    }

    /// What may follow `offset`: it takes as little as it can, so that `a offset 5m + b` is a sum. Only behind a
    /// parenthesis without a sign does arithmetic go on.
    pub(super) fn offset_duration(&mut self) -> Result<Duration, ParseError> {
        self.duration_context = ("offset", "number, duration, step(), or range()");
        if !self.duration_begins() {
            return Err(self.unexpected_in_duration());
        }
        let signed = matches!(self.current.kind, TokenKind::Add | TokenKind::Sub);
        let then = if signed { &self.next.kind } else { &self.current.kind };
        let goes_on = match then {
            TokenKind::Add | TokenKind::Sub => true,
            TokenKind::LeftParen => !signed,
            _ => false,
        };
        let expr = if goes_on { self.duration_expression(0)? } else { self.offset_operand()? };
        Ok(finished(expr))
    }

    fn duration_expression(&mut self, min_precedence: u8) -> Result<DurationExpr, ParseError> {
        self.nested(|parser| {
            let mut left = parser.duration_operand()?;
            let mut operators = 0;
            while let Some(op) = parser.binary_operator() {
                let arithmetic = matches!(
                    op,
                    BinaryOp::Add
                        | BinaryOp::Sub
                        | BinaryOp::Mul
                        | BinaryOp::Div
                        | BinaryOp::Mod
                        | BinaryOp::Pow
                );
                if !arithmetic || op.precedence() < min_precedence {
                    break;
                }
                operators += 1;
                parser.check_depth(operators, parser.current.span)?;
                left = parser.duration_binary(left, op)?;
            }
            Ok(left)
        })
    }

    fn duration_binary(&mut self, left: DurationExpr, op: BinaryOp) -> Result<DurationExpr, ParseError> {
        let span = self.advance().span;
        let min = op.precedence() + u8::from(op != BinaryOp::Pow);
        let right = self.duration_expression(min)?;
        let by_zero = matches!(&right, DurationExpr::Literal(number) if number.value == 0.0);
        match op {
            BinaryOp::Div if by_zero => Err(self.error(span, "division by zero")),
            BinaryOp::Mod if by_zero => Err(self.error(span, "modulo by zero")),
            _ => Ok(DurationExpr::Binary(op, Box::new(left), Box::new(right))),
        }
    }

    /// An operand inside brackets or parentheses: a sign binds as `*` does, so `-2^2` is `-(2^2)`.
    fn duration_operand(&mut self) -> Result<DurationExpr, ParseError> {
        match self.sign() {
            Some((start, negate)) => {
                let operand = self.duration_expression(BinaryOp::Pow.precedence())?;
                Ok(signed(start, negate, operand))
            }
            None => self.duration_atom(),
        }
    }

    /// An operand directly behind `offset`: a sign applies to the next atom, whatever follows.
    fn offset_operand(&mut self) -> Result<DurationExpr, ParseError> {
        let sign = self.sign();
        let operand = self.duration_atom()?;
        Ok(match sign {
            Some((start, negate)) => signed(start, negate, operand),
            None => operand,
        })
    }

    /// Takes a sign: where it stands and whether it is `-`.
    fn sign(&mut self) -> Option<(usize, bool)> {
        let negate = match self.current.kind {
            TokenKind::Add => false,
            TokenKind::Sub => true,
            _ => return None,
        };
        Some((self.advance().span.start, negate))
    }

    fn unexpected_in_duration(&self) -> ParseError {
        let (context, expected) = self.duration_context;
        self.unexpected(context, expected)
    }

    fn expect_in_duration(&mut self, kind: &TokenKind) -> Result<(), ParseError> {
        match self.accept(kind) {
            Some(_) => Ok(()),
            None => Err(self.unexpected_in_duration()),
        }
    }

    fn duration_atom(&mut self) -> Result<DurationExpr, ParseError> {
        let start = self.current.span.start;
        match self.current.kind {
            TokenKind::Number | TokenKind::Duration => {
                let number = self.number()?;
                if number.value.abs() > MAX_SECONDS || number.value.is_nan() {
                    return Err(self.error(number.span, "duration out of range"));
                }
                Ok(DurationExpr::Literal(number))
            }
            TokenKind::LeftParen => {
                self.advance();
                let inner = self.duration_expression(0)?;
                self.expect_in_duration(&TokenKind::RightParen)?;
                let span = Span::new(start, self.last_end);
                Ok(DurationExpr::Paren(Box::new(inner), span))
            }
            TokenKind::Keyword(keyword @ (Keyword::Step | Keyword::Range)) => {
                self.advance();
                self.expect_in_duration(&TokenKind::LeftParen)?;
                self.expect_in_duration(&TokenKind::RightParen)?;
                let span = Span::new(start, self.last_end);
                Ok(match keyword {
                    Keyword::Step => DurationExpr::Step(span),
                    _ => DurationExpr::Range(span),
                })
            }
            TokenKind::Keyword(keyword @ (Keyword::MaxOf | Keyword::MinOf)) => {
                self.advance();
                self.expect_in_duration(&TokenKind::LeftParen)?;
                let a = Box::new(self.duration_expression(0)?);
                self.expect_in_duration(&TokenKind::Comma)?;
                let b = Box::new(self.duration_expression(0)?);
                self.expect_in_duration(&TokenKind::RightParen)?;
                let span = Span::new(start, self.last_end);
                Ok(match keyword {
                    Keyword::MaxOf => DurationExpr::MaxOf(a, b, span),
                    _ => DurationExpr::MinOf(a, b, span),
                })
            }
            _ => Err(self.unexpected_in_duration()),
        }
    }
}
