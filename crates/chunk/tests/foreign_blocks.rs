//! Chunks that Prometheus and its relatives wrote: each float chunk is decoded and written again, to the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use chunk::{XorAppender, XorCursor};

/// The folder of block fixtures beside the checkout, if it is there.
fn fixtures() -> Option<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/conformance/tsdb_blocks"))
        .find(|folder| folder.is_dir())
}

fn chunk_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of fixtures").flatten() {
        let path = entry.path();
        if path.is_dir() {
            chunk_files(&path, found);
        } else if path.parent().is_some_and(|parent| parent.ends_with("chunks")) {
            found.push(path);
        }
    }
}

fn uvarint(bytes: &[u8]) -> (usize, usize) {
    let mut value = 0;
    for (i, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            return (value, i + 1);
        }
    }
    panic!("chunk length without an end");
}

/// The chunks of a segment file: encoding and data, their checksums verified.
fn chunks(file: &[u8]) -> Vec<(u8, &[u8])> {
    assert_eq!(file[..5], [0x85, 0xbd, 0x40, 0xdd, 1], "magic and version");
    let (mut rest, mut found) = (&file[8..], Vec::new());
    while !rest.is_empty() {
        let (length, width) = uvarint(rest);
        let (checked, after) = rest[width..].split_at(length + 1);
        let (checksum, after) = after.split_first_chunk().expect("a checksum behind each chunk");
        assert_eq!(crc32c::crc32c(checked), u32::from_be_bytes(*checksum));
        found.push((checked[0], &checked[1..]));
        rest = after;
    }
    found
}

#[test]
fn float_chunks_are_rewritten_to_the_same_bytes() {
    let Some(folder) = fixtures() else {
        eprintln!("CONFORMANCE DATA ABSENT: no shared/conformance/tsdb_blocks beside the checkout");
        return;
    };
    let mut files = Vec::new();
    chunk_files(&folder, &mut files);
    let (mut floats, mut others, mut samples) = (0, 0, 0);
    for path in files {
        for (encoding, data) in chunks(&fs::read(&path).unwrap()) {
            if encoding != 1 {
                others += 1;
                continue;
            }
            let mut cursor = XorCursor::new(data).unwrap();
            let mut appender = XorAppender::new();
            while let Some((timestamp, value)) = cursor.next_sample().unwrap() {
                appender.append(timestamp, value).unwrap();
                samples += 1;
            }
            let written = appender.bytes();
            // Before 3.0 Prometheus left an empty byte behind a last byte that was full.
            let data = match data.split_at_checked(written.len()) {
                Some((data, [] | [0])) => data,
                _ => data,
            };
            assert_eq!(written, data, "a chunk of {}", path.display());
            assert_eq!(XorAppender::resume(data).expect("an intact chunk").bytes(), data);
            floats += 1;
        }
    }
    eprintln!("{floats} float chunks with {samples} samples, {others} of other encodings");
    assert!(floats > 1000, "only {floats} float chunks");
}
