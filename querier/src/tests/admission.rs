//! Queues and turns.

use std::pin::Pin;

use futures::poll;
use proptest::prelude::*;
use telemetry::Registry;

use super::*;
use crate::ErrorType;
use crate::metrics::QuerierMetrics;

type Waits<'a> = Pin<Box<dyn Future<Output = Result<Admitted, ApiError>> + 'a>>;

fn admission(max_running: usize, max_queued: usize) -> (Admission, AdmissionMetrics) {
    let metrics = QuerierMetrics::register(&Registry::new()).admission;
    (Admission::new(max_running, max_queued, metrics.clone()), metrics)
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn share(max_running: usize, max_queued: usize) -> Share {
    Share::of(&QuerierLimits {
        max_concurrent_queries: max_running,
        max_queued_queries: max_queued,
        ..QuerierLimits::default()
    })
}

const FREE: Share = Share { max_running: usize::MAX, max_queued: usize::MAX };

#[tokio::test]
async fn runs_queues_and_refuses() {
    let (admission, metrics) = admission(1, 1);
    let a = tenant("a");
    let first = admission.admit(&a, FREE).await.unwrap();
    let mut second = Box::pin(admission.admit(&a, FREE));
    assert!(poll!(&mut second).is_pending());
    let refused = admission.admit(&a, FREE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorType::Unavailable);
    assert!(refused.retry_after.is_some());
    assert_eq!((metrics.queue_length.get(), metrics.running.get()), (1, 1));
    drop(first);
    let second = second.await.unwrap();
    assert_eq!(metrics.queue_length.get(), 0);
    // One that gives up makes room for another.
    let mut third = Box::pin(admission.admit(&a, FREE));
    assert!(poll!(&mut third).is_pending());
    drop(third);
    assert_eq!(metrics.queue_left.get(), 1);
    let mut fourth = Box::pin(admission.admit(&a, FREE));
    assert!(poll!(&mut fourth).is_pending());
    drop(second);
    assert!(fourth.await.is_ok());
    assert_eq!((metrics.queue_length.get(), metrics.running.get()), (0, 0));
    assert!(admission.0.state.lock().tenants.is_empty());
}

#[tokio::test]
async fn a_tenant_has_bounds_of_its_own() {
    let (admission, _) = admission(10, 10);
    let (a, b) = (tenant("a"), tenant("b"));
    let running = admission.admit(&a, share(1, 1)).await.unwrap();
    let mut waits = Box::pin(admission.admit(&a, share(1, 1)));
    assert!(poll!(&mut waits).is_pending(), "one of a tenant runs at a time");
    let refused = admission.admit(&a, share(1, 1)).await.unwrap_err();
    assert_eq!((refused.kind, refused.status().as_u16()), (ErrorType::TooManyRequests, 429));
    assert!(refused.retry_after.is_some());
    assert!(refused.message.contains("max_queued_queries: 1"), "{refused}");
    // Others are not concerned.
    drop(admission.admit(&b, share(1, 1)).await.unwrap());
    drop(running);
    assert!(waits.await.is_ok());
}

#[tokio::test]
async fn tenants_take_turns() {
    let (admission, _) = admission(1, 100);
    let (hog, other) = (tenant("hog"), tenant("other"));
    let mut running = admission.admit(&hog, FREE).await.unwrap();
    let mut backlog: VecDeque<Waits<'_>> = VecDeque::new();
    for _ in 0..20 {
        let mut waits: Waits<'_> = Box::pin(admission.admit(&hog, FREE));
        assert!(poll!(&mut waits).is_pending());
        backlog.push_back(waits);
    }
    let mut cheap: Waits<'_> = Box::pin(admission.admit(&other, FREE));
    assert!(poll!(&mut cheap).is_pending());
    // One of the backlog at most comes before, although twenty have waited for longer.
    let mut before = 0;
    while poll!(&mut cheap).is_pending() {
        drop(running);
        let next = backlog.pop_front().unwrap();
        match futures::future::select(next, &mut cheap).await {
            futures::future::Either::Left((admitted, _)) => running = admitted.unwrap(),
            futures::future::Either::Right(_) => break,
        }
        before += 1;
        assert!(before <= 1, "the backlog of one tenant went first");
    }
}

#[tokio::test]
async fn limits_that_grow_let_more_run_with_the_next_query() {
    let (admission, metrics) = admission(10, 10);
    let a = tenant("a");
    let _running = admission.admit(&a, share(1, 5)).await.unwrap();
    let mut waits = Box::pin(admission.admit(&a, share(1, 5)));
    assert!(poll!(&mut waits).is_pending());
    let more = admission.admit(&a, share(3, 5)).await.unwrap();
    let first = waits.await.unwrap();
    assert_eq!(metrics.running.get(), 3);
    drop((more, first));
}

proptest! {
    /// Whatever comes and goes: bounds hold, nobody waits while there is room, and in the end nothing is left.
    #[test]
    fn bounds_hold_and_room_is_used(events in prop::collection::vec((0..3u8, 0..3u8, 0..8usize), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (admission, metrics) = admission(3, 4);
            let names = [tenant("a"), tenant("b"), tenant("c")];
            let mut waiting: Vec<(usize, Waits<'_>)> = Vec::new();
            let mut running: Vec<(usize, Admitted)> = Vec::new();
            for (event, who, which) in events {
                let who = usize::from(who);
                match event {
                    0 if !running.is_empty() => drop(running.remove(which % running.len())),
                    1 if !waiting.is_empty() => drop(waiting.remove(which % waiting.len())),
                    _ => waiting.push((who, Box::pin(admission.admit(&names[who], share(2, 3))))),
                }
                let mut still = Vec::new();
                for (who, mut waits) in waiting {
                    match poll!(&mut waits) {
                        std::task::Poll::Ready(Ok(admitted)) => running.push((who, admitted)),
                        std::task::Poll::Ready(Err(_)) => {}
                        std::task::Poll::Pending => still.push((who, waits)),
                    }
                }
                waiting = still;
                let of = |who: usize, list: &[usize]| list.iter().filter(|w| **w == who).count();
                let runs: Vec<usize> = running.iter().map(|(who, _)| *who).collect();
                let waits: Vec<usize> = waiting.iter().map(|(who, _)| *who).collect();
                assert!(runs.len() <= 3 && waits.len() <= 4, "{runs:?} {waits:?}");
                assert_eq!((metrics.running.get(), metrics.queue_length.get()), (runs.len() as i64, waits.len() as i64));
                for who in 0..3 {
                    assert!(of(who, &runs) <= 2 && of(who, &waits) <= 3, "{runs:?} {waits:?}");
                    let could_run = of(who, &waits) > 0 && of(who, &runs) < 2 && runs.len() < 3;
                    assert!(!could_run, "{who} waits for nothing: {runs:?} {waits:?}");
                }
            }
            drop((waiting, running));
            let state = admission.0.state.lock();
            assert!(state.tenants.is_empty() && state.running == 0 && state.queued == 0, "{state:?}");
        });
    }
}
