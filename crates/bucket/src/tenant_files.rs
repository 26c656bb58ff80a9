//! A tenant's objects beyond those that every reader needs: marks against merging and of tenants that are to go, the files of
//! a block, and writing one so that it is known to be right.

use block::RangeRead;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use ulid::Ulid;

use crate::bucket::{Bucket, Listed};
use crate::error::{BucketError, ErrorKind};
use crate::marks::{DeletionMark, NoCompactMark, TenantDeletionMark};
use crate::name::ObjectName;
use crate::tenant::{MAX_BLOCKS, MAX_FILES, MAX_MARK_BYTES, TenantBucket, TenantBucketError};

/// The most objects that a tenant has at its end, when all of them are removed.
const MAX_OBJECTS: usize = 1 << 22;

/// Whether what was written is what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBack {
    /// It is.
    Same,
    /// Something else is there.
    Differs,
}

impl Bucket {
    /// Writes an object from a file, whose CRC-32C is `crc32c`, and reads it back.
    ///
    /// # Errors
    /// As [`Bucket::upload`]. It may have been written then.
    pub async fn upload_checked(
        &self,
        name: &ObjectName,
        file: &dyn RangeRead,
        crc32c: u32,
    ) -> Result<ReadBack, BucketError> {
        let uploaded = self.upload(name, file).await?;
        if uploaded.crc32c != crc32c || self.head(name).await?.bytes != uploaded.bytes {
            return Ok(ReadBack::Differs);
        }
        match self.checksum(name, uploaded.bytes).await? {
            same if same == crc32c => Ok(ReadBack::Same),
            _ => Ok(ReadBack::Differs),
        }
    }

    /// Writes a small object, and reads it back.
    ///
    /// # Errors
    /// As [`Bucket::put`]. It may have been written then.
    pub async fn put_checked(&self, name: &ObjectName, bytes: Bytes) -> Result<ReadBack, BucketError> {
        self.put(name, bytes.clone()).await?;
        match self.get(name, bytes.len() as u64).await {
            Ok(found) if found.bytes == bytes => Ok(ReadBack::Same),
            Ok(_) => Ok(ReadBack::Differs),
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Size) => {
                Ok(ReadBack::Differs)
            }
            Err(error) => Err(error),
        }
    }
}

impl TenantBucket {
    /// The objects in a block's folder, by their names in it, such as `index` and `chunks/000001`.
    ///
    /// # Errors
    /// As [`Bucket::list`].
    pub async fn files(&self, block: Ulid) -> Result<Vec<(String, Listed)>, BucketError> {
        let folder = self.within(&block.to_string());
        let listed = self.bucket().list(Some(&folder), MAX_FILES).await?;
        let own = |listed: Listed| {
            let path = listed.name.as_str().strip_prefix(folder.as_str())?.strip_prefix('/')?.to_owned();
            Some((path, listed))
        };
        Ok(listed.into_iter().filter_map(own).collect())
    }

    /// Writes a mark of a block again, or for the first time.
    ///
    /// # Errors
    /// Where it cannot be written; some of it may have been.
    pub async fn put_deletion_mark(&self, mark: &DeletionMark) -> Result<(), TenantBucketError> {
        self.put_marks(mark.id, DeletionMark::FILE, &to_json(mark)).await
    }

    /// Marks a block not to be merged.
    ///
    /// # Errors
    /// Where it cannot be written; some of it may have been.
    pub async fn mark_no_compact(&self, mark: &NoCompactMark) -> Result<(), TenantBucketError> {
        self.put_marks(mark.id, NoCompactMark::FILE, &to_json(mark)).await
    }

    async fn put_marks(&self, block: Ulid, file: &str, bytes: &Bytes) -> Result<(), TenantBucketError> {
        if self.has_folder() {
            self.bucket().put(&self.within(&format!("markers/{block}-{file}")), bytes.clone()).await?;
        }
        self.bucket().put(&self.file(block, file), bytes.clone()).await?;
        Ok(())
    }

    /// The blocks that are marked not to be merged, as far as their marks stand in the folder for them.
    ///
    /// # Errors
    /// Where something cannot be read.
    pub async fn no_compact_marks(&self) -> Result<Vec<NoCompactMark>, TenantBucketError> {
        let listed = self.bucket().list(Some(&self.within("markers")), MAX_BLOCKS).await?;
        let mut marks = Vec::new();
        for object in listed.into_iter().map(|listed| listed.name) {
            if object.last().ends_with(NoCompactMark::FILE) {
                marks.extend(self.get_json(&object).await?);
            }
        }
        Ok(marks)
    }

    fn tenant_mark_name(&self) -> ObjectName {
        self.within(&format!("markers/{}", TenantDeletionMark::FILE))
    }

    /// The mark that says that all of the tenant is to go, if there is one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn tenant_mark(&self) -> Result<Option<TenantDeletionMark>, TenantBucketError> {
        self.get_json(&self.tenant_mark_name()).await
    }

    /// Marks all of the tenant to go, or says how far that has come.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn put_tenant_mark(&self, mark: &TenantDeletionMark) -> Result<(), TenantBucketError> {
        Ok(self.bucket().put(&self.tenant_mark_name(), to_json(mark)).await?)
    }

    /// Removes the mark of the tenant itself, once nothing else is left.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub async fn remove_tenant_mark(&self) -> Result<(), TenantBucketError> {
        Ok(self.bucket().delete(&self.tenant_mark_name()).await?)
    }

    /// Removes whatever the tenant has but for the mark that says so; how many objects there were.
    ///
    /// # Errors
    /// Where something cannot be removed; calling it again goes on.
    pub async fn remove_rest(&self) -> Result<usize, TenantBucketError> {
        let folder = ObjectName::new(self.tenant().as_str()).ok().filter(|_| self.has_folder());
        // Without a folder of its own all of the bucket would go.
        let Some(folder) = folder else { return Ok(0) };
        let mark = self.tenant_mark_name();
        let listed = self.bucket().list(Some(&folder), MAX_OBJECTS).await?;
        let rest: Vec<Listed> = listed.into_iter().filter(|listed| listed.name != mark).collect();
        for listed in &rest {
            self.bucket().delete(&listed.name).await?;
        }
        Ok(rest.len())
    }

    async fn get_json<T: DeserializeOwned>(
        &self,
        object: &ObjectName,
    ) -> Result<Option<T>, TenantBucketError> {
        match self.bucket().get(object, MAX_MARK_BYTES).await {
            Ok(found) => match serde_json::from_slice(&found.bytes) {
                Ok(value) => Ok(Some(value)),
                Err(error) => {
                    Err(TenantBucketError::Malformed { object: object.clone(), reason: error.to_string() })
                }
            },
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn to_json(mark: &impl serde::Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(mark).expect("numbers and texts are JSON"))
}
