//! Texts in quotes, as Go's `strconv.Quote` writes them.

use std::fmt::Write;

/// `bytes` in double quotes, with what cannot be printed escaped and what is not UTF-8 as `\x..`.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_escaped(&mut out, c));
        for byte in chunk.invalid() {
            push_hex(&mut out, "\\x", u32::from(*byte), 2);
        }
    }
    out.push('"');
    out
}

/// `text` in double quotes.
pub fn quote(text: &str) -> String {
    quote_bytes(text.as_bytes())
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        c if is_printable(c) => out.push(c),
        c if (c as u32) < 0x80 => push_hex(out, "\\x", c as u32, 2),
        c if (c as u32) < 0x1_0000 => push_hex(out, "\\u", c as u32, 4),
        c => push_hex(out, "\\U", c as u32, 8),
    }
}

fn push_hex(out: &mut String, prefix: &str, value: u32, digits: usize) {
    let _ = write!(out, "{prefix}{value:0digits$x}");
}

/// Close to Go's `unicode.IsPrint`: no controls, no white space but the plain space, no format characters, nothing
/// for private use. Rust's own notion, in `escape_debug`, covers the rest.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    if c.is_control() || c.is_whitespace() || c == '\u{ad}' {
        return false;
    }
    // Combining marks are escaped by `escape_debug` but printable for Go.
    let mut escaped = c.escape_debug();
    escaped.next() != Some('\\') || is_combining(c)
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        assert_eq!(quote("a\"\\\n\u{1}ü"), r#""a\"\\\n\x01ü""#);
        assert_eq!(quote_bytes(b"a\xc5z"), r#""a\xc5z""#);
        assert_eq!(quote("\u{200b}\u{a0}"), r#""\u200b\u00a0""#);
    }
}
