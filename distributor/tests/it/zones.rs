//! Zones, and tenants that use a part of the ring: who gets a series when all is well, and who when it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::{Code, Error, Version};
use ring::{Instance, Quorum, Ring, State};
use testkit::ingester::Behaviour;

use crate::harness::{Harness, everywhere, sharded};
use crate::quorum::many;

/// By series, the ingesters that have it.
fn places(harness: &Harness) -> BTreeMap<String, BTreeSet<usize>> {
    let mut places: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for i in 0..harness.ingesters.len() {
        for series in harness.floats(i).into_keys() {
            places.entry(series).or_default().insert(i);
        }
    }
    places
}

fn zones(ingesters: &BTreeSet<usize>) -> Vec<usize> {
    let mut zones: Vec<_> = ingesters.iter().map(|i| i % 3).collect();
    zones.sort_unstable();
    zones
}

/// What happens to an instance.
type Change = fn(&mut Instance);

/// The ring of the harness with some instances changed.
fn changed(harness: &Harness, change: impl Fn(usize, &mut Instance)) -> Ring {
    let mut instances = harness.view.borrow().ring().instances().to_vec();
    for instance in &mut instances {
        let number = instance.id.as_str().rsplit('-').next().and_then(|n| n.parse().ok()).expect("a number");
        change(number, instance);
    }
    Ring::new(instances, Quorum::new(3)).expect("names are unique")
}

async fn store(harness: &Harness) -> Result<u64, Error> {
    let response = harness.write(Version::V1, many(Version::V1)).await?;
    assert_eq!(response.error, None);
    Ok(response.written.samples)
}

#[tokio::test]
async fn each_series_is_once_in_each_zone() {
    let harness = Harness::zoned(3);
    assert_eq!(store(&harness).await, Ok(200));
    let places = places(&harness);
    assert_eq!(places.len(), 200);
    assert!(places.values().all(|ingesters| zones(ingesters) == [0, 1, 2]), "{places:?}");
    assert_eq!(places.values().flatten().collect::<BTreeSet<_>>().len(), 9, "all ingesters are used");
}

#[tokio::test]
async fn whoever_cannot_take_a_series_is_replaced_in_its_zone_and_nobody_else_is() {
    let calm = Harness::zoned(3);
    store(&calm).await.expect("all are there");
    let calm = places(&calm);
    let cannot: [(&str, Change); 4] = [
        ("unhealthy", |instance| instance.state = State::Unhealthy),
        ("leaving", |instance| instance.state = State::Leaving),
        ("joining", |instance| instance.state = State::Joining),
        ("read-only", |instance| instance.read_only = true),
    ];
    for (name, change) in cannot {
        let harness = Harness::zoned(3);
        let ring = changed(&harness, |number, instance| {
            if number == 4 {
                change(instance);
            }
        });
        harness.view.send_replace(everywhere(ring));
        assert_eq!(store(&harness).await, Ok(200), "{name}");
        for (series, now) in places(&harness) {
            let before = &calm[&series];
            assert_eq!(zones(&now), [0, 1, 2], "{name}: {series}");
            assert!(!now.contains(&4), "{name}");
            let left: BTreeSet<_> = before.iter().copied().filter(|i| *i != 4).collect();
            assert!(left.is_subset(&now), "{name}: {series} moved from {before:?} to {now:?}");
        }
    }
}

#[tokio::test]
async fn a_zone_without_anybody_counts_as_failed() {
    let harness = Harness::zoned(2);
    let without = |gone: usize| {
        changed(&harness, |number, instance| {
            if number % 3 < gone {
                instance.state = State::Unhealthy;
            }
        })
    };
    let (one, two) = (without(1), without(2));
    harness.view.send_replace(everywhere(one));
    assert_eq!(store(&harness).await, Ok(200));
    // The one ingester that fails in another zone has no stand-in before the view says so.
    harness.ingesters[1].behave(Behaviour::Fail(Error::unavailable("joining", Duration::from_secs(1))));
    let error = store(&harness).await.expect_err("its series have one zone left");
    assert_eq!(error.code, Code::Unavailable);
    harness.ingesters[1].behave(Behaviour::Store);
    harness.view.send_replace(everywhere(two));
    assert_eq!(store(&harness).await.expect_err("one zone is left").code, Code::Unavailable);
}

#[tokio::test]
async fn a_write_that_is_repeated_stores_nothing_twice() {
    let harness = Harness::zoned(1);
    for ingester in &harness.ingesters[1..] {
        ingester.behave(Behaviour::Fail(Error::unavailable("the log is replayed", Duration::from_secs(1))));
    }
    assert_eq!(store(&harness).await.expect_err("one zone is not enough").code, Code::Unavailable);
    for ingester in &harness.ingesters {
        ingester.behave(Behaviour::Store);
    }
    assert_eq!(store(&harness).await, Ok(200));
    for i in 0..3 {
        let floats = harness.floats(i);
        assert!(floats.len() == 200 && floats.values().all(|samples| samples.len() == 1));
    }
}

#[tokio::test]
async fn small_tenants_touch_one_ingester_per_zone_and_grow_with_the_view() {
    let harness = Harness::zoned(3);
    let ring = harness.view.borrow().ring().clone();
    harness.view.send_replace(sharded(ring.clone(), 1));
    for _ in 0..2 {
        store(&harness).await.expect("all are there");
        let used: BTreeSet<usize> = places(&harness).into_values().flatten().collect();
        assert_eq!((used.len(), zones(&used)), (3, vec![0, 1, 2]));
    }
    harness.view.send_replace(sharded(ring, 2));
    store(&harness).await.expect("all are there");
    let used: BTreeSet<usize> = places(&harness).into_values().flatten().collect();
    assert_eq!(used.len(), 6);
}

#[tokio::test]
async fn what_a_hung_ingester_was_sent_is_bounded_after_the_answer_too() {
    let harness = Harness::zoned(1);
    harness.ingesters[2].behave(Behaviour::Hang);
    let under_way = || harness.metric("barograph_distributor_inflight_requests", &[]);
    for sent in 1..=3 {
        assert_eq!(store(&harness).await, Ok(200));
        assert_eq!(under_way(), f64::from(sent), "it counts until the ingester has had its time");
    }
    while harness.clock.sleepers() < 3 {
        tokio::task::yield_now().await;
    }
    harness.clock.advance(Duration::from_secs(11));
    while under_way() > 0.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(harness.metric("barograph_distributor_push_failures_total", &[]), 3.0);
}
