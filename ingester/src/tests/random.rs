//! Random work against a plain map: late samples, repetitions, conflicts, histograms, several tenants, restarts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::{CrashMode, SimFs};
use model::{BucketSpan, Histogram, Value};
use proptest::prelude::*;
use proto::RejectReason;

use super::support::*;

const WINDOW_MS: i64 = 120_000;

#[derive(Debug, Clone)]
enum Step {
    /// Tenant, series, seconds after the start, value; value 3 is a histogram.
    Push(Vec<(u8, u8, i64, u8)>),
    Snapshot,
    FlushChunks,
    Crash,
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    let sample = (0..2u8, 0..3u8, 0..400i64, 0..4u8);
    prop_oneof![
        20 => proptest::collection::vec(sample, 1..12).prop_map(Step::Push),
        1 => Just(Step::Snapshot),
        1 => Just(Step::FlushChunks),
        1 => Just(Step::Crash),
        1 => Just(Step::Stop),
    ]
}

fn value(kind: u8, seconds: i64) -> Value {
    if kind < 3 {
        return Value::Float(f64::from(kind));
    }
    Value::Histogram(Arc::new(Histogram {
        count: 2 + seconds as u64,
        sum: 1.5,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_buckets: vec![1 + seconds, -seconds],
        ..Histogram::default()
    }))
}

/// What an ingester should do, as plainly as possible.
#[derive(Default)]
struct Reference {
    series: BTreeMap<(u8, u8), BTreeMap<i64, Value>>,
    in_order: BTreeMap<(u8, u8), i64>,
}

impl Reference {
    fn push(&mut self, tenant: u8, series: u8, at: i64, value: &Value) -> Option<RejectReason> {
        let key = (tenant, series);
        let samples = self.series.entry(key).or_default();
        let newest = self.in_order.get(&key).copied();
        if let Some(existing) = samples.get(&at) {
            let same = existing == value;
            return (!same).then_some(RejectReason::NewValueForTimestamp);
        }
        match newest {
            Some(newest) if at < newest && newest - at > WINDOW_MS => return Some(RejectReason::TooOld),
            Some(newest) if at < newest => {}
            _ => drop(self.in_order.insert(key, at)),
        }
        samples.insert(at, value.clone());
        None
    }
}

fn name(tenant_number: u8) -> model::TenantId {
    tenant(&format!("tenant-{tenant_number}"))
}

async fn check(host: &Host, reference: &Reference) {
    for tenant_number in 0..2 {
        let found = host.read_all(&name(tenant_number)).await;
        let expected: Samples = reference
            .series
            .iter()
            .filter(|((t, _), samples)| *t == tenant_number && !samples.is_empty())
            .map(|((_, s), samples)| (labels("m", usize::from(*s)), samples.clone()))
            .collect();
        let plain = |samples: Samples| -> BTreeMap<String, Vec<(i64, String)>> {
            let text = |v: Value| match v {
                Value::Float(f) => format!("{f}"),
                Value::Histogram(h) => format!("{} {} {:?}", h.count, h.sum, h.positive_buckets),
                Value::FloatHistogram(h) => format!("{h:?}"),
            };
            samples
                .into_iter()
                .map(|(l, s)| (l.to_string(), s.into_iter().map(|(t, v)| (t, text(v))).collect()))
                .collect()
        };
        assert_eq!(plain(found), plain(expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn behaves_like_a_map(steps in proptest::collection::vec(step(), 1..60), seed in any::<u64>()) {
        run(async {
            let window = limits(Duration::from_millis(WINDOW_MS as u64));
            let mut fs = SimFs::new(seed);
            let mut reference = Reference::default();
            let mut host = start(Arc::new(fs.clone()), window.clone()).await.unwrap();
            for step in steps {
                match step {
                    Step::Push(samples) => {
                        for tenant_number in 0..2 {
                            let mine: Vec<_> = samples.iter().filter(|s| s.0 == tenant_number).collect();
                            let rows: Vec<Row> = mine
                                .iter()
                                .map(|(_, s, seconds, kind)| Row {
                                    labels: labels("m", usize::from(*s)),
                                    timestamp_ms: NOW_MS + seconds * 1000,
                                    value: value(*kind, *seconds),
                                })
                                .collect();
                            let answer = host.push(&name(tenant_number), &rows).await.unwrap();
                            let mut refused: Vec<_> = answer.rejected.iter().map(|r| (r.series, r.reason)).collect();
                            refused.sort_by_key(|r| r.0);
                            let expected: Vec<_> = mine
                                .iter()
                                .zip(&rows)
                                .enumerate()
                                .filter_map(|(i, (s, row))| {
                                    let reason = reference.push(s.0, s.1, row.timestamp_ms, &row.value)?;
                                    Some((i as u32, reason))
                                })
                                .collect();
                            assert_eq!(refused, expected);
                        }
                    }
                    Step::Snapshot => assert!(host.snapshot().await),
                    Step::FlushChunks => host.ingester.inner.head.store().flush().unwrap(),
                    Step::Crash => {
                        end(host).await;
                        fs = fs.crash(CrashMode::Torn);
                        host = start(Arc::new(fs.clone()), window.clone()).await.unwrap();
                    }
                    Step::Stop => {
                        host.ingester.stop().await;
                        end(host).await;
                        host = start(Arc::new(fs.clone()), window.clone()).await.unwrap();
                    }
                }
                check(&host, &reference).await;
            }
            end(host).await;
        });
    }
}
