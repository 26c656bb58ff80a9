//! The language with UTF-8: names and values are anything but what is reserved, or anything in double quotes.

use model::MatchOp;

use super::{Matcher, ParseMatcherError, Parsed, is_reserved};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    Comma,
    Operator(MatchOp),
    Quoted,
    Unquoted,
}

/// A token and the columns it spans, in characters from 0, the end excluded.
#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    start: usize,
    end: usize,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        matches!(self.kind, Kind::Quoted | Kind::Unquoted)
    }
}

/// What stands next: a token, or the end.
type Next<'a> = Result<Option<Token<'a>>, String>;

/// Matchers between commas, with or without braces around them.
pub(super) fn matchers(text: &str) -> Parsed {
    let mut parser = Parser { input: text, at: 0, column: 0, failed: None };
    parser.all()
}

struct Parser<'a> {
    input: &'a str,
    /// Where the next token is looked for, in bytes, ...
    at: usize,
    /// ... and in characters.
    column: usize,
    /// What is wrong from here on.
    failed: Option<String>,
}

impl<'a> Parser<'a> {
    fn all(&mut self) -> Parsed {
        let Some(first) = self.peek().map_err(ParseMatcherError::Syntax)? else { return Ok(Vec::new()) };
        let braces = first.kind == Kind::Open;
        if braces {
            self.pass(&first);
        }
        let mut found = Vec::new();
        let mut next = self.peek().map_err(ParseMatcherError::Syntax)?;
        while next.is_some_and(|token| token.kind != Kind::Close) {
            found.push(self.matcher()?);
            let behind = self.peek().map_err(|e| expected(&e, COMMA_OR_BRACE))?;
            match behind {
                Some(token) if token.kind == Kind::Comma => self.pass(&token),
                Some(token) if token.kind != Kind::Close => {
                    return Err(expected(&unexpected(&token), COMMA_OR_BRACE));
                }
                behind => {
                    next = behind;
                    break;
                }
            }
            next = self.peek().map_err(|e| expected(&e, MATCHER_OR_BRACE))?;
            if let Some(token) = next
                && !token.is_word()
                && token.kind != Kind::Close
            {
                return Err(expected(&unexpected(&token), MATCHER_OR_BRACE));
            }
        }
        self.end(braces, next)?;
        Ok(found)
    }

    /// The closing brace, if there was an opening one, and then nothing.
    fn end(&mut self, braces: bool, next: Option<Token<'a>>) -> Result<(), ParseMatcherError> {
        match next {
            Some(token) => {
                self.pass(&token);
                if !braces {
                    let column = self.column;
                    return Err(ParseMatcherError::syntax(format!("0:{column}: }}: expected opening brace")));
                }
            }
            None if braces => {
                let column = self.column;
                let message = format!("0:{column}: end of input: expected close brace");
                return Err(ParseMatcherError::syntax(message));
            }
            None => {}
        }
        match self.peek() {
            Ok(None) => Ok(()),
            Ok(Some(token)) => {
                let Token { text, start, end, .. } = token;
                Err(ParseMatcherError::syntax(format!("{start}:{end}: {text}: expected end of input")))
            }
            Err(message) => Err(expected(&message, "expected end of input")),
        }
    }

    fn matcher(&mut self) -> Result<Matcher, ParseMatcherError> {
        let name = self.take(Token::is_word, "expected label name")?;
        let name_text = unquoted(&name)?;
        let is_operator = |token: &Token<'_>| matches!(token.kind, Kind::Operator(_));
        let operator = self.take(is_operator, "expected an operator such as '=', '!=', '=~' or '!~'")?;
        let value = self.take(Token::is_word, "expected label value")?;
        let value_text = unquoted(&value)?;
        let op = match operator.kind {
            Kind::Operator(op) => op,
            _ => MatchOp::Equal,
        };
        Matcher::new(&name_text, op, &value_text)
            .map_err(|error| ParseMatcherError::syntax(format!("failed to create matcher: {error}")))
    }

    /// The next token, which has to be of some kind.
    fn take(
        &mut self,
        wanted: impl Fn(&Token<'a>) -> bool,
        what: &str,
    ) -> Result<Token<'a>, ParseMatcherError> {
        match self.peek() {
            Ok(Some(token)) if wanted(&token) => {
                self.pass(&token);
                Ok(token)
            }
            Ok(Some(token)) => Err(expected(&unexpected(&token), what)),
            Ok(None) => Err(expected("end of input", what)),
            Err(message) => Err(expected(&message, what)),
        }
    }

    /// Goes behind a token that was peeked at.
    fn pass(&mut self, token: &Token<'a>) {
        let start = token.text.as_ptr() as usize - self.input.as_ptr() as usize;
        self.at = start + token.text.len();
        self.column = token.end;
    }

    fn peek(&mut self) -> Next<'a> {
        if let Some(message) = &self.failed {
            return Err(message.clone());
        }
        let rest = &self.input[self.at..];
        let trimmed = rest.trim_start();
        let start = self.column + rest[..rest.len() - trimmed.len()].chars().count();
        let Some(c) = trimmed.chars().next() else { return Ok(None) };
        let token = |kind, length: usize| {
            let text = &trimmed[..length];
            Ok(Some(Token { kind, text, start, end: start + text.chars().count() }))
        };
        match c {
            '{' => token(Kind::Open, 1),
            '}' => token(Kind::Close, 1),
            ',' => token(Kind::Comma, 1),
            '=' if trimmed.starts_with("=~") => token(Kind::Operator(MatchOp::Regex), 2),
            '=' => token(Kind::Operator(MatchOp::Equal), 1),
            '!' if trimmed.starts_with("!=") => token(Kind::Operator(MatchOp::NotEqual), 2),
            '!' if trimmed.starts_with("!~") => token(Kind::Operator(MatchOp::NotRegex), 2),
            '!' => {
                let end = start + 1;
                self.fail(if trimmed.len() == 1 {
                    format!("{start}:{end}: unexpected end of input, expected one of '=~'")
                } else {
                    format!("{start}:{end}: !: expected one of '=~'")
                })
            }
            '"' => match quoted_length(trimmed) {
                Some(length) => token(Kind::Quoted, length),
                None => {
                    let end = start + trimmed.chars().count();
                    self.fail(format!("{start}:{end}: {trimmed}: missing end \""))
                }
            },
            c if !is_reserved(c) => token(Kind::Unquoted, trimmed.find(is_reserved).unwrap_or(trimmed.len())),
            c => self.fail(format!("{start}:{}: {c}: invalid input", start + 1)),
        }
    }

    fn fail(&mut self, message: String) -> Next<'a> {
        self.failed = Some(message.clone());
        Err(message)
    }
}

const COMMA_OR_BRACE: &str = "expected a comma or close brace";
const MATCHER_OR_BRACE: &str = "expected a matcher or close brace after comma";

fn expected(what: &str, expectation: &str) -> ParseMatcherError {
    ParseMatcherError::Syntax(format!("{what}: {expectation}"))
}

fn unexpected(token: &Token<'_>) -> String {
    format!("{}:{}: unexpected {}", token.start, token.end, token.text)
}

/// How many bytes a text in quotes has, both quotes included.
fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn unquoted(token: &Token<'_>) -> Result<String, ParseMatcherError> {
    if token.kind == Kind::Unquoted {
        return Ok(token.text.to_owned());
    }
    let bytes = gotemplate::unquote_bytes(token.text);
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        let Token { text, start, end, .. } = token;
        ParseMatcherError::syntax(format!("{start}:{end}: {text}: invalid input"))
    })
}
