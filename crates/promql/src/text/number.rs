//! Floats as Go's `strconv` prints them.

/// The shortest decimal form without an exponent that reads back as the same float: Go's format `f` with precision
/// -1. `count_values` and the API use it.
pub fn plain(value: f64) -> String {
    match special(value) {
        Some(text) => text.to_owned(),
        None => format!("{value}"),
    }
}

/// The shortest form that reads back as the same float, with an exponent where that is below -4 or above 5: Go's
/// format `g` with precision -1, which is also `%v`.
pub fn general(value: f64) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return plain(value);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_those_of_go() {
        assert_eq!(plain(1e21), "1000000000000000000000");
        assert_eq!(plain(-0.0), "-0");
        assert_eq!(plain(0.1), "0.1");
        assert_eq!(plain(f64::INFINITY), "+Inf");
        assert_eq!(general(1e21), "1e+21");
        assert_eq!(general(1_000_000.0), "1e+06");
        assert_eq!(general(123_456.5), "123456.5");
        assert_eq!(general(0.00001), "1e-05");
        assert_eq!(general(0.0001), "0.0001");
        assert_eq!(general(-2.5e-7), "-2.5e-07");
    }
}
