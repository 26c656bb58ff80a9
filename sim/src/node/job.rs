//! Work that one process at a time may do, with effects outside: what rulers, alertmanagers and compactors will do. Each
//! effect is told to the oracle with its fencing token.

use std::time::Duration;

use membership::records::{self, Jobs};
use membership::{Client, LeaseHolder};
use proto::metastore::JobHolder;

use crate::mutant::Mutant;
use crate::site::Process;

const KIND: &str = "sim";
const JOB: &str = "work";
/// How much longer than the moment of the effect the lease has to hold.
const MARGIN: Duration = Duration::from_millis(100);

/// Does the work whenever it is this process'.
pub(super) fn start(process: &Process, client: Client, lease: LeaseHolder) {
    let process = process.clone();
    let scope = process.scope.clone();
    let is_stale = process.site.mutant == Some(Mutant::ActsOnStaleLease);
    drop(scope.spawn("job", async move {
        let mut last = None;
        loop {
            tokio::time::sleep(process.draw.time(Duration::from_millis(100), Duration::from_millis(700)))
                .await;
            let held = lease.held();
            if !held.is_valid(process.clock.monotonic(), MARGIN) && !is_stale {
                continue;
            }
            let fence = hold(&process, &client, held.token).await;
            let Some(fence) = fence.or(last.filter(|_| is_stale)) else { continue };
            last = Some(fence);
            // The work takes time, in which much may happen.
            tokio::time::sleep(process.draw.time(Duration::ZERO, Duration::from_secs(5))).await;
            let still = lease.held();
            let is_held = still.token == held.token && still.is_valid(process.clock.monotonic(), MARGIN);
            if is_held || is_stale {
                process.site.oracle.acts(&process.name, fence);
                process.site.trace.event(format_args!("{} acts with token {fence}", process.name));
            }
        }
    }));
}

/// The fencing token of the job, where this process has it or could take it.
async fn hold(process: &Process, client: &Client, token: u64) -> Option<u64> {
    let record = client.get(records::key::<Jobs>(&[KIND, JOB])).await.ok()?;
    if let Some(record) = record {
        let holder: JobHolder = records::value::<Jobs>(&record).ok()?.message;
        let ours = holder.instance == process.name && holder.lease_token == token;
        return ours.then_some(record.create_revision);
    }
    let taking = records::take_job(KIND, JOB, &process.name, token, process.clock.now_ms());
    let answer = client.txn(taking).await.ok()?;
    let taken = answer.result.is_some_and(|result| result.succeeded);
    answer.header.filter(|_| taken).map(|header| header.revision)
}
