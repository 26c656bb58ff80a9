//! A bucket that stops, is cut off, is busy, or refuses: writing goes on, queries are whole or errors, nothing is lost, and
//! metrics and log say what is wrong.

use rustix::process::{Pid, Signal, kill_process};
use testkit::S3Server;

use super::host::{Host, server, strict_server};
use super::proxy::Proxy;
use super::samples::Samples;
use crate::support::{wait_for, wait_until};

fn signal(server: &S3Server, signal: Signal) {
    let process = i32::try_from(server.process()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(process, signal).expect("the server is there");
}

#[test]
fn a_server_that_stops_is_waited_for() {
    let server = server();
    let (host, mut samples) = (Host::with_s3(server.address(), "test"), Samples::new(3));
    samples.write(host.addr(), 0);
    host.flushed();
    samples.check(host.addr(), "before");
    signal(&server, Signal::STOP);
    samples.write(host.addr(), 1);
    let refusal = host.flush().expect_err("the server does not answer");
    assert!(refusal.contains("bucket") || refusal.contains("s3://"), "{refusal}");
    samples.write(host.addr(), 2);
    assert!(host.metric("barograph_bucket_attempt_failures_total", "") > 0.0);
    assert!(host.metric("barograph_ingester_oldest_unshipped_block_start_seconds", "") > 0.0);
    // What is known of the bucket is too old by and by: then there is no answer.
    let refusal = wait_for("queries to be refused", || samples.check_or_refusal(host.addr(), "stopped"));
    assert!(
        refusal.starts_with("503") && refusal.contains("what blocks there are cannot be read"),
        "{refusal}"
    );
    wait_for("a metric of blocks that wait", || {
        (host.metric("barograph_ingester_block_ship_failures_total", "") > 0.0).then_some(())
    });
    assert!(host.log().contains("blocks cannot be shipped, they stay on the disk"), "{}", host.log());
    signal(&server, Signal::CONT);
    wait_until("queries to be answered", || samples.ask(host.addr()));
    samples.check(host.addr(), "it goes on");
    host.flushed();
    samples.check(host.addr(), "all is in the bucket");
}

#[test]
fn a_server_that_is_cut_off_and_busy_loses_nothing() {
    let server = server();
    let proxy = Proxy::start(server.address(), 4);
    let (mut host, mut samples) = (Host::with_s3(proxy.address(), "test"), Samples::new(4));
    samples.write(host.addr(), 0);
    host.flushed();
    proxy.break_down();
    let (mut answers, mut refusals) = (0, 0);
    for hour in 1..8 {
        samples.write(host.addr(), hour);
        for round in 0..3 {
            let _ = host.flush();
            match samples.check_or_refusal(host.addr(), &format!("hour {hour}, round {round}")) {
                None => answers += 1,
                Some(refusal) => {
                    assert!(refusal.starts_with("503"), "{refusal}");
                    refusals += 1;
                }
            }
        }
        if hour == 4 {
            host.kill();
            host.start();
        }
    }
    proxy.heal();
    assert!(proxy.faults() > 20, "{} faults, {answers} answers, {refusals} refusals", proxy.faults());
    wait_until("queries to be answered", || samples.ask(host.addr()));
    samples.check(host.addr(), "it goes on");
    host.flushed();
    host.lose_disk();
    samples.check(host.addr(), "nothing is left but the bucket");
}

#[test]
fn wrong_credentials_are_named() {
    let server = strict_server();
    let (mut host, mut samples) = (Host::with_s3(server.address(), "nobody"), Samples::new(5));
    for hour in 0..3 {
        samples.write(host.addr(), hour);
    }
    let refusal = host.flush().expect_err("nobody may write");
    assert!(refusal.contains("the credentials"), "{refusal}");
    assert!(host.metric("barograph_bucket_operation_failures_total", "reason=\"forbidden\"") > 0.0);
    wait_for("a line in the log", || {
        host.log()
            .lines()
            .any(|line| line.contains("blocks cannot be shipped") && line.contains("the credentials"))
            .then_some(())
    });
    // A bucket that cannot be asked may have something.
    let refusal = samples.check_or_refusal(host.addr(), "refused").expect("the bucket cannot be asked");
    assert!(refusal.starts_with("503") && refusal.contains("bucket.access_key_id"), "{refusal}");
    samples.write(host.addr(), 3);
    host.kill();
    host.start_without_bucket();
    samples.check(host.addr(), "everything is on the disk");
}
