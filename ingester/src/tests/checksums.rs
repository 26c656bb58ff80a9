//! Checksums are those of the chunks that a selection sends, and what they name can be read by reference.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use model::{Labels, Matcher, SeriesHash, TenantSeed, TimeRange, Value};
use proto::{
    Checked, ChecksumBatch, ChecksummedSeries, Chunk, Code, IngesterRead, ReferencedRequest,
    ReferencedSeries, SelectRequest, SeriesChunks,
};

use super::support::{Host, NOW_MS, labels, limits, row, run, start, tenant};
use crate::head::open::decode;

const SERIES: usize = 2_500;

fn select(range: TimeRange) -> SelectRequest {
    SelectRequest {
        tenant: tenant("a"),
        matchers: vec![Matcher::equal("job", "test")],
        range,
        newest_only: false,
        max_series: SERIES,
        max_chunk_bytes: 1 << 30,
    }
}

/// An ingester with full chunks, open ones and late samples.
async fn filled() -> Host {
    let host =
        start(std::sync::Arc::new(env::SimFs::new(1)), limits(Duration::from_secs(3_600))).await.unwrap();
    for minute in 0..150i64 {
        let series = if minute % 50 == 0 { 0..SERIES } else { 0..40 };
        let rows: Vec<_> = series
            .map(|i| row(&labels("m", i), NOW_MS - (150 - minute) * 60_000, (i as f64).sin() * minute as f64))
            .collect();
        host.push(&tenant("a"), &rows).await.unwrap();
    }
    let late: Vec<_> =
        (0..20).map(|i| row(&labels("m", i), NOW_MS - 30_001 - 60_000 * i as i64, 7.0)).collect();
    host.push(&tenant("a"), &late).await.unwrap();
    host
}

async fn chunks(host: &Host, range: TimeRange) -> Vec<SeriesChunks> {
    host.ingester.select(select(range)).await.unwrap().try_concat().await.unwrap()
}

async fn checksums(host: &Host, request: SelectRequest) -> Vec<ChecksumBatch> {
    let stream = host.ingester.select_checksums(request).await.unwrap();
    let batches = stream.map(|batch| match batch.unwrap() {
        Checked::Checksums(batch) => batch,
        Checked::Chunks(_) => panic!("chunks were sent"),
    });
    batches.collect().await
}

fn ranges() -> [TimeRange; 3] {
    let minutes = |from: i64, to: i64| TimeRange::new(NOW_MS - from * 60_000, NOW_MS - to * 60_000).unwrap();
    [TimeRange::ALL, minutes(60, 0), minutes(120, 100)]
}

#[test]
fn checksums_are_those_of_the_chunks() {
    run(async {
        let host = filled().await;
        let seed = TenantSeed::of(&tenant("a"));
        for range in ranges() {
            let sent = chunks(&host, range).await;
            assert!(range != TimeRange::ALL || sent.len() == SERIES);
            let mut rest = sent.as_slice();
            for batch in checksums(&host, select(range)).await {
                let (series, others) = rest.split_at(batch.series.len());
                rest = others;
                let expected: Vec<u64> = series.iter().flat_map(|s| &s.chunks).map(Chunk::checksum).collect();
                assert_eq!(batch.checksums, expected);
                assert_eq!(series.last().map(|series| &series.labels), Some(&batch.last));
                for (named, series) in batch.series.iter().zip(series) {
                    assert_eq!(named.hash, SeriesHash::of(seed, &series.labels));
                    assert_eq!(named.chunks as usize, series.chunks.len());
                }
            }
            assert!(rest.is_empty());
        }
    });
}

/// The newest sample of each series in the range.
fn newest(series: &[SeriesChunks], range: TimeRange) -> Vec<(Labels, i64, u64)> {
    let newest = series.iter().filter_map(|series| {
        let chunks = series.chunks.iter().flat_map(|c| decode(c.encoding, &c.data).unwrap());
        let inside = chunks.filter(|(at, _)| range.contains(*at));
        let (at, value) = inside.max_by_key(|(at, _)| *at)?;
        let Value::Float(value) = value else { panic!("a float was written") };
        Some((series.labels.clone(), at, value.to_bits()))
    });
    newest.collect()
}

#[test]
fn the_newest_samples_alone_are_the_newest_of_all() {
    run(async {
        let host = filled().await;
        let minutes =
            |from: i64, to: i64| TimeRange::new(NOW_MS - from * 60_000, NOW_MS - to * 60_000).unwrap();
        for range in
            ranges().into_iter().chain([minutes(5, 0), minutes(5, 1), minutes(9, 4), minutes(51, 49)])
        {
            let request = SelectRequest { newest_only: true, ..select(range) };
            let all = chunks(&host, range).await;
            let sent: Vec<SeriesChunks> =
                host.ingester.select(request.clone()).await.unwrap().try_concat().await.unwrap();
            assert!(newest(&sent, range) == newest(&all, range), "{range:?}");
            assert!(!sent.is_empty());
            // Where the last sample of all is inside, it comes alone.
            if range.contains(NOW_MS - 30_001) {
                let many =
                    sent.iter().find(|series| series.chunks.len() > 1 || series.chunks[0].data.len() > 20);
                assert!(many.is_none(), "{range:?}: {many:?}");
            }
            let expected: Vec<u64> = sent.iter().flat_map(|s| &s.chunks).map(Chunk::checksum).collect();
            let named = checksums(&host, request).await;
            assert_eq!(named.into_iter().flat_map(|batch| batch.checksums).collect::<Vec<_>>(), expected);
        }
    });
}

#[test]
fn what_checksums_name_is_read_by_reference() {
    run(async {
        let host = filled().await;
        for (range, since_ms) in ranges().into_iter().zip([i64::MIN, NOW_MS - 1_800_000, NOW_MS - 7_000_000])
        {
            let sent = chunks(&host, range).await;
            let batches = checksums(&host, select(range)).await;
            let named = batches.iter().flat_map(|batch| &batch.series).zip(&sent).step_by(7);
            let (named, sent): (Vec<&ChecksummedSeries>, Vec<_>) = named.collect();
            let series =
                named.iter().map(|s| ReferencedSeries { hash: s.hash, reference: s.reference, since_ms });
            let request = ReferencedRequest {
                tenant: tenant("a"),
                range,
                series: series.collect(),
                max_chunk_bytes: 1 << 30,
            };
            let read = host.ingester.select_referenced(request.clone()).await.unwrap();
            let expected = sent.into_iter().map(|series| SeriesChunks {
                labels: series.labels.clone(),
                chunks: series.chunks.iter().filter(|c| c.range.end_ms() >= since_ms).cloned().collect(),
            });
            assert_eq!(read, expected.collect::<Vec<_>>());
            let mut few = request.clone();
            few.max_chunk_bytes = 10;
            let error = host.ingester.select_referenced(few).await.unwrap_err();
            assert_eq!(error.code, Code::Unprocessable);
            let mut gone = request;
            gone.series[0].hash = SeriesHash(gone.series[0].hash.0 ^ 1);
            assert_eq!(host.ingester.select_referenced(gone).await.unwrap_err().code, Code::NotFound);
        }
    });
}

#[test]
fn limits_hold_for_checksums_too() {
    run(async {
        let host = filled().await;
        let series = SelectRequest { max_series: SERIES - 1, ..select(TimeRange::ALL) };
        let Err(error) = host.ingester.select_checksums(series).await else { panic!("too many series") };
        assert_eq!(error.code, Code::Unprocessable);
        let bytes = SelectRequest { max_chunk_bytes: 100, ..select(TimeRange::ALL) };
        let answers = host.ingester.select_checksums(bytes).await.unwrap();
        let answers: Vec<_> = answers.collect().await;
        let errors = answers.iter().filter_map(|answer| answer.as_ref().err());
        assert_eq!(errors.map(|error| error.code).collect::<Vec<_>>(), [Code::Unprocessable]);
        let nobody = SelectRequest { tenant: tenant("b"), ..select(TimeRange::ALL) };
        assert_eq!(host.ingester.select_checksums(nobody).await.unwrap().count().await, 0);
    });
}
