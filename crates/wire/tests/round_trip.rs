//! What the writers write, the walkers read back.

use model::{
    BucketSpan, CounterResetHint, Exemplar, FloatHistogram, Histogram, Labels, Metadata, MetricType, Value,
};
use std::sync::Arc;
use wire::encode::{Rw1Writer, Rw2Writer};
use wire::histogram::{self, HistogramSample};
use wire::{Sample, rw1, rw2};

fn int_histogram() -> HistogramSample {
    HistogramSample {
        timestamp_ms: 1_700_000_000_000,
        start_timestamp_ms: 1_600_000_000_000,
        value: Value::Histogram(Arc::new(Histogram {
            counter_reset_hint: CounterResetHint::NotReset,
            schema: -4,
            zero_threshold: 1e-128,
            zero_count: 3,
            count: 13,
            sum: -18.5,
            positive_spans: vec![BucketSpan { offset: -3, length: 2 }, BucketSpan { offset: 4, length: 1 }],
            positive_buckets: vec![1, 1, -1],
            negative_spans: vec![BucketSpan { offset: 0, length: 2 }],
            negative_buckets: vec![3, 0],
            custom_values: vec![],
        })),
    }
}

fn float_histogram() -> HistogramSample {
    HistogramSample {
        timestamp_ms: -5,
        start_timestamp_ms: 0,
        value: Value::FloatHistogram(Arc::new(FloatHistogram {
            counter_reset_hint: CounterResetHint::Gauge,
            schema: -53,
            count: 3.5,
            sum: 7.25,
            positive_spans: vec![BucketSpan { offset: 1, length: 2 }],
            positive_buckets: vec![1.5, 2.0],
            custom_values: vec![0.1, 1.0],
            ..FloatHistogram::default()
        })),
    }
}

fn exemplar() -> Exemplar {
    Exemplar {
        labels: Labels::from_pairs([("span_id", "1"), ("trace_id", "abc")]),
        value: 0.25,
        timestamp_ms: 77,
    }
}

#[test]
fn remote_write_1() {
    let mut writer = Rw1Writer::default();
    writer.label("__name__", "up").label("job", "x").sample(-1_000, 1.5).sample(2, f64::INFINITY);
    writer.exemplar(&exemplar()).histogram(&int_histogram()).histogram(&float_histogram()).end_series();
    let help =
        Metadata { metric_type: MetricType::Gauge, help: "whether it answers".into(), unit: "s".into() };
    writer.metadata("up", &help).end_series();

    let fields: Vec<_> = rw1::request(writer.message()).map(Result::unwrap).collect();
    let [
        rw1::RequestField::TimeSeries { start, body },
        rw1::RequestField::Metadata { body: metadata, .. },
        rw1::RequestField::TimeSeries { body: b"", .. },
    ] = fields[..]
    else {
        panic!("{fields:?}")
    };
    assert_eq!(&writer.message()[start..start + body.len()], body);

    let mut series = rw1::series(body).map(Result::unwrap);
    let mut next = || series.next().unwrap();
    let label = |name, value| rw1::SeriesField::Label(rw1::Label { name, value });
    let sample =
        |timestamp_ms, value| rw1::SeriesField::Sample(Sample { timestamp_ms, value, start_timestamp_ms: 0 });
    assert_eq!(next(), label(b"__name__", b"up"));
    assert_eq!(next(), label(b"job", b"x"));
    assert_eq!(next(), sample(-1_000, 1.5));
    assert_eq!(next(), sample(2, f64::INFINITY));
    let rw1::SeriesField::Exemplar(body) = next() else { panic!() };
    let read = rw1::exemplar(body).unwrap();
    assert_eq!((read.value, read.timestamp_ms), (0.25, 77));
    let names: Vec<_> = read.labels().map(|l| (l.name, l.value)).collect();
    assert_eq!(names, [(&b"span_id"[..], &b"1"[..]), (b"trace_id", b"abc")]);
    for expected in [int_histogram(), float_histogram()] {
        let rw1::SeriesField::Histogram(body) = next() else { panic!() };
        assert_eq!(histogram::decode(body).unwrap(), expected);
        assert_eq!(histogram::timestamp_ms(body).unwrap(), expected.timestamp_ms);
    }
    assert!(series.next().is_none());

    let read = rw1::metadata(metadata).unwrap();
    assert_eq!(
        read,
        rw1::Metadata { metric_type: 2, family: b"up", help: b"whether it answers", unit: b"s" }
    );
}

#[test]
fn remote_write_2() {
    let mut writer = Rw2Writer::default();
    let metadata = Metadata { metric_type: MetricType::Counter, help: "job".into(), unit: String::new() };
    writer.label("__name__", "up").label("job", "x").sample(-1_000, 1.5, 7).metadata(&metadata);
    writer.exemplar(&exemplar()).histogram(&int_histogram()).end_series();
    writer.label("__name__", "x").raw(&[0x30, 9]).end_series();

    let message = writer.message();
    let (mut symbols, mut bodies) = (Vec::new(), Vec::new());
    for field in rw2::request(&message) {
        match field.unwrap() {
            rw2::RequestField::Symbol { text, start } => {
                assert_eq!(&message[start..start + text.len()], text);
                symbols.push(std::str::from_utf8(text).unwrap());
            }
            rw2::RequestField::TimeSeries { body, .. } => bodies.push(body),
        }
    }
    assert_eq!(symbols, ["", "__name__", "up", "job", "x", "span_id", "1", "trace_id", "abc"]);

    let fields: Vec<_> = rw2::series(bodies[0]).map(Result::unwrap).collect();
    let [
        rw2::SeriesField::LabelRefs(refs),
        rw2::SeriesField::Sample(sample),
        rw2::SeriesField::Metadata(metadata),
        rw2::SeriesField::Exemplar(read),
        rw2::SeriesField::Histogram(body),
    ] = &fields[..]
    else {
        panic!("{fields:?}")
    };
    assert_eq!(refs.clone().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let expected = Sample { timestamp_ms: -1_000, value: 1.5, start_timestamp_ms: 7 };
    assert_eq!(*sample, expected);
    let expected = rw2::MetadataRefs { metric_type: 1, help_ref: 3, unit_ref: 0 };
    assert_eq!(*metadata, expected);
    assert_eq!(histogram::decode(body).unwrap(), int_histogram());
    let read = rw2::exemplar(read).unwrap();
    assert_eq!((read.value, read.timestamp_ms), (0.25, 77));
    assert_eq!(read.label_refs().collect::<Vec<_>>(), [5, 6, 7, 8]);

    let fields: Vec<_> = rw2::series(bodies[1]).map(Result::unwrap).collect();
    assert!(matches!(&fields[1], rw2::SeriesField::CreatedTimestamp(9)));
}

#[test]
fn unpacked_references_are_read_too() {
    let body = [0x08, 1, 0x08, 0x80, 1];
    let refs: Vec<u32> = rw2::series(&body)
        .flat_map(|field| match field.unwrap() {
            rw2::SeriesField::LabelRefs(refs) => refs.map(Result::unwrap),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(refs, [1, 128]);
}

#[test]
fn cleared_writers_begin_anew() {
    let mut writer = Rw2Writer::default();
    writer.label("a", "b").sample(1, 1.0, 0).end_series();
    let first = writer.message();
    writer.clear();
    writer.label("a", "b").sample(1, 1.0, 0).end_series();
    assert_eq!(writer.message(), first);
    writer.clear_series();
    writer.label("a", "b").sample(1, 1.0, 0).end_series();
    assert_eq!(writer.message(), first);
}
