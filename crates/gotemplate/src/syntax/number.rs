//! Constants: a number may be whole, a float, or both, and what it is used for decides.

use crate::format::{quote, unquote_char};

/// A constant as written, and what it can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Number {
    pub(crate) text: String,
    /// The whole number, where it is one that fits.
    pub(crate) int: Option<i64>,
    pub(crate) float: f64,
    /// Whether it fits 64 bits without a sign but not with one.
    pub(crate) overflows: bool,
    /// Whether it is written as a float: a point or an exponent.
    pub(crate) looks_float: bool,
}

impl Number {
    /// A character in single quotes, which is the number of its code point.
    pub(crate) fn of_character(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        let (c, rest) = inner.and_then(|inner| unquote_char(inner, '\'')).ok_or("invalid syntax")?;
        if !rest.is_empty() {
            return Err(format!("malformed character constant: {text}"));
        }
        let code = i64::from(u32::from(c));
        Ok(Self {
            text: text.to_owned(),
            int: Some(code),
            float: code as f64,
            overflows: false,
            looks_float: false,
        })
    }

    /// A number of Go's: `0x1F`, `0b1`, `017`, `1_000`, `1e3`, `.5`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (negative, digits) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let hexadecimal = digits.starts_with("0x") || digits.starts_with("0X");
        let looks_float =
            if hexadecimal { digits.contains(['p', 'P', '.']) } else { digits.contains(['.', 'e', 'E']) };
        if !looks_float && let Some(magnitude) = magnitude(digits) {
            return whole(text, negative, magnitude);
        }
        let illegal = || format!("illegal number syntax: {}", quote(text));
        let plain = !digits.is_empty() && !digits.contains('_') && !hexadecimal;
        let float: f64 =
            plain.then(|| text.parse().ok()).flatten().filter(|f: &f64| f.is_finite()).ok_or_else(illegal)?;
        if !looks_float {
            // Digits that are none in their base are too many for Go.
            return Err(format!("integer overflow: {}", quote(text)));
        }
        let int =
            (float.trunc() == float && float.abs() < 9_223_372_036_854_775_808.0).then_some(float as i64);
        Ok(Self { text: text.to_owned(), int, float, overflows: false, looks_float: true })
    }
}

/// The value of digits with an optional prefix for their base; `None` if they are none. Too many are [`u128::MAX`].
fn magnitude(digits: &str) -> Option<u128> {
    let lower = digits.to_ascii_lowercase();
    let (base, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let prefixed = body.len() < lower.len();
    // Underscores separate digits, or the base from the digits.
    let misplaced =
        body.is_empty() || body.ends_with('_') || body.contains("__") || (!prefixed && body.starts_with('_'));
    if misplaced {
        return None;
    }
    body.chars().filter(|c| *c != '_').try_fold(0u128, |sum, c| {
        let digit = c.to_digit(base)?;
        Some(sum.saturating_mul(u128::from(base)).saturating_add(u128::from(digit)))
    })
}

fn whole(text: &str, negative: bool, magnitude: u128) -> Result<Number, String> {
    if magnitude > u128::from(u64::MAX) {
        return Err(format!("integer overflow: {}", quote(text)));
    }
    let signed = if negative { -(magnitude as i128) } else { magnitude as i128 };
    let int = i64::try_from(signed).ok();
    if int.is_none() && negative {
        return Err(format!("integer overflow: {}", quote(text)));
    }
    Ok(Number {
        text: text.to_owned(),
        int,
        float: signed as f64,
        overflows: int.is_none(),
        looks_float: false,
    })
}
