//! From text to tokens. What a character means depends on where it stands: inside braces there are label matchers,
//! inside brackets durations.

use crate::ast::Span;
use crate::syntax::literal;
use crate::syntax::token::{Keyword, Token, TokenKind};

pub(crate) struct Lexer<'a> {
    input: &'a str,
    position: usize,
    paren_depth: usize,
    brace_open: bool,
    bracket_open: bool,
    got_colon: bool,
}

/// A token's kind, or why there is none.
type Lexed = Result<TokenKind, String>;

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a str) -> Self {
        Self { input, position: 0, paren_depth: 0, brace_open: false, bracket_open: false, got_colon: false }
    }

    /// The next token; at the end, and after an error, always the same.
    pub(crate) fn next_token(&mut self) -> Token {
        self.skip_blank();
        let start = self.position;
        let kind = if self.brace_open { self.inside_braces() } else { self.statement() };
        let (kind, end) = match kind {
            Ok(kind) => (kind, self.position),
            Err(message) => {
                self.position = start;
                (TokenKind::Error(message), self.input.len())
            }
        };
        Token { kind, span: Span::new(start, end) }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn peek_byte(&self, ahead: usize) -> Option<u8> {
        self.input.as_bytes().get(self.position + ahead).copied()
    }

    fn skip_blank(&mut self) {
        loop {
            match self.peek_byte(0) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.position += 1,
                Some(b'#') => {
                    let end = self.rest().find(['\n', '\r']);
                    self.position += end.unwrap_or(self.rest().len());
                }
                _ => return,
            }
        }
    }

    /// Takes `length` bytes as a token.
    fn take(&mut self, length: usize, kind: TokenKind) -> Lexed {
        self.position += length;
        Ok(kind)
    }

    fn inside_braces(&mut self) -> Lexed {
        let Some(c) = self.peek() else {
            return Err("unexpected end of input inside braces".to_owned());
        };
        match c {
            ',' => self.take(1, TokenKind::Comma),
            '"' | '\'' | '`' => self.string(c),
            '=' if self.peek_byte(1) == Some(b'~') => self.take(2, TokenKind::EqualRegex),
            '=' => self.take(1, TokenKind::Equal),
            '!' => match self.rest()[1..].chars().next() {
                Some('~') => self.take(2, TokenKind::NotEqualRegex),
                Some('=') => self.take(2, TokenKind::NotEqual),
                other => Err(format!("unexpected character after '!' inside braces: {}", go_char(other))),
            },
            '{' => Err("unexpected left brace '{'".to_owned()),
            '}' => {
                self.brace_open = false;
                self.take(1, TokenKind::RightBrace)
            }
            c if is_alpha(c) => {
                let length = word_length(self.rest(), false);
                self.take(length, TokenKind::Identifier)
            }
            c => Err(format!("unexpected character inside braces: {}", go_char(Some(c)))),
        }
    }

    fn statement(&mut self) -> Lexed {
        let Some(c) = self.peek() else {
            return match (self.paren_depth, self.bracket_open) {
                (_, true) => Err("unexpected end of input in duration expression".to_owned()),
                (0, false) => Ok(TokenKind::Eof),
                _ => Err("unclosed left parenthesis".to_owned()),
            };
        };
        match c {
            '0'..='9' => self.number_or_duration(),
            '.' if self.peek_byte(1).is_some_and(|b| b.is_ascii_digit()) => self.number_or_duration(),
            _ if self.bracket_open => self.inside_brackets(c),
            '"' | '\'' | '`' => self.string(c),
            c if is_alpha(c) || c == ':' => self.word(),
            c => self.punctuation(c),
        }
    }

    fn punctuation(&mut self, c: char) -> Lexed {
        let second = self.rest()[c.len_utf8()..].chars().next();
        match (c, second) {
            (',', _) => self.take(1, TokenKind::Comma),
            ('=', Some('=')) => self.take(2, TokenKind::EqualEqual),
            ('=', Some('~')) => Err("unexpected character after '=': '~'".to_owned()),
            ('=', _) => self.take(1, TokenKind::Equal),
            ('!', Some('=')) => self.take(2, TokenKind::NotEqual),
            ('!', other) => Err(format!("unexpected character after '!': {}", go_char(other))),
            ('<', Some('=')) => self.take(2, TokenKind::LessEqual),
            ('<', Some('/')) => self.take(2, TokenKind::TrimUpper),
            ('<', _) => self.take(1, TokenKind::Less),
            ('>', Some('=')) => self.take(2, TokenKind::GreaterEqual),
            ('>', Some('/')) => self.take(2, TokenKind::TrimLower),
            ('>', _) => self.take(1, TokenKind::Greater),
            ('{', _) => {
                self.brace_open = true;
                self.take(1, TokenKind::LeftBrace)
            }
            ('[', _) => {
                self.bracket_open = true;
                self.got_colon = false;
                self.take(1, TokenKind::LeftBracket)
            }
            (']', _) => Err("unexpected right bracket ']'".to_owned()),
            ('@', _) => self.take(1, TokenKind::At),
            _ => match self.shared(c) {
                Some(lexed) => lexed,
                None => Err(format!("unexpected character: {}", go_char(Some(c)))),
            },
        }
    }

    /// What means the same inside and outside of brackets.
    fn shared(&mut self, c: char) -> Option<Lexed> {
        let kind = match c {
            '+' => TokenKind::Add,
            '-' => TokenKind::Sub,
            '*' => TokenKind::Mul,
            '/' => TokenKind::Div,
            '%' => TokenKind::Mod,
            '^' => TokenKind::Pow,
            '(' => {
                self.paren_depth += 1;
                TokenKind::LeftParen
            }
            ')' => match self.paren_depth.checked_sub(1) {
                Some(depth) => {
                    self.paren_depth = depth;
                    TokenKind::RightParen
                }
                None => return Some(Err("unexpected right parenthesis ')'".to_owned())),
            },
            _ => return None,
        };
        Some(self.take(1, kind))
    }

    fn inside_brackets(&mut self, c: char) -> Lexed {
        match c {
            ']' => {
                self.bracket_open = false;
                self.take(1, TokenKind::RightBracket)
            }
            '[' => Err("unexpected left bracket '['".to_owned()),
            ':' if self.got_colon => Err("unexpected repeated colon in duration expression".to_owned()),
            ':' => {
                self.got_colon = true;
                self.take(1, TokenKind::Colon)
            }
            ',' => self.take(1, TokenKind::Comma),
            c if is_alpha(c) => {
                let length = word_length(self.rest(), false);
                match Keyword::of(&self.rest()[..length]) {
                    Some(keyword @ (Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf)) => {
                        self.take(length, TokenKind::Keyword(keyword))
                    }
                    _ => Err(format!("unexpected character in duration expression: {}", go_char(Some(c)))),
                }
            }
            c => self.shared(c).unwrap_or_else(|| {
                Err(format!("unexpected character in duration expression: {}", go_char(Some(c))))
            }),
        }
    }

    fn number_or_duration(&mut self) -> Lexed {
        match literal::scan_number_or_duration(self.rest()) {
            Ok((length, true)) => self.take(length, TokenKind::Duration),
            Ok((length, false)) => self.take(length, TokenKind::Number),
            Err(length) => Err(format!(
                "bad number or duration syntax: {}",
                crate::text::quote::quote(&self.rest()[..length])
            )),
        }
    }

    fn string(&mut self, quote: char) -> Lexed {
        let length = literal::scan_string(self.rest(), quote)?;
        self.take(length, TokenKind::String)
    }

    fn word(&mut self) -> Lexed {
        let length = word_length(self.rest(), true);
        let word = &self.rest()[..length];
        if word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan") {
            return self.take(length, TokenKind::Number);
        }
        let kind = match Keyword::of(word) {
            // These came late: they are names unless a parenthesis follows.
            Some(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)
                if !self.rest()[length..].trim_start().starts_with('(') =>
            {
                TokenKind::Identifier
            }
            Some(keyword) => TokenKind::Keyword(keyword),
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        };
        self.take(length, kind)
    }
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn word_length(text: &str, colons: bool) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_' || (colons && *b == b':')).count()
}

/// A character as Go's `%q` shows it; the end of the input is shown as the replacement character.
fn go_char(c: Option<char>) -> String {
    let text = crate::text::quote::quote(&c.unwrap_or('\u{fffd}').to_string());
    match c {
        Some('\'') => "'\\''".to_owned(),
        Some('"') => "'\"'".to_owned(),
        _ => format!("'{}'", &text[1..text.len() - 1]),
    }
}
