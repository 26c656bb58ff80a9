//! Selections: what travels, who is asked, and what an error says.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Labels, TenantId, TimeRange};
use proto::{Code, IngesterRead};
use ring::LostRange;

use crate::cluster::{Cluster, NOW_MS, Samples, cluster, labels, request, run, select};
use crate::node::{Behaviour, Sent};

const SERIES: usize = 20;

/// Three zones of two instances, all of which hold one hour of the same samples.
fn filled() -> (Cluster, Samples) {
    let mut cluster = cluster(3, 2, true);
    for (_, node) in cluster.instances.values_mut() {
        let node = Arc::get_mut(node).unwrap();
        (node.cut_ms, node.is_old) = (600_000, false);
    }
    cluster.size = ring::ShardSize::new(2);
    let mut expected = Samples::new();
    let shard = cluster.shard();
    for (series, minute) in (0..SERIES).flat_map(|series| (0..60).map(move |minute| (series, minute))) {
        let at = NOW_MS - (minute + 1) * 60_000;
        assert!(cluster.write_to(&shard, &labels(series), at, minute as f64, 7));
        expected.entry(labels(series)).or_default().insert(at, minute as f64);
    }
    (cluster, expected)
}

fn hour() -> TimeRange {
    TimeRange::new(NOW_MS - 3_600_000, NOW_MS).unwrap()
}

/// Every three numbers below these.
fn triples(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}

fn sent(cluster: &Cluster) -> Sent {
    cluster.nodes().fold(Sent::default(), |sum, node| {
        let sent = std::mem::take(&mut *node.sent.lock());
        Sent {
            chunks: sum.chunks + sent.chunks,
            checksums: sum.checksums + sent.checksums,
            referenced: sum.referenced + sent.referenced,
        }
    })
}

#[test]
fn one_zone_sends_chunks_and_another_checksums() {
    let (cluster, expected) = filled();
    let reader = cluster.reader();
    for _ in 0..3 {
        assert_eq!(run(select(&reader, hour())), Ok(expected.clone()));
        let sent = sent(&cluster);
        assert_eq!((sent.chunks, sent.referenced), (sent.checksums, 0));
        assert!((SERIES * 6..=SERIES * 7).contains(&sent.chunks), "{sent:?}");
    }
}

/// Nothing but the chunk that differs is fetched from the zones that have another one.
#[test]
fn of_an_open_chunk_that_differs_nothing_else_is_fetched() {
    let (cluster, mut expected) = filled();
    let reader = cluster.reader();
    cluster.write(&labels(7), NOW_MS - 1, -1.0, 0b110);
    expected.get_mut(&labels(7)).unwrap().insert(NOW_MS - 1, -1.0);
    let mut referenced = 0;
    for _ in 0..3 {
        assert_eq!(run(select(&reader, hour())), Ok(expected.clone()));
        referenced = sent(&cluster).referenced.max(referenced);
    }
    assert!((1..=2).contains(&referenced), "{referenced} chunks");
}

#[test]
fn a_series_that_one_zone_does_not_have_comes_from_the_other() {
    let (cluster, mut expected) = filled();
    for (series, mask) in [(30, 0b011), (31, 0b101), (32, 0b110), (33, 0b011)] {
        cluster.write(&labels(series), NOW_MS - 5, 5.0, mask);
        expected.entry(labels(series)).or_default().insert(NOW_MS - 5, 5.0);
    }
    let reader = cluster.reader();
    for _ in 0..3 {
        assert_eq!(run(select(&reader, hour())), Ok(expected.clone()));
    }
}

/// One instance after the other fails in every way, at every batch, before others have answered as much and after that.
/// What it has sent may be all that there is of what only it and one other zone have: that one may have been compared
/// with it, and found to be the same.
#[test]
fn another_zone_takes_the_place_of_one_that_fails_or_hangs() {
    let (cluster, mut expected) = filled();
    for (series, mask) in (0..SERIES).zip([0b011, 0b101, 0b110].into_iter().cycle()) {
        cluster.write(&labels(series), NOW_MS - 5, 5.0, mask);
        expected.entry(labels(series)).or_default().insert(NOW_MS - 5, 5.0);
    }
    let reader = cluster.reader();
    for (number, after, lag) in triples(6, 5, 3) {
        cluster.nodes().for_each(|node| *node.lag.lock() = lag);
        *cluster.node(number).lag.lock() = 2 - lag;
        for behaviour in [Behaviour::FailsAfter(after), Behaviour::HangsAfter(after)] {
            cluster.node(number).behave(behaviour);
            for _ in 0..3 {
                let got = run(select(&reader, hour()));
                assert_eq!(got, Ok(expected.clone()), "{number} {behaviour:?}, others lag {lag}");
            }
            cluster.node(number).behave(Behaviour::Answers);
        }
    }
    let hedged = cluster.registry.lock().encode(telemetry::Format::Prometheus);
    assert!(hedged.contains("zones_hedged_total") && !hedged.contains("zones_hedged_total 0"), "{hedged}");
}

#[test]
fn with_two_zones_down_the_error_names_them() {
    let (cluster, _) = filled();
    let reader = cluster.reader();
    cluster.node(0).behave(Behaviour::FailsAfter(0));
    cluster.node(1).behave(Behaviour::FailsAfter(2));
    let error = run(select(&reader, hour())).unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.retry_after.is_some());
    for part in [
        "needs 2 of",
        "instance ingester-0 of zone zone-0: it is broken",
        "instance ingester-1 of zone zone-1",
    ] {
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn a_zone_that_lost_the_range_does_not_count() {
    let (mut cluster, expected) = filled();
    cluster.wipe(0);
    assert_eq!(run(select(&cluster.reader(), hour())), Ok(expected));
    cluster.node(1).behave(Behaviour::FailsAfter(0));
    let error = run(select(&cluster.reader(), hour())).unwrap_err();
    assert!(error.message.contains("zone zone-0 has lost samples of the range"), "{error}");
    // What is newer was not lost.
    let later = TimeRange::new(NOW_MS, NOW_MS + 1).unwrap();
    assert_eq!(run(select(&cluster.reader(), later)), Ok(Samples::new()));
    let zone = "zone-2".into();
    cluster.lost.push(LostRange { zone, range: hour() });
    cluster.node(1).behave(Behaviour::Answers);
    let Err(error) = run(cluster.reader().select(request(hour()))) else { panic!("it is not whole") };
    assert_eq!(error.code, Code::Unavailable);
}

/// Refuses everything.
struct Refuses(proto::Error);
#[async_trait]
impl IngesterRead for Refuses {
    async fn select(&self, _: proto::SelectRequest) -> Result<proto::SelectStream, proto::Error> {
        Err(self.0.clone())
    }
    async fn series(&self, _: proto::SeriesRequest) -> Result<Vec<Labels>, proto::Error> {
        Err(self.0.clone())
    }
    async fn label_names(&self, _: proto::LabelNamesRequest) -> Result<Vec<String>, proto::Error> {
        Err(self.0.clone())
    }
    async fn label_values(&self, _: proto::LabelValuesRequest) -> Result<Vec<String>, proto::Error> {
        Err(self.0.clone())
    }
    async fn metadata(&self, _: proto::MetadataRequest) -> Result<Vec<proto::FamilyMetadata>, proto::Error> {
        Err(self.0.clone())
    }
    async fn exemplars(
        &self,
        _: proto::ExemplarsRequest,
    ) -> Result<Vec<proto::SeriesExemplars>, proto::Error> {
        Err(self.0.clone())
    }
    async fn stats(&self, _: &TenantId) -> Result<proto::TenantStats, proto::Error> {
        Err(self.0.clone())
    }
}

/// What is wrong with a request is wrong in every zone: nobody else is asked.
#[test]
fn a_limit_is_not_a_failure_of_a_zone() {
    let (cluster, _) = filled();
    let error = proto::Error::new(Code::Unprocessable, "too much");
    let refuses = Arc::new(Refuses(error.clone()));
    let reader = cluster.reader_over(&|_| Some(refuses.clone() as Arc<dyn IngesterRead>));
    assert_eq!(run(select(&reader, hour())), Err(error));
}
