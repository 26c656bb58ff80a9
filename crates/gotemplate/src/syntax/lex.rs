//! From text to tokens.

use super::token::{Keyword, Kind, Token};

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];
/// A trim marker is a minus and a space.
const MARKER_BYTES: usize = 2;

/// The tokens of a text; the last one is [`Kind::End`] or [`Kind::Error`].
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer =
        Lexer { input: text, position: 0, start: 0, line: 1, start_line: 1, depth: 0, out: Vec::new() };
    lexer.run();
    lexer.out
}

struct Lexer<'a> {
    input: &'a str,
    position: usize,
    start: usize,
    line: usize,
    start_line: usize,
    /// How many parentheses are open.
    depth: usize,
    out: Vec<Token>,
}

/// The text cannot be read on; the message is the last token.
struct Stop;
type Step = Result<(), Stop>;

impl<'a> Lexer<'a> {
    fn run(&mut self) {
        while let Ok(true) = self.text() {
            if self.action().is_err() {
                return;
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    /// Goes on by some bytes, counting lines.
    fn skip(&mut self, bytes: usize) {
        let passed = &self.input[self.position..self.position + bytes];
        self.line += passed.bytes().filter(|&byte| byte == b'\n').count();
        self.position += bytes;
    }

    /// What was passed is no part of any token.
    fn ignore(&mut self) {
        self.start = self.position;
        self.start_line = self.line;
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.input[self.start..self.position].to_owned();
        self.out.push(Token { kind, position: self.start, line: self.start_line, text });
        self.ignore();
    }

    fn fail(&mut self, message: impl Into<String>) -> Step {
        self.out.push(Token {
            kind: Kind::Error,
            position: self.start,
            line: self.start_line,
            text: message.into(),
        });
        Err(Stop)
    }

    /// Text up to an action; whether there is one.
    fn text(&mut self) -> Result<bool, Stop> {
        loop {
            let Some(length) = self.rest().find(LEFT) else {
                self.skip(self.rest().len());
                if self.position > self.start {
                    self.emit(Kind::Text);
                }
                self.emit(Kind::End);
                return Ok(false);
            };
            let action = self.position + length;
            let trims = has_left_marker(&self.input[action + LEFT.len()..]);
            let text = &self.input[self.position..action];
            let kept = if trims { text.trim_end_matches(SPACES).len() } else { text.len() };
            self.skip(kept);
            if kept > 0 {
                self.emit(Kind::Text);
            }
            self.skip(text.len() - kept);
            self.ignore();
            let marker = if trims { MARKER_BYTES } else { 0 };
            if !self.input[action + LEFT.len() + marker..].starts_with("/*") {
                self.skip(LEFT.len());
                self.emit(Kind::LeftDelimiter);
                self.skip(marker);
                self.ignore();
                self.depth = 0;
                return Ok(true);
            }
            self.skip(LEFT.len() + marker);
            self.ignore();
            self.comment()?;
        }
    }

    fn comment(&mut self) -> Step {
        let Some(length) = self.rest()["/*".len()..].find("*/") else {
            return self.fail("unclosed comment");
        };
        self.skip("/*".len() + length + "*/".len());
        let Some(trims) = self.at_right() else {
            return self.fail("comment ends before closing delimiter");
        };
        self.skip(if trims { MARKER_BYTES } else { 0 } + RIGHT.len());
        self.trim_after(trims);
        Ok(())
    }

    /// Whether the action ends here, and if so, whether it trims what follows.
    fn at_right(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_marker(rest) && rest[MARKER_BYTES..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn trim_after(&mut self, trims: bool) {
        if trims {
            let rest = self.rest();
            self.skip(rest.len() - rest.trim_start_matches(SPACES).len());
        }
        self.ignore();
    }

    /// What stands between the delimiters, and the right one.
    fn action(&mut self) -> Step {
        loop {
            if let Some(trims) = self.at_right() {
                if self.depth > 0 {
                    return self.fail("unclosed left paren");
                }
                if trims {
                    self.skip(MARKER_BYTES);
                    self.ignore();
                }
                self.skip(RIGHT.len());
                self.emit(Kind::RightDelimiter);
                self.trim_after(trims);
                return Ok(());
            }
            self.word()?;
        }
    }

    fn word(&mut self) -> Step {
        let Some(c) = self.peek() else { return self.fail("unclosed action") };
        if SPACES.contains(&c) {
            self.space();
            return Ok(());
        }
        if c == '.' {
            let digit = self.rest()[1..].starts_with(|c: char| c.is_ascii_digit());
            return if digit { self.number() } else { self.field_or_variable(Kind::Field) };
        }
        if matches!(c, '+' | '-') || c.is_ascii_digit() {
            return self.number();
        }
        if is_alphanumeric(c) {
            return self.identifier();
        }
        self.next();
        match c {
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return self.fail("expected :=");
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '"' => return self.quoted('"', Kind::QuotedText, "unterminated quoted string"),
            '\'' => return self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '`' => {
                let Some(length) = self.rest().find('`') else {
                    return self.fail("unterminated raw quoted string");
                };
                self.skip(length + 1);
                self.emit(Kind::RawText);
            }
            '$' => {
                self.position -= 1;
                return self.field_or_variable(Kind::Variable);
            }
            '(' => {
                self.emit(Kind::LeftParenthesis);
                self.depth += 1;
            }
            ')' => {
                if self.depth == 0 {
                    return self.fail("unexpected right paren");
                }
                self.emit(Kind::RightParenthesis);
                self.depth -= 1;
            }
            c if c.is_ascii_graphic() => self.emit(Kind::Char),
            c => return self.fail(format!("unrecognized character in action: {}", code_point(c))),
        }
        Ok(())
    }

    /// A run of spaces, but for one that belongs to a trim marker.
    fn space(&mut self) {
        while self.peek().is_some_and(|c| SPACES.contains(&c)) && self.at_right() != Some(true) {
            self.next();
        }
        if self.position > self.start {
            self.emit(Kind::Space);
        }
    }

    fn identifier(&mut self) -> Step {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        if !self.at_terminator() {
            return self.bad_character();
        }
        let word = &self.input[self.start..self.position];
        let kind = match word {
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            _ => Keyword::of(word).map_or(Kind::Identifier, Kind::Keyword),
        };
        self.emit(kind);
        Ok(())
    }

    /// `.name` or `$name`, of which the first character is next.
    fn field_or_variable(&mut self, kind: Kind) -> Step {
        self.next();
        if self.at_terminator() {
            self.emit(if kind == Kind::Field { Kind::Dot } else { Kind::Variable });
            return Ok(());
        }
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        if !self.at_terminator() {
            return self.bad_character();
        }
        self.emit(kind);
        Ok(())
    }

    fn bad_character(&mut self) -> Step {
        let c = self.peek().map_or_else(|| "end of text".to_owned(), code_point);
        self.fail(format!("bad character {c}"))
    }

    /// Whether what comes next may follow a name.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) => SPACES.contains(&c) || ".,|:)(".contains(c) || self.rest().starts_with(RIGHT),
        }
    }

    /// A text or a character in quotes, behind the first one.
    fn quoted(&mut self, end: char, kind: Kind, unterminated: &str) -> Step {
        loop {
            match self.next() {
                Some('\\') if !matches!(self.peek(), None | Some('\n')) => {
                    self.next();
                }
                None | Some('\n' | '\\') => return self.fail(unterminated),
                Some(c) if c == end => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn number(&mut self) -> Step {
        let bytes = self.rest().as_bytes();
        let length = number_length(bytes);
        self.skip(length);
        let followed = self.peek();
        if followed.is_some_and(|c| is_alphanumeric(c) || matches!(c, '+' | '-')) {
            // The second half of a complex number would be part of it.
            match number_length(self.rest().as_bytes()) {
                half @ 2.. if matches!(followed, Some('+' | '-')) => self.skip(half),
                _ => drop(self.next()),
            }
            let text = crate::format::quote(&self.input[self.start..self.position]);
            return self.fail(format!("bad number syntax: {text}"));
        }
        self.emit(Kind::Number);
        Ok(())
    }
}

/// How many bytes look like a number: what they are worth is found out later.
fn number_length(bytes: &[u8]) -> usize {
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let mut digits: &[u8] = b"0123456789_";
    let prefixed = bytes.get(at) == Some(&b'0');
    match bytes.get(at + 1) {
        Some(b'x' | b'X') if prefixed => (digits, at) = (b"0123456789abcdefABCDEF_", at + 2),
        Some(b'o' | b'O') if prefixed => (digits, at) = (b"01234567_", at + 2),
        Some(b'b' | b'B') if prefixed => (digits, at) = (b"01_", at + 2),
        _ => {}
    }
    let run = |mut at: usize, set: &[u8]| {
        while bytes.get(at).is_some_and(|byte| set.contains(byte)) {
            at += 1;
        }
        at
    };
    at = run(at, digits);
    if bytes.get(at) == Some(&b'.') {
        at = run(at + 1, digits);
    }
    let exponent: &[u8] = match digits.len() {
        11 => b"eE",
        23 => b"pP",
        _ => b"",
    };
    if bytes.get(at).is_some_and(|byte| exponent.contains(byte)) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = run(at, b"0123456789_");
    }
    at
}

fn has_left_marker(text: &str) -> bool {
    matches!(text.as_bytes(), [b'-', b' ' | b'\t' | b'\r' | b'\n', ..])
}

fn has_right_marker(text: &str) -> bool {
    matches!(text.as_bytes(), [b' ' | b'\t' | b'\r' | b'\n', b'-', ..])
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// A character in a message: `U+0023 '#'`.
fn code_point(c: char) -> String {
    let shown = if c.is_control() { String::new() } else { format!(" '{c}'") };
    format!("U+{:04X}{shown}", u32::from(c))
}
