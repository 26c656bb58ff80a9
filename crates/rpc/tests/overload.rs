//! Shedding: the decision against what it promises, and the way from a measurement to an answer.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use env::{ManualClock, Scope};
use http::{Request, StatusCode};
use proptest::prelude::*;
use rpc::overload::{
    Class, DELAYS, Decider, Governor, Measured, OverloadConfig, ShedLayer, Shedding, Thresholds,
};
use telemetry::Registry;
use tower::ServiceExt as _;

const THRESHOLDS: Thresholds = Thresholds {
    memory_reads: 0.8,
    memory_writes: 0.9,
    delay_reads: Duration::from_millis(100),
    delay_writes: Duration::from_millis(400),
    recovery: Duration::from_secs(3),
};

/// What a measurement needs by itself, without a history.
fn needed(memory: f64, delay_ms: u64) -> Shedding {
    match (memory, delay_ms) {
        (m, d) if m >= 0.9 || d >= 400 => Shedding::Everything,
        (m, d) if m >= 0.8 || d >= 100 => Shedding::Reads,
        _ => Shedding::Nothing,
    }
}

proptest! {
    #[test]
    fn never_less_than_needed_and_less_only_step_by_step_after_a_while(
        measurements in proptest::collection::vec((0u64..2_000, 0.5f64..1.0, 0u64..800), 1..200),
    ) {
        let mut decider = Decider::new(THRESHOLDS);
        let (mut now, mut delays, mut before) = (Duration::ZERO, vec![0; DELAYS], Shedding::Nothing);
        let mut changed = Duration::ZERO;
        for (pause_ms, memory, delay_ms) in measurements {
            now += Duration::from_millis(pause_ms);
            delays.push(delay_ms);
            let lasting = *delays.iter().rev().take(DELAYS).min().unwrap();
            let shedding = decider.decide(now, Measured { memory, delay: Duration::from_millis(delay_ms) });
            prop_assert!(shedding >= needed(memory, lasting));
            if shedding > before {
                prop_assert_eq!(shedding, needed(memory, lasting), "no more than needed");
                changed = now;
            }
            if shedding < before {
                prop_assert_eq!(before as u8 - shedding as u8, 1, "step by step");
                prop_assert!(now.saturating_sub(changed) >= THRESHOLDS.recovery, "too early");
                changed = now;
            }
            before = shedding;
        }
    }

    #[test]
    fn whatever_happened_it_ends_once_things_are_good(
        measurements in proptest::collection::vec((0.0f64..1.5, 0u64..5_000), 0..50),
    ) {
        let mut decider = Decider::new(THRESHOLDS);
        let mut now = Duration::ZERO;
        for (memory, delay_ms) in measurements {
            now += Duration::from_millis(100);
            decider.decide(now, Measured { memory, delay: Duration::from_millis(delay_ms) });
        }
        let good = Measured { memory: 0.1, delay: Duration::ZERO };
        let end = now + 2 * THRESHOLDS.recovery + Duration::from_secs(1);
        while now < end {
            now += Duration::from_millis(100);
            decider.decide(now, good);
        }
        prop_assert_eq!(decider.decide(now, good), Shedding::Nothing);
    }
}

#[test]
fn one_pause_is_no_overload() {
    let mut decider = Decider::new(THRESHOLDS);
    for round in 0..100 {
        let delay = if round % DELAYS == 0 { Duration::ZERO } else { Duration::from_secs(30) };
        let now = Duration::from_secs(round as u64);
        assert_eq!(decider.decide(now, Measured { memory: 0.0, delay }), Shedding::Nothing);
    }
}

#[test]
fn zero_means_never_for_lateness() {
    let never = Thresholds { delay_reads: Duration::ZERO, delay_writes: Duration::ZERO, ..THRESHOLDS };
    let mut decider = Decider::new(never);
    for second in 0..20 {
        let late = Measured { memory: 0.0, delay: Duration::from_secs(60) };
        assert_eq!(decider.decide(Duration::from_secs(second), late), Shedding::Nothing);
    }
}

async fn status(router: &Router) -> (StatusCode, Option<String>) {
    let response = router.clone().oneshot(Request::new(Body::empty())).await.unwrap();
    let after = response.headers().get("retry-after").map(|v| v.to_str().unwrap().to_owned());
    (response.status(), after)
}

#[tokio::test]
async fn memory_sheds_reads_then_writes_and_comes_back() {
    let (clock, scope, registry) = (ManualClock::new(0), Scope::new("test"), Registry::new());
    let governor = Governor::register(&registry);
    let used = Arc::new(AtomicU64::new(0));
    let (reader, config) = (Arc::clone(&used), OverloadConfig::default());
    let memory = Arc::new(move || Some(reader.load(Ordering::Relaxed)));
    governor.watch(&config, Some(1_000), memory, &scope, Arc::new(clock.clone()));
    let router = |class| {
        Router::new().route("/", get(|| async { "done" })).layer(ShedLayer::new(governor.clone(), class))
    };
    let (read, write) = (router(Class::Read), router(Class::Write));
    let measure = async |bytes: u64, times: usize| {
        used.store(bytes, Ordering::Relaxed);
        for _ in 0..times {
            while clock.sleepers() == 0 {
                tokio::task::yield_now().await;
            }
            clock.advance(config.interval);
        }
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let refused = (StatusCode::SERVICE_UNAVAILABLE, Some("5".to_owned()));
    let taken = (StatusCode::OK, None);
    let recovery = 1 + (config.recovery.as_millis() / config.interval.as_millis()) as usize;
    for (bytes, times, of_read, of_write) in [
        (500, 1, &taken, &taken),
        (870, 1, &refused, &taken),
        (950, 1, &refused, &refused),
        (500, 3, &refused, &refused),
        (500, recovery, &refused, &taken),
        (500, recovery, &taken, &taken),
    ] {
        measure(bytes, times).await;
        assert_eq!((&status(&read).await, &status(&write).await), (of_read, of_write), "{bytes} bytes");
    }
    let text = registry.encode_openmetrics();
    assert!(text.contains(r#"overload_shed_requests_total{class="read"} 4"#), "{text}");
    assert!(text.contains(r#"overload_shed_requests_total{class="write"} 2"#), "{text}");
    assert!(text.contains("overload_shedding 0"), "{text}");
    scope.abort();
}
