//! How often the way of a write allocates: per request, not per series.

use proto::Version;

use crate::harness::{Harness, NOW_MS};
use crate::labels::{Series, message};

/// Allocations of one write of `series` well-formed series, the second time it is made.
fn allocations(version: Version, series: usize) -> u64 {
    let names: Vec<String> = (0..series).map(|i| format!("instance-{i:05}.example.org:9090")).collect();
    let labels: Vec<[(&[u8], &[u8]); 3]> = names
        .iter()
        .map(|name| [(&b"__name__"[..], &b"up"[..]), (b"instance", name.as_bytes()), (b"job", b"x")])
        .collect();
    let all: Vec<Series<'_>> = labels.iter().map(|l| (&l[..], &[NOW_MS][..])).collect();
    let message = message(version, &all);
    let harness = Harness::single("");
    // An ingester that does nothing but answer: its work is not counted.
    let failure = proto::Error::unavailable("not now", std::time::Duration::from_secs(1));
    harness.ingesters[0].behave(testkit::ingester::Behaviour::Fail(failure));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let write = |message| runtime.block_on(harness.write(version, message)).expect_err("the ingester fails");
    write(message.clone());
    allocation_counter::measure(|| drop(write(message))).count_total
}

#[test]
fn allocations_do_not_grow_with_series() {
    for version in [Version::V1, Version::V2] {
        let (few, many) = (allocations(version, 200), allocations(version, 4_000));
        println!("{version:?}: {few} allocations for 200 series, {many} for 4000");
        // Growing vectors double: a few more allocations for twenty times the series.
        assert!(many <= few + 30, "{version:?}: {few} allocations for 200 series, {many} for 4000");
        assert!(few <= 60, "{version:?}: {few} allocations for 200 series");
    }
}
