//! How many samples queries look at, step by step: what `stats=all` tells.

use std::sync::Arc;

use model::histogram::BucketSpan;
use model::{FloatHistogram, Labels, Matcher};
use promql::{
    Engine, EngineOptions, QueryTime, SampleCounts, SampleCursor, Samples, SelectHints, SelectedSeries,
    SeriesSet, SeriesSource, SourceError,
};

/// A sample every ten seconds from 0 to 1000 s, in series of floats or of histograms.
struct Every10Seconds(Vec<(Labels, Option<Arc<FloatHistogram>>)>);

impl SeriesSource for Every10Seconds {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let all = |m: &Labels| hints.matchers.iter().all(|x: &Matcher| x.matches(m.get_or_empty(x.name())));
        let series: Vec<_> = self.0.iter().filter(|(labels, _)| all(labels)).collect();
        Ok(Box::new(Set { series: series.into_iter(), range: (hints.start_ms, hints.end_ms) }))
    }
}

struct Set<'a> {
    series: std::vec::IntoIter<&'a (Labels, Option<Arc<FloatHistogram>>)>,
    range: (i64, i64),
}

impl SeriesSet for Set<'_> {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        let range = self.range;
        Ok(self.series.next().map(|(labels, histogram)| SelectedSeries {
            labels: labels.clone(),
            samples: Box::new(Cursor { histogram: histogram.clone(), range, done: false }),
        }))
    }

    fn is_sorted(&self) -> bool {
        true
    }
}

struct Cursor {
    histogram: Option<Arc<FloatHistogram>>,
    range: (i64, i64),
    done: bool,
}

impl SampleCursor for Cursor {
    fn read(&mut self, into: &mut Samples) -> Result<bool, SourceError> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(false);
        }
        let (start, end) = self.range;
        for time in (0..=100).map(|i| i * 10_000).filter(|t| (start..=end).contains(t)) {
            match &self.histogram {
                Some(histogram) => into.push_histogram(time, Arc::clone(histogram)),
                None => into.push_float(time, time as f64),
            }
        }
        Ok(true)
    }
}

/// One series `one`, three series `three`, and a series `buckets` of histograms that weigh 13 floats each.
fn data() -> Every10Seconds {
    let histogram = FloatHistogram {
        schema: 1,
        count: 5.0,
        sum: 20.0,
        positive_spans: vec![BucketSpan { offset: 0, length: 4 }],
        positive_buckets: vec![1.0, 2.0, 1.0, 1.0],
        ..FloatHistogram::default()
    };
    let of = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    Every10Seconds(vec![
        (of(&[("__name__", "buckets")]), Some(Arc::new(histogram))),
        (of(&[("__name__", "one"), ("job", "a")]), None),
        (of(&[("__name__", "target_info"), ("job", "a"), ("v", "1")]), None),
        (of(&[("__name__", "target_info"), ("job", "b"), ("v", "1")]), None),
        (of(&[("__name__", "three"), ("a", "1")]), None),
        (of(&[("__name__", "three"), ("a", "2")]), None),
        (of(&[("__name__", "three"), ("a", "3")]), None),
    ])
}

fn count(query: &str, time: QueryTime) -> SampleCounts {
    let options = EngineOptions {
        experimental_functions: true,
        extended_range_selectors: true,
        fill_modifiers: true,
        ..EngineOptions::default()
    };
    let engine = Engine::new(options);
    let query = engine.prepare(query, time, None).unwrap_or_else(|e| panic!("{query}: {e}"));
    engine.sample_counts(&query, &data(), &|| None).expect("nothing fails")
}

/// At one time: samples looked at, and read.
fn check_at(seconds: i64, query: &str, queryable: u64, read: u64) {
    let counts = count(query, QueryTime::Instant(seconds * 1_000));
    assert_eq!((counts.total_queryable(), counts.total_read()), (queryable, read), "{query} at {seconds}");
}

/// From 201 s to 220 s every 5 s.
fn check_range(query: &str, queryable: [u64; 4], read: [u64; 4]) {
    let time = QueryTime::Range { start_ms: 201_000, end_ms: 220_000, step_ms: 5_000 };
    let counts = count(query, time);
    assert_eq!((counts.start_ms, counts.interval_ms), (201_000, 5_000));
    assert_eq!((counts.queryable, counts.read), (queryable.to_vec(), read.to_vec()), "{query}");
}

#[test]
fn instants() {
    check_at(21, "1", 0, 0);
    check_at(21, "'text'", 0, 0);
    check_at(21, "one", 1, 1);
    check_at(21, "one offset 10s", 1, 1);
    check_at(21, "three + on() group_left one", 4, 4);
    check_at(2_000, "one", 0, 0);
    check_at(21, "buckets", 13, 13);
    check_at(21, "timestamp(buckets)", 1, 1);
    check_at(21, "count(three) + scalar(one @ 3)", 4, 4);
}

#[test]
fn ranges() {
    check_at(201, "one[60s]", 6, 6);
    check_at(201, "three[60s] offset 7s", 18, 18);
    check_at(201, "buckets[60s]", 78, 78);
    check_at(201, "sum(max_over_time(three[60s] @ 30))", 12, 12);
    // The lookback counts where values are put in at the edges; alone only what is shown.
    check_at(401, "increase(one[60s] anchored)", 36, 36);
    check_at(401, "one[60s] anchored", 8, 8);
    // Of buckets that nobody looks at nothing is loaded: counts and sums weigh 11.
    check_at(201, "histogram_count(rate(buckets[60s]))", 66, 66);
}

#[test]
fn subqueries() {
    // Four times the window of 60 s; read are the six samples of the first and then every tenth second one more.
    check_at(201, "max_over_time(one[60s])[20s:5s]", 24, 8);
    // As the range of a function the points of the subquery count: 12 of them, from 13 samples.
    check_at(201, "sum_over_time(one[60s:5s])", 12, 12);
    check_at(201, "sum_over_time(three[60s:5s])", 36, 36);
    check_at(201, "sum_over_time(buckets[60s:5s])", 156, 156);
}

#[test]
fn steps() {
    check_range("one", [1; 4], [1; 4]);
    check_range("three + on() group_left one", [4; 4], [4; 4]);
    check_range("one @ 30", [1; 4], [1, 0, 0, 0]);
    check_range("max_over_time(one[60s])", [6; 4], [6, 0, 1, 0]);
    check_range("max_over_time(three[60s])", [18; 4], [18, 0, 3, 0]);
    check_range("max_over_time(one[60s] @ 30)", [4; 4], [4, 0, 0, 0]);
    check_range("predict_linear(one[60s] @ 30, time())", [4; 4], [4, 0, 0, 0]);
    check_range("sum_over_time(one[20s:10s])", [2; 4], [2, 0, 1, 0]);
    // Ranges shorter than steps leave out what lies between them.
    check_range("sum_over_time(one[2s:1s])", [2; 4], [2; 4]);
}

/// Where steps are further apart than a subquery reaches, what it would read between them does not count.
#[test]
fn gaps_between_the_ranges_of_subqueries() {
    let time = QueryTime::Range { start_ms: 201_000, end_ms: 261_000, step_ms: 60_000 };
    let counts = count("max_over_time(one[30s:10s])", time);
    assert_eq!((counts.queryable, counts.read), (vec![3, 3], vec![3, 3]));
}

#[test]
fn info_series_count_where_they_belong() {
    check_at(21, "info(one)", 2, 2);
    check_at(21, "info(three)", 3, 3);
}

#[test]
fn counting_stops_when_it_is_told_to() {
    let engine = Engine::new(EngineOptions::default());
    let query = engine.prepare("three", QueryTime::Instant(21_000), None).expect("it is valid");
    let error = engine.sample_counts(&query, &data(), &|| Some(promql::ErrorKind::Canceled));
    assert_eq!(error.expect_err("it was canceled").kind, promql::ErrorKind::Canceled);
}
