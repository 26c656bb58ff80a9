//! Hours of samples, cut, shipped and read, while the process is killed again and again.

use std::time::Duration;

use env::{Rng as _, SeededRng};

use super::host::{Host, flush, server};
use super::samples::{HOURS, Samples};
use crate::support::wait_until;

/// While it is being brought to the bucket, the process is killed at some moment.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no scope, and the thread ends with the process that it asks"
)]
fn run(mut host: Host, seed: u64) {
    let (mut samples, rng) = (Samples::new(seed), SeededRng::new(seed));
    for hour in 0..HOURS {
        samples.write(host.addr(), hour);
        let addr = host.addr();
        let flushing = std::thread::spawn(move || flush(addr));
        std::thread::sleep(Duration::from_millis(rng.below(600)));
        samples.check(host.addr(), &format!("seed {seed}, while hour {hour} is brought to the bucket"));
        if rng.below(3) > 0 {
            host.kill();
            host.start();
        }
        let _ = flushing.join();
        samples.check(host.addr(), &format!("seed {seed}, after hour {hour}"));
    }
    host.flushed();
    samples.check(host.addr(), "all is in the bucket");
    // Blocks leave the disk, and the head what is in them.
    wait_until("blocks to leave the disk", || {
        host.flush()?;
        let on_disk = host.metric("barograph_ingester_blocks_on_disk", "");
        // Of the time that has not ended there is a new one with every flush.
        if on_disk <= 4.0 { Ok(()) } else { Err(format!("{on_disk} are there")) }
    });
    samples.check(host.addr(), "blocks have left the disk");
    host.lose_disk();
    samples.check(host.addr(), "nothing is left but the bucket");
}

#[test]
fn with_a_bucket_of_files() {
    run(Host::with_files(), 1);
}

#[test]
fn with_a_bucket_of_a_server() {
    let server = server();
    run(Host::with_s3(server.address(), "test"), 2);
}
