//! Remote write 2.0: labels by symbol, metadata inside series, exemplars; live and after a restart.

use std::sync::Arc;
use std::time::Duration;

use env::{CrashMode, SimFs};
use model::{Exemplar, Labels, Matcher, Metadata, MetricType, SeriesHash, TimeRange, Value};
use proto::{ExemplarsRequest, IngesterRead, IngesterWrite, MetadataRequest, PushRequest};
use wire::encode::Rw2Writer;

use super::support::*;

fn metadata(help: &str) -> Metadata {
    Metadata { metric_type: MetricType::Histogram, help: help.to_owned(), unit: "seconds".to_owned() }
}

fn exemplar(timestamp_ms: i64) -> Exemplar {
    Exemplar { labels: Labels::from_pairs([("trace_id", "abc")]), value: 0.5, timestamp_ms }
}

/// A scrape of two series of one family.
fn scrape(tenant: &model::TenantId, timestamp_ms: i64, help: &str) -> PushRequest {
    let sets = [labels("latency_bucket", 1), labels("latency_count", 1)];
    let mut writer = Rw2Writer::default();
    for set in &sets {
        for (name, value) in set.iter() {
            writer.label(name, value);
        }
        writer.sample(timestamp_ms, 1.0, 0);
        writer.exemplar(&exemplar(timestamp_ms)).metadata(&metadata(help)).end_series();
    }
    request_v2(tenant, &writer, &sets)
}

async fn check(host: &Host, help: &str, scrapes: usize) {
    let team = tenant("team-a");
    let samples = host.read_all(&team).await;
    assert_eq!(samples.len(), 2);
    assert!(samples.values().all(|s| s.len() == scrapes));
    let request = MetadataRequest { tenant: team.clone(), family: None, limit: 0, limit_per_family: 1 };
    let families = host.ingester.metadata(request).await.unwrap();
    assert_eq!(families.len(), 1);
    assert_eq!((families[0].family.as_str(), &families[0].entries[0]), ("latency", &metadata(help)));
    let request = ExemplarsRequest {
        tenant: team,
        matcher_sets: vec![vec![Matcher::equal("__name__", "latency_bucket")]],
        range: TimeRange::ALL,
    };
    let found = host.ingester.exemplars(request).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].exemplars.len(), scrapes);
    assert_eq!(found[0].exemplars[0], exemplar(NOW_MS));
}

#[test]
fn series_metadata_and_exemplars_survive() {
    run(async {
        let team = tenant("team-a");
        let fs = SimFs::new(1);
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        for (i, help) in ["first", "first", "second"].into_iter().enumerate() {
            let answer = host.ingester.push(scrape(&team, NOW_MS + i as i64 * 1000, help)).await.unwrap();
            assert_eq!((answer.written.samples, answer.written.exemplars), (2, 2));
            assert_eq!(answer.rejected, []);
            check(&host, help, i + 1).await;
        }
        end(host).await;
        let fs = fs.crash(CrashMode::LoseAll);
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        check(&host, "second", 3).await;
        host.ingester.stop().await;
        end(host).await;
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        check(&host, "second", 3).await;
        end(host).await;
    });
}

#[test]
fn a_tenant_keeps_as_many_exemplars_as_it_may() {
    run(async {
        let team = tenant("team-a");
        let limits = crate::Limits { max_global_exemplars_per_user: 3, ..crate::Limits::default() };
        let host = start(Arc::new(SimFs::new(1)), limits).await.unwrap();
        for i in 0..5 {
            host.ingester.push(scrape(&team, NOW_MS + i * 1000, "h")).await.unwrap();
        }
        let every = Matcher::new("__name__", model::MatchOp::Regex, ".+").unwrap();
        let request =
            ExemplarsRequest { tenant: team, matcher_sets: vec![vec![every]], range: TimeRange::ALL };
        let found = host.ingester.exemplars(request).await.unwrap();
        assert_eq!(found.iter().map(|s| s.exemplars.len()).sum::<usize>(), 3);
        end(host).await;
    });
}

/// Among them labels that begin those of another series, and the same texts at other places.
#[test]
fn series_that_share_a_hash_are_kept_apart() {
    run(async {
        let team = tenant("team-a");
        let sets = [
            Labels::from_pairs([("__name__", "up"), ("a", "x")]),
            Labels::from_pairs([("__name__", "up"), ("a", "x"), ("b", "y")]),
            Labels::from_pairs([("__name__", "up"), ("a", "y"), ("b", "x")]),
            Labels::from_pairs([("__name__", "up"), ("b", "x")]),
        ];
        let host = start(Arc::new(SimFs::new(1)), limits(Duration::ZERO)).await.unwrap();
        for round in 0..3 {
            let at = NOW_MS + round * 1000;
            let mut writer = Rw2Writer::default();
            for (i, set) in sets.iter().enumerate() {
                for (name, value) in set.iter() {
                    writer.label(name, value);
                }
                writer.sample(at, (round * 10) as f64 + i as f64, 0).end_series();
            }
            let by_text: Vec<_> = sets
                .iter()
                .enumerate()
                .map(|(i, set)| row(set, at + 500, (round * 10) as f64 + i as f64))
                .collect();
            for mut request in [request_v2(&team, &writer, &sets), request(&team, &by_text)] {
                request.batch.frames.iter_mut().for_each(|frame| frame.hash = SeriesHash(7));
                assert_eq!(host.ingester.push(request).await.unwrap().rejected, []);
            }
        }
        let found = host.read_all(&team).await;
        assert_eq!(found.keys().collect::<Vec<_>>().len(), sets.len());
        for (i, set) in sets.iter().enumerate() {
            let values: Vec<_> = found[set].values().cloned().collect();
            let expected = [0, 0, 10, 10, 20, 20].map(|v| Value::Float(f64::from(v) + i as f64));
            assert_eq!(values, expected, "{set}");
        }
        end(host).await;
    });
}
