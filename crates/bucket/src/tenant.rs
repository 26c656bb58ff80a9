//! What one tenant has in a bucket: blocks, marks and the index.
//!
//! ```text
//! <tenant>/bucket-index.json.gz
//! <tenant>/<ulid>/{meta.json,index,chunks/NNNNNN}
//! <tenant>/<ulid>/deletion-mark.json
//! <tenant>/markers/<ulid>-deletion-mark.json   the same once more, so that one listing finds all
//! ```
//!
//! With the layout of Thanos there is no folder of a tenant.

use block::{BlockError, Meta};
use bytes::Bytes;
use model::TenantId;
use thiserror::Error;
use ulid::Ulid;

use crate::bucket::{Bucket, Version};
use crate::config::Layout;
use crate::error::{BucketError, ErrorKind};
use crate::index::{BucketIndex, IndexedBlock, MAX_INDEX_BYTES};
use crate::marks::DeletionMark;
use crate::name::ObjectName;
use crate::object::BlockObject;

/// So often a change of the index is tried while others change it, too.
const INDEX_ATTEMPTS: u32 = 20;
/// So many tenants a bucket has at most.
const MAX_TENANTS: usize = 1 << 20;
/// So many blocks a tenant has at most, and each has so many files.
pub(crate) const MAX_BLOCKS: usize = 1 << 20;
pub(crate) const MAX_FILES: usize = 1 << 16;
/// The largest mark that is read.
pub(crate) const MAX_MARK_BYTES: u64 = 1 << 20;

/// An operation on what a tenant has that failed.
#[derive(Debug, Error)]
pub enum TenantBucketError {
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A file of a block is not what it should be.
    #[error("block {block} of tenant {tenant}")]
    Block {
        /// The tenant.
        tenant: TenantId,
        /// The block.
        block: Ulid,
        /// What is wrong with it.
        #[source]
        source: Box<BlockError>,
    },
    /// The index, or a mark, is not what it should be.
    #[error("{object}: {reason}; remove it, and let it be made again")]
    Malformed {
        /// The object.
        object: ObjectName,
        /// What is wrong with it.
        reason: String,
    },
    /// Others changed the index all the time.
    #[error("{object}: others changed it {attempts} times while it was to be changed")]
    Contended {
        /// The object.
        object: ObjectName,
        /// How often it was tried.
        attempts: u32,
    },
}

impl TenantBucketError {
    /// Whether it says that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Bucket(error) if error.kind == ErrorKind::NotFound)
    }
}

/// What a tenant has in a bucket. Cheap to clone.
#[derive(Clone)]
pub struct TenantBucket {
    bucket: Bucket,
    tenant: TenantId,
    folder: Option<ObjectName>,
}

impl Bucket {
    /// The tenants that have something in the bucket, sorted.
    ///
    /// # Errors
    /// As [`Bucket::folders`].
    pub async fn tenants(&self) -> Result<Vec<TenantId>, BucketError> {
        match self.config().layout {
            Layout::Thanos => Ok(vec![self.config().thanos_tenant.clone()]),
            Layout::Mimir => {
                let folders = self.folders(None, MAX_TENANTS).await?;
                Ok(folders.iter().filter_map(|folder| TenantId::new(folder.last()).ok()).collect())
            }
        }
    }
}

fn name(text: String) -> ObjectName {
    ObjectName::new(text).expect("tenants, ULIDs and names of files are made of what names may have")
}

impl TenantBucket {
    /// What `tenant` has; `None` where the bucket has the layout of Thanos and is another tenant's.
    pub fn new(bucket: &Bucket, tenant: &TenantId) -> Option<Self> {
        let folder = match bucket.config().layout {
            Layout::Mimir => Some(name(tenant.as_str().to_owned())),
            Layout::Thanos if bucket.config().thanos_tenant == *tenant => None,
            Layout::Thanos => return None,
        };
        Some(Self { bucket: bucket.clone(), tenant: tenant.clone(), folder })
    }

    /// Whose it is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Whether it has a folder, which nobody else's objects are in.
    pub(crate) fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// The bucket that it is in.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(crate) fn within(&self, path: &str) -> ObjectName {
        match &self.folder {
            Some(folder) => name(format!("{folder}/{path}")),
            None => name(path.to_owned()),
        }
    }

    /// The object of a block's file, such as `index` or `chunks/000001`.
    pub fn file(&self, block: Ulid, file: &str) -> ObjectName {
        self.within(&format!("{block}/{file}"))
    }

    /// A file of a block for reading; its length is asked for.
    ///
    /// # Errors
    /// As [`Bucket::head`].
    pub async fn open(&self, block: Ulid, file: &str) -> Result<BlockObject, BucketError> {
        BlockObject::open(self.bucket.clone(), self.file(block, file), file).await
    }

    /// What a block's `meta.json` says.
    ///
    /// # Errors
    /// Where there is none ([`TenantBucketError::is_not_found`]): the block is not complete, or has gone.
    pub async fn meta(&self, block: Ulid) -> Result<Meta, TenantBucketError> {
        let object = self.bucket.get(&self.file(block, "meta.json"), block::meta::MAX_META_BYTES).await?;
        Meta::parse("meta.json", &object.bytes).map_err(|source| TenantBucketError::Block {
            tenant: self.tenant.clone(),
            block,
            source: Box::new(source),
        })
    }

    /// The blocks that have a folder, complete or not, oldest first.
    ///
    /// # Errors
    /// As [`Bucket::folders`].
    pub async fn blocks(&self) -> Result<Vec<Ulid>, BucketError> {
        let folders = self.bucket.folders(self.folder.as_ref(), MAX_BLOCKS).await?;
        Ok(folders.iter().filter_map(|folder| Ulid::from_string(folder.last()).ok()).collect())
    }

    fn index_name(&self) -> ObjectName {
        self.within(BucketIndex::FILE)
    }

    /// The index, and what is needed to replace it; `None` where there is none yet.
    ///
    /// # Errors
    /// Where it cannot be read, or is none.
    pub async fn index(&self) -> Result<Option<(BucketIndex, Version)>, TenantBucketError> {
        match self.read_index().await? {
            None => Ok(None),
            Some((Ok(index), version)) => Ok(Some((index, version))),
            Some((Err(reason), _)) => Err(TenantBucketError::Malformed { object: self.index_name(), reason }),
        }
    }

    /// The index, or what is wrong with it, and which content that is.
    async fn read_index(&self) -> Result<Option<(Result<BucketIndex, String>, Version)>, BucketError> {
        match self.bucket.get(&self.index_name(), MAX_INDEX_BYTES).await {
            Ok(found) => Ok(Some((BucketIndex::parse(&found.bytes), found.version))),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes the index, which is made where there is none. `change` says whether it changed anything; it is called
    /// again where another has changed the index meanwhile. The index is given as it is in the bucket then. One that cannot
    /// be understood is made anew from what is in the bucket.
    ///
    /// # Errors
    /// Where it cannot be read or written; it may have been changed then.
    pub async fn update_index(
        &self,
        mut change: impl FnMut(&mut BucketIndex) -> bool + Send,
    ) -> Result<BucketIndex, TenantBucketError> {
        let object = self.index_name();
        for attempt in 1..=INDEX_ATTEMPTS {
            let (mut index, version, is_sound) = match self.read_index().await? {
                Some((Ok(index), version)) => (index, Some(version), true),
                Some((Err(reason), version)) => {
                    tracing::error!(%object, reason, "the index is damaged, it is made anew");
                    (self.found_index().await?, Some(version), false)
                }
                // There may be blocks of others, who need no index. With one, nobody would look for them any more.
                None => (self.found_index().await?, None, false),
            };
            if !change(&mut index) && is_sound {
                return Ok(index);
            }
            index.updated_at = self.bucket.now_seconds();
            let bytes = Bytes::from(index.encode());
            let written = match &version {
                Some(version) => self.bucket.replace(&object, bytes, version).await,
                None => self.bucket.create(&object, bytes).await,
            };
            match written {
                Ok(()) => return Ok(index),
                Err(error) if error.kind == ErrorKind::Conflict => self.bucket.wait(attempt).await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(TenantBucketError::Contended { object, attempts: INDEX_ATTEMPTS })
    }

    /// Makes the index anew from what is in the bucket, as is needed for buckets that others filled without one.
    ///
    /// # Errors
    /// Where something cannot be read or written.
    pub async fn rebuild_index(&self) -> Result<BucketIndex, TenantBucketError> {
        let found = self.found_index().await?;
        self.update_index(|index| {
            *index = BucketIndex { others: std::mem::take(&mut index.others), ..found.clone() };
            true
        })
        .await
    }

    /// The index as it should be, from what is in the bucket.
    async fn found_index(&self) -> Result<BucketIndex, TenantBucketError> {
        let mut index = BucketIndex::new();
        for block in self.blocks().await? {
            let meta = match self.meta(block).await {
                Ok(meta) => meta,
                // It is being uploaded or deleted.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            let uploaded = self.bucket.head(&self.file(block, "meta.json")).await?.modified_ms;
            index.add(IndexedBlock::of(&meta, uploaded.div_euclid(1000)));
        }
        for mark in self.deletion_marks().await? {
            index.mark(mark.id, mark.deletion_time);
        }
        Ok(index)
    }

    fn mark_name(&self, block: Ulid) -> ObjectName {
        self.within(&format!("markers/{block}-{}", DeletionMark::FILE))
    }

    /// The blocks that are marked to be deleted. With the layout of Thanos these marks stand beside the blocks alone.
    ///
    /// # Errors
    /// Where something cannot be read.
    pub async fn deletion_marks(&self) -> Result<Vec<DeletionMark>, TenantBucketError> {
        let names: Vec<ObjectName> = match self.bucket.config().layout {
            Layout::Mimir => {
                let listed = self.bucket.list(Some(&self.within("markers")), MAX_BLOCKS).await?;
                let marks = listed.into_iter().map(|listed| listed.name);
                marks.filter(|name| name.last().ends_with(DeletionMark::FILE)).collect()
            }
            Layout::Thanos => {
                let blocks = self.blocks().await?;
                blocks.into_iter().map(|block| self.file(block, DeletionMark::FILE)).collect()
            }
        };
        let mut marks = Vec::new();
        for object in names {
            let found = match self.bucket.get(&object, MAX_MARK_BYTES).await {
                Ok(found) => found,
                Err(error) if error.kind == ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            let mark: Result<DeletionMark, _> = serde_json::from_slice(&found.bytes);
            match mark {
                // The one of a tenant that is to be deleted has the same ending.
                Err(_) if Ulid::from_string(object.last().get(..26).unwrap_or_default()).is_err() => {}
                Err(error) => {
                    return Err(TenantBucketError::Malformed { object, reason: error.to_string() });
                }
                Ok(mark) => marks.push(mark),
            }
        }
        Ok(marks)
    }

    /// Marks a block to be deleted.
    ///
    /// # Errors
    /// Where it cannot be written; some of it may have been.
    pub async fn mark_for_deletion(
        &self,
        block: Ulid,
        details: &str,
    ) -> Result<DeletionMark, TenantBucketError> {
        let mark = DeletionMark::new(block, self.bucket.now_seconds(), details);
        self.put_deletion_mark(&mark).await?;
        Ok(mark)
    }

    /// Deletes a block: `meta.json` first, so that nobody takes the rest for a block, its marks last.
    ///
    /// # Errors
    /// Where something cannot be deleted; calling it again goes on.
    pub async fn delete_block(&self, block: Ulid) -> Result<(), TenantBucketError> {
        self.bucket.delete(&self.file(block, "meta.json")).await?;
        let folder = self.within(&block.to_string());
        let (marks, rest): (Vec<_>, Vec<_>) = self
            .bucket
            .list(Some(&folder), MAX_FILES)
            .await?
            .into_iter()
            .partition(|listed| listed.name.last() == DeletionMark::FILE);
        for listed in rest.iter().chain(&marks) {
            self.bucket.delete(&listed.name).await?;
        }
        if self.folder.is_some() {
            let no_compact = format!("markers/{block}-{}", crate::marks::NoCompactMark::FILE);
            self.bucket.delete(&self.within(&no_compact)).await?;
            self.bucket.delete(&self.mark_name(block)).await?;
        }
        Ok(())
    }
}
