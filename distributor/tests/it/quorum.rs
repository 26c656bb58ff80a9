//! Replicas that fail, refuse, hang or are missing.

use std::time::Duration;

use proto::{Code, Error, RejectReason, Version};
use ring::{Quorum, Ring, State};
use testkit::ingester::Behaviour;

use crate::harness::{Harness, NOW_MS, everywhere};
use crate::labels::{Series, message};

fn failure() -> Behaviour {
    Behaviour::Fail(Error::unavailable("its disk is full", Duration::from_secs(1)))
}

/// Two hundred series.
pub(crate) fn many(version: Version) -> Vec<u8> {
    let names: Vec<String> = (0..200).map(|i| i.to_string()).collect();
    let labels: Vec<[(&[u8], &[u8]); 2]> =
        names.iter().map(|name| [(&b"__name__"[..], &b"up"[..]), (b"i", name.as_bytes())]).collect();
    let series: Vec<Series<'_>> = labels.iter().map(|l| (&l[..], &[NOW_MS][..])).collect();
    message(version, &series)
}

async fn check(behaviours: [Behaviour; 3], expected: Result<Option<Code>, Code>) {
    for version in [Version::V1, Version::V2] {
        let harness = Harness::replicated(3, 3);
        for (ingester, behaviour) in harness.ingesters.iter().zip(&behaviours) {
            ingester.behave(behaviour.clone());
        }
        let result = harness.write(version, many(version)).await;
        let found = match &result {
            Ok(response) => Ok(response.error.as_ref().map(|error| error.code)),
            Err(error) => Err(error.code),
        };
        assert_eq!(found, expected, "{behaviours:?}: {result:?}");
        match &result {
            Ok(response) if response.error.is_none() => assert_eq!(response.written.samples, 200),
            Ok(response) => assert_eq!(response.written.samples, 0),
            Err(error) => assert!(error.retry_after.is_some(), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn outcomes_of_three_replicas() {
    use Behaviour::{Refuse, Store};
    let refuse = || Refuse(RejectReason::OutOfOrder);
    check([Store, Store, Store], Ok(None)).await;
    check([Store, failure(), Store], Ok(None)).await;
    check([refuse(), Store, Store], Ok(None)).await;
    check([failure(), failure(), Store], Err(Code::Unavailable)).await;
    check([refuse(), failure(), Store], Err(Code::Unavailable)).await;
    check([refuse(), failure(), refuse()], Ok(Some(Code::InvalidArgument))).await;
    check([refuse(), Store, refuse()], Ok(Some(Code::InvalidArgument))).await;
    let limited = || Refuse(RejectReason::SeriesLimit);
    check([limited(), limited(), Store], Ok(Some(Code::TenantLimit))).await;
    let invalid = || Behaviour::Fail(Error::invalid("not that"));
    check([invalid(), invalid(), Store], Ok(Some(Code::InvalidArgument))).await;
}

#[tokio::test]
async fn a_quorum_is_enough_to_answer() {
    let harness = Harness::replicated(3, 3);
    harness.ingesters[1].behave(Behaviour::Hang);
    let response = harness.write(Version::V1, many(Version::V1)).await.expect("two of three have it");
    assert_eq!((response.written.samples, response.error), (200, None));
}

#[tokio::test]
async fn who_hangs_has_failed_after_the_timeout() {
    let harness = Harness::replicated(1, 1);
    harness.ingesters[0].behave(Behaviour::Hang);
    let write = harness.write(Version::V1, many(Version::V1));
    let clock = async {
        while harness.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        harness.clock.advance(Duration::from_secs(11));
    };
    let (result, ()) = tokio::join!(write, clock);
    let error = result.expect_err("nobody has it");
    assert_eq!(error.code, Code::Unavailable);
    assert!(
        error.message.contains("200 of 200 series") && error.message.contains("did not answer within"),
        "{error}"
    );
}

#[tokio::test]
async fn each_series_is_on_as_many_ingesters_as_replicas() {
    let harness = Harness::replicated(5, 3);
    harness.write(Version::V2, many(Version::V2)).await.expect("all are there");
    let mut copies = std::collections::BTreeMap::new();
    for i in 0..5 {
        let floats = harness.floats(i);
        assert!(!floats.is_empty(), "ingester {i} has nothing");
        for series in floats.into_keys() {
            *copies.entry(series).or_insert(0) += 1;
        }
    }
    assert_eq!(copies.len(), 200);
    assert!(copies.values().all(|copies| *copies == 3));
}

#[tokio::test]
async fn a_new_ring_is_used_at_once() {
    let harness = Harness::replicated(3, 3);
    let change = |states: [State; 3]| {
        let mut instances = harness.view.borrow().ring().instances().to_vec();
        for (instance, state) in instances.iter_mut().zip(states) {
            instance.state = state;
        }
        let ring = Ring::new(instances, Quorum::new(3)).expect("names are unique");
        harness.view.send_replace(everywhere(ring));
    };
    change([State::Active, State::Unhealthy, State::Active]);
    harness.write(Version::V1, many(Version::V1)).await.expect("two zones are enough");
    assert!(harness.floats(1).is_empty());
    change([State::Active, State::Unhealthy, State::Leaving]);
    let error = harness.write(Version::V1, many(Version::V1)).await.expect_err("one zone is not");
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.message.contains("too few ingesters are there"), "{error}");
}

#[tokio::test]
async fn metadata_alone_needs_a_quorum_too() {
    let harness = Harness::replicated(1, 1);
    harness.ingesters[0].behave(failure());
    let mut writer = wire::encode::Rw1Writer::default();
    writer.metadata("up", &model::Metadata::default());
    let error = harness.write(Version::V1, writer.message().to_vec()).await.expect_err("it is not stored");
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.message.contains("its disk is full"), "{error}");
}
