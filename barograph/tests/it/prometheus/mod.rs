//! A real Prometheus scrapes itself, the node exporter, Barograph and a target of odd samples, and remote-writes here, in
//! both versions of the protocol. What it holds is read back equal: every series, sample, histogram, exemplar and stale
//! marker, before and after a kill.

mod compare;
mod setup;
mod target;

use compare::Sides;
use rustix::process::Signal;
use setup::{Setup, Version};

use crate::support::{Barograph, now_ms};

#[test]
fn what_prometheus_writes_with_version_1_is_read_back_equal() {
    check(Version::V1);
}

#[test]
fn what_prometheus_writes_with_version_2_is_read_back_equal() {
    check(Version::V2);
}

fn check(version: Version) {
    let began_ms = now_ms();
    let mut setup = Setup::start(version);
    setup.wait_for_scrapes();
    compare::metadata(&setup.sides(began_ms), version);
    setup.stop_scraping();
    setup.wait_until_sent();
    setup.nothing_failed();

    let sides = setup.sides(began_ms);
    compare_all(&sides);
    setup.barograph.program.signal(Signal::KILL);
    setup.barograph.program.wait();
    setup.barograph = Barograph::start(&setup.data(), setup::ARGUMENTS);
    compare_all(&Sides { barograph: setup.barograph.addr, ..sides });
}

fn compare_all(sides: &Sides) {
    compare::samples(sides);
    compare::instants(sides);
    compare::labels(sides);
    compare::exemplars(sides);
    compare::expressions(sides);
}
