//! Numbers as people read them.

use crate::format::{format_float, quote};
use crate::time::{GoDuration, GoTime};
use crate::value::Value;

/// What keeps a number short: four digits.
fn short(value: f64) -> String {
    format_float(value, 'g', Some(4))
}

/// A number below 1 with a smaller unit, as long as there is one.
fn enlarged(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for smaller in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = smaller;
        value *= 1_000.0;
    }
    (value, prefix)
}

/// A number with a larger unit, as long as it needs one and there is one.
fn reduced(mut value: f64, base: f64, prefixes: [&'static str; 8]) -> (f64, &'static str) {
    let mut prefix = "";
    for larger in prefixes {
        if value.abs() < base {
            break;
        }
        prefix = larger;
        value /= base;
    }
    (value, prefix)
}

/// With a metric prefix: `1.235k`, `12.5m`.
pub fn metric(value: &Value) -> Result<String, String> {
    let value = float(value)?;
    if value == 0.0 || !value.is_finite() {
        return Ok(short(value));
    }
    let (value, prefix) = match value.abs() >= 1.0 {
        true => reduced(value, 1_000.0, ["k", "M", "G", "T", "P", "E", "Z", "Y"]),
        false => enlarged(value),
    };
    Ok(format!("{}{prefix}", short(value)))
}

/// With a binary prefix: `1.5Mi`.
pub fn binary(value: &Value) -> Result<String, String> {
    let value = float(value)?;
    if value.abs() <= 1.0 || !value.is_finite() {
        return Ok(short(value));
    }
    let (value, prefix) = reduced(value, 1_024.0, ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]);
    Ok(format!("{}{prefix}", short(value)))
}

/// A ratio in percent: `12.5%`.
pub fn percentage(value: &Value) -> Result<String, String> {
    Ok(format!("{}%", short(float(value)? * 100.0)))
}

/// Seconds since 1970 as the moment they are, in UTC.
pub fn timestamp(value: &Value) -> Result<String, String> {
    let seconds = float(value)?;
    if !seconds.is_finite() {
        return Ok(short(seconds));
    }
    let time = moment(seconds)?;
    Ok(time.format("2006-01-02 15:04:05.999999999 -0700 MST"))
}

/// The moment so many seconds after 1970, to the millisecond.
pub fn moment(seconds: f64) -> Result<GoTime, String> {
    if !seconds.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let nanoseconds = seconds * 1e9;
    if nanoseconds > i64::MAX as f64 || nanoseconds < i64::MIN as f64 {
        let shown = format_float(seconds, 'g', None);
        return Err(format!(
            "{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"
        ));
    }
    // As an upstream time has no more than milliseconds; what is before 1970 is cut towards it.
    Ok(GoTime::from_millis(nanoseconds as i64 / 1_000_000))
}

/// The number that a text says, by the rules of Go's `ParseFloat`, without hexadecimal ones.
fn parse_float(text: &str) -> Option<f64> {
    match text.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str() {
        "inf" | "infinity" | "nan" => {}
        digits if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {}
        _ => return None,
    }
    text.parse().ok()
}

/// Seconds as people read them: `1d 2h 3m 4s`, `12.5s`, `3.4ms`.
pub fn duration(value: &Value) -> Result<String, String> {
    let seconds = float(value)?;
    if !seconds.is_finite() {
        return Ok(short(seconds));
    }
    if seconds == 0.0 {
        return Ok(format!("{}s", short(seconds)));
    }
    if seconds.abs() < 1.0 {
        let (value, prefix) = enlarged(seconds);
        return Ok(format!("{}{prefix}s", short(value)));
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let magnitude = seconds.abs();
    let whole = magnitude as u64;
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    Ok(match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", short(magnitude)),
        (0, 0, _) => format!("{sign}{minutes}m {rest}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {rest}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {rest}s"),
    })
}

/// The number that a value is or says; of a duration, its seconds.
pub fn float(value: &Value) -> Result<f64, String> {
    match value {
        Value::Int(int) => Ok(*int as f64),
        Value::Float(float) => Ok(*float),
        Value::Text(text) => parse_float(text)
            .ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(text))),
        Value::Object(object) => match object.downcast::<GoDuration>() {
            Some(duration) => Ok(duration.0 as f64 / 1e9),
            None => Err(format!("can't convert {} to float", value.type_of())),
        },
        other => Err(format!("can't convert {} to float", other.type_of())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let value = Value::Float;
        assert_eq!(metric(&value(1_234_567.0)).unwrap(), "1.235M");
        assert_eq!(metric(&value(-0.0012)).unwrap(), "-1.2m");
        assert_eq!(metric(&value(f64::NAN)).unwrap(), "NaN");
        assert_eq!(metric(&Value::from("1e3")).unwrap(), "1k");
        assert_eq!(binary(&value(1_048_576.0)).unwrap(), "1Mi");
        assert_eq!(binary(&Value::Int(1)).unwrap(), "1");
        assert_eq!(percentage(&value(0.959)).unwrap(), "95.9%");
        assert_eq!(timestamp(&value(1_435_065_584.128)).unwrap(), "2015-06-23 13:19:44.128 +0000 UTC");
        assert_eq!(duration(&value(135.3563)).unwrap(), "2m 15s");
        assert_eq!(duration(&value(0.0123)).unwrap(), "12.3ms");
        assert_eq!(duration(&value(-899_340.0)).unwrap(), "-10d 9h 49m 0s");
        assert_eq!(
            metric(&Value::from("x")).unwrap_err(),
            "strconv.ParseFloat: parsing \"x\": invalid syntax"
        );
        assert_eq!(metric(&Value::Bool(true)).unwrap_err(), "can't convert bool to float");
        assert!(moment(1e300).is_err());
    }
}
