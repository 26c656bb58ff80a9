//! Checksums, and series by reference.

use futures::stream::{StreamExt, TryStreamExt};
use model::{Matcher, SeriesHash};
use proto::ingester as message;
use proto::{
    Checked, ChecksumBatch, ChecksumStream, ChecksummedSeries, Code, Error, IngesterRead,
    MAX_REFERENCED_SERIES, ReferencedRequest, ReferencedSeries, SelectRequest,
};

use super::{Fixed, labels, pair, range, series_chunks, tenant};
use crate::ingester::checksums::{from_checked, from_referenced, to_checked, to_referenced};

/// With this limit the fake answers as an ingester that has no checksums.
const OLD: usize = 77;

fn request(max_series: usize) -> SelectRequest {
    let matchers = vec![Matcher::equal("a", "b")];
    SelectRequest {
        tenant: tenant(),
        matchers,
        range: range(),
        newest_only: true,
        max_series,
        max_chunk_bytes: 5,
    }
}

fn batch(n: u64) -> ChecksumBatch {
    let series = |n| ChecksummedSeries { hash: SeriesHash(u64::MAX - n), reference: n << 40, chunks: 2 };
    ChecksumBatch {
        series: vec![series(n), series(n + 1)],
        checksums: vec![n, 0, u64::MAX, 7],
        last: labels(n as usize),
    }
}

pub(super) async fn answer(fixed: &Fixed, request: SelectRequest) -> Result<ChecksumStream, Error> {
    if request.max_series == OLD {
        return Ok(fixed.select(request).await?.map(|batch| batch.map(Checked::Chunks)).boxed());
    }
    Ok(futures::stream::iter((0..3).map(|n| Ok(Checked::Checksums(batch(n))))).boxed())
}

fn references(count: usize) -> ReferencedRequest {
    let series = |n: usize| ReferencedSeries {
        hash: SeriesHash(n as u64),
        reference: u64::MAX - n as u64,
        since_ms: if n == 0 { i64::MIN } else { n as i64 },
    };
    ReferencedRequest {
        tenant: tenant(),
        range: range(),
        series: (0..count).map(series).collect(),
        max_chunk_bytes: 1 << 40,
    }
}

#[tokio::test]
async fn checksums_arrive_as_they_were_sent() {
    let pair = pair().await;
    let got: Result<Vec<Checked>, Error> =
        pair.remote.select_checksums(request(3)).await.expect("an answer").try_collect().await;
    assert_eq!(got, Ok((0..3).map(|n| Checked::Checksums(batch(n))).collect()));
    let asked = pair.ingester.asked.lock().clone();
    assert_eq!(asked, [format!("{:?}", ("checksums", request(3)))]);
}

#[tokio::test]
async fn an_ingester_without_checksums_sends_chunks() {
    let pair = pair().await;
    let got: Result<Vec<Checked>, Error> =
        pair.remote.select_checksums(request(OLD)).await.expect("an answer").try_collect().await;
    let chunks = |n: usize| Checked::Chunks(vec![series_chunks(2 * n), series_chunks(2 * n + 1)]);
    assert_eq!(got, Ok((0..3).map(chunks).collect()));
}

#[tokio::test]
async fn series_by_reference() {
    let pair = pair().await;
    let got = pair.remote.select_referenced(references(MAX_REFERENCED_SERIES)).await;
    assert_eq!(got, Ok((0..MAX_REFERENCED_SERIES).map(series_chunks).collect()));
    let asked = pair.ingester.asked.lock().clone();
    assert_eq!(asked, [format!("{:?}", references(MAX_REFERENCED_SERIES))]);
    let too_many = pair.remote.select_referenced(references(MAX_REFERENCED_SERIES + 1)).await;
    assert_eq!(too_many.map_err(|error| error.code), Err(Code::InvalidArgument));
}

#[test]
fn messages_that_contradict_themselves() {
    let good = || to_checked(Checked::Checksums(batch(1)));
    assert!(from_checked(good()).is_ok());
    let changes: [fn(&mut message::SelectResponse); 4] = [
        |m| m.checksums.iter_mut().for_each(|c| c.hashes.clear()),
        |m| m.checksums.iter_mut().for_each(|c| c.references.clear()),
        |m| m.checksums.iter_mut().for_each(|c| c.chunks.push(0)),
        |m| m.checksums.iter_mut().for_each(|c| c.last = "cut".into()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut bad = good();
        change(&mut bad);
        assert!(from_checked(bad).is_err(), "{number}");
    }
    let mut bad = to_referenced(&references(3));
    bad.since_ms.pop();
    assert!(from_referenced(&bad).is_err());
}
