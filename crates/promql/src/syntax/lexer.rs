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
    /// Inside brackets, and no number has been read yet: behind one, other things are wrong than before it.
    in_duration: bool,
    got_duration: bool,
    got_colon: bool,
}

/// A token's kind, or why there is none.
type Lexed = Result<TokenKind, Problem>;

/// Why there is no token, and how far behind the start of it.
struct Problem {
    message: String,
    behind: usize,
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Self { message, behind: 0 }
    }
}

fn problem(message: impl Into<String>) -> Lexed {
    Err(Problem { message: message.into(), behind: 0 })
}

/// What is wrong with a character of one byte once it has been taken.
fn problem_behind(message: &str) -> Lexed {
    Err(Problem { message: message.to_owned(), behind: 1 })
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a str) -> Self {
        Self {
            input,
            position: 0,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            in_duration: false,
            got_duration: false,
            got_colon: false,
        }
    }

    /// The next token; at the end, and after an error, always the same.
    pub(crate) fn next_token(&mut self) -> Token {
        self.skip_blank();
        let start = self.position;
        let kind = if self.brace_open { self.inside_braces() } else { self.statement() };
        match kind {
            Ok(kind) => Token { kind, span: Span::new(start, self.position) },
            Err(Problem { message, behind }) => {
                self.position = start;
                Token { kind: TokenKind::Error(message), span: Span::new(start + behind, self.input.len()) }
            }
        }
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
            return problem("unexpected end of input inside braces");
        };
        match c {
            ',' => self.take(1, TokenKind::Comma),
            '"' | '\'' | '`' => self.string(c),
            '=' if self.peek_byte(1) == Some(b'~') => self.take(2, TokenKind::EqualRegex),
            '=' => self.take(1, TokenKind::Equal),
            '!' => match self.rest()[1..].chars().next() {
                Some('~') => self.take(2, TokenKind::NotEqualRegex),
                Some('=') => self.take(2, TokenKind::NotEqual),
                other => problem(format!("unexpected character after '!' inside braces: {}", go_char(other))),
            },
            '{' => problem("unexpected left brace '{'"),
            '}' => {
                self.brace_open = false;
                self.take(1, TokenKind::RightBrace)
            }
            c if is_alpha(c) => {
                let length = word_length(self.rest(), false);
                self.take(length, TokenKind::Identifier)
            }
            c => problem(format!("unexpected character inside braces: {}", go_char(Some(c)))),
        }
    }

    fn statement(&mut self) -> Lexed {
        let Some(c) = self.peek() else {
            return match (self.in_duration, self.paren_depth, self.bracket_open) {
                (true, ..) => problem("unexpected end of input in duration expression"),
                (_, 1.., _) => problem("unclosed left parenthesis"),
                (_, 0, true) => problem("unclosed left bracket"),
                (_, 0, false) => Ok(TokenKind::Eof),
            };
        };
        match c {
            '0'..='9' => self.number_or_duration(),
            '.' if self.peek_byte(1).is_some_and(|b| b.is_ascii_digit()) => self.number_or_duration(),
            _ if self.in_duration => self.inside_duration(c),
            '"' | '\'' | '`' => self.string(c),
            c if (is_alpha(c) || c == ':') && self.bracket_open => self.behind_duration(c),
            c if is_alpha(c) || c == ':' => self.word(),
            c => self.punctuation(c),
        }
    }

    fn punctuation(&mut self, c: char) -> Lexed {
        let second = self.rest()[c.len_utf8()..].chars().next();
        match (c, second) {
            (',', _) => self.take(1, TokenKind::Comma),
            ('=', Some('=')) => self.take(2, TokenKind::EqualEqual),
            ('=', Some('~')) => problem("unexpected character after '=': '~'"),
            ('=', _) => self.take(1, TokenKind::Equal),
            ('!', Some('=')) => self.take(2, TokenKind::NotEqual),
            ('!', other) => problem(format!("unexpected character after '!': {}", go_char(other))),
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
            ('[', _) if self.bracket_open => problem("unexpected left bracket '['"),
            ('[', _) => {
                (self.bracket_open, self.in_duration) = (true, true);
                (self.got_duration, self.got_colon) = (false, false);
                self.take(1, TokenKind::LeftBracket)
            }
            (']', _) if self.bracket_open => self.close_bracket(),
            (']', _) => problem("unexpected right bracket ']'"),
            ('@', _) => self.take(1, TokenKind::At),
            _ => match self.shared(c) {
                Some(lexed) => lexed,
                None => problem(format!("unexpected character: {}", go_char(Some(c)))),
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
                None => return Some(problem_behind("unexpected right parenthesis ')'")),
            },
            _ => return None,
        };
        Some(self.take(1, kind))
    }

    fn close_bracket(&mut self) -> Lexed {
        (self.bracket_open, self.in_duration) = (false, false);
        self.take(1, TokenKind::RightBracket)
    }

    /// Inside brackets, before the first number.
    fn inside_duration(&mut self, c: char) -> Lexed {
        let unexpected =
            || problem(format!("unexpected character in duration expression: {}", go_char(Some(c))));
        match c {
            ']' => self.close_bracket(),
            ':' if !self.got_duration => {
                problem_behind("unexpected colon before duration in duration expression")
            }
            ':' if self.got_colon => problem_behind("unexpected repeated colon in duration expression"),
            ':' => {
                self.got_colon = true;
                self.take(1, TokenKind::Colon)
            }
            ',' => self.take(1, TokenKind::Comma),
            c if is_alpha(c) => self.duration_keyword().unwrap_or_else(unexpected),
            c => self.shared(c).unwrap_or_else(unexpected),
        }
    }

    /// A letter or a colon inside brackets, behind a number.
    fn behind_duration(&mut self, c: char) -> Lexed {
        match c {
            ':' if self.got_colon => problem("unexpected colon ':'"),
            ':' => {
                self.got_colon = true;
                self.take(1, TokenKind::Colon)
            }
            c => self.duration_keyword().unwrap_or_else(|| {
                problem(format!("unexpected character: {}, expected ':'", go_char(Some(c))))
            }),
        }
    }

    /// `step`, `range`, `min_of`, `max_of`; `None` where there is something else.
    fn duration_keyword(&mut self) -> Option<Lexed> {
        let length = word_length(self.rest(), false);
        match Keyword::of(&self.rest()[..length]) {
            Some(keyword @ (Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf)) => {
                self.got_duration = true;
                Some(self.take(length, TokenKind::Keyword(keyword)))
            }
            _ => None,
        }
    }

    fn number_or_duration(&mut self) -> Lexed {
        (self.in_duration, self.got_duration) = (false, true);
        match literal::scan_number_or_duration(self.rest()) {
            Ok((length, true)) => self.take(length, TokenKind::Duration),
            Ok((length, false)) => self.take(length, TokenKind::Number),
            Err(length) => problem(format!(
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
