//! Floats and timestamps as Prometheus writes them into JSON.

use std::io::Write;

/// The exponent from which on, and below which, a sample's value is written with an exponent.
const EXPONENT_FROM: f64 = 1e21;
const EXPONENT_BELOW: f64 = 1e-6;

/// Below this, all digits of a whole number are its shortest digits.
const WHOLE_BELOW: f64 = 1e15;

/// Appends a sample's value: the shortest digits that read back equal, with an exponent (`1e+21`, `2.5e-07`) where the
/// magnitude is outside of 1e-6 to 1e21; `NaN`, `+Inf`, `-Inf`.
pub(crate) fn push_value(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if value.is_finite() && magnitude != 0.0 && !(EXPONENT_BELOW..EXPONENT_FROM).contains(&magnitude) {
        push_exponent(out, value);
    } else {
        push_plain(out, value);
    }
}

/// Appends a float without an exponent, whatever its magnitude: how Prometheus writes scalars.
pub(crate) fn push_plain(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
        return;
    }
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
        return;
    }
    // Counters are whole numbers mostly; these need no search for the shortest digits.
    if value.abs() < WHOLE_BELOW && value.trunc() == value && (value != 0.0 || value.is_sign_positive()) {
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
        return;
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    if text.contains('e') {
        // The standard library never uses an exponent; it is slower, and such values are rare.
        write!(out, "{value}").expect("writing to a Vec does not fail");
    } else {
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    }
}

/// Appends milliseconds since the Unix epoch as seconds with up to three decimals.
pub(crate) fn push_timestamp(out: &mut Vec<u8>, timestamp_ms: i64) {
    if timestamp_ms < 0 {
        out.push(b'-');
    }
    let ms = timestamp_ms.unsigned_abs();
    let mut buffer = itoa::Buffer::new();
    out.extend_from_slice(buffer.format(ms / 1_000).as_bytes());
    let fraction = ms % 1_000;
    if fraction == 0 {
        return;
    }
    // 3 digits, zeros at the end included, as Prometheus does.
    let digits = [fraction / 100, fraction / 10 % 10, fraction % 10];
    out.push(b'.');
    out.extend(digits.map(|d| b'0' + d as u8));
}

/// `d.ddde±XX`: the exponent has a sign and at least two digits.
fn push_exponent(out: &mut Vec<u8>, value: f64) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    write!(out, "{mantissa}e{sign}{digits:0>2}").expect("writing to a Vec does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(v: f64) -> String {
        let mut out = Vec::new();
        push_value(&mut out, v);
        String::from_utf8(out).unwrap()
    }

    fn timestamp(ms: i64) -> String {
        let mut out = Vec::new();
        push_timestamp(&mut out, ms);
        String::from_utf8(out).unwrap()
    }

    /// What Go's `strconv.AppendFloat` gives for the format that upstream chooses.
    #[test]
    fn values_as_go_prints_them() {
        for (v, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (-7.0, "-7"),
            (999_999_999_999_999.0, "999999999999999"),
            (1e15, "1000000000000000"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (1.5e22, "1.5e+22"),
            (1e100, "1e+100"),
            (0.000_001, "0.000001"),
            (0.000_012_34, "0.00001234"),
            (0.000_000_1, "1e-07"),
            (2.5e-7, "2.5e-07"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (1_435_781_451.781, "1435781451.781"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(value(v), expected);
        }
    }

    #[test]
    fn plain_never_has_an_exponent() {
        let mut out = Vec::new();
        push_plain(&mut out, 1e22);
        out.push(b' ');
        push_plain(&mut out, 1e-7);
        assert_eq!(out, b"10000000000000000000000 0.0000001");
    }

    #[test]
    fn timestamps_are_seconds() {
        for (ms, expected) in [
            (0, "0"),
            (1_000, "1"),
            (1_435_781_451_781, "1435781451.781"),
            (1_001, "1.001"),
            (1_010, "1.010"),
            (1_100, "1.100"),
            (-1_500, "-1.500"),
            (-1, "-0.001"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(timestamp(ms), expected);
        }
    }
}
