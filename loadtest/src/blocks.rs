//! A population as blocks of Prometheus' format: months of samples that no server has to take one by one, for queries over
//! what is stored.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::meta::Compaction;
use block::{BlockError, BlockWriter, Description, NewChunk, WriteOptions};
use chunk::{ChunkError, Encoding, XorAppender};
use env::FileSystem;
use model::{Labels, TimeRange};
use serde::Serialize;
use thiserror::Error;
use ulid::Ulid;

use crate::population::{Population, PopulationConfig, PopulationError};

/// How many samples a chunk has, as with Prometheus.
const CHUNK_SAMPLES: u32 = 120;

/// What is to be written.
#[derive(Debug, Clone)]
pub struct BlocksConfig {
    /// Whose samples; it has no tenants, churn or native histograms.
    pub population: PopulationConfig,
    /// How many samples each series has.
    pub samples: u32,
    /// How much time a block has, in milliseconds; blocks begin at multiples of it.
    pub length_ms: i64,
    /// The folder that blocks are written into.
    pub folder: PathBuf,
}

/// Why blocks were not written.
#[derive(Debug, Error)]
pub enum BlocksError {
    /// The population cannot be.
    #[error(transparent)]
    Population(#[from] PopulationError),
    /// Blocks without length.
    #[error("blocks of {length_ms} ms; expected 1 minute or more")]
    Length {
        /// What was asked for.
        length_ms: i64,
    },
    /// A block cannot be written.
    #[error("a block cannot be written")]
    Block(#[from] BlockError),
    /// A chunk cannot be written.
    #[error("a chunk cannot be written")]
    Chunk(#[from] ChunkError),
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BlocksReport {
    /// Blocks.
    pub blocks: u64,
    /// Series in each of them, at most.
    pub series: u64,
    /// Samples in all of them.
    pub samples: u64,
}

/// Writes the blocks, oldest first; `progress` is told how many there are so far. Calls block.
///
/// # Errors
/// Where they cannot be written; what has been written stays.
pub fn write(
    config: &BlocksConfig,
    fs: &Arc<dyn FileSystem>,
    mut progress: impl FnMut(u64),
) -> Result<BlocksReport, BlocksError> {
    if config.length_ms < 60_000 {
        return Err(BlocksError::Length { length_ms: config.length_ms });
    }
    let population = Population::new(config.population.clone())?;
    let series = sorted(&population);
    let mut report = BlocksReport { series: series.len() as u64, ..BlocksReport::default() };
    let last_ms = population.timestamp_ms(0, config.samples) + config.population.interval_ms;
    let mut start_ms = config.population.start_ms.div_euclid(config.length_ms) * config.length_ms;
    while start_ms < last_ms {
        let writing = Writing {
            population: &population,
            steps: config.samples,
            start_ms,
            end_ms: start_ms + config.length_ms,
        };
        let samples = writing.block(&config.folder, fs, &series)?;
        if samples > 0 {
            report.blocks += 1;
            report.samples += samples;
            progress(report.blocks);
        }
        start_ms += config.length_ms;
    }
    Ok(report)
}

/// The labels of all slots, in order.
fn sorted(population: &Population) -> Vec<(Labels, u32)> {
    let labels = |slot| {
        let mut pairs = Vec::new();
        population.labels(slot, 0, |name, value| pairs.push((name.to_owned(), value.to_owned())));
        (Labels::from_pairs(pairs), slot)
    };
    let mut all: Vec<(Labels, u32)> = (0..population.slots()).map(labels).collect();
    all.sort_unstable();
    all
}

/// A block.
struct Writing<'a> {
    population: &'a Population,
    steps: u32,
    start_ms: i64,
    end_ms: i64,
}

impl Writing<'_> {
    /// Writes it; how many samples it has. One without samples is not there.
    fn block(
        &self,
        folder: &Path,
        fs: &Arc<dyn FileSystem>,
        series: &[(Labels, u32)],
    ) -> Result<u64, BlocksError> {
        // Made of what the block is about, so that the same arguments make the same blocks.
        let ulid = Ulid::from_parts(self.end_ms.unsigned_abs(), u128::from(self.population.config().seed));
        let mut writer = BlockWriter::create(Arc::clone(fs), folder, ulid, WriteOptions::default())?;
        let mut samples = 0;
        for (labels, slot) in series {
            let chunks = self.chunks(*slot)?;
            samples += chunks.iter().map(|(_, open)| u64::from(open.num_samples())).sum::<u64>();
            let new = chunks.iter().map(|(range, open)| NewChunk {
                range: *range,
                encoding: Encoding::Xor,
                data: open.bytes(),
            });
            writer.add(labels, new)?;
        }
        if samples == 0 {
            writer.discard()?;
            return Ok(0);
        }
        writer.finish(Description {
            min_time: Some(self.start_ms),
            max_time: Some(self.end_ms),
            compaction: Compaction::of_head(ulid),
            thanos: None,
        })?;
        Ok(samples)
    }

    fn chunks(&self, slot: u32) -> Result<Vec<(TimeRange, XorAppender)>, BlocksError> {
        let (population, interval_ms) = (self.population, self.population.config().interval_ms);
        let first_ms = population.timestamp_ms(slot, 0);
        // The first step at or after a time.
        let step_at = |ms: i64| {
            let steps = (ms - first_ms + interval_ms - 1).div_euclid(interval_ms);
            u32::try_from(steps.max(0)).unwrap_or(u32::MAX).min(self.steps)
        };
        let (signal, mut chunks) = (population.signal(slot, 0), Vec::<(TimeRange, XorAppender)>::new());
        for step in step_at(self.start_ms)..step_at(self.end_ms) {
            let (at, value) = (population.timestamp_ms(slot, step), signal.at(i64::from(step)));
            let Some(instant) = TimeRange::new(at, at) else { continue };
            match chunks.last_mut().filter(|(_, open)| u32::from(open.num_samples()) < CHUNK_SAMPLES) {
                Some((range, open)) => {
                    open.append(at, value)?;
                    *range = range.hull(instant);
                }
                None => {
                    let mut open = XorAppender::new();
                    open.append(at, value)?;
                    chunks.push((instant, open));
                }
            }
        }
        Ok(chunks)
    }
}

#[cfg(test)]
mod tests {
    use block::{ChunkReader, InMemory, Index, RangeRead, verify};
    use env::{SimFs, read_file};

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[tokio::test]
    async fn blocks_have_all_samples_once() {
        let population = PopulationConfig {
            seed: 3,
            series: 40,
            tenants: 0,
            tenant_name: String::new(),
            interval_ms: 60_000,
            start_ms: 1_000 * HOUR_MS + 7,
            churn_per_hour: 0.0,
            native_histograms: false,
            exemplars: false,
        };
        let fs: Arc<dyn FileSystem> = Arc::new(SimFs::new(1));
        let config = BlocksConfig {
            population: population.clone(),
            samples: 600,
            length_ms: 4 * HOUR_MS,
            folder: "/b".into(),
        };
        let mut told = Vec::new();
        let report = write(&config, &fs, |blocks| told.push(blocks)).unwrap();
        assert_eq!(report, BlocksReport { blocks: 3, series: 40, samples: 24_000 });
        assert_eq!(told, [1, 2, 3]);
        let population = Population::new(population).unwrap();
        let mut samples = 0;
        for entry in fs.read_dir(Path::new("/b")).unwrap() {
            let file = |name: &str| -> Arc<dyn RangeRead> {
                let bytes = read_file(&*fs, &Path::new("/b").join(&entry.name).join(name), 1 << 30).unwrap();
                Arc::new(InMemory::new(name, bytes))
            };
            let index = Index::open(file("index")).await.unwrap();
            let chunks = ChunkReader::open(vec![file("chunks/000001")]).await.unwrap();
            samples += verify(&index, &chunks).await.unwrap().stats.num_samples;
        }
        assert_eq!(samples, report.samples);
        assert_eq!(sorted(&population).len(), 40);
        let none = BlocksConfig { length_ms: 5, ..config };
        assert!(matches!(write(&none, &fs, |_| ()), Err(BlocksError::Length { length_ms: 5 })));
    }
}
