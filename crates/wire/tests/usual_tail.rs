//! The short way through a remote write 2.0 series sees what the long one sees, or nothing.

use model::{Metadata, MetricType};
use proptest::prelude::*;
use wire::encode::Rw2Writer;
use wire::rw2::{self, RequestField, SeriesField};

/// The body of a series with these samples (time, value, start), and where its labels end.
fn body(samples: &[(i64, f64, i64)], metadata: Option<&Metadata>, raw: &[u8]) -> (Vec<u8>, usize) {
    let mut writer = Rw2Writer::default();
    writer.label("__name__", "up").label("job", "test");
    for (timestamp, value, start) in samples {
        writer.sample(*timestamp, *value, *start);
    }
    if let Some(metadata) = metadata {
        writer.metadata(metadata);
    }
    writer.raw(raw).end_series();
    let message = writer.message();
    let body = rw2::request(&message).find_map(|field| match field {
        Ok(RequestField::TimeSeries { body, .. }) => Some(body.to_vec()),
        _ => None,
    });
    let body = body.expect("a series");
    let mut fields = rw2::series(&body);
    fields.next();
    let position = fields.position();
    (body, position)
}

/// Whether the short way gives an answer; fails where that is not what the long way gives.
fn agrees(body: &[u8], position: usize) -> bool {
    let Some(usual) = rw2::usual_tail(body, position) else { return false };
    let (mut sample, mut metadata) = (None, None);
    for field in rw2::series_from(body, position) {
        match field.expect("what the short way accepts is right") {
            SeriesField::Sample(found) => assert!(sample.replace(found).is_none(), "two samples"),
            SeriesField::Metadata(found) => assert!(metadata.replace(found).is_none(), "metadata twice"),
            other => panic!("the short way overlooks {other:?}"),
        }
    }
    let found = sample.expect("a sample");
    assert_eq!(usual.sample.value.to_bits(), found.value.to_bits());
    assert_eq!(usual.sample.timestamp_ms, found.timestamp_ms);
    assert_eq!(usual.sample.start_timestamp_ms, found.start_timestamp_ms);
    assert_eq!(usual.metadata, metadata);
    true
}

fn sample() -> impl Strategy<Value = (i64, f64, i64)> {
    (any::<i64>(), any::<f64>(), prop_oneof![Just(0), any::<i64>()])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_sample_and_perhaps_metadata_is_usual(sample in sample(), with in any::<bool>(), help in "[a-z]{0,5}") {
        let metadata = Metadata { metric_type: MetricType::Counter, help, unit: "s".to_owned() };
        let (body, position) = body(&[sample], with.then_some(&metadata), &[]);
        prop_assert!(agrees(&body, position));
    }

    #[test]
    fn everything_else_takes_the_long_way(
        samples in prop::collection::vec(sample(), 0..3),
        with in any::<bool>(),
        raw in prop::collection::vec(prop_oneof![Just(0x12), Just(0x2a), Just(0x18), Just(0x20), any::<u8>()], 0..12),
        change in any::<(prop::sample::Index, u8)>(),
    ) {
        let metadata = Metadata { metric_type: MetricType::Gauge, ..Metadata::default() };
        let (mut body, position) = body(&samples, with.then_some(&metadata), &raw);
        agrees(&body, position);
        let at = change.0.index(body.len());
        body[at] = change.1;
        agrees(&body, position.min(body.len()));
    }
}
