//! Times and numbers as Go writes them.

use gotemplate::time::GoTime;

/// RFC 3339 with as many digits of a second as there are.
const FORMAT: &str = "2006-01-02T15:04:05.999999999Z07:00";
/// Go's time that is none.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A time, in milliseconds since 1970.
pub(super) fn time(ms: i64) -> String {
    GoTime::from_millis(ms).format(FORMAT)
}

/// A time that may not have come.
pub(super) fn time_or_never(ms: Option<i64>) -> String {
    ms.map_or_else(|| NEVER.to_owned(), time)
}

/// A number with an exponent, which has two digits at least: `1.5e+00`.
pub(super) fn exponential(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_go_writes_them() {
        let cases = [
            (1.0, "1e+00"),
            (0.0, "0e+00"),
            (-1.5, "-1.5e+00"),
            (123_456.0, "1.23456e+05"),
            (1e-7, "1e-07"),
            (1e100, "1e+100"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, text) in cases {
            assert_eq!(exponential(value), text);
        }
    }

    #[test]
    fn times_have_as_many_digits_as_they_need() {
        assert_eq!(time(1_000), "1970-01-01T00:00:01Z");
        assert_eq!(time(1_500), "1970-01-01T00:00:01.5Z");
        assert_eq!(time_or_never(None), "0001-01-01T00:00:00Z");
    }
}
