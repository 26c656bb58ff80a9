//! What is known of a tenant's blocks: the index says which there are, `meta.json` the rest, which is read once.

use std::collections::BTreeMap;

use block::Meta;
use bucket::{BucketIndex, IndexedBlock, SHARD_LABEL, TenantBucket, TenantBucketError};
use compact::{Block, Shard};
use futures::stream::{self, StreamExt as _};
use ulid::Ulid;

use crate::error::CompactError;

/// How many `meta.json` are read at a time.
const PARALLEL_METAS: usize = 16;

/// What is known of one block.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// What planning needs.
    Sound(Box<Block>),
    /// Why its `meta.json` is none.
    Broken(String),
}

/// What is known of a tenant's blocks.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    known: BTreeMap<Ulid, Known>,
}

/// A tenant's blocks that are not marked to be deleted.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Those whose `meta.json` is right.
    pub(crate) blocks: Vec<Block>,
    /// Those whose `meta.json` is wrong or missing, and that are not known to be set aside.
    pub(crate) broken: Vec<(Ulid, String)>,
}

impl Catalog {
    /// The blocks of `index`; `meta.json` of those that are new is read.
    pub(crate) async fn blocks(
        &mut self,
        bucket: &TenantBucket,
        index: &BucketIndex,
    ) -> Result<Blocks, CompactError> {
        let live: BTreeMap<Ulid, &IndexedBlock> = index.live().map(|block| (block.id, block)).collect();
        self.known.retain(|id, _| live.contains_key(id));
        let new: Vec<Ulid> = live.keys().filter(|id| !self.known.contains_key(id)).copied().collect();
        let reads: Vec<_> = new.into_iter().map(|id| async move { (id, bucket.meta(id).await) }).collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL_METAS);
        while let Some((id, read)) = reads.next().await {
            let known = match read {
                Ok(meta) if meta.ulid == id => Known::Sound(Box::new(of_meta(&meta))),
                Ok(meta) => Known::Broken(format!("meta.json is that of block {}", meta.ulid)),
                Err(TenantBucketError::Block { source, .. }) => Known::Broken(source.to_string()),
                Err(error) if error.is_not_found() => Known::Broken("meta.json is missing".to_owned()),
                Err(error) => return Err(error.into()),
            };
            self.known.insert(id, known);
        }
        let mut all = Blocks::default();
        for (id, known) in &self.known {
            let Some(indexed) = live.get(id) else { continue };
            match known {
                Known::Sound(block) => all.blocks.push(Block {
                    uploaded_ms: indexed.uploaded_at.saturating_mul(1000),
                    is_excluded: indexed.no_compact().is_some(),
                    ..(**block).clone()
                }),
                Known::Broken(why) if indexed.no_compact().is_none() => all.broken.push((*id, why.clone())),
                Known::Broken(_) => {}
            }
        }
        Ok(all)
    }

    /// Forgets what is known of a block, so that it is read again.
    pub(crate) fn forget(&mut self, id: Ulid) {
        self.known.remove(&id);
    }
}

/// What planning needs of `meta.json`.
pub(crate) fn of_meta(meta: &Meta) -> Block {
    let thanos = meta.thanos.clone().unwrap_or_default();
    let bytes = thanos.files().iter().filter_map(|file| file.size_bytes).sum();
    let mut labels = thanos.labels;
    // A shard that cannot be read keeps its blocks among themselves.
    let shard = labels.get(SHARD_LABEL).and_then(|text| text.parse().ok());
    if shard.is_some() {
        labels.remove(SHARD_LABEL);
    }
    let mut sources = meta.compaction.sources.clone();
    sources.sort_unstable();
    Block {
        id: meta.ulid,
        min_ms: meta.min_time,
        max_ms: meta.max_time,
        level: meta.compaction.level,
        sources,
        labels,
        shard: shard.unwrap_or(Shard::WHOLE),
        series: meta.stats.num_series,
        bytes,
        uploaded_ms: 0,
        is_downsampled: meta.is_downsampled(),
        is_excluded: false,
    }
}
