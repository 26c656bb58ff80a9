//! Points in time, and durations as the configuration writes them.

use std::time::Duration;

use gotemplate::time::GoTime;

/// Nanoseconds since 1970: what the clock says, or what a push says of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// So many nanoseconds since 1970.
    pub fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// So many milliseconds since 1970; the furthest moment there is, where it is further.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since 1970.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// So much later.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// So much earlier.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// How much later it is than another moment; zero if it is not.
    pub fn since(self, other: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(other.0).try_into().unwrap_or(0))
    }

    /// As templates and JSON see it, in UTC.
    pub fn to_time(self) -> GoTime {
        const SECOND: i64 = 1_000_000_000;
        GoTime::from_unix(self.0.div_euclid(SECOND), self.0.rem_euclid(SECOND) as u32)
    }
}
