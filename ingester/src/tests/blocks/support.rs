//! A bucket that fails on request, a reader of it, and an ingester over both.

use std::sync::Arc;
use std::time::Duration;

use block::{ChunkReader, Index, RangeRead, verify};
use bucket::faults::Faults;
use bucket::{BackendKind, Backing, Bucket, BucketConfig, BucketDeps, BucketIndex, TenantBucket};
use env::{SeededRng, SimClock, SimFs};
use telemetry::Registry;

use super::super::support::*;
use crate::blocks::tasks;
use crate::config::{IngesterConfig, Limits};
use crate::head::open;
use crate::maintenance;

pub(super) const HOUR_MS: i64 = 3_600_000;
/// Readers look at the index so often.
pub(super) const REFRESH: Duration = Duration::from_secs(60);

/// What outlives an ingester: its bucket, and what readers know of it.
pub(super) struct Storage {
    backing: Backing,
    pub(super) faults: Faults,
    pub(super) bucket: Bucket,
    seed: u64,
    began: tokio::time::Instant,
    /// The index as readers have it: that of one refresh ago at the latest.
    pub(super) seen: BucketIndex,
}

fn bucket_config() -> BucketConfig {
    BucketConfig {
        backend: BackendKind::Memory,
        index_refresh: REFRESH,
        attempts: 2,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(1),
        ..BucketConfig::default()
    }
}

/// A bucket over these objects.
pub(crate) fn over(backing: &Backing, seed: u64) -> Bucket {
    let deps = BucketDeps {
        clock: Arc::new(SimClock::new(NOW_MS, 0)),
        rng: Arc::new(SeededRng::new(seed)),
        registry: Registry::new(),
    };
    Bucket::new(backing.clone(), &bucket_config(), deps)
}

impl Storage {
    pub(super) fn new(seed: u64) -> Self {
        let faults = Faults::new();
        let backing = Backing::faulty_memory(&faults);
        let bucket = over(&backing, seed);
        Self { backing, faults, bucket, seed, began: tokio::time::Instant::now(), seen: BucketIndex::new() }
    }

    /// The bucket for a process that is started anew.
    pub(super) fn reopen(&mut self) -> Bucket {
        self.seed += 1;
        self.bucket = over(&self.backing, self.seed);
        self.bucket.clone()
    }

    pub(super) fn of(&self, tenant_name: &str) -> TenantBucket {
        TenantBucket::new(&self.bucket, &tenant(tenant_name)).unwrap()
    }

    /// The index as it is.
    pub(super) async fn index(&self, tenant_name: &str) -> BucketIndex {
        self.of(tenant_name).index().await.unwrap().map(|(index, _)| index).unwrap_or_default()
    }

    /// Everything that is in the blocks of an index, all of which must be whole.
    pub(super) async fn read(&self, tenant_name: &str, index: &BucketIndex) -> Samples {
        let bucket = self.of(tenant_name);
        let mut all = Samples::new();
        for block in &index.blocks {
            let index = bucket.open(block.id, "index").await.expect("what the index lists is there");
            let index = Index::open(Arc::new(index)).await.unwrap();
            let mut segments: Vec<Arc<dyn RangeRead>> = Vec::new();
            for number in 1..=block.segments_num {
                segments.push(Arc::new(bucket.open(block.id, &format!("chunks/{number:06}")).await.unwrap()));
            }
            let chunks = ChunkReader::open(segments).await.unwrap();
            let verified = verify(&index, &chunks).await.unwrap();
            let meta = bucket.meta(block.id).await.unwrap();
            assert_eq!(verified.stats, meta.stats);
            let range = verified.range.unwrap();
            assert!(meta.min_time <= range.start_ms() && range.end_ms() < meta.max_time);
            let mut scan = index.scan();
            while let Some((_, series)) = scan.next().await.unwrap() {
                let samples = all.entry(series.labels.clone()).or_default();
                for chunk in chunks.read_all(&series.chunks).await.unwrap() {
                    for (at, value) in open::decode(chunk.encoding, &chunk.data).unwrap() {
                        let other = samples.insert(at, value.clone());
                        let same = other.is_none_or(|other| other.same_bits(&value));
                        assert!(same, "{}: two values at {at}", series.labels);
                    }
                }
            }
        }
        all
    }

    /// A reader looks at the index; whether it could be read.
    pub(super) async fn refresh(&mut self, tenant_name: &str) -> bool {
        let index = self.of(tenant_name).index().await;
        if let Ok(index) = &index {
            self.seen = index.as_ref().map(|(index, _)| index.clone()).unwrap_or_default();
        }
        index.is_ok()
    }
}

/// Blocks go up at once, and the head forgets as early as it may.
pub(super) fn config() -> IngesterConfig {
    IngesterConfig {
        block_keep: Duration::ZERO,
        block_upload_jitter: Duration::ZERO,
        block_late_delay: Duration::from_secs(600),
        ..IngesterConfig::default()
    }
}

pub(super) fn late() -> Limits {
    limits(Duration::from_secs(6 * 3600))
}

pub(super) async fn begin(fs: &SimFs, storage: &mut Storage) -> Option<Host> {
    let bucket = storage.reopen();
    let after_ms = storage.began.elapsed().as_millis() as i64;
    start_with_bucket(after_ms, Arc::new(fs.clone()), config(), late(), bucket).await.ok()
}

/// Everything that an ingester does by itself, once.
pub(super) async fn maintain(host: &Host) {
    let inner = &host.ingester.inner;
    tasks::cut_all(inner).await;
    tasks::ship_all(inner).await;
    host.snapshot().await;
    maintenance::expire(inner).await;
}

/// What somebody finds who asks the ingester and the blocks that readers know.
pub(super) async fn read_both(host: &Host, storage: &Storage, tenant_name: &str) -> Samples {
    let mut all = storage.read(tenant_name, &storage.seen).await;
    for (labels, samples) in host.read_all(&tenant(tenant_name)).await {
        let known = all.entry(labels.clone()).or_default();
        for (at, value) in samples {
            let other = known.insert(at, value.clone());
            assert!(other.is_none_or(|other| other.same_bits(&value)), "{labels}: two values at {at}");
        }
    }
    all
}
