//! The classic language: tolerant, its names those that every version knows.

use model::MatchOp;

use super::{Matcher, ParseMatcherError, Parsed};

/// Matchers between commas, of which those in quotes are none.
pub(super) fn matchers(text: &str) -> Parsed {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    let mut parts = Vec::new();
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    for (at, c) in text.char_indices() {
        match c {
            ',' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            '"' if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' => escaped = !escaped,
            // A comma in quotes leaves the escape standing, as upstream has it.
            ',' => {}
            _ => escaped = false,
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts.into_iter().map(matcher).collect()
}

/// A name, an operator and a value, with spaces around each.
pub(super) fn matcher(text: &str) -> Result<Matcher, ParseMatcherError> {
    let bad = || ParseMatcherError::syntax(format!("bad matcher format: {text}"));
    let rest = text.trim_start_matches(is_space);
    let length = rest.bytes().take_while(|b| matches!(b, b'_' | b':') || b.is_ascii_alphanumeric()).count();
    let (name, rest) = rest.split_at(length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let rest = rest.trim_start_matches(is_space);
    let operators =
        [("=~", MatchOp::Regex), ("=", MatchOp::Equal), ("!=", MatchOp::NotEqual), ("!~", MatchOp::NotRegex)];
    let (op, raw) = operators
        .into_iter()
        .find_map(|(word, op)| rest.strip_prefix(word).map(|raw| (op, raw.trim_matches(is_space))))
        .ok_or_else(bad)?;
    Ok(Matcher::new(name, op, &value(raw)?)?)
}

/// What Go's expressions take for a space.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

/// The value, out of its quotes where it has any. A backslash before anything but `n`, `"` and itself is itself.
fn value(raw: &str) -> Result<String, ParseMatcherError> {
    let unescaped =
        || ParseMatcherError::syntax(format!("matcher value contains unescaped double quote: {raw}"));
    let (mut rest, mut open) = match raw.strip_prefix('"') {
        Some(rest) => (rest, true),
        None => (raw, false),
    };
    let mut out = String::with_capacity(rest.len());
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match (c, rest.chars().next()) {
            ('\\', Some(escaped)) => {
                match escaped {
                    'n' => out.push('\n'),
                    '"' | '\\' => out.push(escaped),
                    other => out.extend(['\\', other]),
                }
                rest = &rest[escaped.len_utf8()..];
            }
            ('"', None) if open => open = false,
            ('"', _) => return Err(unescaped()),
            (c, _) => out.push(c),
        }
    }
    if open { Err(unescaped()) } else { Ok(out) }
}
