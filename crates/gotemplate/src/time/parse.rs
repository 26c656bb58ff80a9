//! Moments out of texts, by layouts.

use thiserror::Error;

use super::civil::{MONTHS, WEEKDAYS, days_from_civil, days_of_month};
use super::layout::{Offset, Part, next_part};
use super::{GoTime, SECOND, Zone};
use crate::format::quote;

/// A text that does not say a moment by a layout.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("parsing time {}{detail}", quote(text))]
pub struct TimeParseError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What a text has said so far.
struct Found {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanoseconds: u32,
    afternoon: Option<bool>,
    offset: Option<i32>,
    zone: Option<String>,
}

pub(super) fn parse(layout: &str, text: &str) -> Result<GoTime, TimeParseError> {
    let error = |detail: String| TimeParseError { text: text.to_owned(), detail };
    let cannot = |value: &str, part: &str| {
        error(format!(" as {}: cannot parse {} as {}", quote(layout), quote(value), quote(part)))
    };
    let mut found = Found {
        year: 0,
        month: None,
        day: None,
        year_day: None,
        hour: 0,
        minute: 0,
        second: 0,
        nanoseconds: 0,
        afternoon: None,
        offset: None,
        zone: None,
    };
    let (mut layout_rest, mut value) = (layout, text);
    loop {
        let next = next_part(layout_rest);
        let literal = next.map_or(layout_rest, |(before, ..)| before);
        value = skip_literal(value, literal).ok_or_else(|| cannot(value, literal))?;
        let Some((_, written, part, behind)) = next else {
            if !value.is_empty() {
                return Err(error(format!(": extra text: {}", quote(value))));
            }
            break;
        };
        layout_rest = behind;
        let before = value;
        value = match found.read(part, value, layout_rest) {
            Ok(rest) => rest,
            Err(Wrong::Form) => return Err(cannot(before, written)),
            Err(Wrong::Range(what)) => return Err(error(format!(": {what} out of range"))),
        };
    }
    found.time().map_err(|what| error(format!(": {what} out of range")))
}

/// Why a part cannot be read.
enum Wrong {
    Form,
    Range(&'static str),
}

/// Behind the literal text of the layout; of spaces there may be more.
fn skip_literal<'a>(mut value: &'a str, literal: &str) -> Option<&'a str> {
    let mut rest = literal;
    while let Some(c) = rest.chars().next() {
        if c == ' ' {
            if !value.is_empty() && !value.starts_with(' ') {
                return None;
            }
            rest = rest.trim_start_matches(' ');
            value = value.trim_start_matches(' ');
            continue;
        }
        value = value.strip_prefix(c)?;
        rest = &rest[c.len_utf8()..];
    }
    Some(value)
}

/// A number of one or two digits, or exactly two.
fn number(value: &str, fixed: bool) -> Result<(i64, &str), Wrong> {
    let digits = value.bytes().take(2).take_while(u8::is_ascii_digit).count();
    if digits == 0 || (fixed && digits < 2) {
        return Err(Wrong::Form);
    }
    let number = value[..digits].parse().map_err(|_| Wrong::Form)?;
    Ok((number, &value[digits..]))
}

fn exact(value: &str, digits: usize) -> Result<(i64, &str), Wrong> {
    let (head, rest) = value.split_at_checked(digits).ok_or(Wrong::Form)?;
    if !head.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Wrong::Form);
    }
    Ok((head.parse().map_err(|_| Wrong::Form)?, rest))
}

fn ranged<'a>(
    parsed: Result<(i64, &'a str), Wrong>,
    below: i64,
    what: &'static str,
) -> Result<(i64, &'a str), Wrong> {
    match parsed {
        Ok((number, _)) if !(0..below).contains(&number) => Err(Wrong::Range(what)),
        parsed => parsed,
    }
}

/// One of these names, in whatever case, long or cut to three letters.
fn name<'a>(value: &'a str, names: &[&str], long: bool) -> Result<(i64, &'a str), Wrong> {
    for (index, name) in names.iter().enumerate() {
        let name = if long { name } else { &name[..3] };
        if let Some((head, rest)) = value.split_at_checked(name.len())
            && head.eq_ignore_ascii_case(name)
        {
            return Ok((index as i64, rest));
        }
    }
    Err(Wrong::Form)
}

impl Found {
    /// Reads a part off a value; what is left of it.
    fn read<'a>(&mut self, part: Part, value: &'a str, layout_rest: &str) -> Result<&'a str, Wrong> {
        let rest;
        match part {
            Part::LongYear => (self.year, rest) = exact(value, 4)?,
            Part::Year => {
                let (short, behind) = exact(value, 2)?;
                (self.year, rest) = (if short >= 69 { 1900 + short } else { 2000 + short }, behind);
            }
            Part::LongMonth | Part::Month => {
                let (month, behind) = name(value, &MONTHS, part == Part::LongMonth)?;
                (self.month, rest) = (Some(month + 1), behind);
            }
            Part::NumberMonth | Part::ZeroMonth => {
                let (month, behind) = number(value, part == Part::ZeroMonth)?;
                if !(1..=12).contains(&month) {
                    return Err(Wrong::Range("month"));
                }
                (self.month, rest) = (Some(month), behind);
            }
            Part::LongWeekday | Part::Weekday => {
                (_, rest) = name(value, &WEEKDAYS, part == Part::LongWeekday)?;
            }
            Part::Day | Part::SpaceDay | Part::ZeroDay => {
                let value = if part == Part::SpaceDay { value.trim_start_matches(' ') } else { value };
                let (day, behind) = number(value, part == Part::ZeroDay)?;
                (self.day, rest) = (Some(day), behind);
            }
            Part::SpaceYearDay | Part::ZeroYearDay => {
                let spaces = value.len() - value.trim_start_matches(' ').len();
                let (day, behind) = exact(&value[spaces..], 3 - spaces.min(2))?;
                (self.year_day, rest) = (Some(day), behind);
            }
            Part::Hour => (self.hour, rest) = ranged(number(value, false), 24, "hour")?,
            Part::Hour12 | Part::ZeroHour12 => {
                (self.hour, rest) = ranged(number(value, part == Part::ZeroHour12), 13, "hour")?;
            }
            Part::Minute | Part::ZeroMinute => {
                (self.minute, rest) = ranged(number(value, part == Part::ZeroMinute), 60, "minute")?;
            }
            Part::Second | Part::ZeroSecond => {
                let (second, behind) = ranged(number(value, part == Part::ZeroSecond), 60, "second")?;
                self.second = second;
                rest = self.unasked_fraction(behind, layout_rest);
            }
            Part::UpperHalf | Part::LowerHalf => {
                let (head, behind) = value.split_at_checked(2).ok_or(Wrong::Form)?;
                self.afternoon = match (head, part) {
                    ("PM", Part::UpperHalf) | ("pm", Part::LowerHalf) => Some(true),
                    ("AM", Part::UpperHalf) | ("am", Part::LowerHalf) => Some(false),
                    _ => return Err(Wrong::Form),
                };
                rest = behind;
            }
            Part::ZoneName => {
                let letters = value.bytes().take(5).take_while(u8::is_ascii_uppercase).count();
                if letters < 3 {
                    return Err(Wrong::Form);
                }
                (self.zone, rest) = (Some(value[..letters].to_owned()), &value[letters..]);
            }
            Part::Offset(offset) => rest = self.read_offset(value, offset)?,
            Part::Fraction { digits, trims } => rest = self.read_fraction(value, digits, trims)?,
        }
        Ok(rest)
    }

    /// Decimals behind the seconds are read even where the layout has none.
    fn unasked_fraction<'a>(&mut self, value: &'a str, layout_rest: &str) -> &'a str {
        let asked = matches!(next_part(layout_rest), Some(("", _, Part::Fraction { .. }, _)));
        let digits = value
            .strip_prefix(['.', ','])
            .map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        if asked || digits == 0 {
            return value;
        }
        self.nanoseconds = nanoseconds(&value[1..=digits]);
        &value[digits + 1..]
    }

    fn read_fraction<'a>(&mut self, value: &'a str, digits: usize, trims: bool) -> Result<&'a str, Wrong> {
        let Some(rest) = value.strip_prefix(['.', ',']) else {
            return if trims { Ok(value) } else { Err(Wrong::Form) };
        };
        let there = rest.bytes().take_while(u8::is_ascii_digit).count();
        if trims && there == 0 {
            return Ok(value);
        }
        let taken = if trims { there } else { digits };
        if there < taken {
            return Err(Wrong::Form);
        }
        self.nanoseconds = nanoseconds(&rest[..taken]);
        Ok(&rest[taken..])
    }

    fn read_offset<'a>(&mut self, value: &'a str, offset: Offset) -> Result<&'a str, Wrong> {
        if let (true, Some(rest)) = (offset.utc, value.strip_prefix('Z')) {
            self.offset = Some(0);
            return Ok(rest);
        }
        let sign = match value.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(Wrong::Form),
        };
        let colon = |value: &'a str| match offset.colons {
            true => value.strip_prefix(':').ok_or(Wrong::Form),
            false => Ok(value),
        };
        let (hours, mut rest) = exact(&value[1..], 2)?;
        let (mut minutes, mut seconds) = (0, 0);
        if offset.minutes {
            (minutes, rest) = exact(colon(rest)?, 2)?;
        }
        if offset.seconds {
            (seconds, rest) = exact(colon(rest)?, 2)?;
        }
        if hours > 24 || minutes >= 60 || seconds >= 60 {
            return Err(Wrong::Range("time zone offset"));
        }
        self.offset = i32::try_from(sign * (hours * 3_600 + minutes * 60 + seconds)).ok();
        Ok(rest)
    }

    fn time(self) -> Result<GoTime, &'static str> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let days = match self.year_day {
            Some(day) => {
                let length = days_from_civil(self.year + 1, 1, 1) - days_from_civil(self.year, 1, 1);
                if !(1..=length).contains(&day) {
                    return Err("day-of-year");
                }
                days_from_civil(self.year, 1, day)
            }
            None => {
                let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
                if !(1..=days_of_month(self.year, month)).contains(&day) {
                    return Err("day");
                }
                days_from_civil(self.year, month, day)
            }
        };
        let offset = self.offset.unwrap_or(0);
        let name = match (self.zone, offset) {
            (Some(zone), _) => zone.into(),
            (None, 0) => "UTC".into(),
            (None, _) => "".into(),
        };
        let seconds = days * 86_400 + hour * 3_600 + self.minute * 60 + self.second - i64::from(offset);
        Ok(GoTime::from_unix(seconds, self.nanoseconds).in_zone(Zone { name, offset }))
    }
}

/// Nanoseconds that the decimals of a second are; beyond the ninth they are cut.
fn nanoseconds(digits: &str) -> u32 {
    let mut value = 0;
    let mut unit = SECOND as u32 / 10;
    for digit in digits.bytes().take(9) {
        value += u32::from(digit - b'0') * unit;
        unit /= 10;
    }
    value
}
