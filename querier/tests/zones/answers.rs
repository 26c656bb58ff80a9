//! Everything but selections: what two of three zones say, put together.

use std::collections::BTreeMap;

use model::{Exemplar, Labels, Matcher, Metadata, MetricType, TimeRange};
use proto::{
    CardinalityRequest, Code, Counted, ExemplarsRequest, FamilyMetadata, IngesterRead, LabelValuesRequest,
    MetadataRequest, SeriesRequest,
};

use crate::cluster::{Cluster, NOW_MS, all_matcher, cluster, labels, patiently, run};
use crate::node::{Behaviour, tenant};

/// Twelve series; each but the first two is missing from one of its three replicas.
fn filled(instances_in_shard: u32) -> Cluster {
    let mut cluster = cluster(3, 2, true);
    cluster.size = ring::ShardSize::new(instances_in_shard);
    for series in 0..12 {
        let mask = if series < 2 { 0b111 } else { [0b011, 0b101, 0b110][series % 3] };
        assert!(cluster.write(&labels(series), NOW_MS - 1_000, 1.0, mask));
    }
    cluster
}

fn series_request(limit: usize) -> SeriesRequest {
    SeriesRequest { tenant: tenant(), matcher_sets: vec![vec![all_matcher()]], range: TimeRange::ALL, limit }
}

fn counted(matchers: Vec<Matcher>) -> CardinalityRequest {
    CardinalityRequest { tenant: tenant(), matchers, counted: Counted::InMemory }
}

/// Checks `ask` with everybody answering, and with one instance after the other failing or hanging.
fn check<T: PartialEq + std::fmt::Debug>(
    cluster: &Cluster,
    ask: &impl AsyncFn(&dyn IngesterRead) -> Result<T, proto::Error>,
    expected: &T,
) {
    let reader = cluster.reader();
    for number in 0..cluster.instances.len() {
        for behaviour in [Behaviour::Answers, Behaviour::FailsAfter(0), Behaviour::HangsAfter(0)] {
            cluster.node(number).behave(behaviour);
            for _ in 0..3 {
                let got = run(patiently(ask(&reader)));
                assert_eq!(got.as_ref(), Ok(expected), "{number} {behaviour:?}");
            }
            cluster.node(number).behave(Behaviour::Answers);
        }
    }
    let count = cluster.instances.len();
    for number in 0..count / 3 * 2 {
        // Those of zones 0 and 1.
        let at = number / 2 * 3 + number % 2;
        cluster.node(at).behave(Behaviour::FailsAfter(0));
    }
    let error = run(patiently(ask(&reader))).unwrap_err();
    assert_eq!(error.code, Code::Unavailable, "{error}");
    cluster.nodes().for_each(|node| node.behave(Behaviour::Answers));
}

#[test]
fn series_names_and_values_are_united() {
    for size in [1, 2] {
        let cluster = filled(size);
        let all: Vec<Labels> = (0..12).map(labels).collect();
        check(&cluster, &async |r| r.series(series_request(0)).await, &all);
        check(&cluster, &async |r| r.series(series_request(5)).await, &all[..5].to_vec());
        let names = vec!["__name__".to_owned(), "instance".into()];
        check(&cluster, &async |r| r.label_names(series_request(0)).await, &names);
        let values = |n: usize| (0..n).map(|i| format!("host-{i:02}")).collect::<Vec<_>>();
        let ask = |limit| LabelValuesRequest { name: "instance".into(), series: series_request(limit) };
        check(&cluster, &async |r| r.label_values(ask(0)).await, &values(12));
        check(&cluster, &async |r| r.label_values(ask(3)).await, &values(3));
    }
}

#[test]
fn metadata_and_exemplars_are_united() {
    let cluster = filled(1);
    let entry = |help: &str| Metadata { metric_type: MetricType::Gauge, help: help.into(), unit: "".into() };
    let exemplar = |at: i64, value| Exemplar { labels: labels(99), value, timestamp_ms: at };
    for node in cluster.nodes() {
        let family = FamilyMetadata { family: "m".into(), entries: vec![entry("one")] };
        node.metadata.lock().push(family);
        let exemplars = vec![exemplar(5, 1.0), exemplar(7, 2.0)];
        node.exemplars.lock().insert(labels(0), exemplars);
    }
    let request = |limit| MetadataRequest { tenant: tenant(), family: None, limit, limit_per_family: 0 };
    let family = FamilyMetadata { family: "m".into(), entries: vec![entry("one")] };
    check(&cluster, &async |r| r.metadata(request(0)).await, &vec![family]);
    let request = || ExemplarsRequest {
        tenant: tenant(),
        matcher_sets: vec![vec![all_matcher()]],
        range: TimeRange::new(0, 6).unwrap(),
    };
    let ask = async |r: &dyn IngesterRead| {
        let series = r.exemplars(request()).await?;
        Ok(series.into_iter().map(|s| (s.labels, s.exemplars)).collect::<Vec<_>>())
    };
    check(&cluster, &ask, &vec![(labels(0), vec![exemplar(5, 1.0)])]);
}

/// No two zones have seen the same series, so none of their counts is right; nor is any sum or mean of them.
#[test]
fn series_are_counted_once() {
    for size in [1, 2] {
        let cluster = filled(size);
        let names = vec!["__name__".to_owned(), "instance".into()];
        let all: BTreeMap<String, u64> = (0..12).map(|i| (format!("host-{i:02}"), 1)).collect();
        let ask = async |r: &dyn IngesterRead| {
            let answer = r.label_values_cardinality(names.clone(), counted(Vec::new()), 1_000).await?;
            let labels: BTreeMap<_, BTreeMap<_, _>> =
                answer.labels.into_iter().map(|l| (l.name, l.values.into_iter().collect())).collect();
            Ok((answer.series_total, labels))
        };
        let metric = BTreeMap::from([("m".to_owned(), 12)]);
        let expected = BTreeMap::from([("__name__".to_owned(), metric), ("instance".to_owned(), all)]);
        check(&cluster, &ask, &(12, expected));
        let ask = async |r: &dyn IngesterRead| {
            let one = vec![Matcher::equal("instance", "host-03")];
            let answer = r.label_values_cardinality(names.clone(), counted(one), 1_000).await?;
            Ok((answer.series_total, answer.labels.iter().map(|l| l.values.clone()).collect::<Vec<_>>()))
        };
        let values = vec![vec![("m".to_owned(), 1)], vec![("host-03".to_owned(), 1)]];
        check(&cluster, &ask, &(12, values));
    }
}

#[test]
fn names_and_active_series_are_counted_once() {
    let cluster = filled(2);
    let ask = async |r: &dyn IngesterRead| {
        let labels = r.label_names_cardinality(counted(Vec::new()), 1_000).await?;
        Ok(labels.into_iter().map(|label| (label.name, label.values.len())).collect::<Vec<_>>())
    };
    check(&cluster, &ask, &vec![("__name__".to_owned(), 1), ("instance".to_owned(), 12)]);
    let reader = cluster.reader();
    let listed = run(async {
        use futures::TryStreamExt;
        reader.active_series(counted(Vec::new()), 1_000).await?.try_concat().await
    });
    let listed: Vec<Labels> = listed.unwrap().into_iter().map(|series| series.labels).collect();
    assert_eq!(listed, (0..12).map(labels).collect::<Vec<_>>());
    let too_many = run(async {
        use futures::TryStreamExt;
        reader.active_series(counted(Vec::new()), 11).await?.try_concat().await
    });
    assert_eq!(too_many.unwrap_err().code, Code::Unprocessable);
}

/// With the same series everywhere, counts are those of one zone: the sum of its instances'.
#[test]
fn numbers_of_whole_zones_are_not_added() {
    let cluster = filled(2);
    for series in 0..12 {
        cluster.write(&labels(series), NOW_MS - 1_000, 1.0, 0b111);
    }
    let ask = async |r: &dyn IngesterRead| {
        let stats = r.stats(&tenant()).await?;
        let index = r.index_stats(&tenant(), 10).await?;
        Ok((stats.series, stats.samples, index.series, index.series_by_metric[0].value))
    };
    check(&cluster, &ask, &(12, 12, 12, 12));
}
