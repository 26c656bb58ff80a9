//! One job: blocks are merged into new ones in a folder here, those are put into the bucket, read back from it and verified, and
//! then the index of the bucket has them and not their inputs, all at once. Whatever ends it before that has done nothing that
//! anybody sees; what has been uploaded by then is found and dropped later.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::merge::{Merge, SeriesLabels, WriteError, write};
use block::meta::{Compaction, Parent, Thanos};
use block::{
    BlockError, BlockWriter, CopyError, Description, Finished, LocalFile, Meta, RangeRead, WriteOptions,
    verify_copy,
};
use bucket::{IndexedBlock, Moved, ReadBack, SHARD_LABEL, TenantBucket};
use compact::{Job, Shard};
use env::{Clock, FileSystem, Rng, Scope};
use model::TimeRange;
use ulid::Ulid;

use crate::error::CompactError;
use crate::open::{self, Opened};
use crate::owners::Hold;

/// What `meta.json` says of who made a block, as Mimir and Thanos have it.
const SOURCE: &str = "compactor";

/// What a job needs.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) scope: Scope,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    /// The folder that blocks are written in.
    pub(crate) dir: PathBuf,
}

/// What a job has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) outputs: Vec<Ulid>,
    pub(crate) samples: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
}

impl Workshop {
    /// Does a job from its beginning to its end.
    pub(crate) async fn run(
        &self,
        bucket: &TenantBucket,
        job: &Job,
        hold: &dyn Hold,
    ) -> Result<Done, CompactError> {
        let folder = self.dir.join(bucket.tenant().as_str()).join(job.name());
        self.remove(&folder).await?;
        let done = self.work(bucket, job, hold, &folder).await;
        // What cannot be removed now is removed before the next job of this name, or at the next start.
        if let Err(error) = self.remove(&folder).await {
            tracing::warn!(folder = %folder.display(), %error, "a job's folder stays");
        }
        done
    }

    async fn work(
        &self,
        bucket: &TenantBucket,
        job: &Job,
        hold: &dyn Hold,
        folder: &Path,
    ) -> Result<Done, CompactError> {
        let mut opened = Vec::new();
        for input in &job.inputs {
            opened.push(open::input(bucket, *input).await?);
        }
        let read_bytes = opened.iter().map(|opened| opened.bytes).sum();
        let written = self.merge(job, opened, folder).await?;
        let mut done = Done { read_bytes, ..Done::default() };
        for output in &written {
            self.upload(bucket, output).await?;
            done.written_bytes += self.verify(bucket, job, output).await?;
            done.samples += output.meta.stats.num_samples;
            done.outputs.push(output.meta.ulid);
        }
        if !hold.holds().await {
            return Err(CompactError::NotOurs);
        }
        self.commit(bucket, job, &written).await?;
        Ok(done)
    }

    /// Writes the new blocks, durably; parts without samples are left out.
    async fn merge(
        &self,
        job: &Job,
        opened: Vec<Opened>,
        folder: &Path,
    ) -> Result<Vec<Finished>, CompactError> {
        let (metas, inputs): (Vec<Meta>, Vec<_>) = opened.into_iter().map(|o| (o.meta, o.input)).unzip();
        let names: Vec<Ulid> = job.outputs.iter().map(|_| self.new_name()).collect();
        let create = {
            let (fs, folder) = (Arc::clone(&self.fs), folder.to_owned());
            move || -> Result<(Merge, Vec<BlockWriter>), BlockError> {
                let merge = Merge::new(inputs)?;
                let one = |name: Ulid| {
                    let options = WriteOptions::default();
                    BlockWriter::create_merged(Arc::clone(&fs), &folder, name, options, merge.symbols())
                };
                let writers = names.into_iter().map(one).collect::<Result<_, _>>()?;
                Ok((merge, writers))
            }
        };
        let (merge, writers) = self.scope.run_blocking(create).await?.map_err(CompactError::Output)?;
        let merged = write(merge, writers, route(&job.outputs), &self.scope).await;
        let writers = merged.map_err(|error| match error {
            WriteError::Input(error) => match job.inputs.get(error.input) {
                Some(block) => CompactError::of_block(*block, error.source),
                None => CompactError::Output(error.source),
            },
            WriteError::Output(source) => CompactError::Output(source),
            WriteError::Unplaced { .. } => {
                CompactError::Output(BlockError::Unwritable { what: error.to_string() })
            }
            WriteError::Interrupted(error) => error.into(),
        })?;
        let mut written = Vec::new();
        for (writer, shard) in writers.into_iter().zip(&job.outputs) {
            let description = describe(job, *shard, &metas, &writer);
            let finish = move || match writer.range() {
                Some(_) => writer.finish_listed(description).map(Some),
                None => writer.discard().map(|()| None),
            };
            let finished = self.scope.run_blocking(finish).await?.map_err(CompactError::Output)?;
            written.extend(finished);
        }
        Ok(written)
    }

    /// A name that is later than those of the inputs, and nobody else's.
    fn new_name(&self) -> Ulid {
        let now_ms = u64::try_from(self.clock.now_ms()).unwrap_or(0);
        let random = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
        Ulid::from_parts(now_ms, random)
    }

    /// Puts a block into the bucket, without its `meta.json`.
    async fn upload(&self, bucket: &TenantBucket, output: &Finished) -> Result<(), CompactError> {
        for file in &output.files {
            let object = bucket.file(output.meta.ulid, &file.name);
            let path = output.folder.join(&file.name);
            if bucket.bucket().move_in(&object, &path).await? == Moved::Done {
                continue;
            }
            let local = self.file(&output.folder, &file.name).await?;
            if bucket.bucket().upload(&object, &local).await?.crc32c != file.crc32c {
                // The disk has something else than it was given.
                return Err(differs(output, &file.name));
            }
        }
        Ok(())
    }

    /// Reads a block back from the bucket, whole, and verifies it; only then it gets its `meta.json`, without which it is none.
    /// How many bytes it has. Where what was written is no block although every input could be read, one of them may be to
    /// blame: that is looked for.
    async fn verify(&self, bucket: &TenantBucket, job: &Job, output: &Finished) -> Result<u64, CompactError> {
        let block = output.meta.ulid;
        let mut copies: Vec<Arc<dyn RangeRead>> = Vec::new();
        for file in &output.files {
            copies.push(Arc::new(bucket.open(block, &file.name).await?));
        }
        match verify_copy(&output.files, &copies, output.meta.stats).await {
            Ok(()) => {}
            Err(CopyError::Differs { file }) => return Err(differs(output, &file)),
            Err(CopyError::Unreadable(source)) => return Err(CompactError::Unreadable { block, source }),
            Err(CopyError::Wrong(error)) => {
                for input in &job.inputs {
                    self.check(bucket, *input).await?;
                }
                return Err(CompactError::Output(error));
            }
        }
        let meta = output.meta.encode();
        let bytes = output.files.iter().map(|file| file.bytes).sum::<u64>() + meta.len() as u64;
        match bucket.bucket().put_checked(&bucket.file(block, "meta.json"), meta.into()).await? {
            ReadBack::Same => Ok(bytes),
            ReadBack::Differs => Err(differs(output, "meta.json")),
        }
    }

    /// Makes the new blocks known and marks those that they replace, in one write: if all of these are still there, or somebody
    /// has found all of the new ones meanwhile and put them into the index. Where others have replaced inputs already, the new
    /// blocks are put there as marked: nobody may remove at once what others may just be finding.
    async fn commit(
        &self,
        bucket: &TenantBucket,
        job: &Job,
        written: &[Finished],
    ) -> Result<(), CompactError> {
        let now = self.clock.now_ms().div_euclid(1000);
        let entries: Vec<IndexedBlock> =
            written.iter().map(|output| IndexedBlock::of(&output.meta, now)).collect();
        let mut is_overtaken = false;
        let changed = bucket.update_index(|index| {
            let unknown: Vec<&IndexedBlock> =
                entries.iter().filter(|entry| index.block(entry.id).is_none()).collect();
            let live: Vec<Ulid> = job.inputs.iter().copied().filter(|input| index.is_live(*input)).collect();
            // An answer may have been lost, and what it would have said been done.
            let is_done = unknown.is_empty() && live.is_empty();
            let is_found = entries.iter().all(|entry| index.is_live(entry.id));
            is_overtaken = !is_done && !is_found && live.len() < job.inputs.len();
            if is_done {
                return false;
            }
            for entry in &unknown {
                index.add((*entry).clone());
            }
            let replaced = if is_overtaken { unknown.iter().map(|entry| entry.id).collect() } else { live };
            replaced.iter().for_each(|id| index.mark(*id, now));
            !replaced.is_empty()
        });
        changed.await?;
        if is_overtaken { Err(CompactError::Overtaken) } else { Ok(()) }
    }

    async fn file(&self, folder: &Path, name: &str) -> Result<LocalFile, CompactError> {
        let (fs, folder, scope) = (Arc::clone(&self.fs), folder.to_owned(), self.scope.clone());
        let name = name.to_owned();
        let opened = self.scope.run_blocking(move || LocalFile::open(&*fs, &folder, &name, &scope)).await?;
        opened.map_err(CompactError::Scratch)
    }

    /// Removes a folder, if it is there.
    pub(crate) async fn remove(&self, folder: &Path) -> Result<(), CompactError> {
        let (fs, folder) = (Arc::clone(&self.fs), folder.to_owned());
        let remove = move || if fs.exists(&folder) { fs.remove_dir_all(&folder) } else { Ok(()) };
        self.scope.run_blocking(remove).await?.map_err(CompactError::Scratch)
    }
}

/// The bucket has something else than was written.
fn differs(output: &Finished, file: &str) -> CompactError {
    CompactError::Differs { block: output.meta.ulid, file: file.to_owned() }
}

/// Which part a series goes into.
fn route(outputs: &[Shard]) -> impl FnMut(SeriesLabels<'_>) -> usize + Send + 'static {
    let (outputs, mut scratch) = (outputs.to_vec(), Vec::new());
    move |labels| {
        if let [_] = outputs.as_slice() {
            return 0;
        }
        let hash = Shard::hash(labels.iter(), &mut scratch);
        outputs.iter().position(|shard| shard.has(hash)).unwrap_or(usize::MAX)
    }
}

/// What `meta.json` of a new block says. It has the times of its inputs, or of its samples where an input said too little.
fn describe(job: &Job, shard: Shard, inputs: &[Meta], writer: &BlockWriter) -> Description {
    let sources: BTreeSet<Ulid> =
        inputs.iter().flat_map(|meta| meta.compaction.sources.iter().copied()).collect();
    let parents = inputs.iter().map(|meta| Parent {
        ulid: meta.ulid,
        min_time: meta.min_time,
        max_time: meta.max_time,
    });
    let level = inputs.iter().map(|meta| meta.compaction.level).max().unwrap_or(0).saturating_add(1);
    let found = writer.range();
    let min_time = inputs.iter().map(|meta| meta.min_time).chain(found.map(TimeRange::start_ms)).min();
    let last = found.map(|range| range.end_ms().saturating_add(1));
    let max_time = inputs.iter().map(|meta| meta.max_time).chain(last).max();
    let mut labels = job.labels.clone();
    if !shard.is_whole() {
        labels.insert(SHARD_LABEL.to_owned(), shard.to_string());
    }
    Description {
        min_time,
        max_time,
        compaction: Compaction {
            level,
            sources: sources.into_iter().collect(),
            parents: parents.collect(),
            ..Compaction::default()
        },
        thanos: Some(Thanos { labels, source: SOURCE.to_owned(), ..Thanos::default() }),
    }
}
