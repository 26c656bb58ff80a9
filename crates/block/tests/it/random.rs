//! What is written is read, whatever it is; what is damaged is seen.

use std::collections::BTreeMap;

use block::{BlockError, ChunkReader, Index, verify};
use model::Labels;
use proptest::prelude::*;

use crate::support::{Data, Files, read, write};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,2}", "[a-z_]{1,12}", "\\PC{1,8}"]
}

fn chunk_lists() -> impl Strategy<Value = Vec<Vec<(i64, f64)>>> {
    let samples = prop::collection::vec((1..100_000_i64, prop::num::f64::ANY), 1..20);
    prop::collection::vec(samples, 1..5).prop_map(|chunks| {
        let mut at = -50_000;
        let mut place = |(step, value): (i64, f64)| {
            at += step;
            (at, value)
        };
        chunks.into_iter().map(|samples| samples.into_iter().map(&mut place).collect()).collect()
    })
}

pub(crate) fn data() -> impl Strategy<Value = Data> {
    let labels = prop::collection::btree_map(text(), text(), 1..6);
    prop::collection::btree_map(labels, chunk_lists(), 0..40).prop_map(|all| {
        let mut all: Data =
            all.into_iter().map(|(labels, chunks)| (Labels::from_pairs(labels), chunks)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    })
}

/// Series and samples as they are in the block, bit by bit.
async fn everything(
    index: &Index,
    chunks: &ChunkReader,
) -> Result<Vec<(Labels, Vec<(i64, u64)>)>, BlockError> {
    let mut all = Vec::new();
    let mut scan = index.scan();
    while let Some((_, series)) = scan.next().await? {
        let mut samples = Vec::new();
        for chunk in chunks.read_all(&series.chunks).await? {
            let mut cursor = chunk::cursor(chunk.encoding, &chunk.data).expect("a chunk");
            while let Some((at, chunk::ValueRef::Float(value))) = cursor.next_sample().expect("a sample") {
                samples.push((at, value.to_bits()));
            }
        }
        all.push((series.labels, samples));
    }
    Ok(all)
}

fn plain(data: &Data) -> Vec<(Labels, Vec<(i64, u64)>)> {
    let bits =
        |chunks: &Vec<Vec<(i64, f64)>>| chunks.iter().flatten().map(|(t, v)| (*t, v.to_bits())).collect();
    data.iter().map(|(labels, chunks)| (labels.clone(), bits(chunks))).collect()
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

async fn check(data: &Data, files: &Files) {
    let (index, chunks) = read(files).await.expect("it is as written");
    let verified = verify(&index, &chunks).await.expect("it is as written");
    assert_eq!(verified.stats.num_series, data.len() as u64);
    assert_eq!(everything(&index, &chunks).await.expect("it is as written"), plain(data));
    // By each label pair, and by the values of each name.
    let mut pairs: BTreeMap<(&str, &str), Vec<&Labels>> = BTreeMap::new();
    for (labels, _) in data {
        for pair in labels.iter() {
            pairs.entry(pair).or_default().push(labels);
        }
    }
    for ((name, value), expected) in &pairs {
        let list = index.postings(name, value).await.expect("it is as written");
        let found = index.series_of(&list).await.expect("it is as written");
        assert_eq!(found.iter().map(|series| &series.labels).collect::<Vec<_>>(), *expected);
    }
    let mut listed: Vec<(&str, &str)> = Vec::new();
    for name in index.label_names() {
        listed.extend(index.label_values(name).map(|value| (name, value)));
    }
    assert_eq!(listed, pairs.keys().copied().collect::<Vec<_>>());
    assert!(index.postings("no such name", "x").await.expect("it is as written").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_written_is_read(data in data(), segment_bytes in prop_oneof![Just(64_u64), Just(1 << 20)]) {
        let files = write(&data, segment_bytes, 1 << 20);
        run(check(&data, &files));
        // However few postings are held at a time, the index is the same.
        prop_assert_eq!(&write(&data, segment_bytes, 3).index, &files.index);
    }

    /// A flipped bit is an error wherever a checksum reaches, and never a panic or another answer elsewhere (the bytes
    /// between sections, the length of a chunk).
    #[test]
    fn flipped_bits_are_seen(data in data(), bits in prop::collection::vec(any::<prop::sample::Index>(), 8)) {
        let files = write(&data, 1 << 10, 1 << 20);
        let expected = plain(&data);
        for bit in bits {
            let mut files = Files { index: files.index.clone(), segments: files.segments.clone() };
            let all: Vec<&mut Vec<u8>> = std::iter::once(&mut files.index).chain(&mut files.segments).collect();
            let total: usize = all.iter().map(|file| file.len()).sum();
            let mut at = bit.index(total * 8);
            for file in all {
                if at < file.len() * 8 {
                    file[at / 8] ^= 1 << (at % 8);
                    break;
                }
                at -= file.len() * 8;
            }
            let answer = run(async {
                let (index, chunks) = read(&files).await?;
                verify(&index, &chunks).await?;
                everything(&index, &chunks).await
            });
            if let Ok(found) = answer {
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}

/// Zeros where a page was lost. An empty section has the checksum zero, so zeros look like one.
#[test]
fn what_has_become_zeros_is_seen_by_whoever_reads_it() {
    let chunk = |from: i64| vec![(from, 1.0), (from + 15_000, 2.0)];
    let series = |i: i64| {
        (Labels::from_pairs([("__name__", "up"), ("i", &i.to_string())]), vec![chunk(i), chunk(i + 60_000)])
    };
    let data: Data = (10..40).map(series).collect();
    let files = write(&data, 1 << 20, 1 << 20);
    let (whole, _) = run(read(&files)).expect("it is as written");
    let (begin, end) = (whole.toc().series as usize, whole.toc().postings as usize);
    let mut unseen = 0;
    for (at, length) in (begin..end).flat_map(|at| [1, 12, 16, 64, 256].map(|length| (at, length))) {
        let mut index = files.index.clone();
        index[at..end.min(at + length)].fill(0);
        if index == files.index {
            unseen += 1;
            continue;
        }
        let damaged = Files { index, segments: files.segments.clone() };
        let walked = run(async {
            let (index, chunks) = read(&damaged).await?;
            everything(&index, &chunks).await
        });
        assert!(walked.is_err(), "{length} zeros at {at}, walked over");
        let listed = run(async {
            let (index, _) = read(&damaged).await?;
            index.series_of(&index.postings("__name__", "up").await?).await
        });
        assert!(listed.is_err(), "{length} zeros at {at}, by postings");
    }
    assert!(unseen < (end - begin) / 2, "{unseen} of {} were zeros before", end - begin);
}

#[test]
fn what_cannot_be_written_is_refused() {
    use block::{Buffer, IndexWriter};
    let index = |symbols: &[&'static str]| IndexWriter::new(Buffer::new("index"), symbols.to_vec(), 1);
    assert!(index(&["b", "a"]).is_err());
    assert!(index(&["a", "a"]).is_err());
    let labels = |value: &str| Labels::from_pairs([("a", value)]);
    let mut writer = index(&["a", "x", "y"]).unwrap();
    writer.add(&labels("y"), &[]).unwrap();
    let error = writer.add(&labels("x"), &[]).unwrap_err().to_string();
    assert!(error.contains("is not behind the one before"), "{error}");
    let error = writer.add(&labels("z"), &[]).unwrap_err().to_string();
    assert!(error.contains("\"z\" is not among the symbols"), "{error}");
}
