//! The text format.

use std::io::Write;

use model::{FloatHistogram, Labels};

use super::escape::{Escaping, is_plain};
use super::{Kind, Newest, NewestValue, classic_buckets, labels_of};

/// Appends the comment that begins a family.
pub(super) fn push_type(out: &mut Vec<u8>, name: &str, kind: Kind) {
    let kind = match kind {
        Kind::Untyped => "untyped",
        // The format has no gauge histograms; they are told like others.
        Kind::Histogram | Kind::GaugeHistogram => "histogram",
    };
    out.extend_from_slice(b"# TYPE ");
    if is_plain(name) {
        out.extend_from_slice(name.as_bytes());
    } else {
        push_quoted(out, name);
    }
    out.extend_from_slice(format!(" {kind}\n").as_bytes());
}

/// Appends the lines of a series: one for a float, several for a histogram, which has custom buckets.
pub(super) fn push_metric(
    out: &mut Vec<u8>,
    name: &str,
    labels: &Labels,
    newest: &Newest,
    escaping: Escaping,
) {
    let name = escaping.apply(name);
    let line = Line { labels, escaping, timestamp_ms: newest.timestamp_ms };
    match &newest.value {
        NewestValue::Float(value) => line.push(out, &name, None, *value),
        NewestValue::Histogram(histogram) => push_histogram(out, &name, &line, histogram),
    }
}

fn push_histogram(out: &mut Vec<u8>, name: &str, line: &Line<'_>, histogram: &FloatHistogram) {
    let bucket = format!("{name}_bucket");
    let buckets = classic_buckets(histogram);
    for (bound, count) in &buckets {
        line.push(out, &bucket, Some(*bound), *count);
    }
    if !buckets.iter().any(|(bound, _)| *bound == f64::INFINITY) {
        line.push(out, &bucket, Some(f64::INFINITY), histogram.count);
    }
    line.push(out, &format!("{name}_sum"), None, histogram.sum);
    line.push(out, &format!("{name}_count"), None, histogram.count);
}

/// What the lines of a series have in common.
struct Line<'a> {
    labels: &'a Labels,
    escaping: Escaping,
    timestamp_ms: i64,
}

impl Line<'_> {
    fn push(&self, out: &mut Vec<u8>, name: &str, bound: Option<f64>, value: f64) {
        let mut separator: &[u8] = b"{";
        if is_plain(name) {
            out.extend_from_slice(name.as_bytes());
        } else {
            out.push(b'{');
            push_quoted(out, name);
            separator = b",";
        }
        for (label, text) in labels_of(self.labels) {
            out.extend_from_slice(separator);
            separator = b",";
            push_label_name(out, &self.escaping.apply(label));
            out.push(b'=');
            push_quoted(out, text);
        }
        if let Some(bound) = bound {
            out.extend_from_slice(separator);
            separator = b",";
            out.extend_from_slice(b"le=\"");
            push_float(out, bound);
            out.push(b'"');
        }
        // A name that needs quotes opened the braces as well; there is always a label.
        debug_assert_eq!(separator, b",");
        out.extend_from_slice(b"} ");
        push_float(out, value);
        out.push(b' ');
        out.extend_from_slice(itoa::Buffer::new().format(self.timestamp_ms).as_bytes());
        out.push(b'\n');
    }
}

/// Label names may not have colons without quotes.
fn push_label_name(out: &mut Vec<u8>, name: &str) {
    if is_plain(name) && !name.contains(':') {
        out.extend_from_slice(name.as_bytes());
    } else {
        push_quoted(out, name);
    }
}

fn push_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Appends the shortest digits that read back equal, with an exponent where that is below -4 or above 5: Go's format `g`.
fn push_float(out: &mut Vec<u8>, value: f64) {
    const EXPONENTS: std::ops::Range<i32> = -4..6;
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
        return;
    }
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
        return;
    }
    if value == 0.0 {
        // Upstream drops the sign of zero.
        out.push(b'0');
        return;
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Writing to a Vec does not fail.
    let _ = if EXPONENTS.contains(&exponent) {
        write!(out, "{value}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs())
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_go_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (10_000.0, "10000"),
            (999_999.0, "999999"),
            (123_456.789, "123456.789"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (0.000_1, "0.0001"),
            (0.000_01, "1e-05"),
            (2.5e-7, "2.5e-07"),
            (1e100, "1e+100"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let mut out = Vec::new();
            push_float(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
