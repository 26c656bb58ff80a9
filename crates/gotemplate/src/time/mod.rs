//! Moments and durations as templates see them: Go's `time.Time` and `time.Duration`, with their methods and layouts.
//! No clock and no time zones: the caller gives the moment, and a zone as its name and offset.

mod civil;
mod duration;
mod layout;
mod object;
mod parse;

use std::cmp::Ordering;
use std::sync::Arc;

pub use self::civil::Date;
pub use self::duration::GoDuration;
pub use self::parse::TimeParseError;

pub(crate) use self::civil::days_from_civil;

/// Nanoseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000_000;
/// Seconds from 1970 back to the first of January of the year 1, which is Go's zero time.
const ZERO_SECONDS: i64 = -62_135_596_800;

/// A moment in a zone.
#[derive(Debug, Clone)]
pub struct GoTime {
    /// Seconds since 1970, rounded down.
    seconds: i64,
    /// Nanoseconds behind them, below 10^9.
    nanoseconds: u32,
    zone: Zone,
}

/// A time zone at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its abbreviation, or empty, and then it is shown by its offset.
    pub name: Arc<str>,
    /// Seconds east of UTC.
    pub offset: i32,
}

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), offset: 0 }
    }
}

impl GoTime {
    /// The moment so many milliseconds after 1970, in UTC.
    pub fn from_millis(millis: i64) -> Self {
        let nanoseconds = millis.rem_euclid(1_000) as u32 * 1_000_000;
        Self { seconds: millis.div_euclid(1_000), nanoseconds, zone: Zone::utc() }
    }

    /// The moment so many seconds, and so many nanoseconds below 10^9 more, after 1970, in UTC.
    pub fn from_unix(seconds: i64, nanoseconds: u32) -> Self {
        let seconds = seconds.saturating_add(i64::from(nanoseconds) / SECOND);
        Self { seconds, nanoseconds: nanoseconds % SECOND as u32, zone: Zone::utc() }
    }

    /// Go's zero time: the first of January of the year 1.
    pub fn zero() -> Self {
        Self::from_unix(ZERO_SECONDS, 0)
    }

    /// Whether it is [`GoTime::zero`].
    pub fn is_zero(&self) -> bool {
        self.seconds == ZERO_SECONDS && self.nanoseconds == 0
    }

    /// The same moment in another zone.
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// Whole seconds since 1970.
    pub fn unix(&self) -> i64 {
        self.seconds
    }

    /// Milliseconds since 1970.
    pub fn unix_millis(&self) -> i64 {
        self.seconds.saturating_mul(1_000).saturating_add(i64::from(self.nanoseconds / 1_000_000))
    }

    /// Nanoseconds behind the whole seconds.
    pub fn nanoseconds(&self) -> u32 {
        self.nanoseconds
    }

    /// The text of the moment by a layout of Go's: `2006-01-02 15:04:05`.
    pub fn format(&self, layout: &str) -> String {
        layout::format(self, layout)
    }

    /// RFC 3339 with as many decimals as there are: as Go writes it into JSON.
    pub fn rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }

    /// The moment that a text says by a layout of Go's; without a zone it is UTC.
    pub fn parse(layout: &str, text: &str) -> Result<Self, TimeParseError> {
        parse::parse(layout, text)
    }

    /// This moment and so much more.
    pub fn plus(&self, duration: GoDuration) -> Self {
        let nanoseconds = i64::from(self.nanoseconds) + duration.0.rem_euclid(SECOND);
        Self {
            seconds: self
                .seconds
                .saturating_add(duration.0.div_euclid(SECOND))
                .saturating_add(nanoseconds / SECOND),
            nanoseconds: (nanoseconds % SECOND) as u32,
            zone: self.zone.clone(),
        }
    }

    /// How much later it is than the other; the longest duration there is where it is more than that.
    pub fn since(&self, other: &Self) -> GoDuration {
        let seconds = i128::from(self.seconds) - i128::from(other.seconds);
        let nanoseconds =
            seconds * i128::from(SECOND) + i128::from(self.nanoseconds) - i128::from(other.nanoseconds);
        let bounded = nanoseconds.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        GoDuration(bounded as i64)
    }

    /// The calendar day and the time of it, in its zone.
    pub fn date(&self) -> Date {
        Date::of(self.seconds.saturating_add(i64::from(self.zone.offset)))
    }

    fn zone(&self) -> &Zone {
        &self.zone
    }
}

impl PartialEq for GoTime {
    /// Whether both are the same moment, in whatever zones.
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for GoTime {}

impl PartialOrd for GoTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GoTime {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seconds, self.nanoseconds).cmp(&(other.seconds, other.nanoseconds))
    }
}
