//! What every backend, with every wrapper, does.

use std::sync::Arc;

use block::InMemory;
use bucket::{
    BackendKind, Backing, Bucket, BucketConfig, BucketDeps, BucketError, BucketIndex, DeletionMark,
    ErrorKind, IndexedBlock, ObjectName, TenantBucket,
};
use bytes::Bytes;
use env::{RealFs, Scope, SeededRng, SystemClock};
use futures::future::join_all;
use model::TenantId;
use settings::ByteSize;
use telemetry::Registry;
use ulid::Ulid;

/// Settings for tests: small pieces, short waits.
pub(crate) fn config() -> BucketConfig {
    BucketConfig {
        part_size: ByteSize(5 << 20),
        first_wait: std::time::Duration::from_millis(10),
        longest_wait: std::time::Duration::from_millis(100),
        backend: BackendKind::Filesystem,
        ..BucketConfig::default()
    }
}

/// A bucket over `backing` in real time.
pub(crate) fn over(backing: Backing, config: &BucketConfig) -> Bucket {
    let deps = BucketDeps {
        clock: Arc::new(SystemClock::new()),
        rng: Arc::new(SeededRng::new(1)),
        registry: Registry::new(),
    };
    Bucket::new(backing, config, deps)
}

/// The bucket that `config` describes; one of files is in `directory`.
pub(crate) fn open(config: &BucketConfig, directory: &std::path::Path) -> Bucket {
    let fs: Arc<dyn env::FileSystem> = Arc::new(RealFs);
    let backing = Backing::open(config, directory, &fs, &Scope::new("bucket")).unwrap();
    over(backing.expect("it is not none"), config)
}

pub(crate) fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn kind<T: std::fmt::Debug>(result: Result<T, BucketError>) -> ErrorKind {
    result.unwrap_err().kind
}

/// All of it.
pub(crate) async fn check(bucket: &Bucket) {
    objects(bucket).await;
    conditions(bucket).await;
    listings(bucket).await;
    uploads(bucket).await;
    tenants(bucket).await;
    index_under_contention(bucket).await;
}

async fn objects(bucket: &Bucket) {
    let object = name("objects/o'hara(1)*!/x_-.json");
    assert_eq!(kind(bucket.get(&object, 10).await), ErrorKind::NotFound);
    assert_eq!(kind(bucket.head(&object).await), ErrorKind::NotFound);
    assert_eq!(kind(bucket.get_range(&object, 0..1).await), ErrorKind::NotFound);
    bucket.put(&object, Bytes::from_static(b"0123456789")).await.unwrap();
    assert_eq!(&bucket.get(&object, 10).await.unwrap().bytes[..], b"0123456789");
    assert_eq!(kind(bucket.get(&object, 9).await), ErrorKind::Size);
    let info = bucket.head(&object).await.unwrap();
    assert_eq!(info.bytes, 10);
    assert!(info.modified_ms > 1_700_000_000_000);
    assert_eq!(&bucket.get_range(&object, 3..7).await.unwrap()[..], b"3456");
    assert!(bucket.get_range(&object, 3..3).await.unwrap().is_empty());
    let ranges = bucket.get_ranges(&object, &[8..10, 0..2, 4..5]).await.unwrap();
    assert_eq!(ranges, [&b"89"[..], b"01", b"4"]);
    assert!(bucket.get_range(&object, 8..12).await.is_err(), "it ends before that");
    bucket.put(&object, Bytes::new()).await.unwrap();
    assert!(bucket.get(&object, 10).await.unwrap().bytes.is_empty());
    bucket.delete(&object).await.unwrap();
    bucket.delete(&object).await.unwrap();
    assert_eq!(kind(bucket.get(&object, 10).await), ErrorKind::NotFound);
}

async fn conditions(bucket: &Bucket) {
    let object = name("conditions/index");
    bucket.create(&object, Bytes::from_static(b"1")).await.unwrap();
    assert_eq!(kind(bucket.create(&object, Bytes::from_static(b"2")).await), ErrorKind::Conflict);
    let first = bucket.get(&object, 10).await.unwrap();
    assert_eq!(&first.bytes[..], b"1");
    bucket.replace(&object, Bytes::from_static(b"3"), &first.version).await.unwrap();
    let stale = bucket.replace(&object, Bytes::from_static(b"4"), &first.version).await;
    assert_eq!(kind(stale), ErrorKind::Conflict);
    assert_eq!(&bucket.get(&object, 10).await.unwrap().bytes[..], b"3");
    bucket.delete(&object).await.unwrap();
    let gone = bucket.replace(&object, Bytes::from_static(b"5"), &first.version).await.unwrap_err();
    assert!(matches!(gone.kind, ErrorKind::Conflict | ErrorKind::NotFound), "{gone}");
}

async fn listings(bucket: &Bucket) {
    for object in ["listings/b/2", "listings/b/1", "listings/ba/3", "listings/a"] {
        bucket.put(&name(object), Bytes::from_static(b"x")).await.unwrap();
    }
    let listed = async |folder: &str| -> Vec<String> {
        let listed = bucket.list(Some(&name(folder)), 10).await.unwrap();
        listed.iter().map(|listed| format!("{} {}", listed.name, listed.bytes)).collect()
    };
    assert_eq!(listed("listings/b").await, ["listings/b/1 1", "listings/b/2 1"]);
    assert_eq!(listed("listings").await.len(), 4);
    assert!(listed("listings/none").await.is_empty());
    let folders = bucket.folders(Some(&name("listings")), 10).await.unwrap();
    assert_eq!(folders, [name("listings/b"), name("listings/ba")]);
    assert_eq!(kind(bucket.list(Some(&name("listings")), 3).await), ErrorKind::Size);
    assert_eq!(bucket.list(Some(&name("listings")), 4).await.unwrap().len(), 4);
}

async fn uploads(bucket: &Bucket) {
    for bytes in [0usize, 1000, 5 << 20, (5 << 20) + 1, (12 << 20) + 17] {
        let content: Vec<u8> = (0..bytes).map(|i| (i * 31 + i / 257) as u8).collect();
        let object = name("uploads/chunks/000001");
        let file = InMemory::new("chunks/000001", content.clone());
        let uploaded = bucket.upload(&object, &file).await.unwrap();
        assert_eq!((uploaded.bytes, uploaded.crc32c), (bytes as u64, crc32c::crc32c(&content)));
        assert_eq!(bucket.head(&object).await.unwrap().bytes, bytes as u64);
        assert_eq!(bucket.checksum(&object, bytes as u64).await.unwrap(), uploaded.crc32c);
        let read = bucket.get(&object, u64::MAX).await.unwrap();
        assert!(read.bytes == content, "{bytes} bytes came back as others");
    }
}

async fn tenants(bucket: &Bucket) {
    let tenant = TenantId::new("team-a.b_(c)*").unwrap();
    let tenant = TenantBucket::new(bucket, &tenant).unwrap();
    assert!(tenant.index().await.unwrap().is_none());
    assert!(tenant.blocks().await.unwrap().is_empty() && tenant.deletion_marks().await.unwrap().is_empty());
    let [first, second] = [Ulid(1 << 90), Ulid(2 << 90)];
    for block in [second, first] {
        assert!(tenant.meta(block).await.unwrap_err().is_not_found());
        for (file, content) in
            [("index", "i".to_owned()), ("chunks/000001", "c".to_owned()), ("meta.json", meta(block))]
        {
            bucket.put(&tenant.file(block, file), content.into()).await.unwrap();
        }
    }
    assert_eq!(tenant.blocks().await.unwrap(), [first, second]);
    assert_eq!(tenant.meta(first).await.unwrap().ulid, first);
    assert!(bucket.tenants().await.unwrap().contains(tenant.tenant()));
    let mark = tenant.mark_for_deletion(first, "a test").await.unwrap();
    assert_eq!(tenant.deletion_marks().await.unwrap(), [mark]);
    let index = tenant.rebuild_index().await.unwrap();
    assert_eq!(index.blocks.iter().map(|block| block.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(index.block_deletion_marks[0].id, first);
    assert_eq!(tenant.index().await.unwrap().unwrap().0, index);
    // One that is damaged says so to readers, and the next change makes it anew.
    bucket.put(&name("team-a.b_(c)*/bucket-index.json.gz"), Bytes::from_static(b"damaged")).await.unwrap();
    assert!(tenant.index().await.unwrap_err().to_string().contains("gzip"));
    assert_eq!(tenant.update_index(|_| false).await.unwrap().blocks, index.blocks);
    assert_eq!(tenant.index().await.unwrap().unwrap().0.block_deletion_marks, index.block_deletion_marks);
    tenant.delete_block(first).await.unwrap();
    tenant.delete_block(first).await.unwrap();
    assert_eq!(tenant.blocks().await.unwrap(), [second]);
    assert_eq!(tenant.deletion_marks().await.unwrap(), Vec::<DeletionMark>::new());
}

fn meta(block: Ulid) -> String {
    format!(r#"{{"ulid":"{block}","minTime":0,"maxTime":7200000,"version":1,"compaction":{{"level":1}}}}"#)
}

/// Several add blocks at the same time: none is lost.
async fn index_under_contention(bucket: &Bucket) {
    const WRITERS: u128 = 4;
    const BLOCKS: u128 = 3;
    let tenant = TenantBucket::new(bucket, &TenantId::new("contended").unwrap()).unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let tenant = tenant.clone();
        async move {
            for block in 0..BLOCKS {
                let meta = meta(Ulid(1 + writer * BLOCKS + block));
                let meta = block::Meta::parse("meta.json", meta.as_bytes()).unwrap();
                tenant.update_index(|index| index.add(IndexedBlock::of(&meta, 1))).await.unwrap();
            }
        }
    });
    join_all(writers).await;
    let (index, _) = tenant.index().await.unwrap().unwrap();
    let ids: Vec<u128> = index.blocks.iter().map(|block| block.id.0).collect();
    assert_eq!(ids, (1..=WRITERS * BLOCKS).collect::<Vec<_>>());
    assert_eq!(BucketIndex::parse(&index.encode()).unwrap(), index);
}
