//! Whole blocks in folders: the files are those that the parts write, and are there only once all of them are.

use std::path::Path;
use std::sync::Arc;

use block::chunks::segment_name;
use block::meta::Compaction;
use block::writer::remove_unfinished;
use block::{
    BlockError, BlockWriter, Description, InMemory, Meta, NewChunk, RangeRead, WriteOptions, verify,
};
use chunk::{Encoding, XorAppender};
use env::{CrashMode, Fault, FaultKind, FileSystem, OpKind, SimFs, read_file};
use model::{Labels, TimeRange};
use proptest::prelude::*;
use ulid::Ulid;

use crate::random::{data, run};
use crate::support::{Data, write};

const ULID: Ulid = Ulid::from_parts(1_700_000_000_000, 7);

fn description() -> Description {
    Description { min_time: None, max_time: None, compaction: Compaction::of_head(ULID), thanos: None }
}

fn write_block(fs: &SimFs, data: &Data, options: WriteOptions) -> Result<Meta, BlockError> {
    let mut writer = BlockWriter::create(Arc::new(fs.clone()), Path::new("/blocks"), ULID, options)?;
    for (labels, chunks) in data {
        let encoded: Vec<(TimeRange, Box<[u8]>)> = chunks.iter().map(|samples| encode(samples)).collect();
        let new =
            encoded.iter().map(|(range, data)| NewChunk { range: *range, encoding: Encoding::Xor, data });
        writer.add(labels, new)?;
    }
    Ok(writer.finish(Description { thanos: Some(Default::default()), ..description() })?.1)
}

fn encode(samples: &[(i64, f64)]) -> (TimeRange, Box<[u8]>) {
    let mut appender = XorAppender::new();
    for (at, value) in samples {
        appender.append(*at, *value).expect("there is room");
    }
    let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0).expect("samples are in order");
    (range, appender.into_bytes())
}

fn folder() -> std::path::PathBuf {
    Path::new("/blocks").join(ULID.to_string())
}

fn bytes(fs: &SimFs, name: &str) -> Vec<u8> {
    read_file(fs, &folder().join(name), 1 << 30).expect("the file is there")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_folder_has_what_the_parts_write(data in data(), segment_bytes in prop_oneof![Just(64_u64), Just(1 << 20)]) {
        let fs = SimFs::new(1);
        let written = write_block(&fs, &data, WriteOptions { max_segment_bytes: segment_bytes, postings_in_memory: 5 });
        if data.is_empty() {
            prop_assert!(written.is_err());
            return Ok(());
        }
        let meta = written.expect("there is room");
        // Power off: all of it is durable.
        let fs = fs.crash(CrashMode::LoseAll);
        let expected = write(&data, segment_bytes, 1 << 20);
        prop_assert_eq!(bytes(&fs, "index"), expected.index.clone());
        let mut sizes = vec![];
        for (segment, content) in (0..).zip(&expected.segments) {
            prop_assert_eq!(&bytes(&fs, &segment_name(segment)), content);
            sizes.push((segment_name(segment), Some(content.len() as u64)));
        }
        sizes.push(("index".to_owned(), Some(expected.index.len() as u64)));
        sizes.push(("meta.json".to_owned(), None));
        prop_assert_eq!(Meta::parse("meta.json", &bytes(&fs, "meta.json")).expect("it is right"), meta.clone());
        let listed = meta.thanos.clone().expect("it was asked for").files();
        prop_assert_eq!(listed.into_iter().map(|file| (file.rel_path, file.size_bytes)).collect::<Vec<_>>(), sizes);
        // Nothing else is there.
        let names: Vec<String> = fs.read_dir(&folder()).unwrap().into_iter().map(|entry| entry.name).collect();
        prop_assert_eq!(names, ["chunks", "index", "meta.json"]);
        prop_assert_eq!(fs.read_dir(Path::new("/blocks")).unwrap().len(), 1);
        let verified = run(async {
            let index = block::Index::open(Arc::new(InMemory::new("index", bytes(&fs, "index")))).await?;
            let segments = (0..expected.segments.len() as u32).map(|segment| {
                Arc::new(InMemory::new(segment_name(segment), bytes(&fs, &segment_name(segment)))) as Arc<dyn RangeRead>
            });
            verify(&index, &block::ChunkReader::open(segments.collect()).await?).await
        });
        let verified = verified.expect("it is as written");
        prop_assert_eq!(verified.stats, meta.stats);
        prop_assert_eq!(verified.range, meta.range());
    }
}

fn some_data() -> Data {
    let series = |i: i64| {
        let labels =
            Labels::from_pairs([("__name__", "up".to_owned()), ("instance", format!("host-{i:04}"))]);
        (labels, (0..3).map(|c| (0..20).map(|s| ((c * 20 + s) * 1000, i as f64)).collect()).collect())
    };
    (0..40).map(series).collect()
}

#[test]
fn a_block_is_there_whole_or_not_at_all() {
    let options = WriteOptions { max_segment_bytes: 1 << 10, postings_in_memory: 1 << 10 };
    let whole = SimFs::new(0);
    write_block(&whole, &some_data(), options).unwrap();
    let operations = whole.op_count();
    assert!(operations > 10, "{operations}");
    for at in 0..operations {
        for mode in [CrashMode::LoseAll, CrashMode::Torn] {
            let fs = SimFs::new(at);
            fs.plan(Fault { op: OpKind::Change, nth: at, kind: FaultKind::Crash });
            let written = write_block(&fs, &some_data(), options);
            let fs = fs.crash(mode);
            if fs.exists(&folder()) {
                for name in ["index", "meta.json", "chunks/000001", "chunks/000002"] {
                    let expected = read_file(&whole, &folder().join(name), 1 << 20).unwrap();
                    assert_eq!(bytes(&fs, name), expected, "{name} after a crash at {at}");
                }
            } else {
                assert!(written.is_err(), "a crash at {at} lost a block that had been finished");
                // What is left is in nobody's way.
                write_block(&fs, &some_data(), options).unwrap();
                assert_eq!(fs.read_dir(Path::new("/blocks")).unwrap().len(), 1);
            }
        }
    }
}

#[test]
fn a_full_disk_is_an_error_and_what_is_left_can_be_removed() {
    let (fs, options) = (SimFs::new(3), WriteOptions::default());
    fs.fail_next(OpKind::Sync, FaultKind::Enospc);
    let error = write_block(&fs, &some_data(), options).unwrap_err().to_string();
    assert_eq!(error, "chunks/000001: cannot be written");
    assert_eq!(fs.read_dir(Path::new("/blocks")).unwrap().len(), 1);
    remove_unfinished(&fs, Path::new("/blocks")).unwrap();
    assert!(fs.read_dir(Path::new("/blocks")).unwrap().is_empty());
    write_block(&fs, &some_data(), options).unwrap();
    let error = write_block(&fs, &some_data(), options).unwrap_err().to_string();
    assert!(error.ends_with("is there already"), "{error}");
}

#[test]
fn what_is_not_a_block_is_refused() {
    let fs = Arc::new(SimFs::new(0));
    let create = || BlockWriter::create(fs.clone(), Path::new("/b"), ULID, WriteOptions::default()).unwrap();
    let (range, data) = encode(&[(10, 1.0), (20, 2.0)]);
    let chunk = NewChunk { range, encoding: Encoding::Xor, data: &data };
    let labels = |value: &str| Labels::from_pairs([("a", value)]);
    let check = |result: Result<(), BlockError>, words: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let mut writer = create();
    writer.add(&labels("b"), [chunk]).unwrap();
    check(writer.add(&labels("a"), [chunk]), "is not behind the one before");
    let mut writer = create();
    check(writer.add(&labels("c"), [chunk, chunk]), "out of order or overlap");
    let mut writer = create();
    let empty = XorAppender::new();
    check(writer.add(&labels("d"), [NewChunk { data: empty.bytes(), ..chunk }]), "has no samples");
    let mut writer = create();
    writer.add(&labels("e"), []).unwrap();
    assert_eq!(writer.stats().num_series, 0);
    check(writer.finish(description()).map(drop), "one sample at least");
    let mut writer = create();
    writer.add(&labels("f"), [chunk]).unwrap();
    check(
        writer.finish(Description { max_time: Some(20), ..description() }).map(drop),
        "a block from 10 to before 20 cannot have samples from 10 to 20",
    );
    create().discard().unwrap();
    assert!(fs.read_dir(Path::new("/b")).unwrap().is_empty());
}
