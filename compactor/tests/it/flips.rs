//! A bit flips somewhere between a compactor and its disk, or between it and the bucket: nothing comes into the index that is
//! not what was in the blocks that it replaces.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bucket::Backing;
use bucket::faults::{Errand, Fault, Faults, Memory, Way};
use bytes::Bytes;
use env::{DirEntry, File, FileLock, FileSystem, OpenOptions, SimFs};

use crate::support::{World, tenant};

const HOUR: Duration = Duration::from_secs(3_600);

/// Which operation spoils what it moves, counted from 0, and how many there were.
#[derive(Debug)]
struct Spoiler {
    nth: u64,
    operations: AtomicU64,
    /// Where in what is moved the bit is: a fraction of 256.
    place: usize,
}

impl Spoiler {
    fn new(nth: u64, place: usize) -> Arc<Self> {
        Arc::new(Self { nth, operations: AtomicU64::new(0), place })
    }

    fn pass(&self, bytes: &mut [u8]) {
        let own = self.operations.fetch_add(1, Ordering::Relaxed);
        let at = bytes.len() * self.place / 256;
        if let Some(byte) = bytes.get_mut(at).filter(|_| own == self.nth) {
            *byte ^= 1 << (self.place % 8);
        }
    }
}

/// A way to the bucket on which data of blocks are spoilt as they are written.
#[derive(Debug)]
struct SpoiltWay(Arc<Spoiler>);

#[async_trait]
impl Way for SpoiltWay {
    async fn there(&self, _errand: Errand<'_>) -> Option<Fault> {
        None
    }

    fn write(&self, object: &str, bytes: Bytes) -> Bytes {
        if !object.ends_with("/index") && !object.contains("/chunks/") {
            return bytes;
        }
        let mut bytes = bytes.to_vec();
        self.0.pass(&mut bytes);
        bytes.into()
    }
}

/// A disk that spoils what is written to it, or what is read from it.
struct SpoiltDisk {
    disk: SimFs,
    writes: Arc<Spoiler>,
    reads: Arc<Spoiler>,
}

struct SpoiltFile {
    file: Arc<dyn File>,
    writes: Arc<Spoiler>,
    reads: Arc<Spoiler>,
}

impl FileSystem for SpoiltDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, options)?;
        let (writes, reads) = (Arc::clone(&self.writes), Arc::clone(&self.reads));
        // The compactor knows what `meta.json` says, and writes it to the bucket by itself.
        match path.ends_with("meta.json") {
            true => Ok(file),
            false => Ok(Arc::new(SpoiltFile { file, writes, reads })),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.read_dir(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.disk.lock(path)
    }
}

impl File for SpoiltFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.file.read_at(buf, offset)?;
        self.reads.pass(&mut buf[..count]);
        Ok(count)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = buf.to_vec();
        self.writes.pass(&mut bytes);
        self.file.write_at(&bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Where bits flip, of each thing that is moved.
const PLACES: [usize; 12] = [0, 9, 40, 77, 100, 130, 163, 190, 215, 230, 247, 255];

/// Merges with something spoilt, for every operation of `counted` and every place: whether the job fails or not, the index lists
/// what was there before.
async fn check(spoil: impl Fn(&mut World, &Memory, u64, usize) -> Arc<Spoiler>) {
    let (mut found, mut operations) = (0, 0);
    for place in PLACES {
        for nth in 0.. {
            let mut world = World::new();
            let memory = Memory::new();
            world.backing = Backing::on_way(&memory, Arc::new(Faults::new()));
            let all = world.ship_replicas(1).await;
            world.pass(4 * HOUR).await;
            let before = world.index().await;
            let spoiler = spoil(&mut world, &memory, nth, place);
            let looked = world.start().look(&tenant()).await.expect("the bucket is fine");
            operations = spoiler.operations.load(Ordering::Relaxed);
            if operations <= nth {
                assert_eq!((looked.failed_jobs, looked.merged.len()), (0, 3), "nothing was spoilt");
                break;
            }
            found += looked.failed_jobs;
            assert!(looked.set_aside.is_empty(), "operation {nth}, place {place}: {:?}", looked.set_aside);
            if looked.failed_jobs > 0 {
                assert_eq!(world.index().await, before, "operation {nth}, place {place}");
            }
            let (samples, count) = world.live_samples().await;
            assert_eq!(samples, all, "operation {nth}, place {place}");
            assert!(looked.failed_jobs > 0 || count == all.len(), "operation {nth}, place {place}");
            // What is not spoilt any more is merged in the end.
            world.backing = Backing::on_way(&memory, Arc::new(Faults::new()));
            world.disk = None;
            world.pass(HOUR).await;
            world.start().look(&tenant()).await.expect("the bucket is fine");
            let (samples, count) = world.live_samples().await;
            assert_eq!((samples.len(), &samples), (count, &all), "operation {nth}, place {place}");
        }
    }
    assert!(operations >= 2 && found > PLACES.len(), "{operations} operations, {found} found");
}

#[tokio::test(start_paused = true)]
async fn on_the_way_to_the_bucket() {
    check(|world, memory, nth, place| {
        let spoiler = Spoiler::new(nth, place);
        world.backing = Backing::on_way(memory, Arc::new(SpoiltWay(Arc::clone(&spoiler))));
        spoiler
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn on_the_way_to_the_disk() {
    check(|world, _, nth, place| {
        let (writes, reads) = (Spoiler::new(nth, place), Spoiler::new(u64::MAX, 0));
        let disk = world.fs.clone();
        world.disk = Some(Arc::new(SpoiltDisk { disk, writes: Arc::clone(&writes), reads }));
        writes
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn on_the_way_from_the_disk() {
    check(|world, _, nth, place| {
        let (writes, reads) = (Spoiler::new(u64::MAX, 0), Spoiler::new(nth, place));
        let disk = world.fs.clone();
        world.disk = Some(Arc::new(SpoiltDisk { disk, writes, reads: Arc::clone(&reads) }));
        reads
    })
    .await;
}
