//! Pages on local disk: they are fetched once, also for the process that comes after this one.
//!
//! ```text
//! <folder>/<tenant>.<block>.<file>.<number>    CRC-32C of the page, big endian, then the page
//! ```
//!
//! Nothing depends on them: what is damaged, or cannot be written, is fetched again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use env::{Clock, FileSystem, OpenOptions, Scope};
use model::TenantId;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};
use ulid::Ulid;

use super::lru::Lru;
use super::metrics::BlocksMetrics;
use super::pages::{FileKey, PageKey};

/// So many runs of pages are written at the same time; what is fetched while all of them are busy is not kept.
const PARALLEL_WRITES: usize = 8;

/// The largest page.
const MAX_PAGE_BYTES: u64 = 1 << 20;

const CHECKSUM_BYTES: usize = 4;

/// Pages in a folder, up to a number of bytes; those go first that have not been used for longest.
pub(super) struct DiskPages {
    inner: Arc<Inner>,
    scope: Scope,
    writes: Arc<Semaphore>,
    /// There, once it is known what an earlier process left.
    found: OnceCell<()>,
}

struct Inner {
    fs: Arc<dyn FileSystem>,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    kept: Mutex<Lru<PageKey, ()>>,
    metrics: BlocksMetrics,
}

impl DiskPages {
    /// Pages in `folder`, of at most so many bytes together. Those of an earlier process are looked
    /// for when somebody asks for some.
    pub(super) fn new(
        fs: Arc<dyn FileSystem>,
        clock: Arc<dyn Clock>,
        scope: Scope,
        folder: PathBuf,
        capacity: u64,
        metrics: BlocksMetrics,
    ) -> Self {
        let inner = Arc::new(Inner { fs, clock, folder, kept: Mutex::new(Lru::new(capacity)), metrics });
        Self { inner, scope, writes: Arc::new(Semaphore::new(PARALLEL_WRITES)), found: OnceCell::new() }
    }

    /// Looks, once, for what an earlier process left.
    async fn find(&self) {
        let find = async {
            let inner = Arc::clone(&self.inner);
            // Where it does not come to its end, the process is ending.
            let _ = self.scope.run_blocking(move || inner.find()).await;
        };
        self.found.get_or_init(|| find).await;
    }

    /// Those of the pages that are there, with their numbers.
    pub(super) async fn get(&self, file: &FileKey, numbers: impl Iterator<Item = u64>) -> Vec<(u64, Bytes)> {
        self.find().await;
        let now = self.inner.clock.monotonic();
        let wanted: Vec<PageKey> = {
            let mut kept = self.inner.kept.lock();
            let pages = numbers.map(|number| (file.clone(), number));
            pages.filter(|page| kept.get(page, now).is_some()).collect()
        };
        if wanted.is_empty() {
            return Vec::new();
        }
        let inner = Arc::clone(&self.inner);
        let read = move || {
            let page = |page: PageKey| inner.read(&page).map(|bytes| (page.1, bytes));
            wanted.into_iter().filter_map(page).collect::<Vec<_>>()
        };
        let read = self.scope.run_blocking(read).await.unwrap_or_default();
        self.inner.metrics.page_disk_hits.inc_by(read.len() as u64);
        read
    }

    /// Keeps pages that follow each other, from number `first` on, if the disk keeps up.
    pub(super) fn put(&self, file: &FileKey, first: u64, pages: &[Bytes]) {
        let Ok(turn) = Arc::clone(&self.writes).try_acquire_owned() else { return };
        let pages: Vec<(PageKey, Bytes)> =
            (first..).zip(pages).map(|(number, page)| ((file.clone(), number), page.clone())).collect();
        let (inner, writing) = (Arc::clone(&self.inner), self.scope.clone());
        self.scope.spawn("pages-keep", async move {
            let _turn = turn;
            // Where it does not come to its end, the process is ending.
            let _ = writing
                .run_blocking(move || pages.iter().for_each(|(page, bytes)| inner.write(page, bytes)))
                .await;
        });
    }

    /// Lets go all pages of a block.
    pub(super) async fn forget(&self, tenant: &TenantId, block: Ulid) {
        let file = |file| FileKey { tenant: tenant.clone(), block, file };
        let (first, last) = ((file(0), 0), (file(u32::MAX), u64::MAX));
        let gone = self.inner.kept.lock().remove_range(&first, &last);
        let inner = Arc::clone(&self.inner);
        // Where it does not come to its end, the process is ending.
        let _ = self.scope.run_blocking(move || gone.iter().for_each(|page| inner.remove(page))).await;
    }
}

impl Inner {
    fn path(&self, (file, number): &PageKey) -> PathBuf {
        self.folder.join(format!("{}.{}.{}.{number}", file.tenant, file.block, file.file))
    }

    /// Takes up what an earlier process left.
    fn find(&self) {
        if !self.fs.exists(&self.folder) {
            return;
        }
        for entry in self.fs.read_dir(&self.folder).unwrap_or_default() {
            match parse(&entry.name) {
                // Written by this one.
                Some(page) if self.kept.lock().contains(&page) => {}
                Some(page) => self.keep(page, entry.len),
                // Nobody else has anything to do here.
                None => drop(self.fs.remove_file(&self.folder.join(entry.name))),
            }
        }
    }

    fn read(&self, page: &PageKey) -> Option<Bytes> {
        let most = MAX_PAGE_BYTES + CHECKSUM_BYTES as u64;
        let read = env::read_file(&*self.fs, &self.path(page), most).ok().map(Bytes::from);
        let sound = read.and_then(|bytes| {
            let (checksum, content) = bytes.split_first_chunk::<CHECKSUM_BYTES>()?;
            let is_sound = u32::from_be_bytes(*checksum) == crc32c::crc32c(content);
            is_sound.then(|| bytes.slice(CHECKSUM_BYTES..))
        });
        if sound.is_none() {
            self.kept.lock().remove(page);
            self.remove(page);
        }
        sound
    }

    fn write(&self, page: &PageKey, bytes: &Bytes) {
        let path = self.path(page);
        let content = [&crc32c::crc32c(bytes).to_be_bytes()[..], bytes].concat();
        let written =
            self.fs.create_dir_all(&self.folder).and_then(|()| write_file(&*self.fs, &path, &content));
        match written {
            Ok(()) => self.keep(page.clone(), content.len() as u64),
            // The disk is full, perhaps. Half a page is no page.
            Err(_) => self.remove(page),
        }
    }

    fn keep(&self, page: PageKey, bytes: u64) {
        let now = self.clock.monotonic();
        let gone = {
            let mut kept = self.kept.lock();
            let mut gone = kept.insert(page.clone(), (), bytes, now);
            if kept.get(&page, now).is_none() {
                gone.push(page);
            }
            self.metrics.cache_disk_bytes.set(i64::try_from(kept.weight()).unwrap_or(i64::MAX));
            gone
        };
        gone.iter().for_each(|page| self.remove(page));
    }

    fn remove(&self, page: &PageKey) {
        // One that is not there has been removed; one that cannot be is found at the next start.
        let _ = self.fs.remove_file(&self.path(page));
    }
}

/// Not synced: what a crash leaves of it is seen by its checksum.
fn write_file(fs: &dyn FileSystem, path: &Path, content: &[u8]) -> std::io::Result<()> {
    let options = OpenOptions { write: true, create: true, truncate: true, ..OpenOptions::default() };
    env::write_all_at(&*fs.open(path, options)?, content, 0)
}

fn parse(name: &str) -> Option<PageKey> {
    let mut parts = name.rsplitn(4, '.');
    let number = parts.next()?.parse().ok()?;
    let file = parts.next()?.parse().ok()?;
    let block = Ulid::from_string(parts.next()?).ok()?;
    let tenant = TenantId::new(parts.next()?).ok()?;
    Some((FileKey { tenant, block, file }, number))
}

#[cfg(test)]
mod tests {
    use env::{ManualClock, SimFs};
    use telemetry::Registry;

    use super::*;

    fn disk(fs: &SimFs, capacity: u64) -> DiskPages {
        let metrics = BlocksMetrics::register(&Registry::new());
        let clock = Arc::new(ManualClock::new(0));
        DiskPages::new(Arc::new(fs.clone()), clock, Scope::new("test"), "/pages".into(), capacity, metrics)
    }

    fn file(tenant: &str, block: u128) -> FileKey {
        FileKey { tenant: TenantId::new(tenant).unwrap(), block: Ulid(block), file: 1 }
    }

    async fn written(disk: &DiskPages) {
        // All turns are free again.
        drop(disk.writes.acquire_many(PARALLEL_WRITES as u32).await.unwrap());
    }

    async fn numbers(disk: &DiskPages, file: &FileKey) -> Vec<u64> {
        disk.get(file, 0..100).await.into_iter().map(|(number, _)| number).collect()
    }

    #[tokio::test]
    async fn pages_outlive_the_process_and_the_oldest_go_first() {
        let fs = SimFs::new(1);
        let pages: Vec<Bytes> = (0..10_u8).map(|i| Bytes::from(vec![i; 96])).collect();
        let (one, other) = (file("a.b", 1), file("a", 1));
        let first = disk(&fs, 1_000);
        first.put(&one, 5, &pages);
        written(&first).await;
        assert_eq!(
            first.get(&one, 3..8).await,
            [(5, pages[0].clone()), (6, pages[1].clone()), (7, pages[2].clone())]
        );
        assert!(numbers(&first, &other).await.is_empty(), "tenants share nothing");
        first.put(&other, 0, &pages[..2]);
        written(&first).await;
        assert_eq!(numbers(&first, &one).await, [5, 6, 7, 10, 11, 12, 13, 14], "the least used went");
        let again = disk(&fs, 1_000);
        assert_eq!(numbers(&again, &one).await.len(), 8);
        assert_eq!(numbers(&again, &other).await, [0, 1]);
        again.forget(&one.tenant, one.block).await;
        assert!(numbers(&again, &one).await.is_empty());
        assert_eq!(fs.read_dir(Path::new("/pages")).unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_is_damaged_is_not_there() {
        let fs = SimFs::new(1);
        let (disk, one) = (disk(&fs, 10_000), file("a", 1));
        disk.put(&one, 0, &[Bytes::from(vec![1; 96]), Bytes::from(vec![2; 96]), Bytes::from(vec![3; 96])]);
        written(&disk).await;
        let path = |number| disk.inner.path(&(one.clone(), number));
        let mut content = env::read_file(&fs, &path(1), 1_000).unwrap();
        content[50] ^= 1;
        write_file(&fs, &path(1), &content).unwrap();
        write_file(&fs, &path(2), &content[..2]).unwrap();
        assert_eq!(numbers(&disk, &one).await, [0]);
        assert!(fs.exists(&path(0)) && !fs.exists(&path(1)) && !fs.exists(&path(2)));
        assert_eq!(parse("nothing"), None);
        assert_eq!(parse("a.1.1.1"), None);
    }
}
