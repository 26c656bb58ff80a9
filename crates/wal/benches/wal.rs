//! What a record costs on its way into the log, alone and in a crowd, and on its way back.

use std::path::Path;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use env::{FileSystem, RealFs, Scope, SimFs, SystemClock};
use telemetry::Registry;
use tokio::runtime::{Builder, Runtime};
use wal::{Apply, Position, TimeHull, Wal, WalConfig, WalDeps, WalMetrics, recover};

/// 2,000 samples of 12 bytes.
const LARGE: usize = 24_000;
/// 50 samples of 12 bytes.
const SMALL: usize = 600;
const HULL: TimeHull = TimeHull { min_ts: 1, max_ts: 2 };

struct Count(u64);

impl Apply for Count {
    type Outcome = ();

    fn apply(&mut self, _: Position, record: &[u8]) {
        self.0 += record.len() as u64;
    }
}

fn start(fs: Arc<dyn FileSystem>, dir: &Path) -> Wal<Count> {
    let config = WalConfig::new(dir);
    let recovery = recover(&*fs, dir, Position::START, |_, _| ()).expect("recovers");
    let deps = WalDeps {
        fs,
        clock: Arc::new(SystemClock::new()),
        scope: Scope::new("bench"),
        metrics: WalMetrics::new(&Registry::new()),
    };
    Wal::open(&config, deps, &recovery, Count(0)).expect("opens")
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime")
}

/// `crowd` writers append `records` records between them, each waiting for its own.
async fn append_all(wal: &Wal<Count>, record: &[u8], records: usize, crowd: usize) {
    let scope = Scope::new("writers");
    let writers: Vec<_> = (0..crowd)
        .map(|_| {
            let (wal, record, share) = (wal.clone(), record.to_vec(), records / crowd);
            scope.spawn("writer", async move {
                for _ in 0..share {
                    wal.append(record.clone(), HULL).expect("room").await.expect("committed");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("writes");
    }
}

fn wal_append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wal_append");
    group.sample_size(10);
    let runtime = runtime();
    for (name, size, crowd) in [("large", LARGE, 64), ("small", SMALL, 256), ("small_alone", SMALL, 1)] {
        let records = if crowd == 1 { 64 } else { 4_096 };
        let record = vec![7_u8; size];
        group.throughput(Throughput::Elements(records as u64));
        for real in [true, false] {
            let home = tempfile::tempdir().expect("a directory");
            let fs: Arc<dyn FileSystem> = if real { Arc::new(RealFs) } else { Arc::new(SimFs::new(1)) };
            let wal = runtime.block_on(async { start(fs, &home.path().join("wal")) });
            let id = BenchmarkId::new(name, if real { "real" } else { "sim" });
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    runtime.block_on(async {
                        append_all(&wal, &record, records, crowd).await;
                        let end = wal.roll().await.expect("rolls");
                        wal.truncate_before(end).await.expect("truncates");
                    });
                });
            });
        }
    }
}

fn wal_recover(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wal_recover");
    group.sample_size(10);
    let runtime = runtime();
    for (name, size, records) in [("large", LARGE, 8_192), ("small", SMALL, 65_536)] {
        let home = tempfile::tempdir().expect("a directory");
        let dir = home.path().join("wal");
        runtime.block_on(async {
            let wal = start(Arc::new(RealFs), &dir);
            append_all(&wal, &vec![7_u8; size], records, 64).await;
            wal.close().await;
        });
        group.throughput(Throughput::Bytes((size * records) as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut bytes = 0;
                recover(&RealFs, &dir, Position::START, |_, record| bytes += record.len()).expect("recovers");
                bytes
            });
        });
    }
}

criterion_group!(benches, wal_append, wal_recover);
criterion_main!(benches);
