//! Random requests against a simple reference, and broken ones that must do no harm.

use std::collections::BTreeMap;

use env::{Rng, SeededRng};
use proptest::prelude::*;
use proto::Version;

use crate::harness::{Harness, NOW_MS};
use crate::labels::{Series, message};

const NAMES: [&str; 6] = ["__name__", "a", "b", "job", "ü", ""];
const VALUES: [&str; 5] = ["", "x", "y", "ö", "long"];

type Labels = Vec<(usize, usize)>;

/// What the distributor has to make of a series, spelt out.
fn reference(labels: &Labels) -> Option<String> {
    let mut sorted = BTreeMap::new();
    for (name, value) in labels {
        let (name, value) = (NAMES[*name], VALUES[*value]);
        if name.is_empty() || sorted.insert(name, value).is_some() {
            return None;
        }
    }
    sorted.retain(|_, value| !value.is_empty());
    sorted.contains_key("__name__").then(|| model::Labels::from_pairs(sorted).to_string())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_versions_store_what_the_reference_says(
        series in prop::collection::vec(prop::collection::vec((0..NAMES.len(), 0..VALUES.len()), 0..6), 0..8),
    ) {
        let bytes: Vec<Vec<(&[u8], &[u8])>> = series
            .iter()
            .map(|labels| labels.iter().map(|(n, v)| (NAMES[*n].as_bytes(), VALUES[*v].as_bytes())).collect())
            .collect();
        let all: Vec<Series<'_>> = bytes.iter().map(|l| (&l[..], &[NOW_MS][..])).collect();
        let expected: Vec<Option<String>> = series.iter().map(reference).collect();
        let good = expected.iter().flatten().count() as u64;
        for version in [Version::V1, Version::V2] {
            let harness = Harness::single("");
            let response = runtime().block_on(harness.write(version, message(version, &all))).unwrap();
            prop_assert_eq!(response.written.samples, good);
            prop_assert_eq!(response.error.is_some(), good < series.len() as u64);
            let mut stored: Vec<String> = expected.iter().flatten().cloned().collect();
            stored.sort();
            stored.dedup();
            let mut found: Vec<String> = harness.floats(0).into_keys().collect();
            found.sort();
            prop_assert_eq!(found, stored);
        }
    }
}

/// Good requests with bytes changed, cut out, doubled: an answer each, and the next good request is stored.
#[test]
fn broken_requests_do_no_harm() {
    let rng = SeededRng::new(7);
    let labels: [(&[u8], &[u8]); 3] =
        [(b"__name__", b"up"), (b"instance", b"localhost:9090"), (b"job", b"x")];
    for version in [Version::V1, Version::V2] {
        let harness = Harness::single("");
        let good = message(version, &[(&labels, &[NOW_MS]), (&labels[..2], &[NOW_MS, NOW_MS + 1])]);
        runtime().block_on(async {
            for _ in 0..20_000 {
                let mut broken = good.clone();
                for _ in 0..=rng.below(3) {
                    let at = rng.below(broken.len() as u64) as usize;
                    match rng.below(4) {
                        0 => drop(broken.remove(at)),
                        1 => broken.truncate(at.max(1)),
                        2 => broken.insert(at, rng.next_u64() as u8),
                        _ => broken[at] = rng.next_u64() as u8,
                    }
                    if broken.is_empty() {
                        broken.push(0);
                    }
                }
                // Only the distributor is under test: what an ingester makes of odd exemplars is its own business.
                let _ = harness.write(version, broken).await;
            }
            // Another series, because broken requests may have stored other values of this one.
            let fresh = message(version, &[(&[(b"__name__", b"fresh")], &[NOW_MS])]);
            let response = harness.write(version, fresh).await.expect("a good request is taken");
            assert_eq!((response.written.samples, response.error), (1, None));
        });
    }
}
