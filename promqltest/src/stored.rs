//! Data of scripts behind a querier: in blocks of a bucket, and in an ingester.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use block::meta::{Compaction, Thanos};
use block::{BlockWriter, Description, Meta, NewChunk, WriteOptions, chunks::segment_name};
use bucket::{Backing, Bucket, BucketConfig, BucketDeps, IndexedBlock, TenantBucket};
use env::{Clock, FileSystem, ManualClock, Scope, SeededRng, SimFs, read_file};
use model::{Labels, TenantId};
use promql::{PreparedQuery, SeriesSource};
use proto::Chunk;
use querier::{
    ApiError, Blocks, BlocksConfig, BlocksDeps, Deps, FixedIngesters, Querier, QuerierConfig, QuerierLimits,
};
use settings::Overrides;
use telemetry::Registry;
use ulid::Ulid;

use crate::chunks::encode;
use crate::holder::Holder;
use testseries::{Loaded, Storage};

/// How the data of scripts is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// All of it in blocks, one behind the other.
    InBlocks,
    /// The older part in blocks, the newer part in an ingester, and what is between in both.
    HalfInBlocks,
    /// All of it in blocks of two replicas, which overlap, begin and end at other times and have other chunks; floats
    /// are missing here and there in one or the other.
    Replicas,
}

/// About how many blocks the data of one replica makes.
const BLOCKS: i64 = 7;

/// No block is shorter than this, in milliseconds.
const SHORTEST_MS: i64 = 60_000;

/// The largest file that is copied.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The time at which queries are asked, in milliseconds since the Unix epoch; scripts have times of their own.
const NOW_MS: i64 = 1_700_000_000_000;

/// The folder that blocks are written into.
const FOLDER: &str = "/blocks";

/// Data that can be selected from.
pub(crate) struct Stored {
    runtime: tokio::runtime::Runtime,
    querier: Querier,
    tenant: TenantId,
}

type Failed = Box<dyn Error + Send + Sync>;

/// Series with their samples.
type Series = Vec<(Labels, Vec<Loaded>)>;

impl Stored {
    /// What has been loaded, spread like this.
    pub(crate) fn new(arrangement: Arrangement, storage: &Storage) -> Result<Self, String> {
        Self::spread(arrangement, storage).map_err(|error| error.to_string())
    }

    fn spread(arrangement: Arrangement, storage: &Storage) -> Result<Self, Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tenant = TenantId::anonymous();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW_MS));
        let fs: Arc<dyn FileSystem> = Arc::new(SimFs::new(1));
        let scope = Scope::simulated("promqltest");
        let bucket = Bucket::new(
            Backing::memory(),
            &BucketConfig::default(),
            BucketDeps {
                clock: Arc::clone(&clock),
                rng: Arc::new(SeededRng::new(1)),
                registry: Registry::new(),
            },
        );
        let all: Series =
            storage.written().map(|(labels, samples)| (labels.clone(), samples.to_vec())).collect();
        let (replicas, held) = spread(arrangement, &all);
        let mut writer = Writer { fs: Arc::clone(&fs), written: 0, metas: Vec::new() };
        for (shift, (replica, most)) in (0..).zip(replicas) {
            writer.write(&replica, shift, most)?;
        }
        let of_tenant = TenantBucket::new(&bucket, &tenant).ok_or("the bucket has all tenants")?;
        runtime.block_on(upload(&*fs, &of_tenant, &writer.metas))?;
        let blocks = Blocks::new(
            BlocksConfig::default(),
            BlocksDeps {
                bucket,
                clock: Arc::clone(&clock),
                scope: scope.clone(),
                registry: Registry::new(),
                fs: Arc::clone(&fs),
                dir: "/headers".into(),
            },
        );
        let querier = Querier::build(
            QuerierConfig::default(),
            Deps {
                ingesters: Arc::new(FixedIngesters::new(vec![Arc::new(held)])),
                blocks: Some(blocks),
                limits: Overrides::fixed(QuerierLimits::default()),
                clock,
                scope,
                registry: Registry::new(),
                fs,
                dir: "/querier".into(),
            },
        );
        Ok(Self { runtime, querier, tenant })
    }

    /// What a query selects.
    pub(crate) fn select(
        &self,
        query: &PreparedQuery,
    ) -> Result<Box<dyn SeriesSource + Send + Sync>, ApiError> {
        self.runtime.block_on(self.querier.select(&self.tenant, query))
    }
}

/// What goes into the blocks of each replica, with the most samples of a chunk, and what an ingester has.
fn spread(arrangement: Arrangement, all: &Series) -> (Vec<(Series, u16)>, Holder) {
    let part = |keep: &dyn Fn(usize, &Loaded) -> bool| -> Series {
        let samples = |samples: &[Loaded]| -> Vec<Loaded> {
            samples
                .iter()
                .enumerate()
                .filter(|(i, sample)| keep(*i, sample))
                .map(|(_, sample)| sample.clone())
                .collect()
        };
        all.iter()
            .map(|(labels, own)| (labels.clone(), samples(own)))
            .filter(|(_, own)| !own.is_empty())
            .collect()
    };
    match arrangement {
        Arrangement::InBlocks => (vec![(part(&|_, _| true), 120)], Holder::default()),
        Arrangement::HalfInBlocks => {
            let (first, last) = span(all);
            let at = |percent: i64| first + (last - first) / 100 * percent;
            let older = part(&|_, sample| sample.timestamp_ms <= at(60));
            (vec![(older, 120)], Holder::new(all, at(40)))
        }
        Arrangement::Replicas => {
            let is_float = |sample: &Loaded| matches!(sample.value, testseries::LoadedValue::Float(_));
            let one = part(&|i, sample| i % 5 != 3 || !is_float(sample));
            let other = part(&|i, sample| i % 7 != 2 && i % 5 != 1 || i % 5 == 3 || !is_float(sample));
            (vec![(one, 120), (other, 50)], Holder::default())
        }
    }
}

/// From the first to the last sample.
fn span(all: &Series) -> (i64, i64) {
    let times = || all.iter().flat_map(|(_, samples)| samples).map(|sample| sample.timestamp_ms);
    (times().min().unwrap_or(0), times().max().unwrap_or(0))
}

/// Writes blocks.
struct Writer {
    fs: Arc<dyn FileSystem>,
    written: u64,
    metas: Vec<Meta>,
}

impl Writer {
    /// Writes what a replica has; its blocks begin `shift` quarters of their length later.
    fn write(&mut self, series: &Series, shift: i64, most: u16) -> Result<(), Failed> {
        let (first, last) = span(series);
        let length = ((last - first) / BLOCKS).max(SHORTEST_MS);
        let number = |at: i64| (at - shift * length / 4).div_euclid(length);
        // By block, in order of labels.
        let mut blocks: BTreeMap<i64, Vec<(&Labels, Vec<Chunk>)>> = BTreeMap::new();
        for (labels, samples) in series {
            let chunks = encode(samples, most, number)?;
            for own in chunks.chunk_by(|a, b| number(a.range.start_ms()) == number(b.range.start_ms())) {
                let Some(first) = own.first() else { continue };
                blocks.entry(number(first.range.start_ms())).or_default().push((labels, own.to_vec()));
            }
        }
        for series in blocks.into_values() {
            self.written += 1;
            let ulid = Ulid::from_parts(NOW_MS.unsigned_abs(), u128::from(self.written));
            let mut writer =
                BlockWriter::create(Arc::clone(&self.fs), Path::new(FOLDER), ulid, WriteOptions::default())?;
            for (labels, chunks) in &series {
                let chunks = chunks.iter();
                writer.add(
                    labels,
                    chunks.map(|chunk| NewChunk {
                        range: chunk.range,
                        encoding: chunk.encoding,
                        data: &chunk.data,
                    }),
                )?;
            }
            let compaction = Compaction::of_head(ulid);
            let thanos = Some(Thanos::default());
            let (_, meta) =
                writer.finish(Description { min_time: None, max_time: None, compaction, thanos })?;
            self.metas.push(meta);
        }
        Ok(())
    }
}

/// Copies blocks into a bucket and its index.
async fn upload(fs: &dyn FileSystem, bucket: &TenantBucket, metas: &[Meta]) -> Result<(), Failed> {
    for meta in metas {
        let folder = Path::new(FOLDER).join(meta.ulid.to_string());
        let segments = (0..).map(segment_name).take_while(|name| fs.exists(&folder.join(name)));
        for name in segments.chain(["index".to_owned(), "meta.json".to_owned()]) {
            let content = read_file(fs, &folder.join(&name), MAX_FILE_BYTES)?;
            bucket.bucket().put(&bucket.file(meta.ulid, &name), content.into()).await?;
        }
    }
    bucket
        .update_index(|index| {
            for meta in metas {
                index.add(IndexedBlock::of(meta, NOW_MS / 1000));
            }
            true
        })
        .await?;
    Ok(())
}
