//! What is written behind an operand (`[5m]`, `offset`, `@`, `anchored`) and between operands (operators, matching).

use crate::ast::{
    At, Binary, BinaryOp, Cardinality, Duration, Expr, MatrixSelector, RangeMode, Span, Subquery,
    VectorMatching,
};
use crate::error::ParseError;
use crate::syntax::parser::{Parsed, Parser};
use crate::syntax::token::{Keyword, TokenKind};

/// The modifiers of a selector or subquery that is being read.
struct Modifiable<'e> {
    offset: &'e mut Duration,
    at: &'e mut Option<At>,
    end: &'e mut usize,
}

fn modifiable(expr: &mut Expr) -> Option<Modifiable<'_>> {
    match expr {
        Expr::Vector(e) => Some(Modifiable { offset: &mut e.offset, at: &mut e.at, end: &mut e.span.end }),
        Expr::Matrix(e) => {
            Some(Modifiable { offset: &mut e.selector.offset, at: &mut e.selector.at, end: &mut e.span.end })
        }
        Expr::Subquery(e) => Some(Modifiable { offset: &mut e.offset, at: &mut e.at, end: &mut e.span.end }),
        _ => None,
    }
}

impl Parser<'_> {
    /// Everything written behind an atom.
    pub(super) fn postfix(&mut self, atom: Parsed) -> Result<Parsed, ParseError> {
        let (mut expr, mut depth) = atom;
        loop {
            match self.current.kind {
                TokenKind::LeftBracket => {
                    (expr, depth) = self.range(expr, depth)?;
                }
                TokenKind::At => self.at_modifier(&mut expr)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset_modifier(&mut expr)?,
                TokenKind::Keyword(Keyword::Anchored) => self.range_mode(&mut expr, RangeMode::Anchored)?,
                TokenKind::Keyword(Keyword::Smoothed) => self.range_mode(&mut expr, RangeMode::Smoothed)?,
                _ => return Ok((expr, depth)),
            }
        }
    }

    /// `[range]`, `[range:]` or `[range:step]`.
    fn range(&mut self, expr: Expr, depth: usize) -> Result<Parsed, ParseError> {
        let bracket = self.advance().span;
        let start = expr.span().start;
        let context = "subquery or range selector";
        let range = self.positive_duration(context, "number, duration, step(), or range()")?;
        if let Some(close) = self.accept(&TokenKind::RightBracket) {
            let span = Span::new(start, close.span.end);
            let problem = match &expr {
                Expr::Vector(v) if !v.offset.is_zero() => "no offset modifiers allowed before range",
                Expr::Vector(v) if v.at.is_some() => "no @ modifiers allowed before range",
                Expr::Vector(_) => "",
                _ => "ranges only allowed for vector selectors",
            };
            return match expr {
                Expr::Vector(selector) if problem.is_empty() => {
                    Ok((Expr::Matrix(Box::new(MatrixSelector { selector: *selector, range, span })), depth))
                }
                _ => Err(self.error(bracket.to(close.span), problem)),
            };
        }
        if self.accept(&TokenKind::Colon).is_none() {
            return Err(self.unexpected("subquery or range", "\":\" or \"]\""));
        }
        let step = if self.at(&TokenKind::RightBracket) {
            None
        } else {
            let expected = "number, duration, step(), range(), or \"]\"";
            Some(self.positive_duration("subquery selector", expected)?)
        };
        let Some(close) = self.accept(&TokenKind::RightBracket) else {
            return Err(self.unexpected("subquery selector", "\"]\""));
        };
        let span = Span::new(start, close.span.end);
        let subquery =
            Expr::Subquery(Box::new(Subquery { expr, range, step, offset: Duration::ZERO, at: None, span }));
        Ok((subquery, self.check_depth(depth + 1, span)?))
    }

    fn offset_modifier(&mut self, expr: &mut Expr) -> Result<(), ParseError> {
        self.advance();
        let offset = self.offset_duration()?;
        let (span, end) = (expr.span(), self.last_end);
        let Some(target) = modifiable(expr) else {
            return Err(self.error(
                span,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            ));
        };
        if !target.offset.is_zero() {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        *target.offset = offset;
        *target.end = end;
        Ok(())
    }

    fn at_modifier(&mut self, expr: &mut Expr) -> Result<(), ParseError> {
        self.advance();
        let at = match self.current.kind {
            TokenKind::Keyword(keyword @ (Keyword::Start | Keyword::End)) => {
                self.advance();
                for paren in [TokenKind::LeftParen, TokenKind::RightParen] {
                    if self.accept(&paren).is_none() {
                        return Err(self.unexpected("@", "timestamp"));
                    }
                }
                if keyword == Keyword::Start { At::Start } else { At::End }
            }
            _ => At::Timestamp(self.timestamp(expr.span())?),
        };
        let (span, end) = (expr.span(), self.last_end);
        let Some(target) = modifiable(expr) else {
            return Err(self.error(
                span,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            ));
        };
        if target.at.is_some() {
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        *target.at = Some(at);
        *target.end = end;
        Ok(())
    }

    /// A time in seconds, as milliseconds.
    fn timestamp(&mut self, span: Span) -> Result<i64, ParseError> {
        let negate = self.accept(&TokenKind::Sub).is_some();
        if !negate {
            self.accept(&TokenKind::Add);
        }
        if !matches!(self.current.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected("@", "timestamp"));
        }
        let number = self.number()?;
        let seconds = if negate { -number.value } else { number.value };
        let ms = (seconds * 1000.0).round();
        if !ms.is_finite() || seconds.abs() >= i64::MAX as f64 || ms.abs() >= i64::MAX as f64 {
            let shown = if seconds.is_finite() {
                format!("{seconds:.6}")
            } else {
                crate::text::number::plain(seconds)
            };
            return Err(self.error(span, format!("timestamp out of bounds for @ modifier: {shown}")));
        }
        Ok(ms as i64)
    }

    fn range_mode(&mut self, expr: &mut Expr, mode: RangeMode) -> Result<(), ParseError> {
        self.advance();
        let span = expr.span();
        let name = if mode == RangeMode::Anchored { "anchored" } else { "smoothed" };
        if !self.options.extended_range_selectors {
            return Err(self.error(span, format!("{name} modifier is experimental and not enabled")));
        }
        let current = match expr {
            Expr::Vector(e) => &mut e.mode,
            Expr::Matrix(e) => &mut e.selector.mode,
            Expr::Subquery(_) => {
                return Err(self.error(span, format!("{name} modifier is not supported for subqueries")));
            }
            _ => return Err(self.error(span, format!("{name} modifier not implemented"))),
        };
        if *current != RangeMode::Plain && *current != mode {
            return Err(self.error(span, "anchored and smoothed modifiers cannot be used together"));
        }
        *current = mode;
        Ok(())
    }

    /// The binary operator that the current token is.
    pub(super) fn binary_operator(&self) -> Option<BinaryOp> {
        Some(match self.current.kind {
            TokenKind::Add => BinaryOp::Add,
            TokenKind::Sub => BinaryOp::Sub,
            TokenKind::Mul => BinaryOp::Mul,
            TokenKind::Div => BinaryOp::Div,
            TokenKind::Mod => BinaryOp::Mod,
            TokenKind::Pow => BinaryOp::Pow,
            TokenKind::EqualEqual => BinaryOp::Eq,
            TokenKind::NotEqual => BinaryOp::Ne,
            TokenKind::Less => BinaryOp::Lt,
            TokenKind::LessEqual => BinaryOp::Le,
            TokenKind::Greater => BinaryOp::Gt,
            TokenKind::GreaterEqual => BinaryOp::Ge,
            TokenKind::TrimUpper => BinaryOp::TrimUpper,
            TokenKind::TrimLower => BinaryOp::TrimLower,
            TokenKind::Keyword(Keyword::Atan2) => BinaryOp::Atan2,
            TokenKind::Keyword(Keyword::And) => BinaryOp::And,
            TokenKind::Keyword(Keyword::Or) => BinaryOp::Or,
            TokenKind::Keyword(Keyword::Unless) => BinaryOp::Unless,
            _ => return None,
        })
    }

    /// The rest of a binary operation; the current token is its operator.
    pub(super) fn binary(&mut self, left: Parsed, op: BinaryOp) -> Result<Parsed, ParseError> {
        self.advance();
        let return_bool = self.keyword() == Some(Keyword::Bool);
        if return_bool {
            self.advance();
        }
        let matching = self.vector_matching()?;
        // `^` groups to the right, everything else to the left.
        let min = op.precedence() + u8::from(op != BinaryOp::Pow);
        let (rhs, right_depth) = self.expression(min)?;
        let (lhs, left_depth) = left;
        let span = Span::new(lhs.span().start, self.last_end);
        if !self.options.fill_modifiers && (matching.fill_left.is_some() || matching.fill_right.is_some()) {
            return Err(self.error(span, "binop fill modifiers are experimental and not enabled"));
        }
        let depth = self.check_depth(left_depth.max(right_depth) + 1, span)?;
        let binary = Binary { op, lhs, rhs, return_bool, matching: Some(matching) };
        Ok((Expr::Binary(Box::new(binary)), depth))
    }

    fn vector_matching(&mut self) -> Result<VectorMatching, ParseError> {
        let mut matching = VectorMatching::default();
        if let Some(keyword @ (Keyword::On | Keyword::Ignoring)) = self.keyword() {
            self.advance();
            matching.on = keyword == Keyword::On;
            matching.labels = self.grouping_labels()?;
            if let Some(keyword @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.keyword() {
                self.advance();
                matching.card = if keyword == Keyword::GroupLeft {
                    Cardinality::ManyToOne
                } else {
                    Cardinality::OneToMany
                };
                match self.current.kind {
                    TokenKind::LeftParen => matching.include = self.grouping_labels()?,
                    // No operand begins with these.
                    TokenKind::Eof
                    | TokenKind::RightParen
                    | TokenKind::Keyword(
                        Keyword::Bool
                        | Keyword::On
                        | Keyword::Ignoring
                        | Keyword::GroupLeft
                        | Keyword::GroupRight,
                    ) => return Err(self.unexpected("grouping opts", "\"(\"")),
                    _ => {}
                }
            }
        }
        match self.keyword() {
            Some(Keyword::Fill) => {
                let value = self.fill_value()?;
                (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
            }
            Some(Keyword::FillLeft) => {
                matching.fill_left = Some(self.fill_value()?);
                if self.keyword() == Some(Keyword::FillRight) {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            Some(Keyword::FillRight) => {
                matching.fill_right = Some(self.fill_value()?);
                if self.keyword() == Some(Keyword::FillLeft) {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok(matching)
    }

    /// A signed number in parentheses; the current token is the keyword before it.
    fn fill_value(&mut self) -> Result<f64, ParseError> {
        self.advance();
        self.expect(&TokenKind::LeftParen)?;
        let negate = self.accept(&TokenKind::Sub).is_some();
        if !negate {
            self.accept(&TokenKind::Add);
        }
        if !matches!(self.current.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected("", ""));
        }
        let value = self.number()?.value;
        self.expect(&TokenKind::RightParen)?;
        Ok(if negate { -value } else { value })
    }
}
