//! A bucket in memory with blocks, and a querier that reads them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use block::chunks::segment_name;
use block::meta::{Compaction, Thanos};
use block::{BlockWriter, Description, Meta, NewChunk, Tombstone, WriteOptions, tombstones};
use bucket::faults::Faults;
use bucket::{Backing, Bucket, BucketConfig, BucketDeps, IndexedBlock, TenantBucket};
use chunk::{Encoding, XorAppender};
use env::{Clock, FileSystem, ManualClock, Scope, SeededRng, SimFs, read_file};
use http::Request;
use http_body_util::BodyExt;
use model::{Labels, TenantId, TimeRange};
use proto::{Chunk, IngesterRead};
use querier::{
    Blocks, BlocksConfig, BlocksDeps, Deps, FixedIngesters, Querier, QuerierConfig, QuerierLimits,
};
use rpc::{TenantLayer, TenantResolver};
use settings::Overrides;
use telemetry::{Format, Registry};
use tower::ServiceExt;
use ulid::Ulid;

/// When tests happen.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// Series with their samples, chunk by chunk.
pub(crate) type Data = Vec<(Labels, Vec<Vec<(i64, f64)>>)>;

/// What has been deleted: the series by its number, from and to.
pub(crate) type Deleted = Vec<(usize, i64, i64)>;

/// A bucket, what goes wrong with it, and the time.
pub(crate) struct World {
    pub(crate) faults: Faults,
    pub(crate) bucket: Bucket,
    pub(crate) clock: ManualClock,
    pub(crate) fs: Arc<dyn FileSystem>,
    written: u64,
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("it is right")
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With settings of the bucket.
    pub(crate) fn with(config: &[(&str, &str)]) -> Self {
        let (faults, clock) = (Faults::new(), ManualClock::new(NOW_MS));
        let all = [config, &[("attempts", "1")]].concat();
        let config: BucketConfig = settings::section::with_values(&all).expect("they are right");
        let deps = BucketDeps {
            clock: Arc::new(clock.clone()),
            rng: Arc::new(SeededRng::new(7)),
            registry: Registry::new(),
        };
        let bucket = Bucket::new(Backing::faulty_memory(&faults), &config, deps);
        Self { faults, bucket, clock, fs: Arc::new(SimFs::new(1)), written: 0 }
    }

    pub(crate) fn of(&self, name: &str) -> TenantBucket {
        TenantBucket::new(&self.bucket, &tenant(name)).expect("it has all tenants")
    }

    /// Writes a block into the bucket and its index.
    pub(crate) async fn add(&mut self, name: &str, data: &Data, deleted: &Deleted) -> Meta {
        self.written += 1;
        let ulid = Ulid::from_parts(NOW_MS.unsigned_abs(), u128::from(self.written));
        let meta = self.add_as(name, ulid, data, deleted).await;
        let indexed = IndexedBlock::of(&meta, NOW_MS / 1000);
        self.of(name).update_index(|index| index.add(indexed.clone())).await.expect("memory takes it");
        meta
    }

    /// Writes a block into the bucket; the index does not have it.
    pub(crate) async fn add_as(&mut self, name: &str, ulid: Ulid, data: &Data, deleted: &Deleted) -> Meta {
        let folder = SimFs::new(2);
        let fs: Arc<dyn FileSystem> = Arc::new(folder);
        let options = WriteOptions { max_segment_bytes: 2 << 10, postings_in_memory: 1 << 10 };
        let mut writer =
            BlockWriter::create(Arc::clone(&fs), Path::new("/b"), ulid, options).expect("memory");
        for (labels, chunks) in data {
            let chunks: Vec<Chunk> = chunks.iter().map(|samples| encode(samples)).collect();
            let new = chunks.iter().map(|c| NewChunk { range: c.range, encoding: c.encoding, data: &c.data });
            writer.add(labels, new).expect("it is in order");
        }
        // Every other block lists its files, as blocks of Mimir do; of others the bucket is asked.
        let thanos = self.written.is_multiple_of(2).then(Thanos::default);
        let compaction = Compaction::of_head(ulid);
        let said = Description { min_time: None, max_time: None, compaction, thanos };
        let (path, mut meta) = writer.finish(said).expect("memory takes it");
        let of_tenant = self.of(name);
        for file in
            (0..).map(segment_name).take_while(|file| fs.exists(&path.join(file))).chain(["index".to_owned()])
        {
            let bytes = read_file(&*fs, &path.join(&file), 1 << 30).expect("it was written");
            self.bucket.put(&of_tenant.file(ulid, &file), bytes.into()).await.expect("memory takes it");
        }
        if !deleted.is_empty() {
            let bytes = read_file(&*fs, &path.join("index"), 1 << 30).expect("it was written");
            let index =
                block::Index::open(Arc::new(block::InMemory::new("index", bytes))).await.expect("an index");
            let all = index.postings("", "").await.expect("an index");
            let stones = deleted.iter().filter_map(|(series, from, to)| {
                Some(Tombstone {
                    series: u64::from(all.get(*series)?.as_u32()),
                    range: TimeRange::new(*from, *to)?,
                })
            });
            let stones: Vec<Tombstone> = stones.collect();
            meta.stats.num_tombstones = stones.len() as u64;
            let name = of_tenant.file(ulid, "tombstones");
            self.bucket.put(&name, tombstones::encode(&stones).into()).await.expect("memory takes it");
        }
        self.bucket
            .put(&of_tenant.file(ulid, "meta.json"), meta.encode().into())
            .await
            .expect("memory takes it");
        meta
    }

    /// The blocks as a process that has just started reads them.
    pub(crate) fn blocks(&self, config: &[(&str, &str)]) -> Blocks {
        self.counted_blocks(config).0
    }

    /// The same, with their metrics.
    pub(crate) fn counted_blocks(&self, config: &[(&str, &str)]) -> (Blocks, Metrics) {
        let registry = Registry::new();
        let config: BlocksConfig = settings::section::with_values(config).expect("they are right");
        let deps = BlocksDeps {
            bucket: self.bucket.clone(),
            clock: Arc::new(self.clock.clone()),
            scope: Scope::new("test"),
            registry: registry.clone(),
            fs: Arc::clone(&self.fs),
            dir: "/headers".into(),
        };
        (Blocks::new(config, deps), Metrics(registry))
    }

    /// An API over ingesters and blocks.
    pub(crate) fn api(&self, ingesters: Vec<Arc<dyn IngesterRead>>, config: &[(&str, &str)]) -> Api {
        self.counted_api(ingesters, config).0
    }

    /// The same, with the metrics of its blocks.
    pub(crate) fn counted_api(
        &self,
        ingesters: Vec<Arc<dyn IngesterRead>>,
        config: &[(&str, &str)],
    ) -> (Api, Metrics) {
        let (blocks, metrics) = self.counted_blocks(&[]);
        let deps = Deps {
            ingesters: Arc::new(FixedIngesters::new(ingesters)),
            blocks: Some(blocks),
            limits: Overrides::fixed(QuerierLimits::default()),
            clock: Arc::new(self.clock.clone()) as Arc<dyn Clock>,
            scope: Scope::new("test"),
            registry: Registry::new(),
            fs: Arc::new(SimFs::new(3)),
            dir: "/querier".into(),
        };
        let config: QuerierConfig = settings::section::with_values(config).expect("they are right");
        let querier = Querier::build(config, deps);
        let router = querier.router().layer(TenantLayer::new(TenantResolver::single_tenant()));
        (Api { router }, metrics)
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// Metrics of blocks.
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// The value of a series, 0 where there is none.
    pub(crate) fn get(&self, series: &str) -> f64 {
        let text = self.0.encode(Format::Prometheus);
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or(0.0)
    }
}

/// Samples as a chunk.
pub(crate) fn encode(samples: &[(i64, f64)]) -> Chunk {
    let mut appender = XorAppender::new();
    for (at, value) in samples {
        appender.append(*at, *value).expect("there is room");
    }
    let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0).expect("samples are in order");
    Chunk { range, encoding: Encoding::Xor, data: appender.into_bytes().into() }
}

/// An API to ask.
pub(crate) struct Api {
    router: axum::Router,
}

impl Api {
    /// Status and body of the answer to a request below `/api/v1/`.
    pub(crate) async fn get(&self, path: &str) -> (u16, serde_json::Value) {
        let request = Request::get(format!("/api/v1/{path}")).body(Body::empty()).expect("it is right");
        let response = self.router.clone().oneshot(request).await.expect("it answers");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("it is whole").to_bytes();
        (status, serde_json::from_slice(&body).expect("it is JSON"))
    }

    /// The data of an answer that has to be a success.
    pub(crate) async fn data(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body["data"].clone()
    }
}

/// Text for a query string.
pub(crate) fn escape(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
