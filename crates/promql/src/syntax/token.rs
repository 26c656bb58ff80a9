//! Tokens of PromQL.

use crate::ast::{AggregateOp, Span};
use crate::text::quote::quote;

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    Eof,
    /// The lexer cannot go on; why.
    Error(String),
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Equal,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotEqualRegex,
    /// `!=`
    NotEqual,
    At,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    EqualEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    TrimUpper,
    TrimLower,
    /// A number: decimal, hexadecimal, `inf` or `nan`.
    Number,
    Duration,
    /// A quoted text, quotes included.
    String,
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    Keyword(Keyword),
}

/// Words that mean something in some places; most are also allowed as names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    And,
    Or,
    Unless,
    Atan2,
    Aggregate(AggregateOp),
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// The longest keyword, in bytes; longer words need not be looked up.
pub(crate) const MAX_KEYWORD_LENGTH: usize = 12;

impl Keyword {
    /// The keyword that `word` is, in any case.
    pub(crate) fn of(word: &str) -> Option<Self> {
        if word.len() > MAX_KEYWORD_LENGTH {
            return None;
        }
        Some(match word.to_ascii_lowercase().as_str() {
            "and" => Self::And,
            "or" => Self::Or,
            "unless" => Self::Unless,
            "atan2" => Self::Atan2,
            "sum" => Self::Aggregate(AggregateOp::Sum),
            "avg" => Self::Aggregate(AggregateOp::Avg),
            "count" => Self::Aggregate(AggregateOp::Count),
            "min" => Self::Aggregate(AggregateOp::Min),
            "max" => Self::Aggregate(AggregateOp::Max),
            "group" => Self::Aggregate(AggregateOp::Group),
            "stddev" => Self::Aggregate(AggregateOp::Stddev),
            "stdvar" => Self::Aggregate(AggregateOp::Stdvar),
            "topk" => Self::Aggregate(AggregateOp::Topk),
            "bottomk" => Self::Aggregate(AggregateOp::Bottomk),
            "count_values" => Self::Aggregate(AggregateOp::CountValues),
            "quantile" => Self::Aggregate(AggregateOp::Quantile),
            "limitk" => Self::Aggregate(AggregateOp::Limitk),
            "limit_ratio" => Self::Aggregate(AggregateOp::LimitRatio),
            "offset" => Self::Offset,
            "smoothed" => Self::Smoothed,
            "anchored" => Self::Anchored,
            "by" => Self::By,
            "without" => Self::Without,
            "on" => Self::On,
            "ignoring" => Self::Ignoring,
            "group_left" => Self::GroupLeft,
            "group_right" => Self::GroupRight,
            "fill" => Self::Fill,
            "fill_left" => Self::FillLeft,
            "fill_right" => Self::FillRight,
            "bool" => Self::Bool,
            "start" => Self::Start,
            "end" => Self::End,
            "step" => Self::Step,
            "range" => Self::Range,
            "max_of" => Self::MaxOf,
            "min_of" => Self::MinOf,
            _ => return None,
        })
    }

    /// Whether it may be the name of a metric where an expression is expected.
    pub(crate) fn is_metric_name(self) -> bool {
        !matches!(
            self,
            Self::Atan2 | Self::On | Self::Ignoring | Self::GroupLeft | Self::GroupRight | Self::Bool
        )
    }
}

impl Token {
    /// How error messages name it; `text` is its text.
    pub(crate) fn describe(&self, text: &str) -> String {
        match &self.kind {
            TokenKind::Eof => "end of input".to_owned(),
            TokenKind::Error(message) => message.clone(),
            TokenKind::Identifier => format!("identifier {}", quote(text)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quote(text)),
            TokenKind::Number => format!("number {}", shortened(text)),
            TokenKind::Duration => format!("duration {}", shortened(text)),
            TokenKind::String => format!("string {}", shortened(text)),
            TokenKind::Keyword(keyword) => match keyword {
                Keyword::And | Keyword::Or | Keyword::Unless | Keyword::Atan2 => format!("<op:{text}>"),
                Keyword::Aggregate(_) => format!("<aggr:{text}>"),
                Keyword::Start
                | Keyword::End
                | Keyword::Step
                | Keyword::Range
                | Keyword::MaxOf
                | Keyword::MinOf => shortened(text),
                _ => format!("<{text}>"),
            },
            kind if kind.is_operator() => format!("<op:{text}>"),
            _ => shortened(text),
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(10) {
        Some((end, _)) => format!("{}...", quote(&text[..end])),
        None => quote(text),
    }
}

impl TokenKind {
    fn is_operator(&self) -> bool {
        matches!(
            self,
            Self::EqualRegex
                | Self::NotEqualRegex
                | Self::NotEqual
                | Self::At
                | Self::Add
                | Self::Sub
                | Self::Mul
                | Self::Div
                | Self::Mod
                | Self::Pow
                | Self::EqualEqual
                | Self::Less
                | Self::LessEqual
                | Self::Greater
                | Self::GreaterEqual
                | Self::TrimUpper
                | Self::TrimLower
        )
    }
}
