//! Times as the API reads and writes them.

use gotemplate::time::GoTime;

use crate::moment::Moment;

/// What is written: milliseconds, in UTC.
const WRITTEN: &str = "2006-01-02T15:04:05.000Z07:00";

/// What is read, in the order in which upstream tries it.
const READ: [&str; 11] = [
    "2006-01-02T15:04:05.000000Z07:00",
    "2006-01-02T15:04:05.000000Z0700",
    "2006-01-02T15:04:05.000Z07:00",
    "2006-01-02T15:04:05.000Z0700",
    "2006-01-02T15:04:05Z07:00",
    "2006-01-02T15:04:05.999999999Z07:00",
    "2006-01-02T15:04:05",
    "2006-01-02T15:04Z",
    "2006-01-02T15:04",
    "2006-01-02 15:04:05",
    "2006-01-02",
];

/// Seconds since 1970 that a moment can say: further ones are as far as it goes.
const MAX_SECONDS: i64 = i64::MAX / 1_000_000_000;

/// The text of a moment.
pub(super) fn show(moment: Moment) -> String {
    moment.to_time().format(WRITTEN)
}

/// The moment that a text says; `None` for Go's zero time, which says nothing. An empty text says 1970.
pub(super) fn parse(text: &str) -> Result<Option<Moment>, String> {
    if text.is_empty() {
        return Ok(Some(Moment::from_nanos(0)));
    }
    let mut problem = String::new();
    for layout in READ {
        match GoTime::parse(layout, text) {
            Ok(time) if time.is_zero() => return Ok(None),
            Ok(time) => {
                let seconds = time.unix().clamp(-MAX_SECONDS + 1, MAX_SECONDS - 1);
                let nanos = seconds * 1_000_000_000 + i64::from(time.nanoseconds());
                return Ok(Some(Moment::from_nanos(nanos)));
            }
            Err(error) => problem = error.to_string(),
        }
    }
    Err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_all_forms_and_written_in_one() {
        let check = |text: &str, shown: &str| {
            let moment = parse(text).expect(text).expect("it says something");
            assert_eq!(show(moment), shown, "{text}");
        };
        check("2026-03-01T12:30:00Z", "2026-03-01T12:30:00.000Z");
        check("2026-03-01T12:30:00.1239Z", "2026-03-01T12:30:00.123Z");
        check("2026-03-01T12:30:00+02:00", "2026-03-01T10:30:00.000Z");
        check("2026-03-01T12:30:00", "2026-03-01T12:30:00.000Z");
        check("2026-03-01", "2026-03-01T00:00:00.000Z");
        check("2026-03-01 12:30:00", "2026-03-01T12:30:00.000Z");
        check("2026-03-01T12:30:00.500+0200", "2026-03-01T10:30:00.500Z");
        check("2026-03-01T12:30Z", "2026-03-01T12:30:00.000Z");
        check("", "1970-01-01T00:00:00.000Z");
        assert_eq!(parse("0001-01-01T00:00:00.000Z"), Ok(None));
        assert_eq!(
            parse("9999-01-01T00:00:00Z").expect("far").expect("it says something").nanos().signum(),
            1
        );
        let error = parse("x").expect_err("no time");
        assert_eq!(error, "parsing time \"x\" as \"2006-01-02\": cannot parse \"x\" as \"2006\"");
    }
}
