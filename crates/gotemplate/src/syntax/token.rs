//! The words of a template.

use crate::format::quote;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The text is no template from here; the token's text says why.
    Error,
    Bool,
    /// A printable character that means nothing by itself, like a comma.
    Char,
    CharConstant,
    Assign,
    Declare,
    End,
    Field,
    Identifier,
    LeftDelimiter,
    LeftParenthesis,
    Number,
    Pipe,
    RawText,
    RightDelimiter,
    RightParenthesis,
    Space,
    QuotedText,
    Text,
    Variable,
    Dot,
    Nil,
    Keyword(Keyword),
}

/// The words that are no names of functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

impl Keyword {
    /// The keyword that this word is.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "block" => Self::Block,
            "break" => Self::Break,
            "continue" => Self::Continue,
            "define" => Self::Define,
            "else" => Self::Else,
            "end" => Self::End,
            "if" => Self::If,
            "range" => Self::Range,
            "template" => Self::Template,
            "with" => Self::With,
            _ => return None,
        })
    }
}

/// A token and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Where it starts, in bytes.
    pub(crate) position: usize,
    /// Its line, from 1.
    pub(crate) line: usize,
    /// What stands there, or for [`Kind::Error`] what is wrong.
    pub(crate) text: String,
}

impl Token {
    /// The token in a message.
    pub(crate) fn describe(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Keyword(_) | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ => match self.text.char_indices().nth(10) {
                Some((cut, _)) if self.text.len() > 10 => format!("{}...", quote(&self.text[..cut])),
                _ if self.text.len() > 10 => format!("{}...", quote(&self.text)),
                _ => quote(&self.text),
            },
        }
    }
}
