//! What a record costs the process in processor time, how many share a sync, and how long each waits, at several
//! numbers of concurrent writers on the machine's own disk. Run it on an otherwise idle machine.
#![expect(clippy::print_stdout, reason = "the table is what it is run for")]

use std::sync::Arc;
use std::time::Duration;

use env::{Clock as _, RealFs, Scope, SystemClock};
use telemetry::Registry;
use tokio::runtime::{Builder, Runtime};
use wal::{Apply, Position, TimeHull, Wal, WalConfig, WalDeps, WalMetrics, recover};

/// 50 samples of 12 bytes.
const RECORD_BYTES: usize = 600;
/// Of `/proc/self/stat` on every Linux that matters.
const TICKS_PER_SECOND: f64 = 100.0;

struct Ignore;

impl Apply for Ignore {
    type Outcome = ();

    fn apply(&mut self, _: Position, _: &[u8]) {}
}

fn main() {
    println!("writers  records  cpu us/record  records/group  wall us/record  p50 ms  p99 ms");
    for (writers, records) in [(1, 2_000), (4, 8_000), (64, 128_000)] {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime");
        measure(&runtime, writers, records);
    }
}

fn measure(runtime: &Runtime, writers: usize, records: usize) {
    let home = tempfile::tempdir().expect("a directory");
    let clock = SystemClock::new();
    let registry = Registry::new();
    let dir = home.path().join("wal");
    let recovery = recover(&RealFs, &dir, Position::START, |_, _| ()).expect("recovers");
    let deps = WalDeps {
        fs: Arc::new(RealFs),
        clock: Arc::new(clock.clone()),
        scope: Scope::new("bench"),
        metrics: WalMetrics::new(&registry),
    };
    let _context = runtime.enter();
    let wal = Wal::open(&WalConfig::new(&dir), deps, &recovery, Ignore).expect("opens");
    let (cpu, wall) = (cpu_seconds(), clock.monotonic());
    let mut latencies = runtime.block_on(append_all(&wal, writers, records / writers, &clock));
    let (cpu, wall) = (cpu_seconds() - cpu, (clock.monotonic() - wall).as_secs_f64());
    latencies.sort_unstable();
    let quantile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let samples = registry.gather();
    let groups: f64 = samples
        .iter()
        .filter(|sample| sample.name.ends_with("_groups_total"))
        .map(|sample| sample.value)
        .sum();
    let count = latencies.len() as f64;
    println!(
        "{writers:7}  {count:7}  {:13.1}  {:13.2}  {:14.1}  {:6.2}  {:6.2}",
        cpu / count * 1e6,
        count / groups,
        wall / count * 1e6,
        quantile(50),
        quantile(99),
    );
}

/// Every writer appends `share` records and waits for each; how long each took.
async fn append_all(wal: &Wal<Ignore>, writers: usize, share: usize, clock: &SystemClock) -> Vec<Duration> {
    let scope = Scope::new("writers");
    let writers: Vec<_> = (0..writers)
        .map(|_| {
            let (wal, clock) = (wal.clone(), clock.clone());
            scope.spawn("writer", async move {
                let mut latencies = Vec::with_capacity(share);
                for _ in 0..share {
                    let begun = clock.monotonic();
                    let ticket = wal.append(vec![7; RECORD_BYTES], TimeHull::new(1, 2)).expect("room");
                    ticket.await.expect("committed");
                    latencies.push(clock.monotonic() - begun);
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for writer in writers {
        latencies.extend(writer.await.expect("writes"));
    }
    latencies
}

/// Of the whole process, in user and kernel mode.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a process knows itself");
    let after_name = stat.rsplit(')').next().expect("fields");
    let ticks =
        after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().expect("ticks"));
    ticks.sum::<f64>() / TICKS_PER_SECOND
}
