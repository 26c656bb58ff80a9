//! What walking a realistic request costs: 2,000 series of one sample, about 302 bytes each as remote write 1.0.
//!
//! Budget: walk and hash at most 0.15 µs a sample.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::hash::push_canonical_label;
use model::{SeriesHash, TenantId, TenantSeed};
use wire::encode::{Rw1Writer, Rw2Writer};
use wire::{rw1, rw2, snappy};

const SERIES: usize = 2_000;

/// Labels as of a container metric in Kubernetes.
fn labels(i: usize) -> [(&'static str, String); 10] {
    [
        ("__name__", format!("container_network_receive_bytes_total_{}", i % 50)),
        ("cluster", "prod-eu-west-1".to_owned()),
        ("container", "POD".to_owned()),
        ("image", "registry.example.org/pause:3.9".to_owned()),
        ("instance", format!("10.0.{}.{}:10250", i / 250, i % 250)),
        ("interface", "eth0".to_owned()),
        ("job", "kubelet".to_owned()),
        ("metrics_path", "/metrics/cadvisor".to_owned()),
        ("namespace", format!("team-{}", i % 20)),
        ("pod", format!("service-{}-6d4b75cb6d-{i:05}", i % 100)),
    ]
}

fn request_v1() -> Vec<u8> {
    let mut writer = Rw1Writer::default();
    for i in 0..SERIES {
        for (name, value) in labels(i) {
            writer.label(name, &value);
        }
        writer.sample(1_750_000_000_000, i as f64).end_series();
    }
    writer.message().to_vec()
}

fn request_v2() -> Vec<u8> {
    let mut writer = Rw2Writer::default();
    for i in 0..SERIES {
        for (name, value) in labels(i) {
            writer.label(name, &value);
        }
        writer.sample(1_750_000_000_000, i as f64, 0).end_series();
    }
    writer.message()
}

fn walk_v1(message: &[u8], seed: TenantSeed) -> (u64, f64) {
    let (mut hashes, mut sum) = (0u64, 0.0);
    for field in rw1::request(message) {
        let Ok(rw1::RequestField::TimeSeries { body, .. }) = field else {
            continue;
        };
        let mut labels = rw1::leading_labels(body);
        black_box(labels.by_ref().map(|label| label.name.len() + label.value.len()).sum::<usize>());
        let end = labels.position();
        hashes ^= SeriesHash::of_canonical(seed, &body[..end]).0;
        for field in rw1::series_from(body, end) {
            if let Ok(rw1::SeriesField::Sample(sample)) = field {
                sum += sample.value;
            }
        }
    }
    (hashes, sum)
}

fn walk_v2(message: &[u8], seed: TenantSeed) -> (u64, f64) {
    let (mut hashes, mut sum) = (0u64, 0.0);
    let (mut symbols, mut canonical) = (Vec::with_capacity(8_192), Vec::with_capacity(512));
    for field in rw2::request(message) {
        let body = match field {
            Ok(rw2::RequestField::Symbol { text, .. }) => {
                symbols.push(text);
                continue;
            }
            Ok(rw2::RequestField::TimeSeries { body, .. }) => body,
            Err(_) => continue,
        };
        for field in rw2::series(body) {
            match field {
                Ok(rw2::SeriesField::LabelRefs(mut refs)) => {
                    canonical.clear();
                    while let (Some(Ok(name)), Some(Ok(value))) = (refs.next(), refs.next()) {
                        push_canonical_label(&mut canonical, symbols[name as usize], symbols[value as usize]);
                    }
                    hashes ^= SeriesHash::of_canonical(seed, &canonical).0;
                }
                Ok(rw2::SeriesField::Sample(sample)) => sum += sample.value,
                _ => {}
            }
        }
    }
    (hashes, sum)
}

fn benches(criterion: &mut Criterion) {
    let (v1, v2) = (request_v1(), request_v2());
    let seed = TenantSeed::of(&TenantId::anonymous());
    assert_eq!(walk_v1(&v1, seed), walk_v2(&v2, seed), "both versions hash alike");
    let mut group = criterion.benchmark_group("wire");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function(format!("rw1 walk+hash, {} bytes a series", v1.len() / SERIES), |b| {
        b.iter(|| walk_v1(black_box(&v1), seed));
    });
    group.bench_function(format!("rw2 walk+hash, {} bytes a series", v2.len() / SERIES), |b| {
        b.iter(|| walk_v2(black_box(&v2), seed));
    });
    let block = snappy::compress(&v1);
    group.bench_function("rw1 snappy decompression", |b| {
        b.iter(|| snappy::decompress(black_box(&block), v1.len()));
    });
    let mut writer = Rw1Writer::default();
    let all: Vec<_> = (0..SERIES).map(labels).collect();
    group.bench_function("rw1 write", |b| {
        b.iter(|| {
            writer.clear();
            for labels in &all {
                for (name, value) in labels {
                    writer.label(name, value);
                }
                writer.sample(1_750_000_000_000, 1.0).end_series();
            }
            writer.message().len()
        });
    });
    group.finish();
}

criterion_group!(wire_benches, benches);
criterion_main!(wire_benches);
