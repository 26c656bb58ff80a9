//! Layouts: how the moment of reference, Monday the 2nd of January 2006, 15:04:05 at seven hours west, would be written.

use std::fmt::Write;

use super::GoTime;
use super::civil::{MONTHS, WEEKDAYS};

/// A part of a layout that stands for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    LongMonth,
    Month,
    NumberMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    SpaceDay,
    ZeroDay,
    SpaceYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperHalf,
    LowerHalf,
    ZoneName,
    Offset(Offset),
    /// Decimals of the second: how many, and whether zeros at the end are left out.
    Fraction {
        digits: usize,
        trims: bool,
    },
}

/// How an offset is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset {
    /// `Z` for none.
    pub(super) utc: bool,
    pub(super) colons: bool,
    pub(super) minutes: bool,
    pub(super) seconds: bool,
}

/// What stands before the next part, that part as written, what it stands for, and what follows.
pub(super) fn next_part(layout: &str) -> Option<(&str, &str, Part, &str)> {
    layout.char_indices().find_map(|(at, _)| {
        let (part, length) = part_at(&layout[at..])?;
        Some((&layout[..at], &layout[at..at + length], part, &layout[at + length..]))
    })
}

fn part_at(text: &str) -> Option<(Part, usize)> {
    const WORDS: [(&str, Part); 23] = [
        ("January", Part::LongMonth),
        ("Jan", Part::Month),
        ("Monday", Part::LongWeekday),
        ("Mon", Part::Weekday),
        ("MST", Part::ZoneName),
        ("002", Part::ZeroYearDay),
        ("01", Part::ZeroMonth),
        ("02", Part::ZeroDay),
        ("03", Part::ZeroHour12),
        ("04", Part::ZeroMinute),
        ("05", Part::ZeroSecond),
        ("06", Part::Year),
        ("15", Part::Hour),
        ("1", Part::NumberMonth),
        ("2006", Part::LongYear),
        ("2", Part::Day),
        ("__2", Part::SpaceYearDay),
        ("_2", Part::SpaceDay),
        ("3", Part::Hour12),
        ("4", Part::Minute),
        ("5", Part::Second),
        ("PM", Part::UpperHalf),
        ("pm", Part::LowerHalf),
    ];
    // The underscore of `_2006` stands for itself.
    if text.starts_with("_2006") {
        return None;
    }
    for (word, part) in &WORDS {
        let Some(rest) = text.strip_prefix(word) else { continue };
        let short = matches!(part, Part::Month | Part::Weekday);
        if short && rest.starts_with(|c: char| c.is_ascii_lowercase()) {
            continue;
        }
        return Some((*part, word.len()));
    }
    offset_at(text).or_else(|| fraction_at(text))
}

fn offset_at(text: &str) -> Option<(Part, usize)> {
    let utc = text.starts_with('Z');
    let rest = text.strip_prefix(['Z', '-'])?;
    let shapes = [
        ("070000", false, true, true),
        ("07:00:00", true, true, true),
        ("0700", false, true, false),
        ("07:00", true, true, false),
        ("07", false, false, false),
    ];
    shapes.into_iter().find(|shape| rest.starts_with(shape.0)).map(|(written, colons, minutes, seconds)| {
        (Part::Offset(Offset { utc, colons, minutes, seconds }), written.len() + 1)
    })
}

fn fraction_at(text: &str) -> Option<(Part, usize)> {
    let rest = text.strip_prefix(['.', ','])?;
    let digit = rest.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let digits = rest.len() - rest.trim_start_matches(digit).len();
    if rest[digits..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some((Part::Fraction { digits, trims: digit == '9' }, digits + 1))
}

/// The text of a moment by a layout.
pub(super) fn format(time: &GoTime, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 16);
    let mut rest = layout;
    while let Some((before, written, part, behind)) = next_part(rest) {
        out.push_str(before);
        write_part(&mut out, time, part, written);
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn write_part(out: &mut String, time: &GoTime, part: Part, written: &str) {
    let date = time.date();
    let month = MONTHS.get(date.month - 1).copied().unwrap_or_default();
    let weekday = WEEKDAYS.get(date.weekday).copied().unwrap_or_default();
    let hour12 = if date.hour % 12 == 0 { 12 } else { date.hour % 12 };
    // Writing to a text does not fail.
    let _ = match part {
        Part::LongMonth => out.write_str(month),
        Part::Month => out.write_str(&month[..3]),
        Part::NumberMonth => write!(out, "{}", date.month),
        Part::ZeroMonth => write!(out, "{:02}", date.month),
        Part::LongWeekday => out.write_str(weekday),
        Part::Weekday => out.write_str(&weekday[..3]),
        Part::Day => write!(out, "{}", date.day),
        Part::SpaceDay => write!(out, "{:2}", date.day),
        Part::ZeroDay => write!(out, "{:02}", date.day),
        Part::SpaceYearDay => write!(out, "{:3}", date.year_day),
        Part::ZeroYearDay => write!(out, "{:03}", date.year_day),
        Part::Hour => write!(out, "{:02}", date.hour),
        Part::Hour12 => write!(out, "{hour12}"),
        Part::ZeroHour12 => write!(out, "{hour12:02}"),
        Part::Minute => write!(out, "{}", date.minute),
        Part::ZeroMinute => write!(out, "{:02}", date.minute),
        Part::Second => write!(out, "{}", date.second),
        Part::ZeroSecond => write!(out, "{:02}", date.second),
        Part::LongYear => write!(out, "{:04}", date.year),
        Part::Year => write!(out, "{:02}", date.year.rem_euclid(100)),
        Part::UpperHalf => out.write_str(if date.hour >= 12 { "PM" } else { "AM" }),
        Part::LowerHalf => out.write_str(if date.hour >= 12 { "pm" } else { "am" }),
        Part::ZoneName => {
            let zone = time.zone();
            if zone.name.is_empty() { write_nameless(out, zone.offset) } else { out.write_str(&zone.name) }
        }
        Part::Offset(offset) => write_offset(out, time.zone().offset, offset),
        Part::Fraction { digits, trims } => write_fraction(out, time.nanoseconds(), digits, trims, written),
    };
}

/// A zone without an abbreviation: its hours and minutes.
fn write_nameless(out: &mut String, offset: i32) -> std::fmt::Result {
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.abs() / 60;
    write!(out, "{sign}{:02}{:02}", minutes / 60, minutes % 60)
}

fn write_offset(out: &mut String, seconds: i32, offset: Offset) -> std::fmt::Result {
    if offset.utc && seconds == 0 {
        return out.write_char('Z');
    }
    let colon = if offset.colons { ":" } else { "" };
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    write!(out, "{sign}{:02}", seconds / 3_600)?;
    if offset.minutes {
        write!(out, "{colon}{:02}", seconds / 60 % 60)?;
    }
    if offset.seconds {
        write!(out, "{colon}{:02}", seconds % 60)?;
    }
    Ok(())
}

fn write_fraction(
    out: &mut String,
    nanoseconds: u32,
    digits: usize,
    trims: bool,
    written: &str,
) -> std::fmt::Result {
    let all = format!("{nanoseconds:09}");
    let mut shown = all.get(..digits.min(9)).unwrap_or(&all).to_owned();
    if trims {
        shown.truncate(shown.trim_end_matches('0').len());
        if shown.is_empty() {
            return Ok(());
        }
    } else {
        shown.extend(std::iter::repeat_n('0', digits.saturating_sub(9)));
    }
    write!(out, "{}{shown}", &written[..1])
}
