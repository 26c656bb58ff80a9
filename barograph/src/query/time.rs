//! Times as people write them, and as tables show them. All times of day are UTC.

const DAY_MS: i64 = 86_400_000;

/// The time that `text` means at `now_ms`, in milliseconds since the Unix epoch.
pub(crate) fn parse(text: &str, now_ms: i64) -> Result<i64, String> {
    let text = text.trim();
    let unknown = || {
        format!(
            "{text:?} is no time; now, now-1h, -30m, 2026-03-01, 2026-03-01T12:30:00Z or seconds since 1970 would be one"
        )
    };
    if let Some(offset) = text.strip_prefix("now") {
        return if offset.is_empty() { Some(now_ms) } else { shifted(now_ms, offset) }.ok_or_else(unknown);
    }
    let seconds = text.parse::<f64>().ok().filter(|s| s.is_finite() && s.abs() < 1e14);
    if let Some(seconds) = seconds.filter(|_| !text.starts_with(['-', '+'])) {
        return Ok((seconds * 1_000.0).round() as i64);
    }
    shifted(now_ms, text).or_else(|| date(text)).ok_or_else(unknown)
}

/// `now_ms` and a duration with a sign.
fn shifted(now_ms: i64, offset: &str) -> Option<i64> {
    let (sign, duration) = match offset.split_at_checked(1)? {
        ("-", duration) => (-1, duration),
        ("+", duration) => (1, duration),
        _ => return None,
    };
    let duration = settings::duration::parse(duration.trim())?;
    now_ms.checked_add(sign * i64::try_from(duration.as_millis()).ok()?)
}

/// `2026-03-01`, with a time of day behind `T` or a space, and a zone behind that: `Z` or `+01:00`.
fn date(text: &str) -> Option<i64> {
    let (day, of_day) = match text.split_once(['T', 't', ' ']) {
        Some((day, of_day)) => (day, Some(of_day)),
        None => (text, None),
    };
    let [year, month, of_month] = numbers(day, '-')?;
    let valid = (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&of_month);
    let days = days_before(year, month) + of_month - 1;
    // The 31st of April would be the 1st of May.
    if !valid || civil(days) != (year, month, of_month) {
        return None;
    }
    Some(days * DAY_MS + of_day.map_or(Some(0), time_of_day)?)
}

fn time_of_day(text: &str) -> Option<i64> {
    let end = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (time, zone) = text.split_at(end);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let ms = match fraction.len() {
        0 => 0,
        1..=9 if fraction.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{fraction:0<3}")[..3].parse().ok()?
        }
        _ => return None,
    };
    let parts = if time.matches(':').count() == 1 { format!("{time}:00") } else { time.to_owned() };
    let [hours, minutes, seconds] = numbers(&parts, ':')?;
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let offset_minutes = match zone.split_at_checked(1) {
        None | Some(("Z" | "z", "")) => 0,
        Some((sign @ ("+" | "-"), offset)) => {
            let [hours, minutes, _] = numbers(&format!("{offset}:0"), ':')?;
            (if sign == "+" { 1 } else { -1 }) * (hours * 60 + minutes)
        }
        Some(_) => return None,
    };
    Some(((hours * 60 + minutes - offset_minutes) * 60 + seconds) * 1_000 + ms)
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let digits = !part.is_empty() && part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<i64>().ok()).flatten()
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Days from 1970-01-01 to the first of a month. Years begin in March, so that the leap day is the last.
fn days_before(year: i64, month: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 - 719_468
}

/// Year, month and day of month of a day since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// `2026-03-01`, and the milliseconds of the day.
fn split(ms: i64) -> (String, i64) {
    let (year, month, day) = civil(ms.div_euclid(DAY_MS));
    (format!("{year:04}-{month:02}-{day:02}"), ms.rem_euclid(DAY_MS))
}

/// `12:30:00`, with milliseconds where there are any.
fn clock(of_day: i64) -> String {
    let seconds = of_day / 1_000;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match of_day % 1_000 {
        0 => clock,
        ms => format!("{clock}.{ms:03}"),
    }
}

/// `2026-03-01T12:30:00Z`, with milliseconds where there are any.
pub(crate) fn rfc3339(ms: i64) -> String {
    let (day, of_day) = split(ms);
    format!("{day}T{}Z", clock(of_day))
}

/// `2026-03-01 12:30:00`, which spreadsheets take for a time.
pub(super) fn plain(ms: i64) -> String {
    let (day, of_day) = split(ms);
    format!("{day} {}", clock(of_day))
}

/// A time below an axis that is `span_ms` long: as much of it as tells times there apart.
pub(super) fn short(ms: i64, span_ms: i64) -> String {
    let text = plain(ms.div_euclid(1_000) * 1_000);
    let part = match span_ms {
        ..600_000 => text.get(11..),
        600_000..=DAY_MS => text.get(11..16),
        _ => text.get(5..16),
    };
    part.unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    #[test]
    fn people_write_times_in_many_ways() {
        for (text, ms) in [
            ("now", NOW),
            ("now-1h30m", NOW - 5_400_000),
            ("now+1d", NOW + DAY_MS),
            ("-30m", NOW - 1_800_000),
            ("1700000000", NOW),
            ("1700000000.25", NOW + 250),
            ("2023-11-14", NOW - 80_000_000),
            ("2023-11-14T22:13:20Z", NOW),
            ("2023-11-14 22:13:20", NOW),
            ("2023-11-14T22:13", NOW - 20_000),
            ("2023-11-15T00:13:20.5+02:00", NOW + 500),
            ("2024-02-29", 1_709_164_800_000),
            ("1969-12-31T23:59:59Z", -1_000),
        ] {
            assert_eq!(parse(text, NOW), Ok(ms), "{text}");
        }
        for text in
            ["", "noon", "now1h", "now-", "-x", "2023-02-29", "2023-13-01", "2023-11-14T24:00", "1e20", "NaN"]
        {
            assert!(parse(text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for ms in [0, NOW, NOW + 7, -1, 951_782_400_000, 4_107_542_399_999] {
            assert_eq!(parse(&rfc3339(ms), 0), Ok(ms));
            assert_eq!(parse(&plain(ms), 0), Ok(ms));
        }
        assert_eq!(short(NOW, 60_000), "22:13:20");
        assert_eq!(short(NOW, 3_600_000), "22:13");
        assert_eq!(short(NOW, 7 * DAY_MS), "11-14 22:13");
    }
}
