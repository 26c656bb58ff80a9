//! Durations as Prometheus writes them: `1h30m`, units `y w d h m s ms`.

use std::fmt::Write;

const UNITS_MS: [(&str, i64, bool); 7] = [
    ("y", 365 * 86_400_000, true),
    ("w", 7 * 86_400_000, true),
    ("d", 86_400_000, false),
    ("h", 3_600_000, false),
    ("m", 60_000, false),
    ("s", 1_000, false),
    ("ms", 1, false),
];

/// The longest duration that upstream can hold: nanoseconds in a signed 64-bit integer.
const MAX_MS: i64 = i64::MAX / 1_000_000;

/// The text of a duration of `ms` milliseconds; negative ones get a sign. Years and weeks are used only where they
/// divide it.
pub fn format_ms(ms: i64) -> String {
    let mut out = String::new();
    let mut rest = ms.unsigned_abs();
    if rest == 0 {
        return "0s".to_owned();
    }
    if ms < 0 {
        out.push('-');
    }
    for (unit, size, only_whole) in UNITS_MS {
        let size = size.unsigned_abs();
        if only_whole && !rest.is_multiple_of(size) {
            continue;
        }
        if rest >= size {
            let _ = write!(out, "{}{unit}", rest / size);
            rest %= size;
        }
    }
    out
}

/// The milliseconds of a duration: `0`, or numbers with units in descending order, each unit at most once.
pub fn parse_ms(text: &str) -> Result<i64, String> {
    let invalid = || format!("not a valid duration string: {}", super::quote::quote(text));
    match text {
        "" => return Err("empty duration string".to_owned()),
        "0" => return Ok(0),
        _ => {}
    }
    let mut rest = text;
    let mut next_unit = 0;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
        let unit = &rest[digits..digits + letters];
        let position = UNITS_MS.iter().position(|(name, ..)| *name == unit);
        let Some(position) = position.filter(|_| digits > 0) else {
            if digits > 0 && letters > 0 {
                return Err(format!("unknown unit \"{unit}\" in duration {}", super::quote::quote(text)));
            }
            return Err(invalid());
        };
        if position < next_unit {
            return Err(invalid());
        }
        next_unit = position + 1;
        let number = rest[..digits].parse::<u64>().map_err(|_| invalid())?;
        let part = i64::try_from(number).ok().and_then(|n| n.checked_mul(UNITS_MS[position].1));
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|ms| *ms <= MAX_MS)
            .ok_or("duration out of range")?;
        rest = &rest[digits + letters..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (text, ms) in [
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1w", 604_800_000),
            ("8d", 691_200_000),
            ("1y", 31_536_000_000),
            ("1s500ms", 1_500),
        ] {
            assert_eq!(parse_ms(text), Ok(ms));
            assert_eq!(format_ms(ms), text);
        }
        assert_eq!(format_ms(-60_000), "-1m");
        assert_eq!(format_ms(0), "0s");
    }

    #[test]
    fn refusals() {
        for text in ["", "1", "m", "5m1h", "1m1m", "5hs", "1.5h", "300y", "99999999999999999999s"] {
            assert!(parse_ms(text).is_err(), "{text}");
        }
    }
}
