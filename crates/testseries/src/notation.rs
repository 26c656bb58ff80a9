//! Lists of values: `1 _ 2+3x4 stale {{count:1}}`, read and, as far as histograms go, written.

use std::sync::Arc;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{BucketSpan, CounterResetHint, FloatHistogram, stale_nan};
use promql::text::number::general;

/// An entry of a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// No sample at this position.
    Omitted,
    /// A float.
    Float(f64),
    /// A histogram, and whether it says what its reset hint is.
    Histogram(Arc<FloatHistogram>, bool),
}

/// How many entries a list may have.
const MAX_ITEMS: usize = 1_000_000;

/// Parses a list of values, of which there are at most a million.
pub fn parse_items(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        rest = one(rest, &mut items)?.trim_start();
        if items.len() > MAX_ITEMS {
            return Err(format!("more than {MAX_ITEMS} values"));
        }
    }
    Ok(items)
}

/// Parses one entry, which may stand for many, and returns what follows it.
fn one<'t>(text: &'t str, items: &mut Vec<Item>) -> Result<&'t str, String> {
    if let Some(after) = text.strip_prefix('_') {
        let (times, after) = repeat(after)?;
        items.extend(std::iter::repeat_n(Item::Omitted, times.unwrap_or(1)));
        return ended(after);
    }
    if text.starts_with("{{") {
        return histograms(text, items);
    }
    if let Some(after) = text.strip_prefix("stale") {
        items.push(Item::Float(stale_nan()));
        return ended(after);
    }
    let (mut value, after) = number(text)?;
    if let (Some(times), after) = repeat(after)? {
        items.extend(std::iter::repeat_n(Item::Float(value), times + 1));
        return ended(after);
    }
    if !after.starts_with(['+', '-']) {
        items.push(Item::Float(value));
        return ended(after);
    }
    let (step, after) = number(after)?;
    let (Some(times), after) = repeat(after)? else {
        return Err(format!("a step without a repetition in {text:?}"));
    };
    for _ in 0..=times {
        items.push(Item::Float(value));
        value += step;
    }
    ended(after)
}

fn ended(after: &str) -> Result<&str, String> {
    if after.is_empty() || after.starts_with(char::is_whitespace) {
        Ok(after)
    } else {
        Err(format!("unexpected {after:?} after a value"))
    }
}

/// `xN`, if it is there.
fn repeat(text: &str) -> Result<(Option<usize>, &str), String> {
    let Some(after) = text.strip_prefix('x') else {
        return Ok((None, text));
    };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let times: usize = after[..digits].parse().map_err(|_| format!("no number after x in {text:?}"))?;
    if times > MAX_ITEMS {
        return Err(format!("{times} repetitions, at most {MAX_ITEMS} are allowed"));
    }
    Ok((Some(times), &after[digits..]))
}

/// A number at the start of a text, which a sign may precede.
pub fn number(text: &str) -> Result<(f64, &str), String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    for (word, value) in [("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if unsigned.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(word)) {
            return Ok((sign * value, &unsigned[3..]));
        }
    }
    let bytes = unsigned.as_bytes();
    let mut end = 0;
    while let Some(b) = bytes.get(end) {
        let exponent_sign = matches!(b, b'+' | b'-') && end > 0 && matches!(bytes[end - 1], b'e' | b'E');
        if b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'e' | b'E') || exponent_sign {
            end += 1;
        } else {
            break;
        }
    }
    let after = &unsigned[end..];
    if after.starts_with(['s', 'm', 'h', 'd', 'w', 'y']) {
        let length = unsigned.bytes().take_while(|b| b.is_ascii_digit() || b"smhdwy".contains(b)).count();
        let ms = promql::text::duration::parse_ms(&unsigned[..length])?;
        return Ok((sign * ms as f64 / 1000.0, &unsigned[length..]));
    }
    let digits: String = unsigned[..end].chars().filter(|c| *c != '_').collect();
    let value: f64 = digits.parse().map_err(|_| format!("not a number: {text:?}"))?;
    Ok((sign * value, after))
}

fn histograms<'t>(text: &'t str, items: &mut Vec<Item>) -> Result<&'t str, String> {
    let (first, hinted, after) = literal(text)?;
    if let (Some(times), after) = repeat(after)? {
        let item = Item::Histogram(Arc::new(first), hinted);
        items.extend(std::iter::repeat_n(item, times + 1));
        return ended(after);
    }
    let subtract = after.starts_with('-');
    if !subtract && !after.starts_with('+') {
        items.push(Item::Histogram(Arc::new(first), hinted));
        return ended(after);
    }
    let (step, hinted, after) = literal(&after[1..])?;
    let (Some(times), after) = repeat(after)? else {
        return Err("a histogram as step without a repetition".to_owned());
    };
    let mut current = first;
    items.push(Item::Histogram(Arc::new(current.clone()), hinted));
    for _ in 0..times {
        if current.schema > step.schema {
            return Err(format!(
                "error combining histograms: cannot merge from schema {} to {}",
                step.schema, current.schema
            ));
        }
        let combined = if subtract { current.sub(&step) } else { current.add(&step) };
        combined.map_err(|e| e.to_string())?;
        items.push(Item::Histogram(Arc::new(current.clone()), hinted));
    }
    ended(after)
}

/// `{{key:value …}}` at the start of a text: the histogram, whether it has a hint, and what follows.
fn literal(text: &str) -> Result<(FloatHistogram, bool, &str), String> {
    let inner = text.strip_prefix("{{").ok_or_else(|| format!("no histogram: {text:?}"))?;
    let end = inner.find("}}").ok_or_else(|| format!("histogram without an end: {text:?}"))?;
    let (inner, after) = (&inner[..end], &inner[end + 2..]);
    let mut histogram = FloatHistogram::default();
    let mut sides = [(0i32, Vec::new()), (0i32, Vec::new())];
    let mut seen: Vec<&str> = Vec::new();
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').ok_or_else(|| format!("no value in {rest:?}"))?;
        if seen.contains(&key) {
            return Err(format!("duplicate key {key:?} in histogram"));
        }
        seen.push(key);
        let length = match after.strip_prefix('[') {
            Some(list) => list.find(']').ok_or_else(|| format!("no end of the list of {key}"))? + 2,
            None => after.find(char::is_whitespace).unwrap_or(after.len()),
        };
        let (value, after) = after.split_at(length);
        let float = || whole_number(value);
        let int = || value.parse::<i32>().map_err(|_| format!("not an integer: {value:?}"));
        match key {
            "schema" => histogram.schema = int()?,
            "sum" => histogram.sum = float()?,
            "count" => histogram.count = float()?,
            "z_bucket" => histogram.zero_count = float()?,
            "z_bucket_w" => histogram.zero_threshold = float()?,
            "buckets" => sides[0].1 = list(value)?,
            "offset" => sides[0].0 = int()?,
            "n_buckets" => sides[1].1 = list(value)?,
            "n_offset" => sides[1].0 = int()?,
            "custom_values" => histogram.custom_values = list(value)?,
            "counter_reset_hint" => histogram.counter_reset_hint = hint(value)?,
            _ => return Err(format!("bad histogram descriptor found: {key:?}")),
        }
        rest = after.trim_start();
    }
    if !(-4..=8).contains(&histogram.schema) && histogram.schema != CUSTOM_BUCKETS_SCHEMA {
        return Err(format!("histogram has an unknown schema {}", histogram.schema));
    }
    let [positive, negative] = sides.map(|(offset, counts)| {
        let length = counts.len() as u32;
        let spans = if counts.is_empty() { Vec::new() } else { vec![BucketSpan { offset, length }] };
        (spans, counts)
    });
    (histogram.positive_spans, histogram.positive_buckets) = positive;
    (histogram.negative_spans, histogram.negative_buckets) = negative;
    Ok((histogram, seen.contains(&"counter_reset_hint"), after))
}

fn whole_number(text: &str) -> Result<f64, String> {
    match number(text)? {
        (value, "") => Ok(value),
        (_, after) => Err(format!("unexpected {after:?} after a number")),
    }
}

fn list(text: &str) -> Result<Vec<f64>, String> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("not a list: {text:?}"))?;
    inner.split_whitespace().map(whole_number).collect()
}

fn hint(text: &str) -> Result<CounterResetHint, String> {
    Ok(match text {
        "unknown" => CounterResetHint::Unknown,
        "reset" => CounterResetHint::Reset,
        "not_reset" => CounterResetHint::NotReset,
        "gauge" => CounterResetHint::Gauge,
        _ => return Err(format!("unknown counter_reset_hint {text:?}")),
    })
}

/// A histogram in the notation: keys in upstream's order, those that have their default left out.
pub fn histogram_text(histogram: &FloatHistogram) -> String {
    let mut words = Vec::new();
    if histogram.schema != 0 {
        words.push(format!("schema:{}", histogram.schema));
    }
    let floats = [
        ("count", histogram.count),
        ("sum", histogram.sum),
        ("z_bucket", histogram.zero_count),
        ("z_bucket_w", histogram.zero_threshold),
    ];
    words.extend(floats.iter().filter(|(_, v)| *v != 0.0).map(|(key, v)| format!("{key}:{}", general(*v))));
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
        words.push(format!("custom_values:{}", list_text(&histogram.custom_values)));
    }
    match histogram.counter_reset_hint {
        CounterResetHint::Unknown => {}
        CounterResetHint::Reset => words.push("counter_reset_hint:reset".to_owned()),
        CounterResetHint::NotReset => words.push("counter_reset_hint:not_reset".to_owned()),
        CounterResetHint::Gauge => words.push("counter_reset_hint:gauge".to_owned()),
    }
    let sides = [
        ("offset", "buckets", &histogram.positive_spans, &histogram.positive_buckets),
        ("n_offset", "n_buckets", &histogram.negative_spans, &histogram.negative_buckets),
    ];
    for (offset_key, buckets_key, spans, counts) in sides {
        let (offset, counts) = contiguous(spans, counts);
        if offset != 0 {
            words.push(format!("{offset_key}:{offset}"));
        }
        if !counts.is_empty() {
            words.push(format!("{buckets_key}:{}", list_text(&counts)));
        }
    }
    format!("{{{{{}}}}}", words.join(" "))
}

fn list_text(values: &[f64]) -> String {
    let words: Vec<String> = values.iter().map(|value| general(*value)).collect();
    format!("[{}]", words.join(" "))
}

/// The longest gap between buckets that is written out, in buckets.
const MAX_GAP: i32 = 10_000;

/// Buckets without gaps and without empty ones at the ends, and the index of the first.
fn contiguous(spans: &[BucketSpan], counts: &[f64]) -> (i32, Vec<f64>) {
    let (mut first, mut out) = (0, Vec::new());
    let (mut index, mut counts) = (0i32, counts.iter());
    let mut end = 0i32;
    for span in spans {
        index = index.saturating_add(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            if *count != 0.0 {
                if out.is_empty() {
                    first = index;
                } else {
                    out.extend((0..index.saturating_sub(end).min(MAX_GAP)).map(|_| 0.0));
                }
                out.push(*count);
                end = index.saturating_add(1);
            }
            index = index.saturating_add(1);
        }
    }
    (first, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> Vec<Option<f64>> {
        let items = parse_items(text).unwrap();
        let float = |item| match item {
            Item::Omitted => None,
            Item::Float(v) => Some(v),
            Item::Histogram(..) => panic!("a histogram"),
        };
        items.into_iter().map(float).collect()
    }

    #[test]
    fn repetitions() {
        assert_eq!(floats("1 _ -2.5"), [Some(1.0), None, Some(-2.5)]);
        assert_eq!(
            floats("1+2x2 _x2 5x1"),
            [Some(1.0), Some(3.0), Some(5.0), None, None, Some(5.0), Some(5.0)]
        );
        assert_eq!(
            floats("3-1x1 1e+2 1m Inf -inf"),
            [Some(3.0), Some(2.0), Some(100.0), Some(60.0), Some(f64::INFINITY), Some(f64::NEG_INFINITY)]
        );
        assert!(floats("NaN")[0].is_some_and(f64::is_nan));
        for bad in ["1+2", "1x", "abc", "1x99999999999", "{{sum:1", "{{sum:1 sum:2}}", "{{what:1}}"] {
            assert!(parse_items(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn histograms_are_written_as_they_are_read() {
        for text in [
            "{{}}",
            "{{schema:1 count:32.1 sum:-0.3 z_bucket:7.1 z_bucket_w:0.05 offset:-3 buckets:[5.1 10 7] n_offset:-5 n_buckets:[4.1 5]}}",
            "{{schema:-53 count:3 custom_values:[1 2.5] counter_reset_hint:gauge buckets:[1 2]}}",
        ] {
            let items = parse_items(text).unwrap();
            let Item::Histogram(histogram, _) = &items[0] else { panic!("{items:?}") };
            assert_eq!(histogram_text(histogram), text);
        }
        let spans = vec![BucketSpan { offset: 1, length: 2 }, BucketSpan { offset: 2, length: 1 }];
        let gaps = FloatHistogram {
            positive_spans: spans,
            positive_buckets: vec![0.0, 4.0, 5.0],
            ..FloatHistogram::default()
        };
        assert_eq!(histogram_text(&gaps), "{{offset:2 buckets:[4 0 0 5]}}");
    }

    #[test]
    fn histogram_literals() {
        let items = parse_items(
            "{{schema:1 sum:-0.3 count:3 buckets:[1 2] offset:-3 counter_reset_hint:gauge}} {{}}",
        )
        .unwrap();
        let Item::Histogram(h, true) = &items[0] else { panic!("{items:?}") };
        assert_eq!((h.schema, h.sum, h.positive_spans[0].offset), (1, -0.3, -3));
        assert_eq!(items.len(), 2);
        let items = parse_items("{{count:1 buckets:[1]}}+{{count:2 buckets:[2]}}x2").unwrap();
        let Item::Histogram(h, false) = &items[2] else { panic!("{items:?}") };
        assert_eq!((h.count, h.positive_buckets.as_slice()), (5.0, &[5.0][..]));
    }
}
