//! Queries of dashboard kinds over series in memory: what the engine alone costs, without storage.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::Labels;
use promql::{
    Engine, EngineOptions, QueryTime, SampleCursor, Samples, SelectHints, SelectedSeries, SeriesSet,
    SeriesSource, SourceError,
};

const SCRAPE_MS: i64 = 15_000;
const HOUR_MS: i64 = 3_600_000;

/// Counters of many pods, a sample every 15 seconds for six hours.
struct Source {
    series: Vec<Labels>,
    timestamps: Vec<i64>,
    values: Vec<f64>,
}

impl Source {
    fn new(count: usize) -> Self {
        let mut series: Vec<Labels> = (0..count)
            .map(|i| {
                Labels::from_pairs([
                    ("__name__", "http_requests_total".to_owned()),
                    ("cluster", format!("c{}", i % 3)),
                    ("namespace", format!("n{}", i % 40)),
                    ("pod", format!("pod-{:05}", i / 8)),
                    ("code", ["200", "204", "302", "400", "404", "500", "502", "503"][i % 8].to_owned()),
                ])
            })
            .collect();
        series.sort();
        let timestamps: Vec<i64> = (0..6 * HOUR_MS / SCRAPE_MS).map(|i| i * SCRAPE_MS).collect();
        // It grows unevenly, and is reset once an hour.
        let values = (0..timestamps.len()).map(|i| (i % 240 * 40 + i * 37 % 40) as f64).collect();
        Self { series, timestamps, values }
    }
}

impl SeriesSource for Source {
    fn select(&self, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let first = self.timestamps.partition_point(|t| *t < hints.start_ms);
        let end = self.timestamps.partition_point(|t| *t <= hints.end_ms);
        Ok(Box::new(Set { source: self, next: 0, range: (first, end) }))
    }
}

struct Set<'s> {
    source: &'s Source,
    next: usize,
    range: (usize, usize),
}

impl SeriesSet for Set<'_> {
    fn next_series(&mut self) -> Result<Option<SelectedSeries<'_>>, SourceError> {
        let Some(labels) = self.source.series.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        Ok(Some(SelectedSeries {
            labels: labels.clone(),
            samples: Box::new(Cursor { source: self.source, range: self.range }),
        }))
    }

    fn is_sorted(&self) -> bool {
        true
    }
}

struct Cursor<'s> {
    source: &'s Source,
    range: (usize, usize),
}

impl SampleCursor for Cursor<'_> {
    fn read(&mut self, into: &mut Samples) -> Result<bool, SourceError> {
        const CHUNK: usize = 120;
        let (first, end) = self.range;
        let until = (first + CHUNK).min(end);
        into.extend_floats(&self.source.timestamps[first..until], &self.source.values[first..until]);
        self.range.0 = until;
        Ok(until > first)
    }
}

const QUERIES: [&str; 9] = [
    "http_requests_total",
    "sum(http_requests_total)",
    "sum by (namespace) (rate(http_requests_total[5m]))",
    "sum by (pod) (rate(http_requests_total[5m]))",
    "sum by (namespace) (rate(http_requests_total{code=~\"5..\"}[5m])) / sum by (namespace) (rate(http_requests_total[5m]))",
    "topk(10, sum by (pod) (increase(http_requests_total[10m])))",
    "avg_over_time(http_requests_total[10m])",
    "max by (cluster) (max_over_time(http_requests_total[10m]))",
    "quantile by (cluster) (0.95, irate(http_requests_total[2m]))",
];

fn queries(criterion: &mut Criterion) {
    let engine = Engine::new(EngineOptions::default());
    let source = Source::new(10_000);
    let hour = QueryTime::Range { start_ms: 4 * HOUR_MS, end_ms: 5 * HOUR_MS, step_ms: 15_000 };
    let times = [("instant", QueryTime::Instant(5 * HOUR_MS)), ("1h", hour)];
    for (kind, time) in times {
        let mut group = criterion.benchmark_group(kind);
        group.sample_size(10);
        group.throughput(Throughput::Elements(source.series.len() as u64));
        for query in QUERIES {
            group.bench_with_input(BenchmarkId::from_parameter(query), query, |bencher, query| {
                bencher.iter(|| {
                    let prepared = engine.prepare(query, time, None).expect("the query is valid");
                    black_box(engine.run(&prepared, &source, &|| None).expect("the query runs"))
                });
            });
        }
        group.finish();
    }
}

fn parsing(criterion: &mut Criterion) {
    let query = "sum by (namespace) (rate(http_requests_total{code=~\"5..\", cluster=\"a\"}[5m])) / on (namespace) sum by (namespace) (rate(http_requests_total[5m])) > 0.05";
    let options = promql::ParseOptions::default();
    criterion.bench_function("parse", |bencher| {
        bencher.iter(|| black_box(promql::parse(black_box(query), &options)));
    });
}

criterion_group!(benches, queries, parsing);
criterion_main!(benches);
