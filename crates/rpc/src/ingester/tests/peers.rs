//! Ingesters by name: connections come, move and go with the view, and keep to their bounds.

use std::collections::BTreeMap;

use env::SeededRng;
use proto::{IngesterReaders, IngesterWriters};
use ring::{Instance, InstanceId, Quorum, Ring, RingView};
use tokio::sync::watch;

use super::*;
use crate::ingester::RemoteIngesters;

/// A view of instances at addresses.
fn view(addresses: &[(&str, &str)]) -> Arc<RingView> {
    let ids = || addresses.iter().map(|(name, _)| InstanceId::new(name));
    let ring = Ring::new(Instance::all_active(ids().map(|id| (id, None))), Quorum::new(1)).expect("a ring");
    let at: BTreeMap<_, Arc<str>> = ids().zip(addresses).map(|(id, (_, at))| (id, Arc::from(*at))).collect();
    Arc::new(RingView::new(ring, at, Vec::new(), []))
}

pub(super) struct Peers {
    pub(super) ingesters: RemoteIngesters,
    view: watch::Sender<Arc<RingView>>,
    registry: Registry,
    clock: Arc<dyn Clock>,
    _scope: Scope,
}

pub(super) fn peers(config: GrpcConfig, addresses: &[(&str, &str)]) -> Peers {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (scope, registry) = (Scope::new("caller"), Registry::new());
    let metrics = GrpcMetrics::register(&registry, clock.clone());
    let policy = ClientPolicy::new(&config, metrics, clock.clone()).expect("a policy");
    let (sender, receiver) = watch::channel(view(addresses));
    let dial = Arc::new(TcpDial::new(config, policy, &scope));
    let ingesters = RemoteIngesters::new(dial, receiver, Arc::new(SeededRng::new(1)));
    Peers { ingesters, view: sender, registry, clock, _scope: scope }
}

fn small() -> PushRequest {
    let batch = SeriesBatch {
        version: Version::V1,
        request: Bytes::from_static(b"body"),
        rewritten: Bytes::new(),
        symbols: Arc::default(),
        frames: vec![frame(1, Source::Request, 0, 4)],
    };
    PushRequest { tenant: tenant(), batch, metadata: Vec::new() }
}

#[tokio::test]
async fn connections_follow_the_view() {
    let (a, b) = (pair().await, pair().await);
    let peers = peers(config(), &[("a", &a.address), ("b", &b.address)]);
    assert!(peers.ingesters.is_empty(), "nobody is connected before somebody asks");
    let id = InstanceId::new("a");
    let first = peers.ingesters.get(&id).expect("it has an address");
    assert!(Arc::ptr_eq(&first, &peers.ingesters.get(&id).expect("it has an address")));
    peers.ingesters.writer(&id).expect("a writer").push(small()).await.expect("stored");
    let stats = peers.ingesters.reader(&InstanceId::new("b")).expect("a reader").stats(&tenant()).await;
    assert_eq!(stats, Ok(TenantStats { series: 3, samples: u64::MAX }));
    assert_eq!(peers.ingesters.len(), 2);

    // It moves to where the other is, and the other goes.
    peers.view.send_replace(view(&[("a", &b.address)]));
    peers.ingesters.writer(&id).expect("a writer").push(small()).await.expect("stored");
    assert_eq!((a.ingester.pushed.lock().len(), b.ingester.pushed.lock().len()), (1, 1));
    assert_eq!(peers.ingesters.len(), 1);
    assert!(peers.ingesters.reader(&InstanceId::new("b")).is_none());
    let text = peers.registry.encode_openmetrics();
    assert!(text.contains(r#"peer_breaker_open{peer="a"} 0"#) && !text.contains(r#"peer="b""#), "{text}");
    // Whoever held it goes on.
    first.push(small()).await.expect("stored");
    assert_eq!(a.ingester.pushed.lock().len(), 2);
}

#[tokio::test]
async fn without_an_address_nobody_is_there() {
    let peers = peers(config(), &[("a", "no address")]);
    assert!(peers.ingesters.get(&InstanceId::new("a")).is_none());
    assert!(peers.ingesters.get(&InstanceId::new("unknown")).is_none());
    assert!(peers.ingesters.is_empty());
}

#[tokio::test]
async fn who_does_not_answer_is_left_alone_and_tried_again() {
    let address = testkit::free_address();
    let wait = Duration::from_millis(20);
    let config = GrpcConfig { breaker_first_wait: wait, breaker_longest_wait: wait, ..config() };
    let peers = peers(config, &[("a", &address.to_string())]);
    let ingester = peers.ingesters.get(&InstanceId::new("a")).expect("it has an address");
    while !peers.registry.encode_openmetrics().contains(r#"peer_breaker_open{peer="a"} 1"#) {
        assert_eq!(ingester.push(small()).await.expect_err("nobody is there").code, Code::Unavailable);
    }
    let kept_back = loop {
        let error = ingester.push(small()).await.expect_err("nobody is there");
        if error.message.contains("has not answered of late") {
            break error;
        }
    };
    assert_eq!(kept_back.code, Code::Unavailable);
    assert!(kept_back.retry_after.is_some_and(|after| after <= wait), "{kept_back:?}");

    let _back = pair_at(address).await;
    while ingester.push(small()).await.is_err() {
        peers.clock.sleep(Duration::from_millis(5)).await;
    }
    assert!(peers.registry.encode_openmetrics().contains(r#"peer_breaker_open{peer="a"} 0"#));
}

#[tokio::test]
async fn errors_of_a_peer_that_answers_are_no_failures_to_answer() {
    let pair = pair().await;
    let peers = peers(GrpcConfig { breaker_failures: 1, ..config() }, &[("a", &pair.address)]);
    let ingester = peers.ingesters.get(&InstanceId::new("a")).expect("it has an address");
    for _ in 0..10 {
        let error = ingester.label_names(series_request()).await.expect_err("it says so");
        assert_eq!(error, Error::unavailable("the head is being replayed", Duration::from_secs(3)));
    }
    ingester.push(small()).await.expect("calls are not kept back");
}

#[tokio::test]
async fn what_would_be_too_much_is_refused_before_it_waits() {
    let pair = pair().await;
    pair.ingester.hang();
    let config = GrpcConfig { max_calls_per_peer: 2, ..config() };
    let peers = peers(config, &[("a", &pair.address)]);
    let ingester = peers.ingesters.get(&InstanceId::new("a")).expect("it has an address");
    let first = futures::future::join(ingester.push(small()), ingester.push(small()));
    let refused = async {
        loop {
            // Until the first two are out.
            tokio::task::yield_now().await;
            if pair.ingester.pushed.lock().len() == 2 {
                break ingester.push(small()).await;
            }
        }
    };
    tokio::select! {
        _ = first => panic!("the ingester hangs"),
        refused = refused => {
            let error = refused.expect_err("two are under way");
            assert_eq!((error.code, error.retry_after), (Code::Unavailable, Some(Duration::from_secs(1))));
            assert!(error.message.contains("grpc.max_calls_per_peer is 2"), "{error}");
        }
    }
    // Those that were given up make room again.
    pair.ingester.recover();
    ingester.push(small()).await.expect("there is room");
    assert_eq!(pair.ingester.pushed.lock().len(), 3);
}
