//! Durations as Prometheus writes them: `1h30m`, `15s`, `2w`; a day is 24 hours, a year 365 days.

use std::time::Duration;

/// Units from the longest to the shortest, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The duration that `text` means: numbers with units, each unit at most once, longest first; or `0`.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut units = UNITS.iter();
    let mut milliseconds = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        milliseconds = milliseconds.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(Duration::from_millis(milliseconds))
}

/// The shortest text that [`parse`] reads as `duration`, with milliseconds the finest unit. Years and weeks appear only
/// where they are exact, as Prometheus prints them.
pub fn print(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in UNITS {
        let whole = rest / factor;
        let exact = rest.is_multiple_of(factor);
        if whole > 0 && (exact || !matches!(unit, "y" | "w")) {
            text.push_str(&format!("{whole}{unit}"));
            rest %= factor;
        }
    }
    text
}
