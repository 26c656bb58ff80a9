//! A process that is alone and is told of no bucket can have blocks all the same, in a folder of its own.

use super::host::{Host, files_below};
use super::samples::{HOURS, Samples};
use crate::support::wait_until;

const LOCAL: &str = "--local-blocks=true";

/// The blocks that were made of what was written, when they have left the ingester's part of the disk.
fn shipped(host: &Host) {
    host.flushed();
    wait_until("blocks to leave the ingester", || {
        host.flush()?;
        let on_disk = host.metric("barograph_ingester_blocks_on_disk", "");
        if on_disk <= 4.0 { Ok(()) } else { Err(format!("{on_disk} are there")) }
    });
}

fn blocks(host: &Host) -> usize {
    files_below(&host.data().join("blocks")).iter().filter(|file| file.ends_with("meta.json")).count()
}

#[test]
fn blocks_are_made_and_read_without_a_bucket() {
    let mut host = Host::with(&[LOCAL]);
    let mut samples = Samples::new(3);
    for hour in 0..HOURS {
        samples.write(host.addr(), hour);
    }
    samples.check(host.addr(), "written");
    shipped(&host);
    assert!(blocks(&host) > 5);
    samples.check(host.addr(), "in blocks");
    host.stop();
    host.start();
    samples.check(host.addr(), "after a stop");
    host.kill();
    host.start();
    samples.check(host.addr(), "after a crash");
    // They are not the bucket that can be named: nobody removes anything from that one.
    host.stop();
    host.start_with(&["--bucket.backend=filesystem"]);
    assert!(host.log().contains("there are blocks here that are not read any more"), "{}", host.log());
}

/// A directory of a version that made none, and back.
#[test]
fn what_was_there_before_becomes_blocks_too() {
    let mut host = Host::with(&[]);
    let mut samples = Samples::new(4);
    for hour in 0..HOURS {
        samples.write(host.addr(), hour);
    }
    samples.check(host.addr(), "written");
    assert!(!host.data().join("blocks").exists());
    host.stop();
    host.start_with(&[LOCAL]);
    samples.check(host.addr(), "started with blocks");
    shipped(&host);
    assert!(blocks(&host) > 5);
    samples.check(host.addr(), "in blocks");
    host.kill();
    host.start();
    samples.check(host.addr(), "after a crash");
}

/// What the ingester has still is not read from blocks a second time. Who has just been started does not know that for sure.
#[test]
fn what_is_in_memory_is_not_read_from_blocks() {
    let mut host = Host::with(&[LOCAL, "--ingester.block-keep=2d", "--limits.query-log=true"]);
    let mut samples = Samples::new(5);
    for hour in 0..HOURS {
        samples.write(host.addr(), hour);
    }
    shipped(&host);
    assert!(blocks(&host) > 5);
    samples.check(host.addr(), "in memory and in blocks");
    let read = |host: &Host| host.metric("barograph_querier_blocks_chunks_read_total", "");
    let left_out = |host: &Host| host.metric("barograph_querier_blocks_left_out_total", "");
    assert_eq!(read(&host), 0.0);
    assert!(left_out(&host) > 5.0, "{} blocks were left out", left_out(&host));
    let told = format!("blocks=0 blocks_left_out={}", left_out(&host));
    assert!(host.log().contains(&told), "{told}: {}", host.log());
    host.kill();
    host.start();
    samples.check(host.addr(), "after a crash");
    assert!(read(&host) > 0.0);
    assert_eq!(left_out(&host), 0.0);
}
