//! Floats as Go's `strconv.FormatFloat` writes them.

/// A float in one of Go's formats: `e` and `E` with an exponent, `f` without, `g` and `G` whichever is shorter. Without a
/// precision, as many digits as tell the float from all others.
pub fn format_float(value: f64, format: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = match format {
        'e' | 'E' => exponential(value, precision),
        'f' | 'F' => match precision {
            Some(precision) => format!("{value:.precision$}"),
            None => format!("{value}"),
        },
        _ => general(value, precision),
    };
    if format.is_ascii_uppercase() { text.to_uppercase() } else { text }
}

/// `-1.25e+07`: Rust's digits with Go's exponent, which has a sign and at least two digits.
fn exponential(value: f64, precision: Option<usize>) -> String {
    let (mantissa, exponent) = parts(value, precision);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn parts(value: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(precision) => format!("{value:.precision$e}"),
        None => format!("{value:e}"),
    };
    match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa.to_owned(), exponent.parse().unwrap_or(0)),
        None => (text, 0),
    }
}

/// With an exponent where it is below -4, or not below the number of digits (of six without a precision).
fn general(value: f64, precision: Option<usize>) -> String {
    let digits = precision.map(|precision| precision.max(1));
    let (mantissa, exponent) = parts(value, digits.map(|digits| digits - 1));
    let mantissa = strip_zeros(&mantissa);
    let threshold = match digits {
        None => SHORTEST_THRESHOLD,
        Some(digits) => {
            // A precision beyond the digits there are does not keep a whole number from its exponent.
            let significant = mantissa.bytes().filter(u8::is_ascii_digit).count();
            let whole = i32::try_from(significant).unwrap_or(i32::MAX) > exponent;
            let used = if digits > significant && whole { significant } else { digits };
            i32::try_from(used).unwrap_or(i32::MAX)
        }
    };
    if exponent < -4 || exponent >= threshold {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    match digits {
        None => format!("{value}"),
        Some(digits) => {
            let decimals =
                usize::try_from(i64::try_from(digits).unwrap_or(i64::MAX) - 1 - i64::from(exponent));
            strip_zeros(&format!("{value:.*}", decimals.unwrap_or(0))).to_owned()
        }
    }
}

/// From this exponent on, the shortest form of a float is written with it.
const SHORTEST_THRESHOLD: i32 = 6;

fn strip_zeros(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}
