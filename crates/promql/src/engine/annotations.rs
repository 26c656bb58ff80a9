//! Warnings and infos about a query, with the positions of the expressions that caused them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Write;

use crate::ast::Span;
use crate::error::line_and_column;
use crate::text::number::general;
use crate::text::quote::quote;

/// How serious an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The result may be wrong or incomplete.
    Warning,
    /// The query is likely not what was meant.
    Info,
}

/// An annotation.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// How serious it is.
    pub severity: Severity,
    /// What it says. Annotations with the same text are one.
    pub message: String,
    /// The expression that caused it; none for what the source warned of.
    pub position: Option<Span>,
    detail: Detail,
}

#[derive(Debug, Clone, PartialEq)]
enum Detail {
    None,
    /// Buckets of classic histograms that had to be made monotonic.
    ForcedMonotonicity(ForcedMonotonicity),
    /// How often it happened.
    Occurrences(u64),
}

/// What was done to make the buckets of a classic histogram monotonic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ForcedMonotonicity {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) lowest_bucket: f64,
    pub(crate) highest_bucket: f64,
    pub(crate) max_difference: f64,
    pub(crate) samples: u64,
}

/// The annotations of a query, in the order in which they first came up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Annotations {
    list: Vec<Annotation>,
    by_message: HashMap<String, usize>,
}

impl Annotations {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.list.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The warnings, as the API renders them.
    pub fn warnings(&self, query: &str) -> Vec<String> {
        self.rendered(query, Severity::Warning)
    }

    /// The infos, as the API renders them.
    pub fn infos(&self, query: &str) -> Vec<String> {
        self.rendered(query, Severity::Info)
    }

    fn rendered(&self, query: &str, severity: Severity) -> Vec<String> {
        let of_severity = self.list.iter().filter(|a| a.severity == severity);
        of_severity.map(|a| a.render(query)).collect()
    }

    pub(crate) fn warn(&mut self, position: Span, message: impl Into<String>) {
        self.add(Severity::Warning, Some(position), message.into(), Detail::None);
    }

    pub(crate) fn info(&mut self, position: Span, message: impl Into<String>) {
        self.add(Severity::Info, Some(position), message.into(), Detail::None);
    }

    pub(crate) fn add_from_source(&mut self, message: String) {
        self.add(Severity::Warning, None, message, Detail::None);
    }

    pub(crate) fn forced_monotonicity(&mut self, position: Span, metric: &str, forced: ForcedMonotonicity) {
        let message = with_metric(
            "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
            metric,
        );
        self.add(Severity::Info, Some(position), message, Detail::ForcedMonotonicity(forced));
    }

    pub(crate) fn start_time_overlap(&mut self, position: Span, metric: &str) {
        let message = format!(
            "sample has start time that overlaps with previous sample timestamp for metric {}",
            quote(metric)
        );
        self.add(Severity::Warning, Some(position), message, Detail::Occurrences(1));
    }

    /// Adds those of another, as if they had come up here in the same order.
    pub(crate) fn absorb(&mut self, other: Self) {
        for Annotation { severity, message, position, detail } in other.list {
            self.add(severity, position, message, detail);
        }
    }

    fn add(&mut self, severity: Severity, position: Option<Span>, message: String, detail: Detail) {
        if let Some(i) = self.by_message.get(&message) {
            let known = &mut self.list[*i];
            known.position = last_evaluated(known.position, position);
            known.detail.merge(&detail);
            return;
        }
        self.by_message.insert(message.clone(), self.list.len());
        self.list.push(Annotation { severity, message, position, detail });
    }
}

impl Detail {
    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::ForcedMonotonicity(a), Self::ForcedMonotonicity(b)) => {
                a.first_ms = a.first_ms.min(b.first_ms);
                a.last_ms = a.last_ms.max(b.last_ms);
                a.lowest_bucket = a.lowest_bucket.min(b.lowest_bucket);
                a.highest_bucket = a.highest_bucket.max(b.highest_bucket);
                a.max_difference = a.max_difference.max(b.max_difference);
                a.samples += b.samples;
            }
            (Self::Occurrences(a), Self::Occurrences(b)) => *a += b,
            _ => {}
        }
    }
}

impl Annotation {
    /// As the API renders it: `PromQL info: text (line:column)`.
    pub fn render(&self, query: &str) -> String {
        let Some(position) = self.position else {
            return self.message.clone();
        };
        let kind = match self.severity {
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        let mut out = format!("PromQL {kind}: {}", self.message);
        match &self.detail {
            Detail::ForcedMonotonicity(forced) => {
                let _ = write!(
                    out,
                    ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                    general(forced.lowest_bucket),
                    general(forced.highest_bucket),
                    two_digits(forced.max_difference),
                    forced.samples,
                    rfc3339(forced.first_ms),
                    rfc3339(forced.last_ms)
                );
            }
            Detail::Occurrences(n) if *n > 1 => {
                let _ = write!(out, " ({n} occurrences)");
            }
            Detail::Occurrences(_) | Detail::None => {}
        }
        let (line, column) = line_and_column(query, position.start);
        let _ = write!(out, " ({line}:{column})");
        out
    }
}

/// Of two places in a query, the one that is evaluated last where everything is evaluated from left to right, and what is
/// outside after what is inside.
fn last_evaluated(a: Option<Span>, b: Option<Span>) -> Option<Span> {
    a.into_iter().chain(b).max_by_key(|span| (span.end, Reverse(span.start)))
}

pub(crate) fn with_metric(message: &str, metric: &str) -> String {
    if metric.is_empty() {
        message.to_owned()
    } else {
        format!("{message} for metric name {}", quote(metric))
    }
}

/// A float with two significant digits: Go's `%.2g`.
fn two_digits(value: f64) -> String {
    let Ok(rounded) = format!("{value:.1e}").parse::<f64>() else {
        return general(value);
    };
    let exponent = if rounded == 0.0 { 0.0 } else { rounded.abs().log10().floor() };
    if (-4.0..2.0).contains(&exponent) {
        return crate::text::number::plain(rounded);
    }
    let scientific = format!("{rounded:e}");
    match scientific.split_once('e') {
        Some((mantissa, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        None => scientific,
    }
}

fn rfc3339(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let date = crate::functions::dates::Date::of_days(days);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year,
        date.month,
        date.day,
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_text_is_one_annotation() {
        let mut annotations = Annotations::default();
        annotations.warn(Span::new(0, 1), "a");
        annotations.info(Span::new(2, 3), "b");
        annotations.warn(Span::new(4, 5), "a");
        annotations.warn(Span::new(0, 3), "a");
        assert_eq!(annotations.warnings("x\n  y"), ["PromQL warning: a (2:3)"]);
        assert_eq!(annotations.infos("x y"), ["PromQL info: b (1:3)"]);
    }

    #[test]
    fn details_are_merged() {
        let mut annotations = Annotations::default();
        for t in [60_000, 120_000] {
            let forced = ForcedMonotonicity {
                first_ms: t,
                last_ms: t,
                lowest_bucket: 1.0,
                highest_bucket: 2.0,
                max_difference: 123.0,
                samples: 1,
            };
            annotations.forced_monotonicity(Span::new(0, 1), "m", forced);
        }
        let infos = annotations.infos("x");
        assert!(
            infos[0].ends_with(
                "for metric name \"m\", from buckets 1 to 2, with a max diff of 1.2e+02, over 2 samples from 1970-01-01T00:01:00Z to 1970-01-01T00:02:00Z (1:1)"
            ),
            "{infos:?}"
        );
    }
}
