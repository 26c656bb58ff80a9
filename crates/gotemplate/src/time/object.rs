//! `time.Time` as an object of templates: its methods.

use std::sync::Arc;

use super::civil::{MONTHS, WEEKDAYS};
use super::duration::DURATION;
use super::{GoDuration, GoTime, SECOND, Zone, days_from_civil};
use crate::object::{Function, Object, Underlying, text_argument};
use crate::value::{Type, Value};

const TIME: Type = Type::Named("time.Time");

/// A whole number with a name: a month or a day of the week.
#[derive(Debug)]
struct Named {
    type_name: &'static str,
    number: i64,
    name: &'static str,
}

impl Object for Named {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn underlying(&self) -> Underlying<'_> {
        Underlying::Int(self.number)
    }

    fn text(&self) -> Option<String> {
        Some(self.name.to_owned())
    }

    fn method(self: Arc<Self>, name: &str) -> Option<Function> {
        let text = self.name;
        (name == "String").then(|| Function::new([], move |_| Ok(Value::from(text))))
    }
}

impl GoTime {
    /// The moment that a value of templates is.
    pub fn of_value(value: &Value) -> Option<Self> {
        let Value::Object(object) = value else { return None };
        object.downcast::<Self>().cloned()
    }

    fn argument(arguments: &[Value]) -> Self {
        arguments.first().and_then(Self::of_value).unwrap_or_else(Self::zero)
    }

    fn add_date(&self, years: i64, months: i64, days: i64) -> Self {
        const BOUND: i64 = 1_000_000;
        let bounded = |number: i64| number.clamp(-BOUND, BOUND);
        let date = self.date();
        let day = days_from_civil(
            date.year + bounded(years),
            date.month as i64 + bounded(months),
            date.day + bounded(days),
        );
        let clock = date.hour * 3_600 + date.minute * 60 + date.second;
        Self { seconds: day * 86_400 + clock - i64::from(self.zone.offset), ..self.clone() }
    }

    /// Down to a multiple of a unit since the zero time.
    fn truncated(&self, unit: GoDuration) -> Self {
        if unit.0 <= 0 {
            return self.clone();
        }
        let since_zero = i128::from(self.seconds - super::ZERO_SECONDS) * i128::from(SECOND)
            + i128::from(self.nanoseconds);
        let rest = since_zero.rem_euclid(i128::from(unit.0)) as i64;
        self.plus(GoDuration(-rest))
    }

    fn rounded(&self, unit: GoDuration) -> Self {
        let down = self.truncated(unit);
        if self.since(&down).0 < unit.0 - self.since(&down).0 {
            down
        } else {
            down.plus(GoDuration(unit.0.max(0)))
        }
    }

    fn number(&self, name: &str) -> Option<Value> {
        let date = self.date();
        Some(Value::Int(match name {
            "Unix" => self.seconds,
            "UnixMilli" => self.unix_millis(),
            "UnixMicro" => self.seconds.saturating_mul(1_000_000) + i64::from(self.nanoseconds / 1_000),
            "UnixNano" => self.seconds.saturating_mul(SECOND).saturating_add(i64::from(self.nanoseconds)),
            "Year" => date.year,
            "Day" => date.day,
            "YearDay" => date.year_day,
            "Hour" => date.hour,
            "Minute" => date.minute,
            "Second" => date.second,
            "Nanosecond" => i64::from(self.nanoseconds),
            _ => return None,
        }))
    }

    fn plain(&self, name: &str) -> Option<Value> {
        let date = self.date();
        Some(match name {
            "String" => Value::from(self.text().unwrap_or_default()),
            "IsZero" => Value::Bool(self.is_zero()),
            // There is no local time but UTC: what is written must not depend on where it is.
            "UTC" | "Local" => Value::object(self.clone().in_zone(Zone::utc())),
            "Month" => Value::object(Named {
                type_name: "time.Month",
                number: date.month as i64,
                name: MONTHS.get(date.month - 1).copied().unwrap_or_default(),
            }),
            "Weekday" => Value::object(Named {
                type_name: "time.Weekday",
                number: date.weekday as i64,
                name: WEEKDAYS.get(date.weekday).copied().unwrap_or_default(),
            }),
            name => return self.number(name),
        })
    }
}

impl Object for GoTime {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn text(&self) -> Option<String> {
        Some(self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }

    fn method(self: Arc<Self>, name: &str) -> Option<Function> {
        if let Some(value) = self.plain(name) {
            return Some(Function::new([], move |_| Ok(value.clone())));
        }
        let compared = |body: fn(&Self, &Self) -> Value| {
            let time = self.clone();
            Some(Function::new([TIME], move |args| Ok(body(&time, &Self::argument(args)))))
        };
        let moved = |body: fn(&Self, GoDuration) -> Self| {
            let time = self.clone();
            Some(Function::new([DURATION], move |args| {
                Ok(Value::object(body(&time, GoDuration::argument(args))))
            }))
        };
        match name {
            "Before" => compared(|a, b| Value::Bool(a < b)),
            "After" => compared(|a, b| Value::Bool(a > b)),
            "Equal" => compared(|a, b| Value::Bool(a == b)),
            "Compare" => compared(|a, b| Value::Int(a.cmp(b) as i64)),
            "Sub" => compared(|a, b| Value::object(a.since(b))),
            "Add" => moved(Self::plus),
            "Truncate" => moved(Self::truncated),
            "Round" => moved(Self::rounded),
            "Format" => Some(Function::new([Type::Text], move |args| {
                Ok(Value::from(self.format(text_argument(args, 0))))
            })),
            "AddDate" => Some(Function::new([Type::Int, Type::Int, Type::Int], move |args| {
                let number = |index: usize| args.get(index).and_then(Value::as_int).unwrap_or(0);
                Ok(Value::object(self.add_date(number(0), number(1), number(2))))
            })),
            _ => None,
        }
    }
}
