//! A disk on which nothing fails and something takes for ever: it holds up what waits for it, and nothing else. Writes go on or
//! are refused with 503, memory is bounded, it can be seen what is wrong, and nothing that was acknowledged is lost.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use env::{CrashMode, DirEntry, File, FileLock, FileSystem, ManualClock, OpenOptions, Scope, SimFs};
use model::TimeRange;
use parking_lot::{Condvar, Mutex};
use proto::{ChunkEncoding, Code, IngesterWrite as _};
use settings::{ByteSize, Overrides};

use super::support::*;
use crate::blocks::tasks;
use crate::config::{IngesterConfig, Limits};
use crate::service::{Deps, Ingester};

/// What hangs is found to hang after so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many samples of a series close a chunk, whenever it was begun.
const SAMPLES: i64 = 300;
const STEP_MS: i64 = 15_000;

/// Where the disk takes for ever, and who waits there.
#[derive(Default)]
struct Stuck {
    /// Changes of files with this in their path do not come to an end.
    folder: Option<&'static str>,
    waiting: usize,
}

/// A disk that can be stuck.
#[derive(Clone)]
struct SlowFs {
    disk: SimFs,
    stuck: Arc<(Mutex<Stuck>, Condvar)>,
}

impl SlowFs {
    fn new() -> Self {
        Self { disk: SimFs::new(1), stuck: Arc::default() }
    }

    fn stick(&self, folder: Option<&'static str>) {
        self.stuck.0.lock().folder = folder;
        self.stuck.1.notify_all();
    }

    /// Waits as long as it is stuck there.
    fn pass(&self, path: &Path) {
        let (state, changed) = &*self.stuck;
        let is_stuck = |stuck: &Stuck| {
            stuck.folder.is_some_and(|folder| path.components().any(|part| part.as_os_str() == folder))
        };
        let mut stuck = state.lock();
        if is_stuck(&stuck) {
            stuck.waiting += 1;
            changed.wait_while(&mut stuck, |stuck| is_stuck(stuck));
            stuck.waiting -= 1;
        }
    }

    fn waiting(&self) -> usize {
        self.stuck.0.lock().waiting
    }
}

struct SlowFile {
    fs: SlowFs,
    path: PathBuf,
    file: Arc<dyn File>,
}

impl FileSystem for SlowFs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Arc<dyn File>> {
        if options.create {
            self.pass(path);
        }
        let file = self.disk.open(path, options)?;
        Ok(Arc::new(SlowFile { fs: self.clone(), path: path.to_owned(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(to);
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.pass(path);
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.pass(path);
        self.disk.remove_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.read_dir(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.pass(path);
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.disk.lock(path)
    }
}

impl File for SlowFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.fs.pass(&self.path);
        self.file.write_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.pass(&self.path);
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fs.pass(&self.path);
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.fs.pass(&self.path);
        self.file.sync_all()
    }
}

/// Lets everything go on at the end, also where the test fails.
struct Heals(SlowFs);

impl Drop for Heals {
    fn drop(&mut self) {
        self.0.stick(None);
    }
}

/// An ingester on a slow disk. What it does by itself it does when the test says so.
struct Slow {
    fs: SlowFs,
    _heals: Heals,
    clock: ManualClock,
    scope: Scope,
    ingester: Ingester,
}

impl Slow {
    async fn start(config: IngesterConfig, bucket: Option<bucket::Bucket>) -> Self {
        let (fs, clock, scope) = (SlowFs::new(), ManualClock::new(NOW_MS), Scope::new("ingester"));
        let deps = Deps {
            clock: Arc::new(clock.clone()),
            scope: scope.clone(),
            bucket,
            ..deps_on(Arc::new(fs.clone()), Overrides::fixed(Limits::default()), &scope)
        };
        let ingester = Ingester::start(config, deps).await.unwrap();
        Self { _heals: Heals(fs.clone()), fs, clock, scope, ingester }
    }

    async fn push(&self, rows: &[Row], oracle: &mut Oracle) {
        let answer = soon(self.ingester.push(request(&tenant("team-a"), rows))).await;
        oracle.note(rows, &answer);
        answer.unwrap();
    }

    /// So many samples of each of some series that a chunk of each of them is closed at least.
    async fn fill(&self, from: i64, oracle: &mut Oracle) {
        for step in from..from + SAMPLES {
            let at = NOW_MS - 6 * 3_600_000 + step * STEP_MS;
            let rows: Vec<Row> = (0..4).map(|i| row(&labels("up", i), at, step as f64)).collect();
            self.push(&rows, oracle).await;
        }
    }

    async fn check(&self, oracle: &Oracle, context: &str) {
        oracle.check(&soon(read_all(&self.ingester, &tenant("team-a"))).await, context);
    }

    /// Begins something that the disk does not let come to an end.
    async fn begin(&self, folder: &'static str, work: impl FnOnce(&Ingester) + Send + 'static) -> Begun {
        self.fs.stick(Some(folder));
        let (ingester, scope) = (self.ingester.clone(), self.scope.clone());
        let begun = self.scope.spawn("stuck", async move {
            scope.run_blocking(move || work(&ingester)).await.unwrap();
        });
        until(|| self.fs.waiting() > 0).await;
        begun
    }

    /// The power goes, and another process finds everything.
    async fn end(self, oracle: &Oracle) {
        self.fs.stick(None);
        self.scope.abort();
        drop(self.ingester);
        soon(self.scope.join(&self.clock, PATIENCE)).await;
        let host =
            start(Arc::new(self.fs.disk.crash(CrashMode::LoseAll)), limits(Duration::ZERO)).await.unwrap();
        oracle.check(&host.read_all(&tenant("team-a")).await, "after a crash");
        end(host).await;
    }
}

type Begun = env::TaskHandle<()>;

/// What does not depend on the part of the disk that is stuck comes to an end.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it waits for the disk")
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(waiting).await;
}

fn config() -> IngesterConfig {
    let none = Duration::ZERO;
    IngesterConfig { block_upload_jitter: none, block_keep: none, ..IngesterConfig::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_chunk_files_are_written_samples_are_stored_and_read() {
    let slow = Slow::start(config(), None).await;
    let mut oracle = Oracle::default();
    slow.fill(0, &mut oracle).await;
    let begun = slow.begin("chunks", |ingester| ingester.inner.head.store().flush().unwrap()).await;
    // More chunks are closed meanwhile, and those that wait are read.
    slow.fill(SAMPLES, &mut oracle).await;
    slow.check(&oracle, "while they are written").await;
    slow.fs.stick(None);
    soon(begun).await.unwrap();
    slow.ingester.inner.head.store().sync().unwrap();
    slow.check(&oracle, "written").await;
    slow.end(&oracle).await;
}

/// A snapshot syncs chunk files while they are being synced because they have grown: what waits is let go once it is durable, and
/// not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunk_files_are_synced_by_one_at_a_time() {
    let slow = Slow::start(config(), None).await;
    let mut oracle = Oracle::default();
    slow.fill(0, &mut oracle).await;
    let first = slow.begin("chunks", |ingester| drop(ingester.inner.head.store().sync().unwrap())).await;
    slow.fill(SAMPLES, &mut oracle).await;
    let (ingester, scope) = (slow.ingester.clone(), slow.scope.clone());
    let second = slow.scope.spawn("snapshot", async move {
        let stored = move || ingester.inner.head.store().sync().unwrap();
        scope.run_blocking(stored).await.unwrap();
    });
    slow.fill(2 * SAMPLES, &mut oracle).await;
    slow.fs.stick(None);
    soon(first).await.unwrap();
    soon(second).await.unwrap();
    slow.check(&oracle, "synced twice").await;
    assert!(crate::maintenance::snapshot(&slow.ingester.inner).await.is_ok());
    assert_eq!(slow.ingester.inner.head.store().buffered_bytes(), 0);
    slow.end(&oracle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_chunks_that_wait_are_a_reason_to_refuse_writes() {
    let slow = Slow::start(config(), None).await;
    let mut oracle = Oracle::default();
    slow.fill(0, &mut oracle).await;
    let begun = slow.begin("chunks", |ingester| ingester.inner.head.store().flush().unwrap()).await;
    let range = TimeRange::new(0, 1).unwrap();
    for _ in 0..65 {
        slow.ingester.inner.head.store().append(None, range, ChunkEncoding::Xor, &[7; 1 << 20]);
    }
    let rows = [row(&labels("up", 0), NOW_MS, 1.0)];
    let refused = soon(slow.ingester.push(request(&tenant("team-a"), &rows))).await.unwrap_err();
    assert!(refused.code == Code::Unavailable && refused.retry_after.is_some(), "{refused}");
    assert_eq!(slow.ingester.inner.metrics.requests_shed.get(), 1);
    slow.fs.stick(None);
    soon(begun).await.unwrap();
    slow.ingester.inner.head.store().sync().unwrap();
    slow.push(&rows, &mut oracle).await;
    slow.end(&oracle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_wait_for_the_log_until_too_many_do() {
    let limit = ByteSize(1 << 20);
    let slow = Slow::start(IngesterConfig { wal_max_pending: limit, ..config() }, None).await;
    let mut oracle = Oracle::default();
    slow.fill(0, &mut oracle).await;
    let inner = slow.ingester.inner.clone();
    slow.fs.stick(Some("wal"));
    // Requests of many series, which come again as clients send them: each waits for its answer.
    let rows = |step: i64| -> Vec<Row> {
        (0..500).map(|i| row(&labels("many", i), NOW_MS + step * STEP_MS, step as f64)).collect()
    };
    let mut waiting = Vec::new();
    let refused = loop {
        let (ingester, request) =
            (slow.ingester.clone(), request(&tenant("team-a"), &rows(waiting.len() as i64)));
        let mut push = Box::pin(async move { ingester.push(request).await });
        match futures::poll!(&mut push) {
            std::task::Poll::Ready(answer) => break answer.unwrap_err(),
            std::task::Poll::Pending => waiting.push(push),
        }
        assert!(waiting.len() < 1000, "nothing is refused");
    };
    assert!(refused.code == Code::Unavailable && refused.retry_after.is_some(), "{refused}");
    assert!(inner.log.pending_bytes() < 2 << 20, "{}", inner.log.pending_bytes());
    // It is told, first when it has lasted for a second.
    let waits = || inner.metrics.disk_wait_seconds.get();
    assert_eq!(waits(), 0.0);
    until(|| {
        slow.clock.advance(Duration::from_millis(500));
        waits() >= 2.0
    })
    .await;
    // What is stored is still read.
    slow.check(&oracle, "the log is stuck").await;
    slow.fs.stick(None);
    for (step, push) in waiting.into_iter().enumerate() {
        let answer = soon(push).await;
        assert!(answer.is_ok());
        oracle.note(&rows(step as i64), &answer);
    }
    until(|| {
        slow.clock.advance(Duration::from_millis(500));
        waits() == 0.0
    })
    .await;
    slow.check(&oracle, "the log goes on").await;
    slow.end(&oracle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_block_is_cut_everything_else_goes_on() {
    let memory = bucket::faults::Memory::new();
    let way = Arc::new(bucket::faults::Faults::new());
    let bucket = super::blocks::support::over(&bucket::Backing::on_way(&memory, way), 1);
    let slow = Slow::start(config(), Some(bucket)).await;
    let mut oracle = Oracle::default();
    slow.fill(0, &mut oracle).await;
    slow.fs.stick(Some("blocks"));
    let inner = slow.ingester.inner.clone();
    let cutting = slow.scope.spawn("cut", async move { tasks::cut_all(&inner).await });
    until(|| slow.fs.waiting() > 0).await;
    slow.fill(SAMPLES, &mut oracle).await;
    slow.check(&oracle, "while a block is cut").await;
    soon(crate::maintenance::expire(&slow.ingester.inner)).await;
    slow.check(&oracle, "what is in no block is not forgotten").await;
    slow.fs.stick(None);
    assert!(soon(cutting).await.unwrap());
    soon(tasks::ship_all(&slow.ingester.inner)).await;
    let ledger = slow.ingester.inner.blocks.ledgers.find(&tenant("team-a")).unwrap();
    assert!(!ledger.blocks().is_empty());
    assert_eq!(slow.ingester.inner.metrics.oldest_unshipped_seconds.get(), 0.0);
    slow.end(&oracle).await;
}
