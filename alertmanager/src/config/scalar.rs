//! What single values are where upstream's YAML says so: numbers and truths in all their forms, and durations, with its words.

use std::time::Duration;

use settings::yaml::{Kind, Node};

/// What a value without quotes is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar {
    /// A truth.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A day, with or without a time of day.
    Timestamp,
    /// Text, as everything in quotes is.
    Text,
}

impl Scalar {
    /// What stands at a node; a list or a mapping is told as text, which nobody asks for.
    pub(crate) fn of(node: &Node) -> Self {
        match &node.kind {
            Kind::Scalar { text, plain: true } => Self::plain(text),
            _ => Self::Text,
        }
    }

    fn plain(text: &str) -> Self {
        match text {
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
                return Self::Bool(true);
            }
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
                return Self::Bool(false);
            }
            ".nan" | ".NaN" | ".NAN" => return Self::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Self::Float(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => return Self::Float(f64::NEG_INFINITY),
            _ => {}
        }
        if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
            return Self::Text;
        }
        if is_day(text) {
            return Self::Timestamp;
        }
        let digits = text.replace('_', "");
        match (whole(&digits), float(&digits)) {
            (Some(number), _) => Self::Int(number),
            (None, Some(number)) => Self::Float(number),
            (None, None) => Self::Text,
        }
    }

    /// As upstream calls it in messages.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Timestamp => "timestamp",
            Self::Text => "str",
        }
    }

    /// The whole number that it is taken for where one is wanted: what is behind the point is cut.
    pub(crate) fn whole(self) -> Option<i128> {
        match self {
            Self::Int(number) => Some(number),
            Self::Float(number) if number.abs() < 9.3e18 => Some(number as i128),
            _ => None,
        }
    }

    /// The number.
    pub(crate) fn float(self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }
}

/// A whole number of up to 64 bits: decimal, or with what tells its base in front of it.
fn whole(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let bases = [("0x", 16), ("0b", 2), ("0o", 8)];
    let (digits, base) = bases
        .iter()
        .find_map(|(prefix, base)| lower.strip_prefix(prefix).map(|digits| (digits, *base)))
        .or_else(|| lower.strip_prefix('0').filter(|rest| !rest.is_empty()).map(|digits| (digits, 8)))
        .unwrap_or((&lower, 10));
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, base).ok()?);
    let number = if negative { -magnitude } else { magnitude };
    (number >= i128::from(i64::MIN)).then_some(number)
}

/// A number with digits, and perhaps a point and an exponent.
fn float(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let starts = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let plain = digits.chars().all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    (starts && plain).then(|| text.parse().ok()).flatten()
}

/// Whether a text begins as a day does, `2024-1-31`, and nothing but a time of day follows.
fn is_day(text: &str) -> bool {
    let day = text.split(['T', 't', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split('-').collect();
    let number = |text: &str, least: usize, most: usize| {
        (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let [year, month, day_of_month] = parts.as_slice() else { return false };
    let time = text.get(day.len() + 1..).is_none_or(|time| time.contains(':'));
    time && number(year, 4, 4) && number(month, 1, 2) && number(day_of_month, 1, 2)
}

/// A duration of Prometheus, `1h30m`, or what is wrong with it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Err("empty duration string".to_owned());
    }
    settings::duration::parse(text).ok_or_else(|| {
        let quoted = gotemplate::quote(text);
        match unknown_unit(text) {
            Some(unit) => format!("unknown unit {} in duration {quoted}", gotemplate::quote(unit)),
            None => format!("not a valid duration string: {quoted}"),
        }
    })
}

/// The first unit that is none, if all before it are units in their order.
fn unknown_unit(text: &str) -> Option<&str> {
    let mut left = ["y", "w", "d", "h", "m", "s", "ms"].as_slice();
    let mut rest = text;
    while !rest.is_empty() {
        let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at(end);
        if behind.len() == rest.len() || unit.is_empty() {
            return None;
        }
        if !["y", "w", "d", "h", "m", "s", "ms"].contains(&unit) {
            return Some(unit);
        }
        let place = left.iter().position(|known| *known == unit)?;
        left = left.get(place + 1..)?;
        rest = next;
    }
    None
}

/// A duration of Go in nanoseconds, `1h2m3.5s`, or what is wrong with it.
pub(super) fn go_duration(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("μs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3_600e9),
    ];
    let quoted = || gotemplate::quote(text);
    let invalid = || format!("time: invalid duration {}", quoted());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let (mut rest, mut nanoseconds) = (unsigned, 0.0);
    while !rest.is_empty() {
        let is_digit = |c: char| c.is_ascii_digit() || c == '.';
        let digits = rest.find(|c: char| !is_digit(c)).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = behind.find(is_digit).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quoted()));
        }
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let unknown = || {
            let unit = gotemplate::quote(unit);
            format!("time: unknown unit {unit} in duration {}", quoted())
        };
        nanoseconds += number * known.ok_or_else(unknown)?.1;
        rest = behind;
    }
    // What Go's durations hold.
    if nanoseconds >= 9.2e18 {
        return Err(invalid());
    }
    let nanoseconds = nanoseconds.round() as i64;
    Ok(if text.starts_with('-') { -nanoseconds } else { nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_what_upstreams_yaml_takes_them_for() {
        let cases = [
            ("yes", Scalar::Bool(true)),
            ("OFF", Scalar::Bool(false)),
            ("tRUE", Scalar::Text),
            ("5", Scalar::Int(5)),
            ("-1_000", Scalar::Int(-1_000)),
            ("010", Scalar::Int(8)),
            ("0x1F", Scalar::Int(31)),
            ("0b11", Scalar::Int(3)),
            ("089", Scalar::Float(89.0)),
            ("1e3", Scalar::Float(1e3)),
            (".5", Scalar::Float(0.5)),
            ("1.5h", Scalar::Text),
            ("2024-01-01", Scalar::Timestamp),
            ("2024-01-01x", Scalar::Text),
            ("12:30:45", Scalar::Text),
        ];
        for (text, expected) in cases {
            assert_eq!(Scalar::plain(text), expected, "{text}");
        }
        assert_eq!(Scalar::plain("1.9").whole(), Some(1));
    }

    #[test]
    fn durations_say_what_is_wrong_in_upstreams_words() {
        let wrong = |text: &str| duration(text).expect_err(text);
        assert_eq!(wrong("1e3"), "unknown unit \"e\" in duration \"1e3\"");
        assert_eq!(wrong("1.5h"), "unknown unit \".\" in duration \"1.5h\"");
        assert_eq!(wrong("1m1h"), "not a valid duration string: \"1m1h\"");
        assert_eq!(wrong("30"), "not a valid duration string: \"30\"");
        let wrong = |text: &str| go_duration(text).expect_err(text);
        assert_eq!(wrong("1"), "time: missing unit in duration \"1\"");
        assert_eq!(wrong("1x"), "time: unknown unit \"x\" in duration \"1x\"");
        assert_eq!(wrong("soon"), "time: invalid duration \"soon\"");
        assert_eq!(go_duration("-1m1.5s"), Ok(-61_500_000_000));
    }
}
