//! `time.Duration`: a whole number of nanoseconds.

use std::fmt;
use std::sync::Arc;

use super::SECOND;
use crate::object::{Function, Object, Underlying};
use crate::value::{Type, Value};

/// Nanoseconds, shown as `1h2m3.5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub i64);

/// The type of a parameter that is a duration; a constant is nanoseconds.
pub(super) const DURATION: Type = Type::Whole("time.Duration");

impl GoDuration {
    /// The duration that a parameter of the type got.
    pub(super) fn argument(arguments: &[Value]) -> Self {
        Self(arguments.first().and_then(Value::as_int).unwrap_or(0))
    }

    fn seconds(self) -> f64 {
        let (whole, rest) = (self.0 / SECOND, self.0 % SECOND);
        whole as f64 + rest as f64 / 1e9
    }

    fn truncated(self, unit: Self) -> Self {
        if unit.0 <= 0 { self } else { Self(self.0 - self.0 % unit.0) }
    }

    /// To the nearest multiple; what is half way goes away from zero.
    fn rounded(self, unit: Self) -> Self {
        if unit.0 <= 0 {
            return self;
        }
        let rest = self.0 % unit.0;
        let down = self.0 - rest;
        if i128::from(rest.abs()) * 2 < i128::from(unit.0) {
            return Self(down);
        }
        Self(down.saturating_add(unit.0 * self.0.signum()))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let second = SECOND.unsigned_abs();
        let decimals = |whole: u64, rest: u64, digits: usize| {
            let fraction = format!("{rest:0digits$}");
            match fraction.trim_end_matches('0') {
                "" => whole.to_string(),
                fraction => format!("{whole}.{fraction}"),
            }
        };
        match magnitude {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{sign}{magnitude}ns"),
            1_000..1_000_000 => write!(f, "{sign}{}µs", decimals(magnitude / 1_000, magnitude % 1_000, 3)),
            _ if magnitude < second => {
                write!(f, "{sign}{}ms", decimals(magnitude / 1_000_000, magnitude % 1_000_000, 6))
            }
            _ => {
                let (whole, rest) = (magnitude / second, magnitude % second);
                f.write_str(sign)?;
                if whole >= 3_600 {
                    write!(f, "{}h", whole / 3_600)?;
                }
                if whole >= 60 {
                    write!(f, "{}m", whole / 60 % 60)?;
                }
                write!(f, "{}s", decimals(whole % 60, rest, 9))
            }
        }
    }
}

impl Object for GoDuration {
    fn type_name(&self) -> &'static str {
        "time.Duration"
    }

    fn underlying(&self) -> Underlying<'_> {
        Underlying::Int(self.0)
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn method(self: Arc<Self>, name: &str) -> Option<Function> {
        let duration = *self;
        let value = |value: Value| Some(Function::new([], move |_| Ok(value.clone())));
        match name {
            "Hours" => value(Value::Float(duration.seconds() / 3_600.0)),
            "Minutes" => value(Value::Float(duration.seconds() / 60.0)),
            "Seconds" => value(Value::Float(duration.seconds())),
            "Milliseconds" => value(Value::Int(duration.0 / 1_000_000)),
            "Microseconds" => value(Value::Int(duration.0 / 1_000)),
            "Nanoseconds" => value(Value::Int(duration.0)),
            "Abs" => value(Value::object(Self(duration.0.saturating_abs()))),
            "String" => value(Value::from(duration.to_string())),
            "Round" => Some(Function::new([DURATION], move |args| {
                Ok(Value::object(duration.rounded(Self::argument(args))))
            })),
            "Truncate" => Some(Function::new([DURATION], move |args| {
                Ok(Value::object(duration.truncated(Self::argument(args))))
            })),
            _ => None,
        }
    }
}
