//! Blocks of the bucket, read for queries: which there are (`catalog`), their headers (`opened`), the bytes that have been
//! fetched (`pages`, `disk`), selections in one (`selection`) and in all of them (`merge`), and labels (`names`).
//!
//! Blocks of which ingesters have everything are not read with them (`covered`).
//!
//! A block that is listed and cannot be read is an error. Blocks may overlap, and hold what ingesters hold, too: whoever
//! reads chunks takes each sample once.

mod catalog;
pub mod config;
mod covered;
mod disk;
mod lru;
mod merge;
mod metrics;
mod names;
mod opened;
mod outside;
mod pages;
mod reader;
mod seen;
mod selection;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bucket::{BackendKind, Bucket};
use env::{Clock, FileSystem, Scope};
use telemetry::{LogRateLimit, Registry};
use ulid::Ulid;

use self::catalog::Catalog;
use self::disk::DiskPages;
use self::metrics::BlocksMetrics;
use self::opened::{OpenBlocks, OpenDeps};

pub use self::config::BlocksConfig;
pub(crate) use self::reader::BlocksRead;
pub(crate) use self::seen::Seen;

/// The folders of headers, and of pages.
const HEADERS: &str = "headers";
const PAGES: &str = "pages";

/// A block is said not to be read once in this time.
const DOWNSAMPLED_LOG_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// What reading blocks needs from outside.
pub struct BlocksDeps {
    /// Where blocks are.
    pub bucket: Bucket,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where blocks are read.
    pub scope: Scope,
    /// Where metrics are registered.
    pub registry: Registry,
    /// Where files are.
    pub fs: Arc<dyn FileSystem>,
    /// The folder for headers of blocks and for what has been fetched of them; it is made where it is missing.
    pub dir: PathBuf,
}

/// The blocks of all tenants. Clones are the same.
#[derive(Clone)]
pub struct Blocks {
    inner: Arc<Inner>,
    /// Where it is noted what is read, if somebody wants to know.
    seen: Option<Seen>,
}

struct Inner {
    config: BlocksConfig,
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    scope: Scope,
    catalog: Catalog,
    open: OpenBlocks,
    metrics: BlocksMetrics,
    downsampled_log: LogRateLimit<Ulid>,
}

impl Blocks {
    /// The blocks in a bucket. Nothing is read yet.
    pub fn new(config: BlocksConfig, deps: BlocksDeps) -> Self {
        let BlocksDeps { bucket, clock, scope, registry, fs, dir } = deps;
        let metrics = BlocksMetrics::register(&registry);
        // Files need no copies on a disk.
        let is_local = matches!(bucket.config().backend, BackendKind::Filesystem | BackendKind::Memory);
        let disk = (!is_local && config.cache_disk.bytes() > 0).then(|| {
            let (fs, clock, dir) = (Arc::clone(&fs), Arc::clone(&clock), dir.join(PAGES));
            DiskPages::new(fs, clock, scope.clone(), dir, config.cache_disk.bytes(), metrics.clone())
        });
        let open = OpenDeps {
            clock: Arc::clone(&clock),
            fs,
            scope: scope.clone(),
            dir: dir.join(HEADERS),
            disk,
            metrics: metrics.clone(),
        };
        Self {
            inner: Arc::new(Inner {
                catalog: Catalog::new(
                    config.clone(),
                    bucket.config().index_refresh,
                    Arc::clone(&clock),
                    metrics.clone(),
                ),
                open: OpenBlocks::new(&config, open),
                downsampled_log: LogRateLimit::new(DOWNSAMPLED_LOG_INTERVAL),
                config,
                bucket,
                clock,
                scope,
                metrics,
            }),
            seen: None,
        }
    }

    /// The same blocks, to be read once, and what is noted then.
    pub(crate) fn noted(&self) -> (Self, Seen) {
        let seen = Seen::default();
        (Self { inner: Arc::clone(&self.inner), seen: Some(seen.clone()) }, seen)
    }
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("bucket", &self.inner.bucket.name()).finish_non_exhaustive()
    }
}
