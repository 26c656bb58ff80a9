//! Start timestamps of remote write 2.0: stored for tenants that want them, through restarts and crashes; for others
//! nothing changes, not a byte.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use env::{CrashMode, Fault, FaultKind, OpKind, SimFs};
use model::{BucketSpan, Histogram, Labels, TenantId, Value};
use proto::{ChunkEncoding, IngesterWrite, PushRequest};
use settings::Overrides;
use wire::encode::Rw2Writer;
use wire::histogram::HistogramSample;

use super::support::*;
use crate::Limits;
use crate::head::open;

const STEP_MS: i64 = 15_000;
/// Field 6 of a series, which is gone from the final specification.
const CREATED_TIMESTAMP_TAG: u8 = 6 << 3;

/// Values and start timestamps by series and time.
type Started = BTreeMap<Labels, BTreeMap<i64, (Option<i64>, Value)>>;

fn on() -> Limits {
    Limits { start_timestamps: true, ..limits(Duration::from_secs(600)) }
}

fn off() -> Limits {
    limits(Duration::from_secs(600))
}

fn counter(step: i64) -> Value {
    Value::Float((step % 50) as f64 * 3.0)
}

fn native(step: i64) -> Value {
    let count = step % 50;
    Value::Histogram(Arc::new(Histogram {
        count: 2 * count as u64,
        sum: count as f64 * 1.5,
        positive_spans: vec![BucketSpan { offset: 1, length: 2 }],
        positive_buckets: vec![count, 0],
        ..Histogram::default()
    }))
}

/// Counters restart every fifty steps; before the third step nobody knows when they began.
fn start_of(step: i64) -> i64 {
    if step < 3 { 0 } else { at(step - step % 50) - 1_000 }
}

fn at(step: i64) -> i64 {
    NOW_MS - 4_000_000 + step * STEP_MS
}

/// What a scrape writes: a counter and two histograms, with the given start timestamps.
fn scrape(team: &TenantId, step: i64, start_ms: i64, into: Option<&mut Started>) -> PushRequest {
    let sets = [labels("counter", 1), labels("float_histogram", 1), labels("integer_histogram", 1)];
    let integer = native(step);
    let Value::Histogram(h) = &integer else { panic!("an integer histogram") };
    let float = Value::FloatHistogram(Arc::new(h.to_float()));
    let values = [counter(step), float, integer];
    let mut writer = Rw2Writer::default();
    for (set, value) in sets.iter().zip(&values) {
        for (name, value) in set.iter() {
            writer.label(name, value);
        }
        match value {
            Value::Float(v) => writer.sample(at(step), *v, start_ms),
            value => writer.histogram(&HistogramSample {
                timestamp_ms: at(step),
                start_timestamp_ms: start_ms,
                value: value.clone(),
            }),
        };
        writer.end_series();
    }
    if let Some(into) = into {
        for (set, value) in sets.iter().zip(values) {
            into.entry(set.clone()).or_default().insert(at(step), (Some(start_ms), value));
        }
    }
    request_v2(team, &writer, &sets)
}

async fn read(host: &Host, team: &TenantId) -> Started {
    let mut all = Started::new();
    for (labels, chunks) in host.chunks(team).await {
        for chunk in chunks {
            for (at, start, value) in open::decode_with_starts(chunk.encoding, &chunk.data).unwrap() {
                all.entry(labels.clone()).or_default().insert(at, (start, value));
            }
        }
    }
    all
}

/// The same times, start timestamps and values; a chunk's histograms have hints of their own.
#[track_caller]
fn assert_same(found: &Started, expected: &Started, context: &str) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{context}");
    for (labels, samples) in expected {
        let found = &found[labels];
        assert_eq!(found.len(), samples.len(), "{context}: {labels}");
        for ((at, (start, value)), (found_at, (found_start, found_value))) in samples.iter().zip(found) {
            assert_eq!((found_at, found_start), (at, start), "{context}: {labels}");
            assert!(open::is_repetition(found_value, value), "{context}: {labels} at {at}: {found_value:?}");
        }
    }
}

#[test]
fn they_survive_replay_snapshots_and_restarts() {
    run(async {
        let team = tenant("team-a");
        let mut expected = Started::new();
        let mut fs = SimFs::new(1);
        for round in 0..6 {
            let host = start(Arc::new(fs.clone()), on()).await.unwrap();
            assert_same(&read(&host, &team).await, &expected, &format!("round {round}, started"));
            for step in round * 40..(round + 1) * 40 {
                let answer = host
                    .ingester
                    .push(scrape(&team, step, start_of(step), Some(&mut expected)))
                    .await
                    .unwrap();
                assert_eq!((answer.written.samples, answer.written.histograms), (1, 2));
                if step % 60 == 30 {
                    assert!(host.snapshot().await);
                }
            }
            assert_same(&read(&host, &team).await, &expected, &format!("round {round}, live"));
            if round % 2 == 0 {
                end(host).await;
                fs = fs.crash(CrashMode::LoseAll);
            } else {
                host.ingester.stop().await;
                end(host).await;
            }
        }
        let host = start(Arc::new(fs), on()).await.unwrap();
        assert_same(&read(&host, &team).await, &expected, "at the end");
        assert!(expected.values().all(|samples| samples.len() == 240));
        end(host).await;
    });
}

#[test]
fn a_crash_at_every_operation_loses_none() {
    run(async {
        let team = tenant("team-a");
        let total = {
            let fs = SimFs::new(1);
            let host = start(Arc::new(fs.clone()), on()).await.unwrap();
            for step in 0..80 {
                host.ingester.push(scrape(&team, step, start_of(step), None)).await.unwrap();
                if step == 50 {
                    host.snapshot().await;
                }
            }
            fs.op_count()
        };
        assert!(total > 80, "only {total} operations");
        for nth in 0..total {
            let fs = SimFs::new(nth);
            fs.plan(Fault { op: OpKind::Change, nth, kind: FaultKind::Crash });
            let (mut acknowledged, mut sent) = (Started::new(), Started::new());
            if let Ok(host) = start(Arc::new(fs.clone()), on()).await {
                for step in 0..80 {
                    let mut these = Started::new();
                    let answer =
                        host.ingester.push(scrape(&team, step, start_of(step), Some(&mut these))).await;
                    for (labels, samples) in these {
                        if answer.is_ok() {
                            acknowledged.entry(labels.clone()).or_default().extend(samples.clone());
                        }
                        sent.entry(labels).or_default().extend(samples);
                    }
                    if step == 50 {
                        host.snapshot().await;
                    }
                }
                end(host).await;
            }
            let host = start(Arc::new(fs.crash(CrashMode::LoseAll)), on()).await.unwrap();
            let found = read(&host, &team).await;
            for (labels, samples) in &acknowledged {
                for at in samples.keys() {
                    assert!(found[labels].contains_key(at), "crash at {nth}: {labels} at {at} is lost");
                }
            }
            for (labels, samples) in &found {
                for (at, (start, _)) in samples {
                    assert_eq!(*start, sent[labels][at].0, "crash at {nth}: {labels} at {at}");
                }
            }
            end(host).await;
        }
    });
}

/// Chunk by chunk: encoding and bytes.
async fn encoded(host: &Host, team: &TenantId) -> Vec<(ChunkEncoding, Vec<u8>)> {
    let chunks = host.chunks(team).await.into_iter().flat_map(|(_, chunks)| chunks);
    chunks.map(|chunk| (chunk.encoding, chunk.data.to_vec())).collect()
}

#[test]
fn who_does_not_want_them_stores_what_he_always_did() {
    run(async {
        let team = tenant("team-a");
        let mut stored = Vec::new();
        for with_starts in [false, true] {
            let fs = SimFs::new(1);
            let host = start(Arc::new(fs.clone()), off()).await.unwrap();
            for step in 0..150 {
                let start_ms = if with_starts { start_of(step) } else { 0 };
                let request = scrape(&team, step, start_ms, None);
                assert_eq!(host.ingester.push(request).await.unwrap().rejected, []);
            }
            stored.push(encoded(&host, &team).await);
            end(host).await;
        }
        let plain = [ChunkEncoding::Xor, ChunkEncoding::Histogram, ChunkEncoding::FloatHistogram];
        assert!(stored[0].iter().all(|(encoding, _)| plain.contains(encoding)));
        assert_eq!(stored[0], stored[1]);
    });
}

#[test]
fn switching_cuts_the_chunk() {
    run(async {
        let team = tenant("team-a");
        let limits = Overrides::fixed(off());
        let fs = SimFs::new(1);
        let host = start_with(Arc::new(fs.clone()), limits.clone()).await.unwrap();
        let mut expected = Started::new();
        for step in 0..60 {
            if step % 20 == 0 {
                let now = if step == 20 { on() } else { off() };
                limits.replace(HashMap::from([(team.clone(), now)]));
            }
            let mut these = Started::new();
            host.ingester.push(scrape(&team, step, start_of(step), Some(&mut these))).await.unwrap();
            for (labels, mut samples) in these {
                if !(20..40).contains(&step) {
                    samples.values_mut().for_each(|(start, _)| *start = None);
                }
                expected.entry(labels).or_default().extend(samples);
            }
        }
        assert_same(&read(&host, &team).await, &expected, "live");
        // A chunk may be cut for other reasons too.
        let chunks = encoded(&host, &team).await;
        let mut encodings: Vec<_> = chunks.into_iter().map(|(encoding, _)| encoding).collect();
        encodings.dedup();
        use ChunkEncoding::{FloatHistogram, FloatHistogramSt, Histogram, HistogramSt, Xor, Xor2};
        let floats = [Xor, Xor2, Xor];
        let histograms =
            [FloatHistogram, FloatHistogramSt, FloatHistogram, Histogram, HistogramSt, Histogram];
        assert_eq!(encodings, [&floats[..], &histograms].concat());
        end(host).await;
        // A replay decides as it was decided then, whatever is wanted now.
        let host = start(Arc::new(fs.crash(CrashMode::LoseAll)), on()).await.unwrap();
        assert_same(&read(&host, &team).await, &expected, "after a crash");
        end(host).await;
    });
}

#[test]
fn late_samples_have_theirs() {
    run(async {
        let team = tenant("team-a");
        let fs = SimFs::new(1);
        let host = start(Arc::new(fs.clone()), on()).await.unwrap();
        let mut expected = Started::new();
        // The newest first, then the others from behind: more than a chunk of late ones, and some of the next.
        for step in [100].into_iter().chain((62..100).rev()) {
            let request = scrape(&team, step, start_of(step), Some(&mut expected));
            assert_eq!(host.ingester.push(request).await.unwrap().rejected, []);
        }
        assert_same(&read(&host, &team).await, &expected, "live");
        assert!(host.snapshot().await);
        end(host).await;
        let host = start(Arc::new(fs.crash(CrashMode::LoseAll)), off()).await.unwrap();
        assert_same(&read(&host, &team).await, &expected, "from a snapshot");
        // The start timestamp makes no other sample of one that is there.
        assert_eq!(host.ingester.push(scrape(&team, 99, 77, None)).await.unwrap().rejected, []);
        assert_same(&read(&host, &team).await, &expected, "after a repetition");
        // One for which none is wanted waits with those that have one, as unknown.
        host.ingester.push(scrape(&team, 61, 77, Some(&mut expected))).await.unwrap();
        for samples in expected.values_mut() {
            samples.entry(at(61)).and_modify(|(start, _)| *start = Some(0));
        }
        assert_same(&read(&host, &team).await, &expected, "with one that has none");
        end(host).await;
    });
}

#[test]
fn the_created_timestamp_of_early_senders_counts_for_the_whole_series() {
    run(async {
        let team = tenant("team-a");
        let sets = [labels("counter", 1)];
        let mut writer = Rw2Writer::default();
        for (name, value) in sets[0].iter() {
            writer.label(name, value);
        }
        writer.sample(at(1), 1.0, 0).sample(at(2), 2.0, at(1) + 5).sample(at(3), 3.0, 0);
        writer.raw(&[CREATED_TIMESTAMP_TAG, 77]).end_series();
        let host = start(Arc::new(SimFs::new(1)), on()).await.unwrap();
        host.ingester.push(request_v2(&team, &writer, &sets)).await.unwrap();
        let found = read(&host, &team).await;
        let starts: Vec<_> = found[&sets[0]].values().map(|(start, _)| *start).collect();
        assert_eq!(starts, [Some(77), Some(at(1) + 5), Some(77)]);
        end(host).await;
    });
}
