//! Counting what the head has, against counting by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use env::SimFs;
use futures::StreamExt;
use model::{Labels, MatchOp, Matcher, TenantId};
use proto::{CardinalityRequest, Code, Counted, IngesterRead, Stat};

use super::support::{Host, NOW_MS, end, labels, limits, row, run, start, tenant};

const MINUTE_MS: i64 = 60_000;

fn request(matchers: &[Matcher], counted: Counted) -> CardinalityRequest {
    CardinalityRequest { tenant: tenant("a"), matchers: matchers.to_vec(), counted }
}

/// Series of three metrics; those of `old` ended an hour ago, one of `stale` has a stale marker.
fn series() -> Vec<(Labels, i64, f64)> {
    let mut series = Vec::new();
    for instance in 0..7 {
        series.push((labels("now", instance), NOW_MS, 1.0));
    }
    for instance in 0..3 {
        series.push((labels("old", instance), NOW_MS - 60 * MINUTE_MS, 1.0));
    }
    series.push((labels("stale", 0), NOW_MS, model::stale_nan()));
    series
}

async fn host(fs: SimFs) -> Host {
    let host = start(std::sync::Arc::new(fs), limits(Duration::ZERO)).await.unwrap();
    let rows: Vec<_> = series().iter().map(|(labels, at, value)| row(labels, *at, *value)).collect();
    host.push(&tenant("a"), &rows).await.unwrap();
    host.push(&tenant("b"), &[row(&labels("other", 9), NOW_MS, 1.0)]).await.unwrap();
    host
}

fn active() -> Counted {
    Counted::ActiveSince(NOW_MS - 20 * MINUTE_MS)
}

/// The series that a request means.
fn meant(request: &CardinalityRequest) -> Vec<Labels> {
    let matches = |labels: &Labels| request.matchers.iter().all(|m| m.matches(labels.get_or_empty(m.name())));
    let counts = |at: i64, value: f64| match request.counted {
        Counted::InMemory => true,
        Counted::ActiveSince(since) => at >= since && !model::is_stale_nan(value),
    };
    let mut meant: Vec<_> = series()
        .into_iter()
        .filter(|(labels, at, value)| matches(labels) && counts(*at, *value))
        .map(|(labels, ..)| labels)
        .collect();
    meant.sort();
    meant
}

fn requests() -> Vec<CardinalityRequest> {
    let old = Matcher::new("__name__", MatchOp::Regex, "old|now").unwrap();
    let none = Matcher::equal("__name__", "nothing");
    let mut requests = Vec::new();
    for matchers in [vec![], vec![old], vec![none]] {
        for counted in [Counted::InMemory, active()] {
            requests.push(request(&matchers, counted));
        }
    }
    requests
}

#[test]
fn label_names_and_values_are_counted() {
    run(async {
        let host = host(SimFs::new(1)).await;
        for request in requests() {
            let mut values = BTreeMap::<String, BTreeMap<String, u64>>::new();
            for labels in meant(&request) {
                for (name, value) in labels.iter() {
                    *values.entry(name.to_owned()).or_default().entry(value.to_owned()).or_default() += 1;
                }
            }
            let names = host.ingester.label_names_cardinality(request.clone(), 100).await.unwrap();
            let found: Vec<_> = names.iter().map(|n| (n.name.clone(), n.values.len())).collect();
            let expected: Vec<_> = values.iter().map(|(name, values)| (name.clone(), values.len())).collect();
            assert_eq!(found, expected, "{request:?}");
            assert!(names.iter().all(|n| n.values.is_sorted_by(|a, b| a < b)));

            let asked = ["instance", "__name__", "nothing"].map(str::to_owned).to_vec();
            let counted =
                host.ingester.label_values_cardinality(asked.clone(), request.clone(), 100).await.unwrap();
            let found: BTreeMap<_, BTreeMap<_, _>> =
                counted.labels.into_iter().map(|l| (l.name, l.values.into_iter().collect())).collect();
            values.retain(|name, _| asked.contains(name));
            assert_eq!(found, values, "{request:?}");
            let all = meant(&CardinalityRequest { matchers: Vec::new(), ..request });
            assert_eq!(counted.series_total, all.len() as u64);
        }
        let error =
            host.ingester.label_names_cardinality(request(&[], Counted::InMemory), 3).await.unwrap_err();
        assert_eq!(error.code, Code::Unprocessable);
        let name = vec!["instance".to_owned()];
        let error = host
            .ingester
            .label_values_cardinality(name, request(&[], Counted::InMemory), 3)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::Unprocessable);
        end(host).await;
    });
}

#[test]
fn active_series_are_listed_in_order() {
    run(async {
        let host = host(SimFs::new(1)).await;
        for request in requests() {
            let mut stream = host.ingester.active_series(request.clone(), 100).await.unwrap();
            let mut found = Vec::new();
            while let Some(batch) = stream.next().await {
                found.extend(batch.unwrap().into_iter().map(|s| (s.labels, s.buckets)));
            }
            let expected: Vec<_> = meant(&request).into_iter().map(|labels| (labels, None)).collect();
            assert_eq!(found, expected, "{request:?}");
        }
        let error = host.ingester.active_series(request(&[], Counted::InMemory), 3).await.err().unwrap();
        assert_eq!(error.code, Code::Unprocessable);
        end(host).await;
    });
}

#[test]
fn the_index_in_numbers() {
    run(async {
        let host = host(SimFs::new(1)).await;
        let stat = |name: &str, value| Stat { name: name.to_owned(), value };
        let stats = host.ingester.index_stats(&tenant("a"), 2).await.unwrap();
        assert_eq!((stats.series, stats.label_pairs, stats.chunks), (11, 3 + 7 + 1, 11));
        assert_eq!(stats.range.map(|r| (r.start_ms(), r.end_ms())), Some((NOW_MS - 60 * MINUTE_MS, NOW_MS)));
        assert_eq!(stats.series_by_metric, [stat("now", 7), stat("old", 3)]);
        assert_eq!(stats.values_by_label, [stat("instance", 7), stat("__name__", 3)]);
        assert_eq!(stats.series_by_pair, [stat("job=test", 11), stat("__name__=now", 7)]);
        let instances = 11 * (1 + "instance".len() + 1 + "host-0".len()) as u64;
        let names: usize =
            series().iter().map(|(l, ..)| 2 + "__name__".len() + l.get_or_empty("__name__").len()).sum();
        let mut bytes = [stat("instance", instances), stat("__name__", names as u64)];
        bytes.sort_by_key(|s| std::cmp::Reverse(s.value));
        assert_eq!(stats.bytes_by_label, bytes);

        let other = host.ingester.index_stats(&TenantId::new("b").unwrap(), 10).await.unwrap();
        assert_eq!((other.series, other.series_by_metric), (1, vec![stat("other", 1)]));
        let nobody = host.ingester.index_stats(&tenant("nobody"), 10).await.unwrap();
        assert_eq!((nobody.series, nobody.range), (0, None));
        let names: BTreeSet<_> = stats.series_by_metric.iter().map(|s| &s.name).collect();
        assert!(names.iter().all(|name| *name != "other"), "another tenant's metric");
        end(host).await;
    });
}
