//! Shipping one block: its data, then `meta.json`, each read back; then its place in the bucket's index. Whatever fails, the
//! block stays on the disk, and what has been uploaded of it is found again.

use std::io;
use std::sync::Arc;

use block::{BlockError, LocalFile, Meta, RangeRead as _, data_files, verify_folder};
use bucket::{BucketError, BucketIndex, ErrorKind, IndexedBlock, TenantBucket, TenantBucketError};
use bytes::Bytes;
use env::{FileSystem, Scope};
use thiserror::Error;
use ulid::Ulid;

use super::ledger::{Ledger, LocalBlock};

/// So often a block is put into the bucket's index while others change that, too.
const LISTINGS: u32 = 20;

/// Why a block has not been shipped.
#[derive(Debug, Error)]
pub(crate) enum ShipError {
    /// The bucket failed.
    #[error("{0}")]
    Bucket(#[from] BucketError),
    /// The bucket's index failed.
    #[error("{0}")]
    Index(#[from] TenantBucketError),
    /// The block cannot be read from this disk.
    #[error("block {block} cannot be read from the disk")]
    Local {
        /// Which.
        block: Ulid,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The block on this disk is damaged.
    #[error("block {block} is damaged on the disk: {source}")]
    Damaged {
        /// Which.
        block: Ulid,
        /// What is wrong.
        #[source]
        source: BlockError,
    },
    /// What is in the bucket is not what was uploaded.
    #[error(
        "{file} of block {block} is something else in the bucket than it was on the disk; it is uploaded again"
    )]
    Differs {
        /// Which block.
        block: Ulid,
        /// Which file.
        file: String,
    },
    /// Others changed the bucket's index all the time.
    #[error("block {block} is not in the bucket's index yet: others changed that {LISTINGS} times meanwhile")]
    Contended {
        /// Which.
        block: Ulid,
    },
    /// The process is stopping.
    #[error("interrupted: {reason}")]
    Interrupted {
        /// By what.
        reason: String,
    },
}

/// What became of a block that the bucket's index was to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// The index has it, or a block that was made from it.
    Listed,
    /// The bucket has it no more, and nothing that was made from it.
    Gone,
}

/// A tenant's blocks on their way to the bucket.
pub(super) struct Shipper<'a> {
    pub(super) fs: &'a Arc<dyn FileSystem>,
    pub(super) scope: &'a Scope,
    pub(super) ledger: &'a Ledger,
    pub(super) bucket: &'a TenantBucket,
}

impl Shipper<'_> {
    /// Uploads a block and reads it back. What is there already, and right, is left.
    pub(super) async fn upload(&self, block: Ulid) -> Result<(), ShipError> {
        let local = |source| ShipError::Local { block, source };
        let (fs, folder) = (self.fs.clone(), self.ledger.folder_of(block));
        let mut checksums = Vec::new();
        for name in self.local(block, move || data_files(&*fs, &folder)).await? {
            let checksum = self.file(block, &name).await?.checksum().await.map_err(local)?;
            checksums.push((name, checksum));
        }
        // Of what the checksums are of, or of something newer: what the disk damages later is seen by them.
        self.verify_local(block).await?;
        for (name, checksum) in checksums {
            self.upload_file(block, &name, checksum).await?;
        }
        let meta = self.file(block, "meta.json").await?;
        let content = meta.read(0..meta.len()).await.map_err(local)?;
        let name = self.bucket.file(block, "meta.json");
        let there = |found: Bytes| found == content;
        if !self.get(&name, content.len() as u64).await?.is_some_and(there) {
            self.bucket.bucket().put(&name, content.clone()).await?;
            if !self.get(&name, content.len() as u64).await?.is_some_and(there) {
                return Err(ShipError::Differs { block, file: "meta.json".to_owned() });
            }
        }
        Ok(())
    }

    /// A block that the disk has damaged is worth nothing in the bucket. All of it is read by one thread: handing over each of the
    /// many small reads costs far more than the reads.
    async fn verify_local(&self, block: Ulid) -> Result<(), ShipError> {
        let (fs, folder) = (self.fs.clone(), self.ledger.folder_of(block));
        let verified = self.local(block, move || Ok(verify_folder(&*fs, &folder, None))).await?;
        verified.map_err(|source| ShipError::Damaged { block, source })?;
        Ok(())
    }

    /// Uploads a file, whose CRC-32C was this when the block was whole.
    async fn upload_file(&self, block: Ulid, name: &str, checksum: u32) -> Result<(), ShipError> {
        let file = self.file(block, name).await?;
        let object = self.bucket.file(block, name);
        let bucket = self.bucket.bucket();
        match bucket.head(&object).await {
            // An upload that was interrupted behind this file.
            Ok(found) if found.bytes == file.len() => {
                if bucket.checksum(&object, file.len()).await? == checksum {
                    return Ok(());
                }
            }
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let uploaded = bucket.upload(&object, &file).await?;
        let differs = || ShipError::Differs { block, file: name.to_owned() };
        if uploaded.crc32c != checksum
            || bucket.head(&object).await?.bytes != uploaded.bytes
            || bucket.checksum(&object, uploaded.bytes).await? != checksum
        {
            return Err(differs());
        }
        Ok(())
    }

    /// Sees to it that the bucket's index has a block that was uploaded, maybe long ago: somebody may have found it meanwhile,
    /// merged it and deleted it. What is not in the bucket any more is not put into the index.
    pub(super) async fn list(&self, block: &LocalBlock, now_ms: i64) -> Result<Listing, ShipError> {
        let entry = IndexedBlock::of(&self.local_meta(block.ulid).await?, now_ms.div_euclid(1000));
        for _ in 0..LISTINGS {
            let before = match self.bucket.index().await {
                Ok(found) => found.map(|(index, _)| index),
                // It is made anew, from what is in the bucket.
                Err(TenantBucketError::Malformed { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            if before.as_ref().is_some_and(|index| index.block(block.ulid).is_some()) {
                return Ok(Listing::Listed);
            }
            if !self.is_uploaded(block.ulid).await? {
                let merged = match &before {
                    Some(index) => self.is_listed(block, index).await?,
                    None => false,
                };
                return Ok(if merged { Listing::Listed } else { Listing::Gone });
            }
            // As long as the index is what it was before the block was seen in the bucket, nobody has deleted the block.
            let mut moved = false;
            let add = |index: &mut BucketIndex| {
                moved = before.as_ref().is_some_and(|before| before != index);
                !moved && index.add(entry.clone())
            };
            self.bucket.update_index(add).await?;
            if !moved {
                return Ok(Listing::Listed);
            }
        }
        Err(ShipError::Contended { block: block.ulid })
    }

    /// Whether the bucket has the whole block: `meta.json` comes last and goes first.
    async fn is_uploaded(&self, block: Ulid) -> Result<bool, ShipError> {
        match self.bucket.bucket().head(&self.bucket.file(block, "meta.json")).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn local_meta(&self, block: Ulid) -> Result<Meta, ShipError> {
        let file = self.file(block, "meta.json").await?;
        let content = file.read(0..file.len()).await.map_err(|source| ShipError::Local { block, source })?;
        Meta::parse("meta.json", &content).map_err(|source| ShipError::Damaged { block, source })
    }

    /// Whether the bucket's index has the block, or another that was made from it.
    pub(super) async fn is_listed(&self, block: &LocalBlock, index: &BucketIndex) -> Result<bool, ShipError> {
        if index.block(block.ulid).is_some() {
            return Ok(true);
        }
        let merged = index.blocks.iter().filter(|other| {
            other.compaction_level > 1 && other.min_time < block.max_time && block.min_time < other.max_time
        });
        for other in merged {
            match self.bucket.meta(other.id).await {
                Ok(meta) if meta.compaction.sources.contains(&block.ulid) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    async fn get(&self, name: &bucket::ObjectName, limit: u64) -> Result<Option<Bytes>, ShipError> {
        match self.bucket.bucket().get(name, limit).await {
            Ok(found) => Ok(Some(found.bytes)),
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Size) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn file(&self, block: Ulid, name: &str) -> Result<LocalFile, ShipError> {
        let (fs, folder, scope) = (self.fs.clone(), self.ledger.folder_of(block), self.scope.clone());
        let name = name.to_owned();
        self.local(block, move || LocalFile::open(&*fs, &folder, &name, &scope)).await
    }

    async fn local<T: Send + 'static>(
        &self,
        block: Ulid,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, ShipError> {
        let done = self.scope.run_blocking(work).await;
        let done = done.map_err(|error| ShipError::Interrupted { reason: error.to_string() })?;
        done.map_err(|source| ShipError::Local { block, source })
    }
}
