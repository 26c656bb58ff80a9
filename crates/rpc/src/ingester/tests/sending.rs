//! Pushes as messages: in place or copied, in one part or several, always the same series.

use proptest::prelude::*;
use prost::Message as _;
use wire::encode::Rw2Writer;

use super::*;
use crate::ingester::send::Parts;
use crate::ingester::write;

/// The message as it comes out of the network.
fn received(parts: Parts) -> proto::ingester::PushRequest {
    let (mut body, mut all) = (parts, Vec::new());
    while let Some(Ok(frame)) =
        futures::FutureExt::now_or_never(http_body_util::BodyExt::frame(&mut body)).flatten()
    {
        all.extend_from_slice(&frame.into_data().expect("data"));
    }
    let (prefix, message) = all.split_at(5);
    assert_eq!(prefix[0], 0);
    assert_eq!(u32::from_be_bytes(prefix[1..].try_into().expect("four")) as usize, message.len());
    proto::ingester::PushRequest::decode(message).expect("a message")
}

/// Each series with its hash, after a way through messages of at most so many bytes of series.
fn carried(request: &PushRequest, max_bytes: usize) -> (Vec<(u64, Vec<u8>)>, usize) {
    let (mut all, mut messages) = (Vec::new(), 0);
    for part in write::to_push(request, max_bytes).expect("messages") {
        let arrived = write::from_push(received(part.message)).expect("a request");
        assert_eq!(arrived.batch.frames.len(), part.series);
        assert_eq!(arrived.metadata.len(), if messages == 0 { request.metadata.len() } else { 0 });
        all.extend(series(&arrived.batch));
        messages += 1;
    }
    (all, messages)
}

fn series(batch: &SeriesBatch) -> Vec<(u64, Vec<u8>)> {
    batch.frames.iter().map(|f| (f.hash.0, batch.body(f).expect("it is inside").to_vec())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn series_arrive_whole_and_in_order(
        layout in prop::collection::vec((0..40_u32, 0..200_u32, prop::bool::weighted(0.1)), 0..40),
        max_bytes in prop_oneof![Just(usize::MAX), 1..2_000_usize],
    ) {
        let (mut start, mut rewritten, mut frames) = (0, 0, Vec::new());
        for (i, (gap, len, changed)) in layout.into_iter().enumerate() {
            let hash = i as u64 + 1;
            if changed {
                frames.push(frame(hash, Source::Rewritten, rewritten, len));
                rewritten += len;
            } else {
                frames.push(frame(hash, Source::Request, start + gap, len));
                start += gap + len;
            }
        }
        let bytes = |n: u32, salt: u32| (0..n).map(|i| (i.wrapping_mul(31) ^ salt) as u8).collect::<Vec<u8>>();
        let batch = SeriesBatch {
            version: Version::V1,
            request: bytes(start + 3, 0).into(),
            rewritten: bytes(rewritten, 0xa5).into(),
            symbols: Arc::default(),
            frames,
        };
        let family = MetadataEntry { family: "up".into(), metadata: metadata() };
        let request = PushRequest { tenant: tenant(), batch, metadata: vec![family] };
        let (arrived, messages) = carried(&request, max_bytes);
        prop_assert_eq!(arrived, series(&request.batch));
        prop_assert!(messages >= 1 && (max_bytes < 2_000 || messages == 1));
    }
}

/// A request of version 2 as a distributor has it, with so many of its series.
fn version_2(kept: usize) -> PushRequest {
    let mut writer = Rw2Writer::default();
    for i in 0..20 {
        writer.label("__name__", "up");
        writer.label("instance", &format!("host-{i}"));
        writer.sample(1_000, 1.0, 0).end_series();
    }
    let request = Bytes::from(writer.message());
    let (mut spans, mut frames) = (Vec::new(), Vec::new());
    for field in wire::rw2::request(&request) {
        match field.expect("it is well-formed") {
            wire::rw2::RequestField::Symbol { start, text } => spans.push((start as u32, text.len() as u32)),
            wire::rw2::RequestField::TimeSeries { start, body } => {
                let hash = frames.len() as u64;
                frames.push(frame(hash, Source::Request, start as u32, body.len() as u32));
            }
        }
    }
    frames.truncate(kept);
    let symbols = Arc::new(SymbolTable::new(request.clone(), spans).expect("they are inside"));
    let batch = SeriesBatch { version: Version::V2, request, rewritten: Bytes::new(), symbols, frames };
    PushRequest { tenant: tenant(), batch, metadata: Vec::new() }
}

#[test]
fn symbols_come_with_the_request_or_beside_it() {
    for (kept, in_place) in [(20, true), (1, false)] {
        let request = version_2(kept);
        let mut parts = write::to_push(&request, usize::MAX).expect("messages");
        let message = received(parts.remove(0).message);
        assert_eq!(message.symbols.is_none(), in_place);
        let arrived = write::from_push(message).expect("a request");
        assert_eq!(series(&arrived.batch), series(&request.batch));
        assert_eq!(arrived.batch.symbols.get(2), request.batch.symbols.get(2));
    }
}

#[tokio::test]
async fn what_is_longer_than_a_message_goes_in_several() {
    let pair = pair().await;
    // The largest message has 64 MiB.
    let (len, count) = (9 << 20, 5);
    let batch = SeriesBatch {
        version: Version::V1,
        request: vec![7; len * count].into(),
        rewritten: Bytes::new(),
        symbols: Arc::default(),
        frames: (0..count as u32)
            .map(|i| frame(i.into(), Source::Request, i * len as u32, len as u32))
            .collect(),
    };
    let request = PushRequest { tenant: tenant(), batch, metadata: Vec::new() };
    let answer = pair.remote.push_within(request, Duration::from_secs(60)).await.expect("stored");
    let sent: Vec<usize> = pair.ingester.pushed.lock().iter().map(|push| push.batch.frames.len()).collect();
    assert_eq!(sent, [3, 2]);
    assert_eq!(answer.written.samples, 2 * response().written.samples);
    let series: Vec<u32> = answer.rejected.iter().map(|rejection| rejection.series).collect();
    assert_eq!(
        (series[0], series[17]),
        (0, 3),
        "series of the second message come behind those of the first"
    );
}

#[tokio::test]
async fn the_ingester_is_told_how_long_it_has() {
    let pair = pair().await;
    pair.ingester.hang();
    let batch = SeriesBatch {
        version: Version::V1,
        request: Bytes::from_static(b"body"),
        rewritten: Bytes::new(),
        symbols: Arc::default(),
        frames: vec![frame(1, Source::Request, 0, 4)],
    };
    let request = PushRequest { tenant: tenant(), batch, metadata: Vec::new() };
    let error = pair.remote.push_within(request, Duration::from_millis(50)).await.expect_err("it hangs");
    assert_eq!(error.code, Code::DeadlineExceeded);
}
