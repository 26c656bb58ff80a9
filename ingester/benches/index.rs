//! Cost of the head's index: creating series, finding them. `cargo bench -p ingester --bench index`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use model::{MatchOp, Matcher};

/// The module itself: nothing outside the crate has any business with it.
#[path = "../src/index/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "its unit tests are compiled without the harness that calls them"
)]
mod index;

use index::{LabelIds, Postings, Symbols, sort_by_labels};

const SERIES: usize = 100_000;

/// Series as exporters have them: 400 a target, ten labels.
fn population() -> Vec<Vec<(String, String)>> {
    let series = |i: usize| {
        let (target, metric) = (i / 400, i % 400);
        let labels = [
            ("__name__", format!("node_metric_number_{}_total", metric / 4)),
            ("cluster", "eu-west-1".to_owned()),
            ("container", format!("container-{}", target % 40)),
            ("device", format!("device-{}", metric % 4)),
            ("instance", format!("10.0.{}.{}:9100", target / 250, target % 250)),
            ("job", format!("job-{}", target % 12)),
            ("namespace", format!("namespace-{}", target % 60)),
            ("node", format!("node-{}", target / 4)),
            ("pod", format!("application-{target}-{:x}", target * 7919)),
            ("uid", format!("{:016x}", i * 0x9e37)),
        ];
        labels.map(|(name, value)| (name.to_owned(), value)).to_vec()
    };
    (0..SERIES).map(series).collect()
}

#[derive(Default)]
struct Head {
    symbols: Symbols,
    postings: Postings,
    labels: Vec<LabelIds>,
}

impl Head {
    fn add(&mut self, labels: &[(String, String)]) {
        let ids = LabelIds::acquire(&mut self.symbols, labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        self.postings.add(self.labels.len() as u32, &ids);
        self.labels.push(ids);
    }

    fn remove(&mut self, first: usize) {
        let gone: Vec<u32> = (first as u32..self.labels.len() as u32).collect();
        let labels = self.labels.split_off(first);
        self.postings.remove(&gone, &labels);
        labels.iter().for_each(|ids| ids.release(&mut self.symbols));
    }
}

fn creation(c: &mut Criterion, population: &[Vec<(String, String)>]) {
    let mut group = c.benchmark_group("index");
    group.sample_size(10);
    let build = |mut head: Head| {
        population.iter().for_each(|labels| head.add(labels));
        head
    };
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("create", |b| b.iter_batched(Head::default, build, BatchSize::PerIteration));
    let halve = |mut head: Head| {
        head.remove(SERIES / 2);
        head
    };
    group.throughput(Throughput::Elements(SERIES as u64 / 2));
    group.bench_function("remove half", |b| {
        b.iter_batched(|| build(Head::default()), halve, BatchSize::PerIteration);
    });
    group.finish();
}

fn selection(c: &mut Criterion, head: &Head) {
    let matcher = |name, op, value| Matcher::new(name, op, value).expect("a valid matcher");
    let metric = Matcher::equal("__name__", "node_metric_number_7_total");
    let cases = [
        ("one metric", vec![metric.clone()]),
        ("metric and job", vec![metric.clone(), Matcher::equal("job", "job-3")]),
        ("one series", vec![metric.clone(), Matcher::equal("uid", "0000000000000aa8")]),
        ("job", vec![Matcher::equal("job", "job-3")]),
        ("set", vec![metric.clone(), matcher("job", MatchOp::Regex, "job-1|job-2|job-5")]),
        ("prefix", vec![metric.clone(), matcher("pod", MatchOp::Regex, "application-1.*")]),
        ("pattern of 100,000 values", vec![metric.clone(), matcher("uid", MatchOp::Regex, "0*[1-8]+[a-f]*")]),
        ("not", vec![metric.clone(), matcher("device", MatchOp::NotEqual, "device-1")]),
        ("not a pattern", vec![metric.clone(), matcher("namespace", MatchOp::NotRegex, "namespace-[1-3].*")]),
        ("has label", vec![metric, matcher("cluster", MatchOp::NotEqual, "")]),
        ("all metrics", vec![matcher("__name__", MatchOp::Regex, ".+")]),
        ("names", vec![matcher("__name__", MatchOp::Regex, "node_metric_number_[1-5].*")]),
    ];
    let mut group = c.benchmark_group("select");
    for (name, matchers) in cases {
        group.bench_function(name, |b| {
            b.iter(|| head.postings.select(&head.symbols, black_box(&matchers)).len());
        });
    }
    group.finish();
}

fn lookup(c: &mut Criterion, head: &Head, population: &[Vec<(String, String)>]) {
    let bytes = |labels: &'_ [(String, String)]| -> Vec<(Vec<u8>, Vec<u8>)> {
        labels.iter().map(|(n, v)| (n.clone().into_bytes(), v.clone().into_bytes())).collect()
    };
    let wanted: Vec<_> = population.iter().step_by(97).map(|labels| bytes(labels)).collect();
    let mut group = c.benchmark_group("labels");
    group.throughput(Throughput::Elements(wanted.len() as u64));
    group.bench_function("compare", |b| {
        b.iter(|| {
            for (labels, wanted) in head.labels.iter().step_by(97).zip(&wanted) {
                let mut pairs: [(&[u8], &[u8]); 10] = [(&[], &[]); 10];
                for (pair, (name, value)) in pairs.iter_mut().zip(wanted) {
                    *pair = (name, value);
                }
                assert!(labels.are(&head.symbols, &pairs));
            }
        });
    });
    group.bench_function("to text", |b| {
        b.iter(|| {
            head.labels.iter().step_by(97).map(|labels| labels.to_labels(&head.symbols).len()).sum::<usize>()
        });
    });
    // As they come from the head when a block is cut: by when they were created.
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("sort", |b| {
        let all = || head.labels.iter().collect::<Vec<_>>();
        b.iter_batched(
            all,
            |mut all| sort_by_labels(&mut all, &head.symbols, |labels| labels),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("names and values", |b| {
        b.iter(|| head.postings.names().map(|name| head.postings.values(name).count()).sum::<usize>());
    });
    group.finish();
}

fn index_benches(c: &mut Criterion) {
    let population = population();
    let mut head = Head::default();
    population.iter().for_each(|labels| head.add(labels));
    lookup(c, &head, &population);
    selection(c, &head);
    creation(c, &population);
}

criterion_group!(benches, index_benches);
criterion_main!(benches);
