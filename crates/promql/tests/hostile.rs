//! Queries that ask for too much end in an error, soon, and within the memory they are allowed.

use std::sync::atomic::{AtomicU64, Ordering};

use model::Labels;
use promql::{
    Engine, EngineOptions, ErrorKind, QueryTime, SampleCursor, Samples, SelectHints, SelectedSeries,
    SeriesSet, SeriesSource, SourceError,
};

/// Any number of series, each with a sample per second for three hours; the last one first.
struct Endless {
    series: usize,
}

/// The same in the order of labels, so that nobody has to hold them to sort them.
struct Ascending(Endless);

impl Endless {
    fn set(&self, hints: &SelectHints, all: Option<usize>) -> Box<Set> {
        Box::new(Set { left: self.series, all, range: (hints.start_ms.max(0), hints.end_ms.min(10_800_000)) })
    }
}

impl SeriesSource for Endless {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        Ok(self.set(hints, None))
    }
}

impl SeriesSource for Ascending {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        Ok(self.0.set(hints, Some(self.0.series)))
    }
}

struct Set {
    left: usize,
    /// How many there are, where they ascend.
    all: Option<usize>,
    range: (i64, i64),
}

impl SeriesSet for Set {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let number = self.all.map_or(self.left, |all| all - 1 - self.left);
        let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("i", format!("{number:09}"))]);
        Ok(Some(SelectedSeries { labels, samples: Box::new(Cursor(self.range)) }))
    }

    fn is_sorted(&self) -> bool {
        self.all.is_some()
    }
}

struct Cursor((i64, i64));

impl SampleCursor for Cursor {
    fn read(&mut self, into: &mut Samples) -> Result<bool, SourceError> {
        let (start, end) = self.0;
        let first = (start + 999).div_euclid(1000) * 1000;
        let mut t = first;
        while t <= end && t < first + 120_000 {
            into.push_float(t, (t / 1000) as f64);
            t += 1000;
        }
        self.0.0 = t;
        Ok(t > first)
    }
}

fn engine(max_samples: u64, max_memory_bytes: u64) -> Engine {
    let experimental_functions = true;
    Engine::new(EngineOptions {
        max_samples,
        max_memory_bytes,
        experimental_functions,
        ..EngineOptions::default()
    })
}

const HOUR: QueryTime = QueryTime::Range { start_ms: 3_600_000, end_ms: 7_200_000, step_ms: 1_000 };

#[track_caller]
fn fails(engine: &Engine, query: &str, series: usize, kind: ErrorKind) {
    fails_at(engine, query, HOUR, &Endless { series }, kind);
}

#[track_caller]
fn fails_at(engine: &Engine, query: &str, time: QueryTime, source: &dyn SeriesSource, kind: ErrorKind) {
    let prepared = engine.prepare(query, time, None).expect("the query is valid");
    let error = engine.run(&prepared, source, &|| None).expect_err(query);
    assert_eq!(error.kind, kind, "{query}: {error}");
}

#[test]
fn samples_and_memory_are_limited() {
    let few_samples = engine(1_000_000, 1 << 40);
    let little_memory = engine(u64::MAX, 32 << 20);
    for query in [
        "m",
        "-m",
        "m + on (i) m",
        "m * on (i) group_left m",
        "topk(1, m)",
        "quantile(0.5, m)",
        "rate(m[1m])",
        "label_join(m, \"a\", \"b\", \"i\")",
    ] {
        fails(&few_samples, query, 1_000_000, ErrorKind::TooLarge);
        fails(&little_memory, query, 1_000_000, ErrorKind::TooLarge);
    }
    fails(&little_memory, "sum by (i) (m)", 1_000_000, ErrorKind::TooLarge);
    fails(&little_memory, "count_values(\"v\", m)", 1, ErrorKind::TooLarge);
}

#[test]
fn what_is_folded_takes_no_memory() {
    let engine = engine(200_000, 32 << 20);
    let sorted = engine.prepare("sum(rate(m[1m]))", QueryTime::Instant(7_200_000), None).expect("valid");
    let result = engine.run(&sorted, &Endless { series: 2_000 }, &|| None).expect("it fits");
    assert_eq!(result.stats.series, 2_000);
    assert!(result.stats.peak_samples < 10_000, "{:?}", result.stats);
}

/// A million series on either side, at one time: what they would hold is refused before it is there.
#[test]
fn a_million_series_are_joined_within_bounds() {
    let little_memory = engine(u64::MAX, 4 << 20);
    let few_samples = engine(20_000, u64::MAX);
    let (now, source) = (QueryTime::Instant(60_000), Ascending(Endless { series: 1_000_000 }));
    for query in [
        "m * on (i) group_left m",
        "m * on () group_left count(m) + m",
        "sort(m) and m",
        "m unless on (i) sort_by_label(m, \"i\")",
        "label_replace(m, \"j\", \"$1\", \"i\", \"(.*)\") * on (j) group_right m",
    ] {
        fails_at(&little_memory, query, now, &source, ErrorKind::TooLarge);
        fails_at(&few_samples, query, now, &source, ErrorKind::TooLarge);
    }
}

/// Of 400 series at 3,601 steps only those are held that may still be picked.
#[test]
fn what_picks_a_few_holds_a_few() {
    let engine = engine(200_000, 8 << 20);
    let source = Ascending(Endless { series: 400 });
    for (query, series) in
        [("topk(3, m)", 3), ("bottomk(3, -m)", 3), ("limitk(3, m)", 3), ("topk by (i) (1, limitk(5, m))", 5)]
    {
        let prepared = engine.prepare(query, HOUR, None).expect("valid");
        let result = engine.run(&prepared, &source, &|| None).expect(query);
        let promql::QueryValue::Matrix(found) = result.value else { panic!("{query}: no matrix") };
        assert_eq!(found.len(), series, "{query}: {:?}", found.iter().map(|s| &s.labels).collect::<Vec<_>>());
    }
}

#[test]
fn endless_subqueries_and_growing_labels_are_refused() {
    let engine = engine(u64::MAX, 1 << 30);
    fails(&engine, "sum_over_time(m[100y:1ms])", 1, ErrorKind::Execution);
    let mut bomb = "label_replace(m, \"i\", \"$1$1$1$1$1$1$1$1\", \"i\", \"(.*)\")".to_owned();
    for _ in 0..12 {
        bomb = format!("label_replace({bomb}, \"i\", \"$1$1$1$1$1$1$1$1\", \"i\", \"(.*)\")");
    }
    fails(&engine, &bomb, 1, ErrorKind::Execution);
    let time = QueryTime::Range { start_ms: 0, end_ms: i64::MAX, step_ms: 1 };
    assert_eq!(engine.prepare("m", time, None).expect_err("too many steps").kind, ErrorKind::BadData);
}

#[test]
fn queries_stop_when_told() {
    let engine = engine(u64::MAX, 1 << 40);
    for query in [
        "m",
        "sum_over_time(m[3h])",
        "topk(5, m)",
        "m * on (i) m",
        "quantile(0.5, m)",
        "max_over_time(rate(m[1m])[1h:1s])",
    ] {
        let looks = AtomicU64::new(0);
        let interrupted = || (looks.fetch_add(1, Ordering::Relaxed) >= 20).then_some(ErrorKind::Timeout);
        let prepared = engine.prepare(query, HOUR, None).expect("the query is valid");
        let error = engine.run(&prepared, &Endless { series: 1_000_000 }, &interrupted).expect_err(query);
        assert_eq!(error.kind, ErrorKind::Timeout, "{query}");
        assert_eq!(looks.into_inner(), 21, "{query} went on");
    }
}

/// Two series of histograms, one a second for three hours.
struct Histograms;

struct HistogramSet(u8);

struct HistogramCursor(i64);

impl SeriesSource for Histograms {
    fn select(&self, _: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        Ok(Box::new(HistogramSet(0)))
    }
}

impl SeriesSet for HistogramSet {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        self.0 += 1;
        let labels = Labels::from_pairs([("__name__", "h".to_owned()), ("i", self.0.to_string())]);
        let series = SelectedSeries { labels, samples: Box::new(HistogramCursor(0)) };
        Ok((self.0 <= 2).then_some(series))
    }

    fn is_sorted(&self) -> bool {
        true
    }
}

impl SampleCursor for HistogramCursor {
    fn read(&mut self, into: &mut Samples) -> Result<bool, SourceError> {
        let end = (self.0 + 120).min(10_800);
        for second in self.0..end {
            let count = second as f64;
            let histogram = model::FloatHistogram { count, zero_count: count, ..Default::default() };
            into.push_histogram(second * 1_000, histogram.into());
        }
        let any = end > self.0;
        self.0 = end;
        Ok(any)
    }
}

/// Histograms are more work than floats, so a query that has to do with them looks oftener whether it is to stop.
#[test]
fn queries_of_histograms_look_often_enough() {
    let engine = engine(u64::MAX, 1 << 40);
    // Each reads 21,600 histograms; what it does with them comes on top.
    for (query, histograms) in [("h", 21_600), ("sum_over_time(h[10m])", 600_000), ("h + on (i) h", 20_000)] {
        let looks = AtomicU64::new(0);
        let interrupted = || {
            looks.fetch_add(1, Ordering::Relaxed);
            None
        };
        let prepared = engine.prepare(query, HOUR, None).expect("the query is valid");
        let result = engine.run(&prepared, &Histograms, &interrupted);
        assert!(result.is_ok(), "{query}: {result:?}");
        let looks = looks.into_inner();
        assert!(looks >= histograms / 4_000, "{query} looked {looks} times");
    }
}

#[test]
fn deep_and_long_expressions_run_on_a_small_stack() {
    let engine = engine(u64::MAX, 1 << 40);
    let mut queries = vec![
        format!("m{}", " + on (i) m".repeat(990)),
        format!("m{}", " or m".repeat(990)),
        format!("m{}", " * 2 > 0".repeat(490)),
        format!("vector(1{})", " + 1".repeat(990)),
    ];
    let around = [
        ("abs(", ")"),
        ("sum(", ")"),
        ("topk(1, ", ")"),
        ("label_replace(", ", \"a\", \"b\", \"c\", \"d\")"),
        ("absent(", ")"),
        ("max_over_time(", "[1m:1m])"),
        ("-(", ")"),
        ("vector(scalar(", "))"),
        ("histogram_quantile(0.5, ", ")"),
        ("sort(", ")"),
        ("timestamp(", ")"),
        ("1 + (m * on (i) ", ")"),
        ("m and ", ""),
        ("2 ^ ", ""),
    ];
    for (open, close) in around {
        // As deep as it may be.
        let deepest = (1..130)
            .map(|n| format!("{}m{}", open.repeat(n), close.repeat(n)))
            .take_while(|query| engine.prepare(query, QueryTime::Instant(7_200_000), None).is_ok())
            .last();
        queries.push(deepest.expect("a single one is valid"));
    }
    for query in queries {
        let expr = promql::parse(&query, &promql::ParseOptions::ALL).expect("the query is valid");
        let printed =
            promql::parse(&expr.to_string(), &promql::ParseOptions::ALL).expect("and so is what it prints");
        assert_eq!(printed.to_string(), expr.to_string());
        assert!(promql::pretty(&expr).len() >= query.len() / 2);
        let prepared =
            engine.prepare(&query, QueryTime::Instant(7_200_000), None).expect("the query is valid");
        assert_eq!(prepared.selections().is_empty(), query.starts_with("vector(1"));
        let short: String = query.chars().take(40).collect();
        if let Err(e) = engine.run(&prepared, &Endless { series: 2 }, &|| None) {
            assert_eq!(e.kind, ErrorKind::Execution, "{short}: {e}");
        }
    }
}
