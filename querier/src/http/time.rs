//! Times and durations as the API's parameters give them.

use promql::text::duration::parse_ms;
use promql::text::quote::quote;

/// The earliest time that a request can mean; upstream's default for the start of optional ranges.
pub(crate) const MIN_TIME_MS: i64 = (i64::MIN / 1_000 + 62_135_596_801) * 1_000;
/// The latest time that a request can mean; upstream's default for the end of optional ranges.
pub(crate) const MAX_TIME_MS: i64 = (i64::MAX / 1_000 - 62_135_596_801) * 1_000 + 999;

/// How clients that got upstream's boundary times from upstream's own libraries write them: years with more than four
/// digits, which RFC 3339 does not have.
const MIN_TIME_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

const MS_PER_DAY: i64 = 86_400_000;

/// Seconds since the Unix epoch as a float, or RFC 3339; milliseconds since the Unix epoch come out.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    let invalid = || format!("cannot parse {} to a valid timestamp", quote(text));
    if let Ok(seconds) = text.parse::<f64>() {
        let whole = seconds.trunc();
        // Milliseconds are rounded, so that 1.0005 does not fall below what was meant.
        let ms = whole * 1e3 + ((seconds - whole) * 1e3).round();
        return if ms >= MIN_TIME_MS as f64 && ms <= MAX_TIME_MS as f64 {
            Ok(ms as i64)
        } else {
            Err(invalid())
        };
    }
    match text {
        MIN_TIME_TEXT => Ok(MIN_TIME_MS),
        MAX_TIME_TEXT => Ok(MAX_TIME_MS),
        _ => parse_rfc3339(text).ok_or_else(invalid),
    }
}

/// A number of seconds, or a Prometheus duration such as `1h30m`; milliseconds come out.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        let nanoseconds = seconds * 1e9;
        if nanoseconds.is_nan() {
            return Err(format!("cannot parse {} to a valid duration", quote(text)));
        }
        if nanoseconds.abs() > i64::MAX as f64 {
            return Err(format!("cannot parse {} to a valid duration. It overflows int64", quote(text)));
        }
        return Ok((seconds * 1e3) as i64);
    }
    parse_ms(text).map_err(|_| format!("cannot parse {} to a valid duration", quote(text)))
}

/// `2026-01-02T03:04:05.678+01:00`; `None` where it is anything else.
fn parse_rfc3339(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let year = number(&mut rest, 4)?;
    literal(&mut rest, b'-')?;
    let month = number(&mut rest, 2).filter(|m| (1..=12).contains(m))?;
    literal(&mut rest, b'-')?;
    let day = number(&mut rest, 2).filter(|d| (1..=days_of_month(year, month)).contains(d))?;
    literal(&mut rest, b'T')?;
    let hour = number(&mut rest, 2).filter(|h| *h < 24)?;
    literal(&mut rest, b':')?;
    let minute = number(&mut rest, 2).filter(|m| *m < 60)?;
    literal(&mut rest, b':')?;
    let second = number(&mut rest, 2).filter(|s| *s < 60)?;
    let fraction_ms = fraction(&mut rest)?;
    let offset_minutes = offset(rest)?;
    let minutes = hour * 60 + minute - offset_minutes;
    Some(days_from_epoch(year, month, day) * MS_PER_DAY + minutes * 60_000 + second * 1_000 + fraction_ms)
}

fn number(rest: &mut &[u8], digits: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(digits)?;
    if !head.iter().all(u8::is_ascii_digit) {
        return None;
    }
    *rest = tail;
    Some(head.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
}

fn literal(rest: &mut &[u8], byte: u8) -> Option<()> {
    *rest = rest.strip_prefix(&[byte])?;
    Some(())
}

/// Milliseconds of an optional fraction of any length.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let Some(digits) = rest.strip_prefix(b".") else {
        return Some(0);
    };
    let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    *rest = &digits[len..];
    let place = |i: usize| digits[..len].get(i).map_or(0, |d| i64::from(d - b'0'));
    Some(place(0) * 100 + place(1) * 10 + place(2))
}

/// Minutes east of Greenwich: `Z`, `+01:00`.
fn offset(mut rest: &[u8]) -> Option<i64> {
    let sign = match rest {
        b"Z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    rest = &rest[1..];
    let hours = number(&mut rest, 2).filter(|h| *h <= 24)?;
    literal(&mut rest, b':')?;
    let minutes = number(&mut rest, 2).filter(|m| *m <= 60)?;
    rest.is_empty().then_some(sign * (hours * 60 + minutes))
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the day that leap
/// years add is the last of its year; 400 of them have 146,097 days.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_TO_EPOCH: i64 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let months_since_march = (month + 9) % 12;
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, ms) in [
            ("0", 0),
            ("1435781451.781", 1_435_781_451_781),
            ("1.4357814517810e9", 1_435_781_451_781),
            ("-1.5", -1_500),
            ("123.0005", 123_001),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T20:10:51.7815Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51+02:00", 1_435_781_451_000),
            ("2015-07-01T18:40:51-01:30", 1_435_781_451_000),
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            (MIN_TIME_TEXT, MIN_TIME_MS),
            (MAX_TIME_TEXT, MAX_TIME_MS),
        ] {
            assert_eq!(parse_time(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn times_that_are_none() {
        for text in [
            "",
            "foo",
            "NaN",
            "inf",
            "1e300",
            "2015-07-01",
            "2015-02-29T00:00:00Z",
            "2015-13-01T00:00:00Z",
            "2015-07-01T24:00:00Z",
            "2015-07-01T20:10:51",
            "2015-07-01T20:10:51.Z",
            "2015-07-01T20:10:51Zx",
            "2015-07-01T20:10:51+0200",
        ] {
            assert_eq!(parse_time(text), Err(format!("cannot parse \"{text}\" to a valid timestamp")));
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in
            [("15", 15_000), ("0.5", 500), ("5m", 300_000), ("1h30m", 5_400_000), ("-1", -1_000)]
        {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        assert_eq!(parse_duration("x"), Err("cannot parse \"x\" to a valid duration".to_owned()));
        assert_eq!(
            parse_duration("1e30"),
            Err("cannot parse \"1e30\" to a valid duration. It overflows int64".to_owned())
        );
    }
}
