//! Blocks of ingesters in a bucket, and what readers find there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use block::meta::{Compaction, Thanos};
use block::{
    BlockWriter, ChunkReader, Description, Index, LocalFile, Meta, NewChunk, RangeRead, WriteOptions,
    data_files, verify,
};
use bucket::faults::Faults;
use bucket::{
    BackendKind, Backing, Bucket, BucketConfig, BucketDeps, BucketIndex, IndexedBlock, ReadBack, TenantBucket,
};
use chunk::XorAppender;
use compactor::{Alone, Compactor, CompactorConfig, CompactorLimits, Deps, Owners};
use env::{Clock, FileSystem, Scope, SeededRng, SimClock, SimFs};
use model::{Labels, TenantId, TimeRange};
use settings::Overrides;
use telemetry::Registry;
use ulid::Ulid;

pub(crate) const HOUR_MS: i64 = 3_600_000;

/// When tests begin: at an edge of every window, and after whatever the machine's own clock says.
pub(crate) const BEGIN_MS: i64 = 168 * HOUR_MS * 6_700;

/// Samples of a tenant: by labels and time.
pub(crate) type Samples = BTreeMap<(Labels, i64), u64>;

pub(crate) fn tenant() -> TenantId {
    TenantId::new("team-a").expect("a tenant")
}

/// What outlives a process.
pub(crate) struct World {
    pub(crate) backing: Backing,
    pub(crate) faults: Faults,
    pub(crate) fs: SimFs,
    /// What compactors have in place of `fs`.
    pub(crate) disk: Option<Arc<dyn FileSystem>>,
    pub(crate) config: CompactorConfig,
    pub(crate) limits: CompactorLimits,
    pub(crate) owners: Arc<dyn Owners>,
    clock: SimClock,
    starts: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let faults = Faults::new();
        Self {
            backing: Backing::faulty_memory(&faults),
            faults,
            fs: SimFs::new(1),
            disk: None,
            config: CompactorConfig { settle: Duration::from_secs(60), ..CompactorConfig::default() },
            limits: CompactorLimits::default(),
            owners: Arc::new(Alone),
            clock: SimClock::new(BEGIN_MS, 0),
            starts: 0,
        }
    }

    /// The bucket, for a process of its own.
    pub(crate) fn over(&self, seed: u64) -> Bucket {
        let config = BucketConfig {
            backend: BackendKind::Memory,
            attempts: 1,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(1),
            ..BucketConfig::default()
        };
        let deps = BucketDeps {
            clock: Arc::new(self.clock.clone()),
            rng: Arc::new(SeededRng::new(seed)),
            registry: Registry::new(),
        };
        Bucket::new(self.backing.clone(), &config, deps)
    }

    /// A process that has just been started.
    pub(crate) fn start(&mut self) -> Compactor {
        self.starts += 1;
        Compactor::build(
            self.config.clone(),
            Deps {
                fs: self.disk.clone().unwrap_or_else(|| Arc::new(self.fs.clone())),
                clock: Arc::new(self.clock.clone()),
                rng: Arc::new(SeededRng::new(self.starts)),
                scope: Scope::simulated("compactor"),
                registry: Registry::new(),
                dir: PathBuf::from("/compactor"),
                bucket: self.over(self.starts),
                limits: Overrides::fixed(self.limits.clone()),
                replicas: 3,
                owners: Arc::clone(&self.owners),
            },
        )
    }

    pub(crate) fn bucket(&self) -> TenantBucket {
        TenantBucket::new(&self.over(99), &tenant()).expect("it has tenants")
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Everything that may be gone with a process that dies is.
    pub(crate) fn crash(&mut self) {
        self.faults.heal();
        self.fs = self.fs.crash(env::CrashMode::LoseAll);
    }

    /// Ships a block as an ingester does.
    pub(crate) async fn ship(&self, ulid: Ulid, samples: &Samples, window: (i64, i64)) {
        let folder = save(&self.fs, ulid, samples, window);
        let bucket = self.bucket();
        let scope = Scope::simulated("ship");
        for name in
            data_files(&self.fs, &folder).expect("it was written").into_iter().chain(["meta.json".to_owned()])
        {
            let file = LocalFile::open(&self.fs, &folder, &name, &scope).expect("it was written");
            let crc32c = file.checksum().await.expect("it was written");
            let written = bucket.bucket().upload_checked(&bucket.file(ulid, &name), &file, crc32c).await;
            assert_eq!(written.expect("nothing fails yet"), ReadBack::Same);
        }
        let meta = bucket.meta(ulid).await.expect("it was written");
        let entry = IndexedBlock::of(&meta, self.now_ms() / 1000);
        bucket.update_index(|index| index.add(entry.clone())).await.expect("nothing fails yet");
    }

    /// Ships so many windows of two hours, three replicas of each; every replica lacks some samples. What they have
    /// together is given.
    pub(crate) async fn ship_replicas(&self, windows: i64) -> Samples {
        self.ship_windows(0..windows).await
    }

    /// The same, of some windows.
    pub(crate) async fn ship_windows(&self, windows: std::ops::Range<i64>) -> Samples {
        let mut all = Samples::new();
        for window in windows {
            let start = BEGIN_MS + window * 2 * HOUR_MS;
            for replica in 0..3 {
                let own = part(start, 5, replica);
                self.ship(
                    ulid(u64::try_from(window * 3 + replica).expect("small")),
                    &own,
                    (start, start + 2 * HOUR_MS),
                )
                .await;
                all.extend(own);
            }
        }
        all
    }

    pub(crate) async fn index(&self) -> BucketIndex {
        self.bucket().index().await.expect("it can be read").map(|(index, _)| index).unwrap_or_default()
    }

    /// All samples that a reader finds in the blocks that are not marked; each has to be whole.
    pub(crate) async fn live_samples(&self) -> (Samples, usize) {
        let index = self.index().await;
        let ids: Vec<Ulid> = index.live().map(|block| block.id).collect();
        self.samples_of(&ids).await
    }

    /// The samples of blocks, and how many there are with repetitions.
    pub(crate) async fn samples_of(&self, ids: &[Ulid]) -> (Samples, usize) {
        let (mut all, mut count) = (Samples::new(), 0);
        for id in ids {
            for (sample, value) in self.read(*id).await {
                count += 1;
                let other = all.insert(sample, value);
                assert!(other.is_none_or(|other| other == value));
            }
        }
        (all, count)
    }

    async fn read(&self, id: Ulid) -> Samples {
        let bucket = self.bucket();
        let meta = bucket.meta(id).await.expect("what the index lists is there");
        let open = async |name: &str| -> Arc<dyn RangeRead> {
            let object = bucket.open(id, name).await.expect("what the index lists is there");
            let object: Arc<dyn RangeRead> = Arc::new(object);
            object
        };
        let index = Index::open(open("index").await).await.expect("an index");
        let files = bucket.files(id).await.expect("a listing");
        let mut segments = Vec::new();
        for (name, _) in files.iter().filter(|(name, _)| name.starts_with("chunks/")) {
            segments.push(open(name).await);
        }
        let chunks = ChunkReader::open(segments).await.expect("segments");
        let verified = verify(&index, &chunks).await.expect("a whole block");
        assert_eq!(verified.stats, meta.stats);
        let mut samples = Samples::new();
        let mut scan = index.scan();
        while let Some((_, series)) = scan.next().await.expect("a series") {
            for chunk in chunks.read_all(&series.chunks).await.expect("chunks") {
                let mut cursor = chunk::cursor(chunk.encoding, &chunk.data).expect("a chunk");
                while let Some((at, chunk::ValueRef::Float(value))) = cursor.next_sample().expect("a sample")
                {
                    samples.insert((series.labels.clone(), at), value.to_bits());
                }
            }
        }
        samples
    }
}

pub(crate) fn ulid(number: u64) -> Ulid {
    Ulid::from_parts(1_000, u128::from(number))
}

/// Samples every 30 s of two hours; a replica lacks every tenth of them, each another.
pub(crate) fn part(start_ms: i64, series: i64, replica: i64) -> Samples {
    let mut all = Samples::new();
    for number in 0..series {
        let name = format!("i{number}");
        let labels = Labels::from_pairs([("__name__", "up"), ("instance", name.as_str())]);
        for i in (0..240).filter(|i| (i + number) % 10 != replica) {
            let value = (start_ms / 1000 + i * number) as f64;
            all.insert((labels.clone(), start_ms + i * 30_000), value.to_bits());
        }
    }
    all
}

/// Writes a block; the folder is given.
pub(crate) fn save(fs: &SimFs, ulid: Ulid, samples: &Samples, (min, max): (i64, i64)) -> PathBuf {
    let mut by_series: BTreeMap<&Labels, Vec<(i64, f64)>> = BTreeMap::new();
    for ((labels, at), value) in samples {
        by_series.entry(labels).or_default().push((*at, f64::from_bits(*value)));
    }
    let mut writer =
        BlockWriter::create(Arc::new(fs.clone()), Path::new("/ingester"), ulid, WriteOptions::default())
            .expect("there is room");
    for (labels, samples) in by_series {
        let chunks: Vec<(TimeRange, Box<[u8]>)> = samples.chunks(120).map(encode).collect();
        let chunks = chunks.iter().map(|(range, data)| NewChunk {
            range: *range,
            encoding: chunk::Encoding::Xor,
            data,
        });
        writer.add(labels, chunks).expect("there is room");
    }
    let description = Description {
        min_time: Some(min),
        max_time: Some(max),
        compaction: Compaction::of_head(ulid),
        thanos: Some(Thanos { source: "receive".to_owned(), ..Thanos::default() }),
    };
    let (folder, _): (PathBuf, Meta) = writer.finish(description).expect("there is room");
    folder
}

fn encode(samples: &[(i64, f64)]) -> (TimeRange, Box<[u8]>) {
    let mut appender = XorAppender::new();
    for (at, value) in samples {
        appender.append(*at, *value).expect("there is room");
    }
    let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0).expect("in order");
    (range, appender.into_bytes())
}
