//! Texts and characters in quotes, and back: Go's `strconv.Quote` and `Unquote`.

use std::fmt::Write;

/// Whether Go prints a character as itself: letters, marks, numbers, punctuation, symbols, and the space.
pub(crate) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // The standard library knows the same classes; behind another character, marks are not escaped for their own sake.
    let mut text = String::from("a");
    text.push(c);
    let mut escaped = text.escape_debug();
    escaped.next();
    escaped.next() == Some(c)
}

/// A text in double quotes, as a literal of Go.
pub fn quote(text: &str) -> String {
    quoted(text, '"', false)
}

/// As [`quote`], with everything escaped that is not ASCII.
pub(super) fn quote_ascii(text: &str) -> String {
    quoted(text, '"', true)
}

/// A character in single quotes.
pub(super) fn quote_char(c: char, ascii: bool) -> String {
    quoted(c.encode_utf8(&mut [0; 4]), '\'', ascii)
}

fn quoted(text: &str, mark: char, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if c == mark => out.extend(['\\', c]),
            c if is_printable(c) && (!ascii || c.is_ascii()) => out.push(c),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c => {
                // Writing to a text does not fail.
                let _ = match u32::from(c) {
                    code @ (..=0x1f | 0x7f) => write!(out, "\\x{code:02x}"),
                    code @ ..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(mark);
    out
}

/// The text of a literal in double quotes or back quotes; `None` if it is none.
pub fn unquote(literal: &str) -> Option<String> {
    let bytes = unquote_bytes(literal)?;
    Some(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

/// As [`unquote`], with the bytes that escapes say, which need not be UTF-8.
pub fn unquote_bytes(literal: &str) -> Option<Vec<u8>> {
    if let Some(raw) = literal.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', "").into_bytes());
    }
    let mut rest = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        // An escape may be a byte of a character, so that only the whole is a text.
        if let Some((byte, behind)) = escaped_byte(rest) {
            bytes.push(byte);
            rest = behind;
            continue;
        }
        let (c, behind) = unquote_char(rest, '"')?;
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = behind;
    }
    Some(bytes)
}

/// `\x41` and `\101`: a byte, and what follows.
fn escaped_byte(text: &str) -> Option<(u8, &str)> {
    let body = text.strip_prefix('\\')?;
    if let Some(digits) = body.strip_prefix('x') {
        let (digits, rest) = digits.split_at_checked(2)?;
        return Some((u8::from_str_radix(digits.strip_prefix('+').map_or(digits, |_| "?"), 16).ok()?, rest));
    }
    let (digits, rest) = body.split_at_checked(3)?;
    let octal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    octal.then(|| u8::from_str_radix(digits, 8).ok())?.map(|byte| (byte, rest))
}

/// The first character of what stands in quotes, and what follows it.
pub(crate) fn unquote_char(text: &str, mark: char) -> Option<(char, &str)> {
    let mut chars = text.chars();
    let c = chars.next()?;
    if c != '\\' {
        let plain = c != mark && c != '\n';
        return plain.then_some((c, chars.as_str()));
    }
    if let Some((byte, rest)) = escaped_byte(text) {
        return Some((char::from(byte), rest));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let c = match escape {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        '\'' | '"' if escape == mark => escape,
        'u' | 'U' => {
            let (digits, rest) = rest.split_at_checked(if escape == 'u' { 4 } else { 8 })?;
            let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let code = hexadecimal.then(|| u32::from_str_radix(digits, 16).ok())??;
            return Some((char::from_u32(code)?, rest));
        }
        _ => return None,
    };
    Some((c, rest))
}
