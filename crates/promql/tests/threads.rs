//! Queries on several threads, with data in any order: the same bits, notes and counts as on one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::Labels;
use promql::{
    Engine, EngineOptions, Executor, QueryError, QueryResult, QueryValue, SampleCursor, SampleValue, Samples,
    SelectHints, SelectedSeries, SeriesBatch, SeriesSet, SeriesSource, SourceError,
};

/// Threads that take parts of a few series each, the last ones first.
#[derive(Debug)]
struct Threads {
    width: usize,
    part_series: usize,
    runs: AtomicUsize,
}

impl Executor for Threads {
    fn width(&self) -> usize {
        self.width
    }

    fn part_series(&self, _: usize, _: usize) -> usize {
        self.part_series
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(number) = parts.checked_sub(next.fetch_add(1, Ordering::Relaxed) + 1) {
                part(number);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.width {
                scope.spawn(work);
            }
        });
    }
}

type Series = (Labels, Vec<(i64, f64)>);

#[derive(Clone)]
struct Data {
    series: Vec<Series>,
    sorted: bool,
    /// When all series can be read at once, in any order.
    whole: Whole,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Never,
    /// Where they would have to be gathered.
    Gathered,
    AtHand,
}

/// Mixes bits (SplitMix64).
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Data {
    /// Counters with resets and gaps, gauges of very different sizes, and buckets; 240 series.
    fn new() -> Self {
        let mut series = Vec::new();
        for i in 0..80u64 {
            for name in ["requests_total", "size", "latency_bucket"] {
                let seed = mix(i ^ name.len() as u64);
                let mut value = (seed % 1000) as f64 / 7.0;
                let mut samples = Vec::new();
                for k in 0..80u64 {
                    let noise = mix(seed ^ k);
                    if noise.is_multiple_of(13) {
                        continue;
                    }
                    value = match name {
                        "size" => (noise as f64 - 9e18) * 10f64.powi((noise % 40) as i32 - 20),
                        _ if noise.is_multiple_of(29) => 0.0,
                        _ => value + (noise % 100) as f64 / 3.0,
                    };
                    samples.push((k as i64 * 30_000 + (noise % 2_000) as i64, value));
                }
                let labels = Labels::from_pairs([
                    ("__name__", name.to_owned()),
                    ("instance", format!("{}", i % 20)),
                    ("job", format!("{}", i / 20)),
                    ("le", if name == "latency_bucket" { format!("{}", i % 20) } else { String::new() }),
                ]);
                series.push((labels, samples));
            }
        }
        series.sort_by(|a, b| a.0.cmp(&b.0));
        Self { series, sorted: true, whole: Whole::Never }
    }

    /// The same, all of it at hand, or to be gathered: it may be read in another order.
    fn whole(&self, whole: Whole) -> Self {
        Self { whole, ..self.clone() }
    }

    fn shuffled(&self, seed: u64) -> Self {
        let mut out = self.clone();
        out.sorted = false;
        for i in (1..out.series.len()).rev() {
            out.series.swap(i, (mix(seed ^ i as u64) % (i as u64 + 1)) as usize);
        }
        out
    }
}

impl SeriesSource for Data {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let matches =
            |labels: &Labels| hints.matchers.iter().all(|m| m.matches(labels.get_or_empty(m.name())));
        let series = self.series.iter().filter(|(labels, _)| matches(labels)).collect();
        let (sorted, whole) = (self.sorted, self.whole);
        Ok(Box::new(Set { series, next: 0, sorted, whole, batch: Batch(Vec::new()) }))
    }
}

struct Set<'d> {
    series: Vec<&'d Series>,
    next: usize,
    sorted: bool,
    whole: Whole,
    batch: Batch<'d>,
}

impl<'d> Set<'d> {
    fn all_left(&mut self) -> &Batch<'d> {
        self.batch = Batch(self.series.split_off(self.next));
        &self.batch
    }
}

struct Batch<'d>(Vec<&'d Series>);

impl SeriesBatch for Batch<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn series(&self, number: usize) -> SelectedSeries<'_> {
        let (labels, samples) = self.0[number];
        SelectedSeries { labels: labels.clone(), samples: Box::new(Cursor(samples)) }
    }
}

impl SeriesSet for Set<'_> {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        Ok(self.next_batch()?.map(|batch| batch.series(0)))
    }

    fn is_sorted(&self) -> bool {
        self.sorted
    }

    fn has_batches(&self) -> bool {
        true
    }

    fn rest(&mut self) -> Result<Option<&dyn SeriesBatch>, SourceError> {
        Ok(if self.whole == Whole::AtHand { Some(self.all_left()) } else { None })
    }

    fn gathered_rest(&mut self) -> Result<Option<&dyn SeriesBatch>, SourceError> {
        Ok(if self.whole == Whole::Never { None } else { Some(self.all_left()) })
    }

    fn next_batch(&mut self) -> Result<Option<&dyn SeriesBatch>, SourceError> {
        let end = (self.next + 50).min(self.series.len());
        self.batch = Batch(self.series[self.next..end].to_vec());
        self.next = end;
        Ok((!self.batch.is_empty()).then_some(&self.batch))
    }
}

struct Cursor<'d>(&'d [(i64, f64)]);

impl SampleCursor for Cursor<'_> {
    fn read(&mut self, into: &mut Samples) -> Result<bool, SourceError> {
        let (run, rest) = self.0.split_at(self.0.len().min(17));
        self.0 = rest;
        run.iter().for_each(|(at, value)| into.push_float(*at, *value));
        Ok(!run.is_empty())
    }
}

const QUERIES: &[&str] = &[
    "size",
    "sum(size)",
    "sum by (job) (rate(requests_total[5m]))",
    "sum(size) by (instance) / sum(requests_total) by (instance)",
    "avg without (instance) (size)",
    "avg(-size / 0)",
    "sum by (instance) (size)",
    "sum by (instance, le) (rate(latency_bucket[1m]))",
    "stddev(size)",
    "stdvar by (job) (size)",
    "quantile by (job) (0.3, size)",
    "topk(7, size)",
    "bottomk by (job) (2, rate(requests_total[3m]))",
    "limitk(5, size)",
    "count_values(\"v\", round(requests_total))",
    "max by (job) (max_over_time(size[4m]))",
    "min(min_over_time(size[4m]))",
    "sum(sum_over_time(size[10m]) + avg_over_time(size[7m]))",
    "histogram_quantile(0.9, sum by (job, le) (rate(latency_bucket[5m])))",
    "histogram_quantile(0.9, latency_bucket)",
    "requests_total * on (instance, job) group_left () size",
    "size > bool 0 or requests_total",
    "size unless on (job) (requests_total > 500)",
    "sum(rate(size[5m]))",
    "increase(requests_total[5m]) - delta(requests_total[5m])",
    "sum(irate(requests_total[5m])) + sum(idelta(size[5m]))",
    "changes(size[5m]) + resets(requests_total[9m])",
    "deriv(size[9m])",
    "stddev_over_time(size[9m])",
    "quantile_over_time(0.4, size[9m])",
    "sum(sum_over_time(sum by (job) (size)[9m:1m]))",
    "max_over_time(rate(requests_total[2m])[10m:30s])",
    "label_replace(size, \"x\", \"$1\", \"instance\", \"(.).*\")",
    "absent(size)",
    "absent_over_time(size[1m])",
    "timestamp(size) - time()",
    "clamp(size, -1, 1) + -size",
    "scalar(sum(size)) + requests_total",
    "rate({__name__=~\".+\"}[5m])",
];

fn bits(result: Result<QueryResult, QueryError>) -> Vec<String> {
    let line = |labels: &Labels, at: i64, value: f64| format!("{labels} {at} {:x}", value.to_bits());
    match result.map(|result| result.value) {
        Err(error) => vec![error.to_string()],
        Ok(QueryValue::Matrix(series)) => {
            let points = series.iter().flat_map(|s| s.floats.iter().map(move |(t, v)| (&s.labels, *t, *v)));
            points.map(|(labels, at, value)| line(labels, at, value)).collect()
        }
        Ok(QueryValue::Vector(samples)) => samples
            .iter()
            .map(|sample| match sample.value {
                SampleValue::Float(value) => line(&sample.labels, 0, value),
                SampleValue::Histogram(_) => panic!("there are none"),
            })
            .collect(),
        Ok(other) => vec![format!("{other:?}")],
    }
}

#[test]
fn threads_and_order_of_data_change_no_bit() {
    let options = EngineOptions { experimental_functions: true, ..EngineOptions::default() };
    let plain = Engine::new(options.clone());
    let data = Data::new();
    for query in QUERIES {
        let range = (300_000, 2_100_000, 60_000);
        let expected = plain.range(query, range, &data);
        let counted = |r: &QueryResult| {
            (r.annotations.clone(), r.stats.series, r.stats.samples_read, r.stats.peak_bytes > 0)
        };
        let noted = expected.as_ref().ok().map(counted);
        let expected = bits(expected);
        assert!(!expected.is_empty() || query.starts_with("absent"), "{query} has no result");
        let instant = bits(plain.instant(query, 1_500_000, &data));
        for width in [1, 2, 7] {
            let threads = Arc::new(Threads { width, part_series: 1 + width, runs: AtomicUsize::new(0) });
            let engine =
                Engine::new(options.clone()).with_executor(Arc::clone(&threads) as Arc<dyn Executor>);
            let result = engine.range(query, range, &data);
            assert_eq!(noted, result.as_ref().ok().map(counted), "{query} on {width}");
            assert_eq!(expected, bits(result), "{query} on {width}");
            let at_hand = data.whole(Whole::AtHand);
            let result = engine.range(query, range, &at_hand);
            assert_eq!(noted, result.as_ref().ok().map(counted), "{query} on {width}, at hand");
            assert_eq!(expected, bits(result), "{query} on {width}, at hand");
            let found = bits(engine.instant(query, 1_500_000, &at_hand));
            assert_eq!(instant, found, "{query} on {width}, instant, at hand");
            // By labels at first, and from some batch on, a sooner or a later one, by shards.
            for max_open_shards_bytes in [0, 20_000, 80_000] {
                let options = EngineOptions { max_open_shards_bytes, ..options.clone() };
                let engine = Engine::new(options).with_executor(Arc::clone(&threads) as Arc<dyn Executor>);
                let result = engine.range(query, range, &data.whole(Whole::Gathered));
                let case = format!("{query} on {width}, gathered from {max_open_shards_bytes} bytes on");
                assert_eq!(noted, result.as_ref().ok().map(counted), "{case}");
                assert_eq!(expected, bits(result), "{case}");
            }
            let shuffled = data.shuffled(width as u64);
            assert_eq!(expected, bits(engine.range(query, range, &shuffled)), "{query} on {width}, shuffled");
            assert_eq!(
                instant,
                bits(engine.instant(query, 1_500_000, &shuffled)),
                "{query} on {width}, instant"
            );
            assert!(threads.runs.load(Ordering::Relaxed) > 0, "{query} was not divided");
        }
    }
}

#[test]
fn an_interrupted_query_stops_on_all_threads() {
    let options = EngineOptions::default();
    let threads = Arc::new(Threads { width: 4, part_series: 3, runs: AtomicUsize::new(0) });
    let engine = Engine::new(options).with_executor(threads as Arc<dyn Executor>);
    let time = promql::QueryTime::Range { start_ms: 300_000, end_ms: 2_100_000, step_ms: 60_000 };
    let prepared = engine.prepare("sum(rate(requests_total[5m]))", time, None).expect("it is valid");
    let looks = AtomicUsize::new(0);
    let interrupted = || (looks.fetch_add(1, Ordering::Relaxed) >= 20).then_some(promql::ErrorKind::Canceled);
    let error = engine.run(&prepared, &Data::new(), &interrupted).expect_err("it was cancelled");
    assert_eq!(error.kind, promql::ErrorKind::Canceled);
    // Each of the parts that had not begun looks once.
    assert!(looks.into_inner() <= 20 + 50 / 3 + 4, "parts went on");
}
