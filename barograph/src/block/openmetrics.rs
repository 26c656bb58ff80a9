//! Blocks out of OpenMetrics text.
//!
//! A file may be larger than memory, and in any order. It is read once to see which times it has, and then once for each
//! part of these times that fits into memory; each part becomes blocks of two hours.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::block::meta::Compaction;
use ::block::{BlockWriter, Description, NewChunk, WriteOptions};
use chunk::{Encoding, XorAppender};
use clap::ArgMatches;
use env::{Clock as _, File, FileSystem, OpenOptions, OsSeededRng, Rng as _, SystemClock};
use model::{Labels, TimeRange};
use ulid::Ulid;
use wire::openmetrics::{Line, parse_line};

use super::Failed;
use super::target::Target;
use crate::output;
use crate::query::time::rfc3339;

/// How long the blocks are, and at multiples of which they begin, in milliseconds.
const BLOCK_MS: i64 = 2 * 60 * 60 * 1000;

/// How many samples are held at a time, about 24 bytes each, but for one block with more.
const SAMPLES_IN_MEMORY: u64 = 8 << 20;

/// How many samples a chunk has at most.
const CHUNK_SAMPLES: usize = 120;

/// How much of the file is read at a time.
const READ_BYTES: usize = 1 << 20;

/// The longest line.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Samples of a series: time, value, and the line that they are in.
type Samples = Vec<(i64, f64, u64)>;

/// Makes blocks of a file and imports them; how many these were.
pub(super) async fn file(
    fs: &Arc<dyn FileSystem>,
    target: &mut Target,
    path: &Path,
    asked: &ArgMatches,
) -> Result<usize, Failed> {
    let windows = windows(&**fs, path)?;
    let total: u64 = windows.values().sum();
    output::note(&format!("{}: {total} samples for {} blocks", path.display(), windows.len()));
    let scratch = asked.get_one::<PathBuf>("scratch").cloned().unwrap_or_else(std::env::temp_dir);
    let rng = OsSeededRng::new();
    let random = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    let scratch = scratch.join(format!("barograph-import-{:016x}", random as u64));
    let mut import = Import { fs: Arc::clone(fs), path, scratch, random, written: 0, total: windows.len() };
    let mut done = Ok(());
    for part in parts(&windows) {
        done = import.part(target, part).await;
        if done.is_err() {
            break;
        }
    }
    let removed = match fs.exists(&import.scratch) {
        true => fs.remove_dir_all(&import.scratch),
        false => Ok(()),
    };
    done?;
    removed.map_err(|error| Failed::Io { what: import.scratch.display().to_string(), error })?;
    Ok(import.written)
}

struct Import<'a> {
    fs: Arc<dyn FileSystem>,
    path: &'a Path,
    scratch: PathBuf,
    random: u128,
    written: usize,
    total: usize,
}

impl Import<'_> {
    /// The blocks of some times.
    async fn part(&mut self, target: &mut Target, windows: Range<i64>) -> Result<(), Failed> {
        for series in collect(&*self.fs, self.path, windows)?.into_values() {
            let (folder, meta) = self.write(series)?;
            target.add(&*self.fs, &folder, &meta).await?;
            self.fs
                .remove_dir_all(&folder)
                .map_err(|error| Failed::Io { what: folder.display().to_string(), error })?;
            self.written += 1;
            output::note(&format!(
                "{} of {}: block {} from {}: {} series with {} samples",
                self.written,
                self.total,
                meta.ulid,
                rfc3339(meta.min_time),
                meta.stats.num_series,
                meta.stats.num_samples
            ));
        }
        Ok(())
    }

    fn write(&self, series: BTreeMap<Labels, Samples>) -> Result<(PathBuf, ::block::Meta), Failed> {
        let failed = |error| Failed::Block { folder: self.scratch.display().to_string(), error };
        let now = SystemClock::new().now_ms();
        let ulid = Ulid::from_parts(now.unsigned_abs(), self.random.wrapping_add(self.written as u128));
        let writer = BlockWriter::create(Arc::clone(&self.fs), &self.scratch, ulid, WriteOptions::default());
        let mut writer = writer.map_err(failed)?;
        let mut order: Vec<(Labels, Samples)> = series.into_iter().collect();
        order.sort_by(|a, b| a.0.cmp(&b.0));
        for (labels, mut samples) in order {
            samples.sort_by_key(|(at, _, line)| (*at, *line));
            self.without_repetitions(&labels, &mut samples)?;
            let chunks: Vec<(TimeRange, Box<[u8]>)> =
                samples.chunks(CHUNK_SAMPLES).filter_map(encode).collect();
            let new =
                chunks.iter().map(|(range, data)| NewChunk { range: *range, encoding: Encoding::Xor, data });
            writer.add(&labels, new).map_err(failed)?;
        }
        let compaction = Compaction::of_head(ulid);
        let said = Description { min_time: None, max_time: None, compaction, thanos: None };
        writer.finish(said).map_err(failed)
    }

    /// Of samples at the same time one is left, if all have the same value.
    fn without_repetitions(&self, labels: &Labels, samples: &mut Samples) -> Result<(), Failed> {
        for pair in samples.windows(2) {
            if pair[0].0 == pair[1].0 && pair[0].1.to_bits() != pair[1].1.to_bits() {
                return Err(Failed::Asked(format!(
                    "{}: line {}: series {labels} has the value {} at {}, but {} in line {}",
                    self.path.display(),
                    pair[1].2,
                    pair[1].1,
                    rfc3339(pair[1].0),
                    pair[0].1,
                    pair[0].2
                )));
            }
        }
        samples.dedup_by_key(|(at, _, _)| *at);
        Ok(())
    }
}

fn encode(samples: &[(i64, f64, u64)]) -> Option<(TimeRange, Box<[u8]>)> {
    let range = TimeRange::new(samples.first()?.0, samples.last()?.0)?;
    let mut chunk = XorAppender::new();
    for (at, value, _) in samples {
        chunk.append(*at, *value).expect("a chunk has room for more than it is given");
    }
    Some((range, chunk.into_bytes()))
}

/// How many samples the file has, by the number of the block that they go into.
fn windows(fs: &dyn FileSystem, path: &Path) -> Result<BTreeMap<i64, u64>, Failed> {
    let mut windows = BTreeMap::new();
    samples(fs, path, |at, _, _, _| *windows.entry(at.div_euclid(BLOCK_MS)).or_insert(0) += 1)?;
    match windows.is_empty() {
        true => Err(Failed::Asked(format!("{}: no samples are there", path.display()))),
        false => Ok(windows),
    }
}

/// Blocks that follow each other and have, together, no more samples than are held at a time.
fn parts(windows: &BTreeMap<i64, u64>) -> Vec<Range<i64>> {
    let mut parts: Vec<(Range<i64>, u64)> = Vec::new();
    for (window, samples) in windows {
        match parts.last_mut().filter(|(_, sum)| sum + samples <= SAMPLES_IN_MEMORY) {
            Some((part, sum)) => {
                part.end = window + 1;
                *sum += samples;
            }
            None => parts.push((*window..window + 1, *samples)),
        }
    }
    parts.into_iter().map(|(part, _)| part).collect()
}

/// The samples of some blocks, by block and series.
fn collect(
    fs: &dyn FileSystem,
    path: &Path,
    windows: Range<i64>,
) -> Result<BTreeMap<i64, BTreeMap<Labels, Samples>>, Failed> {
    let mut all: BTreeMap<i64, BTreeMap<Labels, Samples>> = BTreeMap::new();
    samples(fs, path, |at, labels, value, line| {
        let window = at.div_euclid(BLOCK_MS);
        if windows.contains(&window) {
            all.entry(window).or_default().entry(labels).or_default().push((at, value, line));
        }
    })?;
    Ok(all)
}

/// Hands all samples of a file to `take`: time in milliseconds, series, value, number of the line.
fn samples(
    fs: &dyn FileSystem,
    path: &Path,
    mut take: impl FnMut(i64, Labels, f64, u64),
) -> Result<(), Failed> {
    let failed = |error| Failed::Io { what: path.display().to_string(), error };
    let wrong = |line: u64, what: &str| Failed::Asked(format!("{}: line {line}: {what}", path.display()));
    let mut lines = Lines::open(fs, path).map_err(failed)?;
    while let Some((number, line)) = lines.next().map_err(failed)? {
        let line = std::str::from_utf8(line).map_err(|_| wrong(number, "it is not UTF-8"))?;
        match parse_line(line).map_err(|error| wrong(number, &error.to_string()))? {
            Line::Sample { labels, value, timestamp_ms: Some(at) } => take(at, labels, value, number),
            Line::Sample { timestamp_ms: None, .. } => {
                return Err(wrong(
                    number,
                    "the sample has no timestamp: seconds since the Unix epoch, behind its value",
                ));
            }
            Line::Comment => {}
            Line::End => {
                return match lines.next().map_err(failed)? {
                    None => Ok(()),
                    Some((number, _)) => Err(wrong(number, "something follows # EOF")),
                };
            }
        }
    }
    Err(Failed::Asked(format!("{}: it does not end with # EOF: a part of it may be missing", path.display())))
}

/// The lines of a file, read piece by piece.
struct Lines {
    file: Arc<dyn File>,
    offset: u64,
    buffer: Vec<u8>,
    /// What of the buffer has been handed out.
    taken: usize,
    number: u64,
}

impl Lines {
    fn open(fs: &dyn FileSystem, path: &Path) -> std::io::Result<Self> {
        let file = fs.open(path, OpenOptions::READ)?;
        Ok(Self { file, offset: 0, buffer: Vec::new(), taken: 0, number: 0 })
    }

    /// The next line without its line feed, and its number, from 1.
    fn next(&mut self) -> std::io::Result<Option<(u64, &[u8])>> {
        let mut searched = 0;
        let (length, skipped) = loop {
            let rest = self.buffer.get(self.taken..).unwrap_or_default();
            if let Some(found) =
                rest.get(searched..).unwrap_or_default().iter().position(|byte| *byte == b'\n')
            {
                break (searched + found, 1);
            }
            searched = rest.len();
            if searched > MAX_LINE_BYTES {
                let message = format!("line {} has more than {MAX_LINE_BYTES} bytes", self.number + 1);
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
            }
            if !self.fill()? {
                if searched == 0 {
                    return Ok(None);
                }
                break (searched, 0);
            }
        };
        let begin = self.taken;
        self.taken += length + skipped;
        self.number += 1;
        Ok(Some((self.number, self.buffer.get(begin..begin + length).unwrap_or_default())))
    }

    /// Reads more behind what has not been handed out; whether there was more.
    fn fill(&mut self) -> std::io::Result<bool> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + READ_BYTES, 0);
        let read = self.file.read_at(self.buffer.get_mut(length..).unwrap_or_default(), self.offset)?;
        self.buffer.truncate(length + read);
        self.offset += read as u64;
        Ok(read > 0)
    }
}
