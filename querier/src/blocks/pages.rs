//! Files of blocks by pages: what has been fetched is kept for a while, pages that follow each other are one request, and
//! whoever needs a page that another one is fetching waits for it.

use std::collections::BTreeMap;
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
use tokio::sync::watch;
use ulid::Ulid;

use super::disk::DiskPages;
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

/// A page, by its file and its number.
pub(super) type PageKey = (FileKey, u64);

/// Pages of files.
pub(super) struct PageCache {
    pages: Mutex<Lru<PageKey, Bytes>>,
    /// Pages that are being fetched; whoever waits for one is told when that has ended, however it did.
    fetching: Mutex<BTreeMap<PageKey, watch::Receiver<()>>>,
    capacity: u64,
    /// What has been fetched, also by processes before this one.
    disk: Option<DiskPages>,
    clock: Arc<dyn Clock>,
    metrics: BlocksMetrics,
}

impl PageCache {
    /// Room for so many bytes, before a disk.
    pub(super) fn new(
        capacity: u64,
        disk: Option<DiskPages>,
        clock: Arc<dyn Clock>,
        metrics: BlocksMetrics,
    ) -> Arc<Self> {
        let (pages, fetching) = (Mutex::new(Lru::new(capacity)), Mutex::default());
        Arc::new(Self { pages, fetching, capacity, disk, clock, metrics })
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

    /// Says that those of the pages are being fetched that nobody else fetches; and who to wait for, for the others.
    fn claim(
        &self,
        key: &FileKey,
        numbers: impl Iterator<Item = u64>,
    ) -> (Claim<'_>, Vec<watch::Receiver<()>>) {
        let (ended, told) = watch::channel(());
        let (mut own, mut others) = (Vec::new(), Vec::new());
        let mut fetching = self.fetching.lock();
        for number in numbers {
            let page = (key.clone(), number);
            match fetching.get(&page) {
                Some(other) => others.push(other.clone()),
                None => {
                    fetching.insert(page.clone(), told.clone());
                    own.push(page);
                }
            }
        }
        (Claim { cache: self, pages: own, _ended: ended }, others)
    }

    /// Lets go all pages of a block.
    pub(super) async fn forget(&self, tenant: &TenantId, block: Ulid) {
        let file = |file| FileKey { tenant: tenant.clone(), block, file };
        self.pages.lock().remove_range(&(file(0), 0), &(file(u32::MAX), u64::MAX));
        if let Some(disk) = &self.disk {
            disk.forget(tenant, block).await;
        }
    }

    fn insert(&self, key: &FileKey, number: u64, page: Bytes) {
        let now = self.clock.monotonic();
        let weight = page.len() as u64;
        let mut pages = self.pages.lock();
        pages.insert((key.clone(), number), page, weight, now);
        self.metrics.cache_bytes.set(i64::try_from(pages.weight()).unwrap_or(i64::MAX));
    }
}

/// Pages that are being fetched by whoever has this. It goes with the fetching, done or not.
struct Claim<'a> {
    cache: &'a PageCache,
    pages: Vec<PageKey>,
    _ended: watch::Sender<()>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut fetching = self.cache.fetching.lock();
        for page in &self.pages {
            fetching.remove(page);
        }
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

    /// Gives all that are missing of the pages from `first` on. Nobody is waited for twice: what others did not bring is
    /// fetched then.
    async fn fill(&self, first: u64, pages: &mut [Option<Bytes>]) -> io::Result<()> {
        let (claim, others) = self.cache.claim(&self.key, missing(first, pages));
        let own = claim.pages.iter().map(|(_, number)| *number);
        if let Some(disk) = &self.cache.disk {
            let found = disk.get(&self.key, own.clone()).await;
            // One of another length is of a file that was cut short, or has been mended since.
            let sound =
                found.into_iter().filter(|(number, page)| page.len() as u64 == self.page_length(*number));
            for (number, page) in sound {
                self.cache.insert(&self.key, number, page.clone());
                if let Some(place) = pages.get_mut((number - first) as usize) {
                    *place = Some(page);
                }
            }
        }
        let is_missing = |number: &u64| matches!(pages.get((*number - first) as usize), Some(None));
        let left = runs(own.filter(is_missing));
        self.fetch_runs(left, first, pages).await?;
        drop(claim);
        if others.is_empty() {
            return Ok(());
        }
        self.cache.metrics.page_waits.inc_by(others.len() as u64);
        for mut other in others {
            // It says nothing: it goes when the fetching has ended.
            let _ = other.changed().await;
        }
        let late: Vec<u64> = missing(first, pages).collect();
        for number in late {
            let found = self.cache.get(&self.key, number..number + 1).pop().flatten();
            if let Some(place) = pages.get_mut((number - first) as usize) {
                *place = found;
            }
        }
        let left = runs(missing(first, pages));
        self.fetch_runs(left, first, pages).await
    }

    /// How many bytes a page has: the last one may be shorter.
    fn page_length(&self, number: u64) -> u64 {
        let start = number * self.page_bytes;
        self.file.len().min(start + self.page_bytes).saturating_sub(start)
    }

    /// Fetches runs of pages into their places.
    async fn fetch_runs(
        &self,
        runs: Vec<Range<u64>>,
        first: u64,
        pages: &mut [Option<Bytes>],
    ) -> io::Result<()> {
        let fetching = runs.into_iter().map(|run| async move {
            let start = run.start;
            Ok::<_, io::Error>((start, self.fetch(run).await?))
        });
        let mut fetched = stream::iter(fetching.collect::<Vec<_>>()).buffered(PARALLEL_READS);
        while let Some((start, run)) = fetched.try_next().await? {
            for (place, page) in pages.iter_mut().skip((start - first) as usize).zip(run) {
                *place = Some(page);
            }
        }
        Ok(())
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
        if let Some(disk) = &self.cache.disk {
            disk.put(&self.key, run.start, &pages);
        }
        for (number, page) in run.zip(&pages) {
            self.cache.insert(&self.key, number, page.clone());
        }
        Ok(pages)
    }
}

/// Numbers that ascend, as runs of those that follow each other.
fn runs(numbers: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        match runs.last_mut().filter(|run| run.end == number) {
            Some(run) => run.end += 1,
            None => runs.push(number..number + 1),
        }
    }
    runs
}

/// The numbers of pages that are missing, of those from `first` on.
fn missing(first: u64, pages: &[Option<Bytes>]) -> impl Iterator<Item = u64> {
    (first..).zip(pages).filter(|(_, page)| page.is_none()).map(|(number, _)| number)
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
        if pages.iter().any(Option::is_none) {
            self.fill(first, &mut pages).await?;
        }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use env::ManualClock;
    use futures::future::join_all;
    use telemetry::Registry;
    use tokio::sync::Semaphore;

    use super::*;

    const PAGE: u64 = 10;

    /// A file whose reads wait for permission, and are counted; those after the first `good` ones fail.
    struct Slow {
        permits: Semaphore,
        reads: AtomicU64,
        good: u64,
    }

    #[async_trait]
    impl RangeRead for Slow {
        fn name(&self) -> &str {
            "slow"
        }

        fn len(&self) -> u64 {
            95
        }

        async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
            let number = self.reads.fetch_add(1, Ordering::SeqCst);
            self.permits.acquire().await.map_err(io::Error::other)?.forget();
            if number >= self.good {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(range.map(|i| i as u8).collect())
        }
    }

    fn cached(file: &Arc<Slow>, cache: &Arc<PageCache>) -> PagedFile {
        let tenant = TenantId::new("t").expect("it is right");
        let file: Arc<dyn RangeRead> = file.clone();
        PagedFile::new(file, FileKey { tenant, block: Ulid(1), file: 1 }, PAGE, cache)
    }

    fn slow(good: u64) -> (Arc<Slow>, Arc<PageCache>) {
        let cache = PageCache::new(
            10_000,
            None,
            Arc::new(ManualClock::new(0)),
            BlocksMetrics::register(&Registry::new()),
        );
        (Arc::new(Slow { permits: Semaphore::new(0), reads: AtomicU64::new(0), good }), cache)
    }

    fn bytes(range: Range<u64>) -> Vec<u8> {
        range.map(|i| i as u8).collect()
    }

    #[tokio::test]
    async fn pages_are_fetched_once_for_all_who_need_them() {
        let (file, cache) = slow(u64::MAX);
        let ranges = [0..95, 12..38, 5..6, 40..90, 33..34];
        let files: Vec<PagedFile> = ranges.iter().map(|_| cached(&file, &cache)).collect();
        let reads = join_all(files.iter().zip(&ranges).map(|(file, range)| file.read(range.clone())));
        let allow = async {
            tokio::task::yield_now().await;
            file.permits.add_permits(100);
        };
        let (read, ()) = tokio::join!(reads, allow);
        for (read, range) in read.into_iter().zip(ranges) {
            assert_eq!(read.expect("it was allowed"), bytes(range));
        }
        assert_eq!(file.reads.load(Ordering::SeqCst), 1);
        assert_eq!(cache.metrics.page_waits.get(), 3 + 1 + 5 + 1);
        assert!(cache.fetching.lock().is_empty());
    }

    #[tokio::test]
    async fn what_another_could_not_fetch_is_fetched_anew() {
        let (file, cache) = slow(u64::MAX);
        let (first, second) = (cached(&file, &cache), cached(&file, &cache));
        // Whoever fetched first goes away, ...
        let mut given_up = Box::pin(first.read(0..30));
        assert!(futures::poll!(&mut given_up).is_pending());
        let mut waiting = Box::pin(second.read(10..50));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(given_up);
        file.permits.add_permits(100);
        assert_eq!(waiting.await.expect("it was allowed"), bytes(10..50));
        // ... or fails.
        let (file, cache) = slow(0);
        let (first, second) = (cached(&file, &cache), cached(&file, &cache));
        let allow = async { file.permits.add_permits(100) };
        let (one, other, ()) = tokio::join!(first.read(0..30), second.read(0..30), allow);
        assert!(one.is_err() && other.is_err());
        assert_eq!(file.reads.load(Ordering::SeqCst), 2);
        assert!(cache.fetching.lock().is_empty());
    }
}
