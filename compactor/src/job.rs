//! One job: blocks are merged into new ones in a folder here, those are verified, uploaded and read back, and then the index
//! of the bucket has them and not their inputs, all at once. Whatever ends it before that has done nothing that anybody sees; what
//! has been uploaded by then is found and dropped later.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::merge::{Merge, WriteError, write};
use block::meta::{Compaction, Parent, Thanos};
use block::{
    BlockError, BlockWriter, Description, LocalFile, Meta, RangeRead as _, WriteOptions, data_files,
    verify_folder,
};
use bucket::{IndexedBlock, ReadBack, SHARD_LABEL, TenantBucket};
use compact::{Job, Shard};
use env::{Clock, FileSystem, Rng, Scope};
use model::{Labels, TimeRange};
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

/// A block that has been written.
struct Written {
    folder: PathBuf,
    meta: Meta,
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
        self.verify(bucket, job, &written).await?;
        let mut done = Done { read_bytes, ..Done::default() };
        for output in &written {
            done.written_bytes += self.upload(bucket, output).await?;
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
    ) -> Result<Vec<Written>, CompactError> {
        let (metas, inputs): (Vec<Meta>, Vec<_>) = opened.into_iter().map(|o| (o.meta, o.input)).unzip();
        let names: Vec<Ulid> = job.outputs.iter().map(|_| self.new_name()).collect();
        let create = {
            let (fs, folder) = (Arc::clone(&self.fs), folder.to_owned());
            move || -> Result<Vec<BlockWriter>, BlockError> {
                let one =
                    |name: Ulid| BlockWriter::create(fs.clone(), &folder, name, WriteOptions::default());
                names.into_iter().map(one).collect()
            }
        };
        let writers = self.scope.run_blocking(create).await?.map_err(CompactError::Output)?;
        let merged = write(Merge::new(&inputs), writers, route(&job.outputs), &self.scope).await;
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
                Some(_) => writer.finish(description).map(Some),
                None => writer.discard().map(|()| None),
            };
            let finished = self.scope.run_blocking(finish).await?.map_err(CompactError::Output)?;
            written.extend(finished.map(|(folder, meta)| Written { folder, meta }));
        }
        Ok(written)
    }

    /// A name that is later than those of the inputs, and nobody else's.
    fn new_name(&self) -> Ulid {
        let now_ms = u64::try_from(self.clock.now_ms()).unwrap_or(0);
        let random = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
        Ulid::from_parts(now_ms, random)
    }

    /// Reads all that was written. Where it is wrong although every input could be read, one of them says something else than it
    /// has: that is looked for.
    async fn verify(
        &self,
        bucket: &TenantBucket,
        job: &Job,
        written: &[Written],
    ) -> Result<(), CompactError> {
        for output in written {
            let Err(error) = self.verify_local(output).await? else { continue };
            for input in &job.inputs {
                self.check(bucket, *input).await?;
            }
            return Err(CompactError::Output(error));
        }
        Ok(())
    }

    /// Whether a new block is what its `meta.json` says; the inner error says why not.
    async fn verify_local(&self, output: &Written) -> Result<Result<(), BlockError>, CompactError> {
        let (fs, folder, stats) = (Arc::clone(&self.fs), output.folder.clone(), output.meta.stats);
        let verified = self.scope.run_blocking(move || verify_folder(&*fs, &folder, None)).await?;
        Ok(verified.and_then(|verified| match verified.stats == stats {
            true => Ok(()),
            false => Err(BlockError::Unwritable {
                what: format!("{stats:?} were written, {:?} were counted", verified.stats),
            }),
        }))
    }

    /// Uploads a block and reads it back, `meta.json` last. How many bytes it has.
    async fn upload(&self, bucket: &TenantBucket, output: &Written) -> Result<u64, CompactError> {
        let id = output.meta.ulid;
        let differs = |file: &str| CompactError::Differs { block: id, file: file.to_owned() };
        let mut bytes = 0;
        for name in self.data_files(&output.folder).await? {
            let file = self.file(&output.folder, &name).await?;
            let crc32c = file.checksum().await.map_err(CompactError::Scratch)?;
            let object = bucket.file(id, &name);
            if bucket.bucket().upload_checked(&object, &file, crc32c).await? == ReadBack::Differs {
                return Err(differs(&name));
            }
            bytes += file.len();
        }
        let meta = output.meta.encode();
        bytes += meta.len() as u64;
        match bucket.bucket().put_checked(&bucket.file(id, "meta.json"), meta.into()).await? {
            ReadBack::Same => Ok(bytes),
            ReadBack::Differs => Err(differs("meta.json")),
        }
    }

    /// Makes the new blocks known and marks those that they replace, in one write: if all of these are still there, or somebody
    /// has found all of the new ones meanwhile and put them into the index. Where others have replaced inputs already, the new
    /// blocks are put there as marked: nobody may remove at once what others may just be finding.
    async fn commit(
        &self,
        bucket: &TenantBucket,
        job: &Job,
        written: &[Written],
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

    async fn data_files(&self, folder: &Path) -> Result<Vec<String>, CompactError> {
        let (fs, folder) = (Arc::clone(&self.fs), folder.to_owned());
        let listed = self.scope.run_blocking(move || data_files(&*fs, &folder)).await?;
        listed.map_err(CompactError::Scratch)
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

/// Which part a series goes into.
fn route(outputs: &[Shard]) -> impl Fn(&Labels) -> usize + Clone + Send + 'static {
    let outputs = outputs.to_vec();
    move |labels| {
        if let [_] = outputs.as_slice() {
            return 0;
        }
        let hash = Shard::hash(labels.iter(), &mut Vec::new());
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
