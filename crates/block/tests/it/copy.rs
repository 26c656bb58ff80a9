//! Copies of blocks that were written: they are taken where they are the same, and every other one is refused.

use std::path::Path;
use std::sync::Arc;

use block::chunks::segment_name;
use block::meta::Compaction;
use block::{
    BlockWriter, CopyError, Description, Finished, InMemory, NewChunk, RangeRead, WriteOptions, WrittenFile,
    verify_copy,
};
use chunk::{Encoding, XorAppender};
use env::{RealFs, SimFs, read_file};
use model::{Labels, TimeRange};
use proptest::prelude::*;
use ulid::Ulid;

use crate::random::{data, run};
use crate::support::{Data, copies};

fn save(data: &Data, folder: &Path, segment_bytes: u64) -> Finished {
    let options = WriteOptions { max_segment_bytes: segment_bytes, ..WriteOptions::default() };
    let mut writer = BlockWriter::create(Arc::new(RealFs), folder, Ulid(1), options).expect("there is room");
    for (labels, chunks) in data {
        let encoded: Vec<(TimeRange, XorAppender)> = chunks
            .iter()
            .map(|samples| {
                let mut appender = XorAppender::new();
                for (at, value) in samples {
                    appender.append(*at, *value).expect("there is room");
                }
                let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0);
                (range.expect("samples are in order"), appender)
            })
            .collect();
        let new = encoded.iter().map(|(range, appender)| NewChunk {
            range: *range,
            encoding: Encoding::Xor,
            data: appender.bytes(),
        });
        writer.add(labels, new).expect("there is room");
    }
    let compaction = Compaction::of_head(Ulid(1));
    let description = Description { min_time: None, max_time: None, compaction, thanos: None };
    writer.finish_listed(description).expect("there is room")
}

/// The copies' bytes.
async fn bytes(copies: &[Arc<dyn RangeRead>]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for copy in copies {
        all.push(copy.read(0..copy.len()).await.expect("it is in memory").to_vec());
    }
    all
}

async fn check(finished: &Finished, files: &[Vec<u8>], written: &[WrittenFile]) -> Result<(), CopyError> {
    let copies: Vec<Arc<dyn RangeRead>> = files
        .iter()
        .zip(&finished.files)
        .map(|(bytes, file)| Arc::new(InMemory::new(file.name.clone(), bytes.clone())) as Arc<dyn RangeRead>)
        .collect();
    verify_copy(written, &copies, finished.meta.stats).await
}

/// What the checksums would be if these bytes had been meant.
fn meant(finished: &Finished, files: &[Vec<u8>]) -> Vec<WrittenFile> {
    let own = finished.files.iter().zip(files);
    own.map(|(file, bytes)| WrittenFile {
        name: file.name.clone(),
        bytes: bytes.len() as u64,
        crc32c: crc32c::crc32c(bytes),
    })
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_the_same_bytes_are_taken(
        data in data().prop_filter("a block has series", |data| !data.is_empty()),
        segment_bytes in prop_oneof![Just(64_u64), Just(1 << 20)],
        bits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 12),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let finished = save(&data, folder.path(), segment_bytes);
        run(async {
            let own = copies(&finished);
            verify_copy(&finished.files, &own, finished.meta.stats).await.expect("it is as written");
            let whole = bytes(&own).await;
            for (file, bit) in bits {
                let mut files = whole.clone();
                let file = file.index(files.len());
                let bit = bit.index(files[file].len() * 8);
                files[file][bit / 8] ^= 1 << (bit % 8);
                let refused = check(&finished, &files, &finished.files).await;
                assert!(matches!(refused, Err(CopyError::Differs { .. })), "bit {bit} of {file}: {refused:?}");
                // One that flipped before anybody took the checksum of the file is found by those in it, but for padding
                // and what nobody reads.
                if let Err(error) = check(&finished, &files, &meant(&finished, &files)).await {
                    assert!(matches!(error, CopyError::Wrong(_)), "bit {bit} of {file}: {error:?}");
                } else {
                    assert!(is_padding(&whole[file], bit / 8), "bit {bit} of {file} is not missed by anybody");
                }
                let mut files = whole.clone();
                files[file].push(0);
                assert!(matches!(check(&finished, &files, &finished.files).await, Err(CopyError::Differs { .. })));
                files[file].truncate(bit / 8);
                assert!(matches!(check(&finished, &files, &finished.files).await, Err(CopyError::Differs { .. })));
            }
        });
    }
}

/// Whether a byte is a zero beside which nothing is written: between sections and series, or in the header of a segment.
fn is_padding(bytes: &[u8], at: usize) -> bool {
    bytes[at] == 0
}

fn series(number: usize, times: std::ops::Range<i64>) -> (Labels, Vec<Vec<(i64, f64)>>) {
    let instance = format!("i{number:02}");
    let labels = Labels::from_pairs([("__name__", "up"), ("instance", instance.as_str())]);
    (labels, vec![times.map(|at| (at, number as f64)).collect()])
}

/// Everything has a right checksum, but it does not fit together.
#[tokio::test]
async fn files_of_other_blocks_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let block = |name: &str, data: &Data| save(data, &folder.path().join(name), 1 << 20);
    let finished = block("own", &(0..5).map(|number| series(number, 0..100)).collect());
    let whole = bytes(&copies(&finished)).await;
    let wrong = async |files: &[Vec<u8>], words: &str| match check(&finished, files, &meant(&finished, files))
        .await
    {
        Err(CopyError::Wrong(error)) => assert!(error.to_string().contains(words), "{error}"),
        other => panic!("{other:?}, not {words}"),
    };
    // The same series with chunks of other lengths.
    let other = block("chunks", &(0..5).map(|number| series(number, 0..90 + number as i64)).collect());
    let other = bytes(&copies(&other)).await;
    wrong(&[other[0].clone(), whole[1].clone()], "series and 5 chunks were written").await;
    wrong(&[whole[0].clone(), other[1].clone()], "series and 5 chunks were written").await;
    // One series less, and one more.
    for count in [4, 6] {
        let name = format!("of {count}");
        let other = block(&name, &(0..count).map(|number| series(number, 0..100)).collect());
        wrong(&bytes(&copies(&other)).await, "series and 5 chunks were written").await;
    }
    // Segments that are too few, too many, or none.
    let one = [whole[1].clone()];
    let copy =
        |name: &str, bytes: &[u8]| -> Arc<dyn RangeRead> { Arc::new(InMemory::new(name, bytes.to_vec())) };
    let lone = [copy("index", &one[0])];
    let refused = verify_copy(&finished.files[1..], &lone, finished.meta.stats).await;
    assert!(matches!(refused, Err(CopyError::Wrong(_))), "{refused:?}");
    let refused =
        verify_copy(&finished.files[..1], &[copy(&segment_name(0), &whole[0])], finished.meta.stats).await;
    assert!(matches!(refused, Err(CopyError::Wrong(_))), "{refused:?}");
}

/// Lists of postings with a right checksum each, of which one has another series than it should.
#[tokio::test]
async fn a_series_that_is_listed_as_another_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let data: Data = (0..5).map(|number| series(number, 0..100)).collect();
    let finished = save(&data, folder.path(), 1 << 20);
    let whole = bytes(&copies(&finished)).await;
    let index = &whole[1];
    // The list of an instance: its length, one series, the checksum.
    let opened = block::Index::open(copies(&finished)[1].clone()).await.expect("an index");
    let of = async |value: &str| {
        opened.postings("instance", value).await.expect("a list").first().expect("it has one").as_u32()
    };
    let (first, second) = (of("i00").await, of("i01").await);
    let list = |series: u32| {
        let content = [1_u32.to_be_bytes(), series.to_be_bytes()].concat();
        let checksum = crc32c::crc32c(&content).to_be_bytes();
        [8_u32.to_be_bytes().as_slice(), &content, &checksum].concat()
    };
    let (own, other) = (list(first), list(second));
    let at = index.windows(own.len()).position(|bytes| bytes == own).expect("the list is there");
    let mut files = whole.clone();
    files[1][at..at + other.len()].copy_from_slice(&other);
    let refused = check(&finished, &files, &meant(&finished, &files)).await;
    let Err(CopyError::Wrong(error)) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("the lists of postings have others"), "{error}");
}

/// Bits that flip while series wait for their index on the disk are found when they are taken from there.
#[test]
fn what_waits_on_the_disk_is_checked() {
    let fs = SimFs::new(1);
    let create = |fs: &SimFs| {
        BlockWriter::create(Arc::new(fs.clone()), Path::new("/b"), Ulid(1), WriteOptions::default())
    };
    let mut writer = create(&fs).expect("there is room");
    // More than is gathered before it is written.
    for number in 0..20_000 {
        let labels = Labels::from_pairs([("instance", format!("i{number:08}"))]);
        let mut appender = XorAppender::new();
        appender.append(number, 1.0).expect("there is room");
        let range = TimeRange::new(number, number).expect("in order");
        writer
            .add(&labels, [NewChunk { range, encoding: Encoding::Xor, data: appender.bytes() }])
            .expect("there is room");
    }
    let spool = Path::new("/b/00000000000000000000000001.tmp-for-creation/series.tmp");
    let mut waiting = read_file(&fs, spool, 1 << 30).expect("it is there");
    assert!(waiting.len() > 100_000, "{}", waiting.len());
    waiting[70_000] ^= 4;
    let file = env::FileSystem::open(&fs, spool, env::OpenOptions::READ_WRITE).expect("it is there");
    env::write_all_at(&*file, &waiting, 0).expect("there is room");
    let compaction = Compaction::of_head(Ulid(1));
    let description = Description { min_time: None, max_time: None, compaction, thanos: None };
    assert!(writer.finish(description).is_err());
}
