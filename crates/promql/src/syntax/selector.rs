//! Selectors of series, labels of series, and lists of labels.

use model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

use crate::ast::{Duration, RangeMode, Span, VectorSelector};
use crate::error::ParseError;
use crate::syntax::parser::Parser;
use crate::syntax::token::TokenKind;
use crate::text::quote::quote_bytes;

impl Parser<'_> {
    /// A name, matchers in braces, or both.
    pub(super) fn series_selector(&mut self) -> Result<VectorSelector, ParseError> {
        let start = self.current.span.start;
        let name = match self.current.kind {
            TokenKind::LeftBrace => None,
            TokenKind::Identifier | TokenKind::MetricIdentifier => Some(self.take_text()),
            TokenKind::Keyword(keyword) if keyword.is_metric_name() => Some(self.take_text()),
            _ => return Err(self.unexpected("", "")),
        };
        let mut matchers = if self.at(&TokenKind::LeftBrace) { self.matchers()? } else { Vec::new() };
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        Ok(VectorSelector {
            name,
            matchers,
            offset: Duration::ZERO,
            at: None,
            mode: RangeMode::Plain,
            may_match_empty: false,
            span: Span::new(start, self.last_end),
        })
    }

    fn take_text(&mut self) -> String {
        let span = self.advance().span;
        self.text(span).to_owned()
    }

    fn matchers(&mut self) -> Result<Vec<Matcher>, ParseError> {
        self.expect(&TokenKind::LeftBrace)?;
        let mut matchers = Vec::new();
        while self.accept(&TokenKind::RightBrace).is_none() {
            matchers.push(self.matcher()?);
            if self.accept(&TokenKind::Comma).is_none() && !self.at(&TokenKind::RightBrace) {
                return Err(self.unexpected("label matching", "\",\" or \"}\""));
            }
        }
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<Matcher, ParseError> {
        let context = "label matching";
        let quoted = self.at(&TokenKind::String);
        let name_span = self.current.span;
        let name = match self.current.kind {
            TokenKind::String => self.quoted_utf8()?,
            TokenKind::Identifier => self.take_text(),
            _ => return Err(self.unexpected(context, "identifier or \"}\"")),
        };
        let op = match self.current.kind {
            TokenKind::Equal => MatchOp::Equal,
            TokenKind::NotEqual => MatchOp::NotEqual,
            TokenKind::EqualRegex => MatchOp::Regex,
            TokenKind::NotEqualRegex => MatchOp::NotRegex,
            _ if quoted => return Ok(Matcher::equal(METRIC_NAME, &name)),
            _ => return Err(self.unexpected(context, "label matching operator")),
        };
        self.advance();
        if !self.at(&TokenKind::String) {
            return Err(self.unexpected(context, "string"));
        }
        let value = self.quoted_utf8()?;
        let span = Span::new(name_span.start, self.last_end);
        Matcher::new(&name, op, &value).map_err(|e| self.error(span, e.to_string()))
    }

    /// A quoted text that has to be UTF-8, as names and values of labels have.
    fn quoted_utf8(&mut self) -> Result<String, ParseError> {
        let span = self.advance().span;
        String::from_utf8(self.unquote(span)?)
            .map_err(|e| self.error(span, format!("{} is not valid UTF-8", quote_bytes(e.as_bytes()))))
    }

    /// Labels in parentheses, as `by`, `on` and `group_left` have them.
    pub(super) fn grouping_labels(&mut self) -> Result<Vec<String>, ParseError> {
        let context = "grouping opts";
        if self.accept(&TokenKind::LeftParen).is_none() {
            return Err(self.unexpected(context, "\"(\""));
        }
        let mut labels = Vec::new();
        while self.accept(&TokenKind::RightParen).is_none() {
            let span = self.current.span;
            let label = match self.current.kind {
                TokenKind::String => self.quoted_utf8()?,
                TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Keyword(_) => {
                    self.take_text()
                }
                _ => return Err(self.unexpected(context, "label")),
            };
            if label.is_empty() {
                return Err(self.error(span, "invalid label name for grouping: \"\""));
            }
            labels.push(label);
            if self.accept(&TokenKind::Comma).is_none() && !self.at(&TokenKind::RightParen) {
                return Err(self.unexpected(context, "\",\" or \")\""));
            }
        }
        Ok(labels)
    }

    /// The labels of a series, and where they end.
    pub(super) fn metric(&mut self) -> Result<(Labels, usize), ParseError> {
        let mut builder = LabelsBuilder::default();
        let mut name = None;
        if !self.at(&TokenKind::LeftBrace) {
            match self.current.kind {
                TokenKind::Identifier | TokenKind::MetricIdentifier => {}
                TokenKind::Keyword(keyword) if keyword.is_metric_name() => {}
                _ => return Err(self.unexpected("", "")),
            }
            name = Some(self.take_text());
        }
        let braces_follow = self.at(&TokenKind::LeftBrace)
            && (name.is_none() || self.current.span.start == self.last_end)
            && self.next.kind != TokenKind::LeftBrace;
        if braces_follow {
            self.label_set(&mut builder)?;
        }
        if let Some(name) = name {
            builder.set(METRIC_NAME, &name);
        }
        Ok((builder.build(), self.last_end))
    }

    fn label_set(&mut self, builder: &mut LabelsBuilder) -> Result<(), ParseError> {
        let context = "label set";
        self.expect(&TokenKind::LeftBrace)?;
        while !self.at(&TokenKind::RightBrace) {
            let quoted = self.at(&TokenKind::String);
            let name = match self.current.kind {
                TokenKind::String => self.quoted_utf8()?,
                TokenKind::Identifier => self.take_text(),
                _ => return Err(self.unexpected(context, "identifier or \"}\"")),
            };
            if self.accept(&TokenKind::Equal).is_some() {
                if !self.at(&TokenKind::String) {
                    return Err(self.unexpected(context, "string"));
                }
                let value = self.quoted_utf8()?;
                builder.set(&name, &value);
            } else if quoted {
                builder.set(METRIC_NAME, &name);
            } else {
                return Err(self.unexpected(context, "\"=\""));
            }
            if self.accept(&TokenKind::Comma).is_none() && !self.at(&TokenKind::RightBrace) {
                return Err(self.unexpected(context, "\",\" or \"}\""));
            }
        }
        self.expect(&TokenKind::RightBrace)?;
        Ok(())
    }
}
