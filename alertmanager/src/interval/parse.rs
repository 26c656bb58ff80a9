//! Time intervals as the configuration writes them.

use settings::yaml::Node;

use super::{Range, TimeInterval, TimeZone};
use crate::config::decode::{Fields, Problem, list, text};

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// One entry of `time_intervals`.
pub(crate) fn interval(node: &Node) -> Result<TimeInterval, Problem> {
    let mut fields = Fields::of(node, "timeinterval.TimeInterval")?;
    let mut ranges = |name: &str, read: fn(&Node) -> Result<Range, Problem>| {
        // Null in a list is a range from zero to zero.
        let read = |node: &Node| if node.is_null() { Ok(Range { begin: 0, end: 0 }) } else { read(node) };
        fields.take(name).map(|node| list(node, read)).transpose()
    };
    let times = ranges("times", time_range)?;
    let weekdays = ranges("weekdays", |node| named(node, weekday_range))?;
    let days_of_month = ranges("days_of_month", |node| named(node, day_range))?;
    let months = ranges("months", |node| named(node, month_range))?;
    let years = ranges("years", |node| named(node, year_range))?;
    let location = match fields.take("location") {
        None => None,
        Some(node) => {
            let name = text(node)?;
            Some(TimeZone::named(&name).map_err(|error| Problem::at(node, error.to_string()))?)
        }
    };
    fields.end()?;
    Ok(TimeInterval { times, weekdays, days_of_month, months, years, location })
}

fn time_range(node: &Node) -> Result<Range, Problem> {
    let mut fields = Fields::of(node, "timeinterval.yamlTimeRange")?;
    let start = fields.take("start_time").map(text).transpose()?.unwrap_or_default();
    let end = fields.take("end_time").map(text).transpose()?.unwrap_or_default();
    fields.end()?;
    let wrong = |message: String| Problem::at(node, message);
    if start.is_empty() || end.is_empty() {
        return Err(wrong("start and end times must both be provided".to_owned()));
    }
    let (begin, end) = (minute(&start).map_err(wrong)?, minute(&end).map_err(wrong)?);
    if begin >= end {
        return Err(wrong("start time cannot be equal or greater than end time".to_owned()));
    }
    Ok(Range { begin, end })
}

/// The minute of the day that `HH:MM` is; `24:00` is its end.
fn minute(text: &str) -> Result<i64, String> {
    let invalid = || format!("couldn't parse timestamp {text}, invalid format");
    let digits = |text: &str| {
        let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        two.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (hour, minute) = text.split_once(':').ok_or_else(invalid)?;
    match (digits(hour), digits(minute)) {
        (Some(24), Some(0)) => Ok(24 * 60),
        (Some(hour @ 0..24), Some(minute @ 0..60)) => Ok(hour * 60 + minute),
        _ => Err(invalid()),
    }
}

fn named(node: &Node, read: fn(&str) -> Result<Range, String>) -> Result<Range, Problem> {
    let text = text(node)?.to_lowercase();
    read(&text).map_err(|message| Problem::at(node, message))
}

/// `a` or `a:b`.
fn range(text: &str, member: impl Fn(&str) -> Result<i64, String>) -> Result<Range, String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [one] => member(one).map(|at| Range { begin: at, end: at }),
        [begin, end] => Ok(Range { begin: member(begin)?, end: member(end)? }),
        _ => Err(format!("couldn't parse range {text}, invalid format")),
    }
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", gotemplate::quote(text)))
}

fn place(names: &[&str], name: &str) -> Option<i64> {
    names.iter().position(|known| *known == name).and_then(|place| i64::try_from(place).ok())
}

fn weekday_range(text: &str) -> Result<Range, String> {
    let range =
        range(text, |name| place(&WEEKDAYS, name).ok_or_else(|| format!("{name} is not a valid weekday")))?;
    if range.begin > range.end {
        return Err("start day cannot be before end day".to_owned());
    }
    Ok(range)
}

fn day_range(text: &str) -> Result<Range, String> {
    /// The days that every month has, and that some have.
    const SHORTEST: i64 = 28;
    const LONGEST: i64 = 31;
    let range = range(text, number)?;
    let Range { begin, end } = range;
    for day in [begin, end] {
        if day == 0 || !(-31..=31).contains(&day) {
            return Err(format!("{day} is not a valid day of the month: out of range"));
        }
    }
    // From the end of a month to its start: only the whole of the longest month is accepted.
    if begin < 0 && end > 0 && (begin, end) != (-LONGEST, LONGEST) {
        return Err("end day must be negative if start day is negative".to_owned());
    }
    let from_start = |day: i64| if day < 0 { SHORTEST + day } else { day };
    if from_start(begin) > from_start(end) {
        return Err(format!("end day {end} is always before start day {begin}"));
    }
    Ok(range)
}

fn month_range(text: &str) -> Result<Range, String> {
    let month = |name: &str| match place(&MONTHS, name) {
        Some(month) => Ok(month + 1),
        None => name.parse().map_err(|_| format!("{name} is not a valid month")),
    };
    let range = range(text, month)?;
    let shown = |month: i64| {
        usize::try_from(month - 1).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or_default()
    };
    if range.begin > range.end {
        let (begin, end) = (shown(range.begin), shown(range.end));
        return Err(format!("end month {end} is before start month {begin}"));
    }
    Ok(range)
}

fn year_range(text: &str) -> Result<Range, String> {
    let range = range(text, number)?;
    let Range { begin, end } = range;
    if begin > end {
        return Err(format!("end year {end} is before start year {begin}"));
    }
    Ok(range)
}
