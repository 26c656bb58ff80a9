//! Calendar arithmetic in UTC, and the functions on dates.

/// A day of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    /// From 1.
    pub(crate) day: i64,
}

const DAYS_PER_ERA: i64 = 146_097;

impl Date {
    /// The day so many days after 1970-01-01.
    pub(crate) fn of_days(days: i64) -> Self {
        // Eras of 400 years that begin on March 1st: the leap day is the last of its year.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(DAYS_PER_ERA);
        let of_era = shifted.rem_euclid(DAYS_PER_ERA);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }

    fn is_leap(self) -> bool {
        self.year.rem_euclid(4) == 0 && (self.year.rem_euclid(100) != 0 || self.year.rem_euclid(400) == 0)
    }

    fn days_in_month(self) -> i64 {
        match self.month {
            2 if self.is_leap() => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn day_of_year(self) -> i64 {
        const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let before = BEFORE.get((self.month - 1) as usize).copied().unwrap_or(0);
        before + self.day + i64::from(self.month > 2 && self.is_leap())
    }
}

/// What a date function makes of a number of seconds since the Unix epoch.
pub(crate) type DateFunction = fn(f64) -> f64;

/// The date function of this name.
pub(crate) fn date_function(name: &str) -> Option<DateFunction> {
    Some(match name {
        "days_in_month" => |t| of_date(t, Date::days_in_month),
        "day_of_month" => |t| of_date(t, |d| d.day),
        "day_of_week" => |t| (days_of(t) + 4).rem_euclid(7) as f64,
        "day_of_year" => |t| of_date(t, Date::day_of_year),
        "hour" => |t| (seconds_of(t).rem_euclid(86_400) / 3600) as f64,
        "minute" => |t| (seconds_of(t).rem_euclid(3600) / 60) as f64,
        "month" => |t| of_date(t, |d| d.month),
        "year" => |t| of_date(t, |d| d.year),
        _ => return None,
    })
}

/// Whole seconds. What is no number, or too large, is the smallest integer in Prometheus on amd64, which its calendar
/// wraps to the second behind the largest one: that is of the same minute.
fn seconds_of(time: f64) -> i64 {
    const END: f64 = (1u64 << 63) as f64;
    if (-END..END).contains(&time) { time as i64 } else { i64::MAX }
}

fn days_of(time: f64) -> i64 {
    seconds_of(time).div_euclid(86_400)
}

fn of_date(time: f64, part: fn(Date) -> i64) -> f64 {
    part(Date::of_days(days_of(time))) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (days, year, month, day) in [
            (0, 1970, 1, 1),
            (59, 1970, 3, 1),
            (11_016, 2000, 2, 29),
            (-1, 1969, 12, 31),
            (20_778, 2026, 11, 21),
        ] {
            assert_eq!(Date::of_days(days), Date { year, month, day }, "{days}");
        }
        let f = |name: &str, t: f64| date_function(name).unwrap()(t);
        assert_eq!(f("day_of_week", 0.0), 4.0);
        assert_eq!(f("day_of_year", 951_782_400.0), 60.0);
        assert_eq!(f("days_in_month", 951_782_400.0), 29.0);
        assert_eq!((f("hour", 3_661.0), f("minute", 3_661.0)), (1.0, 1.0));
        assert_eq!((f("hour", f64::NAN), f("minute", f64::INFINITY)), (15.0, 30.0));
    }
}
