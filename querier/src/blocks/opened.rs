//! Blocks that are open: their headers in memory as long as they are used, on local disk so that they are not fetched
//! again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use block::chunks::segment_name;
use block::{BlockError, ChunkReader, Index, Meta, RangeRead, tombstones};
use bucket::{BlockObject, BucketError, TenantBucket, TenantBucketError};
use bytes::Bytes;
use env::{Clock, FileSystem, OpenOptions, Scope};
use model::{TenantId, TimeRange};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;
use tokio::sync::OnceCell;
use ulid::Ulid;

use super::config::BlocksConfig;
use super::disk::DiskPages;
use super::lru::Lru;
use super::metrics::{BlocksMetrics, HeaderLabels};
use super::pages::{FileKey, PageCache, PagedFile};

/// Pages of indexes: postings and series of a selection are a few KiB here and there.
const INDEX_PAGE_BYTES: u64 = 16 << 10;

/// Pages of segments: chunks of a selection follow each other.
const SEGMENT_PAGE_BYTES: u64 = 64 << 10;

/// The largest header that is read from disk.
const MAX_HEADER_BYTES: u64 = 4 << 30;

/// The most segments that a block has: 8 TiB of chunks.
const MAX_SEGMENTS: u32 = 1 << 14;

/// Why a block cannot be read.
#[derive(Debug, ThisError)]
pub(super) enum OpenError {
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A file of the block could not be asked about, or `meta.json` is wrong.
    #[error(transparent)]
    Files(#[from] TenantBucketError),
    /// What is in it is wrong.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// It says of itself that it is another one.
    #[error("meta.json is that of block {0}")]
    Another(Ulid),
}

impl OpenError {
    /// Whether a file of it is not there.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Bucket(error) => error.kind == bucket::ErrorKind::NotFound,
            Self::Files(error) => error.is_not_found(),
            Self::Block(BlockError::Read { source, .. }) => source.kind() == std::io::ErrorKind::NotFound,
            Self::Block(_) | Self::Another(_) => false,
        }
    }
}

/// A block that can be read.
pub(super) struct OpenBlock {
    pub(super) meta: Meta,
    pub(super) index: Index,
    pub(super) chunks: ChunkReader,
    /// What has been deleted, by the series.
    pub(super) deleted: BTreeMap<u64, Vec<TimeRange>>,
}

impl OpenBlock {
    fn weight(&self) -> u64 {
        let ranges: usize = self.deleted.values().map(|ranges| 64 + 16 * ranges.len()).sum();
        (self.index.heap_bytes() + ranges + 4096) as u64
    }
}

/// What has to be known of a block to open it, besides its header.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Summary {
    meta: Meta,
    index_bytes: u64,
    segment_bytes: Vec<u64>,
}

type Key = (TenantId, Ulid);
type Opening = Arc<OnceCell<Arc<OpenBlock>>>;

/// Open blocks, by tenant and name.
pub(super) struct OpenBlocks {
    config: BlocksConfig,
    clock: Arc<dyn Clock>,
    fs: Arc<dyn FileSystem>,
    scope: Scope,
    dir: PathBuf,
    cache: Arc<PageCache>,
    metrics: BlocksMetrics,
    open: Mutex<Lru<Key, Arc<OpenBlock>>>,
    opening: Mutex<BTreeMap<Key, Opening>>,
    disk_bytes: AtomicU64,
}

/// What open blocks need of their surroundings.
pub(super) struct OpenDeps {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) scope: Scope,
    pub(super) dir: PathBuf,
    pub(super) disk: Option<DiskPages>,
    pub(super) metrics: BlocksMetrics,
}

impl OpenBlocks {
    pub(super) fn new(config: &BlocksConfig, deps: OpenDeps) -> Self {
        let OpenDeps { clock, fs, scope, dir, disk, metrics } = deps;
        let cache = PageCache::new(config.cache_memory.bytes(), disk, Arc::clone(&clock), metrics.clone());
        let on_disk = disk_bytes(&*fs, &dir);
        metrics.header_disk_bytes.set(i64::try_from(on_disk).unwrap_or(i64::MAX));
        Self {
            open: Mutex::new(Lru::new(config.header_memory.bytes())),
            opening: Mutex::default(),
            config: config.clone(),
            clock,
            fs,
            scope,
            dir,
            cache,
            metrics,
            disk_bytes: AtomicU64::new(on_disk),
        }
    }

    /// The block, opened where it is not.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) async fn get(&self, bucket: &TenantBucket, id: Ulid) -> Result<Arc<OpenBlock>, OpenError> {
        let key = (bucket.tenant().clone(), id);
        let now = self.clock.monotonic();
        let found = {
            let mut open = self.open.lock();
            open.remove_unused_since(now.saturating_sub(self.config.header_idle));
            open.get(&key, now)
        };
        if let Some(block) = found {
            self.opened_from("memory");
            return Ok(block);
        }
        let opening = Arc::clone(self.opening.lock().entry(key.clone()).or_default());
        let opened = opening.get_or_try_init(|| self.open(bucket, id)).await.cloned();
        self.opening.lock().remove(&key);
        let block = opened?;
        let mut open = self.open.lock();
        open.insert(key, Arc::clone(&block), block.weight(), self.clock.monotonic());
        self.metrics.header_bytes.set(i64::try_from(open.weight()).unwrap_or(i64::MAX));
        Ok(block)
    }

    fn opened_from(&self, from: &'static str) {
        self.metrics.headers.get_or_create(&HeaderLabels { from }).inc();
    }

    async fn open(&self, bucket: &TenantBucket, id: Ulid) -> Result<Arc<OpenBlock>, OpenError> {
        if let Some((summary, header)) = self.saved(bucket.tenant(), id).await {
            let file = self.paged(bucket, id, 0, "index", summary.index_bytes);
            // What is damaged on disk is fetched again.
            if let Ok(index) = Index::open_with_header(file, &header) {
                self.opened_from("disk");
                return Ok(Arc::new(self.assemble(bucket, summary, index).await?));
            }
        }
        let meta = bucket.meta(id).await?;
        if meta.ulid != id {
            return Err(OpenError::Another(meta.ulid));
        }
        let summary = self.lengths(bucket, meta).await?;
        let file = self.paged(bucket, id, 0, "index", summary.index_bytes);
        let index = Index::open_as(file, summary.meta.index_version()).await?;
        self.save(bucket.tenant(), &summary, &index).await;
        self.opened_from("bucket");
        Ok(Arc::new(self.assemble(bucket, summary, index).await?))
    }

    /// How long the files of a block are: `meta.json` says so, or the bucket.
    async fn lengths(&self, bucket: &TenantBucket, meta: Meta) -> Result<Summary, OpenError> {
        let id = meta.ulid;
        let listed = meta.thanos.as_ref().map(block::meta::Thanos::files).unwrap_or_default();
        let said =
            |name: &str| listed.iter().find(|file| file.rel_path == name).and_then(|file| file.size_bytes);
        let index_bytes = match said("index") {
            Some(bytes) => bytes,
            None => bucket.bucket().head(&bucket.file(id, "index")).await?.bytes,
        };
        let mut segment_bytes = Vec::new();
        for name in (0..MAX_SEGMENTS).map(segment_name) {
            if let Some(bytes) = said(&name) {
                segment_bytes.push(bytes);
                continue;
            }
            if !segment_bytes.is_empty() && listed.iter().any(|file| file.rel_path.starts_with("chunks/")) {
                break;
            }
            match bucket.bucket().head(&bucket.file(id, &name)).await {
                Ok(found) => segment_bytes.push(found.bytes),
                Err(error) if error.kind == bucket::ErrorKind::NotFound => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Summary { meta, index_bytes, segment_bytes })
    }

    fn paged(
        &self,
        bucket: &TenantBucket,
        block: Ulid,
        file: u32,
        name: &str,
        bytes: u64,
    ) -> Arc<dyn RangeRead> {
        let object = BlockObject::with_length(bucket.bucket().clone(), bucket.file(block, name), name, bytes);
        let key = FileKey { tenant: bucket.tenant().clone(), block, file };
        let page_bytes = if file == 0 { INDEX_PAGE_BYTES } else { SEGMENT_PAGE_BYTES };
        Arc::new(PagedFile::new(Arc::new(object), key, page_bytes, &self.cache))
    }

    async fn assemble(
        &self,
        bucket: &TenantBucket,
        summary: Summary,
        index: Index,
    ) -> Result<OpenBlock, OpenError> {
        let Summary { meta, segment_bytes, .. } = summary;
        let segments = (0..).zip(&segment_bytes);
        let segments = segments.map(|(segment, bytes)| {
            self.paged(bucket, meta.ulid, segment + 1, &segment_name(segment), *bytes)
        });
        let chunks = ChunkReader::of_segments(segments.collect());
        let mut deleted = BTreeMap::<u64, Vec<TimeRange>>::new();
        if meta.may_have_tombstones() {
            let object = bucket.file(meta.ulid, tombstones::FILE);
            let stones = match bucket.bucket().get(&object, tombstones::MAX_TOMBSTONES_BYTES).await {
                Ok(found) => tombstones::parse(tombstones::FILE, &found.bytes)?,
                Err(error) if error.kind == bucket::ErrorKind::NotFound && !meta.must_have_tombstones() => {
                    Vec::new()
                }
                Err(error) => return Err(error.into()),
            };
            for stone in stones {
                deleted.entry(stone.series).or_default().push(stone.range);
            }
        }
        Ok(OpenBlock { meta, index, chunks, deleted })
    }

    fn folder(&self, tenant: &TenantId) -> PathBuf {
        self.dir.join(tenant.as_str())
    }

    /// What is on disk of a block: nothing where it is not, or cannot be read.
    async fn saved(&self, tenant: &TenantId, id: Ulid) -> Option<(Summary, Bytes)> {
        let (fs, path) = (Arc::clone(&self.fs), self.folder(tenant).join(id.to_string()));
        let read = self.scope.run_blocking(move || env::read_file(&*fs, &path, MAX_HEADER_BYTES).ok()).await;
        let bytes = Bytes::from(read.ok()??);
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (json, header) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let (checksum, header) = header.split_first_chunk::<4>()?;
        if u32::from_be_bytes(*checksum) != crc32c::crc32c(json) {
            return None;
        }
        let summary: Summary = serde_json::from_slice(json).ok()?;
        (summary.meta.ulid == id).then(|| (summary, bytes.slice_ref(header)))
    }

    /// Writes a header to disk, if there is room. Without it the block is read all the same.
    async fn save(&self, tenant: &TenantId, summary: &Summary, index: &Index) {
        let json = serde_json::to_vec(summary).expect("numbers and texts are JSON");
        let Ok(length) = u32::try_from(json.len()) else { return };
        let checksum = crc32c::crc32c(&json);
        let bytes = [&length.to_be_bytes()[..], &json, &checksum.to_be_bytes(), &index.header()].concat();
        let more = bytes.len() as u64;
        if self.disk_bytes.fetch_add(more, Ordering::Relaxed) + more > self.config.header_disk.bytes() {
            self.disk_bytes.fetch_sub(more, Ordering::Relaxed);
            return;
        }
        let (fs, folder, id) = (Arc::clone(&self.fs), self.folder(tenant), summary.meta.ulid);
        let written = self.scope.run_blocking(move || {
            fs.create_dir_all(&folder)?;
            env::write_file_durable(&*fs, &folder.join(id.to_string()), &bytes)
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.disk_bytes.fetch_sub(more, Ordering::Relaxed);
                tracing::warn!(%tenant, block = %id, %error, "the header of a block is not kept on disk");
            }
            Err(_) => {}
        }
        self.show_disk();
    }

    fn show_disk(&self) {
        let bytes = self.disk_bytes.load(Ordering::Relaxed);
        self.metrics.header_disk_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Lets go what is known of a block that could not be read: whoever reads it next begins anew.
    pub(super) async fn doubt(&self, tenant: &TenantId, id: Ulid) {
        self.open.lock().remove(&(tenant.clone(), id));
        self.cache.forget(tenant, id).await;
        let (fs, path) = (Arc::clone(&self.fs), self.folder(tenant).join(id.to_string()));
        let removed = self.scope.run_blocking(move || {
            let length = fs.open(&path, OpenOptions::READ).and_then(|file| file.len()).unwrap_or(0);
            fs.remove_file(&path).map_or(0, |()| length)
        });
        self.freed(removed.await.unwrap_or(0));
    }

    fn freed(&self, bytes: u64) {
        let less = |all: u64| Some(all.saturating_sub(bytes));
        let _ = self.disk_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.show_disk();
    }

    /// Removes the headers of a tenant's blocks from disk that are not in `there`.
    pub(super) async fn forget_others(&self, tenant: &TenantId, there: Vec<Ulid>) {
        let (fs, folder) = (Arc::clone(&self.fs), self.folder(tenant));
        let removed = self.scope.run_blocking(move || {
            let mut removed = 0;
            let entries =
                if fs.exists(&folder) { fs.read_dir(&folder).unwrap_or_default() } else { Vec::new() };
            for entry in entries {
                let listed = Ulid::from_string(&entry.name).is_ok_and(|id| there.contains(&id));
                if !listed && fs.remove_file(&folder.join(&entry.name)).is_ok() {
                    removed += entry.len;
                }
            }
            removed
        });
        self.freed(removed.await.unwrap_or(0));
    }
}

/// How many bytes the files in the folders of a folder have.
fn disk_bytes(fs: &dyn FileSystem, dir: &std::path::Path) -> u64 {
    let entries = |path: &std::path::Path| {
        if fs.exists(path) { fs.read_dir(path).unwrap_or_default() } else { Vec::new() }
    };
    let folders = entries(dir).into_iter().filter(|entry| entry.is_dir);
    folders.flat_map(|folder| entries(&dir.join(folder.name))).map(|entry| entry.len).sum()
}
