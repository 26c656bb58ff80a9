//! Time intervals: when a route is mute or active.

mod parse;
mod zone;

use gotemplate::time::GoTime;

use crate::moment::Moment;

pub(crate) use self::parse::interval;
pub use self::zone::TimeZone;

/// A range, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub begin: i64,
    /// The last.
    pub end: i64,
}

impl Range {
    fn contains(self, number: i64) -> bool {
        (self.begin..=self.end).contains(&number)
    }

    /// For days of a month of so many days: negative ones count from its end; what lies behind it is cut.
    fn contains_day(self, day: i64, days: i64) -> bool {
        let from_end = |number: i64| if number < 0 { days + number + 1 } else { number };
        let (begin, end) = (from_end(self.begin), from_end(self.end));
        begin <= days && (begin..=end.min(days)).contains(&day)
    }
}

/// All of what it names has to hold; of each list one entry. What is not named holds always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeInterval {
    /// Minutes of the day, from 0; the end is not part of it.
    pub times: Option<Vec<Range>>,
    /// Days of the week, from 0, which is Sunday.
    pub weekdays: Option<Vec<Range>>,
    /// Days of the month, from 1, or from its end, from -1.
    pub days_of_month: Option<Vec<Range>>,
    /// Months, from 1.
    pub months: Option<Vec<Range>>,
    /// Years.
    pub years: Option<Vec<Range>>,
    /// Where; UTC if nowhere.
    pub location: Option<TimeZone>,
}

impl TimeInterval {
    /// Whether a moment lies in it.
    pub fn contains(&self, moment: Moment) -> bool {
        let time = moment.to_time();
        let time = match &self.location {
            Some(zone) => zone.at(time),
            None => time,
        };
        let at = Place::of(&time);
        let any = |ranges: &Option<Vec<Range>>, test: &dyn Fn(Range) -> bool| {
            ranges.as_ref().is_none_or(|ranges| ranges.iter().any(|range| test(*range)))
        };
        any(&self.times, &|range| range.begin <= at.minute && at.minute < range.end)
            && any(&self.weekdays, &|range| range.contains(at.weekday))
            && any(&self.days_of_month, &|range| range.contains_day(at.day, at.days))
            && any(&self.months, &|range| range.contains(at.month))
            && any(&self.years, &|range| range.contains(at.year))
    }
}

/// A moment in the calendar.
struct Place {
    year: i64,
    month: i64,
    day: i64,
    /// How many days the month has.
    days: i64,
    weekday: i64,
    minute: i64,
}

impl Place {
    fn of(time: &GoTime) -> Self {
        let date = time.date();
        Self {
            year: date.year,
            month: date.month as i64,
            day: date.day,
            days: date.days_of_month(),
            weekday: date.weekday as i64,
            minute: date.hour * 60 + date.minute,
        }
    }
}
