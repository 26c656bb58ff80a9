//! Files of blocks by pages: what has been fetched is kept for a while, pages that follow each other are one request.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use block::RangeRead;
use bytes::{Bytes, BytesMut};
use env::Clock;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::TenantId;
use parking_lot::Mutex;
use ulid::Ulid;

use super::lru::Lru;
use super::metrics::BlocksMetrics;

/// How many requests of one read are under way at a time.
const PARALLEL_READS: usize = 8;

/// What takes more than this part of the cache at once is not kept: it would push out everything else for little.
const LARGEST_PART: u64 = 8;

/// A file of a block. Nothing is shared between tenants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileKey {
    pub(super) tenant: TenantId,
    pub(super) block: Ulid,
    /// 0: the index; from 1 on: the segments.
    pub(super) file: u32,
}

/// Pages of files.
pub(super) struct PageCache {
    pages: Mutex<Lru<(FileKey, u64), Bytes>>,
    capacity: u64,
    clock: Arc<dyn Clock>,
    metrics: BlocksMetrics,
}

impl PageCache {
    /// Room for so many bytes.
    pub(super) fn new(capacity: u64, clock: Arc<dyn Clock>, metrics: BlocksMetrics) -> Arc<Self> {
        Arc::new(Self { pages: Mutex::new(Lru::new(capacity)), capacity, clock, metrics })
    }

    /// The pages that are there, in order.
    fn get(&self, key: &FileKey, numbers: Range<u64>) -> Vec<Option<Bytes>> {
        let now = self.clock.monotonic();
        let mut pages = self.pages.lock();
        let found: Vec<_> = numbers.map(|number| pages.get(&(key.clone(), number), now)).collect();
        drop(pages);
        let hits = found.iter().flatten().count() as u64;
        self.metrics.page_hits.inc_by(hits);
        self.metrics.page_misses.inc_by(found.len() as u64 - hits);
        found
    }

    /// Lets go all pages of a block.
    pub(super) fn forget(&self, tenant: &TenantId, block: Ulid) {
        let file = |file| FileKey { tenant: tenant.clone(), block, file };
        self.pages.lock().remove_range(&(file(0), 0), &(file(u32::MAX), u64::MAX));
    }

    fn insert(&self, key: &FileKey, number: u64, page: Bytes) {
        let now = self.clock.monotonic();
        let weight = page.len() as u64;
        let mut pages = self.pages.lock();
        pages.insert((key.clone(), number), page, weight, now);
        self.metrics.cache_bytes.set(i64::try_from(pages.weight()).unwrap_or(i64::MAX));
    }
}

/// A file that is read through the cache.
pub(super) struct PagedFile {
    file: Arc<dyn RangeRead>,
    key: FileKey,
    page_bytes: u64,
    cache: Arc<PageCache>,
}

impl PagedFile {
    /// `file` by pages of so many bytes.
    pub(super) fn new(
        file: Arc<dyn RangeRead>,
        key: FileKey,
        page_bytes: u64,
        cache: &Arc<PageCache>,
    ) -> Self {
        Self { file, key, page_bytes, cache: Arc::clone(cache) }
    }

    /// Fetches the pages of a run, and keeps them.
    async fn fetch(&self, run: Range<u64>) -> io::Result<Vec<Bytes>> {
        let (start, end) = (run.start * self.page_bytes, self.file.len().min(run.end * self.page_bytes));
        let bytes = self.file.read(start..end).await?;
        if bytes.len() as u64 != end - start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = usize::try_from(self.page_bytes).unwrap_or(usize::MAX);
        let alone = run.end - run.start == 1;
        // A page that goes must not keep those around it.
        let own = |page: &[u8]| if alone { bytes.clone() } else { Bytes::copy_from_slice(page) };
        let pages: Vec<Bytes> = bytes.chunks(size).map(own).collect();
        for (number, page) in run.zip(&pages) {
            self.cache.insert(&self.key, number, page.clone());
        }
        Ok(pages)
    }
}

/// The runs of pages that are missing, by their positions.
fn missing(pages: &[Option<Bytes>]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (position, _) in pages.iter().enumerate().filter(|(_, page)| page.is_none()) {
        match runs.last_mut().filter(|run| run.end == position) {
            Some(run) => run.end += 1,
            None => runs.push(position..position + 1),
        }
    }
    runs
}

#[async_trait]
impl RangeRead for PagedFile {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn len(&self) -> u64 {
        self.file.len()
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if range.end > self.file.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if range.end - range.start > self.cache.capacity / LARGEST_PART {
            return self.file.read(range).await;
        }
        let first = range.start / self.page_bytes;
        let mut pages = self.cache.get(&self.key, first..range.end.div_ceil(self.page_bytes));
        let runs = missing(&pages).into_iter().map(|run| async move {
            let numbers = first + run.start as u64..first + run.end as u64;
            Ok::<_, io::Error>((run.start, self.fetch(numbers).await?))
        });
        let mut fetched = stream::iter(runs.collect::<Vec<_>>()).buffered(PARALLEL_READS);
        while let Some((position, run)) = fetched.try_next().await? {
            for (place, page) in pages.iter_mut().skip(position).zip(run) {
                *place = Some(page);
            }
        }
        drop(fetched);
        let skipped = (range.start - first * self.page_bytes) as usize;
        let length = (range.end - range.start) as usize;
        if let [Some(page)] = pages.as_slice() {
            return Ok(page.slice(skipped..skipped + length));
        }
        let mut all = BytesMut::with_capacity(length + skipped);
        for page in pages.iter().flatten() {
            all.extend_from_slice(page);
        }
        Ok(all.freeze().slice(skipped..skipped + length))
    }
}
