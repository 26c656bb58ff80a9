//! What happens when a bucket fails, in time that only the test moves.

use std::sync::Arc;
use std::time::Duration;

use block::InMemory;
use bucket::faults::{Fault, Faults, Kind};
use bucket::{Backing, Bucket, BucketConfig, BucketDeps, ErrorKind, ObjectName};
use bytes::Bytes;
use env::{Clock as _, SeededRng, SimClock};
use telemetry::{Format, Registry};

use super::suite::{config, name};

struct Failing {
    bucket: Bucket,
    faults: Faults,
    clock: Arc<SimClock>,
    registry: Registry,
}

fn failing(config: &BucketConfig) -> Failing {
    let (faults, registry) = (Faults::new(), Registry::new());
    let clock = Arc::new(SimClock::new(1_700_000_000_000, 0));
    let deps =
        BucketDeps { clock: clock.clone(), rng: Arc::new(SeededRng::new(3)), registry: registry.clone() };
    let bucket = Bucket::new(Backing::faulty_memory(&faults), config, deps);
    Failing { bucket, faults, clock, registry }
}

fn object() -> ObjectName {
    name("a/b")
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_repeated_and_counted() {
    let Failing { bucket, faults, registry, .. } = failing(&config());
    for nth in 0..3 {
        faults.plan(Kind::Change, nth, Fault::Refused);
    }
    bucket.put(&object(), Bytes::from_static(b"x")).await.unwrap();
    faults.plan(Kind::Read, 0, Fault::Half);
    assert_eq!(&bucket.get(&object(), 10).await.unwrap().bytes[..], b"x");
    let text = registry.encode(Format::Prometheus);
    for line in [
        "barograph_bucket_operations_total{operation=\"put\"} 1",
        "barograph_bucket_attempt_failures_total{operation=\"put\",reason=\"unavailable\"} 3",
        "barograph_bucket_attempt_failures_total{operation=\"get\",reason=\"unavailable\"} 1",
        "barograph_bucket_sent_bytes_total 1",
        "barograph_bucket_received_bytes_total 1",
        "barograph_bucket_requests_in_flight 0",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    assert!(!text.contains("operation_failures_total{"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_not() {
    let Failing { bucket, faults, clock, .. } = failing(&config());
    faults.plan(Kind::Change, 0, Fault::Forbidden);
    let error = bucket.put(&object(), Bytes::new()).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (ErrorKind::Forbidden, 1));
    assert_eq!(error.to_string().split(": ").take(2).collect::<Vec<_>>(), ["memory", "put of a/b"]);
    faults.plan(Kind::Any, 0, Fault::Gone);
    let before = clock.monotonic();
    let error = bucket.put(&object(), Bytes::new()).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (ErrorKind::Unavailable, config().attempts));
    let most: Duration = (0..config().attempts).map(|_| config().longest_wait).sum();
    assert!(clock.monotonic() - before <= most);
    faults.heal();
    assert_eq!(bucket.get(&object(), 1).await.unwrap_err().kind, ErrorKind::NotFound);
}

/// An upload whose pieces fail now and then is whole in the end, or not there.
#[tokio::test(start_paused = true)]
async fn uploads_are_whole_or_absent() {
    let content: Vec<u8> = (0..11usize << 20).map(|i| (i / 7) as u8).collect();
    let file = InMemory::new("chunks/000001", content.clone());
    let operations = {
        let Failing { bucket, faults, .. } = failing(&config());
        bucket.upload(&object(), &file).await.unwrap();
        faults.operations()
    };
    assert!(operations >= 5, "{operations}");
    for nth in 0..operations {
        for fault in [Fault::Refused, Fault::Unanswered, Fault::Gone, Fault::Forbidden] {
            let Failing { bucket, faults, .. } = failing(&config());
            faults.plan(Kind::Any, nth, fault);
            let uploaded = bucket.upload(&object(), &file).await;
            faults.heal();
            let found = bucket.get(&object(), u64::MAX).await;
            match uploaded {
                Ok(_) => assert!(found.unwrap().bytes == content, "{fault:?} at {nth}"),
                Err(_) => match found {
                    Ok(found) => assert!(found.bytes == content, "{fault:?} at {nth}"),
                    Err(error) => assert_eq!(error.kind, ErrorKind::NotFound, "{fault:?} at {nth}"),
                },
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_piece_that_was_cut_is_found_by_reading_back() {
    let Failing { bucket, faults, .. } = failing(&config());
    let file = InMemory::new("index", vec![7; 1000]);
    faults.plan(Kind::Change, 0, Fault::Half);
    let uploaded = bucket.upload(&object(), &file).await.unwrap();
    assert_eq!(bucket.head(&object()).await.unwrap().bytes, 500);
    assert!(bucket.checksum(&object(), uploaded.bytes).await.is_err());
}
