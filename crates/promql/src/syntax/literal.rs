//! Numbers and quoted texts: how far they reach, and what they stand for.

use crate::text::quote::quote;

/// How long the number or duration at the start of `text` is, and whether it is a duration; else how far the attempt
/// came. The first character is a digit, or a dot before one.
pub(crate) fn scan_number_or_duration(text: &str) -> Result<(usize, bool), usize> {
    let bytes = text.as_bytes();
    let at = match scan_number(bytes) {
        Ok(length) if !bytes.get(length).is_some_and(is_word) => return Ok((length, false)),
        Ok(length) | Err(length) => length,
    };
    scan_rest_of_duration(bytes, at).map(|length| (length, true)).map_err(|at| whole_character(text, at))
}

/// Takes a unit, and then further numbers with units. Bad units such as `hs` are found when the value is looked at.
fn scan_rest_of_duration(bytes: &[u8], mut at: usize) -> Result<usize, usize> {
    let mut units: &[u8] = b"smhdwy";
    loop {
        if !bytes.get(at).is_some_and(|b| units.contains(b)) {
            return Err(at);
        }
        at += 1;
        if bytes.get(at) == Some(&b's') {
            at += 1;
        }
        let digits = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            break;
        }
        at += digits;
        units = b"smhdw";
    }
    match bytes.get(at) {
        Some(b) if is_word(b) => Err(at + 1),
        _ => Ok(at),
    }
}

/// The end of the character that `at` is in.
fn whole_character(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

fn is_word(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || *b == b'_'
}

/// How far a number reaches, whatever follows it; or where it goes wrong.
fn scan_number(bytes: &[u8]) -> Result<usize, usize> {
    let hexadecimal = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let mut at = if hexadecimal { 2 } else { 0 };
    if hexadecimal && bytes.get(at) == Some(&b'_') {
        at += 1;
    }
    let (mut dot, mut exponent) = (false, false);
    let is_digit = |b: u8| {
        if hexadecimal { b.is_ascii_hexdigit() } else { b.is_ascii_digit() }
    };
    while let Some(b) = bytes.get(at).copied() {
        let next = bytes.get(at + 1).copied();
        match b {
            b if is_digit(b) => at += 1,
            b'.' if dot => return Err(at + 1),
            b'.' if matches!(next, Some(b'_' | b'.')) => return Err(at + 2),
            b'.' if hexadecimal => return Err(at + 1),
            b'.' => {
                dot = true;
                at += 1;
            }
            b'e' | b'E' if exponent => return Err(at + 1),
            b'e' | b'E' => {
                at += 1;
                if matches!(bytes.get(at), Some(b'+' | b'-')) {
                    at += 1;
                }
                match bytes.get(at) {
                    None => return Err(at),
                    Some(b'.' | b'_' | b'e' | b'E') => return Err(at + 1),
                    Some(_) => exponent = true,
                }
            }
            b'_' => match next {
                None => return Err(at + 1),
                Some(b'.' | b'_' | b'e' | b'E') => return Err(at + 2),
                Some(_) => at += 1,
            },
            _ => break,
        }
    }
    Ok(at)
}

/// The value of a number.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    let fail =
        |reason: &str| format!("error parsing number: strconv.ParseFloat: parsing {}: {reason}", quote(text));
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let lower = plain.to_ascii_lowercase();
    match lower.as_str() {
        "inf" => return Ok(f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    if let Some(digits) = lower.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).map(|n| n as f64).map_err(|_| fail("invalid syntax"));
    }
    // As in C, a leading zero makes an integer octal.
    if lower.len() > 1
        && lower.starts_with('0')
        && lower.bytes().all(|b| matches!(b, b'0'..=b'7'))
        && let Ok(n) = i64::from_str_radix(&lower, 8)
    {
        return Ok(n as f64);
    }
    let value: f64 = lower.parse().map_err(|_| fail("invalid syntax"))?;
    if value.is_infinite() {
        return Err(fail("value out of range"));
    }
    Ok(value)
}

/// How long the quoted text at the start of `text` is, quotes included.
pub(crate) fn scan_string(text: &str, quote: char) -> Result<usize, String> {
    let raw = quote == '`';
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\u{fffd}' => return Err("invalid UTF-8 rune".to_owned()),
            '\n' if !raw => return Err("unterminated quoted string".to_owned()),
            c if c == quote => return Ok(at + 1),
            '\\' if !raw => {
                let (_, length) = unescape(&text[at..], quote)?;
                // The backslash is taken; of the rest, all are single characters.
                for _ in 1..text[at..at + length].chars().count() {
                    chars.next();
                }
            }
            _ => {}
        }
    }
    Err(if raw { "unterminated raw string" } else { "unterminated quoted string" }.to_owned())
}

/// The bytes that a quoted text stands for. It has passed [`scan_string`].
pub(crate) fn unquote(quoted: &str) -> Result<Vec<u8>, String> {
    let mut chars = quoted.chars();
    let (Some(quote), Some(_)) = (chars.next(), chars.next_back()) else {
        return Err("invalid syntax".to_owned());
    };
    let inner = chars.as_str();
    if quote == '`' || !inner.contains('\\') {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        if c == '\\' {
            let (unescaped, length) = unescape(rest, quote)?;
            match unescaped {
                Unescaped::Byte(byte) => out.push(byte),
                Unescaped::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            rest = &rest[length..];
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[c.len_utf8()..];
        }
    }
    Ok(out)
}

enum Unescaped {
    Byte(u8),
    Char(char),
}

/// What the escape sequence at the start of `text` stands for, and its length, backslash included.
fn unescape(text: &str, quote: char) -> Result<(Unescaped, usize), String> {
    let Some(c) = text[1..].chars().next() else {
        return Err("escape sequence not terminated".to_owned());
    };
    let simple = |byte| Ok((Unescaped::Byte(byte), 2));
    let (prefix, digits, radix) = match c {
        'a' => return simple(0x07),
        'b' => return simple(0x08),
        'f' => return simple(0x0c),
        'n' => return simple(b'\n'),
        'r' => return simple(b'\r'),
        't' => return simple(b'\t'),
        'v' => return simple(0x0b),
        '\\' => return simple(b'\\'),
        c if c == quote => return simple(quote as u8),
        '0'..='7' => (1, 3, 8),
        'x' => (2, 2, 16),
        'u' => (2, 4, 16),
        'U' => (2, 8, 16),
        c => return Err(format!("unknown escape sequence U+{:04X} '{c}'", c as u32)),
    };
    let mut value: u32 = 0;
    let mut rest = text[prefix..].chars();
    for _ in 0..digits {
        let c = rest.next().ok_or("escape sequence not terminated")?;
        let digit = c
            .to_digit(radix)
            .ok_or_else(|| format!("illegal character U+{:04X} '{c}' in escape sequence", c as u32))?;
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    let invalid = || "escape sequence is an invalid Unicode code point".to_owned();
    let unescaped = if matches!(c, 'u' | 'U') {
        Unescaped::Char(char::from_u32(value).ok_or_else(invalid)?)
    } else {
        Unescaped::Byte(u8::try_from(value).map_err(|_| invalid())?)
    };
    Ok((unescaped, prefix + digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, value) in [
            ("1", 1.0),
            ("1.5e3", 1500.0),
            (".5", 0.5),
            ("2.", 2.0),
            ("0x1F", 31.0),
            ("0755", 493.0),
            ("08", 8.0),
            ("1_000", 1000.0),
            ("Inf", f64::INFINITY),
        ] {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
        assert!(parse_number(&"9".repeat(400)).is_err());
    }

    #[test]
    fn reach_of_numbers_and_durations() {
        assert_eq!(scan_number_or_duration("5m)"), Ok((2, true)));
        assert_eq!(scan_number_or_duration("1h30m500ms "), Ok((10, true)));
        assert_eq!(scan_number_or_duration("1e3+"), Ok((3, false)));
        assert_eq!(scan_number_or_duration("0x1e"), Ok((4, false)));
        for bad in ["5mm", "5m1", "0de", "2.5.", "100..", "1e", "1e+", "1_", "1__0"] {
            assert!(scan_number_or_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn strings() {
        assert_eq!(scan_string(r#""a\"b" c"#, '"'), Ok(6));
        assert_eq!(unquote(r#""a\"\x41\u00fc\101\xc5""#), Ok(b"a\"A\xc3\xbcA\xc5".to_vec()));
        assert_eq!(unquote(r"`a\n`"), Ok(b"a\\n".to_vec()));
        assert!(scan_string(r#""\c""#, '"').is_err());
        assert!(scan_string(r#""\400""#, '"').is_err());
        assert!(scan_string("\"a", '"').is_err());
        assert!(scan_string("\"\\", '"').is_err());
    }
}
