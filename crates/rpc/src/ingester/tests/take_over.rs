//! What an ingester that leaves hands over, and messages of a later release.

use prost::Message;
use proto::{Successors, TakeOver, TakeOverRequest, TakenOver, TakenSeries};
use ring::InstanceId;
use wire::protobuf::put_bytes_field;

use super::peers::peers;
use super::*;
use crate::ingester::{take_over, write};

fn taken() -> TakenOver {
    TakenOver { stored: 1, repeated: u64::MAX, conflicting: 3 }
}

#[async_trait]
impl TakeOver for Fixed {
    async fn take_over(&self, request: TakeOverRequest) -> Result<TakenOver, Error> {
        self.taken.lock().push(request);
        Ok(taken())
    }
}

fn request() -> TakeOverRequest {
    let series = |n: usize| TakenSeries {
        labels: labels(n),
        chunks: series_chunks(n).chunks,
        exemplars: exemplars().exemplars,
    };
    let family = FamilyMetadata { family: "up".into(), entries: vec![metadata(), Metadata::default()] };
    TakeOverRequest { tenant: tenant(), series: vec![series(1), series(2)], metadata: vec![family] }
}

#[tokio::test]
async fn what_is_handed_over_arrives_whole_at_whom_the_view_names() {
    let pair = pair().await;
    let peers = peers(config(), &[("heir", &pair.address)]);
    let heir = peers.ingesters.successor(&InstanceId::new("heir")).expect("it has an address");
    assert_eq!(heir.take_over(request()).await, Ok(taken()));
    assert_eq!(*pair.ingester.taken.lock(), [request()]);
    assert!(peers.ingesters.successor(&InstanceId::new("nobody")).is_none());
}

#[test]
fn a_hand_over_that_contradicts_itself_is_refused() {
    use proto::ingester::{Chunk, TakeOverRequest, TakenSeries};
    let good = TakeOverRequest {
        tenant: "a".into(),
        series: vec![TakenSeries {
            labels: Bytes::from_static(b"\x01a\x01b"),
            chunks: vec![Chunk { range: Some(Default::default()), encoding: 1, data: Bytes::new() }],
            exemplars: Vec::new(),
        }],
        metadata: Vec::new(),
    };
    take_over::from_request(good.clone()).expect("it is good");
    let changes: Vec<fn(&mut TakeOverRequest)> = vec![
        |m| m.tenant = "no/tenant".into(),
        |m| m.series[0].labels = Bytes::new(),
        |m| m.series[0].labels = Bytes::from_static(b"\x01"),
        |m| m.series[0].chunks[0].range = None,
        |m| m.series[0].chunks[0].encoding = 99,
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut message = good.clone();
        change(&mut message);
        let error = take_over::from_request(message).expect_err("it is broken");
        assert_eq!(error.code, Code::InvalidArgument, "change {i}: {error}");
    }
}

/// A field that no message of this release has, as a later one may have it.
fn with_more(message: &impl Message) -> Bytes {
    let mut bytes = message.encode_to_vec();
    put_bytes_field(&mut bytes, 1000, b"of a later release");
    bytes.into()
}

#[test]
fn what_a_later_release_adds_is_left_out() {
    use proto::ingester::{PushRequest, PushResponse, Rejection, TakeOverRequest, Version, Written};
    let push = PushRequest {
        tenant: "a".into(),
        version: Version::V1.into(),
        bodies: Bytes::from_static(b"ab"),
        lengths: vec![1, 1],
        hashes: vec![1, 2],
        ..PushRequest::default()
    };
    let read = PushRequest::decode(with_more(&push)).expect("a message");
    assert_eq!(read, push);
    let request = write::from_push(read).expect("it is good");
    assert_eq!(request.batch.frames.len(), 2);

    let refused = Some(Written { samples: 1, ..Written::default() });
    let rejection = |reason: &str| Rejection { reason: reason.into(), refused, ..Rejection::default() };
    let response = PushResponse {
        written: None,
        rejected: vec![rejection("too_bright"), rejection("sample_out_of_order")],
    };
    let read = PushResponse::decode(with_more(&response)).expect("a message");
    let reasons: Vec<_> = write::from_response(read).rejected.iter().map(|r| r.reason).collect();
    assert_eq!(
        reasons,
        [RejectReason::Malformed, RejectReason::OutOfOrder],
        "an unknown reason is a refusal still"
    );

    let message = take_over::to_request(without_metadata());
    let read = TakeOverRequest::decode(with_more(&message)).expect("a message");
    assert_eq!(take_over::from_request(read), Ok(without_metadata()));
}

fn without_metadata() -> TakeOverRequest {
    TakeOverRequest { metadata: Vec::new(), ..request() }
}
